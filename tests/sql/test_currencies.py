"""A merchant has a balance in each currency that ever moved; each has its own digits."""

from __future__ import annotations

import pytest

from pyapp.money import EXPONENTS
from tests.desk import ACCOUNT, OPENING, Desk


def balances(desk: Desk) -> dict[str, tuple[int, int]]:
    rows = desk.sql(
        "payrail_api", "SELECT * FROM payrail.balances WHERE merchant_id = %(merchant_id)s"
    )
    return {row["currency"]: (row["available"], row["held"]) for row in rows}


def test_what_python_writes_has_the_digits_of_the_database(desk: Desk) -> None:
    rows = desk.sql("payrail_owner", "SELECT currency, exponent FROM ledger.currencies", [])
    assert {row["currency"]: row["exponent"] for row in rows} == EXPONENTS


def test_iso_4217_is_complete(desk: Desk) -> None:
    """List one of 2026-01-01 has 165 codes with a minor unit; these are the odd ones."""
    assert len(EXPONENTS) == 165
    odd = {"INR": 2, "JPY": 0, "KWD": 3, "CLF": 4, "UYI": 0, "XCG": 2, "ZWG": 2, "VED": 2}
    assert {code: EXPONENTS[code] for code in odd} == odd
    for code in ("XXX", "XTS", "XAU", "XDR", "HRK", "DEM", "ZWL"):
        with desk.refused("PR102"):
            desk.credit(1, f"in {code}", code)


def test_a_currency_is_a_balance_from_its_first_credit_on(desk: Desk) -> None:
    other = desk.beside(0)
    assert balances(other) == {"INR": (0, 0)}
    other.credit(500, "a", "KWD")
    assert balances(other) == {"INR": (0, 0), "KWD": (500, 0)}
    other.credit(7, "b", "JPY")
    other.credit(9, "c", "INR")
    assert balances(other) == {"INR": (9, 0), "JPY": (7, 0), "KWD": (500, 0)}
    assert other.violations() == {}


def test_money_in_one_currency_pays_in_no_other(desk: Desk) -> None:
    desk.credit(500, "in dollars", "USD")
    refused = desk.create("k1", 600, currency="USD")
    assert (refused.status, refused.code) == (422, "insufficient_funds")
    assert desk.create("k2", 500, currency="USD").status == 201
    assert desk.create("k3", 1, currency="EUR").code == "insufficient_funds"
    assert balances(desk) == {"INR": (OPENING, 0), "USD": (0, 500)}
    assert desk.violations() == {}


def test_the_largest_balance_counts_per_currency(desk: Desk) -> None:
    desk.credit(10**15, "in yen", "JPY")
    assert balances(desk)["JPY"] == (10**15, 0)


@pytest.mark.parametrize("role", ["payrail_owner", "admin"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.books SET currency = 'EUR' WHERE merchant_id = %(merchant_id)s",
        "DELETE FROM ledger.books WHERE merchant_id = %(merchant_id)s",
        "TRUNCATE ledger.books",
    ],
)
def test_a_book_is_never_closed(desk: Desk, role: str, statement: str) -> None:
    with desk.refused("PR501"):
        desk.sql(role, statement)


def test_an_account_is_paid_in_the_currency_that_was_asked_for(desk: Desk) -> None:
    desk.credit(500, "in dinars", "KWD")
    payout_id = desk.create("k", 500, currency="KWD", bank_account_id=ACCOUNT).payout_id
    (claim,) = [row for row in desk.claim(limit=10) if row["payout_id"] == payout_id]
    assert (claim["amount"], claim["currency"]) == (500, "KWD")
    desk.settle(payout_id, "UTR-1")
    assert balances(desk)["KWD"] == (0, 0)
    assert desk.violations() == {}
