"""`payrail reconcile`, `rail` and `case`, on a database of its own per test."""

from __future__ import annotations

import io
import json
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from tests.cli.conftest import Payrail
from tests.conftest import Database
from tests.desk import Desk

TOMORROW: Final = timedelta(days=1)

Entry = dict[str, Any]
Import = Callable[..., Any]


@pytest.fixture
def desk(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DATABASE_URL", database.conninfo("admin"))
    with Desk(database) as desk:
        yield desk


def booked(desk: Desk, payout_id: UUID, kind: str = "payment", **other: object) -> Entry:
    """Return what the bank should have booked of a payout, but for `other`."""
    payout = desk.see(payout_id)
    return {
        "entry_ref": f"{kind}-{payout_id}",
        "rail_ref": payout_id.hex,
        "kind": kind,
        "amount": payout["amount"],
        "currency": "INR",
        "utr": payout["utr"],
        "booked_at": datetime.now(UTC).isoformat(),
        "code": payout["return_code"] if kind == "return" else None,
        **other,
    }


def write(path: Path, *entries: Entry) -> Path:
    """Write today's report of the sandbox bank."""
    paid = [entry["amount"] for entry in entries if entry["kind"] == "payment"]
    returned = [entry["amount"] for entry in entries if entry["kind"] == "return"]
    totals = {
        "payments": len(paid),
        "amount_paid": sum(paid),
        "returns": len(returned),
        "amount_returned": sum(returned),
    }
    today = datetime.now(UTC).date().isoformat()
    document = {"date": today, "bank": "sandbox", "entries": entries, "totals": totals}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def reconcile(desk: Desk, call: Payrail, tmp_path: Path) -> Import:
    """Import these entries as a report; return what was said, and that it is said again."""
    assert desk

    def run(*entries: Entry) -> Any:
        # from yesterday on: a test may run at midnight
        since = (datetime.now(UTC) - TOMORROW).isoformat()
        file = write(tmp_path / f"{uuid.uuid4()}.json", *entries)
        until = (datetime.now(UTC) + TOMORROW).isoformat()
        command = ("reconcile", file, "--from", since, "--until", until, "--json")
        said = call(*command)
        assert said.err == ""
        assert call(*command) == said
        found = json.loads(said.out)
        assert said.code == (1 if found["differences"] else 0)
        return found

    return run


def results(found: Any) -> dict[str, int]:
    return dict(Counter(line["result"] for line in found["differences"]))


def test_books_that_agree_have_no_differences(desk: Desk, reconcile: Import, call: Payrail) -> None:
    paid, back = desk.payout("settled", 1000), desk.payout("returned", 300)
    desk.payout("failed")
    found = reconcile(booked(desk, paid), booked(desk, back), booked(desk, back, "return"))
    assert found["differences"] == []
    assert found["summary"] == [
        {"result": "matched", "count": 3, "currency": "INR", "amount": 1600}
    ]
    assert found["report"]["lines"] == 3
    assert call("case", "list", "--json").json == []


def test_every_kind_of_difference_is_found_and_becomes_a_case(
    desk: Desk, reconcile: Import, call: Payrail
) -> None:
    matched = desk.payout("settled", 1000)
    missing = desk.payout("settled", 200)
    amount = desk.payout("settled", 300)
    outcome = desk.payout("failed", 400)
    twice = desk.payout("settled", 500)
    found = reconcile(
        booked(desk, matched),
        booked(desk, amount, amount=301),
        booked(desk, outcome, utr="SBXN1"),
        booked(desk, twice, entry_ref="again", utr="SBXN2"),
        booked(desk, twice),
        {**booked(desk, matched), "entry_ref": "stranger", "rail_ref": "f" * 32},
        {**booked(desk, matched), "entry_ref": "fee", "rail_ref": None},
    )
    by = {line["entry_ref"]: (line["result"], line["rail_ref"]) for line in found["differences"]}
    assert by == {
        f"payment-{amount}": ("different_amount", amount.hex),
        f"payment-{outcome}": ("different_outcome", outcome.hex),
        "again": ("booked_twice", twice.hex),
        "stranger": ("unknown_to_us", "f" * 32),
        "fee": ("unknown_to_us", None),
        None: ("missing_at_bank", missing.hex),
    }
    assert {row["result"]: (row["count"], row["amount"]) for row in found["summary"]} == {
        "matched": (2, 1500),
        "different_amount": (1, 301),
        "different_outcome": (1, 400),
        "booked_twice": (1, 500),
        "unknown_to_us": (2, 2000),
        "missing_at_bank": (1, 200),
    }
    cases = call("case", "list", "--json").json
    assert Counter(case["kind"] for case in cases) == results(found)
    assert {case["report_id"] for case in cases} == {found["report"]["report_id"]}


def test_the_same_report_again_changes_nothing(
    desk: Desk, reconcile: Import, call: Payrail
) -> None:
    entry = booked(desk, desk.payout("settled"), amount=999)
    with desk.unchanged():
        found = reconcile(entry)  # imports it twice
    assert len(call("case", "list", "--json").json) == 1
    assert len(desk.sql("payrail_operator", "SELECT source FROM payrail.reports")) == 1
    other = reconcile(entry, {**entry, "entry_ref": "fee", "rail_ref": None})
    assert results(other) == {"different_amount": 1, "unknown_to_us": 1}
    assert other["report"]["report_id"] != found["report"]["report_id"]
    assert len(call("case", "list", "--json").json) == 2  # what was open stays the same case


def test_a_bank_that_says_more_than_we_know_is_asked(desk: Desk, reconcile: Import) -> None:
    failed, settled = desk.payout("failed"), desk.payout("settled")
    reconcile(booked(desk, failed, utr="SBXN1"), booked(desk, settled))
    claims = {row["payout_id"]: row["action"] for row in desk.claim()}
    assert claims == {failed: "enquire"}


def test_what_a_later_report_has_is_missing_no_more(
    desk: Desk, reconcile: Import, call: Payrail
) -> None:
    payout = desk.payout("returned")
    assert results(reconcile()) == {"missing_at_bank": 2}
    assert results(reconcile(booked(desk, payout))) == {"missing_at_bank": 1}
    (case,) = call("case", "list", "--json").json
    assert case["booking"] == "return"
    assert results(reconcile(booked(desk, payout, "return"))) == {}
    assert call("case", "list").out == "(none)\n"
    closed = call("case", "list", "--all", "--json").json
    assert {case["resolution"] for case in closed} == {"A later report of the bank has it."}


def test_what_was_booked_again_on_another_day_is_booked_twice(
    desk: Desk, reconcile: Import, call: Payrail
) -> None:
    payout = desk.payout("settled")
    assert results(reconcile(booked(desk, payout))) == {}
    overlapping = (booked(desk, payout), booked(desk, payout, entry_ref="again"))
    assert results(reconcile(*overlapping)) == {"booked_twice": 1}
    assert results(reconcile(booked(desk, payout, entry_ref="and again"))) == {"booked_twice": 1}
    found = call("case", "list", "--json").json
    assert [(case["kind"], case["booking"]) for case in found] == [
        ("booked_twice", "again"),
        ("booked_twice", "and again"),
    ]


def test_a_period_is_what_it_says(desk: Desk, call: Payrail, tmp_path: Path) -> None:
    desk.payout("settled")
    sheet = tmp_path / "empty.csv"
    sheet.write_text("entry_ref,rail_ref,kind,amount,currency,utr,booked_at,code\n")
    today = datetime.now(UTC)
    command = ("reconcile", sheet, "--from", "2026-01-31", "--until")
    assert call(*command, "2026-02-01").lines == [
        "sandbox, 2026-01-31 00:00:00 until 2026-02-01 00:00:00: 0 lines, no differences"
    ]
    sheet.write_text(sheet.read_text() + "\n")  # another content, another report
    said = call(*command, (today + TOMORROW).isoformat())
    assert said.code == 1
    assert "missing_at_bank" in said.out


def test_people_see_a_table_with_money(desk: Desk, call: Payrail, tmp_path: Path) -> None:
    payout = desk.payout("settled", 123_45 % 10_000)
    desk.payout("settled", 1000)
    file = write(tmp_path / "r.json", booked(desk, payout, amount=1_000_00))
    said = call("reconcile", file)
    assert (said.code, said.err) == (1, "")
    table = [" ".join(line.split()) for line in said.out.splitlines()]
    assert table[0] == "line result kind rail ref status amount bank amount utr bank utr"
    utr = desk.see(payout)["utr"]
    assert table[2] == (
        f"1 different_amount payment {payout.hex} settled INR 23.45 INR 1,000.00 {utr} {utr}"
    )
    assert "missing_at_bank 1 INR 10.00" in table
    assert table[-1].endswith(": 1 lines, 2 differences")


def test_a_report_comes_from_stdin_too(
    desk: Desk, call: Payrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write(tmp_path / "r.json", booked(desk, desk.payout("settled"))).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert call("reconcile", "-", "--json").json["report"]["source"] == "stdin"


def test_what_is_wrong_with_a_report_is_one_line(desk: Desk, call: Payrail, tmp_path: Path) -> None:
    file = write(tmp_path / "r.json")
    assert desk
    assert call("reconcile", tmp_path / "none").error.endswith(
        "can not be read: No such file or directory"
    )
    assert call("reconcile", tmp_path).error.endswith("can not be read: Is a directory")
    assert call("reconcile", file, "--rail", "hdfc").error == (
        "no rail 'hdfc': payrail rail list shows them"
    )
    assert call("reconcile", file, "--from", "monday").code == 2
    file.write_text("rubbish")
    assert call("reconcile", file).error.startswith("the header line has no column entry_ref")
    assert desk.sql("payrail_operator", "SELECT source FROM payrail.reports") == []


def test_a_case_is_shown_with_what_was_tried_and_said(
    desk: Desk, reconcile: Import, call: Payrail
) -> None:
    payout = desk.payout("failed")
    found = reconcile(
        booked(desk, payout, utr="SBXN1"),
        {**booked(desk, payout), "entry_ref": "fee", "rail_ref": None},
    )
    fee, case = sorted(call("case", "list", "--json").json, key=lambda case: case["kind"])[::-1]
    shown = call("case", "show", case["case_id"], "--json").json
    assert shown.items() >= case.items()
    assert [attempt["action"] for attempt in shown["attempts"]] == ["submit"]
    assert [(said["outcome"], said["code"]) for said in shown["evidence"]] == [
        ("refused", "account_closed")
    ]
    lines = call("case", "show", case["case_id"]).lines
    assert "kind different_outcome" in lines
    assert "detail The payout is failed, and the bank has booked a payment (SBXN1)." in lines
    assert call("case", "show", fee["case_id"]).lines[-1] == "(none)"
    assert call("case", "show", found["report"]["report_id"]).error.startswith("no case ")


def test_a_rail_shows_its_breaker(desk: Desk, call: Payrail) -> None:
    (rail,) = call("rail", "list", "--json").json
    assert (rail["rail"], rail["breaker"], rail["failures"]) == ("sandbox", "closed", 0)
    for _ in range(20):
        desk.sql(
            "payrail_worker",
            "SELECT payrail.report_calls('sandbox', 'submit', 1, 1, 1, '1 second', 'no route')",
            [],
        )
    line = call("rail", "list").lines[-1]
    assert line.startswith("sandbox open 20 ")
    assert line.endswith(" no route")


def test_a_report_waits_for_the_one_that_is_being_imported(
    desk: Desk, call: Payrail, tmp_path: Path
) -> None:
    file = write(tmp_path / "books.json", booked(desk, desk.payout("settled")))
    with desk.connection("admin").transaction():
        desk.sql("admin", "LOCK TABLE rail.report_lines IN SHARE UPDATE EXCLUSIVE MODE", [])
        assert call("reconcile", file).error.startswith("another report is being imported")
    assert call("reconcile", file).code == 0
