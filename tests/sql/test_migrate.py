from __future__ import annotations

import itertools
import logging
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pyapp.migrate import MigrationError, migrate
from pyapp.settings import ROLES, ROOT, Settings
from tests import servers
from tests.conftest import Address, Database, new_merchant
from tests.desk import ask as api_creates
from tests.desk import violations
from tests.workers import until

log = logging.getLogger(__name__)

LOCK = "hashtextextended('payrail:migrate', 0)"


def quietly(settings: Settings, environment: str = "live", root: Path = ROOT) -> list[str]:
    """Migrate, and return what it said."""
    said: list[str] = []
    migrate(settings, environment, root=root, say=said.append)
    return said


def ask(settings: Settings, query: str, role: str = "admin") -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.conninfo(role), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def run(settings: Settings, query: str) -> None:
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection:
        connection.execute(query.encode())


def definitions(settings: Settings) -> list[tuple[Any, ...]]:
    return ask(settings, "SELECT * FROM audit.current_definitions() ORDER BY 1")


def marks(settings: Settings) -> list[str]:
    """Return the migrations that are marked as applied."""
    tables = ask(
        settings, "SELECT oid::regclass::text FROM pg_class WHERE relname = '_yoyo_migration'"
    )
    return sorted(
        row[0] for (table,) in tables for row in ask(settings, f"SELECT migration_id FROM {table}")
    )


@pytest.fixture
def empty(server: Address) -> Iterator[Settings]:
    """A database with nothing in it."""
    name = f"empty_{secrets.token_hex(4)}"
    url = make_conninfo(host=server.host, user=server.user, dbname=name)
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield Settings(database_url=url)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of sql/ and migrations/ that a test may break."""
    for name in ("sql", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def place() -> Iterator[Path]:
    with servers.folder() as path:
        yield path


def start(settings: Settings) -> subprocess.Popen[str]:
    """Start `payrail migrate` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pyapp", "migrate"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": settings.conninfo("admin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(starters: list[subprocess.Popen[str]]) -> list[str]:
    """Wait for all of them, see that all succeed, and return what they said."""
    said = [starter.communicate()[0] for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * len(starters), said
    return said


def test_of_four_starters_at_once_one_migrates_and_all_succeed(empty: Settings) -> None:
    said = outcome([start(empty) for _ in range(4)])
    applied = marks(empty)
    assert len(applied) == len(set(applied)) > 20
    assert sum(text.count("migrate  ") for text in said) == len(applied)
    assert "__init__" not in applied  # Procrastinate's folder is a Python package too


def test_a_migrate_may_be_killed_between_migrations(empty: Settings, database: Database) -> None:
    """Again and again, after so many lines of what it says; the last one finds its way."""
    dice = random.Random()
    for lines in (0, 1, *(dice.randrange(1, 5) for _ in range(3)), 99):
        with start(empty) as victim:
            assert victim.stdout
            for _ in range(lines):
                if victim.stdout.readline() in {"", "migrate  0002-sandbox\n"}:
                    break
            victim.kill()
    outcome([start(empty)])
    assert marks(empty) == marks(database.settings)
    assert definitions(empty) == definitions(database.settings)


def test_a_migrate_may_be_killed_while_it_loads(database: Database) -> None:
    run(database.settings, "COMMENT ON FUNCTION payrail.create_payout IS 'old'")
    comment = "SELECT obj_description('payrail.create_payout'::regproc)"
    waiting = (
        "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'audit.overdue_work'::regclass"
    )
    with database.connect("admin") as reader, reader.transaction():
        reader.execute("LOCK TABLE audit.overdue_work IN ACCESS SHARE MODE")
        with start(database.settings) as victim:
            until(lambda: ask(database.settings, waiting))
            victim.kill()
    assert ask(database.settings, comment) == [("old",)]
    outcome([start(database.settings)])
    assert ask(database.settings, comment) != [("old",)]


def test_traffic_does_not_deadlock_with_a_migrate(database: Database) -> None:
    """At worst a request has waited for too long, and may be made again."""
    merchants = [new_merchant(database, 10**9) for _ in range(2)]
    refused: Counter[str | None] = Counter()
    created: list[str] = []
    over = threading.Event()

    def create(number: int) -> None:
        with database.connect("payrail_api") as api:
            for count in itertools.count():
                if over.is_set():
                    return
                merchant_id = merchants[number % 2].merchant_id
                try:
                    assert api_creates(api, merchant_id, f"{number}-{count}", 1).status == 201
                    created.append(f"{number}-{count}")
                except psycopg.Error as exc:
                    refused[exc.sqlstate] += 1

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(create, number) for number in range(4)]
        try:
            for _ in range(5):
                enough = len(created) + 8
                assert quietly(database.settings) == []
                until(partial(goes_on, created, enough, clients))
        finally:
            over.set()
        for client in clients:
            client.result()
    log.info("%s created, refused: %s", len(created), dict(refused))
    assert {*refused} <= {"55P03"}
    with database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def goes_on(created: list[str], enough: int, clients: list[Future[None]]) -> bool:
    """Whether so many are created, or a client has failed."""
    return len(created) >= enough or any(client.done() for client in clients)


def test_databases_of_one_new_server_are_migrated_at_once(place: Path) -> None:
    """Roles belong to the server: both migrates want to make the same ones."""
    with servers.own(place / "home", "fsync=off") as server:
        server.start()
        both = [Settings(database_url=server.conninfo(name)) for name in ("payrail", "payrail_two")]
        run(both[0], "CREATE DATABASE payrail_two")
        outcome([start(settings) for settings in both * 2])
        for settings in both:
            assert ask(settings, "SELECT environment FROM payrail.instance") == [("live",)]


def test_a_repeat_changes_nothing_and_says_nothing(database: Database) -> None:
    settings = database.settings
    before = definitions(settings), marks(settings)
    assert quietly(settings) == []
    assert (definitions(settings), marks(settings)) == before


def test_the_first_migrate_says_what_the_installation_is(empty: Settings) -> None:
    quietly(empty, "live")
    quietly(empty, "demo")
    assert ask(empty, "SELECT environment FROM payrail.instance") == [("live",)]


def test_a_broken_function_leaves_the_old_ones_and_is_named(
    database: Database, project: Path
) -> None:
    before = definitions(database.settings)
    first = project / "sql" / "merchant" / "lock_merchant.sql"
    first.write_text(first.read_text() + "\nCOMMENT ON SCHEMA merchant IS 'half-loaded';\n")
    (project / "sql" / "payrail" / "me_json.sql").write_text("CREATE FUNCTION oops")
    with pytest.raises(MigrationError, match=r"sql/payrail/me_json\.sql: syntax error"):
        quietly(database.settings, root=project)
    assert definitions(database.settings) == before
    comment = "SELECT obj_description('merchant'::regnamespace)"
    assert ask(database.settings, comment) != [("half-loaded",)]


def test_a_broken_migration_leaves_neither_half_of_it_nor_its_mark(
    database: Database, project: Path
) -> None:
    broken = project / "migrations" / "9999-broken.sql"
    broken.write_text("CREATE TABLE merchant.half (a int);\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationError, match=r"9999-broken\.sql: division by zero"):
        quietly(database.settings, root=project)
    assert ask(database.settings, "SELECT to_regclass('merchant.half')") == [(None,)]
    assert "9999-broken" not in marks(database.settings)

    broken.write_text("CREATE TABLE merchant.half (a int);\n")
    assert quietly(database.settings, root=project) == ["migrate  9999-broken"]
    assert ask(database.settings, "SELECT to_regclass('merchant.half')::text") == [
        ("merchant.half",)
    ]


def test_a_lock_that_a_killed_migrate_left_behind_stops_nobody(database: Database) -> None:
    run(
        database.settings,
        "INSERT INTO migrations.yoyo_lock (locked, ctime, pid) VALUES (1, now(), 999999)",
    )
    assert quietly(database.settings) == []
    assert ask(database.settings, "SELECT count(*) FROM migrations.yoyo_lock") == [(0,)]


def test_the_migrator_migrates_without_an_administrator(database: Database, project: Path) -> None:
    url = make_conninfo(database.conninfo("admin"), user="payrail_migrator")
    (project / "migrations" / "9999-more.sql").write_text("CREATE TABLE merchant.more (a int);\n")
    migrator = Settings(database_url=url)
    assert quietly(migrator, root=project) == ["migrate  9999-more"]
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'more'"
    assert ask(database.settings, owner) == [("payrail_owner",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):  # it inherits nothing
        ask(migrator, "SELECT * FROM merchant.more")


def test_a_migrator_waits_for_its_turn_however_long_it_takes(database: Database) -> None:
    """lock_timeout is for locks on tables; the turn may take as long as a long migration."""
    name = psycopg.conninfo.conninfo_to_dict(database.conninfo("admin"))["dbname"]
    timeouts = "lock_timeout = '20ms'", "statement_timeout = '1s'"
    for timeout in timeouts:
        run(database.settings, f"ALTER ROLE payrail_migrator IN DATABASE {name} SET {timeout}")
    url = make_conninfo(database.conninfo("admin"), user="payrail_migrator")
    waiting = (
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND waitstart < clock_timestamp() - interval '200 ms'"
    )
    with database.connect("admin") as other, ThreadPoolExecutor(1) as pool:
        other.execute(f"SELECT pg_advisory_lock({LOCK})".encode())
        turn = pool.submit(quietly, Settings(database_url=url))
        while not other.execute(waiting.encode()).fetchall():
            assert not wait([turn], timeout=0.02).done, turn.exception()
        other.execute(f"SELECT pg_advisory_unlock({LOCK})".encode())
        assert turn.result() == []


def test_an_administrator_need_not_be_a_superuser(place: Path) -> None:
    """As with a hosted PostgreSQL: may create roles, and owns the database."""
    with servers.own(place / "home", "fsync=off") as server:
        server.start()
        superuser = Settings(database_url=server.conninfo())
        run(superuser, "CREATE ROLE hosted LOGIN CREATEROLE")
        run(superuser, "ALTER DATABASE payrail OWNER TO hosted")
        hosted = Settings(database_url=make_conninfo(server.conninfo(), user="hosted"))
        assert quietly(hosted) != []
        assert quietly(hosted) == []
        for role in ROLES[:4]:
            assert ask(hosted, "SELECT current_user::text", role) == [(role,)]


def test_services_log_in_with_derived_or_given_passwords(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TCP: only DATABASE_URL's password is known, the roles' own follow from it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    monkeypatch.setenv("PGPORT", port)  # which its socket is named after, too
    place.joinpath("hba").write_text(
        "local postgres postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    options = ("fsync=off", f"hba_file={place / 'hba'}", "listen_addresses=127.0.0.1")
    with servers.own(place / "home", *options, f"port={port}") as server:
        server.start()
        with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
            connection.execute("ALTER ROLE postgres PASSWORD 'p@ss/word %'")
        url = "postgresql://postgres:p%40ss%2Fword%20%25@127.0.0.1/payrail"
        settings = Settings(database_url=url, passwords={"payrail_worker": "its own: @/%"})
        quietly(settings)
        for role in ROLES:
            assert ask(settings, "SELECT system_user", role) == [(f"scram-sha-256:{role}",)]

        only_its_own = Settings(
            database_url="postgresql://127.0.0.1/payrail",
            passwords={"payrail_worker": "its own: @/%"},
        )
        assert ask(only_its_own, "SELECT 1", "payrail_worker") == [(1,)]
        derived = replace(settings, passwords={})
        assert ask(derived, "SELECT 1", "payrail_api") == [(1,)]
        for wrong, role in (
            (derived, "payrail_worker"),  # the one that was given counts
            (replace(settings, passwords={"payrail_api": "guess"}), "payrail_api"),
            (only_its_own, "payrail_api"),
        ):
            with pytest.raises(psycopg.OperationalError, match="password"):
                ask(wrong, "SELECT 1", role)


@pytest.mark.parametrize("role", ROLES)
def test_sessions_are_bounded(database: Database, role: str) -> None:
    names = (
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "jit",
        "TimeZone",
    )
    found = {name: ask(database.settings, f"SHOW {name}", role)[0][0] for name in names}
    service = {"statement_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}
    patient = {
        "payrail_auditor": {
            "statement_timeout": "10min",
            "idle_in_transaction_session_timeout": "10min",
        },
        "payrail_migrator": {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"},
    }
    expected = {"lock_timeout": "2s", "jit": "off", "TimeZone": "UTC"}
    assert found == expected | patient.get(role, service)


def test_a_stranger_can_neither_connect_nor_create(empty: Settings) -> None:
    """In a database that was migrated itself: a copy does not inherit who may connect."""
    quietly(empty)
    name = f"stranger_{secrets.token_hex(4)}"
    run(empty, f"CREATE ROLE {name} LOGIN")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(make_conninfo(empty.conninfo("admin"), user=name)).close()
    finally:
        run(empty, f"DROP ROLE {name}")
    for role in ROLES:
        for thing in ("TABLE public.mine ()", "TEMP TABLE mine ()", "SCHEMA mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ask(empty, f"CREATE {thing}", role)


def test_what_the_owner_creates_nobody_else_may_execute(database: Database) -> None:
    with database.connect("payrail_owner") as owner:
        owner.execute("CREATE FUNCTION payrail.new() RETURNS int RETURN 1")
    with (
        database.connect("payrail_api") as api,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        api.execute("SELECT payrail.new()")


PROCRASTINATE = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default,
            is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'procrastinate'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'procrastinate'::regnamespace""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'procrastinate'",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'procrastinate'::regnamespace AND NOT t.tgisinternal""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p
        WHERE p.pronamespace = 'procrastinate'::regnamespace""",
    "types": """
        SELECT t.typname, e.enumlabel FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
        WHERE t.typnamespace = 'procrastinate'::regnamespace ORDER BY t.typname, e.enumsortorder""",
    "attributes": """
        SELECT c.relname, a.attname, a.atttypid::regtype::text FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relkind = 'c' AND c.relnamespace = 'procrastinate'::regnamespace
        ORDER BY c.relname, a.attnum""",
}


def test_procrastinates_migrations_give_procrastinates_schema(
    database: Database, empty: Settings
) -> None:
    schema = (files("procrastinate") / "sql" / "schema.sql").read_text()
    run(empty, "CREATE SCHEMA procrastinate")
    run(empty, f"SET search_path = procrastinate;\n{schema}")
    for kind, query in PROCRASTINATE.items():
        migrated, fresh = (
            [row for row in ask(settings, query) if "yoyo" not in str(row[0])]
            for settings in (database.settings, empty)
        )
        if kind not in {"types", "attributes"}:  # where the order matters
            migrated, fresh = sorted(migrated, key=str), sorted(fresh, key=str)
        assert fresh, kind
        assert migrated == fresh, kind
