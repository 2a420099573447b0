"""`payrail serve --workers`: several processes at one address are as right as one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import pytest
from psycopg.conninfo import make_conninfo

from pyapp.settings import ROOT
from tests import servers
from tests.conftest import Database, Merchant, new_merchant
from tests.crowd import ROUNDS
from tests.desk import violations
from tests.web.client import Answer, Client
from tests.workers import until

PROCESSES: Final = 3
EACH: Final = 5  # connections to each of them
BODY: Final = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}


@dataclass(frozen=True)
class Service:
    """The processes, and who started them."""

    parent: subprocess.Popen[bytes]
    port: int
    log: Path
    opened: ExitStack

    def processes(self) -> set[int]:
        """Return the ids of those that serve (proc(5))."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it is gone
                if _stat(entry)[1] == str(self.parent.pid):
                    found.add(int(entry.name))
        return found

    @contextmanager
    def only(self, process: int) -> Iterator[None]:
        """Let the others stand still, so that this one takes what comes."""
        others = self.processes() - {process}
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            until(lambda: all(_stat(Path(f"/proc/{other}"))[0] == "T" for other in others))
            yield
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def client(self, merchant: Merchant | None = None) -> Client:
        client = Client("127.0.0.1", self.port, merchant.secret if merchant else None)
        self.opened.callback(client.close)
        return client

    def clients(self, merchant: Merchant) -> dict[int, list[Client]]:
        """Return connections to each process, which are kept."""
        found: dict[int, list[Client]] = {}
        for process in self.processes():
            found[process] = [self.client(merchant) for _ in range(EACH)]
            with self.only(process):
                for client in found[process]:
                    assert client.get("//healthz").status == 200
        assert len(found) == PROCESSES
        return found


def _stat(process: Path) -> list[str]:
    """Return a process' state, its parent, and more."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def is_free(port: int) -> bool:
    """Whether nobody listens."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def is_over(process: int) -> bool:
    """Whether it has ended; nobody may have asked how."""
    try:
        return _stat(Path(f"/proc/{process}"))[0] == "Z"
    except OSError:
        return True


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[Service]:
    log = folder / "log"
    with (
        servers.port() as port,
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", "pyapp", "serve", "--workers", str(PROCESSES)],
            env={
                **os.environ,
                "DATABASE_URL": database_url,
                "PORT": str(port),
                "TMPDIR": str(folder),
            },
            cwd=ROOT,
            stderr=file,
        ) as parent,
        ExitStack() as opened,
    ):
        service = Service(parent, port, log, opened)
        try:
            until(lambda: len(service.processes()) == PROCESSES)
            yield service
        finally:
            parent.kill()
            until(lambda: is_free(port))
    assert "crash" not in log.read_text()


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with serving(database.conninfo("admin"), tmp_path) as service:
        yield service


@pytest.fixture
def merchant(database: Database) -> Iterator[Merchant]:
    """A merchant, and an audit that finds nothing in the end."""
    yield new_merchant(database, 100_000)
    with database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def insist(client: Client, key: str) -> Answer:
    """Ask for a payout, with the same key, until there is an answer."""

    def answered() -> Answer | None:
        with suppress(OSError, HTTPException):  # nobody is there
            answer = client.create(BODY, key)
            if answer.status == 201:
                return answer
            assert answer.code in {"idempotency_key_in_flight", "unavailable"}
        return None

    answer = until(answered)
    assert answer
    return answer


def payouts(database: Database, merchant: Merchant) -> int:
    with database.connect("payrail_auditor") as auditor:
        query = "SELECT FROM payrail.payouts WHERE merchant_id = %s"
        return auditor.execute(query, [merchant.merchant_id]).rowcount


def scrape(client: Client) -> dict[str, float]:
    lines = client.get("//metrics").body.decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    found = {name: float(value) for name, _, value in samples}
    assert len(found) == len(samples)
    return found


def counted(client: Client, name: str, number: int) -> dict[str, float]:
    """Return a scrape that has so many; a request is counted when its answer has been sent."""

    def seen() -> dict[str, float] | None:
        found = scrape(client)
        return found if found.get(name) == number else None

    found = until(seen)
    assert found
    return found


@contextmanager
def page(client: Client) -> Iterator[None]:
    """Have a stream of events open; it is there when it says something."""
    connection = HTTPConnection(client.host, client.port, timeout=60)
    headers = {"Authorization": f"Api-Key {client.key}"}
    connection.request("GET", "/api/v1/events/stream/", headers=headers)
    with connection.getresponse() as response:
        assert response.readline().startswith(b"retry")
        yield
    connection.close()


def test_one_key_is_one_payout_whoever_is_asked(
    service: Service, database: Database, merchant: Merchant
) -> None:
    clients = [one for some in service.clients(merchant).values() for one in some]
    start = threading.Barrier(len(clients))

    def ask(client: Client, key: str) -> Answer:
        start.wait(60)
        return insist(client, key)

    with ThreadPoolExecutor(len(clients)) as pool:
        for number in range(ROUNDS):
            answers = list(pool.map(ask, clients, [f"k{number}"] * len(clients)))
            assert len({answer.body for answer in answers}) == 1
            assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert payouts(database, merchant) == ROUNDS


def test_whoever_is_scraped_tells_what_all_have_counted(
    service: Service, merchant: Merchant
) -> None:
    name = (
        'payrail_http_request_seconds_count{method="GET",route="/api/v1/payouts/{payout_id}",'
        'status="404"}'
    )
    clients = [some[0] for some in service.clients(merchant).values()]
    for number, client in enumerate(clients, 1):
        for _ in range(number):
            assert client.get(f"/payouts/{uuid.uuid4()}/").status == 404
        insist(client, f"k{number}")
    gathered = 'payrail_gathered_requests_count{door="create_payouts"}'
    for client in clients:
        found = counted(client, name, 1 + 2 + 3)
        assert found[gathered] == PROCESSES
        assert found['payrail_open_payouts{status="pending"}'] == PROCESSES
        assert "pid=" not in "".join(found)
    with ExitStack() as stack:
        for process in service.processes():
            with service.only(process):
                stack.enter_context(page(service.client(merchant)))
        for client in clients:
            assert scrape(client)["payrail_live_pages"] == PROCESSES
        victim = service.processes().pop()
        os.kill(victim, signal.SIGKILL)
        client = service.client()
        until(lambda: _pages(client) == PROCESSES - 1)
        assert scrape(client)[name] == 1 + 2 + 3  # what it has counted stays


def _pages(client: Client) -> float | None:
    with suppress(OSError, HTTPException):  # it was connected to the one that was killed
        return scrape(client)["payrail_live_pages"]
    return None


def test_one_that_is_killed_costs_no_payout_and_is_replaced(
    service: Service, database: Database, merchant: Merchant
) -> None:
    clients = [one for some in service.clients(merchant).values() for one in some]
    first = service.processes()
    answers: dict[str, Answer] = {}
    over = threading.Event()

    def ask(client: Client, number: int) -> None:
        for count in itertools.count():
            if over.is_set():
                return
            key = f"{number}-{count}"
            answers[key] = insist(client, key)

    with ThreadPoolExecutor(len(clients)) as pool:
        try:
            asked = [pool.submit(ask, one, number) for number, one in enumerate(clients)]
            until(lambda: len(answers) > 2 * len(clients))
            (victim, *others) = first
            os.kill(victim, signal.SIGKILL)
            enough = len(answers) + 2 * len(clients)
            until(lambda: len(answers) > enough)
        finally:
            over.set()
        for one in asked:
            one.result()
    until(lambda: len(service.processes()) == PROCESSES)
    (new,) = service.processes() - first
    assert {*others} < service.processes()
    with service.only(new):  # it serves
        client = service.client(merchant)
        for key, answer in answers.items():
            again = insist(client, key)
            assert again.body == answer.body
            assert again.headers["idempotent-replayed"] == "true"
    assert payouts(database, merchant) == len(answers)
    (line,) = [line for line in service.log.read_text().splitlines() if "process ended" in line]
    assert (json.loads(line)["pid"], json.loads(line)["status"]) == (victim, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_finish_their_requests_before_they_stop(
    database: Database, merchant: Merchant, tmp_path: Path, number: signal.Signals
) -> None:
    patient = make_conninfo(
        database.conninfo("admin"), options="-c lock_timeout=0 -c statement_timeout=0"
    )
    with (
        serving(patient, tmp_path) as service,
        ThreadPoolExecutor(PROCESSES) as pool,
        database.connect("admin") as admin,
    ):
        clients = [some[0] for some in service.clients(merchant).values()]
        running = service.processes()
        with admin.transaction():
            admin.execute(
                "SELECT FROM merchant.merchants WHERE merchant_id = %s FOR UPDATE",
                [merchant.merchant_id],
            )
            asked = [pool.submit(one.create, BODY) for one in clients]
            with database.connect("admin") as other:
                until(lambda: other.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount == 3)
            service.parent.send_signal(number)
            until(lambda: service.log.read_text().count("Shutting down") == PROCESSES)
            until(lambda: is_free(service.port))
        assert [one.result().status for one in asked] == [201] * PROCESSES
        assert service.parent.wait(60) == 0
        assert all(is_over(process) for process in running)
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]


def test_none_is_left_when_who_started_them_is_killed(service: Service) -> None:
    client = service.client()
    until(lambda: client.get("//readyz").status == 200)
    running = service.processes()
    service.parent.kill()
    until(lambda: all(is_over(process) for process in running))
    assert is_free(service.port)
