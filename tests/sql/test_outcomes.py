"""What a bank says is applied once, repeated without effect, and kept when it contradicts."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.desk import OPENING, STATUSES, Desk, detail

ENDED = ("settled", "failed", "cancelled", "returned")
NO_REASON = (None, None)


def evidence(desk: Desk, payout_id: UUID) -> list[dict[str, Any]]:
    rows = [row for row in desk.table("evidence") if row["payout_id"] == payout_id]
    return sorted(rows, key=lambda row: row["recorded_at"])


def without_evidence(desk: Desk) -> list[tuple[str, str]]:
    return [row for row in desk.rows() if row[0] not in {"rail.evidence", "rail.cases"}]


# ---------------------------------------------------------------------------------------- settle


def test_a_paid_payout_is_settled(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    (row,) = desk.settle_batch((payout_id, "UTR1", {"said": "paid"}))
    assert row == {
        "payout_id": payout_id,
        "effect": "applied",
        "status": "settled",
        "detail": None,
    }
    seen = desk.see(payout_id)
    assert (seen["status"], seen["utr"], seen["next_action_at"]) == ("settled", "UTR1", None)
    assert seen["settled_at"] is not None
    assert desk.balance() == (OPENING - 6000, 0)
    (proof,) = evidence(desk, payout_id)
    assert (proof["outcome"], proof["effect"], proof["code"]) == ("paid", "applied", "UTR1")
    assert proof["answer"] == {"said": "paid"}
    assert proof["actor"] == "payrail_worker"


def test_settling_again_with_the_same_reference_changes_nothing(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.settle_batch((payout_id, "UTR1", None))
    with desk.unchanged():
        (row,) = desk.settle_batch((payout_id, "UTR1", {"said": "again"}))
        assert desk.settle(payout_id, "UTR1")["status"] == "settled"
    assert (row["effect"], row["status"]) == ("repeated", "settled")


def test_settling_a_returned_payout_again_is_old_news(desk: Desk) -> None:
    payout_id = desk.payout("returned")
    with desk.unchanged():
        (row,) = desk.settle_batch((payout_id, desk.see(payout_id)["utr"], None))
    assert (row["effect"], row["status"]) == ("repeated", "returned")


def check_paid_contradicts(desk: Desk, status: str) -> None:
    """A payment of what isn't processing is kept for the operator and changes nothing."""
    payout_id = desk.payout(status)
    proofs, before = evidence(desk, payout_id), without_evidence(desk)
    (row,) = desk.settle_batch((payout_id, "OTHER", {"said": "paid"}))
    assert (row["effect"], row["status"]) == ("contradicted", status)
    assert without_evidence(desk) == before
    *earlier, newest = evidence(desk, payout_id)
    assert earlier == proofs
    assert (newest["outcome"], newest["effect"], newest["code"]) == (
        "paid",
        "contradicted",
        "OTHER",
    )
    assert newest["answer"] == {"said": "paid"}
    with desk.refused("PR201" if status == "pending" else "PR202") as caught:
        desk.settle(payout_id, "OTHER")
    assert detail(caught.value)["current_status"] == status


def test_an_operator_can_keep_what_contradicts(desk: Desk) -> None:
    """The single doors raise, and an error keeps nothing; their batch forms answer and keep it."""
    payout_id = desk.payout("failed")
    with desk.refused("PR202") as caught:
        desk.settle(payout_id, "LATE")
    assert "batch form" in str(caught.value.diag.message_hint)
    (row,) = desk.sql(
        "payrail_operator",
        "SELECT s.effect FROM payrail.settle_payouts("
        "%s, ARRAY[ROW(%s, 'LATE', NULL)::payrail.settlement]) s",
        [desk.merchant_id, payout_id],
    )
    assert row["effect"] == "contradicted"
    assert evidence(desk, payout_id)[-1]["code"] == "LATE"


@pytest.mark.parametrize(
    ("role", "door"),
    [
        ("payrail_api", "create_payouts"),
        ("payrail_worker", "record_answers"),
    ],
)
def test_no_batch_is_not_an_empty_batch(desk: Desk, role: str, door: str) -> None:
    with desk.refused("PR111"):
        desk.sql(role, f"SELECT * FROM payrail.{door}(%(merchant_id)s, NULL)")


@pytest.mark.parametrize("status", ["pending", *ENDED])
def test_a_payment_of_what_is_not_processing_is_kept_and_changes_nothing(
    desk: Desk, status: str
) -> None:
    check_paid_contradicts(desk, status)


def test_a_late_success_after_a_failure_is_never_dropped(desk: Desk) -> None:
    check_paid_contradicts(desk, "failed")


# ------------------------------------------------------------------------------------------ fail


def test_a_finally_refused_payout_fails_and_its_money_is_back(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    (row,) = desk.fail_batch((payout_id, "account_closed", "closed in May", {"said": "no"}))
    assert (row["effect"], row["status"], row["detail"]) == ("applied", "failed", None)
    seen = desk.see(payout_id)
    assert (seen["status"], seen["failure_code"]) == ("failed", "account_closed")
    assert (seen["failure_reason"], seen["next_action_at"]) == ("closed in May", None)
    assert desk.balance() == (OPENING, 0)
    (proof,) = evidence(desk, payout_id)
    assert (proof["outcome"], proof["effect"], proof["code"]) == (
        "refused",
        "applied",
        "account_closed",
    )


def test_a_refund_happens_once(desk: Desk) -> None:
    payout_id = desk.payout("processing", 6000)
    desk.fail_batch((payout_id, "account_closed", *NO_REASON))
    with desk.unchanged():
        (row,) = desk.fail_batch((payout_id, "account_closed", "again", {"said": "no"}))
        assert desk.fail(payout_id, "account_closed")["status"] == "failed"
    assert (row["effect"], row["status"]) == ("repeated", "failed")
    assert desk.balance() == (OPENING, 0)


@pytest.mark.parametrize("status", ["pending", *ENDED])
def test_a_refusal_of_what_is_not_processing_is_kept_and_changes_nothing(
    desk: Desk, status: str
) -> None:
    payout_id = desk.payout(status)
    proofs, before = evidence(desk, payout_id), without_evidence(desk)
    (row,) = desk.fail_batch((payout_id, "account_frozen", None, {"said": "no"}))
    assert (row["effect"], row["status"]) == ("contradicted", status)
    assert without_evidence(desk) == before
    *earlier, newest = evidence(desk, payout_id)
    assert earlier == proofs
    assert (newest["outcome"], newest["effect"], newest["code"]) == (
        "refused",
        "contradicted",
        "account_frozen",
    )
    with desk.refused("PR201" if status == "pending" else "PR202") as caught:
        desk.fail(payout_id, "account_frozen")
    assert detail(caught.value)["current_status"] == status


@pytest.mark.parametrize("code", ["timeout", "unknown", "", "ACCOUNT_CLOSED", None])
def test_only_a_listed_final_no_fails_a_payout(desk: Desk, code: str | None) -> None:
    payout_id = desk.payout("processing")
    with desk.unchanged():
        (row,) = desk.fail_batch((payout_id, code, *NO_REASON))
    assert (row["effect"], row["detail"]) == ("refused", "failure_code_unknown")
    assert row["status"] == "processing"
    with desk.refused("PR110"):
        desk.fail(payout_id, code)


@pytest.mark.parametrize("utr", ["", "U" * 36, None])
def test_a_payment_needs_the_banks_reference(desk: Desk, utr: str | None) -> None:
    payout_id = desk.payout("processing")
    with desk.unchanged():
        (row,) = desk.settle_batch((payout_id, utr, None))
    assert (row["effect"], row["detail"]) == ("refused", "utr_invalid")
    with desk.refused("PR109"):
        desk.settle(payout_id, utr)
    assert desk.settle(payout_id, "U" * 35)["status"] == "settled"


# ---------------------------------------------------------------------------------------- return


def test_a_settled_payout_can_come_back(desk: Desk) -> None:
    payout_id = desk.payout("settled", 6000)
    row = desk.give_back(payout_id, "R01", reason="no such branch", answer={"said": "back"})
    assert (row["status"], row["return_code"]) == ("returned", "R01")
    assert row["returned_at"] >= row["settled_at"]
    assert row["utr"] is not None  # it was paid, and that stays known
    assert desk.balance() == (OPENING, 0)
    *_, proof = evidence(desk, payout_id)
    assert (proof["outcome"], proof["effect"], proof["code"]) == ("returned", "applied", "R01")


def test_returning_again_changes_nothing(desk: Desk) -> None:
    payout_id = desk.payout("returned")
    with desk.unchanged():
        assert desk.give_back(payout_id, "R01", reason="again")["status"] == "returned"


def test_returning_for_another_cause_contradicts(desk: Desk) -> None:
    payout_id = desk.payout("returned")
    with desk.refused("PR202"):
        desk.give_back(payout_id, "R02")


@pytest.mark.parametrize("status", sorted({*STATUSES} - {"settled", "returned"}))
def test_only_a_settled_payout_can_come_back(desk: Desk, status: str) -> None:
    payout_id = desk.payout(status)
    with desk.refused("PR201") as caught:
        desk.give_back(payout_id)
    assert detail(caught.value)["current_status"] == status


@pytest.mark.parametrize("code", ["", "R" * 36, None])
def test_a_return_needs_its_code(desk: Desk, code: str | None) -> None:
    payout_id = desk.payout("settled")
    with desk.refused("PR111"):
        desk.give_back(payout_id, code)


# --------------------------------------------------------------------------------------- batches


def test_a_batch_judges_each_payout_alone(desk: Desk) -> None:
    settled, failed, pending = desk.payout("settled"), desk.payout("failed"), desk.payout()
    claimed = desk.payout("processing"), desk.payout("processing")  # claims the pending one too
    stranger = desk.beside().payout("processing")
    rows = desk.settle_batch(
        (settled, "OTHER", None),
        (claimed[0], "U1", None),
        (uuid4(), "U2", None),
        (claimed[1], "", None),
        (failed, "U3", None),
        (stranger, "U4", None),
        (pending, "U5", None),
        (claimed[0], "U1", None),
        (claimed[0], "U6", None),
        (None, "U7", None),
    )
    assert [(row["effect"], row["status"], row["detail"]) for row in rows] == [
        ("contradicted", "settled", None),
        ("applied", "settled", None),
        ("refused", None, "payout_not_found"),
        ("refused", "processing", "utr_invalid"),
        ("contradicted", "failed", None),
        ("refused", None, "payout_not_found"),
        ("applied", "settled", None),
        ("repeated", "settled", None),
        ("contradicted", "settled", None),
        ("refused", None, "payout_not_found"),
    ]
    (row,) = desk.fail_batch((claimed[1], "rail_unavailable", *NO_REASON))
    assert row["effect"] == "applied"


@pytest.mark.parametrize("door", ["settle", "fail", "give_back"])
def test_another_merchants_payout_is_not_found(desk: Desk, door: str) -> None:
    other = desk.beside()
    payout_id = other.payout("settled" if door == "give_back" else "processing")
    with other.unchanged(), desk.refused("PR402"):
        getattr(desk, door)(payout_id)
    with desk.refused("PR402"):
        getattr(desk, door)(uuid4())


def test_what_is_said_to_an_operator_is_recorded_with_the_name(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.let_bank_be_final(payout_id)
    desk.fail(payout_id, "compliance_blocked", reason="ticket 7", actor="asha")
    (proof,) = evidence(desk, payout_id)
    assert proof["actor"] == desk.see(payout_id)["actor"] == "payrail_operator:asha"


# -------------------------------------------------------------------------------- status details


@pytest.mark.parametrize(
    ("status", "code", "fault", "retryable"),
    [
        ("failed", "account_closed", "beneficiary", False),
        ("returned", "returned_by_beneficiary_bank", "beneficiary_bank", False),
    ],
)
def test_an_end_says_why(
    desk: Desk,
    status: str,
    code: str,
    fault: str,
    retryable: bool,  # noqa: FBT001
) -> None:
    payout_id = desk.payout(status)
    told = details(desk, payout_id)
    assert list(told) == [
        "code",
        "fault",
        "retryable",
        "next_step",
        "expected_by",
        "rail_code",
        "description",
    ]
    assert (told["code"], told["fault"], told["retryable"]) == (code, fault, retryable)


@pytest.mark.parametrize("status", ["pending", "processing", "settled", "cancelled"])
def test_what_is_plain_needs_no_details(desk: Desk, status: str) -> None:
    assert details(desk, desk.payout(status)) is None


def test_an_unknown_outcome_says_so(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.postpone(payout_id, reason="the bank did not answer")
    told = details(desk, payout_id)
    assert (told["code"], told["description"]) == ("outcome_unknown", "the bank did not answer")
    desk.settle(payout_id)
    assert details(desk, payout_id) is None


def details(desk: Desk, payout_id: UUID) -> Any:
    (row,) = desk.sql(
        "payrail_api",
        "SELECT payrail.status_details(p)::json AS told FROM payrail.payouts p"
        " WHERE merchant_id = %s AND payout_id = %s",
        [desk.merchant_id, payout_id],
    )
    return row["told"]
