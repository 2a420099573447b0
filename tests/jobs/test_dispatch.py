"""What becomes of due payouts, whatever the bank does: rails that misbehave, in this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pyapp import doors
from pyapp.database import open_pool
from pyapp.jobs import dispatch, teller
from pyapp.jobs.dispatch import Dispatcher
from pyapp.rails.rail import (
    Answer,
    Capabilities,
    Instruction,
    NotFound,
    Paid,
    Rail,
    Refused,
    Unknown,
)
from tests.conftest import Database
from tests.desk import Desk

CAPABLE = Capabilities(
    deduplicates_references=True,
    honours_valid_until=False,
    batch_size=100,
    finality=timedelta(seconds=1),
)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


def paid(rail_ref: str) -> Answer:
    return Paid(f"UTR{rail_ref[-20:]}", {"state": "paid"})


async def silent(_: Sequence[str]) -> Mapping[str, Answer]:
    return {}


@dataclass
class Bank:
    """A rail whose answers a test writes; it notes what it was told."""

    on_submit: Callable[[Sequence[str]], Awaitable[Mapping[str, Answer]]] = silent
    on_enquire: Callable[[Sequence[str]], Awaitable[Mapping[str, Answer]]] = silent
    capabilities: Capabilities = CAPABLE
    submitted: list[list[str]] = field(default_factory=list)
    enquired: list[list[str]] = field(default_factory=list)

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        rail_refs = [instruction.rail_ref for instruction in instructions]
        self.submitted.append(rail_refs)
        return await self.on_submit(rail_refs)

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        self.enquired.append(list(rail_refs))
        return await self.on_enquire(rail_refs)

    async def tend(self) -> None:
        """It has no mailbox."""


def always(
    answer: Callable[[str], Any],
) -> Callable[[Sequence[str]], Awaitable[Mapping[str, Answer]]]:
    async def said(rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        return {rail_ref: answer(rail_ref) for rail_ref in rail_refs}

    return said


def use(desk: Desk, rail: Rail, action: Callable[[Dispatcher], Awaitable[None]]) -> None:
    async def run() -> None:
        # a busy machine isn't a failure
        patient = "-c lock_timeout=0 -c statement_timeout=0"
        conninfo = make_conninfo(desk.database.conninfo("payrail_worker"), options=patient)
        async with asyncio.timeout(60), open_pool(conninfo, name="test", max_size=8) as db:
            dispatcher = Dispatcher(db, {"sandbox": rail}, "test", asyncio.Event())
            await action(dispatcher)
            dispatcher.stopping.set()
            await dispatcher.stop()

    asyncio.run(run())


def drain(desk: Desk, rail: Rail) -> None:
    use(desk, rail, Dispatcher.drain)


def enquire_now(desk: Desk, *payouts: Any) -> None:
    """Bring processing payouts to where they are asked about."""
    for payout_id in payouts:
        desk.make_due(payout_id)


def test_what_the_bank_says_is_recorded_with_its_evidence(desk: Desk) -> None:
    yes, no, maybe = (desk.payout(), desk.payout(), desk.payout())
    answers: dict[str, Answer] = {
        yes.hex: paid(yes.hex),
        no.hex: Refused("account_closed", "the account is closed", {"code": "AC04"}),
        maybe.hex: Unknown("pending", {}),
    }
    says = always(answers.__getitem__)
    drain(desk, Bank(says, says))
    assert [desk.see(payout)["status"] for payout in (yes, no, maybe)] == [
        "settled",
        "failed",
        "processing",
    ]
    assert desk.see(no)["failure_reason"] == "the account is closed"
    assert desk.see(maybe)["unknown_reason"] == "pending"
    assert desk.balance() == (8000, 1000)
    evidence = {row["payout_id"]: row["answer"] for row in desk.table("evidence")}
    assert evidence == {yes: {"state": "paid"}, no: {"code": "AC04"}, maybe: {}}


def test_everything_due_is_sent_in_batches_of_the_rails_size(desk: Desk) -> None:
    desk.credit(1_000_000, "more")
    requests = [(f"k{n}", 100, "INR", "demo-bank-account", None, None) for n in range(230)]
    desk.create_batch(*requests)
    bank = Bank(always(paid), capabilities=replace(CAPABLE, batch_size=30))
    drain(desk, bank)
    sent = [rail_ref for batch in bank.submitted for rail_ref in batch]
    assert len(sent) == len(set(sent)) == 230
    assert max(map(len, bank.submitted)) == 30
    assert {row["status"] for row in desk.table("payouts")} == {"settled"}


def test_many_merchants_are_served_in_one_drain(desk: Desk) -> None:
    desks = [desk, *(desk.beside() for _ in range(40))]
    payouts = [each.payout() for each in desks]
    drain(desk, Bank(always(paid)))
    statuses = {each.see(payout)["status"] for each, payout in zip(desks, payouts, strict=True)}
    assert statuses == {"settled"}


def test_what_many_merchants_have_due_is_one_call_each_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To claim it, to the bank, and to record what that says."""
    desks = [desk, *(desk.beside() for _ in range(dispatch.TOGETHER - 1))]
    payouts = [each.payout() for each in desks]
    calls = []

    def count(door: str) -> None:
        call = getattr(doors, door)

        async def counted(*arguments: Any, **named: Any) -> Any:
            calls.append((door, len(arguments[1])))
            return await call(*arguments, **named)

        monkeypatch.setattr(doors, door, counted)

    count("claim_payouts_for_many")
    count("record_answers_for_many")
    bank = Bank(always(paid))
    drain(desk, bank)
    assert calls == [
        ("claim_payouts_for_many", len(desks)),
        ("record_answers_for_many", len(desks)),
    ]
    assert [sorted(sent) for sent in bank.submitted] == [sorted(one.hex for one in payouts)]


async def explode(_: Sequence[str]) -> NoReturn:
    message = "503 Service Unavailable"
    raise ConnectionError(message)


async def hang(_: Sequence[str]) -> Mapping[str, Answer]:
    await asyncio.Event().wait()
    return {}


async def babble(_: Sequence[str]) -> Any:
    return "<html>Bad Gateway</html>"


@pytest.mark.parametrize(
    "bank",
    [
        pytest.param(Bank(explode), id="raises"),
        pytest.param(Bank(hang), id="hangs"),
        pytest.param(Bank(silent), id="says nothing"),
        pytest.param(Bank(babble), id="babbles"),
        pytest.param(Bank(always(lambda _: "yes")), id="answers in no known form"),
        pytest.param(Bank(always(lambda _: NotFound({}))), id="knows it not, though just sent"),
        pytest.param(Bank(always(lambda _: Refused("R99", None, {}))), id="unlisted code"),
        pytest.param(Bank(always(lambda _: Paid("", {}))), id="no UTR"),
        pytest.param(Bank(always(lambda _: Paid("U" * 36, {}))), id="UTR too long"),
        pytest.param(Bank(always(lambda _: Paid("U", {"x": "\0"}))), id="can't be stored"),
        pytest.param(Bank(always(lambda _: Paid("\ud800", {}))), id="is no Unicode"),
    ],
)
def test_nothing_is_refunded_without_a_listed_final_no(
    desk: Desk, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "CALL_DEADLINE", 0.1)
    payout_id = desk.payout()
    drain(desk, bank)
    payout = desk.see(payout_id)
    assert payout["status"] == "processing"
    assert payout["unknown_reason"]
    assert payout["next_action_at"] > payout["updated_at"] - timedelta(seconds=1)
    assert desk.balance() == (9000, 1000)
    assert len(bank.submitted) == 1


def test_one_unstorable_answer_does_not_spoil_its_neighbours(desk: Desk) -> None:
    """Of the same merchant, or of others that are recorded in the same call."""
    others = [desk.beside(), desk.beside()]
    good, bad, fine = (desk.payout(), desk.payout(), desk.payout())
    theirs = [other.payout() for other in others]
    worst = theirs.pop()

    def answer(rail_ref: str) -> Answer:
        bad_text = {bad.hex: "\0", worst.hex: "\ud800"}.get(rail_ref, "")
        return Paid(rail_ref, {"x": bad_text})

    drain(desk, Bank(always(answer)))
    statuses = [desk.see(payout)["status"] for payout in (good, bad, fine)]
    assert statuses == ["settled", "processing", "settled"]
    assert others[0].see(theirs[0])["status"] == "settled"
    assert others[1].see(worst)["status"] == "processing"


def test_an_unknown_outcome_is_asked_about_before_anything_is_sent(desk: Desk) -> None:
    payout_id = desk.payout()
    bank = Bank(explode, on_enquire=always(paid))
    drain(desk, bank)
    enquire_now(desk, payout_id)
    drain(desk, bank)
    assert bank.enquired == [[payout_id.hex]]
    assert bank.submitted == [[payout_id.hex]]
    assert desk.see(payout_id)["status"] == "settled"


def test_what_the_bank_never_got_is_sent_again_under_the_same_reference(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    enquire_now(desk, payout_id)
    bank = Bank(always(paid), always(lambda _: NotFound({})))
    drain(desk, bank)
    assert bank.submitted == [[payout_id.hex]]
    assert desk.see(payout_id)["status"] == "settled"


def test_nothing_is_sent_again_to_a_bank_that_would_pay_twice(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    enquire_now(desk, payout_id)
    capabilities = replace(CAPABLE, deduplicates_references=False)
    bank = Bank(always(paid), always(lambda _: NotFound({})), capabilities)
    drain(desk, bank)
    assert bank.submitted == []
    assert desk.see(payout_id)["status"] == "processing"


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_a_worker_that_slept_does_not_send_late(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    old, asked = desk.payout("processing"), desk.payout("processing")
    enquire_now(desk, old)
    desk.claim()
    desk.say(old, "not_found")  # so it is to be sent again
    enquire_now(desk, asked)
    new = desk.payout()
    now = {"monotonic": time.monotonic(), "time": time.time()}
    clocks = SimpleNamespace(monotonic=lambda: now["monotonic"], time=lambda: now["time"])
    monkeypatch.setattr(dispatch, "time", clocks)

    claim = doors.claim_payouts_for_many

    async def sleep(*arguments: Any, **named: Any) -> dict[UUID, list[doors.Claim]]:
        claims = await claim(*arguments, **named)
        now[clock] += dispatch.LEASE.total_seconds()
        return claims

    monkeypatch.setattr(doors, "claim_payouts_for_many", sleep)
    bank = Bank(always(paid), always(lambda _: NotFound({})))
    drain(desk, bank)
    assert bank.submitted == []
    assert [desk.see(payout)["status"] for payout in (old, new)] == ["processing", "pending"]
    # nor does it ask what a later attempt asks: a slow bank would be asked ever more, in vain
    assert bank.enquired == []
    assert desk.see(asked)["unknown_reason"] == "the bank could not be asked in time"


def test_an_answer_that_can_not_be_stored_takes_nothing_from_the_others(desk: Desk) -> None:
    bad, others = desk.payout(), [desk.beside() for _ in range(5)]
    theirs = [other.payout() for other in others]
    drain(desk, Bank(always(lambda ref: Paid("U\0", {}) if ref == bad.hex else paid(ref))))
    assert {other.see(payout)["status"] for other, payout in zip(others, theirs, strict=True)} == {
        "settled"
    }
    assert desk.see(bad)["status"] == "processing"
    assert desk.see(bad)["unknown_reason"] == "the bank's answer can't be stored"


def test_no_lock_and_no_transaction_is_held_while_the_bank_is_called(desk: Desk) -> None:
    desk.payout()
    seen: list[Any] = []

    async def look(rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        desk.sql(
            "admin",
            "SELECT FROM merchant.merchants WHERE merchant_id = %(merchant_id)s FOR UPDATE NOWAIT",
        )
        seen.extend(
            desk.sql(
                "admin",
                "SELECT state FROM pg_stat_activity WHERE usename = 'payrail_worker'"
                " AND datname = current_database()",
            )
        )
        return {rail_ref: paid(rail_ref) for rail_ref in rail_refs}

    drain(desk, Bank(look))
    assert "idle" in {row["state"] for row in seen}
    assert "idle in transaction" not in {row["state"] for row in seen}


def test_a_late_contradiction_changes_nothing_and_is_alarmed(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    payout_id = desk.payout()

    async def meanwhile(rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        desk.settle(payout_id, "BY-HAND")
        return {rail_ref: Refused("account_closed", None, {}) for rail_ref in rail_refs}

    with caplog.at_level(logging.ERROR):
        drain(desk, Bank(meanwhile))
    assert "evidence contradicts" in caplog.messages
    assert desk.see(payout_id)["status"] == "settled"
    assert {row["effect"] for row in desk.table("evidence")} == {"applied", "contradicted"}


def test_a_slow_bank_holds_up_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE", 0.05)
    monkeypatch.setattr(teller, "CALL_DEADLINE", 3600)
    slow, other = desk.payout(), desk.beside()
    called, release = asyncio.Event(), asyncio.Event()

    async def answer(rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        if slow.hex in rail_refs:
            called.set()
            await release.wait()
        return {rail_ref: paid(rail_ref) for rail_ref in rail_refs}

    async def act(dispatcher: Dispatcher) -> None:
        await dispatcher.look()
        await called.wait()
        await settle(dispatcher, (desk, desk.payout()), (other, other.payout()))
        assert desk.see(slow)["status"] == "processing"
        release.set()

    use(desk, Bank(answer), act)
    assert desk.see(slow)["status"] == "settled"


async def settle(dispatcher: Dispatcher, *payouts: tuple[Desk, UUID]) -> None:
    """Work until these payouts are settled."""
    while {desk.see(payout)["status"] for desk, payout in payouts} != {"settled"}:
        await dispatcher.look()
        await asyncio.sleep(0.01)


def test_a_locked_merchant_holds_up_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the bank answers a crowd of its payouts at once."""
    monkeypatch.setattr(dispatch, "PATIENCE", 0.05)
    monkeypatch.setattr(dispatch, "CLAIM_LIMIT", 1)
    monkeypatch.setattr(teller, "CALL_DEADLINE", 3600)
    other = desk.beside()
    crowd = {desk.payout(amount=100).hex for _ in range(dispatch.PLACES // 2)}
    release = asyncio.Event()

    async def answer(rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        if crowd.issuperset(rail_refs):
            await release.wait()
        return {rail_ref: paid(rail_ref) for rail_ref in rail_refs}

    bank = Bank(answer)

    async def act(dispatcher: Dispatcher) -> None:
        while sum(row["status"] == "processing" for row in desk.table("payouts")) < dispatch.AHEAD:
            await dispatcher.look()
            await asyncio.sleep(0.01)
        with desk.database.connect("admin") as holder, holder.transaction():
            holder.execute(
                "SELECT FROM merchant.merchants WHERE merchant_id = %s FOR UPDATE",
                [desk.merchant_id],
            )
            release.set()
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted"
            while not desk.sql("admin", waiting):  # noqa: ASYNC110  # PostgreSQL's view
                await asyncio.sleep(0.01)
            await settle(dispatcher, (other, other.payout()))

    use(desk, bank, act)


def test_one_merchants_trouble_is_not_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE", 0.05)
    other = desk.beside()
    mine, theirs = desk.payout(), other.payout()
    claim = doors.claim_payouts_for_many

    async def refuse(
        db: Any, merchant_ids: Sequence[UUID], **named: Any
    ) -> dict[UUID, list[doors.Claim]]:
        if desk.merchant_id in merchant_ids:
            message = "chain broken"
            raise psycopg.errors.DataCorrupted(message)
        return await claim(db, merchant_ids, **named)

    async def act(dispatcher: Dispatcher) -> None:
        draining = asyncio.create_task(dispatcher.drain())
        while other.see(theirs)["status"] != "settled":  # noqa: ASYNC110  # another thread's view
            await asyncio.sleep(0.01)
        dispatcher.stopping.set()
        await draining

    with monkeypatch.context() as patch:
        patch.setattr(doors, "claim_payouts_for_many", refuse)
        use(desk, Bank(always(paid)), act)
    assert desk.see(mine)["status"] == "pending"


def test_a_worker_takes_nothing_for_a_bank_that_it_has_no_access_to(desk: Desk) -> None:
    payout_id = desk.payout()

    async def run() -> None:
        async with open_pool(desk.database.conninfo("payrail_worker"), name="test") as db:
            await Dispatcher(db, {}, "test", asyncio.Event()).drain()

    asyncio.run(run())
    assert desk.see(payout_id)["status"] == "pending"
