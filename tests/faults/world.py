"""A small world in which anything may happen: banks, networks, workers and clocks out of one seed.

The dispatcher and the doors are the real ones, on a real PostgreSQL. Time is not: the event loop
jumps from one timer to the next, and `rail.clock()` follows it. Whatever a seed does, it does
again.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from pyapp import doors
from pyapp.jobs import dispatch
from pyapp.jobs.dispatch import Dispatcher
from pyapp.rails.rail import (
    Answer,
    Capabilities,
    Instruction,
    NotFound,
    NotReachedError,
    Paid,
    Pending,
    Refused,
    Returned,
)
from tests.desk import Desk

CHAOS: Final = 90.0  # seconds in which everything may fail
PATIENCE: Final = 3 * 86400.0  # seconds after which nothing may be left open
FINALITY: Final = timedelta(seconds=300)
NEVER: Final = float("inf")
CLOCK: Final = """
CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN coalesce(nullif(current_setting('world.now', TRUE), '')::timestamptz, clock_timestamp())
"""


class _NoWaiting(selectors.DefaultSelector):
    """Waits for nothing: when the loop would, its clock is moved instead."""

    loop: Loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            message = "nothing is left to happen"
            raise RuntimeError(message)
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else is to be done."""

    def __init__(self) -> None:
        selector = _NoWaiting()
        selector.loop = self
        self.now = 0.0
        self.began = datetime.now(UTC)
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def moment(self) -> datetime:
        """Return the time as PostgreSQL has it."""
        return self.began + timedelta(seconds=self.now)


@dataclass
class Order:
    """What the bank knows of one instruction."""

    rail_ref: str
    amount: int
    changes: list[tuple[float, str]]  # what it is from when on: pending, paid, refused, returned
    hidden_until: float
    is_garbled: bool
    executions: int = 0

    def at(self, now: float) -> str:
        return [state for since, state in self.changes if since <= now][-1]

    @property
    def end(self) -> str:
        return self.changes[-1][1]


@dataclass
class World:
    """Everything that one seed decides."""

    seed: int
    desk: Desk
    loop: Loop
    dice: random.Random = field(init=False)
    orders: dict[str, Order] = field(default_factory=dict)
    notices: list[tuple[float, int, doors.Notice]] = field(default_factory=list)
    capabilities: Capabilities = field(init=False)
    is_calm: bool = False
    crashes: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.capabilities = Capabilities(
            deduplicates_references=self.dice.random() < 0.7,
            honours_valid_until=self.dice.random() < 0.5,
            batch_size=self.dice.choice([1, 2, 100]),
            finality=FINALITY,
        )

    def happens(self, share: float) -> bool:
        """Whether something bad happens now."""
        return not self.is_calm and self.dice.random() < share

    # --------------------------------------------------------------------------------- the bank

    def receive(self, instruction: Instruction) -> None:
        """Take an instruction in; who sends it twice to a careless bank pays twice."""
        now = self.loop.time()
        known = self.orders.get(instruction.rail_ref)
        if self.capabilities.honours_valid_until and self.loop.moment() > instruction.valid_until:
            return
        if known is None:
            known = self.orders[instruction.rail_ref] = Order(
                instruction.rail_ref,
                instruction.amount,
                self._fate(now),
                hidden_until=now + self.dice.choice([0, 0, 0, 2, 200]),
                is_garbled=self.dice.random() < 0.1,
            )
            self._tell_of(known)
        elif self.capabilities.deduplicates_references:
            return
        known.executions += 1

    def _fate(self, now: float) -> list[tuple[float, str]]:
        wait = self.dice.choice([0.0, 0.0, 0.5, 5.0, 100.0])
        fates: list[tuple[int, list[tuple[float, str]]]] = [
            (50, [(now + wait, "paid")]),
            (20, [(now + wait, "refused")]),
            (10, [(now + wait, "paid"), (now + wait + self.dice.uniform(1, 500), "returned")]),
            (10, [(now + wait, "refused"), (now + wait + self.dice.uniform(1, 500), "paid")]),
            (5, []),  # it stays pending for ever
        ]
        weights, ways = zip(*fates, strict=True)
        (changes,) = self.dice.choices(ways, weights)
        return [(now, "pending"), *changes] if wait or not changes else changes

    def _tell_of(self, order: Order) -> None:
        """Plan the callbacks: at least one for each change, in any order, some of them twice."""
        for since, state in order.changes:
            for _ in range(self.dice.choice([1, 1, 1, 2])):
                at = since + self.dice.choice([0.0, 0.1, 1.0, 40.0])
                code = {"paid": utr(order), "refused": "account_closed", "returned": "R01"}
                event_id = f"{order.rail_ref}-{state}-{self.seed}"
                said = doors.Notice(event_id, order.rail_ref, state, code.get(state), None, {})
                heapq.heappush(self.notices, (at, len(self.notices), said))

    def answer(self, rail_ref: str) -> Answer:
        """Say what the bank says now."""
        order = self.orders.get(rail_ref)
        if order is None:
            return NotFound({})
        raw = {"rail_ref": rail_ref, "state": order.at(self.loop.time())}
        match raw["state"]:
            case "paid":
                return Paid(utr(order), raw)
            case "returned":
                return Returned(utr(order), "R01", None, raw)
            case "refused":
                if order.is_garbled and self.happens(0.5):
                    return Refused("never heard of", None, raw)
                return Refused("account_closed", None, raw)
        return Pending("the bank is working on it", raw)


def utr(order: Order) -> str:
    return f"UTR{order.rail_ref[-20:]}"


@dataclass
class Life:
    """One worker from its start to its death."""

    world: World
    connection: psycopg.Connection[DictRow]
    is_over: bool = False

    async def pause(self) -> None:
        """Take the time that things take; some workers die of it, some fall asleep."""
        world = self.world
        await asyncio.sleep(world.dice.uniform(0.0005, 0.02))
        if world.happens(0.01):
            await asyncio.sleep(world.dice.choice([3, 12, 40, 100]))
        if world.happens(0.02):
            self.is_over = True
            world.crashes += 1
        if self.is_over:
            await asyncio.Event().wait()  # whoever was killed does nothing any more


@dataclass
class Line:
    """The bank as one worker reaches it, over a network that does what networks do."""

    life: Life

    @property
    def capabilities(self) -> Capabilities:
        return self.life.world.capabilities

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        world = self.life.world
        await self._reach()
        taken = len(instructions)
        if world.happens(0.05):
            taken = world.dice.randrange(taken + 1)  # it breaks off in the middle
        for instruction in instructions[:taken]:
            world.receive(instruction)
        return await self._say([instruction.rail_ref for instruction in instructions[:taken]])

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        await self._reach()
        now = self.life.world.loop.time()
        orders = self.life.world.orders
        hidden = {r for r in rail_refs if r in orders and orders[r].hidden_until > now}
        said = dict(await self._say(rail_refs))
        return {r: NotFound({}) if r in hidden else answer for r, answer in said.items()}

    async def tend(self) -> None:
        """It has no mailbox."""

    async def _reach(self) -> None:
        world = self.life.world
        await self.life.pause()
        if world.happens(0.05):
            raise NotReachedError
        if world.happens(0.1):
            message = "503"
            raise ConnectionError(message)
        if world.happens(0.05):
            await asyncio.sleep(world.dice.choice([1, 20]))

    async def _say(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        world = self.life.world
        said = {rail_ref: world.answer(rail_ref) for rail_ref in rail_refs}
        await self.life.pause()
        if world.happens(0.15):
            message = "the connection broke"
            raise ConnectionError(message)
        if world.happens(0.03):
            await asyncio.sleep(20)
        return {rail_ref: answer for rail_ref, answer in said.items() if not world.happens(0.05)}


async def call(
    life: Life, query: bytes, parameters: Mapping[str, object], row: Callable[..., Any]
) -> list[Any]:
    """Call a door as one worker: it may die before the call, or before it hears the answer."""
    await life.pause()
    set_clock(life)
    found = life.connection.cursor(row_factory=row).execute(query, parameters).fetchall()
    await life.pause()
    return found


def set_clock(life: Life) -> None:
    """Let it be as late for PostgreSQL as it is here."""
    moment = life.world.loop.moment().isoformat()
    life.connection.execute("SELECT set_config('world.now', %s, FALSE)", [moment])


async def work(life: Life) -> None:
    """Work as pyapp.jobs.app does, until killed."""
    dispatcher = Dispatcher(life, {"sandbox": Line(life)}, "world", asyncio.Event())  # type: ignore[arg-type]
    while not life.is_over:
        await dispatcher.look()
        await dispatcher.flush()
        await asyncio.sleep(10.0 if life.world.is_calm else 1.0)


async def deliver(world: World, connection: psycopg.Connection[DictRow]) -> None:
    """Deliver the bank's callbacks when their time has come."""
    life = Life(world, connection)
    while True:
        while world.notices and world.notices[0][0] <= world.loop.time():
            _, _, notice = heapq.heappop(world.notices)
            set_clock(life)
            life.connection.execute(
                "SELECT payrail.receive_notices('sandbox',"
                " ARRAY[ROW(%s, %s, %s, %s, NULL, '{}')::payrail.notice])",
                [notice.event_id, notice.rail_ref, notice.outcome, notice.code],
            )
        await asyncio.sleep(0.1)


async def live(world: World, payouts: int) -> list[UUID]:
    """Let it all happen; return the payouts."""
    desk, dice = world.desk, world.dice
    made: list[UUID] = []
    connection = desk.connection("payrail_worker")
    connection.execute("SELECT setseed(%s)", [dice.random()])  # of the doors' own jitter
    lives: list[Life] = []

    async def employ() -> None:
        while True:  # whoever dies is replaced
            life = Life(world, connection)
            lives.append(life)
            task = asyncio.create_task(work(life))
            while not life.is_over:
                await asyncio.sleep(0.5)
                if task.done():
                    task.result()
            await asyncio.sleep(dice.uniform(0, 10))

    async def ask() -> None:
        for _ in range(payouts):
            await asyncio.sleep(dice.choice([0.0, 0.01, 1.0, 10.0]))
            made.append(desk.payout(amount=dice.randrange(1, 500)))

    crew = [asyncio.create_task(employ()) for _ in range(dice.choice([1, 2]))]
    crew.append(asyncio.create_task(deliver(world, connection)))
    await ask()
    await asyncio.sleep(CHAOS)
    world.is_calm = True
    ends = world.loop.time() + PATIENCE
    while is_open(world, made) and world.loop.time() < ends:
        await asyncio.sleep(60)
        for member in crew:
            if member.done():
                member.result()
    return made


def is_open(world: World, payouts: Sequence[UUID]) -> bool:
    """Whether something is still to come: a payout that isn't final, or that has not been told."""
    if world.notices:
        return True
    seen = world.desk.sql(
        "admin",
        "SELECT p.next_action_at IS NOT NULL AND NOT EXISTS (SELECT FROM rail.cases c WHERE"
        " c.payout_id = p.payout_id AND c.kind = 'outcome_unknown' AND c.closed_at IS NULL) AS open"
        " FROM payout.payouts p WHERE merchant_id = %(merchant_id)s",
    )
    return len(seen) < len(payouts) or any(row["open"] for row in seen)


def judge(world: World, payouts: Sequence[UUID]) -> None:
    """Compare the bank's truth with ours."""
    desk = world.desk
    cases: dict[UUID, set[str]] = {}
    query = "SELECT payout_id, kind FROM payrail.cases WHERE merchant_id = %(merchant_id)s"
    for row in desk.sql("payrail_auditor", f"{query} AND closed_at IS NULL"):
        cases.setdefault(row["payout_id"], set()).add(row["kind"])
    for payout_id in payouts:
        payout = desk.see(payout_id)
        order = world.orders.get(payout_id.hex)
        open_cases = cases.get(payout_id, set())
        context = (world.seed, payout["status"], order, open_cases)
        if order is None:
            # the bank never had it: only one that does not de-duplicate leaves that to people
            assert payout["status"] == "processing", context
            assert open_cases == {"outcome_unknown"}, context
            assert not world.capabilities.deduplicates_references, context
            continue
        assert order.executions == 1, context
        match order.end:
            case "pending":
                assert payout["status"] == "processing", context
                assert open_cases == {"outcome_unknown"}, context
            case "paid" if payout["status"] == "failed":
                # the bank itself had said its final no
                assert [state for _, state in order.changes][-2:] == ["refused", "paid"], context
                assert open_cases == {"money_to_recover"}, context
            case "paid":
                assert (payout["status"], payout["utr"]) == ("settled", utr(order)), context
                assert open_cases == set(), context
            case "refused":
                assert payout["status"] == "failed", context
                assert open_cases == set(), context
            case "returned":
                assert payout["status"] == "returned", context
                assert open_cases == set(), context
    held = sum(desk.see(p)["amount"] for p in payouts if desk.see(p)["status"] == "processing")
    assert desk.balance()[1] == held, world.seed


def run(seed: int, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let one seed happen, and judge it."""
    loop = Loop()
    world = World(seed, desk, loop)
    monkeypatch.setattr(doors, "call", call)
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=loop.time, time=loop.time))
    desk.sql(
        "payrail_owner",
        "UPDATE rail.rails SET failures = 0, opened_at = NULL, trial_at = NULL,"
        " succeeded_at = NULL, failed_at = NULL",
        [],
    )
    try:
        payouts = loop.run_until_complete(live(world, world.dice.randrange(1, 7)))
        judge(world, payouts)
        clear(world, payouts)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        with suppress(RuntimeError):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    return world


def clear(world: World, payouts: Sequence[UUID]) -> None:
    """Leave nothing for the next seed to find."""
    for payout_id in payouts:
        if world.desk.see(payout_id)["status"] == "processing":
            world.desk.settle(payout_id, f"BY-HAND-{payout_id.hex[-10:]}")
