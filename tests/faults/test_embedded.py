from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pyapp import embedded
from pyapp.embedded import EmbeddedError, Server
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.workers import until

AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="an ordinary user has one account only")

# starts a server, and dies the hard way
STARTER = """
import os, signal, sys
from pathlib import Path
from pyapp.embedded import Server
Server(home=Path(sys.argv[1])).start()
os.kill(os.getpid(), signal.SIGKILL)
"""

# Starts a server, and gets no further than that initdb is at work, which writes nothing of its own
# between our lines, but has our end of the pipe open as long as it runs.
HALTED = """
import os, subprocess, sys, threading
from pathlib import Path
from pyapp.embedded import Server
run = Server._run
def halt(server, name, *arguments):
    if name != "initdb":
        return run(server, name, *arguments)
    options = server._process() | {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([server.program(name), *arguments], pass_fds=[os.dup(1)], **options)
    print("begun", flush=True)
    threading.Event().wait()
Server._run = halt
Server(home=Path(sys.argv[1])).start()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with servers.folder() as path:
        yield path


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    """A server that isn't started yet, as the demo has it."""
    with servers.own(place / "home") as server:
        yield server


def ask(server: Server, query: str) -> object:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_the_first_start_makes_a_durable_database_nobody_else_can_reach(server: Server) -> None:
    assert server.start()
    assert ask(server, "SHOW fsync") == "on"
    assert ask(server, "SHOW synchronous_commit") == "on"
    assert ask(server, "SHOW full_page_writes") == "on"
    assert ask(server, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.base / "data").stat().st_mode) == 0o700


def test_a_live_server_is_used_again(server: Server) -> None:
    assert server.start()
    first = servers.postmaster(server)
    assert not server.start()
    assert servers.postmaster(server) == first


def test_of_four_starters_at_once_one_starts_it(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        started = [pool.submit(server.start) for _ in range(4)]
    assert sorted(start.result() for start in started) == [False, False, False, True]


def test_data_survives_a_stop(server: Server) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not server.is_live()
    assert server.start()
    assert ask(server, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("everything", [False, True], ids=["the postmaster", "everything"])
def test_data_survives_kill_9(server: Server, *, everything: bool) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    main = servers.postmaster(server)
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    assert children
    servers.kill(server)  # its pid file and its socket stay behind
    for child in children if everything else []:
        with suppress(ProcessLookupError):  # it has noticed
            os.kill(int(child), signal.SIGKILL)
    assert server.start()
    assert ask(server, "SELECT answer FROM kept") == 42


def test_an_interrupted_initdb_leaves_nothing_half_made(server: Server) -> None:
    for name in ("new", "new-1f"):
        unfinished = server.base / name
        unfinished.mkdir(parents=True)
        (unfinished / "PG_VERSION").write_text("18\n")
    assert server.start()
    assert list(server.base.glob("new*")) == []


def test_a_starter_killed_during_initdb_is_followed_by_another(server: Server) -> None:
    """Its initdb may still be at work when the next one begins."""
    with subprocess.Popen(
        [sys.executable, "-c", HALTED, server.home], cwd=ROOT, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout
        while starter.stdout.readline() != b"begun\n":
            assert starter.poll() is None
        starter.kill()
        assert server.start()
        assert ask(server, "SELECT count(*) FROM pg_class WHERE relname = 'pg_class'") == 1
        starter.stdout.read()  # until initdb has ended too


def test_a_starter_killed_before_it_made_the_database_is_followed_by_another(
    server: Server,
) -> None:
    server.start()
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE payrail")
    assert not server.start()
    assert ask(server, "SELECT current_database()") == "payrail"


def test_a_server_that_is_slow_to_answer_is_waited_for(server: Server) -> None:
    """As while it recovers from a crash: it lives, but can't be connected to."""
    server.start()
    main = servers.postmaster(server)
    os.kill(main, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(server.start)
        try:
            until(lambda: "already exists" in (server.base / "postgres.log").read_text())
        finally:
            os.kill(main, signal.SIGCONT)
        assert not again.result()
    assert servers.postmaster(server) == main


def test_two_servers_live_side_by_side(place: Path) -> None:
    with servers.own(place / "one") as one, servers.own(place / "two") as two:
        assert one.start()
        assert two.start()
        ask(one, "CREATE TABLE mine ()")
        assert ask(two, "SELECT to_regclass('mine')") is None


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(server: Server) -> None:
    server.start()
    main = servers.postmaster(server)
    assert os.getsid(main) != os.getsid(0)
    assert os.getpgid(main) != os.getpgid(0)


def test_the_server_outlives_its_starter(server: Server) -> None:
    ended = subprocess.run([sys.executable, "-c", STARTER, server.home], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not server.start()


def test_the_last_one_out_stops_the_server(server: Server) -> None:
    settings = Settings(home=server.home, pg_bin=server.programs)
    with ExitStack() as late:
        with embedded.running(settings):
            late.enter_context(embedded.running(settings))
        assert server.is_live()
    assert not server.is_live()


def test_a_server_that_a_killed_process_left_is_stopped_by_the_next(server: Server) -> None:
    settings = Settings(home=server.home, pg_bin=server.programs)
    server.start()
    with embedded.running(settings):
        assert server.is_live()
    assert not server.is_live()


def test_with_a_database_url_nothing_is_started(server: Server) -> None:
    settings = Settings(database_url="postgresql://elsewhere/payrail", home=server.home)
    with embedded.running(settings):
        assert not server.home.exists()


def test_clean_keeps_the_data_unless_told_otherwise(server: Server) -> None:
    settings = Settings(home=server.home, pg_bin=server.programs)
    server.start()
    embedded.clean(settings, remove_data=False)
    assert not server.is_live()
    assert (server.base / "data" / "PG_VERSION").exists()
    embedded.clean(settings, remove_data=True)
    assert not server.base.exists()


def test_a_path_too_long_for_a_socket_gets_one_elsewhere(place: Path) -> None:
    with servers.own(place / ("long" * 30)) as server:
        server.start()
        assert server.socket_folder != server.base
        assert len(os.fsencode(server.socket_folder)) < 90
        assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700
        assert ask(server, "SELECT 1") == 1


def test_the_socket_is_where_it_was_whatever_tmpdir_says(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One starter with TMPDIR and one without must find the same server."""
    long = Server(home=place / ("long" * 30))
    before = long.socket_folder
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert long.socket_folder == before


def test_a_symlink_planted_at_our_folder_is_refused(place: Path) -> None:
    """In /tmp anybody can make it, and the folder it points to would change hands."""
    theirs = place / "theirs"
    theirs.mkdir(mode=0o755)
    (place / "home").symlink_to(theirs)
    before = theirs.stat()
    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        Server(home=place / "home").start()
    after = theirs.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


@only_root
def test_somebody_elses_folder_is_refused(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        Server(home=home).start()
    assert home.stat().st_uid == 12345


@only_root
def test_an_account_that_is_not_there_is_named(place: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"'no-such-account'.*PAYRAIL_PG_USER"):
        Server(home=place / "home", account="no-such-account").start()


@only_root
def test_below_a_private_folder_root_keeps_the_data_elsewhere(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    with servers.own(private / "home") as server:
        assert not server.base.is_relative_to(private)
        server.start()
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert stat.S_IMODE(server.base.stat().st_mode) == 0o700
        base = server.base
        server.stop()
        again = replace(server)
        assert again.start()
        assert ask(again, "SELECT answer FROM kept") == 42
    assert not base.exists()


@only_root
def test_the_server_does_not_run_as_root(server: Server) -> None:
    server.start()
    owner = Path(f"/proc/{servers.postmaster(server)}").stat().st_uid
    assert owner == pwd.getpwnam(server.account).pw_uid


@only_root
def test_an_ordinary_user_needs_nothing_of_root(place: Path) -> None:
    """A process that has given up root starts, uses and stops a server of its own."""
    nobody = pwd.getpwnam("nobody")
    home = place / "ordinary"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    steps = (
        "import os, pwd, sys; from pathlib import Path; from pyapp.embedded import Server\n"
        "user = pwd.getpwnam('nobody')\n"
        "os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)\n"
        "server = Server(home=Path(sys.argv[1]), programs=Path(sys.argv[2]))\n"
        "assert server.base == server.home and server.start() and not server.start()\n"
        "assert server.base.stat().st_uid == user.pw_uid\n"
        "server.stop(); assert not server.is_live()\n"
    )
    with servers.own(place / "programs") as other:
        other.start()  # copies PostgreSQL's programs where everybody can run them, if need be
        programs = other.program("postgres").parent
        subprocess.run(
            [sys.executable, "-c", steps, home, programs],
            cwd=ROOT,
            check=True,
            env={**os.environ, "HOME": "/nonexistent"},
        )


def test_programs_that_are_not_there_are_a_clear_error(place: Path) -> None:
    nothing = place / "nothing"
    done = subprocess.run(
        [sys.executable, "-m", "pyapp", "migrate"],
        cwd=ROOT,
        env={**os.environ, "PAYRAIL_HOME": str(place / "home"), "PAYRAIL_PG_BIN": str(nothing)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: PAYRAIL_PG_BIN={nothing} has no PostgreSQL that works: ")
    assert len(done.stderr.splitlines()) == 1
