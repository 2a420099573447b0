"""Open pages see what happens: one look at the database per tick for all of them together.

Every half second the merchants with a page open are looked up at once, by the numbers of their
newest event and ledger entry; who has news is rendered once and sent to all of that merchant's
pages. The more there is to tell, the longer the pause, up to two seconds: requests come first.
So a page costs the hot path nothing: a NOTIFY per payout would make commits wait for each other.
A reader that is too slow is cut off; its browser comes back and says what it saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg

from pyapp import doors, log
from pyapp.database import Pool, turn
from pyapp.web import metrics

_TICK: Final = 0.5  # seconds
_REST: Final = 60  # times as long as rendering the last news took: requests come first
_PATIENCE: Final = 2.0
_HEARTBEAT: Final = 15.0
_HERE: Final = b": still here\n\n"
_BACKLOG: Final = 16  # messages that a reader may be behind
_PAGE: Final = 100  # events read at a time

_BEYOND: Final = 2**62  # more events than there ever are: the numbers as they are, and no payouts

Reader = asyncio.Queue["bytes | None"]


@dataclass(frozen=True, slots=True)
class Hub:
    """Who is looking, and how far they have been told."""

    render: Callable[[doors.Change], bytes]
    _readers: defaultdict[UUID, set[Reader]] = field(default_factory=lambda: defaultdict(set))
    _seen: dict[UUID, doors.Seen] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(self, db: Pool) -> AsyncIterator[None]:
        """Look every tick until the end of the block."""
        task = asyncio.create_task(self._look(db))
        try:
            yield
        finally:
            task.cancel()
            self.close()

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        for readers in self._readers.values():
            for reader in readers:
                _put(reader, None)

    async def stream(self, db: Pool, seen: doors.Seen) -> AsyncGenerator[bytes, None]:
        """Yield server-sent events of one merchant from what was seen on."""
        with self._reading(seen.merchant_id) as reader:
            yield b"retry: 1000\n\n"
            for change in await doors.changes(db, [seen]):
                self._seen.setdefault(seen.merchant_id, _after(change))
                yield self.render(change)
            self._seen.setdefault(seen.merchant_id, seen)
            while (message := await _next(reader)) is not None:
                yield message

    async def events(
        self, db: Pool, merchant_id: UUID, after: int, is_valid: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Yield every event after a number, for as long as the key is valid that asked for them."""
        with self._reading(merchant_id) as reader:
            self._seen.setdefault(merchant_id, doors.Seen(merchant_id, after))
            yield b"retry: 1000\nid: %d\n\n" % after  # where to go on, also before the first event
            while await is_valid():
                async with turn(merchant_id):
                    found = await doors.events(db, merchant_id, limit=_PAGE, after=after)
                for event in found:
                    yield b"id: %d\ndata: %s\n\n" % (event.key, event.body.encode())
                    after = event.key
                if found:
                    continue
                message = await _next(reader)  # news for pages: here it says that there is some
                if message is None:
                    return
                if message == _HERE:
                    yield message

    @contextlib.contextmanager
    def _reading(self, merchant_id: UUID) -> Iterator[Reader]:
        """Hear what is new of a merchant until the end of the block."""
        reader: Reader = asyncio.Queue(_BACKLOG)
        self._readers[merchant_id].add(reader)
        try:
            with metrics.reading():
                yield reader
        finally:
            self._readers[merchant_id].discard(reader)
            if not self._readers[merchant_id]:
                del self._readers[merchant_id]
                self._seen.pop(merchant_id, None)

    async def _look(self, db: Pool) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(min(max(_TICK, _REST * took), _PATIENCE))
            took = 0.0
            if not self._seen:
                continue
            try:
                found = await doors.changes(db, list(self._seen.values()))
            except psycopg.Error as exc:
                log.event("live_updates_paused", level=logging.WARNING, error=repr(exc))
                continue
            except Exception as exc:  # noqa: BLE001 - the next look may well succeed
                log.failure("live_updates_failed", exc)
                continue
            for change in found:
                begun = time.monotonic()
                try:
                    self._tell(change)
                except Exception as exc:  # noqa: BLE001 - the other merchants' pages have news too
                    log.failure("live_updates_failed", exc)
                took += time.monotonic() - begun
                await asyncio.sleep(0)  # whoever asks for something need not wait for all pages

    def _tell(self, change: doors.Change) -> None:
        if change.merchant_id in self._seen:
            self._seen[change.merchant_id] = _after(change)
        message = self.render(change)
        for reader in self._readers.get(change.merchant_id, ()):
            _put(reader, message)


async def latest(db: Pool, merchant_id: UUID) -> doors.Change:
    """Return a merchant's balances, and how far its events and its ledger are."""
    (change,) = await doors.changes(db, [doors.Seen(merchant_id, _BEYOND, _BEYOND)])
    return change


def _after(change: doors.Change) -> doors.Seen:
    return doors.Seen(change.merchant_id, change.event_seq, change.entry_seq)


async def _next(reader: Reader) -> bytes | None:
    """Return the next message, or a sign of life when there is none for a while."""
    try:
        return await asyncio.wait_for(reader.get(), _HEARTBEAT)
    except TimeoutError:
        return _HERE


def _put(reader: Reader, message: bytes | None) -> None:
    """Hand a message over; a reader that is far behind, or whose server stops, is cut off."""
    if message is None or reader.full():
        while not reader.empty():
            reader.get_nowait()
        message = None
    reader.put_nowait(message)
