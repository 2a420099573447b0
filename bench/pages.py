"""What open dashboards cost the API, and how far behind they are: over HTTP, in one run.

16 connections request payouts over 20 merchants, in turn without a page open and with 200 of them:
500 a second, and as fast as they are answered. The load and the pages' readers are this process, on
the same machine.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from bench import merchants, processes
from bench.figures import Figure, Figures, Limit, Part
from bench.merchants import Merchant
from bench.server import Bench, say

MERCHANTS = 20
CONNECTIONS = 16
PAGES = 200
STEADY = 500  # payouts a second
FLAT_OUT = 1_000_000
SECONDS = 6


@dataclass(frozen=True)
class Measured:
    """Payouts a second without and with pages; how late the last page heard the last payout.

    Medians of the rounds, but for `behind`, milliseconds, which is the slowest round's.
    """

    without: float
    with_pages: float
    ratio: float
    behind: float


class Page(asyncio.Protocol):
    """One open page: the newest event that it has heard of. It does as little as can be."""

    def __init__(self, merchant: int) -> None:
        self.merchant = merchant
        self.seen = 0
        self.listens = asyncio.Event()
        self.transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Look for the newest event's id."""
        if b"retry:" in data[:2000]:
            self.listens.set()
        start = data.rfind(b"\nid: ")  # a line of an event, after the length of its chunk
        if start >= 0:
            self.seen = int(data[start + 5 : start + 30].partition(b"-")[0])


@dataclass
class Site:
    """A server with merchants: their cookies, and how many payouts each has."""

    port: int
    merchants: Sequence[Merchant]
    cookies: list[str] = field(default_factory=list)
    payouts: list[int] = field(default_factory=lambda: [0] * MERCHANTS)

    async def call(self, connection: Connection, request: str, body: str = "") -> Answer:
        """Send a request and read its answer."""
        reader, writer = connection
        writer.write(f"{request}\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
        if length and int(length[1]):
            await reader.readexactly(int(length[1]))
        return Answer(int(head.split(" ", 2)[1]), head)

    async def connect(self) -> Connection:
        """Open a connection that is kept."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def sign_in(self) -> None:
        """Get a cookie for each merchant, as its browsers would."""
        connection = await self.connect()
        form = "POST /sign-in HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"
        for merchant in self.merchants:
            answer = await self.call(connection, form, f"api_key={merchant.key}")
            cookie = re.search(r"(?i)^set-cookie: ([^;]+)", answer.head, re.MULTILINE)
            assert answer.status == 303
            assert cookie is not None
            self.cookies.append(cookie[1])
        connection[1].close()

    async def load(self, offered: int) -> float:
        """Request so many payouts a second for a while; return how many of them were accepted."""
        begun = time.monotonic()
        counts = await asyncio.gather(
            *(self.request(begun, number, offered) for number in range(CONNECTIONS))
        )
        return sum(counts) / (time.monotonic() - begun)

    async def request(self, begun: float, number: int, offered: int) -> int:
        """Request one payout after another; return how many."""
        connection = await self.connect()
        body = '{"amount_paise": 100, "bank_account_id": "demo-bank-account"}'
        for done in count():
            turn = begun + (done * CONNECTIONS + number) / offered
            await asyncio.sleep(max(0, turn - time.monotonic()))
            if time.monotonic() > begun + SECONDS:
                connection[1].close()
                return done
            merchant = (number + done) % MERCHANTS
            answer = await self.call(
                connection,
                "POST /api/v1/payouts HTTP/1.1\r\nContent-Type: application/json\r\n"
                f"Authorization: Api-Key {self.merchants[merchant].key}\r\n"
                f"Idempotency-Key: {secrets.token_hex(16)}",
                body,
            )
            assert answer.status == 201, answer.head
            self.payouts[merchant] += 1
        raise AssertionError

    async def open(self, number: int) -> Page:
        """Open a page, and wait until it listens."""
        merchant = number % MERCHANTS
        page = Page(merchant)
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: page, "127.0.0.1", self.port
        )
        transport.write(
            f"GET /live?since={self.payouts[merchant]}-0@{self.merchants[merchant].id} HTTP/1.1\r\n"
            "Host: b\r\n"
            f"Cookie: {self.cookies[merchant]}\r\n\r\n".encode()
        )
        await page.listens.wait()
        return page

    async def look(self, offered: int) -> tuple[float, float]:
        """Return the rate with all pages open, and how late the last one was, in milliseconds."""
        pages = await asyncio.gather(*(self.open(number) for number in range(PAGES)))
        rate = await self.load(offered)
        ended = time.monotonic()
        async with asyncio.timeout(60):
            while any(  # noqa: ASYNC110  # an event per page would cost the measured
                page.seen < self.payouts[page.merchant] for page in pages
            ):
                await asyncio.sleep(0.005)
        behind = 1000 * (time.monotonic() - ended)
        for page in pages:
            page.transport.close()
        return rate, behind


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """A status and the head of an answer."""

    status: int
    head: str


def watched(bench: Bench) -> Part:
    """Measure what open dashboards cost the API, and how late they are."""
    return Part(once=lambda _: _figures(bench))


def _figures(bench: Bench) -> Figures:
    say(f"payouts over HTTP, without and with {PAGES} pages open")
    found = _measure(bench)
    figures = []
    for offered, what, limit in (
        (STEADY, f"HTTP create, {STEADY} a second offered", Limit(0.9)),
        (FLAT_OUT, f"HTTP create, {CONNECTIONS} connections", None),
    ):
        one = found[offered]
        figures += [
            Figure(what, one.without, "per second"),
            Figure(f"{what}, {PAGES} pages open", one.with_pages, "per second", one.ratio, limit),
            Figure(f"{what}, the last page hears of the last one after", one.behind, "ms"),
        ]
    return figures


def _measure(bench: Bench) -> dict[int, Measured]:
    """Run all rounds; by the rate that was offered."""
    settings = bench.database("pages")
    crowd = merchants.make(settings, MERCHANTS)
    with processes.api(settings) as api:
        found = asyncio.run(_rounds(Site(api.port, crowd), bench.rounds))
    return {
        offered: Measured(
            statistics.median(without for without, _, _ in rows),
            statistics.median(rate for _, rate, _ in rows),
            statistics.median(rate / without for without, rate, _ in rows),
            max(behind for _, _, behind in rows),
        )
        for offered, rows in found.items()
    }


async def _rounds(site: Site, rounds: int) -> dict[int, list[tuple[float, float, float]]]:
    await site.sign_in()
    await site.load(FLAT_OUT)  # warm
    return {
        offered: [(await site.load(offered), *await site.look(offered)) for _ in range(rounds)]
        for offered in (STEADY, FLAT_OUT)
    }
