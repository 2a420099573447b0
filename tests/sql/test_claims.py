"""A due payout is handed to one worker at a time, and an unknown outcome never fails it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.desk import ACCOUNT, OPENING, Desk

MINUTE = timedelta(minutes=1)


def test_a_claim_hands_over_what_the_rail_needs(desk: Desk) -> None:
    payout_id = desk.create("k", 6000, narration="Invoice 17").payout_id
    (row,) = desk.claim(lease=MINUTE, actor="host-1")
    seen = desk.see(payout_id)
    assert row == {
        "payout_id": payout_id,
        "action": "submit",
        "rail": "sandbox",
        "rail_ref": payout_id.hex,
        "amount": 6000,
        "currency": "INR",
        "account_number": "000000000001",
        "ifsc": "HDFC0000001",
        "vpa": None,
        "iban": None,
        "holder_name": "Asha Rao",
        "mode": "IMPS",
        "narration": "Invoice 17",
        "attempt": 1,
        "send_before": seen["send_before"],
    }
    assert (seen["status"], seen["actor"]) == ("processing", "payrail_worker:host-1")
    assert desk.balance() == (OPENING - 6000, 6000)


def test_half_the_lease_is_for_sending(desk: Desk) -> None:
    payout_id = desk.payout()
    (row,) = desk.claim(lease=MINUTE)
    seen = desk.see(payout_id)
    assert seen["next_action_at"] - row["send_before"] == MINUTE / 2
    assert seen["updated_at"] <= row["send_before"] <= seen["updated_at"] + MINUTE / 2


def test_a_claimed_payout_is_nobody_elses(desk: Desk) -> None:
    desk.payout("processing")
    with desk.unchanged():
        assert desk.claim() == []


def test_what_a_dead_worker_left_is_asked_about_not_sent_again(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.make_due(payout_id)
    (row,) = desk.claim()
    assert (row["payout_id"], row["action"], row["attempt"]) == (payout_id, "enquire", 2)
    assert desk.see(payout_id)["version"] == 2  # not a change of status
    assert desk.claim() == []  # and it has a lease again


def test_the_bank_reference_never_changes(desk: Desk) -> None:
    payout_id = desk.payout()
    references = set()
    for _ in range(3):
        (row,) = desk.claim()
        references.add(row["rail_ref"])
        desk.make_due(payout_id)
    assert references == {payout_id.hex}


@pytest.mark.parametrize("status", ["settled", "failed", "cancelled", "returned"])
def test_what_has_ended_is_not_claimed(desk: Desk, status: str) -> None:
    desk.payout(status)
    with desk.unchanged():
        assert desk.claim() == []


def test_the_oldest_are_claimed_first_up_to_the_limit(desk: Desk) -> None:
    made = [desk.create(f"k{n}", 100).payout_id for n in range(5)]
    first = {row["payout_id"] for row in desk.claim(limit=2)}
    second = {row["payout_id"] for row in desk.claim(limit=2)}
    assert (first, second) == ({*made[:2]}, {*made[2:4]})
    assert [row["payout_id"] for row in desk.claim()] == made[4:]


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 1001},
        {"limit": None},
        {"lease": "0.9 seconds"},
        {"lease": "-1 hour"},
        {"lease": "61 minutes"},
        {"lease": "infinity"},
        {"lease": None},
    ],
)
def test_a_claim_out_of_bounds_is_refused(desk: Desk, arguments: dict[str, object]) -> None:
    desk.payout()
    with desk.refused("PR111"):
        desk.claim(**arguments)


def test_a_claim_is_one_merchants(desk: Desk) -> None:
    other = desk.beside()
    mine, theirs = desk.payout(), other.payout()
    with other.unchanged():
        assert [row["payout_id"] for row in desk.claim()] == [mine]
    assert [row["payout_id"] for row in other.claim()] == [theirs]


def test_due_merchants_are_those_with_due_work(desk: Desk) -> None:
    other = desk.beside()
    desk.payout()
    other.payout("settled")
    assert {desk.merchant_id} == due(desk) & {desk.merchant_id, other.merchant_id}
    (row,) = desk.claim()
    assert desk.merchant_id not in due(desk)
    desk.make_due(row["payout_id"])
    assert desk.merchant_id in due(desk)


def due(desk: Desk) -> set[object]:
    rows = desk.sql("payrail_worker", "SELECT * FROM payrail.due_merchants() AS merchant_id", [])
    return {row["merchant_id"] for row in rows}


# ------------------------------------------------------------------------------ unknown outcomes


def test_an_unknown_outcome_stays_processing_and_is_asked_about_later(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    (row,) = desk.postpone(payout_id, reason="no answer")
    seen = desk.see(payout_id)
    assert (seen["status"], seen["unknown_reason"]) == ("processing", "no answer")
    assert row["next_action_at"] == seen["next_action_at"] > seen["updated_at"]
    assert desk.balance() == (OPENING - 6000, 6000)


def test_however_often_the_bank_does_not_answer_nothing_is_refunded(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    for attempts in range(2, 40):
        desk.postpone(payout_id)
        desk.make_due(payout_id)
        (row,) = desk.claim()
        assert (row["action"], row["attempt"]) == ("enquire", attempts)
    assert desk.see(payout_id)["status"] == "processing"
    assert desk.balance() == (OPENING - 6000, 6000)
    desk.settle(payout_id)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (5, 16), (10, 512), (11, 600), (500, 600)]
)
def test_the_pause_doubles_up_to_ten_minutes(desk: Desk, attempts: int, seconds: int) -> None:
    payout_id = desk.payout("processing")
    desk.sql(
        "payrail_owner",
        "UPDATE payout.payouts SET attempts = %s WHERE merchant_id = %s AND payout_id = %s",
        [attempts, desk.merchant_id, payout_id],
    )
    with desk.connection("payrail_worker").transaction():
        (clock,) = desk.sql("payrail_worker", "SELECT clock_timestamp() AS before", [])
        desk.postpone(payout_id)
        (after,) = desk.sql("payrail_worker", "SELECT clock_timestamp() AS after", [])
    row = desk.see(payout_id)
    assert row["next_action_at"] >= clock["before"] + timedelta(seconds=seconds * 0.75)
    assert row["next_action_at"] <= after["after"] + timedelta(seconds=seconds * 1.25)


@pytest.mark.parametrize("status", ["pending", "settled", "failed", "cancelled", "returned"])
def test_only_what_is_processing_can_be_postponed(desk: Desk, status: str) -> None:
    payout_id = desk.payout(status)
    before = desk.see(payout_id)
    assert desk.postpone(payout_id) == [before]


def test_another_merchants_payouts_can_not_be_postponed(desk: Desk) -> None:
    other = desk.beside()
    payout_id = other.payout("processing")
    with other.unchanged():
        (row,) = desk.record((payout_id, "unknown", None, None, None, None, 1))
    assert (row["effect"], row["detail"]) == ("refused", "payout_not_found")


def test_a_postponed_payout_is_not_due_before_its_time(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.sql(
        "payrail_owner",
        "UPDATE payout.payouts SET attempts = 12 WHERE merchant_id = %s AND payout_id = %s",
        [desk.merchant_id, payout_id],
    )
    desk.postpone(payout_id)
    assert desk.merchant_id not in due(desk)
    assert desk.claim() == []


def test_payouts_to_an_archived_account_are_still_claimed(desk: Desk) -> None:
    payout_id = desk.payout()
    desk.call("payrail_operator", "archive_bank_account", bank_account_id=ACCOUNT)
    assert [row["payout_id"] for row in desk.claim()] == [payout_id]


def test_a_postponed_payout_is_asked_about_when_its_time_comes(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    for _ in range(3):
        desk.postpone(payout_id)
        desk.make_due(payout_id)
        (row,) = desk.claim(lease=MINUTE)
        assert (row["payout_id"], row["action"]) == (payout_id, "enquire")


def test_a_claim_does_not_read_what_is_not_due(own_desk: Desk) -> None:
    """Nor after the session has planned it while there was next to nothing to read."""
    desk = own_desk
    # an ANALYZE in the middle would have it planned anew
    desk.sql("admin", "ALTER TABLE payout.payouts SET (autovacuum_enabled = FALSE)", [])
    for number in range(8):
        desk.create(f"early-{number}", 1)
        desk.fail_batch(*[(r["payout_id"], "account_closed", None, None) for r in desk.claim()])
        desk.sql("payrail_worker", "SELECT payrail.due_merchants()", [])
    for number in range(10):
        made = desk.create_batch(
            *[(f"{number}-{n}", 1, "INR", ACCOUNT, None, None) for n in range(200)]
        )
        for answer in made:
            desk.cancel(answer.payout_id)
    desk.create("late", 1)
    with desk.connection("payrail_worker").transaction():
        assert desk.sql("payrail_worker", "SELECT payrail.due_merchants()", [])
        assert len(desk.claim()) == 1
        (read,) = desk.sql(
            "payrail_worker",
            "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows"
            " FROM pg_stat_xact_user_tables WHERE schemaname = 'payout' AND relname = 'payouts'",
            [],
        )
    assert read["rows"] < 100


def test_what_was_planned_over_empty_tables_reads_none_of_them_whole_when_they_are_full(
    own_desk: Desk,
) -> None:
    desk = own_desk
    desk.sql("admin", "VACUUM ANALYZE", [])
    for number in range(8):
        pay(desk, number, 1)
    pay(desk, 8, 1000)
    before = rows_read(desk)
    pay(desk, 9, 10)
    after = rows_read(desk)
    assert {
        name: after[name] - before[name] for name in after if after[name] > 100 + before[name]
    } == {}


def pay(desk: Desk, number: int, payouts: int) -> None:
    requests = [(f"{number}-{n}", 1, "INR", ACCOUNT, None, None) for n in range(payouts)]
    desk.create_batch(*requests)
    claimed = desk.claim(limit=payouts)
    desk.settle_batch(*[(row["payout_id"], row["rail_ref"], None) for row in claimed])


def rows_read(desk: Desk) -> dict[str, int]:
    """Return how many rows each table has had read by going through the whole of it."""
    for role in ("payrail_api", "payrail_worker"):
        desk.sql(role, "SELECT pg_stat_force_next_flush()", [])
    query = "SELECT schemaname || '.' || relname AS name, seq_tup_read FROM pg_stat_user_tables"
    return {row["name"]: row["seq_tup_read"] for row in desk.sql("admin", query, [])}
