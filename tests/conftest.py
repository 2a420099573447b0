"""A real PostgreSQL server per test process, and a fresh migrated database per test."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from pytest_postgresql import factories
from pytest_postgresql.janitor import DatabaseJanitor

from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import Settings
from tests import banks
from tests.banks import Bank

_MEMORY: Final = Path("/dev/shm")  # noqa: S108
_ROOM: Final = 2**30


def _folder() -> Path:
    """Return where the data goes: memory, if there is room, since the tests don't fsync."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if roomy else Path(tempfile.gettempdir())


_HOME: Final = _folder() / f"payrail-tests-{os.getpid()}"
_SERVER: Final = Server(
    home=_HOME,
    programs=Path(os.environ["PAYRAIL_PG_BIN"]) if "PAYRAIL_PG_BIN" in os.environ else None,
    options=("fsync=off", "max_connections=200", "log_min_messages=fatal"),
)


def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many tests as there are cores: many wait for a process, a lease or a page."""
    return 2 * len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Database:
    """A migrated database of its own."""

    settings: Settings

    def conninfo(self, role: str) -> str:
        return self.settings.conninfo(role)

    def connect(self, role: str, **options: Any) -> psycopg.Connection[DictRow]:
        """Connect as a login role, as "admin", or as payrail_owner (who can't log in)."""
        if role == "payrail_owner":
            options["options"] = f"{options.get('options', '')} -c role=payrail_owner"
            role = "admin"
        return psycopg.connect(
            self.conninfo(role), autocommit=True, row_factory=dict_row, **options
        )

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that works on this database."""
        return {**os.environ, "DATABASE_URL": self.conninfo("admin")}


@dataclass(frozen=True)
class Merchant:
    """A merchant with INR 100.00 available (10000 paise), a bank account and an API key."""

    merchant_id: UUID
    bank_account_id: str
    secret: str


@dataclass(frozen=True)
class Address:
    """Where a server is, as pytest-postgresql asks for it."""

    host: str
    port: int = 5432
    user: str = "postgres"
    password: str | None = None
    options: str = ""
    maintenance_dbname: str = "postgres"
    template_dbname: str = "template1"


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """The server of this test process; nothing on it is durable."""
    _SERVER.start()
    yield Address(str(_SERVER.socket_folder))
    _SERVER.stop()
    shutil.rmtree(_SERVER.home)


def _load(*, host: str, user: str, dbname: str, **_: object) -> None:
    url = psycopg.conninfo.make_conninfo(host=host, user=user, dbname=dbname)
    migrate(Settings(database_url=url), "demo", say=lambda _: None)


template = factories.postgresql_noproc(dbname="tests", load=[_load], depends_on="server")
postgresql = factories.postgresql("template")


@pytest.fixture
def database(postgresql: psycopg.Connection) -> Database:
    """A fresh database."""
    name = postgresql.info.dbname
    postgresql.close()
    return Database(Settings(database_url=_SERVER.conninfo(name)))


@pytest.fixture(scope="module")
def shared_database(template: Any) -> Iterator[Database]:
    """A database that the tests of one module share: each must bring its own merchant.

    With CITUS_DSN it is that one, which has been migrated and distributed (docs/scale-out.md).
    """
    if "CITUS_DSN" in os.environ:
        yield Database(Settings(database_url=os.environ["CITUS_DSN"]))
        return
    name = f"shared_{secrets.token_hex(4)}"
    with DatabaseJanitor(
        user=template.user,
        host=template.host,
        port=template.port,
        dbname=name,
        template_dbname=template.template_dbname,
        maintenance_dbname=template.maintenance_dbname,
    ):
        yield Database(Settings(database_url=_SERVER.conninfo(name)))


@pytest.fixture(scope="session")
def bank() -> Iterator[Bank]:
    """The sandbox bank of this test process; its child processes find it by the environment."""
    with banks.bank() as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.env.items():
            patch.setenv(name, value)
        yield made


def new_merchant(database: Database, paise: int = 10_000, name: str = "Tiny Studio") -> Merchant:
    """Create a merchant through the doors of operators."""
    secret = f"pr_test_{secrets.token_urlsafe(32)}"
    with database.connect("payrail_operator") as operator:
        row = operator.execute("SELECT * FROM payrail.create_merchant(%s)", [name]).fetchone()
        assert row is not None
        merchant_id = row["merchant_id"]
        operator.execute(
            "SELECT * FROM payrail.add_bank_account("
            "%s, 'demo-bank-account', 'Asha Rao', %s, %s, 'sandbox')",
            [merchant_id, "000000000001", "HDFC0000001"],
        )
        operator.execute(
            "SELECT * FROM payrail.create_api_key(%s, %s, %s)",
            [merchant_id, hashlib.sha256(secret.encode()).digest(), secret[:12]],
        )
        if paise:
            operator.execute(
                "SELECT * FROM payrail.credit_merchant(%s, %s, 'INR', 'opening')",
                [merchant_id, paise],
            )
    return Merchant(merchant_id, "demo-bank-account", secret)


@pytest.fixture
def merchant(database: Database) -> Merchant:
    return new_merchant(database)


@contextmanager
def _connected(database: Database, role: str) -> Iterator[psycopg.Connection[DictRow]]:
    with database.connect(role) as connection:
        yield connection


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "admin") as connection:
        yield connection


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "payrail_owner") as connection:
        yield connection


@pytest.fixture
def api(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "payrail_api") as connection:
        yield connection


@pytest.fixture
def worker(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "payrail_worker") as connection:
        yield connection


@pytest.fixture
def operator(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "payrail_operator") as connection:
        yield connection


@pytest.fixture
def auditor(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    with _connected(database, "payrail_auditor") as connection:
        yield connection
