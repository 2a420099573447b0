"""The sandbox is a bank like any other: it fits the interface, and keeps a bank's promises."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

import pytest

from pyapp.database import open_pool
from pyapp.rails.rail import Answer, Instruction, NotFound, Paid, Rail, Refused, Unknown
from pyapp.rails.sandbox import Sandbox
from pyapp.settings import ROOT
from tests.conftest import Database

T = TypeVar("T")

PAID = ("0001", "7777", "9999")
REFUSED = {
    "0101": "account_closed",
    "0102": "account_invalid",
    "0103": "account_frozen",
    "0201": "beneficiary_bank_offline",
}


def order(ending: str, rail_ref: str | None = None, amount: int = 100) -> Instruction:
    return Instruction(
        rail_ref=rail_ref or uuid4().hex,
        amount=amount,
        currency="INR",
        account_number=f"50100234{ending}",
        ifsc="HDFC0000001",
        holder_name="Asha Rao",
        valid_until=datetime.now(UTC),
    )


def ask(database: Database, use: Callable[[Rail], Awaitable[T]], seed: int = 1) -> T:
    """Use the bank as a worker does."""

    async def run() -> T:
        async with open_pool(database.conninfo("payrail_worker"), name="test") as db:
            return await use(Sandbox(db, seed))

    return asyncio.run(run())


def send(database: Database, *orders: Instruction, seed: int = 1) -> list[Answer | None]:
    answers = ask(database, lambda bank: bank.submit(orders), seed)
    return [answers.get(order.rail_ref) for order in orders]


def enquire(database: Database, *rail_refs: str) -> list[Answer]:
    answers = ask(database, lambda bank: bank.enquire(rail_refs))
    return [answers[rail_ref] for rail_ref in rail_refs]


def submissions(database: Database, rail_ref: str) -> int:
    with database.connect("admin") as admin:
        row = admin.execute(
            "SELECT submissions FROM sandbox.instructions WHERE rail_ref = %s", [rail_ref]
        ).fetchone()
    assert row
    return int(row["submissions"])


def let_time_pass(database: Database, rail_ref: str) -> None:
    with database.connect("admin") as admin:
        admin.execute(
            "UPDATE sandbox.instructions SET answers_at = now()"
            " WHERE rail_ref = %s AND isfinite(answers_at)",
            [rail_ref],
        )


@pytest.mark.parametrize("ending", PAID)
def test_pays(shared_database: Database, ending: str) -> None:
    instruction = order(ending)
    (answer,) = send(shared_database, instruction)
    assert isinstance(answer, Paid)
    assert answer.raw["utr"] == answer.utr
    assert enquire(shared_database, instruction.rail_ref) == [answer]


@pytest.mark.parametrize(("ending", "code"), REFUSED.items())
def test_refuses(shared_database: Database, ending: str, code: str) -> None:
    instruction = order(ending)
    (answer,) = send(shared_database, instruction)
    assert isinstance(answer, Refused)
    assert answer.failure_code == code
    assert enquire(shared_database, instruction.rail_ref) == [answer]


def test_is_slow(shared_database: Database) -> None:
    instruction = order("0002")
    (answer,) = send(shared_database, instruction)
    assert isinstance(answer, Unknown)
    let_time_pass(shared_database, instruction.rail_ref)
    (answer,) = enquire(shared_database, instruction.rail_ref)
    assert isinstance(answer, Paid)


@pytest.mark.parametrize(("ending", "outcome"), [("0301", Paid), ("0302", Refused)])
def test_loses_its_answer_but_knows_when_asked(
    shared_database: Database, ending: str, outcome: type
) -> None:
    instruction = order(ending)
    assert send(shared_database, instruction, instruction) == [None, None]
    (answer,) = enquire(shared_database, instruction.rail_ref)
    assert isinstance(answer, outcome)


def test_stays_unknown_for_ever(shared_database: Database) -> None:
    instruction = order("0303")
    assert send(shared_database, instruction) == [None]
    let_time_pass(shared_database, instruction.rail_ref)
    (answer,) = enquire(shared_database, instruction.rail_ref)
    assert isinstance(answer, Unknown)


def test_does_not_know_what_it_never_got(shared_database: Database) -> None:
    known = order("0001")
    send(shared_database, known)
    answers = enquire(shared_database, uuid4().hex, known.rail_ref)
    assert [type(answer) for answer in answers] == [NotFound, Paid]


def test_executes_a_reference_once(shared_database: Database) -> None:
    first = order("0001")
    answers = send(shared_database, first)
    answers += send(shared_database, order("0101", first.rail_ref, amount=999), seed=2)
    assert answers == [answers[0]] * 2
    assert submissions(shared_database, first.rail_ref) == 2


def test_executes_once_whoever_sends_at_the_same_time(shared_database: Database) -> None:
    orders = [order("0001") for _ in range(40)]

    async def crowd(bank: Rail) -> Sequence[dict[str, Answer]]:
        shuffled = (random.sample(orders, len(orders)) for _ in range(16))
        return [dict(said) for said in await asyncio.gather(*map(bank.submit, shuffled))]

    first, *others = ask(shared_database, crowd)
    assert all(said == first for said in others)
    assert len(first) == len(orders)
    assert {submissions(shared_database, order.rail_ref) for order in orders} == {16}


def test_utrs_are_unique_and_fit(shared_database: Database) -> None:
    answers = send(shared_database, *(order("0001") for _ in range(100)))
    utrs = {answer.utr for answer in answers if isinstance(answer, Paid)}
    assert len(utrs) == 100
    assert all(len(utr) <= 35 for utr in utrs)


def test_the_lively_account_is_a_mix(shared_database: Database) -> None:
    answers = send(shared_database, *(order("0000", f"mix{n}") for n in range(1000)))
    mix = Counter(type(answer) for answer in answers)
    assert 640 <= mix[Paid] <= 760
    assert 140 <= mix[Refused] <= 260
    assert 60 <= mix[Unknown] <= 140
    codes = {answer.failure_code for answer in answers if isinstance(answer, Refused)}
    assert len(codes) >= 4


def test_a_seed_decides_the_lively_account(database: Database) -> None:
    def outcomes(seed: int) -> list[str]:
        with database.connect("admin") as admin:
            admin.execute("TRUNCATE sandbox.instructions")
        answers = send(database, *(order("0000", f"ref{n}") for n in range(50)), seed=seed)
        return [getattr(answer, "failure_code", type(answer).__name__) for answer in answers]

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)


def test_every_refusal_is_a_listed_final_no(shared_database: Database) -> None:
    with shared_database.connect("admin") as admin:
        unlisted = admin.execute(
            "SELECT FROM sandbox.test_numbers t WHERE t.failure_code NOT IN"
            " (SELECT f.code FROM payrail.failure_codes f)"
        ).fetchall()
    assert not unlisted


def test_the_docs_list_every_test_number(shared_database: Database) -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    with shared_database.connect("admin") as admin:
        rows = admin.execute("SELECT ending, failure_code FROM sandbox.test_numbers").fetchall()
    for row in rows:
        assert f"`{row['ending']}`" in page
        assert row["failure_code"] is None or f"`{row['failure_code']}`" in page
