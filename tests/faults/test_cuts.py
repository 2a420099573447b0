"""Connections that are cut at any frame: one key stays one payout, and its answer the same bytes.

Between the API and PostgreSQL, and between the clients and the API, stands a proxy that cuts
before, in or after a frame, wherever the dice fall. `CUTS=10000 pytest tests/faults/test_cuts.py
--log-cli-level=INFO` is the long run; SEED chooses another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from pyapp.migrate import migrate
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.conftest import Database
from tests.desk import violations
from tests.faults.test_kills import (
    CLIENTS,
    SEED,
    progress,
    repeat_all,
    rich_and_poor,
    under,
    what_was_acknowledged_is_there,
)

CUTS: Final = int(os.environ.get("CUTS", "200"))
SPACING: Final = {"database": 120, "client": 60}  # frames from one cut to the next, at most

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Opened: TypeAlias = tuple[Reader, Writer]

log = logging.getLogger(__name__)


@dataclass
class Proxy:
    """Passes frames on, and now and then cuts the connection at one."""

    name: str
    open: Callable[[], Awaitable[Opened]]
    frame: Callable[[Reader, bool], Awaitable[bytes]]
    dice: random.Random
    is_on: bool = False
    cuts: Counter[str] = field(default_factory=Counter)
    _left: int = 1

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Join a client and the server until one of them leaves, or the connection is cut."""
        try:
            there, back = await self.open()
        except OSError:
            writer.transport.abort()
            return
        ends = [writer, back]
        await asyncio.gather(
            self._pass(reader, back, ends, "request"), self._pass(there, writer, ends, "answer")
        )

    async def _pass(self, reader: Reader, writer: Writer, ends: list[Writer], what: str) -> None:
        is_first = what == "request"
        with suppress(OSError, asyncio.IncompleteReadError):
            while frame := await self.frame(reader, is_first):
                is_first = False
                if how := self._cut():
                    kept = {"before": 0, "in": len(frame) // 2, "after": len(frame)}[how]
                    writer.write(frame[:kept])
                    await writer.drain()
                    self.cuts[f"{how} {what}"] += 1
                    break
                writer.write(frame)
                await writer.drain()
        for end in ends:
            end.close()  # what was written before arrives

    def _cut(self) -> str | None:
        if not self.is_on:
            return None
        self._left -= 1
        if self._left:
            return None
        self._left = self.dice.randint(1, SPACING[self.name])
        return self.dice.choice(("before", "in", "after"))


async def message(reader: Reader, is_first: bool) -> bytes:  # noqa: FBT001
    """Read one message of PostgreSQL's protocol; a client's first one has no type."""
    head = await reader.readexactly(4 if is_first else 5)
    return head + await reader.readexactly(int.from_bytes(head[-4:]) - 4)


async def piece(reader: Reader, _: bool) -> bytes:  # noqa: FBT001
    """Read a little of anything."""
    return await reader.read(256)


@dataclass
class Wires:
    """A database and an API, and the proxies in front of both."""

    database: Database
    proxies: dict[str, Proxy]
    port: int

    @property
    def cuts(self) -> int:
        return sum(proxy.cuts.total() for proxy in self.proxies.values())

    def cut(self, *, on: bool) -> None:
        for proxy in self.proxies.values():
            proxy.is_on = on


@contextmanager
def serving(proxies: dict[str, Proxy], path: Path, port: int) -> Iterator[None]:
    """Serve the proxies from a thread of their own."""
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with (
            await asyncio.start_unix_server(proxies["database"].serve, path),
            await asyncio.start_server(
                proxies["client"].serve, "127.0.0.1", port, reuse_address=True
            ),
        ):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    with ExitStack() as stack:
        inner, outer = stack.enter_context(servers.port()), stack.enter_context(servers.port())
        folder = stack.enter_context(servers.folder())
        server = stack.enter_context(servers.own(folder / "home"))
        server.start()
        database = Database(Settings(database_url=server.conninfo()))
        migrate(database.settings, "demo", say=lambda _: None)
        socket = str(server.socket_folder / ".s.PGSQL.5432")
        proxies = {
            "database": Proxy(
                "database",
                lambda: asyncio.open_unix_connection(socket),
                message,
                random.Random(f"{SEED}-database"),
            ),
            "client": Proxy(
                "client",
                lambda: asyncio.open_connection("127.0.0.1", inner),
                piece,
                random.Random(f"{SEED}-client"),
            ),
        }
        near = folder / "near"
        near.mkdir()
        stack.enter_context(serving(proxies, near / ".s.PGSQL.5432", outer))
        api = subprocess.Popen(
            [sys.executable, "-m", "pyapp", "serve"],
            env={
                **os.environ,
                "DATABASE_URL": server.conninfo().replace(str(server.socket_folder), str(near)),
                "PORT": str(inner),
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=stack.enter_context((tmp_path / "api.log").open("a")),
        )
        stack.callback(api.wait)
        stack.callback(api.terminate)
        yield Wires(database, proxies, outer)
        assert api.poll() is None
        assert "crash" not in (tmp_path / "api.log").read_text()


def test_whatever_frame_a_connection_is_cut_at_one_key_is_one_payout(
    wires: Wires, record_property: Callable[[str, object], None]
) -> None:
    load = rich_and_poor(wires.database, wires.port)
    with under(load) as clients:
        try:
            progress(load, clients, 1)
            wires.cut(on=True)
            while wires.cuts < CUTS:
                progress(load, clients, 1)
            wires.cut(on=False)
            progress(load, clients, 10)
        finally:
            wires.cut(on=False)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda place: repeat_all(load, place), range(CLIENTS)))
    what_was_acknowledged_is_there(wires.database, load)
    with wires.database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}
    for proxy in wires.proxies.values():
        assert {how.split()[0] for how in proxy.cuts} == {"before", "in", "after"}
        assert {how.split()[1] for how in proxy.cuts} == {"request", "answer"}
        log.info("%s: %s", proxy.name, dict(proxy.cuts))
    record_property("cuts", wires.cuts)
    record_property("requests", len(load.acknowledged))
    log.info("%s requests, %s", len(load.acknowledged), dict(load.statuses))
