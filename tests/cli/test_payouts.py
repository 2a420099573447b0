from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.cli.conftest import Payrail
from tests.conftest import Database, Merchant, new_merchant


def create(payrail: Payrail, merchant: Merchant, amount: int = 6000, *more: str) -> Any:
    account = merchant.bank_account_id
    return payrail("payout", "create", merchant.merchant_id, amount, account, *more, "--json").json


def claim(database: Database, merchant: Merchant) -> None:
    with database.connect("payrail_worker") as worker:
        worker.execute(
            "SELECT FROM payrail.claim_payouts(p_merchant_id => %s)", [merchant.merchant_id]
        )


def test_a_credit_is_shown_as_money_and_counted_once(payrail: Payrail, merchant: Merchant) -> None:
    credit = ("credit", merchant.merchant_id, 100_000_000, "--reference", "utr-1")
    assert payrail(*credit).lines[:3] == [
        "amount INR 1,000,000.00",
        "reference utr-1",
        "available INR 1,000,100.00",
    ]
    assert payrail(*credit, "--json").json["available"] == 100_010_000
    assert (
        "credit_reference_reused"
        in payrail("credit", merchant.merchant_id, 5, "--reference", "utr-1").error
    )
    assert "currency_unknown" in payrail(*credit, "--currency", "XXX").error


@pytest.mark.parametrize("amount", ["60.00", "6e3", "-1", "", "٦", "1" + "0" * 30])
def test_an_amount_is_a_whole_number_of_minor_units(
    payrail: Payrail, merchant: Merchant, amount: str
) -> None:
    said = payrail("credit", merchant.merchant_id, "--reference", "x", "--", amount)
    assert said.code == 2
    assert "minor units" in said.error


@pytest.mark.parametrize("amount", [0, 10**15 + 1])
def test_an_amount_is_within_the_bounds_of_the_ledger(
    payrail: Payrail, merchant: Merchant, amount: int
) -> None:
    said = payrail("credit", merchant.merchant_id, amount, "--reference", "x")
    assert said.code == 1
    assert "(amount_invalid)" in said.error


def test_a_payout_is_created_once_per_key(payrail: Payrail, merchant: Merchant) -> None:
    key = str(uuid.uuid4())
    made = create(payrail, merchant, 6000, "--idempotency-key", key, "--reference", "invoice 1")
    assert made["idempotency_key"] == key
    assert (
        create(payrail, merchant, 6000, "--idempotency-key", key, "--reference", "invoice 1")
        == made
    )
    (listed,) = payrail("payout", "list", merchant.merchant_id, "--json").json
    assert {**listed, "idempotency_key": key} == made
    assert (
        payrail("payout", "list", merchant.merchant_id)
        .lines[-1]
        .startswith(f"{made['id']} pending INR 60.00 INR 0.00 demo-bank-account invoice 1")
    )


def test_a_fee_is_set_told_with_the_payout_and_taken_away(
    payrail: Payrail, merchant: Merchant
) -> None:
    imps = ("sandbox", "IMPS", "INR", "--from", 9000)
    (fee,) = payrail("rail", "set-fee", *imps, "--fixed", 5, "--basis-points", 10, "--json").json
    assert (fee["amount_from"], fee["fixed"], fee["basis_points"]) == (9000, 5, 10)
    assert payrail("rail", "fees").lines[-1] == "sandbox IMPS INR INR 90.00 INR 0.05 10"
    made = create(payrail, merchant, 9000)
    assert made["fee"] == 14
    shown = payrail("payout", "show", merchant.merchant_id, made["id"]).lines
    assert "fee INR 0.14" in shown
    assert payrail("rail", "remove-fee", *imps, "--json").json == []
    refused = payrail("rail", "set-fee", "sandbox", "CHEQUE", "INR", "--fixed", 5)
    assert refused.error.endswith("(argument_invalid)")


def test_a_rejected_payout_is_an_error(payrail: Payrail, merchant: Merchant) -> None:
    pay = ("payout", "create", merchant.merchant_id)
    said = payrail(*pay, 10_001, merchant.bank_account_id)
    assert said.code == 1
    assert said.error.endswith("(insufficient_funds)")
    assert payrail(*pay, 1, "nowhere").error.endswith("(bank_account_not_found)")
    assert payrail("payout", "list", merchant.merchant_id).out == "(none)\n"


def test_a_payout_is_cancelled(payrail: Payrail, merchant: Merchant) -> None:
    made = create(payrail, merchant)
    cancel = ("payout", "cancel", merchant.merchant_id, made["id"], "--reason", "twice by mistake")
    cancelled = payrail(*cancel, "--json").json
    assert cancelled["status"] == "cancelled"
    assert [change["reason"] for change in cancelled["history"]] == [None, "twice by mistake"]
    assert payrail(*cancel, "--json").json == cancelled
    listed = ("payout", "list", merchant.merchant_id, "--json", "--status")
    assert len(payrail(*listed, "cancelled").json) == 1
    assert payrail(*listed, "pending").json == []


def test_an_operator_settles_and_returns_a_payout(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    made = create(payrail, merchant)
    settle = ("payout", "settle", merchant.merchant_id, made["id"], "--utr", "HDFCN1")
    error = payrail(*settle).error
    assert "current status pending" in error
    assert error.endswith("(illegal_transition)")

    claim(shared_database, merchant)
    assert payrail(*settle, "--json").json["utr"] == "HDFCN1"
    assert payrail(*settle, "--json").json["status"] == "settled"
    fail = ("payout", "fail", merchant.merchant_id, made["id"], "--code", "account_closed")
    assert payrail(*fail).error.endswith("(evidence_contradicts)")

    back = ("payout", "return", merchant.merchant_id, made["id"], "--code", "R03")
    lines = payrail(*back, "--reason", "no such account").lines
    assert "status returned" in lines
    assert "why no such account" in lines
    assert any("settled returned payrail_operator:" in line for line in lines)


def test_an_operator_fails_a_payout(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    made = create(payrail, merchant)
    claim(shared_database, merchant)
    fail = ("payout", "fail", merchant.merchant_id, made["id"], "--code")
    assert payrail(*fail, "because").error.endswith("(failure_code_unknown)")
    assert payrail(*fail, "account_closed").error.endswith("(resolution_too_early)")
    with shared_database.connect("payrail_owner") as owner:
        owner.execute(
            "UPDATE payout.payouts SET send_before = now() - INTERVAL '1 day' WHERE payout_id = %s",
            [made["id"]],
        )
    failed = payrail(*fail, "account_closed", "--json").json
    assert failed["status_details"]["code"] == "account_closed"
    shown = payrail("payout", "show", merchant.merchant_id, made["id"])
    assert payrail("payout", "show", merchant.merchant_id, made["id"], "--json").json == failed
    assert "why The bank account is closed." in shown.lines


def test_another_merchants_payout_is_not_there(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    made = create(payrail, merchant)
    other = new_merchant(shared_database, name="Other").merchant_id
    for command in (("show",), ("cancel",), ("settle", "--utr", "1"), ("fail", "--code", "x")):
        action, *more = command
        error = payrail("payout", action, other, made["id"], *more).error
        assert error.endswith("(payout_not_found)")
