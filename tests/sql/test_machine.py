"""Random operations against a model that fits on a page: money, statuses and answers agree.

Time passes in it by hours and by months, for the doors as for the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Final
from uuid import UUID

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import Database
from tests.desk import ACCOUNT, OPENING, OWN_STATUSES, STATUSES, Answer, Desk
from tests.sql.test_rails import CLOCK

STEPS: Final = 2_000
ROUNDS: Final = 10  # at most
SETTINGS: Final = settings(
    stateful_step_count=50,
    max_examples=50,
    deadline=None,
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
PEOPLE = st.sampled_from(["asha", "bala", "chitra"])  # Asha asks
HOUR, MONTHS = timedelta(hours=2), timedelta(days=40)
# what a merchant's rules may be; every limit is of a day
RULES: Final[list[dict[str, Any]]] = [
    {},
    {"approve_from": 500, "second_approval_from": 2500},
    {"daily_limit": 4000},
    {"approve_from": 2000, "daily_limit": 5000, "over_limit": "approve"},
]
# what payouts may cost, by the amount from which on: fixed, and of 10,000 parts of the amount
FEES = st.tuples(
    st.sampled_from([1, 2000]), st.sampled_from([0, 45]), st.sampled_from([0, 15, 1250])
)
IMPS: Final = 50_000_000  # by which all goes up to so much; what is more has no fee
WAITING: Final = ("awaiting_approval", "scheduled", "queued")


@dataclass
class Payout:
    """What the model knows of a payout."""

    payout_id: UUID
    amount: int
    fee: int
    path: list[str] = field(default_factory=lambda: ["pending"])
    said: dict[str, str] = field(default_factory=dict)  # paid, refused, returned: the code
    evidence: int = 0
    attempts: int = 0
    queues: bool = False
    at: datetime | None = None  # when it is scheduled
    why: str | None = None  # it failed, if that was no bank
    required: int = 0
    approvers: set[str] = field(default_factory=set)
    is_held: bool = False

    @property
    def status(self) -> str:
        return self.path[-1]

    @property
    def cost(self) -> int:
        return self.amount + self.fee


SUFFIXES: Final = (("second_", "al"), ("", "e"))
STORED: Final = ("insufficient_funds", "limit_exceeded")
RELEASED: Final = ("failed", "cancelled", "rejected", "expired")


@dataclass
class Model:
    """A merchant: the whole contract, without a database."""

    available: int = OPENING
    held: int = 0
    payouts: list[Payout] = field(default_factory=list)
    due: list[Payout] = field(default_factory=list)
    queue: list[Payout] = field(default_factory=list)  # in the order in which they came
    rules: dict[str, Any] = field(default_factory=dict)
    used: int = 0  # of today
    passed: timedelta = timedelta()  # of the time since
    answers: dict[str, tuple[int, Answer]] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)
    fees: dict[int, tuple[int, int]] = field(default_factory=dict)
    earned: int = 0

    def is_over(self, amount: int) -> bool:
        """Whether a limit would be passed; after eleven hours it is another day."""
        used = 0 if self.passed > timedelta(hours=11) else self.used
        return used + amount > int(self.rules.get("daily_limit", amount + used))

    def fee(self, amount: int) -> int:
        """Return what a new payout costs: halves of a paisa are a paisa."""
        reached = [start for start in self.fees if start <= amount <= IMPS]
        if not reached:
            return 0
        fixed, points = self.fees[max(reached)]
        return fixed + (amount * points * 2 + 10_000) // 20_000

    def approvals(self, amount: int) -> int:
        two, one = (self.rules.get(f"{s}approv{e}_from", 10**16) for s, e in SUFFIXES)
        return 2 if amount >= two else int(amount >= one)

    def expect(
        self, key: str, amount: int | None, *, waits: str | None = None
    ) -> tuple[int, str | None]:
        """Return the status and the code that a request must get."""
        if amount is None or not 1 <= amount <= 10**15:
            return 422, "amount_invalid"
        if key in self.answers:
            known, answer = self.answers[key]
            if known != amount:
                return 422, "idempotency_key_reused"
            return answer.status, None if answer.status == 201 else answer.code
        if waits != "scheduled" and not self.is_there(amount, waits=waits):
            return (201, None) if waits else (422, "insufficient_funds")
        if waits != "scheduled" and self.rejects and self.is_over(amount):
            return 422, "limit_exceeded"
        return 201, None

    @property
    def rejects(self) -> bool:
        return self.rules.get("over_limit") != "approve"

    def is_there(self, amount: int, *, waits: str | None) -> bool:
        """Whether a payout gets its money at once: who may wait waits behind those who do."""
        enough = amount + self.fee(amount) <= self.available
        return enough and not (waits == "queued" and self.queue)

    def answered(
        self, key: str, amount: int | None, answer: Answer, *, waits: str | None = None
    ) -> None:
        """Check an answer, and let it take its effect."""
        status, code = self.expect(key, amount, waits=waits)
        assert answer.status == status
        assert status == 201 or answer.code == code
        replayed = key in self.answers and code in {None, *STORED}
        assert answer.replayed == replayed
        if replayed:
            assert answer.body == self.answers[key][1].body
        elif amount is not None and code in {None, *STORED}:
            self.answers[key] = amount, answer
            if status == 201:
                fee = self.fee(amount)
                assert answer.json["fee"] == fee
                self.create(Payout(answer.payout_id, amount, fee), waits)

    def create(self, payout: Payout, waits: str | None) -> None:
        """Take a payout in, in the first of its statuses."""
        self.payouts.append(payout)
        payout.queues = waits == "queued"
        payout.required = self.approvals(payout.amount)
        if waits == "scheduled":
            payout.path = ["awaiting_approval" if payout.required else "scheduled"]
        elif not self.is_there(payout.amount, waits=waits):
            payout.path = ["queued"]
            self.queue.append(payout)
        else:
            payout.path = []
            if self.is_over(payout.amount):
                payout.required = max(payout.required, 1)
            self.take(payout)

    def take(self, payout: Payout) -> None:
        """Hold a payout's money; it is pending then, or awaits approval."""
        self.available -= payout.cost
        self.held += payout.cost
        self.used += payout.amount
        payout.is_held = True
        if len(payout.approvers) < payout.required:
            payout.path.append("awaiting_approval")
        else:
            payout.path.append("pending")
            self.due.append(payout)

    def start(self, payout: Payout) -> None:
        """Let a payout that waited for its time or for money go on."""
        if self.is_over(payout.amount):
            if self.rejects:
                payout.path.append("failed")
                payout.why = "limit_exceeded"
                return
            payout.required = max(payout.required, 1)
        self.take(payout)

    def start_scheduled(self, payout: Payout) -> None:
        if payout.queues and (self.queue or payout.cost > self.available):
            payout.path.append("queued")
            self.queue.append(payout)
        elif payout.cost <= self.available:
            self.start(payout)
        else:
            payout.path.append("failed")
            payout.why = "insufficient_funds"

    def promote(self) -> None:
        """Let the queue go on, until one does not fit."""
        while self.queue and self.queue[0].cost <= self.available:
            self.start(self.queue.pop(0))

    def move(self, payout: Payout, status: str) -> None:
        """Let a payout change its status, and the money with it."""
        payout.path.append(status)
        if status in {"settled", *RELEASED} and payout.is_held:
            self.held -= payout.cost
        if status in RELEASED and payout.is_held:
            self.available += payout.cost
        if status == "settled":
            self.earned += payout.fee
        if status == "returned":
            self.available += payout.amount
        if status in RELEASED and payout.is_held:
            self.used -= payout.amount
        if status != "processing" and payout in self.due:
            self.due.remove(payout)
        if payout in self.queue:
            self.queue.remove(payout)
        if status in {"returned", *RELEASED}:
            self.promote()

    def pass_time(self, wait: timedelta, due: list[Payout]) -> None:
        """Let time pass: what was claimed and not answered is due, and what has waited for it."""
        self.passed += wait
        for payout in self.payouts:
            if payout.status in {"pending", "processing"} and payout not in self.due:
                self.due.append(payout)
        for payout in due:
            if payout.status == "scheduled":
                self.start_scheduled(payout)
            else:
                self.expire(payout)
        self.promote()

    def expire(self, payout: Payout) -> None:
        """Let a payout expire; the queue goes on when all have."""
        payout.path.append("expired")
        if payout.is_held:
            self.held -= payout.cost
            self.available += payout.cost
            self.used -= payout.amount
        if payout in self.queue:
            self.queue.remove(payout)

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
    edges: ClassVar[set[tuple[str, str]]] = set()  # and changes of status

    def __init__(self, database: Database) -> None:
        super().__init__()
        Machine.steps -= 1  # the first look is no step
        self.desk = Desk(database)
        self.model = Model()
        views = self.desk.sql("payrail_auditor", AUDITS)
        self.audit = " UNION ALL ".join(
            f"SELECT '{row['view']}' FROM audit.{row['view']} WHERE merchant_id = %(merchant_id)s"
            for row in views
        )

    @initialize(rules=st.sampled_from(RULES), fee=st.none() | FEES)
    def have_rules(self, rules: dict[str, Any], fee: tuple[int, int, int] | None) -> None:
        if rules:
            self.desk.rule(**rules)
        self.model.rules = rules
        self.desk.sql("payrail_owner", "DELETE FROM rail.fees", [])  # of the merchant before
        if fee:
            self.change_fee(fee)

    def change_fee(self, fee: tuple[int, int, int]) -> None:
        """Set a fee, or take it away if it is set already."""
        amount_from, fixed, points = fee
        if self.model.fees.get(amount_from) == (fixed, points):
            removed = "SELECT payrail.remove_fee('sandbox', 'IMPS', 'INR', %s)"
            self.desk.sql("payrail_operator", removed, [amount_from])
            del self.model.fees[amount_from]
        else:
            self.desk.fee(amount_from=amount_from, fixed=fixed, basis_points=points)
            self.model.fees[amount_from] = (fixed, points)

    def payout(self, number: int) -> Payout:
        return self.model.payouts[number % len(self.model.payouts)]

    def there_are_payouts(self) -> bool:
        return bool(self.model.payouts)

    @rule(key=KEYS, amount=AMOUNTS)
    def create(self, key: str, amount: int) -> None:
        """A first use, a replay or a reuse: whatever the key has seen."""
        self.model.answered(key, amount, self.desk.create(key, amount, owner="Asha"))

    @rule(key=KEYS, amount=AMOUNTS)
    def create_queueing(self, key: str, amount: int) -> None:
        answer = self.desk.create(f"q{key}", amount, queue_if_low_balance=True, owner="Asha")
        self.model.answered(f"q{key}", amount, answer, waits="queued")

    @rule(amount=AMOUNTS, queues=st.booleans())
    def create_scheduled(self, amount: int, queues: bool) -> None:  # noqa: FBT001
        key = f"s{len(self.model.answers)}"
        at = datetime.now(UTC) + self.model.passed + timedelta(hours=1)
        answer = self.desk.create(
            key, amount, scheduled_at=at, queue_if_low_balance=queues, owner="Asha"
        )
        self.model.answered(key, amount, answer, waits="scheduled")
        self.model.payouts[-1].at = at
        self.model.payouts[-1].queues = queues

    @rule(
        amount=st.integers(1, 3000),
        queues=st.booleans(),
        spend=st.booleans(),
        approved=st.booleans(),
    )
    def schedule_and_wait(self, amount: int, queues: bool, spend: bool, approved: bool) -> None:  # noqa: FBT001
        """The time of a payout comes, and the money may be there or spent."""
        self.create_scheduled(amount, queues)
        while approved and (waiting := self.those("awaiting_approval")):
            self.approve(len(waiting) - 1, "bala")
            if waiting[-1].status == "awaiting_approval":
                self.approve(len(waiting) - 1, "chitra")
        if spend and self.model.available:
            cost = self.model.fee(self.model.available)
            self.create(f"k-{len(self.model.answers)}", max(self.model.available - cost, 1))
        self.let_time_pass(HOUR)

    @precondition(lambda self: "over_limit" in self.model.rules and not self.model.passed)
    @rule(amount=st.integers(1700, 1999))
    def schedule_for_a_spent_day(self, amount: int) -> None:
        """When the time of a payout comes, others have used the day's limit up."""
        self.credit(f"r-{len(self.model.answers)}", 4 * amount)
        for _ in range(2):
            self.create(f"k-{len(self.model.answers)}", amount)
        self.schedule_and_wait(amount, queues=False, spend=False, approved=False)

    @precondition(lambda self: not self.model.queue)
    @rule(more=st.integers(1, 500))
    def queue_and_fill(self, more: int) -> None:
        """The money that a payout waits for comes."""
        self.create_queueing(f"-{len(self.model.answers)}", self.model.available + more)
        self.credit(f"r-{len(self.model.answers)}", more)

    @rule(wait=st.sampled_from([HOUR, HOUR, MONTHS]))
    def let_time_pass(self, wait: timedelta) -> None:
        now = datetime.now(UTC) + self.model.passed + wait
        at = {row["payout_id"]: row["next_action_at"] for row in self.desk.table("payouts")}
        due = [p for p in self.those(*WAITING) if at[p.payout_id] <= now]
        due.sort(key=lambda payout: (at[payout.payout_id], payout.payout_id))
        for role in ("payrail_api", "payrail_worker", "payrail_operator"):
            self.desk.sql(
                role, "SELECT set_config('test.later', %s, FALSE)", [str(self.model.passed + wait)]
            )
        while self.desk.go_on():
            pass
        self.model.pass_time(wait, due)

    def those(self, *statuses: str) -> list[Payout]:
        return [payout for payout in self.model.payouts if payout.status in statuses]

    @precondition(lambda self: self.those("awaiting_approval"))
    @rule(number=ANY, approver=PEOPLE)
    def approve(self, number: int, approver: str) -> None:
        waiting = self.those("awaiting_approval")
        payout = waiting[number % len(waiting)]
        if approver == "asha":
            with self.desk.refused("PR551"):
                self.desk.approve(payout.payout_id, approver)
            return
        self.desk.approve(payout.payout_id, approver)
        payout.approvers.add(approver)
        if len(payout.approvers) < payout.required:
            return
        if payout.is_held:
            self.model.move(payout, "pending")
            self.model.due.append(payout)
        else:
            payout.path.append("scheduled")
            assert payout.at
            if payout.at <= datetime.now(UTC) + self.model.passed:
                self.model.start_scheduled(payout)

    @precondition(lambda self: self.those("awaiting_approval"))
    @rule(number=ANY, approver=PEOPLE)
    def reject(self, number: int, approver: str) -> None:
        waiting = self.those("awaiting_approval")
        payout = waiting[number % len(waiting)]
        self.desk.reject(payout.payout_id, approver)
        self.model.move(payout, "rejected")

    @precondition(lambda self: self.those("pending", "processing", "settled", *RELEASED))
    @rule(number=ANY, approver=PEOPLE)
    def decide_what_is_decided(self, number: int, approver: str) -> None:
        decided = self.those("pending", "processing", "settled", "cancelled", "expired")
        if decided:
            payout = decided[number % len(decided)]
            if approver in payout.approvers:
                with self.desk.unchanged():
                    self.desk.approve(payout.payout_id, approver)
            else:
                with self.desk.refused("PR201"):
                    self.desk.approve(payout.payout_id, approver)
            with self.desk.refused("PR201"):
                self.desk.reject(payout.payout_id, approver)

    @precondition(lambda self: self.those("processing"))
    @rule(number=ANY)
    def never_left(self, number: int) -> None:
        """The first attempt could not reach the bank; it is due again when time has passed."""
        sent = [payout for payout in self.those("processing") if payout.attempts == 1]
        if sent:
            payout = sent[number % len(sent)]
            self.desk.record((payout.payout_id, "not_sent", None, None, "away", None, 1))
            self.desk.sql(
                "payrail_owner",
                "UPDATE payout.payouts SET next_action_at = next_action_at + INTERVAL '1 hour'"
                " WHERE merchant_id = %s AND payout_id = %s AND status = 'pending'",
                [self.desk.merchant_id, payout.payout_id],
            )
            payout.evidence += 1
            payout.path.append("pending")
            if payout in self.model.due:
                self.model.due.remove(payout)

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
        plain = [key for key in self.model.answers if key[0] == "k"]
        if not plain:
            return
        key = plain[number % len(plain)]
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
            self.model.promote()
        elif known == amount:
            with self.desk.unchanged():
                self.desk.credit(amount, reference)
        else:
            with self.desk.refused("PR203"):
                self.desk.credit(amount, reference)

    @rule(reference=REFERENCES, amount=st.integers(1, 3000), fee=FEES)
    def credit_and_charge(self, reference: str, amount: int, fee: tuple[int, int, int]) -> None:
        """What new payouts cost changes, and money comes for those that were there."""
        self.change_fee(fee)
        self.credit(reference, amount)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        at = {row["payout_id"]: row["next_action_at"] for row in self.desk.table("payouts")}
        rows = self.desk.claim(limit=limit, lease="1 hour")
        claimed = {row["payout_id"] for row in rows}
        # of those that are due since the same instant, any may be first
        self.model.due.sort(key=lambda p: (at[p.payout_id], p.payout_id not in claimed))
        expected = self.model.due[:limit]
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

    @precondition(lambda self: self.those("pending", "processing"))
    @rule(number=ANY, end=st.sampled_from(["settled", "failed", "returned"]))
    def go_on_to_the_end(self, number: int, end: str) -> None:
        """A payout goes the way that most of them go, so that no run is without the ends."""
        going = self.those("pending", "processing")
        payout = going[number % len(going)]
        number = self.model.payouts.index(payout)
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
        if payout.status in {"pending", *WAITING}:
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
        if Machine.steps % 5 == 0:  # what is broken stays so, since nothing is ever deleted
            self.the_audit_agrees()
        assert self.desk.balance() == (self.model.available, self.model.held)
        lines = self.desk.table("ledger_lines")
        fees = [line["credit"] for line in lines if line["account"] == "fees"]
        assert sum(fees) == self.model.earned
        rows = self.desk.sql(
            "payrail_api",
            "SELECT payout_id, status, utr, failure_code, return_code, attempts"
            " FROM payrail.payouts WHERE merchant_id = %(merchant_id)s",
        )
        assert {row["payout_id"]: [*row.values()][1:] for row in rows} == {
            p.payout_id: [
                p.status,
                p.said.get("paid"),
                p.said.get("refused", p.why),
                p.said.get("returned"),
                p.attempts,
            ]
            for p in self.model.payouts
        }

    def the_audit_agrees(self) -> None:
        assert self.desk.sql("payrail_auditor", self.audit) == []

    def teardown(self) -> None:
        try:
            self.the_audit_agrees()
            for payout in self.model.payouts:
                self.met.update(payout.path)
                self.edges.update(pairwise(["new", *payout.path]))
                assert self.told("payout_history", payout, "to_status") == payout.path
                assert self.told("events", payout, "type") == [
                    EVENTS.get(edge, f"payout.{edge[1]}")
                    for edge in pairwise(["new", *payout.path])
                ]
                assert len(self.told("evidence", payout, "code")) == payout.evidence
        finally:
            self.desk.__exit__()

    def told(self, view: str, payout: Payout, column: str) -> list[Any]:
        rows = self.desk.table(view)
        return [row[column] for row in rows if row["payout_id"] == payout.payout_id]


# the invariants of one merchant; that the test may take its time is no violation
AUDITS: Final = """
    SELECT table_name AS view FROM information_schema.columns
    WHERE table_schema = 'audit' AND column_name = 'merchant_id' AND table_name <> 'overdue_work'
"""
EVENTS: Final = {
    ("new", "pending"): "payout.created",
    ("awaiting_approval", "pending"): "payout.approved",
    ("awaiting_approval", "scheduled"): "payout.approved",
}


def test_random_operations_agree_with_the_model(database: Database) -> None:
    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(database)

    with database.connect("payrail_owner") as owner:
        owner.execute(CLOCK.encode())
        rows = owner.execute("SELECT from_status, to_status FROM payout.transitions").fetchall()
    edges = {(edge["from_status"], edge["to_status"]) for edge in rows}
    met = {*STATUSES, *OWN_STATUSES, "applied", "repeated", "contradicted"}
    Machine.steps = 0
    Machine.met.clear()
    Machine.edges.clear()
    for number in range(ROUNDS):  # until it has been everywhere
        run_state_machine_as_test(seed(number)(Here), settings=SETTINGS)
        if Machine.steps >= STEPS and (Machine.edges, Machine.met) == (edges, met):
            break
    assert Machine.steps >= STEPS
    assert Machine.met == met
    assert Machine.edges == edges
