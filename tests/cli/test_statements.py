from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Payrail
from tests.conftest import Merchant

DAYS = ("--from", "2020-01-01", "--until", "2999-12-31")


def test_a_statement_in_every_format(payrail: Payrail, merchant: Merchant) -> None:
    payrail("credit", merchant.merchant_id, 50, "--reference", "more")
    payrail("credit", merchant.merchant_id, 1234, "--currency", "KWD", "--reference", "dinars")
    found = payrail("statement", merchant.merchant_id, *DAYS, "--json").json
    assert [line["available"] for line in found["lines"]] == [10_000, 10_050]
    assert (found["opening"]["available"], found["closing"]["available"]) == (0, 10_050)
    sheet = payrail("statement", merchant.merchant_id, *DAYS, "--csv")
    rows = [*csv.DictReader(io.StringIO(sheet.out))]
    assert [row["available"] for row in rows] == ["0.00", "100.00", "100.50", "100.50"]
    lines = payrail("statement", merchant.merchant_id, *DAYS, "--currency", "KWD").lines
    assert lines[0] == "opening"
    assert "available KWD 0.000" in lines
    assert next(line for line in lines if "dinars" in line).endswith(
        "credit dinars KWD 1.234 KWD 1.234 KWD 0.000"
    )
    assert "available KWD 1.234" in lines


def test_a_statement_needs_days_and_a_currency(payrail: Payrail, merchant: Merchant) -> None:
    assert "not a day" in payrail("statement", merchant.merchant_id, "--from", "x").error
    wrong = ("--from", "2026-03-02", "--until", "2026-03-01")
    assert "argument_invalid" in payrail("statement", merchant.merchant_id, *wrong).error
    said = payrail("statement", merchant.merchant_id, *DAYS, "--currency", "XXX")
    assert "currency_unknown" in said.error


def test_balances_of_any_time(payrail: Payrail, merchant: Merchant) -> None:
    payrail("credit", merchant.merchant_id, 1234, "--currency", "KWD", "--reference", "dinars")
    assert payrail("balance", merchant.merchant_id).lines[2:] == [
        "INR INR 100.00 INR 0.00",
        "KWD KWD 1.234 KWD 0.000",
    ]
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    found = payrail("balance", merchant.merchant_id, "--at", past, "--json").json
    assert [one["available"] for one in found] == [0, 0]


@pytest.mark.parametrize(("status", "count"), [((), 2), (("--status", "settled"), 0)])
def test_payouts_are_exported(
    payrail: Payrail, merchant: Merchant, status: tuple[str, ...], count: int
) -> None:
    for amount in (6000, 1000):
        account = merchant.bank_account_id
        payrail("payout", "create", merchant.merchant_id, amount, account)
    said = payrail("payout", "export", merchant.merchant_id, *status)
    rows = [*csv.DictReader(io.StringIO(said.out))]
    assert [row["amount"] for row in rows] == ["10.00", "60.00"][:count]
