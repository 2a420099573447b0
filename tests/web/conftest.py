"""A real server over a real database, and merchants to call it with.

The tests of this folder share both: each brings its own merchants.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow
from pytest_postgresql.janitor import DatabaseJanitor

from pyapp.keys import DEFAULT
from pyapp.settings import Settings
from tests import servers
from tests.conftest import Address, Database, new_merchant
from tests.web.client import Client

Connection = psycopg.Connection[DictRow]
NewClient = Callable[..., Client]


@dataclass(frozen=True)
class Web:
    """A server process, and where its log goes."""

    host: str
    port: int
    log: Path


@pytest.fixture(scope="session")
def database(server: Address, template: Any) -> Iterator[Database]:
    name = f"web_{secrets.token_hex(4)}"
    with DatabaseJanitor(
        user=server.user,
        host=server.host,
        port=server.port,
        dbname=name,
        template_dbname=template.template_dbname,
    ):
        url = psycopg.conninfo.make_conninfo(host=server.host, user=server.user, dbname=name)
        yield Database(Settings(database_url=url))


@pytest.fixture(scope="session")
def web(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    with serving(database.conninfo("admin"), folder, "//readyz") as running:
        yield running
    assert "crash" not in running.log.read_text()


@pytest.fixture(scope="session")
def console(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that serves the operators' console as well."""
    folder = tmp_path_factory.mktemp("console")
    with serving(database.conninfo("admin"), folder, "//readyz", CONSOLE="1") as running:
        yield running
    assert "crash" not in running.log.read_text()


@pytest.fixture(scope="session")
def patient(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server whose calls wait for a lock as long as it takes."""
    options = "-c lock_timeout=0 -c statement_timeout=0"
    url = make_conninfo(database.conninfo("admin"), options=options)
    with serving(url, tmp_path_factory.mktemp("patient"), "//readyz") as running:
        yield running


@contextmanager
def serving(
    database_url: str,
    folder: Path,
    ready: str,
    *,
    stop: signal.Signals = signal.SIGTERM,
    **more: str,
) -> Iterator[Web]:
    """Run a server until the end of the block; it is there when `ready` answers 200."""
    log = folder / "log"
    with (
        servers.port() as port,
        log.open("w") as file,
        start(database_url, port, file, **more) as process,
    ):
        try:
            client = Client("127.0.0.1", port)
            wait_until(lambda: client.get(ready).status == 200)
            client.close()
            yield Web("127.0.0.1", port, log)
        finally:
            process.send_signal(stop)
    assert process.returncode in {0, -signal.SIGTERM}


def start(database_url: str, port: int, errors: IO[str], **more: str) -> subprocess.Popen[str]:
    """Start a server process."""
    run = "from pyapp import settings; from pyapp.web import server; server.run(settings.load())"
    environment = {**os.environ, "DATABASE_URL": database_url, "PORT": str(port), **more}
    return subprocess.Popen([sys.executable, "-c", run], env=environment, stderr=errors, text=True)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; a server that is not there yet does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if holds():
                return
        time.sleep(0.02)
    pytest.fail("it never came true")


@pytest.fixture
def new_client(web: Web, database: Database, operator: Connection) -> Iterator[NewClient]:
    """Make a merchant with money, a bank account and a key, or a key beside another's."""
    clients: list[Client] = []

    def make(
        *,
        balance: int = 1_000_000,
        scopes: Sequence[str] | None = None,
        beside: Client | None = None,
        **options: object,
    ) -> Client:
        if beside is None:
            merchant = new_merchant(database, balance)
            merchant_id, secret = merchant.merchant_id, merchant.secret
        else:
            assert beside.merchant_id
            merchant_id = beside.merchant_id
        if beside or scopes is not None or options:
            secret = f"pr_test_{secrets.token_urlsafe(32)}"
            given = {
                "merchant_id": merchant_id,
                "key_hash": hashlib.sha256(secret.encode()).digest(),
                "prefix": secret[:12],
                "scopes": list(scopes or DEFAULT),
                **options,
            }
            named = ", ".join(f"p_{name} => %({name})s" for name in given)
            operator.execute(f"SELECT payrail.create_api_key({named})".encode(), given)
        clients.append(Client(web.host, web.port, secret, merchant_id))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(new_client: NewClient) -> Client:
    return new_client()


@pytest.fixture
def credit(operator: Connection) -> Callable[[Client, int], None]:
    """Add money to a client's merchant."""

    def add(client: Client, amount: int) -> None:
        operator.execute(
            "SELECT payrail.credit_merchant(p_merchant_id => %s, p_amount => %s,"
            " p_currency => 'INR', p_reference => %s)",
            [client.merchant_id, amount, str(uuid.uuid4())],
        )

    return add


@pytest.fixture
def claim(worker: Connection) -> Callable[[Client], None]:
    """Take a merchant's pending payouts, as a worker does."""

    def take(client: Client) -> None:
        worker.execute("SELECT payrail.claim_payouts(p_merchant_id => %s)", [client.merchant_id])

    return take


@pytest.fixture
def settle(operator: Connection, claim: Callable[[Client], None]) -> Callable[[Client, str], None]:
    """Bring a pending payout to settled."""

    def done(client: Client, payout_id: str) -> None:
        claim(client)
        operator.execute(
            "SELECT payrail.settle_payout(p_merchant_id => %s, p_payout_id => %s, p_utr => 'UTR1')",
            [client.merchant_id, payout_id],
        )

    return done


@pytest.fixture
def fail(worker: Connection, claim: Callable[[Client], None]) -> Callable[[Client, str], None]:
    """Bring a pending payout to failed."""

    def done(client: Client, payout_id: str) -> None:
        claim(client)
        worker.execute(
            "SELECT payrail.record_answers(%s, ARRAY[ROW(%s, 'refused', 'account_closed', NULL,"
            " NULL, NULL, 1)::payrail.bank_answer])",
            [client.merchant_id, payout_id],
        )

    return done


@pytest.fixture
def locked(database: Database) -> Callable[[Client], psycopg.Connection[Any]]:
    """Hold a merchant's lock for as long as the returned connection is open."""

    def hold(client: Client) -> psycopg.Connection[Any]:
        connection = psycopg.connect(database.conninfo("admin"))
        connection.execute(
            "SELECT FROM merchant.merchants WHERE merchant_id = %s FOR UPDATE",
            [client.merchant_id],
        )
        return connection

    return hold


@pytest.fixture
def waiting(admin: Connection) -> Callable[[], int]:
    """How many calls wait for a lock."""
    return lambda: admin.execute("SELECT pid FROM pg_locks WHERE NOT granted").rowcount
