"""Payouts that wait: for an approval, for their time, for money; and the limits of a merchant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Database
from tests.desk import ACCOUNT, OPENING, Desk, in_an_hour
from tests.sql.test_rails import later


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


def status(desk: Desk, *payout_ids: Any) -> list[str]:
    return [str(desk.see(payout_id)["status"]) for payout_id in payout_ids]


def queued(desk: Desk, *amounts: int) -> list[Any]:
    """Return payouts that wait for money."""
    return [
        desk.create(f"queued-{uuid4()}", amount, queue_if_low_balance=True).payout_id
        for amount in amounts
    ]


# ------------------------------------------------------------------------------------- the queue


def test_a_queued_payout_goes_on_with_the_money_that_comes(desk: Desk) -> None:
    (payout_id,) = queued(desk, OPENING + 1)
    assert (status(desk, payout_id), desk.balance()) == (["queued"], (OPENING, 0))
    desk.credit(1, "c")
    assert (status(desk, payout_id), desk.balance()) == (["pending"], (0, OPENING + 1))
    assert desk.claim()[0]["payout_id"] == payout_id


def test_the_oldest_that_does_not_fit_holds_up_the_others(desk: Desk) -> None:
    first, second, third = queued(desk, OPENING + 500, 100, 200)
    desk.credit(499, "too little")
    assert status(desk, first, second, third) == ["queued"] * 3
    desk.credit(101, "more")
    assert status(desk, first, second, third) == ["pending", "pending", "queued"]


def test_who_does_not_queue_takes_what_is_available(desk: Desk) -> None:
    (first,) = queued(desk, OPENING + 1)
    assert desk.create("k", 100).json["status"] == "pending"
    assert status(desk, first, *queued(desk, 100)) == ["queued", "queued"]


@pytest.mark.parametrize("end", ["cancelled", "failed", "returned", "rejected", "the first"])
def test_money_that_comes_back_lets_the_queue_go_on(desk: Desk, end: str) -> None:
    if end == "rejected":
        desk.rule(approve_from=OPENING)
    held = desk.create("held", OPENING).payout_id
    if end in {"failed", "returned"}:
        desk.claim()
    if end == "returned":
        desk.settle(held)
    first, second = queued(desk, 2 * OPENING if end == "the first" else 1, 1)
    if end == "the first":
        desk.cancel(held)
        assert status(desk, first, second) == ["queued", "queued"]
        desk.cancel(first)
    elif end == "failed":
        desk.fail_batch((held, "account_closed", None, None))
    elif end == "returned":
        desk.give_back(held)
    elif end == "rejected":
        desk.reject(held)
    else:
        desk.cancel(held)
    assert status(desk, second) == ["pending"]


def test_a_queue_of_any_length_is_promoted_by_and_by(desk: Desk) -> None:
    (first,) = queued(desk, OPENING + 1)
    requests = [(f"k{n}", 1, "INR", ACCOUNT, None, None, None, True) for n in range(1005)]
    desk.create_batch(*requests)
    desk.cancel(first)
    waiting = [row for row in desk.table("payouts") if row["status"] == "queued"]
    assert len(waiting) == 5
    assert desk.go_on() == 1
    assert desk.go_on() == 0
    assert {row["status"] for row in desk.table("payouts")} == {"pending", "cancelled"}


def test_a_queued_payout_expires(desk: Desk) -> None:
    first, second = queued(desk, OPENING + 1, 1)
    assert desk.go_on() == 0
    with later(desk, "31 days"):
        assert desk.go_on() == 2
    assert status(desk, first, second) == ["expired", "expired"]
    assert desk.balance() == (OPENING, 0)


# ------------------------------------------------------------------------------------- schedules


def test_a_scheduled_payout_is_held_when_its_time_comes(desk: Desk) -> None:
    payout_id = desk.create("k", OPENING, scheduled_at=in_an_hour()).payout_id
    assert (status(desk, payout_id), desk.balance()) == (["scheduled"], (OPENING, 0))
    assert (desk.go_on(), desk.claim()) == (0, [])
    with later(desk, "61 minutes"):
        assert desk.go_on() == 1
        assert desk.balance() == (0, OPENING)
        assert [row["payout_id"] for row in desk.claim()] == [payout_id]


@pytest.mark.parametrize(("queues", "then"), [(False, "failed"), (True, "queued")])
def test_a_scheduled_payout_may_find_too_little_money(desk: Desk, queues: bool, then: str) -> None:  # noqa: FBT001
    payout_id = desk.create(
        "k", OPENING, scheduled_at=in_an_hour(), queue_if_low_balance=queues
    ).payout_id
    desk.create("l", 1)
    with later(desk, "61 minutes"):
        assert desk.go_on() == 1
    row = desk.see(payout_id)
    assert row["status"] == then
    assert row["failure_code"] == (None if queues else "insufficient_funds")
    if queues:
        desk.credit(1, "c")
        assert status(desk, payout_id) == ["pending"]


@pytest.mark.parametrize("wait", [-1, 0, 367 * 86400])
def test_a_time_that_is_past_or_far_away_is_refused_and_not_stored(desk: Desk, wait: int) -> None:
    at = datetime.now(UTC) + timedelta(seconds=wait)
    with desk.unchanged():
        answer = desk.create("k", scheduled_at=at)
    assert (answer.status, answer.code) == (422, "scheduled_at_invalid")
    assert desk.create("k", scheduled_at=in_an_hour()).status == 201


def test_the_first_answer_is_given_again_when_the_time_has_passed(desk: Desk) -> None:
    at = in_an_hour()
    answer = desk.create("k", scheduled_at=at)
    with later(desk, "2 hours"):
        desk.sql("payrail_api", "SELECT set_config('test.later', '2 hours', FALSE)", [])
        again = desk.create("k", scheduled_at=at)
    assert (again.body, again.replayed) == (answer.body, True)


def test_what_is_due_is_found_whatever_bank_it_is_for(desk: Desk) -> None:
    desk.create("k", scheduled_at=in_an_hour())
    query = "SELECT payrail.waiting_merchants() AS merchant_id"
    assert desk.sql("payrail_worker", query, []) == []
    with later(desk, "61 minutes"):
        assert desk.sql("payrail_worker", query, []) == [{"merchant_id": desk.merchant_id}]
        assert desk.sql("payrail_worker", "SELECT payrail.due_merchants()", []) == []


# ------------------------------------------------------------------------------------- approvals


def test_the_rules_say_how_many_approve(desk: Desk) -> None:
    desk.rule(approve_from=1000, second_approval_from=3000)
    answers = [desk.create(f"k{amount}", amount) for amount in (999, 1000, 2999, 3000)]
    assert [answer.json["approvals_required"] for answer in answers] == [0, 1, 1, 2]
    assert [answer.json["status"] for answer in answers[:2]] == ["pending", "awaiting_approval"]
    assert desk.balance() == (OPENING - 7998, 7998)


def test_who_asked_can_not_approve(desk: Desk) -> None:
    desk.rule(approve_from=1)
    payout_id = desk.create("k", owner="asha").payout_id
    for approver in ("asha", "ASHA"):
        with desk.refused("PR551"):
            desk.approve(payout_id, approver)
    assert desk.approve(payout_id, "bala")["status"] == "pending"


def test_two_approvals_are_of_two_people(desk: Desk) -> None:
    desk.rule(approve_from=1, second_approval_from=1)
    payout_id = desk.create("k", owner="asha").payout_id
    assert desk.approve(payout_id, "bala")["status"] == "awaiting_approval"
    for again in ("bala", "Bala"):
        with desk.unchanged():
            desk.approve(payout_id, again)
    assert desk.approve(payout_id, "chitra")["status"] == "pending"
    assert [row["approver"] for row in desk.table("approvals")] == ["bala", "chitra"]


def test_a_rejection_has_a_reason_and_gives_the_money_back(desk: Desk) -> None:
    payout_id = desk.payout("awaiting_approval")
    for reason in ("", None):
        with desk.refused("PR111"):
            desk.reject(payout_id, reason=reason)
    row = desk.reject(payout_id, reason="not ours")
    assert (row["status"], row["reason"]) == ("rejected", "not ours")
    assert desk.balance() == (OPENING, 0)
    with desk.unchanged():
        desk.reject(payout_id, reason="again")
    with desk.refused("PR201"):
        desk.approve(payout_id)


def test_who_is_too_late_approves_nothing(desk: Desk) -> None:
    payout_id = desk.payout("awaiting_approval")
    with later(desk, "8 days"):
        desk.sql("payrail_api", "SELECT set_config('test.later', '8 days', FALSE)", [])
        with desk.refused("PR251"):
            desk.approve(payout_id)
        with desk.refused("PR251"):
            desk.reject(payout_id)
        assert desk.go_on() == 1
    assert (status(desk, payout_id), desk.balance()) == (["expired"], (OPENING, 0))


def test_what_is_approved_after_its_time_goes_on_at_once(desk: Desk) -> None:
    desk.rule(approve_from=1)
    payout_id = desk.create("k", scheduled_at=in_an_hour()).payout_id
    with later(desk, "2 hours"):
        assert desk.go_on() == 0
        desk.sql("payrail_api", "SELECT set_config('test.later', '2 hours', FALSE)", [])
        assert desk.approve(payout_id)["status"] == "pending"
    assert desk.balance() == (OPENING - 1000, 1000)


def test_a_queued_payout_is_approved_when_its_money_has_come(desk: Desk) -> None:
    desk.rule(approve_from=1)
    (payout_id,) = queued(desk, OPENING + 1)
    desk.credit(1, "c")
    assert (status(desk, payout_id), desk.balance()) == (["awaiting_approval"], (0, OPENING + 1))
    assert desk.approve(payout_id)["status"] == "pending"


def test_a_decision_is_never_altered(desk: Desk) -> None:
    desk.payout("rejected")
    for change in ("UPDATE payout.approvals SET approver = 'x'", "DELETE FROM payout.approvals"):
        with desk.refused("PR501"):
            desk.sql("payrail_owner", change, [])


# ---------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("rules", "amounts", "words"),
    [
        ({"payout_limit": 999}, [999, 1000], "limit of one payout"),
        ({"daily_limit": 1500}, [1000, 500, 1], "daily limit"),
        ({"account_daily_limit": 1500}, [1500, 1], "to this bank account"),
        ({"hourly_payouts": 2}, [1, 1, 1], "in this hour"),
    ],
)
def test_what_is_over_a_limit_is_refused(
    desk: Desk, rules: dict[str, int], amounts: list[int], words: str
) -> None:
    desk.rule(**rules)
    answers = [desk.create(f"k{n}", amount) for n, amount in enumerate(amounts)]
    assert [answer.status for answer in answers] == [*[201] * (len(amounts) - 1), 422]
    assert answers[-1].code == "limit_exceeded"
    assert words in answers[-1].json["detail"]
    again = desk.create(f"k{len(amounts) - 1}", amounts[-1])
    assert (again.body, again.replayed) == (answers[-1].body, True)


def test_or_it_has_to_be_approved(desk: Desk) -> None:
    desk.rule(daily_limit=1000, over_limit="approve")
    desk.create("k", 1000)
    answer = desk.create("l", 1)
    assert (answer.json["status"], answer.json["approvals_required"]) == ("awaiting_approval", 1)
    assert desk.approve(answer.payout_id)["status"] == "pending"


@pytest.mark.parametrize("end", ["cancelled", "failed", "rejected", "expired"])
def test_what_is_given_back_does_not_count(desk: Desk, end: str) -> None:
    waits = end in {"rejected", "expired"}
    desk.rule(daily_limit=1000, approve_from=1 if waits else None)
    payout_id = desk.create("k", 1000).payout_id
    assert desk.create("l", 1).code == "limit_exceeded"
    if end == "cancelled":
        desk.cancel(payout_id)
    elif end == "failed":
        desk.claim()
        desk.fail_batch((payout_id, "account_closed", None, None))
    elif end == "rejected":
        desk.reject(payout_id)
    else:
        with later(desk, "8 days"):
            desk.go_on()
    assert status(desk, payout_id) == [end]
    assert desk.create("m", 1000).status == 201


def test_what_was_paid_and_came_back_counts(desk: Desk) -> None:
    desk.rule(daily_limit=1000)
    desk.payout("returned", 1000)
    assert desk.create("l", 1).code == "limit_exceeded"


def test_a_limit_begins_with_what_the_day_has_held(desk: Desk) -> None:
    desk.create("k", 700)
    desk.payout("cancelled", 500)
    rules = desk.rule(daily_limit=1000)
    assert rules["used_today"] == 700
    assert desk.create("l", 301).code == "limit_exceeded"
    assert desk.create("m", 300).status == 201


def test_a_limit_counts_when_the_money_is_held(desk: Desk) -> None:
    desk.rule(daily_limit=1000)
    payout_id = desk.create("k", 1000, scheduled_at=in_an_hour()).payout_id
    (waiting,) = queued(desk, OPENING + 1)
    desk.create("l", 1)
    with later(desk, "61 minutes"):
        desk.go_on()
    row = desk.see(payout_id)
    assert (row["status"], row["failure_code"]) == ("failed", "limit_exceeded")
    assert status(desk, waiting) == ["queued"]
    desk.credit(2, "c")
    assert desk.see(waiting)["failure_code"] == "limit_exceeded"


def test_rules_are_checked_and_their_setting_is_on_record(desk: Desk) -> None:
    for wrong in (
        {"approve_from": 0},
        {"second_approval_from": 5},
        {"approve_from": 5, "second_approval_from": 4},
        {"hourly_payouts": 0},
        {"over_limit": "forget"},
        {"time_zone": "Mars/Base"},
        {"approval_expires_after": "1 second"},
    ):
        with desk.refused("PR153"):
            desk.rule(**wrong)
    with desk.refused("PR102"):
        desk.rule(currency="XYZ")
    query = (
        "SELECT detail FROM payrail.operator_actions"
        " WHERE action = 'rules_set' AND merchant_id = %(merchant_id)s"
    )
    desk.rule(daily_limit=5)
    desk.rule(daily_limit=5)
    (row,) = desk.sql("payrail_operator", query)
    assert row["detail"]["daily_limit"] == 5


# ------------------------------------------------------------------------------------ paying again


def test_what_has_ended_without_paying_is_retried_once(desk: Desk) -> None:
    failed = desk.payout("failed")
    answer = desk.create("again", retry_of=failed)
    assert answer.json["retry_of"] == str(failed)
    refused = desk.create("twice", retry_of=failed)
    assert (refused.code, str(answer.payout_id) in refused.body) == ("retry_of_invalid", True)


@pytest.mark.parametrize("status", ["pending", "processing", "settled", "queued", "scheduled"])
def test_what_may_pay_or_has_paid_is_not_paid_again(desk: Desk, status: str) -> None:
    payout_id = desk.payout(status)
    assert desk.create("again", retry_of=payout_id).code == "retry_of_invalid"
    assert desk.create("other", retry_of=desk.beside().payout("failed")).code == "retry_of_invalid"


def test_what_the_bank_says_after_all_that_it_has_paid_is_not_paid_again(desk: Desk) -> None:
    failed = desk.payout("failed")
    (said,) = desk.settle_batch((failed, "LATE", {"said": "paid"}))
    assert said["effect"] == "contradicted"
    assert "looked into" in desk.create("again", retry_of=failed).body
    # nor when people have made up their minds about the money
    closed = "closed_at = now(), closed_by = 'asha', resolution = 'written off'"
    desk.sql("admin", f"UPDATE rail.cases SET {closed}", [])
    refused = desk.create("once-more", retry_of=failed)
    assert (refused.code, "has paid" in refused.body) == ("retry_of_invalid", True)
    (foretold,) = desk.check(line("checked", failed))
    assert foretold["code"] == "retry_of_invalid"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_what_the_bank_has_booked_is_not_paid_again(desk: Desk, status: str) -> None:
    ended = desk.payout(status)
    desk.sql(
        "payrail_operator",
        "SELECT FROM payrail.import_report('sandbox', 'a day', sha256(%s), '2026-01-01',"
        " '2026-01-02', ARRAY[ROW('1', %s, 'payment', 1000, 'INR', NULL, NULL, NULL)]"
        "::payrail.report_line[])",
        [ended.bytes, ended.hex],
    )
    # not even when people have closed the case, and the bank, asked again, says nothing of it
    closed = "closed_at = now(), closed_by = 'asha', resolution = 'written off'"
    desk.sql("admin", f"UPDATE rail.cases SET {closed}", [])
    refused = desk.create("again", retry_of=ended)
    assert (refused.code, "has booked" in refused.body) == ("retry_of_invalid", True)


def test_what_came_back_is_paid_again(desk: Desk) -> None:
    assert desk.create("again", retry_of=desk.payout("returned")).status == 201


def line(key: str, retry_of: object) -> tuple[object, ...]:
    """Return a payout of a list that is a retry of another."""
    return (key, 1000, "INR", ACCOUNT, None, None, None, None, None, retry_of, None)


def test_a_list_pays_nothing_again_twice(desk: Desk) -> None:
    failed = desk.payout("failed")
    twice = (line("a", failed), line("b", None), line("c", None), line("d", failed))
    assert [(row["line"], row["code"]) for row in desk.check(*twice)] == [(4, "retry_of_invalid")]
    with desk.refused("PR121") as caught:
        desk.upload(*twice)
    told = json.loads(str(caught.value.diag.message_detail))
    assert (told["line"], told["code"]) == (4, "retry_of_invalid")


@pytest.mark.parametrize("narration", ["", " x", "ab-c", "a" * 31, "é"])
def test_a_narration_is_thirty_letters_digits_and_spaces(desk: Desk, narration: str) -> None:
    assert desk.create("k", narration=narration).code == "narration_invalid"
    assert desk.create("k", narration="Invoice 17").json["narration"] == "Invoice 17"


@pytest.mark.parametrize(
    "fields",
    [
        {"queue_if_low_balance": True},
        {"narration": "x"},
        {"scheduled_at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"retry_of": uuid4()},
    ],
)
def test_the_new_fields_are_part_of_the_request(desk: Desk, fields: dict[str, Any]) -> None:
    desk.create("k")
    assert desk.create("k", queue_if_low_balance=False).replayed
    assert desk.create("k", **fields).code == "idempotency_key_reused"
