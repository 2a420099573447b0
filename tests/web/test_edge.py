"""What holds for every request: names, headers, methods, logs, and clients that go away."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from pyapp.web.api import ROUTES
from tests.web.client import Answer, Client
from tests.web.conftest import NewClient, Web, wait_until

NOBODY = "019a2f4e-0000-7000-8000-000000000000"
PATHS = sorted(
    {
        re.sub(r"\{\w+\}", NOBODY, route.path.replace("{bank_account_id}", "demo-bank-account"))
        for route in ROUTES
        if "stream" not in route.path  # it does not end; tests/web/test_events.py reads it
    }
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


def test_a_file_is_sent_once(client: Client) -> None:
    first = client.get("//static/app.css")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    again = client("GET", "//static/app.css", headers=[("If-None-Match", tag)])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert client("GET", "//static/app.css", headers=[("If-None-Match", '"x"')]).status == 200


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


def test_the_log_knows_everything_but_secrets(client: Client, web: Web) -> None:
    trace = uuid.uuid4().hex
    request_id = str(uuid.uuid4())
    client(
        "GET",
        "/payouts/?reference=hidden-reference",
        headers=[("X-Request-Id", request_id), ("traceparent", f"00-{trace}-{trace[:16]}-01")],
    )
    wait_until(lambda: request_id in web.log.read_text())
    (line,) = [line for line in web.log.read_text().splitlines() if request_id in line]
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
    answer = b""
    with (
        socket.create_connection((client.host, client.port), timeout=60) as wire,
        suppress(ConnectionError),  # it need not read all of this
    ):
        wire.sendall(raw)
        with suppress(OSError):
            wire.shutdown(socket.SHUT_WR)
        answer = wire.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 5")
    assert client.get("//healthz").status == 200


@pytest.mark.parametrize(
    "broken",
    [
        b"no HTTP at all\r\n\r\n",
        b"POST /api/v1/payouts/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("before", [1, 3])
def test_what_is_no_http_is_answered_after_what_came_before_it(
    client: Client, broken: bytes, before: int
) -> None:
    """Else a payout that is made would be answered by the 400 of what follows it."""
    body = b'{"amount_paise":6000,"bank_account_id":"demo-bank-account"}'
    requests = [head_of(client, f"key-{one}", len(body)) + body for one in range(before)]
    with socket.create_connection((client.host, client.port), timeout=60) as wire:
        wire.sendall(b"".join((*requests, broken)))
        said = b"".join(iter(partial(wire.recv, 65536), b""))
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", said)
    assert statuses == [b"201"] * before + [b"400"]
    assert client.balance() == (1_000_000 - 6000 * before, 6000 * before)


def test_a_client_that_hangs_up_does_not_stop_its_payout(
    client: Client,
    patient: Web,
    locked: Callable[[Client], psycopg.Connection[Any]],
    waiting: Callable[[], int],
) -> None:
    body = b'{"amount_paise":6000,"bank_account_id":"demo-bank-account"}'
    with locked(client), socket.create_connection((patient.host, patient.port)) as wire:
        wire.sendall(head_of(client, "gone", len(body)) + body)
        wait_until(lambda: waiting() == 1)
        hang_up(wire)
    wait_until(lambda: client.balance() == (994_000, 6000))
    replay = client.create(body, "gone")
    assert (replay.status, replay.headers["idempotent-replayed"]) == (201, "true")


def test_a_client_that_hangs_up_half_way_changes_nothing(client: Client, web: Web) -> None:
    key = str(uuid.uuid4())
    with socket.create_connection((client.host, client.port)) as wire:
        wire.sendall(head_of(client, key, 59) + b'{"amount_paise":6000,')
        hang_up(wire)
    wait_until(lambda: key in web.log.read_text())
    assert client.balance() == (1_000_000, 0)


def test_a_locked_merchant_holds_up_nobody(
    client: Client,
    new_client: NewClient,
    patient: Web,
    locked: Callable[[Client], psycopg.Connection[Any]],
    waiting: Callable[[], int],
) -> None:
    """Four of its calls wait in the database; the others wait outside, and not for ever."""
    path = f"/payouts/{client.payout()['id']}/cancel/"
    crowd = [replace(client, port=patient.port, _connection=None) for _ in range(40)]
    other = replace(new_client(), port=patient.port, _connection=None)
    with ThreadPoolExecutor(len(crowd)) as pool:
        with locked(client):
            asked = [pool.submit(one.post, path, {}) for one in crowd]
            wait_until(lambda: waiting() >= 4)
            for _ in range(20):
                assert other.get("/me/").status == 200
                other.payout()
            wait_until(lambda: sum(one.done() for one in asked) == 36)
        answers = [one.result() for one in asked]
    check_crowd(answers, {200: 4, 503: 36})
    for one in (other, *crowd):
        one.close()


def test_payouts_that_wait_for_a_lock_hold_up_nobody(
    client: Client,
    new_client: NewClient,
    patient: Web,
    locked: Callable[[Client], psycopg.Connection[Any]],
    waiting: Callable[[], int],
) -> None:
    """One call for them waits in the database; what comes later waits outside, not for ever."""
    crowd = [replace(client, port=patient.port, _connection=None) for _ in range(40)]
    other = replace(new_client(), port=patient.port, _connection=None)
    body = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}
    with ThreadPoolExecutor(len(crowd)) as pool:
        with locked(client):
            asked = [pool.submit(crowd[0].create, body)]
            wait_until(lambda: waiting() == 1)
            asked += [pool.submit(one.create, body) for one in crowd[1:]]
            for _ in range(20):
                assert other.get("/me/").status == 200
                other.payout()
            wait_until(lambda: sum(one.done() for one in asked) == 39)
            assert waiting() == 1
        answers = [one.result() for one in asked]
    check_crowd(answers, {201: 1, 503: 39})
    for one in (other, *crowd):
        one.close()


def check_crowd(answers: list[Answer], statuses: dict[int, int]) -> None:
    assert Counter(answer.status for answer in answers) == statuses
    refusals = [answer for answer in answers if answer.status == 503]
    assert {answer.code for answer in refusals} == {"unavailable"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refusals)


def hang_up(wire: socket.socket) -> None:
    """Close a connection, and see the server close it too."""
    wire.shutdown(socket.SHUT_WR)
    assert wire.recv(1) == b""


def head_of(client: Client, key: str, length: int) -> bytes:
    """Return the head of a create request, for a wire of our own."""
    return (
        f"POST /api/v1/payouts/ HTTP/1.1\r\nHost: a\r\nAuthorization: Api-Key {client.key}\r\n"
        f"Idempotency-Key: {key}\r\nX-Request-Id: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
