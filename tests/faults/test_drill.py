"""`payrail drill restore`: a backup proves itself, and one that is not sound is found out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pyapp import drill
from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.conftest import Database
from tests.desk import Desk
from tests.workers import until


@dataclass
class Kept:
    """A server that archives its WAL, and a backup of it."""

    server: Server
    backup: Path
    archive: Path

    @property
    def database(self) -> Database:
        return Database(Settings(database_url=self.server.conninfo()))

    def back_up(self, *arguments: str | Path) -> None:
        shutil.rmtree(self.backup, ignore_errors=True)
        of = ("-h", self.server.socket_folder, "-U", "postgres", "-c", "fast")
        self.server._run("pg_basebackup", *of, "-D", self.backup, *arguments)
        waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
        until(lambda: self.ask(waiting) == 0)

    def ask(self, query: str) -> Any:
        with psycopg.connect(self.server.conninfo(), autocommit=True) as admin:
            return admin.execute(query.encode()).fetchall()[0][0]

    def entries(self) -> int:
        found = self.ask("SELECT count(*) FROM ledger.entries")
        assert isinstance(found, int)
        return found

    def start(self, *arguments: object, copies: str | Path = "") -> subprocess.Popen[str]:
        """Start a drill that makes its copy in a folder of these."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pyapp", "drill", "restore"),
                *(str(one) for one in (self.backup, self.archive, *arguments)),
            ],
            env={**os.environ, "PAYRAIL_HOME": str(self.server.home), "TMPDIR": str(copies)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def drill(
        self, *arguments: object, copies: str | Path = ""
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, copies=copies) as process:
            out, err = process.communicate()
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def drilled(self, *arguments: object) -> Any:
        done = self.drill("--json", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with servers.folder() as folder:
        archive = folder / "100% of what's archived"
        archive.mkdir()
        archive.chmod(0o777)
        where = shlex.quote(str(archive)).replace("%", "%%")
        command = f"archive_command=cp %p {where}/%f"
        options = ("fsync=off", "archive_mode=on", command)
        with servers.own(folder / "home", *options) as server:
            server.start()
            migrate(Settings(database_url=server.conninfo()), "demo", say=lambda _: None)
            kept = Kept(server, folder / "home" / "backup", archive)
            with Desk(kept.database, 1_000_000) as desk:
                desk.payout("settled")
                kept.back_up()
                for _ in range(3):
                    for status in ("settled", "failed", "pending", "returned"):
                        desk.payout(status)
                    kept.ask("SELECT pg_switch_wal()")
            yield kept


def test_a_backup_is_restored_to_a_point_at_random_and_proves_itself(kept: Kept) -> None:
    found = kept.drilled()
    assert (found["broken"], found["faults"]) == ([], [])
    assert 0 < found["entries"] <= kept.entries()
    assert found["restored_in"] > 0
    assert drill.number(found["first"]) <= drill.number(found["lsn"]) <= drill.number(found["last"])


def test_it_is_restored_to_the_point_that_is_named(kept: Kept) -> None:
    first = kept.drilled()["first"]
    last = kept.drilled()["last"]
    earliest, latest = kept.drilled("--lsn", first), kept.drilled("--lsn", last)
    assert (earliest["lsn"], latest["lsn"]) == (first, last)
    assert earliest["entries"] < latest["entries"] <= kept.entries()


def test_it_says_so_in_words(kept: Kept) -> None:
    done = kept.drill()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "every invariant holds, and every entry continues the one before it"
    )
    for word in ("restored", "entries", "restore", "audit", "verify"):
        assert any(line.startswith(f"{word} ") for line in done.stdout.splitlines())


def test_it_leaves_nothing_and_changes_nothing(kept: Kept, tmp_path: Path) -> None:
    """A backup whose WAL is elsewhere, too."""
    wal = kept.server.base / "wal"
    other = replace(kept, backup=kept.server.base / "linked")
    other.back_up("--waldir", wal)
    folders = (kept.backup, kept.archive, other.backup, wal)
    before = [files(folder) for folder in folders]
    for one in (kept, other):
        done = one.drill(copies=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert [files(folder) for folder in folders] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_drill_that_is_ended_leaves_nothing_either(
    kept: Kept, number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(signal.signal, number, signal.getsignal(number)))
    signal.signal(
        number, lambda *_: None
    )  # so that a drill started by nohup or with & hears it too
    copies = kept.server.home.parent / number.name
    copies.mkdir(mode=0o755)
    for step in ("data/PG_VERSION", "data/postmaster.pid", ".s.PGSQL.*"):
        with kept.start(copies=copies) as drill:
            until(partial(found, copies, f"*/home/{step}"))
            locks = copies.glob("*/home/data/postmaster.pid")
            pids = [int(lock.read_text().split()[0]) for lock in locks]
            drill.send_signal(number)
            if number != signal.SIGINT:
                drill.send_signal(number)  # an impatient one
            drill.communicate()
            assert drill.returncode != 0
        assert list(copies.iterdir()) == []
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_an_archive_without_the_backups_end_is_no_archive_of_it(kept: Kept, tmp_path: Path) -> None:
    """Though the backup has some WAL of its own, with which it could be restored."""
    first = kept.drilled()["first"]
    segments = sorted(path for path in kept.archive.iterdir() if len(path.name) == 24)
    for left in (segments[:0], segments[:1], segments[-1:]):
        done = replace(kept, archive=copied(tmp_path, left)).drill()
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(
            f" has no WAL of the backup's end, {first}: is it archived, and here?\n"
        )


@pytest.mark.parametrize("damage", ["gone", "shorter", "other", "more"])
def test_a_backup_with_a_damaged_file_is_found_out(kept: Kept, tmp_path: Path, damage: str) -> None:
    """Though nothing that a drill looks at is in that file."""
    bad = tmp_path / "backup"
    shutil.copytree(kept.backup, bad)
    oid = kept.ask("SELECT oid FROM pg_database WHERE datname = 'template0'")
    file = max((bad / "base" / str(oid)).iterdir(), key=lambda path: path.stat().st_size)
    match damage:
        case "gone":
            file.unlink()
        case "shorter":
            os.truncate(file, 1)
        case "other":
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        case _:
            file.with_name("more").touch()
    done = replace(kept, backup=bad).drill()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: it can't be restored: pg_verifybackup failed: ")
    assert ("more" if damage == "more" else file.name) in done.stderr


def test_what_the_system_refuses_is_told_in_words(kept: Kept, tmp_path: Path) -> None:
    bad = tmp_path / "backup"
    shutil.copytree(kept.backup, bad)
    (bad / "backup_manifest").write_text("{}")
    done = replace(kept, backup=bad).drill()
    assert (done.returncode, "manifest" in done.stderr) == (1, True)
    os.mkfifo(bad / "pipe")
    done = replace(kept, backup=bad).drill()
    assert done.returncode == 1
    assert done.stderr == f"error: it can't be restored: `{bad / 'pipe'}` is a named pipe\n"


def test_an_archive_with_a_gap_is_found_out(kept: Kept, tmp_path: Path) -> None:
    last = kept.drilled()["last"]
    segments = sorted(path for path in kept.archive.iterdir() if len(path.name) == 24)
    gap = copied(tmp_path, segments[:-2] + segments[-1:])
    done = replace(kept, archive=gap).drill("--lsn", last)
    assert done.returncode == 1
    assert done.stderr == (
        "error: it can't be restored:"
        " recovery ended before configured recovery target was reached\n"
    )


def test_what_is_no_backup_is_named(kept: Kept, tmp_path: Path) -> None:
    done = replace(kept, backup=tmp_path).drill()
    assert done.stderr == (
        f"error: {tmp_path} is no base backup: make one with pg_basebackup, in its plain format\n"
    )
    done = replace(kept, archive=tmp_path / "none").drill()
    assert done.stderr == f"error: {tmp_path / 'none'} is no folder of archived WAL\n"
    done = kept.drill("--lsn", "yesterday")
    assert (done.returncode, "is no place in the WAL" in done.stderr) == (2, True)
    done = kept.drill("--database", "nothing")
    assert done.returncode == 1
    assert done.stderr == 'error: it can\'t be restored: database "nothing" does not exist\n'


def test_what_was_altered_before_the_backup_is_found(kept: Kept) -> None:
    with psycopg.connect(kept.server.conninfo(), autocommit=True) as admin:
        admin.execute("ALTER TABLE ledger.entries DISABLE TRIGGER USER")
        admin.execute("UPDATE ledger.entries SET amount = amount + 1 WHERE kind = 'credit'")
    kept.back_up()
    done = kept.drill("--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert [fault["fault"] for fault in found["faults"]] == ["broken"]
    assert "broken_chain" in {one["invariant"] for one in found["broken"]}
    assert kept.drill().stdout.endswith("1 entries altered\n")


def copied(folder: Path, segments: list[Path]) -> Path:
    """Return a new folder with only these segments in it."""
    folder.chmod(0o755)
    archive = folder / f"archive of {len(list(folder.iterdir()))}"
    archive.mkdir(mode=0o755)
    for segment in segments:
        shutil.copy(segment, archive)
    return archive


def found(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


def files(folder: Path) -> set[tuple[str, int]]:
    """Return what is in a folder, and when it was changed."""
    return {(str(path), path.lstat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}
