"""`payrail drill restore`: a backup proves itself, and one that is not sound is found out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass
class Kept:
    """A server that archives its WAL, and a backup of it."""

    server: Server
    backup: Path
    archive: Path

    @property
    def database(self) -> Database:
        return Database(Settings(database_url=self.server.conninfo()))

    def back_up(self) -> None:
        shutil.rmtree(self.backup, ignore_errors=True)
        of = ("-h", self.server.socket_folder, "-U", "postgres", "-c", "fast")
        self.server._run("pg_basebackup", *of, "-D", self.backup)

    def ask(self, query: str) -> Any:
        with psycopg.connect(self.server.conninfo(), autocommit=True) as admin:
            return admin.execute(query.encode()).fetchall()[0][0]

    def entries(self) -> int:
        found = self.ask("SELECT count(*) FROM ledger.entries")
        assert isinstance(found, int)
        return found

    def drill(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "pyapp", "drill", "restore"),
                *(str(one) for one in (self.backup, self.archive, *arguments)),
            ],
            env={**os.environ, "PAYRAIL_HOME": str(self.server.home)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

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
    before = files(kept.backup), files(kept.archive)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "pyapp", "drill", "restore", kept.backup, kept.archive],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert (files(kept.backup), files(kept.archive)) == before


def test_an_archive_with_a_gap_is_found_out(kept: Kept, tmp_path: Path) -> None:
    last = kept.drilled()["last"]
    gap = tmp_path / "archive"
    shutil.copytree(kept.archive, gap)
    tmp_path.chmod(0o755)
    segments = sorted(path for path in gap.iterdir() if len(path.name) == 24)
    segments[-2].unlink()
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


def files(folder: Path) -> set[tuple[str, int]]:
    """Return what is in a folder, and when it was changed."""
    return {(str(path), path.lstat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}
