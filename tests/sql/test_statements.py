"""A statement is what a plain replay of all entries says, to the minor unit."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.desk import OPENING, STATUSES, Desk
from tests.sql.test_dashboard import spread

DAY = timedelta(days=1)


def head(desk: Desk, since: object, until: object, currency: str = "INR") -> dict[str, Any]:
    given = {"from": since, "until": until, "currency": currency}
    (row,) = desk.call("payrail_api", "statement", **given)
    return row


def lines(desk: Desk, statement: dict[str, Any], **more: object) -> list[Any]:
    given = {name: statement[name] for name in ("currency", "after_seq", "last_seq")}
    return desk.call("payrail_api", "statement_lines", **(given | more))


@pytest.mark.parametrize("days", [0, 1, 3, 30])
def test_a_statement_is_the_replay_of_its_days(own_desk: Desk, days: int) -> None:
    """It begins with the balance before its first day, and ends with the last one's."""
    own_desk.credit(900, "in yen", "JPY")  # which is none of its business
    for _ in range(12):
        own_desk.payout(random.choice(STATUSES), random.randint(1, 100))
    own_desk.sql("admin", "ALTER TABLE ledger.entries DISABLE TRIGGER ALL", [])
    spread(own_desk, 10)
    until = datetime.now(UTC).date() - DAY
    since = until - days * DAY
    entries = sorted(
        (row for row in own_desk.table("ledger_entries") if row["currency"] == "INR"),
        key=lambda row: row["seq"],
    )
    within = [row for row in entries if since <= row["created_at"].astimezone(UTC).date() <= until]
    before = [row for row in entries if row["created_at"].astimezone(UTC).date() < since]
    found = head(own_desk, since, until)
    opening = (before[-1]["available"], before[-1]["held"]) if before else (0, 0)
    assert (found["opening_available"], found["opening_held"]) == opening
    rows = lines(own_desk, found)
    assert [row["seq"] for row in rows] == [row["seq"] for row in within]
    available, held = opening
    for row, entry in zip(rows, within, strict=True):
        available += row["change"]
        held += {"hold": 1, "settle": -1, "release": -1}.get(row["kind"], 0) * row["amount"]
        assert (row["available"], row["held"]) == (available, held)
        assert (row["amount"], row["kind"]) == (entry["amount"], entry["kind"])
    assert (found["closing_available"], found["closing_held"]) == (available, held)


def test_statements_of_days_that_follow_make_one(own_desk: Desk) -> None:
    for _ in range(12):
        own_desk.payout(random.choice(STATUSES), 100)
    spread(own_desk, 8)
    today = datetime.now(UTC).date()
    parts = [head(own_desk, today - n * DAY, today - n * DAY) for n in range(9, -1, -1)]
    for one, after in pairwise(parts):
        closing = (one["closing_available"], one["closing_held"], one["last_seq"])
        assert closing == (after["opening_available"], after["opening_held"], after["after_seq"])
    whole = head(own_desk, today - 9 * DAY, today)
    assert [line for one in parts for line in lines(own_desk, one)] == lines(own_desk, whole)
    assert (whole["closing_available"], whole["closing_held"]) == own_desk.balance()


def test_what_happens_at_midnight_belongs_to_the_day_that_begins(own_desk: Desk) -> None:
    own_desk.sql("admin", "ALTER TABLE ledger.entries DISABLE TRIGGER ALL", [])
    own_desk.sql(
        "admin",
        "UPDATE ledger.entries SET created_at = '2026-03-02T00:00:00Z'"
        " WHERE merchant_id = %(merchant_id)s",
    )
    first, second = (head(own_desk, date(2026, 3, n), date(2026, 3, n)) for n in (1, 2))
    assert (first["closing_available"], lines(own_desk, first)) == (0, [])
    assert (second["opening_available"], second["closing_available"]) == (0, OPENING)
    assert len(lines(own_desk, second)) == 1


def test_a_page_comes_after_the_number_of_the_one_before(desk: Desk) -> None:
    for number in range(9):
        desk.credit(1, f"r{number}")
    today = datetime.now(UTC).date()
    found = head(desk, today, today)
    whole = lines(desk, found)
    assert len(whole) == 10
    desk.credit(1, "meanwhile")  # a statement ends where it ended when it was asked for
    pages: list[Any] = []
    while page := lines(desk, found | {"after_seq": pages[-1]["seq"] if pages else 0}, limit=3):
        pages += page
    assert pages == whole


def test_a_line_names_its_cause_and_the_banks_reference(desk: Desk) -> None:
    payout_id = desk.create("k", 100, reference="rent").payout_id
    desk.claim()
    desk.settle(payout_id, "UTR-7")
    today = datetime.now(UTC).date()
    rows = lines(desk, head(desk, today, today))
    told = [(row["kind"], row["payout_id"], row["reference"], row["utr"]) for row in rows]
    assert told == [
        ("credit", None, "opening", None),
        ("hold", payout_id, "rent", "UTR-7"),
        ("settle", payout_id, "rent", "UTR-7"),
    ]
    assert [row["change"] for row in rows] == [OPENING, -100, 0]


def test_a_statement_has_a_first_and_a_last_day_and_a_currency(desk: Desk) -> None:
    day = date(2026, 3, 1)
    for since, until in ((day, day - DAY), (None, day), (day, None)):
        with desk.refused("PR111"):
            head(desk, since, until)
    with desk.refused("PR102"):
        head(desk, day, day, "XXX")


def test_the_balance_as_of_any_time(own_desk: Desk) -> None:
    own_desk.credit(700, "in yen", "JPY")
    for _ in range(6):
        own_desk.payout(random.choice(STATUSES), 100)
    entries = own_desk.table("ledger_entries")
    for at in [None, *(row["created_at"] for row in entries), datetime(2020, 1, 1, tzinfo=UTC)]:
        rows = own_desk.call("payrail_api", "balances_at", at=at)
        expected = []
        for currency in ("INR", "JPY"):
            until = [
                row
                for row in sorted(entries, key=lambda row: row["seq"])
                if row["currency"] == currency and (at is None or row["created_at"] <= at)
            ]
            last = until[-1] if until else {"available": 0, "held": 0}
            expected.append((currency, last["available"], last["held"]))
        assert [(row["currency"], row["available"], row["held"]) for row in rows] == expected
