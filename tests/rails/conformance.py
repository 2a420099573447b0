"""What every adapter has to do, whatever its bank: the interface, and what it declares of itself.

An adapter's tests describe it as a `Subject` and run each of `CHECKS`:

    @pytest.mark.parametrize("check", CHECKS)
    def test_conforms(check: Check, subject: Subject) -> None:
        asyncio.run(check(subject))

A bank that answers through a mailbox may leave answers out of `submit`; what is final is awaited
with `tend` and `enquire`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import uuid4

import pytest

from pyapp.rails.rail import (
    Answer,
    Instruction,
    NotFound,
    NotReachedError,
    Paid,
    Pending,
    Rail,
    Refused,
    Returned,
    Unknown,
)

FINAL: Final = (Paid, Refused, Returned)
PATIENCE: Final = 60.0  # seconds for a final answer


@dataclass(frozen=True)
class Subject:
    """An adapter, and how to make its bank do things.

    `accounts` has an account number for "paid" and "refused", and for "undecided" if the bank can
    be made to give no final answer. `nowhere` opens the adapter where nobody listens; None if it
    calls nobody. `executions` tells how often the bank has moved money for a reference, and
    `mode` and `narration` what it was told with it.
    """

    opened: Callable[[], AbstractAsyncContextManager[Rail]]
    nowhere: Callable[[], AbstractAsyncContextManager[Rail]] | None
    accounts: Mapping[str, str]
    executions: Callable[[str], int]
    mode: Callable[[str], str | None]
    narration: Callable[[str], str | None]

    def order(self, what: str = "paid", **more: Any) -> Instruction:
        """Return an instruction that the bank will do this with."""
        made = Instruction(
            rail_ref=uuid4().hex,
            amount=6000,
            currency="INR",
            account_number=self.accounts[what],
            ifsc="HDFC0000001",
            holder_name="Asha Rao",
            valid_until=datetime.now(UTC) + timedelta(minutes=1),
        )
        return replace(made, **more)


Check: TypeAlias = Callable[[Subject], Coroutine[Any, Any, None]]


async def final(rail: Rail, rail_ref: str) -> Answer:
    """Enquire until the answer is final."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await rail.tend()
            answer = (await rail.enquire([rail_ref])).get(rail_ref)
            if isinstance(answer, FINAL):
                return answer
            await asyncio.sleep(0.05)


async def it_declares_what_can_be_relied_on(subject: Subject) -> None:
    async with subject.opened() as rail:
        relied = rail.capabilities
        assert isinstance(relied.deduplicates_references, bool)
        assert isinstance(relied.honours_valid_until, bool)
        assert relied.batch_size >= 1
        assert relied.finality > timedelta(0)
        assert "account_number" in relied.accounts


async def it_pays_and_says_the_same_when_asked(subject: Subject) -> None:
    async with subject.opened() as rail:
        one = subject.order("paid")
        said = (await rail.submit([one])).get(one.rail_ref)
        answer = await final(rail, one.rail_ref)
        assert isinstance(answer, Paid)
        assert 1 <= len(answer.utr) <= 35
        assert said == answer or not isinstance(said, FINAL)
    assert subject.executions(one.rail_ref) == 1


async def it_tells_the_bank_the_narration_and_none_where_there_is_none(subject: Subject) -> None:
    async with subject.opened() as rail:
        for text in ("Invoice 17", None):
            one = subject.order("paid", narration=text)
            await rail.submit([one])
            await final(rail, one.rail_ref)
            assert subject.narration(one.rail_ref) == text


async def it_tells_the_bank_by_which_mode_it_is_to_pay(subject: Subject) -> None:
    async with subject.opened() as rail:
        one = subject.order("paid", mode="NEFT")
        await rail.submit([one])
        await final(rail, one.rail_ref)
        assert subject.mode(one.rail_ref) == "NEFT"


async def it_refuses_with_a_code(subject: Subject) -> None:
    async with subject.opened() as rail:
        one = subject.order("refused")
        said = (await rail.submit([one])).get(one.rail_ref)
        answer = await final(rail, one.rail_ref)
        assert isinstance(answer, Refused)
        assert answer.failure_code
        assert said == answer or not isinstance(said, FINAL)
    assert subject.executions(one.rail_ref) == 0


async def it_answers_a_full_batch_under_its_own_references(subject: Subject) -> None:
    async with subject.opened() as rail:
        orders = [subject.order() for _ in range(rail.capabilities.batch_size)]
        refs = {one.rail_ref for one in orders}
        for said in (await rail.submit(orders), await rail.enquire([*refs])):
            assert {*said} <= refs
        answers = [await final(rail, ref) for ref in refs]
        utrs = {answer.utr for answer in answers if isinstance(answer, Paid)}
        assert len(utrs) == len(refs)


async def it_never_raises_because_of_one_instruction(subject: Subject) -> None:
    async with subject.opened() as rail:
        orders = {what: subject.order(what) for what in subject.accounts}
        await rail.submit([*orders.values()])
        assert isinstance(await final(rail, orders["paid"].rail_ref), Paid)
        assert isinstance(await final(rail, orders["refused"].rail_ref), Refused)
        if "undecided" in orders:
            ref = orders["undecided"].rail_ref
            answer = (await rail.enquire([ref])).get(ref)
            assert answer is None or isinstance(answer, Pending | Unknown)


async def it_does_not_know_what_the_bank_never_got(subject: Subject) -> None:
    async with subject.opened() as rail:
        known, unknown = subject.order(), uuid4().hex
        await rail.submit([known])
        await final(rail, known.rail_ref)
        said = await rail.enquire([unknown, known.rail_ref])
        assert isinstance(said[unknown], NotFound)
        assert isinstance(said[known.rail_ref], Paid)


async def a_reference_is_executed_once_if_it_says_so(subject: Subject) -> None:
    async with subject.opened() as rail, subject.opened() as other:
        if not rail.capabilities.deduplicates_references:
            return
        one = subject.order()
        await asyncio.gather(*(which.submit([one]) for which in (rail, other) * 4))
        answer = await final(rail, one.rail_ref)
        assert isinstance(answer, Paid)
        again = await other.submit([one])
        assert again.get(one.rail_ref, answer) == answer
    assert subject.executions(one.rail_ref) == 1


async def an_instruction_that_is_too_late_is_dropped_if_it_says_so(subject: Subject) -> None:
    async with subject.opened() as rail:
        if not rail.capabilities.honours_valid_until:
            return
        late = subject.order(valid_until=datetime.now(UTC) - timedelta(seconds=1))
        said = (await rail.submit([late])).get(late.rail_ref)
        assert not isinstance(said, (*FINAL, NotFound))
        await rail.tend()
        assert isinstance((await rail.enquire([late.rail_ref]))[late.rail_ref], NotFound)
    assert subject.executions(late.rail_ref) == 0


async def an_answer_can_be_kept_as_evidence_and_shows_no_account(subject: Subject) -> None:
    async with subject.opened() as rail:
        orders = [subject.order(what) for what in subject.accounts]
        said = {**await rail.submit(orders), **await rail.enquire([o.rail_ref for o in orders])}
        for answer in said.values():
            assert not isinstance(answer, NotFound)
            text = json.dumps({item.name: getattr(answer, item.name) for item in fields(answer)})
            assert not any(number in text for number in subject.accounts.values())


async def nothing_asked_is_nothing_answered(subject: Subject) -> None:
    async with subject.opened() as rail:
        assert await rail.submit([]) == {}
        assert await rail.enquire([]) == {}
        await rail.tend()


async def it_says_so_when_nobody_listens(subject: Subject) -> None:
    if subject.nowhere is None:
        return
    one = subject.order()
    async with subject.nowhere() as rail:
        with pytest.raises(NotReachedError) as sent:
            await rail.submit([one])
        with pytest.raises(NotReachedError) as asked:
            await rail.enquire([one.rail_ref])
        await rail.tend()
    for raised in (sent, asked):
        assert str(one.account_number) not in str(raised.value)
    assert subject.executions(one.rail_ref) == 0


CHECKS: Final[tuple[Check, ...]] = (
    it_declares_what_can_be_relied_on,
    it_pays_and_says_the_same_when_asked,
    it_tells_the_bank_the_narration_and_none_where_there_is_none,
    it_tells_the_bank_by_which_mode_it_is_to_pay,
    it_refuses_with_a_code,
    it_answers_a_full_batch_under_its_own_references,
    it_never_raises_because_of_one_instruction,
    it_does_not_know_what_the_bank_never_got,
    a_reference_is_executed_once_if_it_says_so,
    an_instruction_that_is_too_late_is_dropped_if_it_says_so,
    an_answer_can_be_kept_as_evidence_and_shows_no_account,
    nothing_asked_is_nothing_answered,
    it_says_so_when_nobody_listens,
)
