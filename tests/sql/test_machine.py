"""Random operations against a model that fits on a page: money, statuses and answers agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import Database
from tests.desk import ACCOUNT, OPENING, STATUSES, Answer, Desk

STEPS: Final = 2_000
SETTINGS: Final = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

AMOUNTS = st.integers(1, 4000) | st.sampled_from([1, OPENING, OPENING + 1, 10**15])
INVALID = st.sampled_from([None, 0, -1, 10**15 + 1])
KEYS = st.integers(0, 12).map("k{}".format)
REFERENCES = st.integers(0, 5).map("r{}".format)
ANY = st.integers(0, 10**6)  # which of the payouts there are
UTRS = st.sampled_from(["U1", "U2"])
CODES = st.sampled_from(["account_closed", "rail_unavailable"])
RETURNS = st.sampled_from(["R1", "R2"])


@dataclass
class Payout:
    """What the model knows of a payout."""

    payout_id: UUID
    amount: int
    path: list[str] = field(default_factory=lambda: ["pending"])
    said: dict[str, str] = field(default_factory=dict)  # paid, refused, returned: the code
    evidence: int = 0
    attempts: int = 0

    @property
    def status(self) -> str:
        return self.path[-1]


@dataclass
class Model:
    """A merchant: the whole contract, without a database."""

    available: int = OPENING
    held: int = 0
    payouts: list[Payout] = field(default_factory=list)
    due: list[Payout] = field(default_factory=list)  # in the order of their time
    answers: dict[str, tuple[int, Answer]] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)

    def expect(self, key: str, amount: int | None) -> tuple[int, str | None]:
        """Return the status and the code that a request must get."""
        if amount is None or not 1 <= amount <= 10**15:
            return 422, "amount_invalid"
        if key in self.answers:
            known, answer = self.answers[key]
            if known != amount:
                return 422, "idempotency_key_reused"
            return answer.status, None if answer.status == 201 else "insufficient_funds"
        return (201, None) if amount <= self.available else (422, "insufficient_funds")

    def answered(self, key: str, amount: int | None, answer: Answer) -> None:
        """Check an answer, and let it take its effect."""
        status, code = self.expect(key, amount)
        assert answer.status == status
        assert status == 201 or answer.code == code
        replayed = key in self.answers and code in {None, "insufficient_funds"}
        assert answer.replayed == replayed
        if replayed:
            assert answer.body == self.answers[key][1].body
        elif amount is not None and code in {None, "insufficient_funds"}:
            self.answers[key] = amount, answer
            if status == 201:
                payout = Payout(answer.payout_id, amount)
                self.payouts.append(payout)
                self.due.append(payout)
                self.available -= amount
                self.held += amount

    def move(self, payout: Payout, status: str) -> None:
        """Let a payout change its status, and the money with it."""
        payout.path.append(status)
        if status in {"settled", "failed", "cancelled"}:
            self.held -= payout.amount
        if status in {"failed", "cancelled", "returned"}:
            self.available += payout.amount
        if status != "processing" and payout in self.due:
            self.due.remove(payout)

    def tell(self, payout: Payout, outcome: str, code: str) -> str:
        """Return the effect that a bank's word must have, and let it have it."""
        if payout.said.get(outcome) == code:
            return "repeated"
        payout.evidence += 1
        if payout.status != "processing":
            return "contradicted"
        payout.said[outcome] = code
        self.move(payout, {"paid": "settled", "refused": "failed"}[outcome])
        return "applied"


class Machine(RuleBasedStateMachine):
    """The doors and the model, side by side."""

    steps: ClassVar = 0
    met: ClassVar[set[str]] = set()  # statuses and effects that came up

    def __init__(self, database: Database) -> None:
        super().__init__()
        Machine.steps -= 1  # the first look is no step
        self.desk = Desk(database)
        self.model = Model()

    def payout(self, number: int) -> Payout:
        return self.model.payouts[number % len(self.model.payouts)]

    def there_are_payouts(self) -> bool:
        return bool(self.model.payouts)

    @rule(key=KEYS, amount=AMOUNTS)
    def create(self, key: str, amount: int) -> None:
        """A first use, a replay or a reuse: whatever the key has seen."""
        self.model.answered(key, amount, self.desk.create(key, amount))

    @rule(key=KEYS, amount=INVALID)
    def create_invalid(self, key: str, amount: int | None) -> None:
        self.model.answered(key, amount, self.desk.create(key, amount))

    @rule(requests=st.lists(st.tuples(KEYS, AMOUNTS | INVALID), min_size=1, max_size=5))
    def create_batch(self, requests: list[tuple[str, int | None]]) -> None:
        answers = self.desk.create_batch(
            *[(key, amount, "INR", ACCOUNT, None, None) for key, amount in requests]
        )
        for (key, amount), answer in zip(requests, answers, strict=True):
            self.model.answered(key, amount, answer)

    @precondition(lambda self: self.model.answers)
    @rule(number=ANY)
    def replay(self, number: int) -> None:
        key = list(self.model.answers)[number % len(self.model.answers)]
        amount = self.model.answers[key][0]
        with self.desk.unchanged():
            self.model.answered(key, amount, self.desk.create(key, amount))

    @rule(reference=REFERENCES, amount=st.integers(1, 3000))
    def credit(self, reference: str, amount: int) -> None:
        known = self.model.credits.get(reference)
        if known is None:
            self.desk.credit(amount, reference)
            self.model.credits[reference] = amount
            self.model.available += amount
        elif known == amount:
            with self.desk.unchanged():
                self.desk.credit(amount, reference)
        else:
            with self.desk.refused("PR203"):
                self.desk.credit(amount, reference)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        expected = self.model.due[:limit]
        rows = self.desk.claim(limit=limit, lease="1 hour")
        want = {p.payout_id: "submit" if p.status == "pending" else "enquire" for p in expected}
        assert {row["payout_id"]: row["action"] for row in rows} == want
        for payout in expected:
            payout.attempts += 1
            self.model.due.remove(payout)
            if payout.status == "pending":
                self.model.move(payout, "processing")

    @precondition(there_are_payouts)
    @rule(number=ANY)
    def postpone_and_wait(self, number: int) -> None:
        payout = self.payout(number)
        self.desk.postpone(payout.payout_id)
        payout.evidence += 1
        if payout.status == "processing":
            self.desk.make_due(payout.payout_id)
            if payout in self.model.due:
                self.model.due.remove(payout)
            self.model.due.append(payout)

    @precondition(there_are_payouts)
    @rule(number=ANY, utr=UTRS)
    def settle(self, number: int, utr: str) -> None:
        payout = self.payout(number)
        (row,) = self.desk.settle_batch((payout.payout_id, utr, {"utr": utr}))
        self.met.add(row["effect"])
        assert row["effect"] == self.model.tell(payout, "paid", utr)
        assert row["status"] == payout.status

    @precondition(there_are_payouts)
    @rule(number=ANY, code=CODES)
    def fail(self, number: int, code: str) -> None:
        payout = self.payout(number)
        (row,) = self.desk.fail_batch((payout.payout_id, code, None, {"code": code}))
        self.met.add(row["effect"])
        assert row["effect"] == self.model.tell(payout, "refused", code)
        assert row["status"] == payout.status

    @precondition(lambda self: any(p.said for p in self.model.payouts))
    @rule(number=ANY)
    def hear_again(self, number: int) -> None:
        """The bank says of a payout what it has said before."""
        told = [payout for payout in self.model.payouts if payout.said]
        payout = told[number % len(told)]
        if "paid" in payout.said:
            self.settle(self.model.payouts.index(payout), payout.said["paid"])
        else:
            self.fail(self.model.payouts.index(payout), payout.said["refused"])

    @precondition(there_are_payouts)
    @rule(number=ANY, end=st.sampled_from(["settled", "failed", "returned"]))
    def go_on_to_the_end(self, number: int, end: str) -> None:
        """A payout goes the way that most of them go, so that no run is without the ends."""
        payout = self.payout(number)
        if payout in self.model.due:
            self.claim(len(self.model.due))
        if end == "failed":
            self.fail(number, "account_closed")
        else:
            self.settle(number, "U1")
        if end == "returned":
            self.give_back(number, "R1")

    @precondition(there_are_payouts)
    @rule(number=ANY, code=RETURNS)
    def give_back(self, number: int, code: str) -> None:
        payout = self.payout(number)
        if payout.status == "settled":
            self.desk.give_back(payout.payout_id, code)
            payout.said["returned"] = code
            payout.evidence += 1
            self.model.move(payout, "returned")
        elif payout.said.get("returned") == code:
            with self.desk.unchanged():
                self.desk.give_back(payout.payout_id, code)
        else:
            with self.desk.refused("PR202" if payout.status == "returned" else "PR201"):
                self.desk.give_back(payout.payout_id, code)

    @precondition(there_are_payouts)
    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        payout = self.payout(number)
        if payout.status == "pending":
            self.desk.cancel(payout.payout_id)
            self.model.move(payout, "cancelled")
        elif payout.status == "cancelled":
            with self.desk.unchanged():
                self.desk.cancel(payout.payout_id)
        else:
            with self.desk.refused("PR201"):
                self.desk.cancel(payout.payout_id)

    @invariant()
    def the_database_agrees(self) -> None:
        Machine.steps += 1
        assert self.desk.balance() == (self.model.available, self.model.held)
        rows = self.desk.sql(
            "payrail_api",
            "SELECT payout_id, status, utr, failure_code, return_code, attempts"
            " FROM payrail.payouts WHERE merchant_id = %(merchant_id)s",
        )
        assert {row["payout_id"]: [*row.values()][1:] for row in rows} == {
            p.payout_id: [
                p.status,
                p.said.get("paid"),
                p.said.get("refused"),
                p.said.get("returned"),
                p.attempts,
            ]
            for p in self.model.payouts
        }

    def teardown(self) -> None:
        try:
            assert self.desk.violations() == {}
            for payout in self.model.payouts:
                self.met.update(payout.path)
                assert self.told("payout_history", payout, "to_status") == payout.path
                assert self.told("events", payout, "type") == [
                    "payout.created",
                    *[f"payout.{status}" for status in payout.path[1:]],
                ]
                assert len(self.told("evidence", payout, "code")) == payout.evidence
        finally:
            self.desk.__exit__()

    def told(self, view: str, payout: Payout, column: str) -> list[Any]:
        rows = self.desk.table(view)
        return [row[column] for row in rows if row["payout_id"] == payout.payout_id]


def test_random_operations_agree_with_the_model(shared_database: Database) -> None:
    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(shared_database)

    Machine.steps = 0
    Machine.met.clear()
    run_state_machine_as_test(Here, settings=SETTINGS)
    assert Machine.steps >= STEPS
    assert Machine.met == {*STATUSES, "applied", "repeated", "contradicted"}
