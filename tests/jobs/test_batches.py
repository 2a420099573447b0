"""Batches in the worker: found without being told, and gone on with after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pyapp import doors
from pyapp.database import Pool, open_pool
from pyapp.jobs.batches import Batches
from tests.conftest import Database
from tests.desk import ACCOUNT, Desk
from tests.workers import BLIND, DEAF, RUN, until, working

pytestmark = pytest.mark.usefixtures("bank")

# A worker that takes two lines at a time, and after each time says so and waits for a word.
STEPWISE = """
import asyncio, sys
from pyapp import doors, settings
from pyapp.jobs import app, batches
batches.Batches.__init__.__defaults__ = (2,)
advance = doors.advance_batch
async def slowly(*arguments, **named):
    batch = await advance(*arguments, **named)
    print("advanced", file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return batch
doors.advance_batch = slowly
app.run(settings.load())
"""


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database, 100_000) as desk:
        yield desk
        assert desk.violations() == {}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def upload(desk: Desk, lines: int, key: str = "batch", **more: Any) -> UUID:
    requests = [(None, 100, "INR", ACCOUNT, None, None)] * lines
    return UUID(desk.upload(*requests, key=key, **more).json["id"])


def over(desk: Desk, batch: UUID) -> Any:
    (row,) = desk.sql(
        "payrail_api",
        "SELECT * FROM payrail.batches WHERE merchant_id = %s AND batch_id = %s",
        [desk.merchant_id, batch],
    )
    return row if row["completed_at"] else None


def settled(desk: Desk) -> int:
    return sum(row["status"] == "settled" for row in desk.table("payouts"))


@pytest.mark.parametrize("worker", [BLIND, DEAF], ids=["by the alarm", "by the sweep"])
def test_a_batch_is_found_and_paid(desk: Desk, log: Path, worker: str) -> None:
    with working(desk.database.env, log, "-c", worker):
        until(lambda: log.exists() and "worker started" in log.read_text())
        batch = upload(desk, 5)
        until(lambda: over(desk, batch))
        until(lambda: settled(desk) == 5)


def test_a_worker_that_is_killed_between_two_steps_pays_nobody_twice(desk: Desk, log: Path) -> None:
    batch = upload(desk, 7)
    with working(desk.database.env, log, "-c", STEPWISE) as worker:
        until(lambda: "advanced" in log.read_text())
        worker.kill()
    assert [line["outcome"] for line in desk.lines(batch)] == ["accepted"] * 2 + [None] * 5
    with working(desk.database.env, log, "-c", RUN):
        row = until(lambda: over(desk, batch))
        assert (row["accepted"], row["rejected"]) == (7, 0)
        until(lambda: settled(desk) == 7)
    assert len({line["payout_id"] for line in desk.lines(batch)}) == 7
    assert desk.balance() == (100_000 - 700, 0)


def test_a_worker_that_is_to_stop_stops_between_two_steps(desk: Desk, log: Path) -> None:
    batch = upload(desk, 7)
    with working(desk.database.env, log, "-c", STEPWISE) as worker:
        until(lambda: "advanced" in log.read_text())
        worker.terminate()
        until(lambda: "worker stopping" in log.read_text())
        worker.communicate(b"\n", timeout=60)
    assert worker.returncode == 0
    assert [line["outcome"] for line in desk.lines(batch)] == ["accepted"] * 2 + [None] * 5
    asyncio.run(drained(desk))


async def drained(desk: Desk, chunk: int = 2) -> None:
    """Advance all batches until none is open."""
    async with open_pool(desk.database.conninfo("payrail_worker"), name="batches") as db:
        await Batches(db, asyncio.Event(), chunk).drain()


def test_a_merchants_batches_are_done_in_their_order(desk: Desk) -> None:
    first = upload(desk, 3, "a")
    second = upload(desk, 998, "b", mode="all_or_nothing")  # there is too little money left
    asyncio.run(drained(desk))
    assert over(desk, first)["accepted"] == 3
    assert over(desk, second)["status"] == "rejected"


def test_one_merchants_trouble_is_not_anothers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = desk.beside()
    stuck, fine = upload(desk, 3), upload(other, 3)
    advance = doors.advance_batch

    async def troubled(db: Pool, merchant_id: UUID, *arguments: Any, **named: Any) -> doors.Batch:
        if merchant_id == desk.merchant_id and not over(other, fine):
            raise psycopg.errors.QueryCanceled
        return await advance(db, merchant_id, *arguments, **named)

    monkeypatch.setattr(doors, "advance_batch", troubled)
    asyncio.run(drained(desk))
    assert over(other, fine)["accepted"] == 3
    assert over(desk, stuck)["accepted"] == 3


def test_a_merchant_whose_lock_is_held_is_tried_again(desk: Desk) -> None:
    batch = upload(desk, 3)

    async def race() -> None:
        conninfo = desk.database.conninfo("payrail_worker")
        holder = await psycopg.AsyncConnection.connect(desk.database.conninfo("admin"))
        async with open_pool(conninfo, name="batches") as db, holder:
            await holder.execute(
                "SELECT FROM merchant.merchants WHERE merchant_id = %s FOR UPDATE",
                [desk.merchant_id],
            )
            batches = Batches(db, asyncio.Event())
            await batches.look()
            await batches.stop()
            assert over(desk, batch) is None
            await holder.rollback()
            await batches.drain()

    asyncio.run(race())
    assert over(desk, batch)["accepted"] == 3
