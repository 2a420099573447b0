"""Money on a page and in a file is exact, and what a page shows can be typed into it again."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp import money, tables

AMOUNTS = st.integers(1, 10**15)
CURRENCIES = st.sampled_from(sorted(money.EXPONENTS))


@given(AMOUNTS, CURRENCIES)
def test_what_is_written_is_read_again(amount: int, currency: str) -> None:
    assert money.read(money.written(amount, currency), currency) == amount
    assert money.read(money.plain(amount, currency), currency) == amount


@given(AMOUNTS, CURRENCIES)
def test_what_is_written_is_exact(amount: int, currency: str) -> None:
    exact = Decimal(amount).scaleb(-money.EXPONENTS[currency])
    assert Decimal(money.plain(amount, currency)) == exact
    assert Decimal(money.plain(-amount, currency)) == -exact
    digits = money.plain(amount, currency).replace(".", "")
    shown = money.written(amount, currency)
    assert [one for one in shown if one.isdigit()] == [*digits]
    assert money.written(-amount, currency) == f"-{shown}"
    assert tables.money(currency, amount).replace(",", "") == f"{currency} {exact:f}"
    assert tables.money(currency, -amount).replace(",", "") == f"{currency} -{exact:f}"


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (0, "₹0.00"),
        (1, "₹0.01"),
        (100, "₹1.00"),
        (99_999, "₹999.99"),
        (100_000, "₹1,000.00"),
        (9_999_999, "₹99,999.99"),
        (10_000_000, "₹1,00,000.00"),
        (1_000_000_000, "₹1,00,00,000.00"),
        (10**15, "₹1,00,00,00,00,00,000.00"),
    ],
)
def test_rupees_are_grouped_as_in_india(paise: int, text: str) -> None:
    assert money.written(paise, "INR") == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123_456_789, "USD", "USD 1,234,567.89"),
        (5, "EUR", "EUR 0.05"),
        (123_456, "JPY", "JPY 123,456"),
        (0, "JPY", "JPY 0"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (12_345, "CLF", "CLF 1.2345"),
    ],
)
def test_a_currency_has_its_own_digits(amount: int, currency: str, text: str) -> None:
    assert money.written(amount, currency).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("text", "paise"),
    [
        ("60", 6000),
        ("60.5", 6050),
        ("0.01", 1),
        ("007", 700),
        (" ₹ 1,00,000.00 ", 10_000_000),
        ("INR 60", 6000),
        ("100,000", 10_000_000),
        ("10000000000000", 10**15),
        ("60.", None),
        (".5", None),
        ("1.234", None),
        ("1,00,000", 10_000_000),
        ("1,2", None),
        ("60,00", None),  # sixty, as it is written elsewhere
        ("1,25", None),
        ("1,25,50", None),
        ("1,250,00", None),
        ("1e3", None),
        ("-1", None),
        ("0", None),
        ("١٢", None),
        ("1\n2", None),
        ("10000000000000.01", None),
        ("1" + ",000" * 5000, None),
        ("", None),
        ("$60", None),
        ("USD 60", None),
    ],
)
def test_amounts_are_read_strictly(text: str, paise: int | None) -> None:
    assert money.read(text, "INR") == paise


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("60", "JPY", 60),
        ("60.0", "JPY", None),
        ("10000000000000000", "JPY", None),
        ("1000000000000000", "JPY", 10**15),
        ("1.5", "KWD", 1500),
        ("1.5005", "KWD", None),
        ("EUR 60", "EUR", 6000),
        ("₹60", "EUR", None),
    ],
)
def test_amounts_are_read_in_their_currency(text: str, currency: str, amount: int | None) -> None:
    assert money.read(text, currency) == amount


@given(st.text(max_size=20), CURRENCIES)
def test_any_text_is_an_amount_or_none(text: str, currency: str) -> None:
    found = money.read(text, currency)
    assert found is None or 1 <= found <= 10**15
