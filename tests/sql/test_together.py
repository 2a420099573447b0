"""Requests that go down in one call are answered as if each had come alone, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Database
from tests.desk import ACCOUNT, Answer, Desk

Request = tuple[object, ...]

SOON: Final = datetime.now(UTC) + timedelta(hours=2)
FAILED: Final = ("first", "second")  # names of payouts that may be retried

requests = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "e", "", "two words"]),
    st.sampled_from([1, 1500, 3000, 6000, 10_000, 0, -1, None, 10**15 + 1]),
    st.sampled_from(["INR", "INR", "INR", "EUR", "XXX", None]),
    st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, "nobody's", None]),
    st.sampled_from([None, "INV-1", "\n"]),
    st.sampled_from([None, '{"order": "1"}', "[]"]),
    st.sampled_from(
        [None, None, None, SOON, SOON - timedelta(days=1), datetime.max.replace(tzinfo=UTC)]
    ),
    st.sampled_from([None, False, True, True]),  # queue_if_low_balance
    st.sampled_from([None, "wages", " "]),
    st.sampled_from([None, None, None, *FAILED, "nothing"]),
    st.sampled_from([None, None, None, "auto", "NEFT", "UPI"]),
)
rules = st.sampled_from(
    [
        {},
        {"daily_limit": 5000},
        {"daily_limit": 5000, "over_limit": "approve"},
        {"hourly_payouts": 2, "payout_limit": 3000},
        {"approve_from": 3000, "second_approval_from": 6000},
        {"account_daily_limit": 6000, "approve_from": 1500, "over_limit": "approve"},
    ]
)


def prepare(desk: Desk, rule: dict[str, Any]) -> dict[str, UUID]:
    """Set a merchant's rules, and return its payouts that may be retried by their names."""
    ended = {name: desk.create(name, 1).payout_id for name in FAILED}
    for payout_id in ended.values():
        desk.cancel(payout_id)
    if rule:
        desk.rule(**rule)
    return ended


def named(request: Request, ended: dict[str, UUID]) -> Request:
    """Return a request with the id of the payout that it retries."""
    *before, retried, mode = request
    return (*before, ended.get(str(retried), retried and UUID(int=1)), mode)


def seen(answer: Answer | None, ended: dict[str, UUID]) -> object:
    """Return what can be compared of an answer: all but ids and times."""
    assert answer is not None
    body = {
        name: value
        for name, value in answer.json.items()
        if name != "id" and not name.endswith("_at") and name != "status_details"
    }
    ids = {str(payout_id): name for name, payout_id in ended.items()}
    body["retry_of"] = ids.get(body.get("retry_of", ""), body.get("retry_of"))
    return answer.status, answer.replayed, body


def state(desk: Desk) -> object:
    """Return a merchant's balances, what counts towards its limits, and how its payouts are."""
    usage = desk.sql(
        "admin",
        "SELECT u.period, u.bank_account_id, u.amount, u.payouts FROM payout.usage u"
        " WHERE u.merchant_id = %(merchant_id)s ORDER BY 1, 2",
    )
    entries = [
        (row["kind"], row["amount"], row["available"]) for row in desk.table("ledger_entries")
    ]
    payouts = [
        (row["status"], row["amount"], row["approvals_required"]) for row in desk.table("payouts")
    ]
    return usage, entries, sorted(payouts)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.lists(st.tuples(st.integers(0, 1), requests), min_size=1, max_size=12),
    rule=st.tuples(rules, rules),
)
def test_one_call_answers_as_calls_one_after_the_other(
    database: Database,
    asked: Sequence[tuple[int, Request]],
    rule: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    with ExitStack() as stack:
        desks = [stack.enter_context(Desk(database)) for _ in range(4)]
        ended = [prepare(desk, one) for desk, one in zip(desks, rule * 2, strict=True)]
        at_once = desks[0].create_for_many(
            *((desks[n], "asha", named(request, ended[n])) for n, request in asked), wait=True
        )
        in_turn = [
            desks[n].create_for_many((desks[n], "asha", named(request, ended[n])), wait=True)[0]
            for n, request in ((n + 2, request) for n, request in asked)
        ]
        assert [seen(answer, ended[n]) for answer, (n, _) in zip(at_once, asked, strict=True)] == [
            seen(answer, ended[n + 2]) for answer, (n, _) in zip(in_turn, asked, strict=True)
        ]
        assert [state(desk) for desk in desks[:2]] == [state(desk) for desk in desks[2:]]
        assert desks[0].violations() == {}


def test_what_one_call_makes_counts_towards_its_limits(own_desk: Desk) -> None:
    own_desk.rule(daily_limit=5000)
    answers = own_desk.create_batch(
        *((f"k{n}", 2000, "INR", ACCOUNT, None, None) for n in range(4))
    )
    assert [answer.status for answer in answers] == [201, 201, 422, 422]
    assert {answer.code for answer in answers[2:]} == {"limit_exceeded"}


def test_what_one_call_queues_comes_before_what_follows_it(own_desk: Desk) -> None:
    more = (None, None, None, True)
    answers = own_desk.create_batch(
        ("first", 20_000, "INR", ACCOUNT, *more), ("second", 1, "INR", ACCOUNT, *more)
    )
    assert [answer.json["status"] for answer in answers] == ["queued", "queued"]


def test_one_call_retries_a_payout_once(own_desk: Desk) -> None:
    ended = prepare(own_desk, {})["first"]
    more = (None, None, None, None, None, ended)
    answers = own_desk.create_batch(*((key, 1, "INR", ACCOUNT, *more) for key in ("one", "other")))
    assert [answer.status for answer in answers] == [201, 422]
    assert answers[1].code == "retry_of_invalid"
    assert answers[0].json["id"] in answers[1].json["detail"]
