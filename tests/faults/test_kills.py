"""kill -9 of anything, at any moment, under load: nothing lost, nothing twice, nothing stuck.

`KILLS=20 pytest tests/faults/test_kills.py --log-cli-level=INFO` is the long run, and tells what it
did; SEED chooses another one, and LEASE=30 gives the worker its real patience.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import ROOT, Settings
from pyapp.web import callbacks
from tests import banks, servers
from tests.banks import Bank
from tests.conftest import Database, Merchant, new_merchant
from tests.desk import violations
from tests.web.client import Answer, Client
from tests.workers import until

KILLS: Final = int(os.environ.get("KILLS", "6"))
SEED: Final = os.environ.get("SEED", "1")
LEASE: Final = os.environ.get("LEASE", "5")  # seconds; nobody wants to wait for 30
CLIENTS: Final = 6
RICH, POOR = 1_000_000_00, 50_00

WORKER: Final = """
import sys
from datetime import timedelta
from pyapp import settings
from pyapp.jobs import app, dispatch
dispatch.LEASE = timedelta(seconds=float(sys.argv[1]))
app.run(settings.load())
"""
# A killed backend takes all its neighbours with it: PostgreSQL ends them and recovers by itself.
VICTIMS: Final = ("api", "worker", "postmaster", "backend", "bank")
COMMANDS: Final = {
    "api": ("-m", "pyapp", "serve"),
    "worker": ("-c", WORKER, LEASE),
}
# by the endings of the sandbox's test numbers: the lively mix, paid, slow, refused, and both again
# with an answer that gets lost
ACCOUNTS: Final = ("0000", "0001", "0002", "0101", "0301", "0302")
WEIGHTS: Final = (30, 30, 10, 20, 1, 1)  # a lost answer is lost to all that were in the call
BUSY: Final = "SELECT FROM payrail.payouts WHERE status IN ('pending', 'processing') LIMIT 1"
OPEN: Final = (
    "SELECT count(*), status, attempts, bank_account_id, unknown_reason,"
    " min(next_action_at - now())::text AS due_in, max(updated_at)::text AS changed"
    " FROM payrail.payouts WHERE status IN ('pending', 'processing') GROUP BY 2, 3, 4, 5 LIMIT 20"
)

log = logging.getLogger(__name__)


@dataclass
class Services:
    """The API and a worker over a durable server, all of which may be killed."""

    server: Server
    folder: Path
    port: int
    bank: Bank
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return Database(Settings(database_url=self.server.conninfo()))

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("a") as file:
            self.running[name] = subprocess.Popen(
                [sys.executable, *COMMANDS[name]],
                env={**self.database.env, **self.bank.env, "PORT": str(self.port)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=file,
            )

    def kill(self, victim: str) -> None:
        """Kill it, and start it again."""
        if victim == "postmaster":
            servers.kill(self.server)
            self.server.start()
        elif victim == "bank":
            self.bank.kill()
            self.bank.start()
        elif victim == "backend":
            until(self._kill_backend)
        else:
            self.end(victim, signal.SIGKILL)
            self.start(victim)

    def end(self, name: str, number: signal.Signals) -> None:
        process = self.running.pop(name)
        assert process.poll() is None, f"the {name} ended by itself"
        process.send_signal(number)
        assert process.wait(60) in {0, -number}

    def _kill_backend(self) -> bool:
        """Kill one that serves a client, if the server answers and it is still there."""
        query = (
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        with (
            contextlib.suppress(psycopg.OperationalError, ProcessLookupError),
            self.database.connect("admin") as admin,
        ):
            for row in admin.execute(query.encode()).fetchall():
                os.kill(row["pid"], signal.SIGKILL)
                return True
        return False


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with (
        servers.port() as port,
        servers.folder() as folder,
        servers.own(folder / "home") as server,
        banks.bank(SANDBOX_CALLBACK_URL=f"http://127.0.0.1:{port}{callbacks.PATH}/") as bank,
    ):
        server.start()
        services = Services(server, tmp_path, port, bank)
        migrate(services.database.settings, "demo", say=lambda _: None)
        try:
            for name in COMMANDS:
                services.start(name)
            yield services
        finally:
            for process in services.running.values():
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Acknowledged:
    """A request, and the answer that its client got."""

    merchant: Merchant
    key: str
    request: bytes
    status: int
    body: bytes

    @property
    def payout_id(self) -> UUID:
        return UUID(json.loads(self.body)["id"])


@dataclass
class Load:
    """Clients that create payouts, each again and again until it is answered."""

    port: int
    merchants: list[Merchant]
    acknowledged: list[Acknowledged] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def client(self, number: int) -> None:
        """Create payouts until the load is over; sometimes repeat an old request."""
        dice = random.Random(f"{SEED}-{number}")
        clients = {
            merchant.secret: Client("127.0.0.1", self.port, merchant.secret)
            for merchant in self.merchants
        }
        for count in itertools.count():
            if self.over.is_set():
                break
            if self.acknowledged and dice.random() < 0.2:
                old = dice.choice(self.acknowledged)
                self.repeat(clients[old.merchant.secret], old)
                continue
            merchant = dice.choice(self.merchants)
            key = f"{number}-{count}"
            request = {
                "amount_paise": dice.randrange(1, 20_00),
                "bank_account_id": f"account-{dice.choices(ACCOUNTS, WEIGHTS)[0]}",
                "reference": key,
            }
            raw = json.dumps(request).encode()
            answer = self.insist(clients[merchant.secret], raw, key)
            self.acknowledged.append(Acknowledged(merchant, key, raw, answer.status, answer.body))
        for client in clients.values():
            client.close()

    def insist(self, client: Client, request: bytes, key: str) -> Answer:
        """Send a request, with the same key, until it is answered."""

        def answered() -> Answer | None:
            try:
                answer = client.create(request, key)
            except (OSError, http.client.HTTPException):  # nobody is there
                return None
            self.statuses[answer.status] += 1
            if answer.status in {409, 429, 503}:
                assert answer.headers["retry-after"]
                assert answer.code in {"idempotency_key_in_flight", "rate_limited", "unavailable"}
                return None
            assert answer.status in {201, 422}, answer
            if answer.status == 422:
                assert answer.code == "insufficient_funds"
            return answer

        answer = until(answered, 60)
        assert answer
        return answer

    def repeat(self, client: Client, old: Acknowledged) -> None:
        """Send an answered request again: it is answered as before, byte for byte."""
        answer = self.insist(client, old.request, old.key)
        assert (answer.status, answer.body) == (old.status, old.body)
        assert answer.headers["idempotent-replayed"] == "true"


def rich_and_poor(database: Database, port: int) -> Load:
    """Make merchants with an account of each kind, and clients for them."""
    merchants = [new_merchant(database, paise) for paise in (RICH, RICH, POOR)]
    open_accounts(database, merchants)
    return Load(port, merchants)


def open_accounts(database: Database, merchants: Sequence[Merchant]) -> None:
    with database.connect("payrail_operator") as operator:
        for merchant in merchants:
            for ending in ACCOUNTS:
                operator.execute(
                    "SELECT payrail.add_bank_account(%s, %s, 'Asha Rao', %s, 'HDFC0000001')",
                    [merchant.merchant_id, f"account-{ending}", f"50100000{ending}"],
                )


@contextmanager
def under(load: Load) -> Iterator[list[Future[None]]]:
    """Let clients create payouts meanwhile; one that has failed tells why."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.client, number) for number in range(CLIENTS)]
        try:
            yield clients
        finally:
            load.over.set()
        for client in clients:
            client.result()


@pytest.fixture
def load(services: Services) -> Load:
    return rich_and_poor(services.database, services.port)


def test_kills_at_any_moment_lose_nothing_and_do_nothing_twice(
    services: Services, load: Load, record_property: Callable[[str, object], None]
) -> None:
    killed = chaos(services, load)
    try:
        # whom each kill has hit is asked about after ten minutes at most, and a quarter
        until(lambda: not ask(services.database, BUSY), 800)
    except AssertionError:
        pytest.fail(f"still open: {ask(services.database, OPEN)}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda place: repeat_all(load, place), range(CLIENTS)))
    for name in COMMANDS:
        services.end(name, signal.SIGTERM)

    what_was_acknowledged_is_there(services.database, load)
    the_bank_paid_what_is_settled(services)
    the_money_adds_up(services, load)
    with services.database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}
    assert "crash" not in (services.folder / "api.log").read_text()
    record_property("kills", killed.total())
    record_property("requests", len(load.acknowledged))
    log.info("killed %s, answered %s", dict(killed), dict(load.statuses))


def chaos(services: Services, load: Load) -> Counter[str]:
    """Kill something again and again under load; return how often what was killed."""
    dice = random.Random(SEED)
    rounds = -(-KILLS // len(VICTIMS))
    victims = [victim for _ in range(rounds) for victim in dice.sample(VICTIMS, len(VICTIMS))]
    killed: Counter[str] = Counter()
    with under(load) as clients:
        for victim in victims[:KILLS]:
            progress(load, clients, dice.randrange(1, 80))
            load.over.wait(dice.uniform(0, 0.05))  # not always right after an answer
            services.kill(victim)
            killed[victim] += 1
        progress(load, clients, 20)
    return killed


def progress(load: Load, clients: list[Future[None]], answers: int) -> None:
    """Wait until so many more requests are answered; a client that has failed tells why."""
    enough = len(load.acknowledged) + answers

    def seen() -> bool:
        for client in clients:
            if client.done():
                client.result()
        return len(load.acknowledged) >= enough

    until(seen, 90)


def repeat_all(load: Load, place: int) -> None:
    """Repeat one client's share of all requests."""
    for merchant in load.merchants:
        client = Client("127.0.0.1", load.port, merchant.secret)
        for old in load.acknowledged[place::CLIENTS]:
            if old.merchant == merchant:
                load.repeat(client, old)
        client.close()


def ask(database: Database, query: str) -> list[Any]:
    with database.connect("admin") as admin:
        return admin.execute(query.encode()).fetchall()


def what_was_acknowledged_is_there(database: Database, load: Load) -> None:
    """Every key has one answer, every accepted one its one payout, and there are no others."""
    keys = ask(database, "SELECT merchant_id, idempotency_key FROM payout.idempotency_keys")
    assert sorted((row["merchant_id"], row["idempotency_key"]) for row in keys) == sorted(
        (old.merchant.merchant_id, old.key) for old in load.acknowledged
    )
    payouts = ask(
        database,
        "SELECT payout_id, merchant_id, reference, amount, bank_account_id FROM payrail.payouts",
    )
    accepted = {old.payout_id: old for old in load.acknowledged if old.status == 201}
    assert {row["payout_id"] for row in payouts} == set(accepted)
    assert len(payouts) == len(accepted) == sum(old.status == 201 for old in load.acknowledged)
    for row in payouts:
        old = accepted[row["payout_id"]]
        assert (row["merchant_id"], row["reference"]) == (old.merchant.merchant_id, old.key)
        request = json.loads(old.request)
        assert row["amount"] == request["amount_paise"]
        assert row["bank_account_id"] == request["bank_account_id"]


def the_bank_paid_what_is_settled(services: Services) -> None:
    """The bank's own books, a row per instruction it executed, say what ours say."""
    ours = ask(
        services.database,
        "SELECT rail_ref, amount, currency, utr, failure_code, status FROM payrail.payouts",
    )
    theirs = services.bank.instructions()
    assert set(theirs) == {row["rail_ref"] for row in ours}
    for row in ours:
        order = theirs[row["rail_ref"]]
        executions = {"settled": 1, "failed": 0}[row["status"]]
        assert (order["amount"], order["utr"], order["executions"]) == (
            row["amount"],
            row["utr"],
            executions,
        )
    said = ask(
        services.database, "SELECT DISTINCT effect FROM rail.evidence WHERE effect <> 'noted'"
    )
    assert said == [{"effect": "applied"}]
    log.info("%s payouts: %s", len(ours), dict(Counter(row["status"] for row in ours)))


def the_money_adds_up(services: Services, load: Load) -> None:
    """Nothing is held, nothing is due, and what is gone is what was settled."""
    assert (
        ask(services.database, "SELECT FROM payout.payouts WHERE next_action_at IS NOT NULL") == []
    )
    balances = ask(
        services.database,
        "SELECT merchant_id, held, available + (SELECT coalesce(sum(p.amount), 0)"
        " FROM payrail.payouts p WHERE p.merchant_id = b.merchant_id AND p.status = 'settled')"
        " AS opening FROM payrail.balances b",
    )
    assert {row["merchant_id"]: (row["held"], row["opening"]) for row in balances} == {
        merchant.merchant_id: (0, paise)
        for merchant, paise in zip(load.merchants, (RICH, RICH, POOR), strict=True)
    }
