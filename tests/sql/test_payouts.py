"""A payout holds its money, and moves only along the edges of the state machine."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.desk import ACCOUNT, OPENING, OWN_STATUSES, STATUSES, Desk, detail, in_an_hour

EDGES = {
    ("pending", "processing"),
    ("pending", "cancelled"),
    ("processing", "settled"),
    ("processing", "failed"),
    ("processing", "pending"),  # what provably never left
    ("settled", "returned"),
    ("awaiting_approval", "pending"),
    ("awaiting_approval", "rejected"),
    ("awaiting_approval", "expired"),
    ("awaiting_approval", "cancelled"),
    ("scheduled", "pending"),
    ("scheduled", "awaiting_approval"),  # over a limit, when its time comes
    ("scheduled", "queued"),
    ("scheduled", "failed"),
    ("scheduled", "cancelled"),
    ("queued", "pending"),
    ("queued", "awaiting_approval"),  # which it has not got when the money comes
    ("queued", "failed"),
    ("queued", "expired"),
    ("queued", "cancelled"),
}
# of one that is not held
UNHELD = ("awaiting_approval", "scheduled")
FIRST = ("pending", "awaiting_approval", "scheduled", "queued")
FINAL = ("failed", "cancelled", "returned", "rejected", "expired")
ALL = (*STATUSES, *OWN_STATUSES)

# what each state must carry
PROOF = {
    "pending": "next_action_at = now()",
    "processing": "next_action_at = now(), send_before = now()",
    "settled": "next_action_at = NULL, settled_at = now(), utr = 'U'",
    "failed": "next_action_at = NULL, failure_code = 'account_closed'",
    "cancelled": "next_action_at = NULL",
    "returned": "next_action_at = NULL, settled_at = coalesce(settled_at, now()),"
    " utr = coalesce(utr, 'U'), returned_at = now(), return_code = 'R'",
    "awaiting_approval": "next_action_at = now(), expires_at = now()",
    "scheduled": "next_action_at = now()",
    "queued": "next_action_at = now(), expires_at = now()",
    "rejected": "next_action_at = NULL",
    "expired": "next_action_at = NULL",
}


def proof(before: str, after: str) -> str:
    """Return what a payout must carry that goes this way: why it failed is not the bank's word."""
    if after == "failed" and before != "processing":
        return PROOF[after].replace("account_closed", "insufficient_funds")
    return PROOF[after]


def change(desk: Desk, payout_id: UUID, assignments: str) -> None:
    """Update the payout as the owner of the tables."""
    desk.sql(
        "payrail_owner",
        f"UPDATE payout.payouts SET {assignments} WHERE merchant_id = %s AND payout_id = %s",
        [desk.merchant_id, payout_id],
    )


def history(desk: Desk, payout_id: UUID) -> list[tuple[str | None, str]]:
    return [
        (row["from_status"], row["to_status"])
        for row in desk.table("payout_history")
        if row["payout_id"] == payout_id
    ]


def events(desk: Desk, payout_id: UUID) -> list[str]:
    return [row["type"] for row in desk.table("events") if row["payout_id"] == payout_id]


def test_a_payout_holds_its_money(desk: Desk) -> None:
    answer = desk.create("k", 6000, reference="INV-1", metadata={"a": "1"}, actor="pr_test_abcd")
    row = desk.see(answer.payout_id)
    assert desk.balance() == (OPENING - 6000, 6000)
    assert (row["status"], row["amount"], row["currency"]) == ("pending", 6000, "INR")
    assert (row["reference"], row["metadata"], row["version"]) == ("INV-1", {"a": "1"}, 1)
    assert row["actor"] == "payrail_api:pr_test_abcd"
    assert row["rail_ref"] == answer.payout_id.hex
    assert answer.payout_id.version == 7
    assert history(desk, answer.payout_id) == [(None, "pending")]
    assert events(desk, answer.payout_id) == ["payout.created"]


def test_the_answer_is_the_payout(desk: Desk) -> None:
    answer = desk.create("k", 6000)
    (row,) = desk.sql(
        "payrail_api",
        "SELECT payrail.payout_json(p)::text AS body FROM payrail.payouts p"
        " WHERE merchant_id = %(merchant_id)s",
    )
    assert answer.body == row["body"]
    assert list(answer.json) == [
        "id",
        "status",
        "amount",
        "currency",
        "amount_paise",
        "bank_account_id",
        "reference",
        "metadata",
        "utr",
        "status_details",
        "created_at",
        "updated_at",
        "settled_at",
        "returned_at",
        "scheduled_at",
        "expires_at",
        "queue_if_low_balance",
        "approvals_required",
        "narration",
        "retry_of",
        "mode",
        "mode_reason",
        "fee",
    ]
    assert answer.json["created_at"] == answer.json["updated_at"]
    assert answer.json["created_at"].endswith("Z")
    created = datetime.fromisoformat(answer.json["created_at"])
    assert created == desk.see(answer.payout_id)["created_at"]


def test_all_of_the_balance_can_be_paid_out_and_not_a_paisa_more(desk: Desk) -> None:
    over = desk.create("over", OPENING + 1)
    assert (over.status, over.code) == (422, "insufficient_funds")
    assert desk.balance() == (OPENING, 0)
    assert desk.create("all", OPENING).status == 201
    assert desk.balance() == (0, OPENING)
    assert desk.create("one-more", 1).code == "insufficient_funds"
    assert desk.balance() == (0, OPENING)


def test_two_payouts_of_sixty_from_a_hundred(desk: Desk) -> None:
    assert [desk.create(key, 6000).status for key in "ab"] == [201, 422]
    assert desk.balance() == (4000, 6000)


def test_held_money_is_not_available(desk: Desk) -> None:
    desk.create("k", 6000)
    desk.claim()
    assert desk.create("l", 6000).code == "insufficient_funds"


def test_a_merchant_without_money_can_not_pay(desk: Desk) -> None:
    poor = desk.beside(0)
    assert poor.create("k", 1).code == "insufficient_funds"
    assert poor.balance() == (0, 0)


def test_the_problem_names_the_field(desk: Desk) -> None:
    answer = desk.create("k", 12_000)
    assert answer.json == {
        "type": "/docs/#error-insufficient_funds",
        "title": "Insufficient funds",
        "status": 422,
        "detail": "available balance 10000 is less than the amount 12000 (minor units of INR)",
        "code": "insufficient_funds",
        "retryable": False,
        "errors": [
            {
                "pointer": "/amount",
                "code": "insufficient_funds",
                "detail": "available balance 10000 is less than the amount 12000"
                " (minor units of INR)",
            }
        ],
    }


def test_an_archived_bank_account_can_not_be_paid(desk: Desk) -> None:
    under_way = desk.payout("processing")
    desk.call("payrail_operator", "archive_bank_account", bank_account_id=ACCOUNT)
    assert desk.create("k").code == "bank_account_not_found"
    assert desk.settle(under_way)["status"] == "settled"  # those under way still end


def test_another_merchants_bank_account_can_not_be_paid(desk: Desk) -> None:
    other = desk.beside()
    other.call(
        "payrail_operator",
        "add_bank_account",
        bank_account_id="theirs",
        holder_name="Ravi",
        account_number="12345678",
        ifsc="HDFC0000001",
    )
    assert desk.create("k", bank_account_id="theirs").code == "bank_account_not_found"


# ------------------------------------------------------------------------------------ cancelling


def test_a_pending_payout_can_be_cancelled(desk: Desk) -> None:
    payout_id = desk.create("k", 6000).payout_id
    row = desk.cancel(payout_id, reason="typo", actor="pr_test_abcd")
    assert (row["status"], row["version"], row["next_action_at"]) == ("cancelled", 2, None)
    assert (row["actor"], row["reason"]) == ("payrail_api:pr_test_abcd", "typo")
    assert desk.balance() == (OPENING, 0)
    assert history(desk, payout_id) == [(None, "pending"), ("pending", "cancelled")]
    assert events(desk, payout_id) == ["payout.created", "payout.cancelled"]
    assert desk.claim() == []


def test_cancelling_twice_changes_nothing(desk: Desk) -> None:
    payout_id = desk.payout("cancelled")
    with desk.unchanged():
        assert desk.cancel(payout_id, reason="again")["status"] == "cancelled"


@pytest.mark.parametrize("status", sorted({*ALL} - {*FIRST, "cancelled"}))
def test_a_claimed_or_ended_payout_can_not_be_cancelled(desk: Desk, status: str) -> None:
    payout_id = desk.payout(status)
    with desk.refused("PR201") as caught:
        desk.cancel(payout_id)
    assert detail(caught.value) == {
        "field": "status",
        "payout_id": str(payout_id),
        "current_status": status,
        "requested_status": "cancelled",
    }


def test_an_unknown_payout_can_not_be_cancelled(desk: Desk) -> None:
    with desk.refused("PR402"):
        desk.cancel(uuid4())
    with desk.refused("PR402"):
        desk.cancel(desk.beside().payout())


# ----------------------------------------------------------------------------- the state machine


def test_the_edges_are_those_of_the_design(desk: Desk) -> None:
    edges = desk.sql("payrail_owner", "SELECT from_status, to_status FROM payout.transitions")
    assert {(e["from_status"], e["to_status"]) for e in edges} == {
        *EDGES,
        UNHELD,
        *(("new", status) for status in FIRST),
    }


def check_illegal_edge(desk: Desk, before: str, after: str) -> None:
    payout_id = desk.payout(before)
    with desk.refused("PR201") as caught:
        change(desk, payout_id, f"status = '{after}', {PROOF[after]}")
    assert detail(caught.value)["current_status"] == before
    assert detail(caught.value)["requested_status"] == after


@pytest.mark.parametrize(
    ("before", "after"),
    [p for p in itertools.permutations(ALL, 2) if p not in EDGES and p != UNHELD],
)
def test_an_edge_that_is_not_there_is_refused_even_to_the_owner(
    desk: Desk, before: str, after: str
) -> None:
    check_illegal_edge(desk, before, after)


def test_no_failed_payout_is_ever_settled(desk: Desk) -> None:
    check_illegal_edge(desk, "failed", "settled")


@pytest.mark.parametrize(("before", "after"), sorted(EDGES))
def test_an_edge_writes_history_event_and_entry(desk: Desk, before: str, after: str) -> None:
    payout_id = desk.payout(before)
    version = desk.see(payout_id)["version"]
    change(desk, payout_id, f"status = '{after}', {proof(before, after)}")
    newest = [r for r in desk.table("payout_history") if r["payout_id"] == payout_id][-1]
    assert (newest["from_status"], newest["to_status"]) == (before, after)
    assert newest["seq"] == desk.see(payout_id)["version"] == version + 1
    is_approved = (before, after) == ("awaiting_approval", "pending")
    assert events(desk, payout_id)[-1] == f"payout.{'approved' if is_approved else after}"
    broken = set(desk.violations())  # the owner brought no evidence; nothing else is missing
    if before == "awaiting_approval":
        assert broken == ({"unapproved"} if after in {"pending", "rejected"} else set())
        approve(desk, payout_id, after)
    elif before in {"scheduled", "queued"}:
        assert broken == set()
    else:
        assert broken == ({"outcome_without_evidence"} if after in PROOF_NEEDED else set())
        prove(desk, payout_id, after)


def approve(desk: Desk, payout_id: UUID, status: str) -> None:
    """Add the decision that a change behind the doors' back lacks."""
    desk.sql(
        "payrail_owner",
        "INSERT INTO payout.approvals SELECT %s, %s, 'asha', d, 'test', now(), 'test'"
        " FROM (VALUES ('pending', 'approved'), ('rejected', 'rejected')) v (status, d)"
        " WHERE v.status = %s",
        [desk.merchant_id, payout_id, status],
    )


def test_what_is_not_held_waits_for_its_time_once_it_is_approved(desk: Desk) -> None:
    desk.rule(approve_from=1)
    payout_id = desk.create("k", scheduled_at=in_an_hour()).payout_id
    assert desk.balance() == (OPENING, 0)
    assert desk.approve(payout_id)["status"] == "scheduled"
    assert desk.balance() == (OPENING, 0)
    assert history(desk, payout_id) == [(None, "awaiting_approval"), UNHELD]
    held = desk.create("l").payout_id
    with desk.refused("PR904"):
        change(desk, held, f"status = 'scheduled', {PROOF['scheduled']}")


PROOF_NEEDED = {
    "settled": ("paid", "U"),
    "failed": ("refused", "account_closed"),
    "returned": ("returned", "R"),
}


def prove(desk: Desk, payout_id: UUID, status: str) -> None:
    """Add the evidence that a change behind the doors' back lacks."""
    if status in PROOF_NEEDED:
        desk.sql(
            "payrail_owner",
            "SELECT rail.record_evidence(ARRAY[ROW(%s, uuidv7(), %s, now(), %s, 'applied', %s,"
            " 'test', NULL, NULL, NULL, NULL, NULL)::rail.evidence])",
            [desk.merchant_id, payout_id, *PROOF_NEEDED[status]],
        )


@pytest.mark.parametrize("status", sorted({*ALL} - {*FIRST}))
def test_no_payout_starts_as_anything_else(desk: Desk, status: str) -> None:
    with desk.refused("PR201"):
        insert(desk, status)


def insert(desk: Desk, status: str, amount: int = 1, account: str = ACCOUNT) -> None:
    desk.sql(
        "payrail_owner",
        "INSERT INTO payout.payouts"
        " (merchant_id, payout_id, status, amount, currency, bank_account_id, next_action_at,"
        " actor) VALUES (%s, uuidv7(), %s, %s, 'INR', %s, now(), 'test')",
        [desk.merchant_id, status, amount, account],
    )


def test_not_even_the_owner_can_hold_more_than_is_available(desk: Desk) -> None:
    with desk.refused("23514") as caught:
        insert(desk, "pending", OPENING + 1)
    assert caught.value.diag.constraint_name == "balance_never_negative"


def test_a_payout_needs_a_bank_account_of_the_merchant(desk: Desk) -> None:
    with desk.refused("23503"):
        insert(desk, "pending", account="unknown")


@pytest.mark.parametrize(
    "assignment",
    [
        "amount = amount + 1",
        "currency = 'USD'",
        "bank_account_id = 'other'",
        "reference = 'other'",
        'metadata = \'{"a": "1"}\'',
        "created_at = now() - INTERVAL '1 day'",
        "merchant_id = uuidv7()",
        "payout_id = uuidv7()",
        "fee = fee + 1",
    ],
)
@pytest.mark.parametrize("status", ["processing", "settled"])
def test_what_was_asked_for_never_changes(desk: Desk, status: str, assignment: str) -> None:
    payout_id = desk.payout(status)
    with desk.refused("PR502"):
        change(desk, payout_id, assignment)
    with desk.refused("PR502"):  # nor along an allowed edge
        after = "settled" if status == "processing" else "returned"
        change(desk, payout_id, f"status = '{after}', {PROOF[after]}, {assignment}")


@pytest.mark.parametrize(
    ("status", "assignment"),
    [
        ("processing", "version = version + 1"),
        ("processing", "updated_at = now()"),
        ("processing", "actor = 'somebody'"),
        ("processing", "reason = 'other'"),
        ("settled", "utr = 'other'"),
        ("settled", "settled_at = now()"),
        ("failed", "failure_code = 'account_frozen'"),
        ("failed", "failure_reason = 'other'"),
        ("returned", "return_code = 'other'"),
        ("returned", "returned_at = now()"),
    ],
)
def test_the_proof_of_a_state_never_changes(desk: Desk, status: str, assignment: str) -> None:
    payout_id = desk.payout(status)
    with desk.refused("PR502"):
        change(desk, payout_id, assignment)


def test_the_instruction_reference_can_not_be_set(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    with desk.refused("428C9"):
        change(desk, payout_id, "rail_ref = 'another'")


@pytest.mark.parametrize(
    ("before", "assignments"),
    [
        ("pending", "next_action_at = NULL"),
        ("pending", "status = 'processing'"),
        ("processing", "send_before = NULL"),
        ("processing", "status = 'settled', next_action_at = NULL"),
        ("processing", "status = 'settled', next_action_at = NULL, settled_at = now()"),
        ("processing", "status = 'settled', next_action_at = NULL, utr = 'U'"),
        ("processing", "status = 'failed', next_action_at = NULL"),
        (
            "processing",
            (
                "status = 'failed', next_action_at = NULL, failure_code = 'account_closed',"
                " settled_at = now(), utr = 'U'"
            ),
        ),
        (
            "processing",
            (
                "status = 'settled', next_action_at = NULL, settled_at = now(), utr = 'U',"
                " failure_code = 'account_closed'"
            ),
        ),
        ("settled", "status = 'returned'"),
        ("settled", "status = 'returned', returned_at = now()"),
        ("settled", "status = 'returned', return_code = 'R'"),
    ],
)
def test_a_state_carries_what_it_must(desk: Desk, before: str, assignments: str) -> None:
    payout_id = desk.payout(before)
    with desk.refused("PR904"):
        change(desk, payout_id, assignments)


@pytest.mark.parametrize(
    "assignments",
    [
        "status = 'settled', next_action_at = NULL, settled_at = now(), utr = ''",
        f"status = 'settled', next_action_at = NULL, settled_at = now(), utr = '{'U' * 36}'",
        "status = 'lost'",
    ],
)
def test_a_proof_is_well_formed(desk: Desk, assignments: str) -> None:
    payout_id = desk.payout("processing")
    with desk.refused("23514"):
        change(desk, payout_id, assignments)


def test_only_a_listed_code_fails_a_payout(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    with desk.refused("PR904"):
        change(
            desk,
            payout_id,
            "status = 'failed', next_action_at = NULL, failure_code = 'no_such_code'",
        )


# ------------------------------------------------------------------------------------ the alarm


def test_a_created_payout_has_one_alarm_waiting(desk: Desk) -> None:
    desk.create("k")
    desk.create("l")
    desk.create_batch(("m", 1, "INR", ACCOUNT, None, None), ("n", 1, "INR", ACCOUNT, None, None))
    (row,) = desk.sql(
        "payrail_worker",
        "SELECT count(*) AS jobs FROM procrastinate.procrastinate_jobs"
        " WHERE queueing_lock = 'dispatch' AND status = 'todo'",
        [],
    )
    assert row["jobs"] == 1


def test_where_there_is_no_job_queue_a_payout_is_created_all_the_same(own_desk: Desk) -> None:
    """As on a node of a cluster that only has shards."""
    with own_desk.connection("admin").transaction(force_rollback=True):
        own_desk.sql("admin", "DROP SCHEMA procrastinate CASCADE", [])
        (row,) = own_desk.sql(
            "admin",
            "SELECT status"
            " FROM payrail.create_payout(%(merchant_id)s, 'k', 1, 'demo-bank-account')",
        )
        assert row["status"] == 201
    assert own_desk.table("payouts") == []


def test_nothing_new_is_no_alarm(own_desk: Desk) -> None:
    """A rejection has no work in it, and the work of a replay is done."""
    desk = own_desk
    desk.create("k")
    desk.sql("payrail_worker", "SET search_path = procrastinate, pg_catalog", [])
    desk.sql("payrail_worker", "DELETE FROM procrastinate.procrastinate_jobs", [])
    desk.create("k")
    desk.create("poor", 10**12)
    desk.create_batch(
        ("k", 1000, "INR", ACCOUNT, None, None), ("p", 10**12, "INR", ACCOUNT, None, None)
    )
    assert not desk.sql("payrail_worker", "SELECT FROM procrastinate.procrastinate_jobs", [])


def test_the_alarm_never_blocks_a_create(own_desk: Desk) -> None:
    """Whoever is just adding the alarm in an open transaction is not waited for."""
    desk = own_desk
    other = desk.beside()
    with desk.connection("payrail_api").transaction():
        desk.create("k")
        other.connection("payrail_api").execute("SET lock_timeout = '10ms'")
        assert other.create("k").status == 201


def test_the_detail_shows_the_history(desk: Desk) -> None:
    payout_id = desk.payout("failed")
    (row,) = desk.sql(
        "payrail_api",
        "SELECT payrail.payout_detail_json(p)::jsonb AS body FROM payrail.payouts p"
        " WHERE merchant_id = %(merchant_id)s",
    )
    body = row["body"]
    assert body["id"] == str(payout_id)
    assert [(h["from"], h["to"]) for h in body["history"]] == [
        (None, "pending"),
        ("pending", "processing"),
        ("processing", "failed"),
    ]
    assert body["status_details"]["code"] == "account_closed"


def test_times_do_not_depend_on_the_session(desk: Desk) -> None:
    first = desk.create("k")
    connection = desk.connection("payrail_api")
    connection.execute("SET timezone = 'Asia/Kolkata'")
    connection.execute("SET datestyle = 'German'")
    (row,) = desk.sql(
        "payrail_api",
        "SELECT payrail.payout_json(p)::text AS body FROM payrail.payouts p"
        " WHERE merchant_id = %(merchant_id)s",
    )
    assert row["body"] == first.body
    second = desk.create("l")
    apart = datetime.fromisoformat(second.json["created_at"]) - datetime.fromisoformat(
        first.json["created_at"]
    )
    assert timedelta(0) < apart < timedelta(minutes=5)


def test_a_reader_may_not_write_through_the_views(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.sql("payrail_api", "UPDATE payrail.payouts SET status = 'settled'", [])
