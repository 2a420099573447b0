"""The arithmetic of the limits, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.errors import Problem
from pyapp.web.limits import Bucket

SECOND = 10**9


def takes(bucket: Bucket, now: int) -> bool:
    try:
        bucket.take(now)
    except Problem:
        return False
    return True


def test_a_full_bucket_holds_a_seconds_worth_and_fills_up_evenly() -> None:
    bucket = Bucket("reads", 4)
    assert [takes(bucket, SECOND) for _ in range(5)] == [True] * 4 + [False]
    quarter = SECOND // 4
    assert not takes(bucket, SECOND + quarter - 1)
    assert takes(bucket, SECOND + quarter)
    assert not takes(bucket, SECOND + quarter)
    assert [takes(bucket, 9 * SECOND) for _ in range(5)] == [True] * 4 + [False]


def test_what_is_refused_costs_nothing() -> None:
    bucket = Bucket("reads", 1)
    assert takes(bucket, SECOND)
    for _ in range(100):
        assert not takes(bucket, SECOND + 1)
    assert takes(bucket, 2 * SECOND)


def test_the_headers_count_down_to_zero() -> None:
    bucket = Bucket("writes", 3)
    left = [dict(bucket.take(SECOND))[b"ratelimit"] for _ in range(3)]
    assert left == [b'"writes";r=%d;t=1' % rest for rest in (2, 1, 0)]


def test_who_waits_as_long_as_told_is_let_in() -> None:
    bucket = Bucket("reads", 1)
    bucket.take(SECOND)
    with pytest.raises(Problem) as refused:
        bucket.take(SECOND + 1)
    assert refused.value.row.code == "rate_limited"
    wait = int(refused.value.headers["Retry-After"])
    assert wait >= 1
    assert takes(bucket, SECOND + 1 + wait * SECOND)


@given(
    quota=st.integers(1, 1_000_000),
    gaps=st.lists(st.integers(0, SECOND // 2), min_size=1, max_size=200),
)
def test_in_no_window_of_a_second_are_there_more_than_twice_the_quota(
    quota: int, gaps: list[int]
) -> None:
    """A bucket that was full empties and fills once: the bound of the algorithm."""
    bucket, now, admitted = Bucket("reads", quota), SECOND, []
    for gap in gaps:
        now += gap
        if takes(bucket, now):
            admitted.append(now)
    for start in admitted:
        assert sum(start <= one < start + SECOND for one in admitted) <= 2 * quota
