"""What the dashboard asks the database is what a plain query over all rows says."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import pytest

from tests.desk import OPENING, STATUSES, Desk

DAY = timedelta(days=1)


def past(desk: Desk, table: str, update: str, parameters: Any) -> None:
    """Change the past, which takes an administrator who turns the triggers off."""
    desk.sql("admin", f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    desk.sql("admin", f"UPDATE {table} {update}", parameters)


def spread(desk: Desk, days: int) -> None:
    """Let the ledger's entries have come in the course of some days, in their order."""
    count = len(desk.table("ledger_entries"))
    ages = sorted((random.uniform(0, days) for _ in range(count)), reverse=True)
    past(
        desk,
        "ledger.entries",
        "SET created_at = now() - (%s::float8[])[seq] * INTERVAL '1 day' WHERE merchant_id = %s",
        [ages, desk.merchant_id],
    )


def daily(desk: Desk, door: str, days: int) -> list[dict[str, Any]]:
    """Ask for the last days; they end today, and none is left out."""
    before = datetime.now(UTC).date()
    rows = desk.call("payrail_api", door, days=days)
    told = [row["day"] for row in rows if row["day"]]
    last = told[-1]
    assert before <= last <= datetime.now(UTC).date()
    assert told == [last - n * DAY for n in range(days)][::-1]
    return rows


# -------------------------------------------------------------------------------- balances by day


@pytest.mark.parametrize("payouts", [0, 1, 2, 5, 20])
def test_the_position_at_an_instant_is_the_newest_entry_until_then(
    own_desk: Desk, payouts: int
) -> None:
    for _ in range(payouts):
        own_desk.payout(random.choice(STATUSES), 100)
    own_desk.beside().payout("settled")  # which is none of its business
    spread(own_desk, 10)
    wrong = own_desk.sql(
        "payrail_owner",
        "WITH mine AS (SELECT * FROM ledger.entries WHERE merchant_id = %(merchant_id)s)"
        " SELECT i.at, found.seq, plain.seq AS expected"
        " FROM ("
        "   SELECT now() - (random() * 12 - 1) * INTERVAL '1 day' FROM generate_series(1, 300)"
        "   UNION ALL SELECT created_at FROM mine"
        "   UNION ALL SELECT created_at - INTERVAL '1 microsecond' FROM mine"
        "   UNION ALL VALUES (timestamptz '-infinity'), ('infinity')"
        " ) i (at)"
        " LEFT JOIN LATERAL ledger.position_at(%(merchant_id)s, 'INR', i.at) found ON TRUE"
        " LEFT JOIN LATERAL ("
        "   SELECT * FROM mine WHERE created_at <= i.at ORDER BY seq DESC LIMIT 1"
        " ) plain ON TRUE"
        " WHERE (found.seq, found.available, found.held, found.created_at, found.hash)"
        "   IS DISTINCT FROM"
        "   (plain.seq, plain.available, plain.held, plain.created_at, plain.hash)",
    )
    assert wrong == []


def test_nobody_has_a_position_in_another_currency(desk: Desk) -> None:
    query = "SELECT * FROM ledger.position_at(%(merchant_id)s, 'USD', 'infinity')"
    assert desk.sql("payrail_owner", query) == []


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_balance_of_a_day_is_the_one_at_its_end(own_desk: Desk, days: int) -> None:
    for _ in range(12):
        own_desk.payout(random.choice(STATUSES), 100)
    spread(own_desk, 20)
    entries = sorted(own_desk.table("ledger_entries"), key=lambda row: row["seq"])
    rows = daily(own_desk, "daily_balances", days)
    for row in rows:
        until = [one for one in entries if one["created_at"].astimezone(UTC).date() <= row["day"]]
        available, held = (until[-1]["available"], until[-1]["held"]) if until else (0, 0)
        assert (row["available"], row["held"]) == (available, held)
        assert row["total"] == available + held
    assert (rows[-1]["available"], rows[-1]["held"]) == own_desk.balance()


def test_a_merchant_without_money_has_had_none(desk: Desk) -> None:
    rows = desk.beside(0).call("payrail_api", "daily_balances", days=3)
    assert [(row["available"], row["held"], row["total"]) for row in rows] == [(0, 0, 0)] * 3


@pytest.mark.parametrize("door", ["daily_balances", "daily_payouts"])
@pytest.mark.parametrize(("asked", "given"), [(0, 0), (-1, 0), (1, 1), (366, 366), (10**9, 366)])
def test_a_year_at_most(desk: Desk, door: str, asked: int, given: int) -> None:
    rows = desk.call("payrail_api", door, days=asked)
    assert len([row for row in rows if row["day"]]) == given


# --------------------------------------------------------------------------------- payouts by day


@pytest.mark.parametrize("days", [1, 14, 40])
def test_the_payouts_of_a_day_are_those_requested_on_it(own_desk: Desk, days: int) -> None:
    own_desk.beside().payout("settled")  # which is none of its business
    for payout_id in [own_desk.payout(random.choice(STATUSES), 100) for _ in range(40)]:
        past(
            own_desk,
            "payout.payouts",
            "SET payout_id = uuidv7(-age), created_at = created_at - age,"
            " settled_at = settled_at - age + %s * INTERVAL '1 second'"
            " FROM (SELECT %s * INTERVAL '1 hour') a (age) WHERE payout_id = %s",
            [random.uniform(0, 9), random.uniform(0, 24 * 20), payout_id],
        )
    payouts = own_desk.table("payouts")
    *rows, whole = daily(own_desk, "daily_payouts", days)
    for row in rows:
        assert row == plain(payouts, row["day"])
    recent = [one for one in payouts if made_on(one) >= rows[0]["day"]]
    assert whole == plain(recent)


def test_of_very_many_payouts_the_days_are_told_that_the_newest_cover(own_desk: Desk) -> None:
    ages = [0, 0, 1, 1, 1, 2]  # days
    for age, payout_id in [(age, own_desk.payout("settled", 100)) for age in ages]:
        past(
            own_desk,
            "payout.payouts",
            "SET payout_id = uuidv7(-age), created_at = created_at - age,"
            " settled_at = settled_at - age"
            " FROM (SELECT %s * INTERVAL '1 day') a (age) WHERE payout_id = %s",
            [age, payout_id],
        )
    for most, told in (
        (7, [0] * 11 + [1, 3, 2]),
        (6, [3, 2]),
        (5, [2]),
        (4, [2]),
        (2, [2]),
        (1, [1]),
    ):
        *rows, whole = own_desk.call("payrail_api", "daily_payouts", most=most)
        assert [row["settled"] for row in rows] == told
        assert whole["settled"] == sum(told)


def made_on(payout: dict[str, Any]) -> date:
    made: datetime = payout["created_at"]
    return made.astimezone(UTC).date()


def plain(payouts: list[dict[str, Any]], day: date | None = None) -> dict[str, Any]:
    """Return what daily_payouts has to say about a day, or about all of them."""
    made = [one for one in payouts if day in {None, made_on(one)}]
    status = [str(one["status"]) for one in made]
    took = [
        (one["settled_at"] - one["created_at"]).total_seconds() for one in made if one["settled_at"]
    ]
    return {
        "day": day,
        "settled": status.count("settled"),
        **{one: status.count(one) for one in ("failed", "returned", "cancelled")},
        "under_way": sum(status.count(one) for one in ("pending", "processing")),
        "median_seconds": pytest.approx(median(took)) if took else None,
    }


# --------------------------------------------------------------------------------------- changes


def changes(*seen: tuple[Desk, int, int]) -> list[dict[str, Any]]:
    """Ask what is new of some merchants, each since an event and an entry."""
    desk = seen[0][0]
    return desk.sql(
        "payrail_api",
        "SELECT * FROM payrail.changes(%s::uuid[], %s::bigint[], %s::bigint[])",
        [[one.merchant_id for one, _, _ in seen], *map(list, list(zip(*seen, strict=True))[1:])],
    )


def now(desk: Desk) -> tuple[Desk, int, int]:
    """Return how far the merchant's events and ledger are."""
    events = len(desk.table("events"))
    return desk, events, len(desk.table("ledger_entries"))


def test_nothing_new_is_no_row(desk: Desk) -> None:
    assert changes(now(desk)) == []
    for status in STATUSES:
        desk.payout(status, 100)
    assert changes(now(desk)) == []
    assert changes((desk.beside(0), 0, 0)) == []


def test_a_credit_is_new(desk: Desk) -> None:
    seen = now(desk)
    desk.credit(500, "bank-1")
    (row,) = changes(seen)
    assert row == {
        "merchant_id": desk.merchant_id,
        "event_seq": now(desk)[1],
        "entry_seq": now(desk)[2],
        "balances": [{"currency": "INR", "available": OPENING + 500, "held": 0}],
        "is_more": False,
        "awaiting": 0,
        "payouts": row["payouts"],
    }
    assert ids(row) == []


def test_a_credit_in_another_currency_is_new(desk: Desk) -> None:
    seen = now(desk)
    desk.credit(500, "in yen", "JPY")
    (row,) = changes(seen)
    assert row["balances"] == [
        {"currency": "INR", "available": OPENING, "held": 0},
        {"currency": "JPY", "available": 500, "held": 0},
    ]
    assert changes(now(desk)) == []


def test_what_has_moved_is_new(desk: Desk) -> None:
    quiet, moved = desk.payout(), desk.payout()
    seen = now(desk)
    desk.claim(limit=1)  # the older one
    desk.cancel(moved)
    made = desk.payout()
    (row,) = changes(seen)
    assert ids(row) == [str(quiet), str(moved), str(made)]
    assert [one["status"] for one in row["payouts"]] == ["processing", "cancelled", "pending"]
    (balance,) = row["balances"]
    assert (balance["available"], balance["held"]) == desk.balance()
    assert changes(now(desk)) == []


def test_a_payout_that_moved_twice_is_told_once_as_it_is(desk: Desk) -> None:
    seen = now(desk)
    payout_id = desk.payout("settled")
    (row,) = changes(seen)
    assert [(one["id"], one["status"]) for one in row["payouts"]] == [(str(payout_id), "settled")]


def test_each_merchant_is_told_its_own(desk: Desk) -> None:
    other, quiet = desk.beside(), desk.beside()
    seen = [now(desk), now(other), now(quiet)]
    mine, theirs = desk.payout(), other.payout()
    rows = {row["merchant_id"]: ids(row) for row in changes(*seen)}
    assert rows == {desk.merchant_id: [str(mine)], other.merchant_id: [str(theirs)]}


def test_too_much_at_once_is_the_newest_payouts(desk: Desk) -> None:
    made = [str(desk.payout(amount=1)) for _ in range(25)]
    (row,) = changes((desk, now(desk)[1] - 25, 0))
    assert (row["is_more"], ids(row)) == (False, made)
    made.append(str(desk.payout(amount=1)))
    (row,) = changes((desk, now(desk)[1] - 26, 0))
    assert (row["is_more"], ids(row)) == (True, made[1:])


def test_who_is_ahead_is_told_where_it_is(desk: Desk) -> None:
    desk.payout()
    (row,) = changes((desk, 2**62, 2**62))
    assert (row["event_seq"], row["entry_seq"]) == now(desk)[1:]
    assert (row["is_more"], ids(row)) == (False, [])


def ids(row: dict[str, Any]) -> list[str]:
    return [str(one["id"]) for one in row["payouts"]]
