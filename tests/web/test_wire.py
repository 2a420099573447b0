"""Anything may come over the wire: each request is answered, none by a 5xx, and none half does.

Raw sockets, kept and pipelined, against a real server with all its routes.
`FUZZ=1000000 pytest tests/web/test_wire.py --log-cli-level=INFO` is the long run; SEED chooses
another one.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import pytest

from pyapp.errors import CATALOG
from pyapp.settings import Settings
from pyapp.web.app import _paths
from tests import banks
from tests.conftest import Database, new_merchant
from tests.desk import violations
from tests.web.client import Client
from tests.web.conftest import Connection, Web, serving
from tests.web.visitor import COOKIE, Visitor

FUZZ: Final = int(os.environ.get("FUZZ", "4000"))
SEED: Final = os.environ.get("SEED", "1")
WIRES: Final = 6  # connections at a time
AT_ONCE: Final = 24  # requests on the way on one of them
PATIENCE: Final = 60  # seconds without a word
OPENING: Final = 10**12
SCOPES: Final = "{read,payouts:create,payouts:approve,bank_accounts:write,webhooks:write}"
BANK: Final = "http://127.0.0.1:1"

PATHS: Final = {
    path: [*handlers]
    for path, handlers in _paths(
        Settings(
            console=True,
            sandbox_bank_url=BANK,
            sandbox_bank_secret=banks.SECRET,
        )
    ).items()
}
STREAMS: Final = {"/live", "/api/v1/events/stream"}
# long answers, and a hash of passwords that is meant to take time
SLOW: Final = {
    *("/docs", "/metrics", "/ops/sign-in", "/payouts.csv", "/api/v1/exports/payouts"),
    *("/api/v1/openapi.json", "/static/app.js", "/static/app.css"),
}
WEIGHTS: Final = [
    0.02 if path in SLOW | STREAMS else 2 if path.startswith("/api") else 0.5 for path in PATHS
]
# what the API says of payouts is where money is
BUSY: Final = "/api/v1/payouts"

METHODS: Final = (b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"TRACE", b"GET", b"POST")
VALUES: Final = (
    *(b"null", b"true", b"0", b"-1", b"1.5", b"1e400", b"NaN", b"-0", b'""', b"[]", b"{}"),
    *(b'"\\u0000"', b'"\\ud800"', b'"\xff"', b'"\xe2\x80\xae"', b"9" * 101, b"[" * 40 + b"]" * 40),
    *(b"1000000000000001", b"9223372036854775808", b'"' + b"x" * 600 + b'"', b'"1"', b"1 2", b""),
    *(b'"2030-01-01T00:00:00Z"', b'"9999-12-31T23:59:59+14:00"', b'"INR"', b'"demo-bank-account"'),
    *(b'"01a21cab-e71a-74f1-87c0-66a3c0468b10"', b'{"a":1,"a":2}', b'"\'; --"', b"// x", b"'x'"),
)
FIELDS: Final = (
    *(b"amount_paise", b"amount", b"currency", b"bank_account_id", b"reference", b"metadata"),
    *(b"scheduled_at", b"queue_if_low_balance", b"narration", b"retry_of", b"mode", b"x", b"url"),
    *(b"reason", b"payouts", b"id", b"holder_name", b"account_number", b"ifsc", b"event_types"),
)
MEDIA: Final = (
    *(b"application/json",) * 12,
    *(b"text/plain", b"application/json; charset=latin-1", b"multipart/form-data; boundary=x", b""),
    *(
        b"text/csv",
        b"application/x-www-form-urlencoded",
        b"application/JSON;charset=utf-8",
        b"\xff",
    ),
)
MORE: Final = (
    b"Accept: text/html",
    b"Accept: text/csv",
    b"Accept: \xff;q=2, */*;q=0",
    b"Accept-Encoding: gzip, br;q=1.0",
    b"Content-Encoding: gzip",
    b"Cookie: __Host-payrail=nobody; __Host-payrail-ops=nobody",
    b"Cookie: \xff=;;;=",
    b"Expect: 100-continue",
    b"Forwarded: for=\xc3\xa4",
    b"If-None-Match: *",
    b"Last-Event-ID: -1",
    b"Last-Event-ID: 99999999999999999999",
    b"Origin: https://example.com",
    b"Range: bytes=0-0,-1",
    b"Sec-Fetch-Site: cross-site",
    b"X-Request-Id: " + b"x" * 129,
    b"X-Forwarded-For: 127.0.0.1",
    b"traceparent: 00-" + b"0" * 32 + b"-x-01",
    b"webhook-id: x\r\nwebhook-timestamp: 9999999999999999999999\r\nwebhook-signature: v1,\xff",
    b"Idempotency-Key: twice",
    b"Authorization: Api-Key twice",
    b"X-Empty:",
    b"X-" + b"y" * 5000 + b": " + b"z" * 20000,
)
QUERY: Final = (
    *("limit", "cursor", "status", "kind", "currency", "created_after", "utr", "payout_id", "x"),
    *("from", "to", "on", "format", "q", "after", "next", "merchant_id", "rail", "mode", "day"),
)
WORDS: Final = (
    *("0", "1", "-1", "101", "99999999999999999999", "%00", "%ff", "%", "x", "INR", "pending", ""),
    *("2026-01-01", "0000-00-00", "2026-01-01T00:00:00Z", "%F0%9F%92%B8", "..%2f..", "null", "W10"),
    *("01a21cab-e71a-74f1-87c0-66a3c0468b10", "a" * 300, "sandbox", "demo-bank-account", "%27%3B"),
)
# What is no HTTP at all is answered by 400, and the connection is closed.
BROKEN: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET / HTTX/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    b"POST /api/v1/payouts HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST /api/v1/payouts HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/payouts HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /api/v1/payouts HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x00" * 16,
    b"{}\r\n\r\n",
)
ID: Final = re.compile(rb'"id":"([0-9a-f-]{36})"')
PLACE: Final = re.compile(rb"/payouts/([0-9a-f-]{36})")
CODE: Final = re.compile(rb'"code":"([a-z_]+)"')

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """The bytes of one request that is HTTP, and what is to be known of its answer."""

    raw: bytes
    method: bytes
    path: str
    makes: bool  # a payout, if it is accepted

    @property
    def is_last(self) -> bool:
        """Whether nothing may follow on its connection: its answer may have no end."""
        return self.path in STREAMS


@dataclass(frozen=True)
class Reply:
    status: int
    head: bytes
    body: bytes


@dataclass
class Wire:
    """A connection, and what has come over it."""

    port: int
    _socket: socket.socket | None = None
    _got: bytearray = field(default_factory=bytearray)

    def send(self, raw: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self._got.clear()
        self._socket.sendall(raw)

    def reply(self, *, to_head: bool = False) -> Reply | None:
        """Read one answer; None if the server hangs up instead."""
        while True:
            end = self._until(b"\r\n\r\n")
            if end is None:
                return None
            head = self._take(end)
            status = int(head[9:12])
            assert head.startswith(b"HTTP/1.1 ")
            if status >= 200:
                break
        lower = head.lower()
        if to_head or status in {204, 304} or b"content-type: text/event-stream" in lower:
            return Reply(status, lower, b"")
        if b"transfer-encoding: chunked" in lower:
            return Reply(status, lower, self._chunks())
        length = re.search(rb"\r\ncontent-length: (\d+)", lower)
        assert length, head
        self._fill(int(length[1]))
        return Reply(status, lower, self._take(int(length[1])))

    def rest(self) -> bytes:
        """Say that nothing more will come, and read until the server hangs up."""
        assert self._socket
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        while self._more():
            pass
        return self._take(len(self._got))

    def pieces(self) -> int:
        """Return how many segments with data have come (tcpi_data_segs_in of linux/tcp.h)."""
        assert self._socket
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        return int.from_bytes(info[152:156], sys.byteorder)

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def _chunks(self) -> bytes:
        whole = bytearray()
        while True:
            end = self._until(b"\r\n")
            assert end, "cut off"
            size = int(self._take(end), 16)
            self._fill(size + 2)
            whole += self._take(size + 2)[:-2]
            if not size:
                return bytes(whole)

    def _until(self, mark: bytes) -> int | None:
        while (end := self._got.find(mark)) < 0:
            if not self._more():
                assert not self._got, f"cut off after {bytes(self._got)!r}"
                return None
        return end + len(mark)

    def _fill(self, size: int) -> None:
        while len(self._got) < size:
            assert self._more(), "cut off"

    def _take(self, size: int) -> bytes:
        taken = bytes(self._got[:size])
        del self._got[:size]
        return taken

    def _more(self) -> bool:
        assert self._socket
        try:
            came = self._socket.recv(65536)
        except ConnectionResetError:
            came = b""
        self._got += came
        return bool(came)


@dataclass(frozen=True)
class Guest:
    """A merchant, its key, and a browser where it is signed in."""

    merchant_id: UUID
    key: bytes
    cookie: bytes
    token: str


@dataclass
class Fuzzer:
    """One client with dice; of `guests` the last is one whose requests may arrive altered."""

    port: int
    name: str
    guests: list[Guest]
    counts: Counter[str] = field(default_factory=Counter)
    acknowledged: set[UUID] = field(default_factory=set)
    _keys: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{SEED}-{self.name}")
        self.wire = Wire(self.port)

    def run(self, inputs: int) -> None:
        """Send so many inputs, and see how each is answered."""
        left = inputs
        while left > 0:
            size = min(left, self.dice.choice((1, 2, 8, AT_ONCE, AT_ONCE)))
            requests = [self.request(self.dice.choice(self.guests[:-1])) for _ in range(size)]
            for place, request in enumerate(requests):
                if request.is_last:
                    del requests[place + 1 :]
            breaks = self.dice.random() < 0.1 and not requests[-1].is_last
            self.ask(requests, self.dice.choice(BROKEN) if breaks else b"")
            left -= len(requests) + breaks
            if breaks:
                self.counts["broken"] += 1
            elif self.dice.random() < 0.3:
                self.muddle()
                left -= 1
        self.wire.close()

    # ------------------------------------------------------------------------ three kinds of it

    def ask(self, requests: list[Request], broken: bytes) -> None:
        """Send requests that are HTTP, and what is none, all at once: each is answered, in turn."""
        while requests:
            self.wire.send(b"".join(request.raw for request in requests) + broken)
            for place, request in enumerate(requests, 1):
                reply = self.wire.reply(to_head=request.method == b"HEAD")
                assert reply, f"{self.name}: hung up on {request.raw[:2000]!r}"
                self.judge(request, reply)
                if b"\r\nconnection: close" in reply.head or request.path in STREAMS:
                    # what was on the way is not answered: whoever sent it asks again
                    self.wire.close()
                    requests = requests[place:]
                    break
            else:
                requests = []
                if broken:
                    self.expect_400(broken)

    def expect_400(self, broken: bytes) -> None:
        """What is no HTTP is answered so, and the connection ends."""
        reply = self.wire.reply()
        assert reply, f"{self.name}: hung up on {broken!r}"
        assert reply.status == 400, (broken, reply)
        assert self.wire.rest() == b"", broken
        self.wire.close()

    def muddle(self) -> None:
        """Send a request that has been altered on its way: whatever it is now, it is no 5xx."""
        raw = bytearray(self.request(self.guests[-1]).raw)
        for _ in range(self.dice.choice((1, 1, 2, 8))):
            place = self.dice.randrange(len(raw))
            match self.dice.randrange(4):
                case 0:
                    raw[place] ^= 1 << self.dice.randrange(8)
                case 1:
                    raw[place] = self.dice.randrange(256)
                case 2:
                    del raw[place : place + self.dice.randrange(1, 20)]
                    raw += b"\r"
                case _:
                    raw[place:place] = self.dice.choice((b"\r\n", b"\0", b"\n", b": ", b"\xff" * 9))
        with suppress(ConnectionError):  # it hung up before all was sent
            self.wire.send(bytes(raw))
        said = self.wire.rest()
        self.wire.close()
        for status in re.findall(rb"(?:^|\r\n|\})HTTP/1\.1 (\d\d\d) ", said):
            assert int(status) < 500 or status == b"503", (bytes(raw), said)
        self.counts["muddled"] += 1

    def judge(self, request: Request, reply: Reply) -> None:
        """See whether an answer is one that is allowed."""
        about = (self.name, request.raw[:3000], reply.status, reply.head, reply.body[:2000])
        self.counts[f"{reply.status // 100}xx"] += 1
        if reply.status >= 500:
            assert reply.status == 503, about
            assert b"\r\nretry-after: " in reply.head, about
            self.counts["503"] += 1
        if reply.status >= 400 and request.path.startswith("/api/") and request.method != b"HEAD":
            code = CODE.search(reply.body)
            assert code, about
            row = CATALOG[code[1].decode()]
            assert row.status == reply.status or row.code == "bank_account_not_found", about
        if request.makes and reply.status in {201, 303}:
            made = (ID if reply.status == 201 else PLACE).search(
                reply.body if reply.status == 201 else reply.head
            )
            if made:
                self.acknowledged.add(UUID(made[1].decode()))
                self.counts["paid"] += 1

    # ---------------------------------------------------------------------------------- requests

    def request(self, guest: Guest) -> Request:
        """Make up a request that is HTTP, whatever else it is."""
        dice = self.dice
        (path,) = dice.choices([*PATHS], WEIGHTS)
        if dice.random() < 0.2:
            path = BUSY
        method = dice.choice(PATHS[path]).encode()
        if dice.random() < 0.08:
            method = dice.choice(METHODS)
        lines = [
            b"%b %b HTTP/1.1" % (method, self.target(path).encode("latin-1")),
            b"Host: localhost",
        ]
        is_signed_in = not path.startswith("/api") and dice.random() < 0.15
        if is_signed_in and not path.endswith("sign-out"):
            lines.append(b"Cookie: %b" % guest.cookie)
        if dice.random() < 0.9:
            lines.append(b"Authorization: Api-Key %b" % guest.key)
        elif dice.random() < 0.5:
            lines.append(b"Authorization: " + self.noise(40))
        if dice.random() < 0.9:
            lines.append(b"Idempotency-Key: " + self.key())
        while dice.random() < 0.25:
            lines.append(dice.choice(MORE))
        body = b""
        if method == b"POST" or dice.random() < 0.05:
            body = self.form(guest) if is_signed_in else self.body()
            media = b"application/x-www-form-urlencoded" if is_signed_in else dice.choice(MEDIA)
            lines.append(b"Content-Type: " + media)
        if body or method == b"POST":
            head, body = self.framed(body)
            lines.append(head)
        raw = b"\r\n".join((*lines, b"", body))
        return Request(raw, method, path, makes=path in {BUSY, "/payouts/new"})

    def framed(self, body: bytes) -> tuple[bytes, bytes]:
        """Return the header that tells where a body ends, and the body as it is sent then."""
        if not body or self.dice.random() < 0.9:
            return b"Content-Length: %d" % len(body), body
        cut = self.dice.randrange(1, len(body) + 1)
        pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return b"Transfer-Encoding: chunked", chunks + b"0\r\n\r\n"

    def target(self, path: str) -> str:
        dice = self.dice
        while "{" in path:
            before, _, rest = path.partition("{")
            path = before + dice.choice(WORDS) + rest.partition("}")[2]
        if dice.random() < 0.5:
            path += "/"
        if dice.random() < 0.03:
            path += dice.choice(("//", "%2f", "/x", "%", ";a=b", "/.."))
        if dice.random() < 0.3:
            pairs = [
                f"{dice.choice(QUERY)}={dice.choice(WORDS)}" for _ in range(dice.randrange(1, 5))
            ]
            path += "?" + "&".join(pairs)
        return path

    def key(self) -> bytes:
        if self.dice.random() < 0.9:
            return f"{self.name}-{next(self._keys)}".encode()
        return self.dice.choice((b"", b"same", b"x" * 256, b"a b", b'"q"', b"\xff", b"same"))

    def body(self) -> bytes:
        dice = self.dice
        known = {b"amount_paise": b"%d" % dice.randrange(1, 10), b"bank_account_id": VALUES[26]}
        chance = dice.random()
        if chance < 0.1:
            return self.noise(200)
        if chance < 0.2:
            return b'{"amount_paise":' + dice.choice(VALUES)
        if chance < 0.22:
            return b'{"reference":"' + b"x" * dice.choice((60_000, 70_000)) + b'"}'
        while dice.random() < 0.7:
            known[dice.choice(FIELDS)] = dice.choice(VALUES)
        raw = b"{%b}" % b",".join(b'"%b":%b' % pair for pair in known.items())
        if dice.random() < 0.1:
            place = dice.randrange(len(raw))
            raw = raw[:place] + self.noise(3) + raw[place + 1 :]
        return raw

    def form(self, guest: Guest) -> bytes:
        dice = self.dice
        fields: dict[str, str] = {
            "amount": dice.choice(("0.01", "1", "-1", "1e9", "", "x", "0.001")),
            "currency": "INR",
            "bank_account_id": "demo-bank-account",
            "idempotency_key": dice.choice((f"{self.name}-{next(self._keys)}", "", "same")),
        }
        if dice.random() < 0.6:
            fields["token"] = guest.token
        while dice.random() < 0.5:
            fields[dice.choice(FIELDS).decode()] = dice.choice(VALUES).decode("latin-1")
        return urlencode(fields).encode()

    def noise(self, most: int) -> bytes:
        """Bytes that may stand in a header, too."""
        return bytes(
            self.dice.choice(b"\t !\"#%&'()*+,-./09:;<=>?@AZ[\\]^_az{|}~\x80\xc3\xa4\xe2\x82\xff")
            for _ in range(self.dice.randrange(most))
        ).strip()


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Web]:
    """A server with all there is."""
    url = database.conninfo("admin")
    with serving(
        url,
        tmp_path,
        "//readyz",
        CONSOLE="1",
        LOG_LEVEL="WARNING",
        SANDBOX_BANK_URL=BANK,
        SANDBOX_BANK_SECRET=banks.SECRET,
    ) as running:
        yield running


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell")
def test_an_answer_comes_in_one_piece(web: Web) -> None:
    wire = Wire(web.port)
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = wire.reply()
    assert reply
    assert reply.body == b'{"status":"ok"}'
    assert wire.pieces() == 1
    wire.close()


@pytest.fixture
def guests(served: Web, database: Database, operator: Connection) -> list[Guest]:
    """Merchants with money, who may ask as often as they like."""
    found = []
    for _ in range(4):
        merchant = new_merchant(database, OPENING)
        operator.execute(
            "SELECT payrail.limit_api_key(k.merchant_id, k.api_key_id, 1000000, 1000000)"
            " FROM payrail.api_keys k WHERE k.merchant_id = %s",
            [merchant.merchant_id],
        )
        client = Client(served.host, served.port)
        visitor = Visitor(client)
        visitor.sign_in(merchant.secret)
        found.append(
            Guest(
                merchant.merchant_id,
                merchant.secret.encode(),
                f"{COOKIE}={visitor.cookie}".encode(),
                visitor.get("/payouts/new").fields["token"],
            )
        )
        client.close()
    return found


def test_whatever_comes_over_the_wire_is_answered_and_does_all_or_nothing(
    served: Web,
    guests: list[Guest],
    auditor: Connection,
    record_property: Callable[[str, object], None],
) -> None:
    fuzzers = [Fuzzer(served.port, f"{number}", guests) for number in range(WIRES)]
    began = time.monotonic()
    with ThreadPoolExecutor(WIRES) as pool:
        for done in [pool.submit(fuzzer.run, -(-FUZZ // WIRES)) for fuzzer in fuzzers]:
            done.result()
    counts = sum((fuzzer.counts for fuzzer in fuzzers), Counter[str]())
    inputs = sum(counts[kind] for kind in ("2xx", "3xx", "4xx", "5xx", "broken", "muddled"))
    log.info("%s inputs in %.0f s: %s", inputs, time.monotonic() - began, dict(counts))
    assert inputs >= FUZZ
    assert counts["paid"] > 0

    client = Client(served.host, served.port)
    assert client.get("//readyz").status == 200  # it is there still
    client.close()
    said = served.log.read_text()
    for word in ("Traceback", "crash", "internal", '"level":"error"', "Exception"):
        assert word not in said, said[-5000:]

    acknowledged = set[UUID]().union(*(fuzzer.acknowledged for fuzzer in fuzzers))
    *strict, muddled = (guest.merchant_id for guest in guests)
    rows = auditor.execute(
        "SELECT payout_id, merchant_id FROM payrail.payouts WHERE merchant_id = ANY (%s)",
        [[*strict, muddled]],
    ).fetchall()
    assert acknowledged <= {row["payout_id"] for row in rows}
    assert {row["payout_id"] for row in rows if row["merchant_id"] in strict} == acknowledged
    balances = auditor.execute(
        "SELECT available + held AS all FROM payrail.balances WHERE merchant_id = ANY (%s)",
        [[*strict, muddled]],
    ).fetchall()
    assert {row["all"] for row in balances} == {OPENING}
    assert violations(auditor) == {}
    record_property("inputs", inputs)
