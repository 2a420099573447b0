"""Batches: lines become payouts, some at a time, each time in one transaction with the note of it.

What is left to do is found from the batches themselves, so a worker may die anywhere: the next one,
or the next second, goes on behind the last line that was answered. Merchants don't wait for each
other; a merchant's batches do, in the order in which they came.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from psycopg.errors import LockNotAvailable

from pyapp import doors, log
from pyapp.database import Pool, turn

CHUNK: Final = 200  # lines of a best-effort batch: so long are others of its merchant kept waiting
PLACES: Final = 4  # batches that are advanced at a time
OPTIONS: Final = "-c statement_timeout=60s"  # an all-or-nothing batch is one statement
_PATIENCE: Final = 1.0  # seconds after which what went wrong is tried again


class Batches:
    """The batches that this process is advancing; nothing more is begun once `stopping` is set."""

    def __init__(self, db: Pool, stopping: asyncio.Event, chunk: int = CHUNK) -> None:
        self.stopping = stopping
        self._db = db
        self._chunk = chunk
        self._running: dict[UUID, asyncio.Task[None]] = {}  # by merchant
        self._places = asyncio.Semaphore(PLACES)

    async def look(self) -> None:
        """Start on the oldest open batch of every merchant; don't wait for it."""
        for due in await doors.due_batches(self._db):
            if due.merchant_id not in self._running and not self.stopping.is_set():
                task = asyncio.create_task(self._run(due))
                self._running[due.merchant_id] = task

    async def drain(self) -> None:
        """Work until no batch is open."""
        while True:
            await self.look()
            if not self._running:
                return
            await asyncio.wait(self._running.values())

    async def stop(self) -> None:
        """Finish the lines that are being made."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def _run(self, due: doors.DueBatch) -> None:
        try:
            async with self._places:
                await self._advance(due)
        except LockNotAvailable:
            pass  # others are busy with this merchant: the next look tries again
        except Exception as exc:  # noqa: BLE001  # one batch's trouble is not the others'
            log.failure("batch failed", exc, merchant_id=due.merchant_id, batch_id=due.batch_id)
            await asyncio.sleep(_PATIENCE)
        finally:
            del self._running[due.merchant_id]

    async def _advance(self, due: doors.DueBatch) -> None:
        while not self.stopping.is_set():
            async with turn(due.merchant_id):
                batch = await doors.advance_batch(
                    self._db, due.merchant_id, due.batch_id, limit=self._chunk
                )
            if batch.completed_at:
                log.event(
                    "batch over",
                    merchant_id=due.merchant_id,
                    batch_id=due.batch_id,
                    status=batch.status,
                    accepted=batch.accepted,
                    rejected=batch.rejected,
                )
                return
