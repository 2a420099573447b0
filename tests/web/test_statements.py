"""Statements and exports: every movement, in each format, however many there are."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import msgspec
import pytest

from pyapp import doors, exports
from pyapp.database import open_pool
from pyapp.web import types
from tests.conftest import Database
from tests.web.client import Answer, Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_dashboard import read_only, signed_in, visitor
from tests.web.visitor import COOKIE, Visitor

__all__ = ["read_only", "visitor"]  # fixtures

EVER = {"since": "2020-01-01", "until": "9999-12-31"}


def statement(client: Client, **query: str) -> Answer:
    return client.get(f"/statements/?{urlencode(EVER | query)}")


def rows(answer: Answer) -> list[dict[str, str]]:
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    return [*csv.DictReader(io.StringIO(answer.body.decode()))]


def download(visitor: Visitor, path: str) -> Answer:
    """Download a file as a browser does."""
    return visitor.client("GET", f"/{path}", None, [("Cookie", f"{COOKIE}={visitor.cookie}")])


def credit(operator: Connection, client: Client, amount: int, currency: str, ref: str) -> None:
    operator.execute(
        "SELECT payrail.credit_merchant(%s, %s, %s, %s)",
        [client.merchant_id, amount, currency, ref],
    )


@pytest.fixture
def busy(client: Client, settle: Callable[[Client, str], None], operator: Connection) -> Client:
    """A merchant with 1103 movements in rupees and one in dinars."""
    settle(client, client.payout(4050, reference="rent")["id"])
    operator.execute(
        "SELECT count(*) FROM generate_series(1, 1100) n,"
        " payrail.credit_merchant(%s, 1, 'INR', 'r' || n)",
        [client.merchant_id],
    )
    credit(operator, client, 1234, "KWD", "dinars")
    return client


def test_a_statement_holds_every_movement_in_its_own_unit(busy: Client) -> None:
    found = rows(statement(busy, format="csv"))
    assert [line["seq"] for line in found] == ["", *map(str, range(1, 1104)), ""]
    keys = ("kind", "reference", "utr", "amount", "change", "available", "held")
    assert [[line[key] for key in keys] for line in [*found[:5], found[-1]]] == [
        ["opening", "", "", "", "", "0.00", "0.00"],
        ["credit", found[1]["reference"], "", "10000.00", "10000.00", "10000.00", "0.00"],
        ["hold", "rent", "UTR1", "40.50", "-40.50", "9959.50", "40.50"],
        ["settle", "rent", "UTR1", "40.50", "0.00", "9959.50", "0.00"],
        ["credit", "r1", "", "0.01", "0.01", "9959.51", "0.00"],
        ["closing", "", "", "", "", "9970.50", "0.00"],
    ]
    balance = Decimal(0)
    for line in found[1:-1]:
        balance += Decimal(line["change"])
        assert Decimal(line["available"]) == balance
    dinars = rows(statement(busy, format="csv", currency="KWD"))
    assert [(line["kind"], line["available"]) for line in dinars] == [
        ("opening", "0.000"),
        ("credit", "1.234"),
        ("closing", "1.234"),
    ]


def test_all_formats_tell_the_same(busy: Client) -> None:
    answer = statement(busy)
    found = msgspec.json.decode(answer.body, type=types.Statement)
    assert found.entries == len(found.lines) == 1103
    sheet = rows(statement(busy, format="csv"))
    keys = ("seq", "kind", "payout_id", "reference", "utr", "created_at")
    assert [[line[key] for key in keys] for line in sheet[1:-1]] == [
        [str(line[key]) if line[key] is not None else "" for key in keys]
        for line in answer.json["lines"]
    ]
    for name in ("amount", "change", "available", "held"):
        assert [Decimal(line[name]) * 100 for line in sheet[1:-1]] == [
            getattr(line, name) for line in found.lines
        ]
    assert (found.opening.available, found.closing.available) == (0, 997_050)
    page = statement(busy, format="html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    assert text.count("Money in") == 1101
    assert text.index("Opening balance") < text.index("Money in") < text.rindex("Closing balance")
    assert text.count("₹9,970.50") == 3  # above the table, the last line's, and the closing one
    assert text.rstrip().endswith("</html>")


def test_a_long_statement_takes_no_more_memory_than_a_short_one(
    client: Client, owner: Connection, database: Database
) -> None:
    owner.execute(
        "INSERT INTO ledger.entries (merchant_id, currency, kind, amount, reference)"
        " SELECT %s, 'INR', 'credit', 1, 'r' || n FROM generate_series(1, 12000) n",
        [client.merchant_id],
    )
    short, long = (peak(database, client, lines) for lines in (2000, 12_000))
    assert long < short * 1.1


def peak(database: Database, client: Client, lines: int) -> int:
    """Return the most bytes that were in use while a statement's last lines were written."""
    assert client.merchant_id
    merchant_id = client.merchant_id

    async def write() -> int:
        async with open_pool(database.conninfo("payrail_api"), name="test", max_size=1) as db:
            whole = await doors.statement(db, merchant_id, "INR", date(2020, 1, 1), date.max)
            found = replace(whole, after_seq=whole.last_seq - lines)
            for _ in ("what is cached is there", "and now it counts"):
                tracemalloc.start()
                tracemalloc.reset_peak()
                some = exports.lines(db, merchant_id, found)
                count = 0
                async for text in exports.statement_csv(found, some):
                    count += text.count("\n")
                assert count == lines + 3
            return tracemalloc.get_traced_memory()[1]

    try:
        return asyncio.run(write())
    finally:
        tracemalloc.stop()


def test_a_statement_begins_where_the_one_before_ended(client: Client) -> None:
    client.payout(4000)
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)
    first = statement(client, until=str(today)).json
    after = statement(client, since=str(tomorrow)).json
    for name in ("available", "held"):
        assert first["closing"][name] == after["opening"][name] == after["closing"][name]
    assert (after["entries"], after["lines"]) == (0, [])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"since": "2026-03-02", "until": "2026-03-01"}, "argument_invalid"),
        ({"since": "2026-02-30"}, "invalid_request"),
        ({"currency": "XXX"}, "currency_unknown"),
        ({"currency": "inr"}, "invalid_request"),
        ({"format": "pdf"}, "invalid_request"),
        ({"x": "y"}, "invalid_request"),
    ],
)
def test_a_statement_that_can_not_be(client: Client, query: dict[str, str], code: str) -> None:
    answer = statement(client, **query)
    assert (answer.status, answer.code) == (422, code)
    assert client.get("/statements/?since=2026-03-01").status == 422


def test_nobody_sees_another_ones_movements(new_client: NewClient) -> None:
    mine, other = new_client(), new_client(balance=0)
    mine.payout(4000, reference="only mine")
    for kind in ("json", "csv", "html"):
        assert "only mine" in statement(mine, format=kind).body.decode()
        assert "only mine" not in statement(other, format=kind).body.decode()
    assert statement(other).json["lines"] == []
    assert rows(other.get("/exports/payouts/")) == []


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_file_is_no_program(client: Client, formula: str) -> None:
    client.payout(4000, reference=formula)
    assert rows(statement(client, format="csv"))[-2]["reference"] == f"'{formula}"
    assert rows(client.get("/exports/payouts/"))[0]["reference"] == f"'{formula}"


def test_what_is_typed_into_a_reference_is_text_on_a_statement(client: Client) -> None:
    evil = "<script>alert(1)</script>"
    client.payout(4000, reference=evil)
    assert evil not in statement(client, format="html").body.decode()


# --------------------------------------------------------------------------------------- balances


def test_the_balances_of_any_time(client: Client, operator: Connection) -> None:
    before = client.get("/balances/").json
    assert before == {
        "at": None,
        "balances": [{"currency": "INR", "available": 1_000_000, "held": 0}],
    }
    at = client.get("/ledger/?limit=1").json["data"][0]["created_at"]
    client.payout(4000)
    credit(operator, client, 1234, "KWD", "dinars")
    now = msgspec.json.decode(client.get("/balances/").body, type=types.Balances)
    assert [(one.currency, one.available, one.held) for one in now.balances] == [
        ("INR", 996_000, 4000),
        ("KWD", 1234, 0),
    ]
    then = client.get(f"/balances/?{urlencode({'at': at})}").json
    assert then["at"] == at
    assert [one["available"] for one in then["balances"]] == [1_000_000, 0]
    long_ago = client.get("/balances/?at=2020-01-01T00:00:00%2B05:30").json
    assert long_ago["at"] == "2019-12-31T18:30:00.000000Z"
    assert [one["available"] for one in long_ago["balances"]] == [0, 0]
    me = client.get("/me/").json
    assert me["balances"] == [msgspec.to_builtins(one) for one in now.balances]
    assert (me["available_paise"], me["held_paise"]) == (996_000, 4000)


@pytest.mark.parametrize("at", ["2026-01-01", "2026-01-01T00:00:00", "now", ""])
def test_a_time_has_a_zone(client: Client, at: str) -> None:
    assert client.get(f"/balances/?{urlencode({'at': at})}").status == 422


# ---------------------------------------------------------------------------------------- exports


def test_an_export_holds_every_payout_once_newest_first(
    client: Client, settle: Callable[[Client, str], None], operator: Connection
) -> None:
    made = [client.payout(n + 1)["id"] for n in range(3)]
    settle(client, made[0])
    credit(operator, client, 500, "JPY", "yen")
    yen = client.create({"amount": 500, "currency": "JPY", "bank_account_id": "demo-bank-account"})
    found = rows(client.get("/exports/payouts/"))
    assert [row["id"] for row in found] == [yen.json["id"], *made[::-1]]
    assert [(row["amount"], row["currency"]) for row in found[:2]] == [
        ("500", "JPY"),
        ("0.03", "INR"),
    ]
    paid = client.get(f"/payouts/{made[0]}/").json
    assert {name: found[-1][name] for name in ("status", "utr", "settled_at")} == {
        name: paid[name] for name in ("status", "utr", "settled_at")
    }
    assert [row["id"] for row in rows(client.get("/exports/payouts/?status=settled"))] == [made[0]]
    assert client.get("/exports/payouts/?limit=5").status == 422


def test_more_payouts_than_are_read_at_a_time(client: Client, api: Connection) -> None:
    api.execute(
        "SELECT payrail.create_payouts(%s, array_agg(jsonb_populate_record("
        "NULL::payrail.payout_request, jsonb_build_object('idempotency_key', 'k' || n, 'amount', 1,"
        " 'currency', 'INR', 'bank_account_id', 'demo-bank-account'))))"
        " FROM generate_series(1, 1001) n",
        [client.merchant_id],
    )
    assert len({row["id"] for row in rows(client.get("/exports/payouts/"))}) == 1001


def test_all_that_is_known_of_a_payout_is_exported() -> None:
    known = set(types.Payout.__struct_fields__) - {"amount_paise", "status_details"}
    assert set(exports.PAYOUTS) == known | {"failure_code"}


def test_metadata_and_failures_are_exported(
    client: Client, fail: Callable[[Client, str], None]
) -> None:
    payout = client.payout(100, metadata={"order": "17"})
    fail(client, payout["id"])
    (row,) = rows(client.get("/exports/payouts/"))
    assert json.loads(row["metadata"]) == {"order": "17"}
    assert (row["status"], row["failure_code"]) == ("failed", "account_closed")


# ------------------------------------------------------------------------------------------ pages


def test_the_pages_lead_to_every_format(visitor: Visitor) -> None:
    visitor.client.payout(4000, reference="rent")
    page = visitor.get("/statements")
    months = [str(a["href"]) for _, a in page.elements if "format=" in str(a.get("href"))]
    assert len(months) == 36
    for path in months[:3]:
        answer = download(visitor, path)
        assert answer.status == 200
        assert "rent" in answer.body.decode()
    saved = [download(visitor, path).headers.get("content-disposition", "") for path in months[:3]]
    assert [one.rpartition(".")[2] for one in saved] == ["", 'csv"', 'json"']
    assert "rent" not in download(visitor, months[3]).body.decode()  # last month's


def test_a_reader_without_other_rights_gets_statements(read_only: Visitor) -> None:
    assert read_only.get("/statements").status == 200
    assert read_only.get(f"/statement?{urlencode(EVER)}&format=html").status == 200


def test_a_list_of_payouts_is_downloaded_as_it_is_filtered(
    visitor: Visitor, settle: Callable[[Client, str], None]
) -> None:
    paid = visitor.client.payout(100, reference="a")["id"]
    settle(visitor.client, paid)
    other = visitor.client.payout(100, reference="b")["id"]
    for query, ids in (
        ("", [other, paid]),
        ("status=settled", [paid]),
        ("q=b", [other]),
        ("q=UTR1", [paid]),
        ("q=nothing", []),
    ):
        page = visitor.get(f"/payouts?{query}")
        links = [str(a["href"]) for _, a in page.elements if "csv" in str(a.get("href"))]
        assert bool(links) == bool(ids)
        for link in links:
            assert [row["id"] for row in rows(download(visitor, link))] == ids


def test_several_currencies_are_shown_side_by_side(visitor: Visitor, operator: Connection) -> None:
    assert "Currency" not in visitor.get("/payouts/new").text
    credit(operator, visitor.client, 123_456, "JPY", "yen")
    assert "Available ₹10,000.00" in visitor.get("/").text
    assert "Available JPY 123,456" in visitor.get("/?currency=JPY").text
    assert "Money in JPY 123,456" in visitor.get("/ledger?currency=JPY").text
    assert "JPY 123,456" not in visitor.get("/ledger").text
    form = visitor.get("/payouts/new").fields | {"bank_account_id": "demo-bank-account"}
    made = visitor.post("/payouts/new", form | {"amount": "456", "currency": "JPY"})
    assert "JPY 456" in visitor.get(str(made.location)).text
    wrong = visitor.post("/payouts/new", form | {"amount": "4.56", "currency": "JPY"})
    assert wrong.status == 422


def test_who_has_no_rupees_sees_what_there_is(new_client: NewClient, operator: Connection) -> None:
    client = new_client(balance=0)
    credit(operator, client, 1234, "KWD", "dinars")
    assert "Available KWD 1.234" in signed_in(client).get("/").text
