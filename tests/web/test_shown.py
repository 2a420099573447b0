"""Money on a page is exact, and what a page shows can be typed into it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.web import shown

PAISE = st.integers(1, 10**15)


@given(PAISE)
def test_what_is_written_is_read_again(paise: int) -> None:
    assert shown.paise(shown.money(paise)) == paise


@given(PAISE)
def test_what_is_written_is_exact(paise: int) -> None:
    digits = shown.money(paise).translate(str.maketrans("", "", "₹,."))
    assert int(digits) == paise
    assert shown.money(-paise) == f"-{shown.money(paise)}"


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
    assert shown.money(paise) == text


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
    ],
)
def test_amounts_are_read_strictly(text: str, paise: int | None) -> None:
    assert shown.paise(text) == paise


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_none(text: str) -> None:
    found = shown.paise(text)
    assert found is None or 1 <= found <= 10**15


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1, "1.0 s"),
        (59.9, "59.9 s"),
        (90, "1.5 min"),
        (5400, "1.5 h"),
        (129_600, "1.5 d"),
    ],
)
def test_a_duration_has_its_unit(seconds: float | None, text: str) -> None:
    assert shown.span(seconds) == text


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=40))
def test_a_line_stays_in_its_box(values: list[int]) -> None:
    points = [tuple(map(float, one.split(","))) for one in shown.line(values, 560, 150).split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 560 and 0 <= y <= 150 for x, y in points)
    assert points == sorted(points, key=lambda point: point[0])


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), max_size=20))
def test_a_stack_stays_in_its_box(columns: list[list[int]]) -> None:
    for parts, column in zip(shown.stack(columns, 150), columns, strict=True):
        assert len(parts) == len(column)
        assert all(y >= -0.1 and size >= 0 and y + size <= 150.1 for y, size in parts)
