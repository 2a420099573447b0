"""Durations have their unit, and charts stay in their box."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.web import shown


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


@given(st.integers(1, 10**8))
def test_a_period_is_read_as_it_is_written(seconds: int) -> None:
    assert shown.read_period(shown.period(seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ([1, 2, 3, 4, 5], "Mon\N{EN DASH}Fri"),
        ([7, 1], "Mon, Sun"),
        ([1, 2, 4, 5, 6], "Mon, Tue, Thu\N{EN DASH}Sat"),
    ],
)
def test_days_in_a_row_are_written_as_such(days: list[int], text: str) -> None:
    assert shown.days(days) == text


@given(st.integers(0, 10_000))
def test_basis_points_are_read_as_they_are_written(points: int) -> None:
    assert shown.read_points(shown.points(points)) == points


@pytest.mark.parametrize(("points", "text"), [(0, "0%"), (5, "0.05%"), (10, "0.10%"), (200, "2%")])
def test_basis_points_are_written_in_per_cent(points: int, text: str) -> None:
    assert shown.points(points) == text


@pytest.mark.parametrize(
    ("good", "of", "text"),
    [
        (0, 0, "-"),
        (0, 7, "0%"),
        (7, 7, "100%"),
        (1, 2, "50.0%"),
        (9_999, 10_000, "99.9%"),
        (2, 3, "66.6%"),
    ],
)
def test_a_rate_is_never_rounded_up(good: int, of: int, text: str) -> None:
    assert shown.rate(good, of) == text


def test_words_are_written_as_a_sentence() -> None:
    assert shown.sentence("account closed") == "Account closed."
    assert shown.sentence(" Wait! ") == "Wait!"
    assert shown.sentence("") == ""
    assert shown.sentence("<b>&") == "&lt;b&gt;&amp;."
    asked = shown.sentence("asked again at 2026-11-25T10:00:00.5Z")
    words = "25 Nov 2026, 10:00:00 UTC"
    time = f'<time datetime="2026-11-25T10:00:00.5Z" title="{words}" data-exact>{words}</time>'
    assert asked == f"Asked again at {time}."


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
