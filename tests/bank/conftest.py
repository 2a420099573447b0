"""A bank that the tests of one module share, and what a customer of it can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pyapp.rails import callbacks
from tests import banks
from tests.banks import SECRET, Bank


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    with banks.bank() as running:
        yield running


def order(ending: str = "0001", **more: object) -> dict[str, Any]:
    """Return an instruction to an account that ends like this."""
    return {
        "rail_ref": uuid4().hex,
        "amount": 6000,
        "currency": "INR",
        "account_number": f"50100234{ending}",
        "ifsc": "HDFC0000001",
        "holder_name": "Asha Rao",
        "valid_until": "2099-01-01T00:00:00Z",
        **more,
    }


def answers(said: Any) -> dict[str, dict[str, Any]]:
    return {item["rail_ref"]: item for item in said["answers"]}


def submit(bank: Bank, *orders: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return answers(bank.ask("POST", "/v1/instructions", {"instructions": orders}))


def send(bank: Bank, one: dict[str, Any]) -> dict[str, Any]:
    """Submit one instruction, and return its answer."""
    return submit(bank, one)[one["rail_ref"]]


def enquire(bank: Bank, rail_ref: str) -> dict[str, Any]:
    return answers(bank.ask("POST", "/v1/enquiries", {"rail_refs": [rail_ref]}))[rail_ref]


def is_lost(bank: Bank, *orders: dict[str, Any]) -> bool:
    """Submit, and say whether the connection ended without an answer."""
    try:
        submit(bank, *orders)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return True
    return False


def crowd(bank: Bank, orders: Sequence[dict[str, Any]], times: int) -> list[dict[str, Any]]:
    """Submit the same instructions from so many threads at a time; return each one's answers."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda _: submit(bank, *orders), range(times)))


@dataclass
class Receiver:
    """Where callbacks go: what has arrived, in order, and how the next ones are answered."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next ones; then 204

    def of(self, rail_ref: str) -> list[dict[str, Any]]:
        return [event for event in self.heard if event["rail_ref"] == rail_ref]


@contextmanager
def receiving(secret: str = SECRET) -> Iterator[Receiver]:
    """Listen for callbacks; each has to be signed."""
    made = Receiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            event = callbacks.verify(headers, body, [secret])
            assert headers["webhook-id"] == event["event_id"]
            with lock:
                made.heard.append(event)
                status = made.statuses.pop(0) if made.statuses else 204
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}/callbacks"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
