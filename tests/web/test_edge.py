"""What holds for every request: names, headers, methods, logs, and clients that go away."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pyapp.web.api import ROUTES
from tests.web.client import Client
from tests.web.conftest import Web, wait_until

NOBODY = "019a2f4e-0000-7000-8000-000000000000"
PATHS = sorted(
    {route.path.format(payout_id=NOBODY, bank_account_id="demo-bank-account") for route in ROUTES}
)


@pytest.mark.parametrize(
    "path", ["//", "//docs/", "//healthz", "//readyz", "//nope", "/me/", "/openapi.json"]
)
def test_every_response_is_named_and_guarded(client: Client, path: str) -> None:
    headers = client.get(path).headers
    uuid.UUID(headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_request_ids(client: Client) -> None:
    given = client("GET", "/nope", headers=[("X-Request-Id", "mine-1")])
    assert given.headers["x-request-id"] == given.json["request_id"] == "mine-1"
    for bad in ("x" * 129, "a b", "caf\xe9", ""):
        answer = client("GET", "/nope", headers=[("X-Request-Id", bad)])
        uuid.UUID(answer.headers["x-request-id"])


@pytest.mark.parametrize("path", PATHS)
def test_with_and_without_a_slash(client: Client, path: str) -> None:
    with_slash, without = client.get(path), client.get(path.rstrip("/"))
    assert with_slash.status == without.status
    assert with_slash.status not in {301, 302, 307, 308}


@pytest.mark.parametrize("path", PATHS)
def test_methods(client: Client, path: str) -> None:
    options = client("OPTIONS", path)
    allowed = set(options.headers["allow"].split(", "))
    assert options.status == 204
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        answer = client(method, path)
        assert (answer.status == 405) == (method not in allowed), method
        if answer.status == 405:
            assert set(answer.headers["allow"].split(", ")) == allowed
            assert method == "HEAD" or answer.code == "method_not_allowed"


def test_head_is_get_without_the_body(client: Client) -> None:
    got, head = client.get("/me/"), client("HEAD", "/me/")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    "path",
    [
        "//nope",
        "/",
        "/nope/",
        "/payouts//",
        "//api",
        "/payouts/1/2/3/",
        "//static/",
        "//static/../app.py",
        "//%00",
    ],
)
def test_nothing_there(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_probes(client: Client) -> None:
    assert client.get("//healthz").json == {"status": "ok"}
    ready = client.get("//readyz")
    assert ready.status == 200
    assert ready.json["status"] == "ready"


def test_home_leads_to_the_docs(client: Client) -> None:
    home = client.get("//")
    assert (home.status, home.headers["location"]) == (307, "/docs/")


def test_the_log_knows_everything_but_secrets(client: Client, web: Web) -> None:
    trace = uuid.uuid4().hex
    request_id = str(uuid.uuid4())
    client(
        "GET",
        "/payouts/?reference=hidden-reference",
        headers=[("X-Request-Id", request_id), ("traceparent", f"00-{trace}-{trace[:16]}-01")],
    )
    (line,) = [line for line in read(web.log) if request_id in line]
    event = json.loads(line)
    assert event["event"] == "request"
    assert (event["method"], event["path"], event["status"]) == ("GET", "/api/v1/payouts/", 200)
    assert event["trace_id"] == trace
    assert client.key
    assert event["key_prefix"] == client.key[:12]
    assert event["merchant_id"] == str(client.merchant_id)
    assert event["ms"] >= 0
    assert client.key not in line
    assert "hidden-reference" not in line


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/v1/me/ HTTP/1.1\r\nHost: a\r\nAuthorization: \x00\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%ff%fe/%00?%ff=%00&&&= HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET //// HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://other/api/v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/v1/me HTTP/1.0\r\n\r\n",
        b"POST /api/v1/payouts/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/payouts/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    ],
)
def test_garbage_on_the_wire(client: Client, raw: bytes) -> None:
    with socket.create_connection((client.host, client.port), timeout=5) as wire:
        wire.sendall(raw)
        wire.shutdown(socket.SHUT_WR)
        answer = wire.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 5")
    assert client.get("//healthz").status == 200


def test_a_client_that_hangs_up_does_not_stop_its_payout(
    client: Client, locked: Callable[[Client], psycopg.Connection[Any]]
) -> None:
    body = b'{"amount_paise":6000,"bank_account_id":"demo-bank-account"}'
    with locked(client), socket.create_connection((client.host, client.port)) as wire:
        wire.sendall(head_of(client, "gone", len(body)) + body)
        time.sleep(0.3)  # the door is waiting for the lock now
        wire.close()
        time.sleep(0.1)
    wait_until(lambda: client.balance() == (994_000, 6000))
    replay = client.create(body, "gone")
    assert (replay.status, replay.headers["idempotent-replayed"]) == (201, "true")


def test_a_client_that_hangs_up_half_way_changes_nothing(client: Client) -> None:
    with socket.create_connection((client.host, client.port)) as wire:
        wire.sendall(head_of(client, "half", 59) + b'{"amount_paise":6000,')
    time.sleep(0.2)
    assert client.balance() == (1_000_000, 0)


def head_of(client: Client, key: str, length: int) -> bytes:
    """Return the head of a create request, for a wire of our own."""
    return (
        f"POST /api/v1/payouts/ HTTP/1.1\r\nHost: a\r\nAuthorization: Api-Key {client.key}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def read(log: Path) -> list[str]:
    """Return the server's log so far, once its last lines are written."""
    time.sleep(0.05)
    return log.read_text().splitlines()
