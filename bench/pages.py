"""What open dashboards cost the API, and how far behind they are: over HTTP, in one run.

16 connections request payouts over 20 merchants, in turn without a page open and with 200 of them:
500 a second, and as fast as they are answered. The load and the pages' readers are this process, on
the same machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import psycopg

from pyapp.settings import Settings

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
    """A server with merchants: their ids, keys and cookies, and how many payouts each has."""

    port: int
    pid: int
    ids: list[str]
    keys: list[str]
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
        for key in self.keys:
            answer = await self.call(connection, form, f"api_key={key}")
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
                f"Authorization: Api-Key {self.keys[merchant]}\r\n"
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
            f"GET /live?since={self.payouts[merchant]}-0@{self.ids[merchant]} HTTP/1.1\r\n"
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


def measure(settings: Settings, rounds: int) -> dict[int, Measured]:
    """Run all rounds against a database that has been migrated; by the rate that was offered."""
    with serving(settings) as site:
        found = asyncio.run(_rounds(site, rounds))
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


@contextmanager
def serving(settings: Settings) -> Iterator[Site]:
    """Serve the API, with merchants that have money."""
    ids, keys = _merchants(settings)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": settings.conninfo("admin"),
        "PORT": str(port),
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "pyapp", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                assert process.poll() is None
                time.sleep(0.05)
            yield Site(port, process.pid, ids, keys)
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _merchants(settings: Settings) -> tuple[list[str], list[str]]:
    ids = []
    keys = [secrets.token_urlsafe(32) for _ in range(MERCHANTS)]
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection:
        for number, key in enumerate(keys):
            made = connection.execute(
                "SELECT m.merchant_id::text FROM payrail.create_merchant(%s) m,"
                " payrail.add_bank_account("
                "m.merchant_id, 'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001'),"
                " payrail.credit_merchant(m.merchant_id, 1000000000000000, 'INR', 'opening'),"
                " payrail.create_api_key("
                "m.merchant_id, %s, %s, p_writes_per_second => 1000000)",
                [f"Pages {number}", hashlib.sha256(key.encode()).digest(), key[:8]],
            ).fetchone()
            assert made is not None
            ids.append(made[0])
    return ids, keys
