"""Batches: each line is answered once, whoever dies when; all of them, or none, as was asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.desk import ACCOUNT, OPENING, Answer, Desk, detail

Request = tuple[Any, ...]


def ask(amount: int = 100, key: str | None = None, account: str = ACCOUNT) -> Request:
    return (key, amount, "INR", account, None, None)


def batch_id(answer: Answer) -> UUID:
    assert answer.status == 201, answer.body
    return UUID(answer.json["id"])


def finish(desk: Desk, batch: UUID, limit: int = 3) -> dict[str, Any]:
    while not (row := desk.advance(batch, limit))["completed_at"]:
        pass
    return row


def test_a_batch_waits_for_the_worker_and_nothing_is_paid_yet(desk: Desk) -> None:
    answer = desk.upload(*[ask(100 + n) for n in range(3)], name="wages")
    assert not answer.replayed
    body = answer.json
    assert (body["status"], body["mode"], body["name"]) == ("pending", "best_effort", "wages")
    assert (body["lines"], body["accepted"], body["rejected"]) == (3, 0, 0)
    assert body["totals"] == [{"currency": "INR", "lines": 3, "amount": 303}]
    assert desk.balance() == (OPENING, 0)
    assert [line["outcome"] for line in desk.lines(body["id"])] == [None] * 3


def test_each_line_becomes_a_payout_under_a_key_of_its_own(desk: Desk) -> None:
    batch = batch_id(desk.upload(*[ask(100 + n) for n in range(7)]))
    seen = []
    while True:
        row = desk.advance(batch, limit=3)
        seen.append((row["status"], row["accepted"]))
        if row["completed_at"]:
            break
    assert seen == [("processing", 3), ("processing", 6), ("completed", 7)]
    lines = desk.lines(batch)
    assert [line["idempotency_key"] for line in lines] == [
        f"batch-{batch}-{n}" for n in range(1, 8)
    ]
    assert [desk.see(line["payout_id"])["amount"] for line in lines] == [*range(100, 107)]
    assert {line["payout_status"] for line in lines} == {"pending"}
    assert desk.balance() == (OPENING - 721, 721)


def test_a_batch_that_is_over_stays_as_it_is(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask(), ask()))
    over = finish(desk, batch)
    with desk.unchanged():
        assert desk.advance(batch) == over


def test_who_runs_out_of_money_half_way_is_told_line_by_line(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask(6000), ask(3000), ask(2000), ask(1000), ask(1)))
    over = finish(desk, batch)
    assert (over["status"], over["accepted"], over["rejected"]) == ("completed", 3, 2)
    lines = desk.lines(batch)
    assert [line["outcome"] for line in lines] == [
        *("accepted", "accepted", "rejected", "accepted", "rejected")
    ]
    assert [line["code"] for line in lines] == [
        *(None, None, "insufficient_funds", None, "insufficient_funds")
    ]
    assert "available balance 1000 is less" in lines[2]["detail"]
    assert desk.balance() == (0, OPENING)


def test_all_of_a_batch_or_nothing(desk: Desk) -> None:
    requests = [ask(6000, "a"), ask(3000, "b"), ask(2000, "c"), ask(1, "d", "nowhere")]
    batch = batch_id(desk.upload(*requests, mode="all_or_nothing"))
    over = desk.advance(batch, limit=1)
    assert (over["status"], over["accepted"], over["rejected"]) == ("rejected", 0, 2)
    assert desk.balance() == (OPENING, 0)
    assert desk.table("payouts") == []
    assert [(line["outcome"], line["code"]) for line in desk.lines(batch)] == [
        (None, None),
        (None, None),
        ("rejected", "insufficient_funds"),
        ("rejected", "bank_account_not_found"),
    ]
    # no key was used up
    again = batch_id(desk.upload(*requests[:2], ask(1000, "c"), key="again", mode="all_or_nothing"))
    over = desk.advance(again, limit=1)
    assert (over["status"], over["accepted"], over["rejected"]) == ("completed", 3, 0)
    assert desk.balance() == (0, OPENING)


def test_a_worker_that_dies_before_its_commit_has_done_nothing(desk: Desk) -> None:
    batch = batch_id(desk.upload(*[ask(100) for _ in range(5)]))
    desk.advance(batch, limit=2)
    worker = desk.connection("payrail_worker")
    with desk.unchanged(), worker.transaction(force_rollback=True):
        desk.advance(batch, limit=2)
    assert finish(desk, batch)["accepted"] == 5
    assert len({line["payout_id"] for line in desk.lines(batch)}) == 5
    assert desk.balance() == (OPENING - 500, 500)


def test_an_upload_that_is_repeated_is_the_same_batch(desk: Desk) -> None:
    first = desk.upload(ask(), ask(), name="wages")
    finish(desk, batch_id(first))
    with desk.unchanged():
        again = desk.upload(ask(), ask(), name="wages")
    assert (again.status, again.body, again.replayed) == (201, first.body, True)


@pytest.mark.parametrize(
    ("requests", "more"),
    [
        ([ask(), ask(101)], {"name": "wages"}),
        ([ask()], {"name": "wages"}),
        ([ask(), ask(100, "k")], {"name": "wages"}),
        ([ask(), ask()], {"name": "rents"}),
        ([ask(), ask()], {"name": "wages", "mode": "all_or_nothing"}),
    ],
)
def test_a_key_is_not_used_for_another_upload(
    desk: Desk, requests: list[Request], more: dict[str, str]
) -> None:
    desk.upload(ask(), ask(), name="wages")
    with desk.unchanged():
        answer = desk.upload(*requests, **more)
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", [None, "", "two words", "x" * 256, "é"])
def test_an_upload_needs_a_key(desk: Desk, key: Any) -> None:
    with desk.unchanged():
        answer = desk.upload(ask(), key=key)
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (ask(0), "amount_invalid"),
        (ask(10**15 + 1), "amount_invalid"),
        (ask(100, "two words"), "idempotency_key_invalid"),
        ((None, 1, "XXX", ACCOUNT, None, None), "currency_unknown"),
        ((None, 1, None, ACCOUNT, None, None), "currency_unknown"),
        ((None, 1, "INR", None, None, None), "bank_account_invalid"),
        ((None, 1, "INR", ACCOUNT, "", None), "reference_invalid"),
        ((None, 1, "INR", ACCOUNT, None, {"k": 1}), "metadata_invalid"),
        (ask(100, "twice"), "idempotency_key_reused"),
    ],
)
def test_a_line_that_is_not_well_formed_keeps_the_batch_out(
    desk: Desk, wrong: Request, code: str
) -> None:
    with desk.refused("PR121") as caught:
        desk.upload(ask(100, "twice"), ask(), wrong, ask(-1))
    told = detail(caught.value)
    assert (told["field"], told["line"], told["code"]) == ("payouts/2", 3, code)


@pytest.mark.parametrize(
    ("requests", "more", "field"),
    [
        ([], {}, "payouts"),
        ([ask()], {"mode": "half"}, "mode"),
        ([ask()], {"mode": None}, "mode"),
        ([ask()], {"name": ""}, "name"),
        ([ask()], {"name": "a\nb"}, "name"),
        ([ask()], {"name": "x" * 256}, "name"),
    ],
)
def test_bounds_of_a_batch(
    desk: Desk, requests: list[Request], more: dict[str, Any], field: str
) -> None:
    with desk.refused("PR111") as caught:
        desk.upload(*requests, **more)
    assert detail(caught.value)["field"] == field


def test_ten_thousand_lines_and_no_more(desk: Desk) -> None:
    query = (
        "SELECT (payrail.create_batch(%(merchant_id)s, %(key)s, ARRAY(SELECT ROW(NULL, 1, 'INR',"
        " 'demo-bank-account', NULL, NULL, NULL, NULL, NULL, NULL, NULL)::payrail.payout_request"
        " FROM generate_series(1, %(lines)s)))).status"
    )
    given = {"merchant_id": desk.merchant_id, "key": "k"}
    with desk.refused("PR111"):
        desk.sql("payrail_api", query, {**given, "lines": 10_001})
    (row,) = desk.sql("payrail_api", query, {**given, "lines": 10_000})
    assert row["status"] == 201
    (batch,) = desk.table("batches")
    assert batch["lines"] == 10_000
    desk.call("payrail_api", "cancel_batch", batch_id=batch["batch_id"])


def test_a_key_that_was_used_before_makes_no_second_payout(desk: Desk) -> None:
    single = desk.create("single", 500).payout_id
    desk.create("poor", OPENING * 2)
    batch = batch_id(
        desk.upload(ask(500, "single"), ask(501, "single-2"), ask(7, "poor"), ask(500, "fresh"))
    )
    desk.create("single-2", 500)
    over = finish(desk, batch)
    assert (over["accepted"], over["rejected"]) == (2, 2)
    lines = desk.lines(batch)
    assert (lines[0]["payout_id"], lines[0]["replayed"]) == (single, True)
    assert [line["code"] for line in lines[1:3]] == ["idempotency_key_reused"] * 2
    assert lines[3]["replayed"] is False
    assert len(desk.table("payouts")) == 3


def test_a_batch_is_cancelled_before_it_starts_only(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask(), ask()))
    (cancelled,) = desk.call("payrail_api", "cancel_batch", batch_id=batch)
    assert cancelled["status"] == "cancelled"
    assert cancelled["completed_at"]
    with desk.unchanged():
        assert desk.call("payrail_api", "cancel_batch", batch_id=batch) == [cancelled]
        assert desk.advance(batch) == cancelled
    started = batch_id(desk.upload(ask(), ask(), key="other"))
    desk.advance(started, limit=1)
    with desk.refused("PR221") as caught:
        desk.call("payrail_api", "cancel_batch", batch_id=started)
    assert detail(caught.value)["current_status"] == "processing"
    finish(desk, started)
    with desk.refused("PR221"):
        desk.call("payrail_api", "cancel_batch", batch_id=started)


def test_its_end_is_an_event_whatever_the_end(desk: Desk) -> None:
    done = batch_id(desk.upload(ask(), ask(), key="a"))
    finish(desk, done, limit=1)
    refused = batch_id(desk.upload(ask(OPENING), key="b", mode="all_or_nothing"))
    finish(desk, refused)
    cancelled = batch_id(desk.upload(ask(), key="c"))
    for _ in range(2):
        desk.call("payrail_api", "cancel_batch", batch_id=cancelled)
    told = [event["data"] for event in desk.table("events") if event["type"] == "batch.completed"]
    assert {(data["id"], data["status"]) for data in told} == {
        (str(done), "completed"),
        (str(refused), "rejected"),
        (str(cancelled), "cancelled"),
    }
    assert len(told) == 3


def test_another_merchants_batch_is_not_there(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask()))
    other = desk.beside()
    for role, door in (("payrail_worker", "advance_batch"), ("payrail_api", "cancel_batch")):
        for unknown in (batch, uuid4()):
            with other.refused("PR421"):
                other.call(role, door, batch_id=unknown)
    assert other.lines(batch) == []
    assert other.upload(ask()).json["id"] != str(batch)  # and a key is the merchant's own


def test_the_oldest_batch_of_each_merchant_is_due(desk: Desk) -> None:
    other = desk.beside()
    first, second = (batch_id(desk.upload(ask(), key=key)) for key in "ab")
    of_other = batch_id(other.upload(ask()))

    def due() -> list[UUID]:
        rows = desk.sql("payrail_worker", "SELECT * FROM payrail.due_batches()", [])
        return [r["batch_id"] for r in rows if r["batch_id"] in {first, second, of_other}]

    assert {*due()} == {first, of_other}
    finish(desk, first)
    assert {*due()} == {second, of_other}
    finish(desk, second)
    finish(other, of_other)
    assert due() == []


def test_the_payouts_of_a_batch_say_for_whom_they_were_made(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask(), actor="pr_test_a1b2"))
    finish(desk, batch)
    (line,) = desk.lines(batch)
    assert desk.see(line["payout_id"])["actor"] == "payrail_worker:payrail_api:pr_test_a1b2"


LATER = datetime.now(UTC) + timedelta(days=1)
KEYS = ["known", "refused", "p", "q", None, None, None]
LINES = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from([1, 500, 4000, 6000]),
        st.sampled_from(["INR", "INR", "INR", "USD"]),
        st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, "nowhere"]),
        st.none(),
        st.none(),
        st.sampled_from([None, None, None, LATER, LATER - timedelta(days=365)]),
        st.sampled_from([None, False, True]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda line: line[0] or object(),
)


@given(lines=LINES)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_check_foretells_what_a_batch_does(desk: Desk, lines: list[Request]) -> None:
    own = desk.beside()
    own.create("known", 500)
    own.create("refused", OPENING * 2)
    with own.unchanged():
        foretold = {row["line"]: row for row in own.check(*lines)}
    batch = batch_id(own.upload(*lines))
    finish(own, batch, limit=5)
    for line in own.lines(batch):
        said = foretold.get(line["line"], {"code": None, "detail": None, "replayed": False})
        assert (said["code"], said["detail"]) == (line["code"], line["detail"])
        assert line["code"] or said["replayed"] == line["replayed"]


def test_a_check_sees_a_key_that_is_there_twice(desk: Desk) -> None:
    (found,) = desk.check(ask(100, "k"), ask(100), ask(100, "k"))
    assert (found["line"], found["code"]) == (3, "idempotency_key_reused")


def test_a_line_may_wait_for_money_or_for_its_time(desk: Desk) -> None:
    lines = [ask(9000), (*ask(2000), None, True), (*ask(500), LATER)]
    batch = batch_id(desk.upload(*lines))
    assert finish(desk, batch)["accepted"] == 3
    statuses = [line["payout_status"] for line in desk.lines(batch)]
    assert statuses == ["pending", "queued", "scheduled"]
    assert desk.balance() == (OPENING - 9000, 9000)


def test_who_uploads_a_list_does_not_approve_its_payouts(desk: Desk) -> None:
    desk.call("payrail_operator", "set_rules", approve_from=1)
    batch = batch_id(desk.upload(ask(), owner="asha"))
    finish(desk, batch)
    (line,) = desk.lines(batch)
    assert line["payout_status"] == "awaiting_approval"
    payout_id = line["payout_id"]
    with desk.refused("PR551"):
        desk.call("payrail_api", "approve_payout", approver="asha", payout_id=payout_id)
    desk.call("payrail_api", "approve_payout", approver="ravi", payout_id=payout_id)
    assert desk.see(line["payout_id"])["status"] == "pending"


def test_only_the_worker_and_operators_advance(desk: Desk) -> None:
    batch = batch_id(desk.upload(ask()))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.call("payrail_api", "advance_batch", batch_id=batch)
    desk.call("payrail_operator", "advance_batch", batch_id=batch)
