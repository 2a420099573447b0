"""The only supported way to migrate.

One starter at a time, by an advisory lock: roles first, then the migrations that are pending
(Procrastinate's and ours, by yoyo), then all of sql/ in one transaction, always. A broken file in
sql/ leaves the database as it was.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from yoyo import read_migrations
from yoyo.backends import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from pyapp.settings import ROLES, ROOT, Settings

_TRIES: Final = 20  # in a minute at most
# Longer than deadlock_timeout (1 s), when an autovacuum in the way is cancelled; shorter than the
# services' own lock_timeout (2 s), so that a request that waits for a migrate is still served.
_LOCK_TIMEOUT: Final = "1500ms"
_LOST: Final = (errors.DeadlockDetected, errors.LockNotAvailable)


class MigrationError(Exception):
    """A file of migrations/ or sql/ that PostgreSQL refuses; the text names it."""


def migrate(
    settings: Settings,
    environment: str = "live",
    *,
    root: Path = ROOT,
    say: Callable[[str], None] = print,
) -> None:
    """Bring the database up to date. Any number of processes may start it at once.

    `environment`, "demo" or "live", is remembered by the first migrate of a database for ever.
    """
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as guard:
        guard.execute("SET lock_timeout = 0")  # a role's timeouts are for tables, not for its turn
        guard.execute("SET statement_timeout = 0")
        guard.execute("SELECT pg_advisory_lock(hashtextextended('payrail:migrate', 0))")
        _roles(guard, settings, root)
        for schema, folder in (
            ("procrastinate", Path(str(files("procrastinate") / "sql" / "migrations"))),
            ("migrations", root / "migrations"),
        ):
            _patiently(partial(_apply, settings, schema, folder, say))
        _patiently(partial(_load, settings, root, environment))


def _roles(guard: psycopg.Connection, settings: Settings, root: Path) -> None:
    cursor = guard.execute(
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    if cursor.fetchone() != (True,):
        return

    def make() -> None:
        with guard.transaction():
            guard.execute((root / "sql" / "roles.sql").read_bytes())
            for role in ROLES:
                if (password := settings.password(role)) is not None:
                    guard.execute(
                        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                            sql.Identifier(role), sql.Literal(password)
                        )
                    )

    _patiently(make)


def _apply(settings: Settings, schema: str, folder: Path, say: Callable[[str], None]) -> None:
    """Apply the folder's pending migrations as the owner, each in a transaction with its mark."""
    parts = conninfo_to_dict(_as_owner(settings, schema))
    uri = DatabaseURI(
        scheme="postgresql+psycopg",
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        hostname=parts.pop("host", None),
        port=parts.pop("port", None),
        database=parts.pop("dbname", None),
        args=parts,
    )
    backend = PostgresqlPsycopgBackend(uri, "_yoyo_migration")
    with backend:
        backend.init_database()
        backend.break_lock()  # left by a process that was killed: the advisory lock is ours
        found = read_migrations(str(folder)).filter(lambda m: m.path.endswith(".sql"))
        for migration in backend.to_apply(found):
            say(f"migrate  {migration.id}")
            try:
                with backend.transaction():
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration)
            except _LOST:
                raise
            except psycopg.Error as exc:
                message = f"{migration.path}: {exc}"
                raise MigrationError(message) from exc


def _load(settings: Settings, root: Path, environment: str) -> None:
    """Load the files of sql/load.txt in one transaction.

    Every door that moves money locks its merchant first. So does this transaction, all merchants at
    once: it lets those under way finish, and the next ones wait for it and for nothing else.
    Without that the two sides would take the same tables in different orders, and deadlock.
    """
    lines = (root / "sql" / "load.txt").read_text().splitlines()
    with psycopg.connect(_as_owner(settings, "pg_catalog")) as connection:
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute("LOCK TABLE merchant.merchants IN EXCLUSIVE MODE")  # reading goes on
        for name in (line for line in lines if line and not line.startswith("#")):
            try:
                connection.execute((root / "sql" / name).read_bytes())
            except _LOST:
                raise
            except psycopg.Error as exc:
                message = f"sql/{name}: {exc}"
                raise MigrationError(message) from exc
        connection.execute(
            "INSERT INTO merchant.instance (environment) VALUES (%s) ON CONFLICT DO NOTHING",
            [environment],
        )


def _as_owner(settings: Settings, schema: str) -> str:
    admin = settings.conninfo("admin")
    given = conninfo_to_dict(admin).get("options") or ""
    ours = f"-c role=payrail_owner -c search_path={schema} -c lock_timeout={_LOCK_TIMEOUT}"
    return make_conninfo(admin, options=f"{given} {ours}".strip())


def _patiently(step: Callable[[], None]) -> None:
    """Repeat a step that lost to a neighbour: traffic on a table, or another database's migrate."""
    for attempt in range(1, _TRIES + 1):
        try:
            return step()
        except (
            *_LOST,
            errors.DuplicateObject,
            errors.UniqueViolation,
            errors.InternalError_,  # "tuple concurrently updated"
        ):
            if attempt == _TRIES:
                raise
            time.sleep(min(2.0, 0.05 * 2**attempt) * random.uniform(0.5, 1))  # noqa: S311
    return None
