from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pyapp.demo import DemoError, _free_port
from pyapp.embedded import Server
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.conftest import Database
from tests.workers import until

TINY = "api-key-tiny-studio"
BODY = '{"amount_paise":6000,"bank_account_id":"demo-bank-account"}'


@dataclass
class Demo:
    """A `make demo` that has printed its summary."""

    process: subprocess.Popen[str]
    printed: str
    address: str = field(init=False)

    def __post_init__(self) -> None:
        found = re.search(r"http://([0-9.]+:\d+)/api/v1/", self.printed)
        assert found, self.printed
        self.address = found[1]

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send one request as Tiny Studio; return the status and the body."""
        connection = HTTPConnection(self.address, timeout=60)
        given = {"Authorization": f"Api-Key {TINY}", "Content-Type": "application/json"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given | names)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def get(self, path: str) -> Any:
        status, body = self.request("GET", path)
        assert status == 200
        return msgspec.json.decode(body)

    def pay(self, key: str) -> tuple[int, bytes]:
        return self.request("POST", "/api/v1/payouts/", BODY, Idempotency_Key=key)

    def ended(self) -> bool:
        """Whether the bank has given its final answer to the only payout."""
        (only,) = self.get("/api/v1/payouts/")["data"]
        return only["status"] in {"settled", "failed"}

    def children(self) -> dict[str, int]:
        """Return the ids of the processes that it has started, by what they are."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_text().split("\0")
            except (OSError, IndexError):  # it is gone
                continue
            if parent == self.process.pid:
                (name,) = {"sandbox-bank", "serve", "work"}.intersection(words)
                found[name] = int(entry.name)
        return found

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the status and the rest of what was printed.

        Its children print to the same pipe, so this waits until they are gone too.
        """
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@dataclass
class Place:
    """A folder for a demo's data, a port, and the demos that were started on them."""

    server: Server
    port: int
    demos: list[Demo] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        programs = {"PAYRAIL_PG_BIN": str(self.server.programs)} if self.server.programs else {}
        home, port = str(self.server.home), str(self.port)
        return {**os.environ, "PAYRAIL_HOME": home, "PORT": port, **programs}

    def start(self, **env: str) -> Demo:
        process = subprocess.Popen(
            [sys.executable, "-m", "pyapp", "demo"],
            env={**self.env, **env},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        demo = Demo(process, printed)
        self.demos.append(demo)
        return demo

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command to its end; return its status and what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "pyapp", *arguments],
            env={**self.env, **(env or {})},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def place() -> Iterator[Place]:
    with (
        servers.port() as port,
        servers.folder() as folder,
        servers.own(folder / "home") as server,
    ):
        place = Place(server, port)
        try:
            yield place
        finally:
            for demo in place.demos:
                if demo.process.poll() is None:
                    demo.end(signal.SIGKILL)
                assert demo.process.stdout
                demo.process.stdout.close()


def command(demo: Demo, name: str) -> list[str]:
    """Return a printed command that is to be pasted."""
    (line,) = [
        line for line in demo.printed.splitlines() if re.match(rf"  (env \S+ )?\S*{name} ", line)
    ]
    return shlex.split(line)


def test_the_demo_pays_once_and_stops_without_a_trace(place: Place) -> None:
    demo = place.start()
    assert demo.printed.isascii()
    assert "\033" not in demo.printed
    for name, key, money in (
        ("Acme Agency", "api-key-acme-agency", "INR 10,000.00"),
        ("Freelancer Fiaz", "api-key-freelancer-fiaz", "INR 5,000.00"),
        ("Tiny Studio", TINY, "INR 100.00"),
    ):
        assert re.search(rf"{name} +{key} +{money} +INR 0.00\n", demo.printed)

    curl = command(demo, "curl")
    assert curl[:4] == ["curl", "-s", "-X", "POST"]
    url, headers, body = curl[4], curl[5:-2], curl[-1]
    assert set(headers[::2]) == {"-H"}
    given = dict(header.split(": ") for header in headers[1::2])
    assert (given.pop("Authorization"), body) == (f"Api-Key {TINY}", BODY)
    first = demo.request("POST", urlsplit(url).path, body, **given)
    assert first[0] == 201
    assert demo.request("POST", urlsplit(url).path, body, **given) == first
    (only,) = demo.get("/api/v1/payouts/")["data"]
    assert only["id"] == msgspec.json.decode(first[1])["id"]

    (password,) = re.findall(r"^  password  (\S+)$", demo.printed, re.MULTILINE)
    for given_password, status in ((password, 303), (password[1:], 403)):
        form = f"name=demo&password={given_password}"
        assert demo.request("POST", "/ops/sign-in", form)[0] == status

    if shutil.which(command(demo, "payrail")[-4]):
        done = subprocess.run(
            command(demo, "payrail"), cwd="/", capture_output=True, text=True, check=False
        )
        assert "500000" in done.stdout, done.stderr

    code, rest = demo.end(signal.SIGINT)
    assert code == 0
    assert rest.endswith("PayRail has stopped. Its data stays: make demo goes on where it was.\n")
    assert not place.server.is_live()


def test_one_of_two_simultaneous_payouts_gets_the_money(place: Place) -> None:
    demo = place.start()
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(demo.pay, [str(uuid.uuid4()), str(uuid.uuid4())]))
    assert sorted(status for status, _ in answers) == [201, 422]
    (refusal,) = [msgspec.json.decode(body) for status, body in answers if status == 422]
    assert refusal["code"] == "insufficient_funds"
    assert demo.end(signal.SIGTERM)[0] == 0


def test_money_and_payouts_survive_the_end_of_everything(place: Place) -> None:
    demo = place.start()
    first = demo.pay("before")
    parts = demo.children()
    assert set(parts) == {"sandbox-bank", "serve", "work"}
    demo.process.send_signal(signal.SIGSTOP)  # it would stop the rest in order
    for victim in (*parts.values(), servers.postmaster(place.server), demo.process.pid):
        os.kill(victim, signal.SIGKILL)
    demo.process.communicate(timeout=60)

    again = place.start()
    assert again.pay("before") == first
    (only,) = again.get("/api/v1/payouts/")["data"]
    assert only["id"] == msgspec.json.decode(first[1])["id"]
    assert place.run("audit")[0] == 0
    assert again.end(signal.SIGINT)[0] == 0
    assert not place.server.is_live()


def test_nothing_is_left_when_the_parent_alone_is_killed(place: Place) -> None:
    demo = place.start()
    demo.end(signal.SIGKILL)  # waits for the API and the worker, which notice it
    again = place.start()
    assert again.get("/api/v1/me/")["available_paise"] == 10_000
    assert again.end(signal.SIGINT)[0] == 0
    assert not place.server.is_live()


@pytest.mark.parametrize(
    ("part", "name"), [("sandbox-bank", "sandbox bank"), ("serve", "API"), ("work", "worker")]
)
def test_a_part_that_ends_by_itself_ends_the_demo(place: Place, part: str, name: str) -> None:
    demo = place.start()
    os.kill(demo.children()[part], signal.SIGKILL)
    rest, _ = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 1
    assert rest.endswith(f"error: the {name} ended unexpectedly: all is stopped\n")
    assert not place.server.is_live()


def test_a_taken_port_is_a_clear_error(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert place.run("demo", env={"PORT": str(port)}) == (
            1,
            f"error: port {port} is taken: try PORT={port + 1} make demo\n",
        )
    assert not place.server.home.exists()


@pytest.mark.parametrize(
    ("port", "other"), [(65534, 65535), (65535, 65534)], ids=["not the last", "the last"]
)
def test_the_port_that_is_suggested_exists(
    monkeypatch: pytest.MonkeyPatch, port: int, other: int
) -> None:
    def taken(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socket, "create_server", taken)
    with pytest.raises(DemoError, match=f"port {port} is taken: try PORT={other} make demo"):
        _free_port(Settings(port=port))


def test_an_address_that_is_not_ours_is_a_clear_error(place: Place) -> None:
    code, said = place.run("demo", env={"HOST": "192.0.2.1"})  # RFC 5737
    assert code == 1
    assert said.startswith(f"error: can't listen on 192.0.2.1:{place.port}: Cannot assign")
    assert said.count("\n") == 1
    assert not place.server.home.exists()


def test_reset_data_restores_the_first_state(place: Place) -> None:
    demo = place.start(RESET_DATA="1")  # also where there is nothing yet
    assert demo.pay("1")[0] == 201
    assert place.run("merchant", "create", "Somebody")[0] == 0
    demo.end(signal.SIGINT)

    again = place.start(RESET_DATA="1")
    assert again.get("/api/v1/payouts/")["data"] == []
    assert again.get("/api/v1/me/")["available_paise"] == 10_000
    assert "Somebody" not in place.run("merchant", "list")[1]
    assert again.pay("1")[0] == 201
    assert again.end(signal.SIGINT)[0] == 0


def test_a_reset_under_a_running_demo_is_noticed_by_nobody(place: Place) -> None:
    demo = place.start()
    demo.pay("1")
    until(demo.ended)
    assert place.run("reset")[0] == 0
    assert demo.get("/api/v1/me/")["available_paise"] == 10_000
    assert demo.pay("1")[0] == 201
    until(demo.ended)
    assert demo.end(signal.SIGINT)[0] == 0


def test_who_may_not_end_connections_is_told_what_to_restart(place: Place) -> None:
    place.server.start()
    with psycopg.connect(place.server.conninfo("postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE boss LOGIN CREATEROLE")
        admin.execute("CREATE DATABASE theirs OWNER boss")
    url = make_conninfo(place.server.conninfo("theirs"), user="boss")
    assert place.run("migrate", "--environment", "demo", env={"DATABASE_URL": url})[0] == 0
    with psycopg.connect(url, user="payrail_worker"):
        code, said = place.run("reset", env={"DATABASE_URL": url})
    assert code == 0, said
    assert "restart the API and the workers" in said


def test_the_demo_runs_on_any_server(place: Place, database: Database) -> None:
    demo = place.start(DATABASE_URL=database.conninfo("admin"))
    assert demo.pay("1")[0] == 201
    assert demo.end(signal.SIGINT)[0] == 0
    assert {file.suffix for file in place.server.home.iterdir()} <= {".sqlite"}  # the bank's books
