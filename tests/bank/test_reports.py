"""A settlement report has exactly what was booked that day."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import banks
from tests.bank.conftest import order, send, submit
from tests.banks import Bank


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    """A bank without a day's end in the middle of its business."""
    with banks.bank() as running:
        yield running


def booked(bank: Bank, rail_ref: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the day of a payment, and the lines of its reference in that day's report."""
    answer = bank.ask("POST", "/v1/enquiries", {"rail_refs": [rail_ref]})["answers"][0]
    day = answer["booked_at"][:10]
    lines = bank.ask("GET", f"/v1/reports/{day}")["entries"]
    return day, [line for line in lines if line["rail_ref"] == rail_ref]


def test_a_payment_and_its_return_are_two_lines(bank: Bank) -> None:
    one = order(amount=1234, mode="NEFT", narration="Invoice 17")
    paid = send(bank, one)
    _, lines = booked(bank, one["rail_ref"])
    (payment,) = lines
    assert payment == {
        "entry_ref": payment["entry_ref"],
        "rail_ref": one["rail_ref"],
        "kind": "payment",
        "amount": 1234,
        "currency": "INR",
        "utr": paid["utr"],
        "booked_at": paid["booked_at"],
        "code": None,
        "mode": "NEFT",
        "narration": "Invoice 17",
    }
    bank.decide(one["rail_ref"], "return", code="account_frozen")
    _, lines = booked(bank, one["rail_ref"])
    back = lines[-1]
    assert (back["kind"], back["amount"], back["utr"], back["code"]) == (
        "return",
        1234,
        paid["utr"],
        "account_frozen",
    )
    assert back["entry_ref"] != payment["entry_ref"]


def test_only_what_moved_money_is_in_it(bank: Bank) -> None:
    orders = [order(ending) for ending in ("0001", "0101", "0002", "0303")]
    submit(bank, *orders)
    day, lines = booked(bank, orders[0]["rail_ref"])
    assert len(lines) == 1
    refs = {line["rail_ref"] for line in bank.ask("GET", f"/v1/reports/{day}")["entries"]}
    assert not refs & {one["rail_ref"] for one in orders[1:]}


def test_the_totals_are_those_of_the_lines_and_the_csv_has_the_same_lines(bank: Bank) -> None:
    one = order(amount=777)
    send(bank, one)
    bank.decide(one["rail_ref"], "return")
    day, _ = booked(bank, one["rail_ref"])
    report = bank.ask("GET", f"/v1/reports/{day}")
    by_kind: dict[str, list[int]] = {"payment": [], "return": []}
    for line in report["entries"]:
        by_kind[line["kind"]].append(line["amount"])
    assert (report["date"], report["bank"]) == (day, "sandbox")
    assert report["generated_at"] >= max(line["booked_at"] for line in report["entries"])
    assert report["totals"] == {
        "payments": len(by_kind["payment"]),
        "returns": len(by_kind["return"]),
        "amount_paid": sum(by_kind["payment"]),
        "amount_returned": sum(by_kind["return"]),
    }
    assert len({line["entry_ref"] for line in report["entries"]}) == len(report["entries"])
    response = bank.client.get(f"/v1/reports/{day}.csv")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert rows == [
        {name: "" if value is None else str(value) for name, value in line.items()}
        for line in report["entries"]
    ]


def test_another_day_is_empty(bank: Bank) -> None:
    report = bank.ask("GET", "/v1/reports/2020-02-29")
    assert datetime.fromisoformat(report.pop("generated_at")) > datetime(2020, 3, 1, tzinfo=UTC)
    assert report == {
        "date": "2020-02-29",
        "bank": "sandbox",
        "entries": [],
        "totals": {"payments": 0, "returns": 0, "amount_paid": 0, "amount_returned": 0},
    }
    text = bank.client.get("/v1/reports/2020-02-29.csv").text
    assert text == "entry_ref,rail_ref,kind,amount,currency,utr,booked_at,code,mode,narration\r\n"


@pytest.mark.parametrize("day", ["2026-02-30", "20260131", "today", "2026-1-1", "2026-W01-1"])
def test_a_day_has_to_be_one(bank: Bank, day: str) -> None:
    for name in (day, f"{day}.csv"):
        response = bank.client.get(f"/v1/reports/{name}")
        assert (response.status_code, response.json()["field"]) == (400, "date")
