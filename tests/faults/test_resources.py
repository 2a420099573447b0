"""Room, connections, locks and the right time run out: the answer is 503, and nothing is lost.

All of it is real: a disk that is full, a server without a free connection, a lock that somebody
holds, a session that was forgotten, and processes whose clocks are an hour off.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.web import callbacks
from tests import banks, servers
from tests.conftest import Database, Merchant, new_merchant
from tests.desk import Desk, violations
from tests.faults.test_kills import (
    BUSY,
    CLIENTS,
    COMMANDS,
    RICH,
    Load,
    Services,
    ask,
    progress,
    repeat_all,
    rich_and_poor,
    the_bank_paid_what_is_settled,
    the_money_adds_up,
    under,
    what_was_acknowledged_is_there,
)
from tests.faults.test_sleepers import SLEEPER, events, judge
from tests.web.client import Answer, Client
from tests.workers import until, working

BODY: Final = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}
ROOM: Final = 384  # MiB
REFUSED: Final = CLIENTS  # answers that there is no room
FAKETIME: Final = "libfaketimeMT.so.1"
CLOCKS: Final = pytest.mark.parametrize("offset", ["+3600", "-3600"])
CROWD: Final = 12  # requests at once that wait for a lock

log = logging.getLogger(__name__)


@contextmanager
def serving(server: Server, folder: Path, **more: str) -> Iterator[Services]:
    """Run a bank, the API and a worker over a server that runs; `more` is their environment."""
    with servers.port() as port, ExitStack() as stack:
        url = f"http://127.0.0.1:{port}{callbacks.PATH}/"
        bank = stack.enter_context(banks.bank(SANDBOX_CALLBACK_URL=url))
        services = Services(server, folder, port, bank)
        migrate(services.database.settings, "demo", say=lambda _: None)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in more.items():
                patch.setenv(name, value)
            try:
                for name in COMMANDS:
                    services.start(name)
                until(lambda: is_ready(services.port))
                yield services
            finally:
                for process in services.running.values():
                    process.kill()
                    process.wait()


def is_ready(port: int) -> bool:
    client = Client("127.0.0.1", port)
    try:
        return client.get("//readyz").status == 200
    except OSError:
        return False
    finally:
        client.close()


def insist(client: Client, key: str, body: object = BODY) -> Answer:
    """Ask for a payout, with the same key, until there is one."""

    def answered() -> Answer | None:
        answer = client.create(body, key)
        if answer.status == 201:
            return answer
        is_in_flight(answer)
        return None

    answer = until(answered)
    assert answer
    return answer


def is_unavailable(answer: Answer) -> None:
    """It is the answer that tells to come again, and tells no more."""
    assert (answer.status, answer.code) == (503, "unavailable")
    says_when(answer)


def is_in_flight(answer: Answer) -> None:
    """It is what a request is told whose merchant somebody holds."""
    assert answer.code in {"idempotency_key_in_flight", "unavailable"}
    assert answer.status == {"idempotency_key_in_flight": 409, "unavailable": 503}[answer.code]
    says_when(answer)


def says_when(answer: Answer) -> None:
    assert answer.headers["retry-after"] == "1"
    assert b"Traceback" not in answer.body
    assert answer.json["retryable"]


def is_settled(services: Services, answer: Answer) -> bool:
    query = "SELECT payout_id FROM payrail.payouts WHERE status = 'settled'"
    return answer.json["id"] in {str(row["payout_id"]) for row in ask(services.database, query)}


def in_the_end(services: Services) -> None:
    """Nothing has crashed, and the audit finds nothing."""
    for name in COMMANDS:
        services.end(name, signal.SIGTERM)
    with services.database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}
    for name in COMMANDS:
        lines = (services.folder / f"{name}.log").read_text()
        assert "crash" not in lines
        assert "Traceback" not in lines


# ------------------------------------------------------------------------------------- the disk


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Have a disk there that has little room."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m,mode=755", "tmpfs", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def move(folder: Path, disk: Path) -> None:
    """Move a folder of PostgreSQL's to another disk, as its manual says: with a link."""
    subprocess.run(["cp", "-a", folder, disk / folder.name], check=True)
    shutil.rmtree(folder)
    folder.symlink_to(disk / folder.name)


def fill(disk: Path) -> Path:
    """Take what room is left."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


@pytest.mark.parametrize("full", ["data", "data/pg_wal"])
def test_a_disk_that_is_full_loses_nothing_and_all_goes_on_when_there_is_room(
    tmp_path: Path, full: str
) -> None:
    """Without room for the data PostgreSQL refuses; without room for its WAL it ends.

    Then it has to be started again, as whatever runs it does.
    """
    with servers.folder() as folder, servers.own(folder / "home") as server, ExitStack() as stack:
        server.start()
        server.stop()
        disk = folder / "disk"
        disk.mkdir()
        stack.enter_context(small_disk(disk))
        if full == "data":  # where its WAL has room
            (folder / "wal").mkdir(mode=0o755)
            move(server.base / "data" / "pg_wal", folder / "wal")
        move(server.base / full, disk)
        server.start()
        stack.callback(stop, server)
        services = stack.enter_context(serving(server, tmp_path))
        load = rich_and_poor(services.database, services.port)
        with under(load) as clients:
            progress(load, clients, 100)
            ballast = fill(disk)
            until(lambda: is_refused(load, clients, server, fill(disk)), 120)
            if full != "data":
                until(lambda: not server.is_live())
            ballast.unlink()
            if full != "data":
                server.start()
            progress(load, clients, 100)
        until(lambda: not ask(services.database, BUSY), 180)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda place: repeat_all(load, place), range(CLIENTS)))
        what_was_acknowledged_is_there(services.database, load)
        the_bank_paid_what_is_settled(services)
        the_money_adds_up(services, load)
        in_the_end(services)
        assert "No space left on device" in (server.base / "postgres.log").read_text()
        log.info("%s: answered %s", full, dict(load.statuses))


def is_refused(load: Load, clients: list[Any], server: Server, _: Path) -> bool:
    """Whether many were told that there is no room; a client that has failed tells why."""
    for client in clients:
        if client.done():
            client.result()
    with suppress(psycopg.Error), psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute("SELECT pg_switch_wal()")  # so that it needs another file of it soon
    return load.statuses[503] >= REFUSED


def stop(server: Server) -> None:
    if server.is_live():
        server.stop()


# ------------------------------------------------------------------------------ the connections


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """The API and a worker over a server with few connections, and an audit in the end."""
    with (
        servers.folder() as folder,
        servers.own(folder / "home", "fsync=off", "max_connections=40") as server,
    ):
        server.start()
        with serving(server, tmp_path) as made:
            yield made
            in_the_end(made)


@pytest.fixture
def merchant(services: Services) -> Merchant:
    return new_merchant(services.database, RICH)


@pytest.fixture
def client(services: Services, merchant: Merchant) -> Iterator[Client]:
    client = Client("127.0.0.1", services.port, merchant.secret)
    yield client
    client.close()


@contextmanager
def crowded(server: Server) -> Iterator[None]:
    """Take every connection there is, also those that somebody has."""
    url = server.conninfo("postgres")
    with ExitStack() as stack, psycopg.connect(url, autocommit=True) as first:

        def taken() -> bool:
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(url))
            ended = first.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND datname = 'payrail'"
            )
            return ended.rowcount == 0

        until(taken)
        yield


def test_without_a_free_connection_the_answer_is_503_until_there_is_one(
    services: Services, merchant: Merchant, client: Client
) -> None:
    first = insist(client, "first")
    until(lambda: is_settled(services, first))
    with crowded(services.server):
        with ThreadPoolExecutor() as pool:
            keys = ("second", "second", "third")
            asked = [pool.submit(ask_once, services.port, merchant, key) for key in keys]
            listed = pool.submit(client.get, "/payouts/")
            for one in (*asked, listed):
                is_unavailable(one.result())
        assert client.get("//readyz").status == 503
        assert client.get("//healthz").status == 200
    for key in ("second", "third"):
        made = insist(client, key)
        until(lambda made=made: is_settled(services, made))  # type: ignore[misc]
    again = client.create(BODY, "first")
    assert (again.status, again.body) == (201, first.body)
    assert len(ask(services.database, "SELECT FROM payrail.payouts")) == 3


# ------------------------------------------------------------------------------------ the locks


@contextmanager
def forgotten(database: Database, *statements: str, role: str = "admin") -> Iterator[Any]:
    """Have a session that began a transaction, did something, and says nothing more."""
    with database.connect(role) as session:
        session.execute("BEGIN")
        for statement in statements:
            session.execute(statement.encode())
        yield session


def hold(merchant: Merchant) -> str:
    return f"SELECT FROM merchant.merchants WHERE merchant_id = '{merchant.merchant_id}' FOR UPDATE"


def test_who_waits_for_a_held_lock_is_told_so_while_others_are_served(
    services: Services, merchant: Merchant, client: Client
) -> None:
    other = new_merchant(services.database, RICH)
    with ThreadPoolExecutor(CROWD) as pool:
        with forgotten(services.database, hold(merchant)):
            keys = [f"key-{number}" for number in range(CROWD)]
            asked = [pool.submit(ask_once, services.port, merchant, key) for key in keys]
            served = ask_once(services.port, other, "key-0")
            assert served.status == 201
            until(lambda: is_settled(services, served))
            for one in asked:  # and the lock is held still
                is_in_flight(one.result())
        made = [insist(client, key) for key in keys]
    for key, answer in zip(keys, made, strict=True):
        again = client.create(BODY, key)
        assert (again.body, again.headers["idempotent-replayed"]) == (answer.body, "true")
    mine = f"SELECT FROM payrail.payouts WHERE merchant_id = '{merchant.merchant_id}'"
    assert len(ask(services.database, mine)) == CROWD


def ask_once(port: int, merchant: Merchant, key: str) -> Answer:
    client = Client("127.0.0.1", port, merchant.secret)
    try:
        return client.create(BODY, key)
    finally:
        client.close()


def test_a_session_that_was_forgotten_in_a_transaction_stops_no_payout(
    services: Services, client: Client
) -> None:
    """Neither one that only reads all there is, nor one that has changed another merchant."""
    tables = ask(
        services.database,
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    reads = [f"SELECT FROM {table['name']}" for table in tables]
    other = new_merchant(services.database, RICH)
    with (
        forgotten(
            services.database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", *reads
        ) as reader,
        forgotten(
            services.database,
            f"SELECT payrail.credit_merchant('{other.merchant_id}', 1, 'INR', 'forgotten')",
        ),
    ):
        made = [insist(client, f"key-{number}") for number in range(3)]
        for answer in made:
            until(lambda answer=answer: is_settled(services, answer))  # type: ignore[misc]
        assert reader.execute("SELECT FROM payrail.payouts").rowcount == 0  # it is there still


def test_a_role_of_ours_that_forgets_a_transaction_gives_its_lock_back(
    services: Services, merchant: Merchant, client: Client
) -> None:
    credit = f"SELECT payrail.credit_merchant('{merchant.merchant_id}', 1, 'INR', 'forgotten')"
    with forgotten(services.database, credit, role="payrail_operator") as operator:
        is_in_flight(client.create(BODY, "key"))
        answer = insist(client, "key")
        until(lambda: is_settled(services, answer))
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            operator.execute("COMMIT")
    assert client.balance() == (RICH - 100, 0)  # nothing of it was kept


# ------------------------------------------------------------------------------------ the clock


def clock(file: Path, offset: str) -> dict[str, str]:
    """Return the environment of a process whose clock is off by what the file says, at any time.

    Its steady clock goes on, as a real one does when the time is set.
    """
    found = next(Path("/usr").glob(f"lib*/**/{FAKETIME}"), None)
    if found is None:
        pytest.skip("no libfaketime is here: apt-get install faketime")
    file.write_text(offset)
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@CLOCKS
def test_services_whose_clocks_are_an_hour_off_pay_once_and_never_early(
    tmp_path: Path, offset: str
) -> None:
    off = clock(tmp_path / "offset", offset)
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={**os.environ, **off},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    skew = float(said) - datetime.now(UTC).timestamp()
    assert round(skew / 3600) == int(offset) / 3600
    with servers.folder() as folder, servers.own(folder / "home", "fsync=off") as server:
        server.start()
        with serving(server, tmp_path, **off) as services:
            merchant = new_merchant(services.database, RICH)
            client = Client("127.0.0.1", services.port, merchant.secret)
            soon = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
            later = insist(client, "later", {**BODY, "scheduled_at": soon})
            assert later.json["status"] == "scheduled"
            past = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
            assert client.create({**BODY, "scheduled_at": past}).code == "scheduled_at_invalid"
            made = [insist(client, f"key-{number}") for number in range(20)]
            for answer in made:
                until(lambda answer=answer: is_settled(services, answer))  # type: ignore[misc]
            assert client.get(f"/payouts/{later.json['id']}/").json["status"] == "scheduled"
            client.close()
            orders = services.bank.instructions().values()
            assert Counter(order["executions"] for order in orders) == {1: len(made)}
            rows = ask(services.database, "SELECT attempts FROM payrail.payouts WHERE attempts > 1")
            assert rows == []
            in_the_end(services)


@CLOCKS
def test_who_has_a_payout_in_hand_when_its_clock_jumps_does_not_send_it_late(
    database: Database, tmp_path: Path, offset: str
) -> None:
    """A worker is suspended for longer than its lease, and its clock is set meanwhile."""
    file, first, second = tmp_path / "offset", tmp_path / "first", tmp_path / "second"
    off = clock(file, "+0")
    with banks.bank() as own, Desk(database) as desk:
        env = {**database.env, **own.env}
        payout_id = desk.payout(amount=6000)
        with working({**env, **off}, first, "-c", SLEEPER, "claimed") as sleeper:
            until(lambda: "asleep" in first.read_text())
            file.write_text(offset)
            with working(env, second, "-c", SLEEPER, "awake"):
                until(lambda: desk.see(payout_id)["status"] == "settled")
            os.kill(sleeper.pid, signal.SIGCONT)
            until(lambda: "dispatched" in events(first))
        judge(own, desk, payout_id.hex, 1)
        told = [row["outcome"] for row in desk.table("evidence") if row["attempt"] == 1]
        assert told == ["not_sent"]
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}


def test_a_lease_is_not_over_for_a_worker_whose_clock_is_an_hour_ahead(
    database: Database, tmp_path: Path
) -> None:
    hasty = clock(tmp_path / "offset", "+3600")
    first, second = tmp_path / "first", tmp_path / "second"
    patient = SLEEPER.replace("dispatch.LEASE = timedelta(seconds=2)", "")
    assert patient != SLEEPER
    with banks.bank() as own, Desk(database) as desk:
        env = {**database.env, **own.env}
        claimed = desk.payout(amount=1000)
        with working(env, first, "-c", patient, "claimed") as sleeper:
            until(lambda: "asleep" in first.read_text())
            other = desk.payout(amount=1000)
            with working({**env, **hasty}, second, "-c", patient, "awake"):
                until(lambda: desk.see(other)["status"] == "settled")
            tried = [row["attempt"] for row in desk.table("attempts")]
            assert tried == [1, 1]  # one of each
            os.kill(sleeper.pid, signal.SIGCONT)
            until(lambda: desk.see(claimed)["status"] == "settled")
        assert {order["submissions"] for order in own.instructions().values()} == {1}
        assert {*own.instructions()} == {claimed.hex, other.hex}
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}
