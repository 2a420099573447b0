"""What a bank says, and what it may do: every answer, whatever its order and however late."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import Database
from tests.desk import OPENING, Desk
from tests.workers import until

CLOCK = """
CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN clock_timestamp() + coalesce(nullif(current_setting('test.later', TRUE), ''), '0')::interval
"""


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


def evidence(desk: Desk, payout_id: UUID) -> list[dict[str, Any]]:
    rows = [row for row in desk.table("evidence") if row["payout_id"] == payout_id]
    return sorted(rows, key=lambda row: str(row["evidence_id"]))


def cases(desk: Desk, *, closed: bool = False) -> list[str]:
    query = (
        "SELECT kind FROM payrail.cases WHERE merchant_id = %(merchant_id)s"
        f" AND closed_at IS {'NOT ' if closed else ''}NULL ORDER BY case_id"
    )
    return [row["kind"] for row in desk.sql("payrail_operator", query)]


def declare(desk: Desk, *, deduplicates: bool = True, finality: str = "60 seconds") -> None:
    desk.sql(
        "payrail_worker",
        "SELECT payrail.declare_rail('sandbox', %s, TRUE, 100, %s)",
        [deduplicates, finality],
    )


def rail(desk: Desk) -> dict[str, Any]:
    (row,) = desk.sql("payrail_operator", "SELECT * FROM payrail.rails WHERE rail = 'sandbox'", [])
    return row


def report(desk: Desk, *, failed: bool, action: str = "submit") -> None:
    desk.sql(
        "payrail_worker",
        "SELECT payrail.report_calls('sandbox', %s, 1, %s, 1, '1 ms', 'gone')",
        [action, int(failed)],
    )


@contextmanager
def later(desk: Desk, wait: str) -> Iterator[None]:
    """Let the worker's doors see a later time."""
    desk.sql("payrail_owner", CLOCK, [])
    desk.sql("payrail_worker", "SELECT set_config('test.later', %s, FALSE)", [wait])
    yield
    desk.sql("payrail_worker", "SELECT set_config('test.later', '', FALSE)", [])
    desk.sql(
        "payrail_owner",
        "CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " RETURN clock_timestamp()",
        [],
    )


def asked_again(desk: Desk, payout_id: UUID) -> dict[str, Any]:
    """Let the time come, and claim it."""
    desk.make_due(payout_id)
    (row,) = desk.claim()
    return row


# ------------------------------------------------------------------------- attempts and evidence


def test_each_attempt_is_on_record_before_anything_leaves(desk: Desk) -> None:
    payout_id = desk.payout()
    (first,) = desk.claim(actor="host-1")
    desk.postpone(payout_id)
    asked_again(desk, payout_id)
    attempts = sorted(desk.table("attempts"), key=lambda row: int(row["attempt"]))
    assert [(row["attempt"], row["action"]) for row in attempts] == [(1, "submit"), (2, "enquire")]
    assert [row["send_before"] for row in attempts] == [first["send_before"], None]
    assert attempts[0]["actor"] == "payrail_worker:host-1"
    (instruction,) = desk.sql(
        "admin", "SELECT * FROM rail.instructions WHERE merchant_id = %(merchant_id)s"
    )
    assert (instruction["rail_ref"], instruction["payout_id"]) == (payout_id.hex, payout_id)


def test_an_answer_that_is_not_final_is_kept_too_with_its_hash(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    raw = {"state": "pending", "at": "the bank"}
    desk.record((payout_id, "pending", None, None, "it is at it", raw, 1))
    (proof,) = evidence(desk, payout_id)
    assert (proof["outcome"], proof["effect"], proof["reason"]) == (
        "pending",
        "noted",
        "it is at it",
    )
    assert (proof["source"], proof["attempt"], proof["answer"]) == ("bank", 1, raw)
    (stored,) = desk.sql(
        "payrail_auditor",
        "SELECT answer::text AS text FROM payrail.evidence WHERE merchant_id = %(merchant_id)s",
    )
    assert proof["answer_hash"] == hashlib.sha256(stored["text"].encode()).digest()
    assert json.loads(stored["text"]) == raw


@pytest.mark.parametrize(
    ("outcome", "code", "utr"),
    [
        ("paid", None, ""),
        ("paid", None, "U" * 36),
        ("refused", "R99", None),
        ("refused", None, None),
        ("returned", None, "U1"),
        ("returned", "R", None),
    ],
)
def test_what_is_not_understood_is_unknown_and_kept(
    desk: Desk, outcome: str, code: str | None, utr: str | None
) -> None:
    payout_id = desk.payout("processing", 6000)
    (row,) = desk.record((payout_id, outcome, code, utr, None, {"x": "y"}, 1))
    assert (row["effect"], row["status"]) == ("refused", "processing")
    (proof,) = evidence(desk, payout_id)
    assert (proof["outcome"], proof["effect"]) == ("unknown", "noted")
    assert "not understood" in proof["reason"]
    assert desk.balance() == (OPENING - 6000, 6000)


# ----------------------------------------------------------------------------- not found, not sent


def check_not_found_is_sent_again(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.postpone(payout_id)
    row = asked_again(desk, payout_id)
    desk.say(payout_id, "not_found")
    (again,) = desk.claim()
    assert (row["action"], again["action"]) == ("enquire", "submit")
    assert again["rail_ref"] == row["rail_ref"]
    desk.postpone(payout_id)
    assert asked_again(desk, payout_id)["action"] == "enquire"


def test_what_the_bank_never_saw_is_sent_again_under_its_reference(desk: Desk) -> None:
    check_not_found_is_sent_again(desk)


def test_a_bank_that_pays_twice_is_never_sent_it_again(desk: Desk) -> None:
    declare(desk, deduplicates=False)
    payout_id = desk.payout("processing")
    for _ in range(3):
        assert asked_again(desk, payout_id)["action"] == "enquire"
        desk.say(payout_id, "not_found")
    assert desk.see(payout_id)["status"] == "processing"
    assert cases(desk) == []
    with later(desk, "5 minutes"):
        desk.say(payout_id, "not_found")
    assert cases(desk) == ["outcome_unknown"]
    assert asked_again(desk, payout_id)["action"] == "enquire"


def test_what_provably_never_left_is_pending_again(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    row = desk.say(payout_id, "not_sent", "nobody there")
    seen = desk.see(payout_id)
    assert row["status"] == seen["status"] == "pending"
    assert seen["next_action_at"] > seen["updated_at"]
    assert desk.balance() == (OPENING - 6000, 6000)
    assert desk.cancel(payout_id)["status"] == "cancelled"
    assert desk.balance() == (OPENING, 0)


def test_what_an_earlier_attempt_may_have_sent_stays_processing(desk: Desk) -> None:
    payout_id = desk.payout("processing")  # and nobody knows what became of that
    desk.make_due(payout_id)
    desk.claim()
    desk.say(payout_id, "not_found")
    (row,) = desk.claim()
    assert row["action"] == "submit"
    assert desk.say(payout_id, "not_sent")["status"] == "processing"


def test_a_worker_that_slept_does_not_disturb_its_successor(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    asked_again(desk, payout_id)
    lease = desk.see(payout_id)["next_action_at"]
    for outcome in ("unknown", "not_sent", "not_found", "pending"):
        desk.record((payout_id, outcome, None, None, None, None, 1))
        seen = desk.see(payout_id)
        assert (seen["status"], seen["next_action_at"]) == ("processing", lease)
    (row,) = desk.record((payout_id, "paid", None, "U1", None, None, 1))
    assert row["effect"] == "applied"  # but what it learnt counts


# ------------------------------------------------------- what comes back, and what contradicts


def test_a_payout_that_came_back_before_we_asked_was_paid_in_between(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    (row,) = desk.record((payout_id, "returned", "AC04", "U1", "closed", {"x": "y"}, 1))
    assert (row["effect"], row["status"]) == ("applied", "returned")
    history = [row["to_status"] for row in desk.table("payout_history")]
    assert history == ["pending", "processing", "settled", "returned"]
    assert desk.balance() == (OPENING, 0)
    assert [row["outcome"] for row in evidence(desk, payout_id)] == ["paid", "returned"]
    (row,) = desk.record((payout_id, "paid", None, "U1", None, None, 1))
    assert row["effect"] == "repeated"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        ("failed", ("paid", None, "LATE"), "money_to_recover"),
        ("settled", ("paid", None, "TWICE"), "contradiction"),
        ("settled", ("refused", "account_closed", None), "contradiction"),
        ("settled", ("not_found", None, None), "contradiction"),
        ("returned", ("returned", "OTHER", "U"), "contradiction"),
    ],
)
def test_what_does_not_fit_changes_no_money_and_becomes_a_case(
    desk: Desk, status: str, said: tuple[str, str | None, str | None], kind: str
) -> None:
    payout_id = desk.payout(status, 6000)
    money = desk.balance()
    with later(desk, "5 minutes"):
        for _ in range(2):  # said twice, it is one case
            (row,) = desk.record((payout_id, *said, None, {"x": "y"}, 1))
            assert (row["effect"], row["status"]) == ("contradicted", status)
    assert desk.balance() == money
    assert cases(desk) == [kind]
    assert evidence(desk, payout_id)[-1]["effect"] == "contradicted"


def test_beyond_finality_people_are_asked_until_the_bank_answers(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    with later(desk, "74 seconds"):
        desk.say(payout_id, "pending")
    assert cases(desk) == []
    with later(desk, "2 minutes"):
        desk.say(payout_id, "pending")
        desk.say(payout_id, "pending")
    assert cases(desk) == ["outcome_unknown"]
    asked_again(desk, payout_id)
    desk.record((payout_id, "paid", None, "U1", None, None, 2))
    assert (cases(desk), cases(desk, closed=True)) == ([], ["outcome_unknown"])


def test_an_operator_alone_closes_no_case(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    with later(desk, "2 minutes"):
        desk.say(payout_id, "pending")
    asked_again(desk, payout_id)
    desk.settle(payout_id, "U1")
    assert cases(desk) == ["outcome_unknown"]


def test_an_enquiry_that_does_not_leave_tells_nothing_of_what_was_sent(desk: Desk) -> None:
    declare(desk, deduplicates=False)
    payout_id = desk.payout("processing")
    desk.say(payout_id, "not_sent")
    tell(desk, payout_id)
    (claim,) = desk.claim()
    assert claim["action"] == "enquire"
    assert desk.say(payout_id, "not_sent")["status"] == "processing"
    assert asked_again(desk, payout_id)["action"] == "enquire"


def test_what_the_bank_has_told_of_has_left_whatever_the_worker_says(desk: Desk) -> None:
    """The bank's word comes while the worker still believes that its call never arrived."""
    declare(desk, deduplicates=False)
    payout_id = desk.payout("processing")
    tell(desk, payout_id)
    assert desk.say(payout_id, "not_sent")["status"] == "processing"
    assert asked_again(desk, payout_id)["action"] == "enquire"


def tell(desk: Desk, payout_id: UUID) -> None:
    """Let the bank tell of a payout by a callback."""
    desk.sql(
        "payrail_api",
        "SELECT payrail.receive_notices('sandbox',"
        " ARRAY[ROW(%s, %s, 'pending', NULL, NULL, '{}')::payrail.notice])",
        [payout_id.hex, payout_id.hex],
    )


def test_what_was_sent_before_attempts_were_kept_never_counts_as_unsent(desk: Desk) -> None:
    """It has no attempt on record but the enquiry, at which the bank could not be reached."""
    payout_id = desk.payout("processing", 6000)
    desk.sql("admin", "ALTER TABLE rail.attempts DISABLE TRIGGER refuse_change", [])
    desk.sql("admin", "DELETE FROM rail.attempts WHERE payout_id = %s", [payout_id])
    desk.sql("admin", "ALTER TABLE rail.attempts ENABLE ALWAYS TRIGGER refuse_change", [])
    asked_again(desk, payout_id)
    with later(desk, "2 minutes"):
        assert desk.say(payout_id, "not_sent")["status"] == "processing"
    assert cases(desk) == ["outcome_unknown"]


def test_a_final_payout_that_is_asked_about_again_is_asked_until_it_is_answered(desk: Desk) -> None:
    payout_id = desk.payout("settled")
    utr = desk.see(payout_id)["utr"]
    desk.sql(
        "payrail_worker",
        "SELECT payrail.receive_notices('sandbox', ARRAY[ROW('e1', %s, 'returned', 'AC04', NULL,"
        " '{}')::payrail.notice])",
        [payout_id.hex],
    )
    (row,) = desk.claim()
    assert (row["payout_id"], row["action"]) == (payout_id, "enquire")
    assert desk.see(payout_id)["status"] == "settled"
    desk.say(payout_id, "unknown")
    assert desk.see(payout_id)["next_action_at"] is not None
    desk.record((payout_id, "paid", None, utr, None, None, 2))
    assert desk.see(payout_id)["next_action_at"] is None
    assert desk.claim() == []


@pytest.mark.parametrize("status", ["settled", "failed"])
def test_a_bank_that_looks_in_the_wrong_book_is_asked_again(desk: Desk, status: str) -> None:
    """Before it is final, "not found" says nothing, whatever is known already."""
    payout_id = desk.payout(status)
    due(desk, payout_id)
    desk.claim()
    assert desk.say(payout_id, "not_found")["effect"] == "noted"
    assert desk.see(payout_id)["next_action_at"] is not None
    assert cases(desk) == []


# ------------------------------------------------------------------------------------ the breaker


def test_five_failures_in_a_row_stop_what_is_new_and_nothing_else(desk: Desk) -> None:
    asked = desk.payout("processing")
    for _ in range(4):
        report(desk, failed=True)
    report(desk, failed=False)
    for _ in range(5):
        report(desk, failed=True)
        report(desk, failed=True, action="enquire")
        report(desk, failed=False, action="enquire")
    # what was enquired about counts neither way
    assert (rail(desk)["breaker"], rail(desk)["failures"]) == ("open", 5)
    new = desk.payout()
    desk.make_due(asked)
    assert [(row["payout_id"], row["action"]) for row in desk.claim()] == [(asked, "enquire")]
    assert desk.see(new)["next_action_at"] == rail(desk)["trial_at"]
    assert desk.see(new)["status"] == "pending"
    assert desk.cancel(new)["status"] == "cancelled"


def test_calls_are_counted_for_ninety_days(desk: Desk) -> None:
    desk.sql(
        "payrail_owner",
        "INSERT INTO rail.calls SELECT 'sandbox', now() - days * INTERVAL '1 day', 'submit', 1, 0,"
        " 1, '0' FROM unnest(ARRAY[89, 91, 400]) days",
        [],
    )
    report(desk, failed=False)
    query = "SELECT minute FROM payrail.rail_calls WHERE minute < now() - INTERVAL '88 days'"
    assert len(desk.sql("payrail_auditor", query, [])) == 1


def test_after_a_pause_one_claim_is_the_trial(desk: Desk) -> None:
    other = desk.beside()
    for _ in range(5):
        report(desk, failed=True)
    pause = rail(desk)["trial_at"] - rail(desk)["failed_at"]
    assert pause == timedelta(seconds=5)
    mine, theirs = desk.payout(), other.payout()
    with later(desk, "6 seconds"):
        other.sql("payrail_worker", "SELECT set_config('test.later', '6 seconds', FALSE)", [])
        assert [row["payout_id"] for row in desk.claim()] == [mine]
        assert other.claim() == []
        report(desk, failed=True)
        assert rail(desk)["trial_at"] - rail(desk)["failed_at"] == timedelta(seconds=10)
        report(desk, failed=False)
    assert (rail(desk)["breaker"], rail(desk)["failures"]) == ("closed", 0)
    due(other, theirs)
    assert [row["payout_id"] for row in other.claim()] == [theirs]


def test_of_many_calls_that_fail_at_once_none_makes_the_pause_longer(desk: Desk) -> None:
    for _ in range(20):
        report(desk, failed=True)
    assert rail(desk)["trial_at"] - rail(desk)["failed_at"] == timedelta(seconds=5)
    pauses = []
    for seconds in (5, 15, 35, 75, 600):
        with later(desk, f"{seconds + 1} seconds"):
            report(desk, failed=True)
            pauses.append((rail(desk)["trial_at"] - rail(desk)["failed_at"]).total_seconds())
    assert pauses == [10, 20, 40, 60, 60]


def test_the_trial_is_one_payout_and_not_the_one_that_failed_before(desk: Desk) -> None:
    """Else an instruction of which the bank dies would keep back all others with each trial."""
    poisonous = desk.payout("processing")
    desk.sql(
        "payrail_worker",
        "SELECT payrail.record_answers(%s, ARRAY[ROW(%s, 'not_found', NULL, NULL, NULL, NULL, 1)"
        "::payrail.bank_answer])",
        [desk.merchant_id, poisonous],
    )
    for _ in range(5):
        report(desk, failed=True)
    oldest, *others = [desk.payout() for _ in range(3)]
    for payout_id in (poisonous, *others, oldest):
        due(desk, payout_id)
    with later(desk, "6 seconds"):
        assert [row["payout_id"] for row in desk.claim()] == [oldest]
        report(desk, failed=False)
    with later(desk, "8 seconds"):
        assert {row["payout_id"] for row in desk.claim()} == {poisonous, *others}


def test_enquiries_that_fail_do_not_put_off_the_trial(desk: Desk) -> None:
    for _ in range(5):
        report(desk, failed=True)
    trial_at = rail(desk)["trial_at"]
    with later(desk, "4 seconds"):
        report(desk, failed=True, action="enquire")
    assert rail(desk)["trial_at"] == trial_at


def test_a_worker_without_access_to_a_bank_leaves_its_trial_to_others(desk: Desk) -> None:
    for _ in range(5):
        report(desk, failed=True)
    payout_id = desk.payout()
    with later(desk, "6 seconds"):
        taken = [desk.claim(rails=["another"]), desk.claim(rails=["sandbox"])]
    assert [[row["payout_id"] for row in rows] for rows in taken] == [[], [payout_id]]


@pytest.mark.parametrize(("before", "after"), [("submit", "submit"), ("submit", "enquire")])
def test_of_failures_at_once_each_counts(desk: Desk, before: str, after: str) -> None:
    for _ in range(4 if after == "enquire" else 3):
        report(desk, failed=True)
    query = b"SELECT payrail.report_calls('sandbox', %s, 1, 1, 1, '1 ms', 'gone')"

    def tell() -> None:
        with desk.database.connect("payrail_worker") as other:
            other.execute(query, [after])

    with desk.database.connect("payrail_worker") as worker:
        with worker.transaction():
            worker.execute(query, [before])
            thread = threading.Thread(target=tell)
            thread.start()
            waiting = "SELECT FROM pg_locks WHERE NOT granted"
            until(lambda: desk.connection("admin").execute(waiting).rowcount == 1)
        thread.join(30)
    assert (rail(desk)["breaker"], rail(desk)["failures"]) == ("open", 5)


def test_what_the_bank_never_saw_waits_for_the_trial_too(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    asked_again(desk, payout_id)
    desk.say(payout_id, "not_found")
    for _ in range(5):
        report(desk, failed=True)
    assert desk.claim() == []
    assert desk.see(payout_id)["next_action_at"] == rail(desk)["trial_at"]
    with later(desk, "6 seconds"):
        (row,) = desk.claim()
    assert row["action"] == "submit"


def due(desk: Desk, payout_id: UUID) -> None:
    desk.sql(
        "payrail_owner",
        "UPDATE payout.payouts SET next_action_at = clock_timestamp()"
        " WHERE merchant_id = %s AND payout_id = %s",
        [desk.merchant_id, payout_id],
    )


def test_a_worker_takes_what_it_has_access_to(desk: Desk) -> None:
    desk.payout()
    assert desk.claim(rails=["another"]) == []
    query = "SELECT * FROM payrail.due_merchants(p_rails => %s)"
    assert desk.sql("payrail_worker", query, [["another"]]) == []
    assert len(desk.claim(rails=["another", "sandbox"])) == 1


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("rail", "'Sandbox', TRUE, TRUE, 1, '0'"),
        ("deduplicates_references", "'a', NULL, TRUE, 1, '0'"),
        ("honours_valid_until", "'a', TRUE, NULL, 1, '0'"),
        ("batch_size", "'a', TRUE, TRUE, 0, '0'"),
        ("finality", "'a', TRUE, TRUE, 1, '91 days'"),
    ],
)
def test_a_bank_is_declared_within_bounds(desk: Desk, field: str, arguments: str) -> None:
    with desk.refused("PR111") as caught:
        desk.sql("payrail_worker", f"SELECT payrail.declare_rail({arguments})", [])
    assert field in str(caught.value.diag.message_detail)
