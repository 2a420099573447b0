"""Requests that gather go down as one call, and nobody is held up by another's trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import (
    LockNotAvailable,
    QueryCanceled,
    RaiseException,
    TooManyConnections,
)
from psycopg_pool import PoolTimeout

from pyapp import gather
from pyapp.gather import Gather
from tests.conftest import Database
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient

Ask = tuple[str, int]  # a line, and what is asked
BODY = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}


class Door:
    """A door that is slow to open, and keeps who came through it together."""

    def __init__(
        self,
        *,
        locked: str = "",
        poison: int = -1,
        fault: Exception | None = None,
        away: bool = False,
    ) -> None:
        self.locked = locked
        self.poison = poison
        self.fault = fault or RaiseException()
        self.away = away
        self.calls: list[list[Ask]] = []
        self.alone: list[list[Ask]] = []
        self.open = asyncio.Event()
        self.gather: Gather[Ask, str] = Gather("test", self._together, self._alone)

    async def ask(self, *asks: Ask) -> list[str | BaseException]:
        """Ask for all of these at the same moment."""
        work = [asyncio.create_task(self.gather.ask(ask[0], ask)) for ask in asks]
        await some_turns()
        self.open.set()
        return await asyncio.gather(*work, return_exceptions=True)

    async def begin(self, ask: Ask) -> asyncio.Task[str]:
        """Ask for one, and have it under way."""
        task = asyncio.create_task(self.gather.ask(ask[0], ask))
        await some_turns()
        return task

    async def _together(self, asks: Sequence[Ask]) -> list[str | None]:
        self.calls.append([*asks])
        await self.open.wait()
        self._fail(asks)
        return [None if line == self.locked else f"{line}{number}" for line, number in asks]

    async def _alone(self, asks: Sequence[Ask]) -> list[str]:
        self.alone.append([*asks])
        self._fail(asks)
        if any(line == self.locked for line, _ in asks):
            raise LockNotAvailable
        return [f"{line}{number}" for line, number in asks]

    def _fail(self, asks: Sequence[Ask]) -> None:
        if self.away:
            raise PoolTimeout
        if any(number == self.poison for _, number in asks):
            raise self.fault


async def some_turns() -> None:
    """Let the loop go on until what was asked for has left."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 999)), max_size=300))
def test_everybody_gets_the_answer_to_what_they_asked(asks: list[Ask]) -> None:
    async def test() -> None:
        door = Door()
        assert await door.ask(*asks) == [f"{line}{number}" for line, number in asks]
        assert sorted(one for call in door.calls for one in call) == sorted(asks)
        for line in "abcdef":  # in its order
            told = [one for call in door.calls for one in call if one[0] == line]
            assert told == [one for one in asks if one[0] == line]

    run(test)


def test_what_waits_meanwhile_is_one_call() -> None:
    async def test() -> None:
        door = Door()
        first = await door.begin(("first", 0))
        await door.ask(*((f"{number}", number) for number in range(60)))
        assert await first == "first0"
        assert [len(call) for call in door.calls] == [1, 60]

    run(test)


def test_what_is_asked_for_in_one_turn_of_the_loop_is_one_call() -> None:
    async def test() -> None:
        door = Door()
        await door.ask(*((f"{number}", number) for number in range(60)))
        assert [len(call) for call in door.calls] == [60]

    run(test)


def test_the_next_call_leaves_before_anybody_has_the_last_ones_answer() -> None:
    async def test() -> None:
        door = Door()
        first, second = await door.begin(("a", 1)), await door.begin(("b", 1))
        door.open.set()
        assert await first == "a1"
        assert door.calls == [[("a", 1)], [("b", 1)]]
        assert await second == "b1"

    run(test)


def test_a_call_that_nothing_comes_back_from_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gather, "_SILENCE", 0.01)

    async def test() -> None:
        door = Door()
        first, second = await door.begin(("a", 1)), await door.begin(("b", 1))
        with pytest.raises(PoolTimeout, match="was not answered in time"):
            await first
        door.open.set()
        assert await second == "b1"

    run(test)


def test_a_line_of_hundreds_holds_up_nobody() -> None:
    async def test() -> None:
        door = Door()
        many = [("many", number) for number in range(400)]
        await door.ask(*many, *((f"{number}", number) for number in range(20)))
        served = [line for call in door.calls[:3] for line, _ in call]
        assert {*map(str, range(20))} <= {*served}

    run(test)


def test_of_a_line_one_call_is_under_way_at_a_time() -> None:
    async def test() -> None:
        door = Door()
        waiting = [await door.begin(("a", number)) for number in range(10)]
        assert door.calls == [[("a", 0)]]
        door.open.set()
        assert await asyncio.gather(*waiting) == [f"a{number}" for number in range(10)]

    run(test)


def test_a_locked_line_is_asked_again_for_itself_and_delays_only_its_own() -> None:
    async def test() -> None:
        door = Door(locked="a")
        found = await door.ask(("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5))
        assert [isinstance(one, LockNotAvailable) for one in found] == [True, False] * 2 + [False]
        assert [one for one in found if isinstance(one, str)] == ["b2", "c4", "b5"]
        assert {line for call in door.alone for line, _ in call} == {"a"}

    run(test)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(RaiseException(), id="PostgreSQL refuses it"),
        pytest.param(psycopg.DataError("NUL"), id="psycopg refuses it"),
        pytest.param(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), id="it is no text"),
    ],
)
def test_poison_hurts_only_itself(fault: Exception) -> None:
    async def test() -> None:
        door = Door(poison=7, fault=fault)
        asks = [("ab"[number % 2], number) for number in range(20)]
        found = await door.ask(*asks)
        assert isinstance(found.pop(7), type(fault))
        assert found == [f"{line}{number}" for line, number in asks if number != 7]

    run(test)


def test_a_line_that_takes_too_long_takes_nothing_from_the_others() -> None:
    async def test() -> None:
        door = Door(poison=7, fault=QueryCanceled())
        found = await door.ask(*((f"line{number}", number) for number in range(20)))
        assert isinstance(found.pop(7), QueryCanceled)
        assert found == [f"line{number}{number}" for number in range(20) if number != 7]

    run(test)


def test_a_database_that_is_away_is_so_for_all_and_is_not_asked_again() -> None:
    async def test() -> None:
        door = Door(away=True)
        found = await door.ask(*(("a", number) for number in range(50)))
        assert all(isinstance(one, PoolTimeout) for one in found)
        assert door.alone == []

    run(test)


def test_a_door_that_gives_too_few_answers_gives_none() -> None:
    """Nobody gets another's answer, and nobody waits for ever."""

    async def test() -> None:
        async def short(asks: Sequence[int]) -> list[int]:
            return [*asks][:-1]

        door: Gather[int, int] = Gather("test", short, short)
        for _ in range(2):
            work = (door.ask("a", number) for number in range(5))
            found = await asyncio.gather(*work, return_exceptions=True)
            assert all(isinstance(one, RuntimeError) for one in found)

    run(test)


def test_whoever_has_gone_before_the_call_is_left_out_and_the_others_go_on() -> None:
    async def test() -> None:
        door = Door()
        work = [await door.begin(("a", number)) for number in range(5)]
        work[0].cancel()  # under way
        work[2].cancel()  # waits
        await asyncio.sleep(0.01)
        door.open.set()
        found = await asyncio.gather(*work, return_exceptions=True)
        assert [one for one in found if isinstance(one, str)] == ["a1", "a3", "a4"]
        assert [number for call in door.calls for _, number in call] == [0, 1, 3, 4]

    run(test)


def test_a_line_has_so_much_room_and_takes_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gather, "_MOST", 10)

    async def test() -> None:
        door = Door()
        away = await door.begin(("a", 99))
        found = await door.ask(*(("a", number) for number in range(15)), ("b", 1))
        assert sum(isinstance(one, PoolTimeout) for one in found) == 5
        assert await away == "a99"
        assert found[-1] == "b1"
        assert await door.ask(("a", 1)) == ["a1"]  # there is room again

    run(test)


def test_who_has_waited_in_vain_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "_MOST", 5)
    monkeypatch.setattr(gather, "_PATIENCE", 0.05)

    async def test() -> None:
        door = Door()
        away = asyncio.create_task(door.gather.ask("a", ("a", 0)))
        await some_turns()
        for _ in range(3):
            work = (door.gather.ask("a", ("a", number)) for number in range(5))
            found = await asyncio.gather(*work, return_exceptions=True)
            assert ["in time" in str(one) for one in found] == [True] * 5
        assert door.gather._lines == {}
        door.open.set()
        assert await away == "a0"

    run(test)


def test_who_waits_for_a_place_alone_waits_no_longer_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More lines are locked than there are places: none of them is kept for ever."""
    monkeypatch.setattr(gather, "_PATIENCE", 0.05)

    async def test() -> None:
        stuck = asyncio.Event()

        async def none(asks: Sequence[str]) -> list[str | None]:
            return [None for _ in asks]

        async def wait(asks: Sequence[str]) -> list[str]:
            await stuck.wait()
            return [*asks]

        door: Gather[str, str] = Gather("test", none, wait)
        lines = [f"{number}" for number in range(door.few + 5)]
        work = [asyncio.create_task(door.ask(line, line)) for line in lines]
        late = await asyncio.gather(*work[door.few :], return_exceptions=True)
        assert all(isinstance(one, PoolTimeout) for one in late)
        stuck.set()
        assert await asyncio.gather(*work[: door.few]) == lines[: door.few]

    run(test)


@pytest.mark.parametrize("trouble", [QueryCanceled, LockNotAvailable, TooManyConnections])
def test_what_no_single_request_is_the_cause_of_is_not_tried_one_by_one(
    trouble: type[psycopg.Error],
) -> None:
    async def test() -> None:
        calls = 0

        async def none(asks: Sequence[int]) -> list[int | None]:
            return [None for _ in asks]

        async def fail(asks: Sequence[int]) -> list[int]:
            nonlocal calls
            calls += 1
            raise RaiseException if len(asks) > 1 else trouble

        door: Gather[int, int] = Gather("test", none, fail)
        work = [asyncio.create_task(door.ask("a", number)) for number in range(20)]
        found = await asyncio.gather(*work, return_exceptions=True)
        assert all(isinstance(one, trouble) for one in found)
        assert calls <= 1 + 2  # the first one, which came alone, and the others: together, and one

    run(test)


def test_whoever_gets_no_turn_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "_PATIENCE", 0.05)

    async def test() -> None:
        door = Door()
        first = asyncio.create_task(door.gather.ask("a", ("a", 1)))
        await some_turns()
        with pytest.raises(PoolTimeout):
            await door.gather.ask("a", ("a", 2))
        door.open.set()
        assert await first == "a1"  # which was under way

    run(test)


# ------------------------------------------------------------------------------- over HTTP


def test_a_merchant_whose_lock_is_held_delays_no_other(
    new_client: NewClient, locked: Callable[[Client], psycopg.Connection[Any]]
) -> None:
    stuck, *others = [new_client() for _ in range(9)]
    with ThreadPoolExecutor(9) as threads, locked(stuck):
        waits = threads.submit(stuck.create, BODY)
        for _ in range(5):
            made = list(threads.map(lambda one: one.create(BODY), others))
            assert {answer.status for answer in made} == {201}
        answer = waits.result()
    assert (answer.status, answer.code) == (409, "idempotency_key_in_flight")
    assert stuck.balance() == (1_000_000, 0)


def test_a_request_that_breaks_the_call_breaks_no_other(
    new_client: NewClient, database: Database
) -> None:
    """A fault of ours that only some requests meet: here, one that a trigger stands for."""
    clients = [new_client() for _ in range(8)]
    poisoned = str(clients[3].merchant_id)
    with database.connect("payrail_owner") as owner:
        owner.execute(
            "CREATE FUNCTION payout.poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.merchant_id = '{poisoned}' THEN RAISE EXCEPTION 'poison'; END IF;"
            " RETURN NEW; END $$".encode()
        )
        owner.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON payout.payouts"
            " FOR EACH ROW EXECUTE FUNCTION payout.poison()"
        )
        try:
            with ThreadPoolExecutor(8) as threads:
                for _ in range(10):
                    made = list(threads.map(lambda one: one.create(BODY), clients))
                    bad = made.pop(3)
                    assert (bad.status, bad.code) == (500, "internal")
                    assert {answer.status for answer in made} == {201}
        finally:
            owner.execute("DROP TRIGGER poison ON payout.payouts")
            owner.execute("DROP FUNCTION payout.poison")


def test_who_asks_at_the_same_moment_is_who_is_answered(
    new_client: NewClient, operator: Connection
) -> None:
    """The keys of several people and merchants in one call: each payout is of its own."""
    first = new_client(owner="asha")
    clients = [
        first,
        new_client(beside=first, owner="ravi"),
        *(new_client(owner=f"owner-{number}") for number in range(6)),
    ]
    owners = ["asha", "ravi", *(f"owner-{number}" for number in range(6))]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            made = list(threads.map(lambda one: one.create(BODY), clients))
            for client, owner, answer in zip(clients, owners, made, strict=True):
                row = operator.execute(
                    "SELECT merchant_id, created_by FROM payrail.payouts WHERE payout_id = %s",
                    [json.loads(answer.body)["id"]],
                ).fetchone()
                assert row == {"merchant_id": client.merchant_id, "created_by": owner}
