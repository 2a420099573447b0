"""A bank's report against our books: the door's own bounds, and imports beside each other."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from tests.desk import Desk, detail
from tests.sql.test_cases import decide, propose, sign_in
from tests.workers import until

DAY: Final = timedelta(days=1)
LINE: Final = ("E1", "f" * 32, "payment", 1000, "INR", "UTR1", None, None)
QUERY: Final = (
    b"SELECT * FROM payrail.import_report(%(rail)s, %(source)s, %(content_hash)s, %(since)s,"
    b" %(until)s, ARRAY(SELECT ROW(l.*)::payrail.report_line FROM jsonb_to_recordset(%(lines)s)"
    b" l (entry_ref text, rail_ref text, kind text, amount bigint, currency text, utr text,"
    b" code text, booked_at timestamptz)))"
)
NAMES: Final = (
    *("entry_ref", "rail_ref", "kind", "amount"),
    *("currency", "utr", "code", "booked_at"),
)


def report(*lines: tuple[Any, ...], **other: object) -> dict[str, Any]:
    now = datetime.now(UTC)
    rows = [dict(zip(NAMES, line, strict=True)) for line in lines]
    return {
        "rail": "sandbox",
        "source": "test.json",
        "content_hash": hashlib.sha256(repr((lines, now)).encode()).digest(),
        "since": now - DAY,
        "until": now + DAY,
        "lines": psycopg.types.json.Jsonb(rows),
        **other,
    }


def paid(desk: Desk, payout_id: UUID) -> tuple[Any, ...]:
    seen = desk.see(payout_id)
    line = (f"E-{payout_id}", payout_id.hex, "payment", seen["amount"], "INR", seen["utr"])
    return (*line, None, None)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("rail", {"rail": "hdfc"}),
        ("rail", {"rail": None}),
        ("source", {"source": ""}),
        ("content_hash", {"content_hash": b"short"}),
        ("until", {"until": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_report_names_its_bank_its_content_and_a_period(
    desk: Desk, field: str, other: dict[str, object]
) -> None:
    with desk.refused("PR111") as caught:
        desk.sql("payrail_operator", QUERY.decode(), report(LINE, **other))
    assert detail(caught.value)["field"] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "fee"),
        ("kind", None),
        ("amount", 0),
        ("amount", None),
        ("amount", 10**15 + 1),
        ("currency", "rupees"),
        ("entry_ref", "x" * 256),
        ("rail_ref", "x" * 256),
        ("utr", "x" * 256),
        ("code", "x" * 256),
    ],
)
def test_a_line_that_can_not_be_is_named(desk: Desk, field: str, value: object) -> None:
    line = tuple(value if name == field else LINE[place] for place, name in enumerate(NAMES))
    with desk.refused("PR111") as caught:
        desk.sql("payrail_operator", QUERY.decode(), report(LINE, line, *[line] * 9))
    assert detail(caught.value)["field"] == f"lines/2/{field}"


@pytest.mark.parametrize("role", ["payrail_api", "payrail_worker", "payrail_auditor"])
def test_only_an_operator_imports_a_report(desk: Desk, role: str) -> None:
    with desk.refused("42501"):
        desk.sql(role, QUERY.decode(), report(LINE))


def test_each_difference_to_our_books_is_a_case(desk: Desk) -> None:
    matched, amount, missing = (desk.payout("settled") for _ in range(3))
    failed, twice = desk.payout("failed"), desk.payout("settled")
    lines = {payout: paid(desk, payout) for payout in (matched, amount, failed, twice)}
    desk.sql(
        "payrail_operator",
        QUERY.decode(),
        report(
            lines[matched],
            altered(lines[amount], amount=1),
            altered(lines[failed], utr="LATE"),
            lines[twice],
            altered(lines[twice], entry_ref="again", utr="TWICE"),
            altered(lines[matched], entry_ref=f"not-ours-{matched}", rail_ref=f"not-{matched}"),
        ),
    )
    query = (
        "SELECT kind, rail_ref FROM payrail.cases WHERE merchant_id = %(merchant_id)s"
        " OR rail_ref LIKE 'not-%%' ORDER BY kind"
    )
    assert [(row["kind"], row["rail_ref"]) for row in desk.sql("payrail_operator", query)] == [
        ("booked_twice", twice.hex),
        ("different_amount", amount.hex),
        ("different_outcome", failed.hex),
        ("missing_at_bank", missing.hex),
        ("unknown_to_us", f"not-{matched}"),
    ]
    assert [(row["payout_id"], row["action"]) for row in desk.claim()] == [(failed, "enquire")]


@pytest.mark.parametrize("other", [{}, {"amount": 1}, {"kind": "return", "code": "AC04"}])
def test_what_was_thought_unsent_and_is_booked_is_neither_sent_nor_cancelled(
    desk: Desk, other: dict[str, object]
) -> None:
    payout_id = desk.payout("processing")
    assert desk.say(payout_id, "not_sent")["status"] == "pending"
    line = (f"E-{payout_id}", payout_id.hex, "payment", 1000, "INR", "UTR1", None, None)
    desk.sql("payrail_operator", QUERY.decode(), report(altered(line, **other)))
    with desk.refused("PR201"):
        desk.cancel(payout_id)
    (claim,) = desk.claim()
    assert (claim["payout_id"], claim["action"]) == (payout_id, "enquire")
    assert desk.say(payout_id, "not_sent")["status"] == "processing"


def altered(line: tuple[Any, ...], **other: object) -> tuple[Any, ...]:
    return tuple({**dict(zip(NAMES, line, strict=True)), **other}.values())


def test_a_difference_that_two_operators_have_closed_does_not_come_back(own_desk: Desk) -> None:
    desk = own_desk
    payout_id = desk.payout("settled")
    lines = (
        altered(paid(desk, payout_id), amount=1),
        ("X1", None, "payment", 5, "INR", "U", None, None),
    )
    open_ones = "SELECT case_id, kind FROM payrail.cases WHERE closed_at IS NULL ORDER BY kind"
    desk.sql("payrail_operator", QUERY.decode(), report(*lines))
    found = desk.sql("payrail_operator", open_ones)
    assert [row["kind"] for row in found] == ["different_amount", "unknown_to_us"]
    asha, ravi = (sign_in(desk, name) for name in ("asha", "ravi"))
    for row in found:
        decide(desk, ravi, propose(desk, asha, row["case_id"]))
    desk.sql("payrail_operator", QUERY.decode(), report(*lines, source="later.json"))
    assert desk.sql("payrail_operator", open_ones) == []
    other = altered(paid(desk, payout_id), amount=2)
    desk.sql("payrail_operator", QUERY.decode(), report(other, source="other.json"))
    assert [row["kind"] for row in desk.sql("payrail_operator", open_ones)] == ["different_amount"]


def test_reports_at_once_see_each_other(own_desk: Desk) -> None:
    """Neither calls missing for good what the other one has."""
    desk = own_desk
    one, two = desk.payout("settled"), desk.payout("settled")
    first, second = report(paid(desk, one)), report(paid(desk, two))
    found: list[Any] = []
    patient = "-c lock_timeout=30s"

    def import_second() -> None:
        with desk.database.connect("payrail_operator", options=patient) as other:
            found.extend(other.execute(QUERY, second).fetchall())

    with desk.database.connect("payrail_operator") as connection:
        with connection.transaction():
            connection.execute(QUERY, first)
            thread = threading.Thread(target=import_second)
            thread.start()
            waiting = "SELECT FROM pg_locks WHERE locktype = 'relation' AND NOT granted"
            until(lambda: desk.connection("admin").execute(waiting).rowcount == 1)
        thread.join(30)
    assert len(found) == 1
    cases = desk.sql("payrail_operator", "SELECT payout_id, closed_at FROM payrail.cases")
    assert [(case["payout_id"], case["closed_at"] is None) for case in cases] == [(two, False)]


def cases(desk: Desk, payout_id: UUID) -> dict[str, bool]:
    """Return the cases of a payout by kind, and whether each is open."""
    query = "SELECT kind, closed_at IS NULL AS open FROM payrail.cases WHERE payout_id = %s"
    return {row["kind"]: row["open"] for row in desk.sql("payrail_operator", query, [payout_id])}


def processing(desk: Desk) -> UUID:
    """Return a processing payout that the bank has booked under UTR1, by its report."""
    payout_id = desk.payout("processing")
    line = ("E1", payout_id.hex, "payment", 1000, "INR", "UTR1", None, None)
    desk.sql("payrail_operator", QUERY.decode(), report(line))
    assert cases(desk, payout_id) == {"different_outcome": True}
    return payout_id


@pytest.mark.parametrize(
    ("outcome", "code", "utr", "stays_open"),
    [
        ("paid", None, "UTR1", False),
        ("paid", None, "UTR2", True),
        ("refused", "account_closed", None, True),
        ("returned", "R01", "UTR1", False),
    ],
)
def test_what_the_bank_has_booked_is_cleared_only_by_the_same_answer(
    own_desk: Desk, outcome: str, code: str | None, utr: str | None, *, stays_open: bool
) -> None:
    """Above all not by a refusal: then it has booked a payment whose money was given back."""
    desk = own_desk
    payout_id = processing(desk)
    (claim,) = desk.claim()
    assert claim["action"] == "enquire"
    desk.record((payout_id, outcome, code, utr, None, None, 2))
    assert cases(desk, payout_id) == {"different_outcome": stays_open}


def test_an_answer_that_was_on_its_way_clears_what_the_bank_has_booked_too(own_desk: Desk) -> None:
    payout_id = processing(own_desk)
    own_desk.record((payout_id, "paid", None, "UTR1", None, None, 1))
    assert cases(own_desk, payout_id) == {"different_outcome": False}
