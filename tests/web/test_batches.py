"""Batches over HTTP: JSON and CSV, what is wrong line by line, and what became of each line."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.uploads import _COLUMNS
from pyapp.web import types
from tests.web.client import Answer, Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_contract import fits
from tests.web.test_fuzz import FUZZ, JSON

ACCOUNT = "demo-bank-account"
LINE = {"amount_paise": 100, "bank_account_id": ACCOUNT}


def upload(client: Client, *lines: Any, key: str | None = None, query: str = "") -> Answer:
    header = ("Idempotency-Key", key or str(uuid.uuid4()))
    return client.post(f"/batches/{query}", {"payouts": [*lines]}, [header])


def send(client: Client, path: str, sheet: str | bytes) -> Answer:
    headers = [("Content-Type", "text/csv"), ("Idempotency-Key", str(uuid.uuid4()))]
    return client("POST", path, sheet, headers)


@pytest.fixture
def finish(worker: Connection) -> Callable[[Client, str], None]:
    """Make a batch's payouts, as a worker does."""

    def advance(client: Client, batch_id: str) -> None:
        query = "SELECT * FROM payrail.advance_batch(%s, %s)"
        row = worker.execute(query, [client.merchant_id, batch_id]).fetchone()
        assert row
        assert row["completed_at"]

    return advance


def test_a_batch_from_upload_to_result(
    client: Client, finish: Callable[[Client, str], None]
) -> None:
    lines = [{**LINE, "reference": f"wage-{n}", "metadata": {"n": str(n)}} for n in range(3)]
    answer = upload(client, *lines, query="?name=wages&mode=all_or_nothing")
    assert answer.status == 201
    batch = fits(answer.body, types.Batch)
    assert answer.headers["location"] == f"/api/v1/batches/{batch.id}/"
    assert (batch.status, batch.mode, batch.name) == ("pending", "all_or_nothing", "wages")
    assert batch.totals == [types.Total(currency="INR", lines=3, amount=300)]
    finish(client, str(batch.id))
    done = fits(client.get(f"/batches/{batch.id}/").body, types.Batch)
    assert (done.status, done.accepted, done.rejected) == ("completed", 3, 0)
    assert done.completed_at
    page = fits(
        client.get(f"/batches/{batch.id}/lines/?outcome=accepted").body,
        types.Listing[types.BatchLineResult],
    )
    assert [line.reference for line in page.data] == ["wage-0", "wage-1", "wage-2"]
    assert page.data[2].metadata == {"n": "2"}
    made = client.get(f"/payouts/?batch_id={batch.id}").json["data"]
    assert [p["id"] for p in made] == [str(line.payout_id) for line in reversed(page.data)]
    assert client.get(f"/payouts/?batch_id={uuid.uuid4()}").json["data"] == []
    assert [b["id"] for b in client.get("/batches/").json["data"]] == [str(batch.id)]


def test_the_result_as_csv(client: Client, finish: Callable[[Client, str], None]) -> None:
    nowhere = {**LINE, "bank_account_id": "nowhere", "reference": "@SUM(A1)"}
    batch = upload(client, LINE, nowhere).json["id"]
    finish(client, batch)
    answer = client.get(f"/batches/{batch}/result/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    first, second = csv.DictReader(io.StringIO(answer.body.decode()))
    assert (first["line"], first["amount"], first["outcome"]) == ("1", "1.00", "accepted")
    assert (second["code"], second["reference"]) == ("bank_account_not_found", "'@SUM(A1)")


def test_a_payout_names_the_batch_that_made_it_and_no_other(
    client: Client, finish: Callable[[Client, str], None]
) -> None:
    alone = client.payout(100)["id"]
    made = upload(client, {**LINE, "idempotency_key": "mine"}).json["id"]
    finish(client, made)
    again = upload(client, {**LINE, "idempotency_key": "mine"}).json["id"]
    finish(client, again)
    (line,) = client.get(f"/batches/{again}/lines/").json["data"]
    assert line["replayed"]
    assert client.get(f"/payouts/{line['payout_id']}/").json["batch_id"] == made
    assert client.get(f"/payouts/{alone}/").json["batch_id"] is None


def test_open_batches_and_their_lines_are_counted(
    client: Client, finish: Callable[[Client, str], None]
) -> None:
    def waiting() -> tuple[float, float]:
        found = dict(
            re.findall(r"^(payrail_\w*batch\w+){status=\"pending\"} (.+)$", metrics(), re.MULTILINE)
        )
        return float(found["payrail_open_batches"]), float(found["payrail_batch_lines_waiting"])

    def metrics() -> str:
        return client.get("//metrics").body.decode()

    batches, lines = waiting()
    made = upload(client, LINE, LINE).json["id"]
    assert waiting() == (batches + 1, lines + 2)
    finish(client, made)
    assert waiting() == (batches, lines)


def test_a_retry_is_the_same_batch(client: Client) -> None:
    first = upload(client, LINE, LINE, key="mine")
    again = upload(client, LINE, LINE, key="mine")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    other = upload(client, LINE, key="mine")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    missing = client.post("/batches/", {"payouts": [LINE]})
    assert (missing.status, missing.code) == (400, "idempotency_key_missing")


def test_lines_are_listed_page_by_page(client: Client) -> None:
    batch = upload(client, *[LINE] * 5).json["id"]
    seen, cursor = [], ""
    while True:
        page = client.get(f"/batches/{batch}/lines/?limit=2{cursor}").json
        seen += [line["line"] for line in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [1, 2, 3, 4, 5]


def test_a_currency_that_is_none_keeps_the_batch_out(client: Client) -> None:
    """Nobody knows how its amounts are written."""
    unknown = {"amount": 1, "currency": "XXX", "bank_account_id": ACCOUNT}
    answer = upload(client, LINE, unknown)
    assert (answer.status, answer.code) == (422, "batch_line_invalid")
    checked = client.post("/batches/check/", {"payouts": [LINE, unknown]}).json
    assert [(e["line"], e["code"]) for e in checked["errors"]] == [(2, "currency_unknown")]


def test_what_is_wrong_is_told_line_by_line(client: Client) -> None:
    answer = upload(
        client,
        LINE,
        {"amount_paise": 0, "bank_account_id": "", "colour": "red"},
        {**LINE, "amount": 1},
        ["no object"],
        {**LINE, "idempotency_key": "two words"},
        {**LINE, "idempotency_key": "k"},
        {**LINE, "idempotency_key": "k"},
    )
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [(e["pointer"], e["code"]) for e in answer.json["errors"]] == [
        ("/payouts/1/colour", "invalid"),
        ("/payouts/1/amount_paise", "amount_invalid"),
        ("/payouts/1/bank_account_id", "bank_account_invalid"),
        ("/payouts/2/amount_paise", "invalid"),
        ("/payouts/3", "invalid"),
        ("/payouts/4/idempotency_key", "idempotency_key_invalid"),
        ("/payouts/6/idempotency_key", "idempotency_key_reused"),
    ]
    assert client.get("/batches/").json["data"] == []


def test_no_more_than_twenty_faults_are_told_with_a_refusal(client: Client) -> None:
    wrong = [{**LINE, "amount_paise": 0}] * 30
    assert len(upload(client, *wrong).json["errors"]) == 20
    assert len(client.post("/batches/check/", {"payouts": wrong}).json["errors"]) == 30


def test_a_check_tells_all_and_makes_nothing(client: Client, new_client: NewClient) -> None:
    client = new_client(balance=1000)
    known = client.create({**LINE, "amount_paise": 300}, "known").json["id"]
    lines = [
        {**LINE, "amount_paise": 600},
        {**LINE, "amount_paise": 200},
        {**LINE, "bank_account_id": "nowhere"},
        {**LINE, "amount_paise": -1},
        {**LINE, "amount_paise": 300, "idempotency_key": "known"},
    ]
    answer = client.post("/batches/check/", {"payouts": lines})
    assert answer.status == 200
    found = fits(answer.body, types.BatchCheck)
    assert (found.lines, found.accepted, found.rejected) == (5, 2, 3)
    assert (found.invalid, found.replayed) == (1, 1)
    assert [(e.line, e.code) for e in found.errors] == [
        (2, "insufficient_funds"),
        (3, "bank_account_not_found"),
        (4, "amount_invalid"),
    ]
    assert found.errors[2].field == "amount_paise"
    assert [p["id"] for p in client.get("/payouts/").json["data"]] == [known]
    assert client.get("/batches/").json["data"] == []


SHEET = (
    "bank_account_id,amount,currency,reference,metadata.order,idempotency_key\r\n"
    f'{ACCOUNT},"1,250.50",,wage-1,17,one\r\n'
    "\r\n"
    f"{ACCOUNT}, 2 ,INR,,,\r\n"
)


def test_a_sheet_has_amounts_in_the_currencys_own_unit(client: Client) -> None:
    for sheet in (SHEET, "\ufeff" + SHEET.replace("\r\n", "\n")):
        answer = send(client, "/batches/", sheet)
        assert answer.status == 201, answer.body
        lines = client.get(f"/batches/{answer.json['id']}/lines/").json["data"]
        assert [line["amount"] for line in lines] == [125050, 200]
        assert [line["reference"] for line in lines] == ["wage-1", None]
        assert [line["metadata"] for line in lines] == [{"order": "17"}, {}]
        assert lines[0]["idempotency_key"] == "one"


def test_what_is_wrong_in_a_sheet_is_told_line_by_line(client: Client) -> None:
    sheet = (
        "amount,bank_account_id,currency\n"
        f"1.005,{ACCOUNT},\n"
        f"1e3,{ACCOUNT},\n"
        f"-5,{ACCOUNT},\n"
        f"1,{ACCOUNT}\n"
        f"1,{ACCOUNT},ABC\n"
        f"1,,\n"
        f"1,{ACCOUNT},INR\n"
    )
    found = fits(send(client, "/batches/check/", sheet).body, types.BatchCheck)
    assert [(e.line, e.field, e.code) for e in found.errors] == [
        (1, "amount", "amount_invalid"),
        (2, "amount", "amount_invalid"),
        (3, "amount", "amount_invalid"),
        (4, None, "invalid"),
        (5, "currency", "currency_unknown"),
        (6, "bank_account_id", "missing"),
    ]
    assert (found.lines, found.accepted, found.invalid) == (7, 1, 6)


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        ("", "no payout"),
        ("amount,bank_account_id\n", "no payout"),
        ("amount\n1\n", "no 'bank_account_id'"),
        ("amount,bank_account_id,colour\n", "'colour'"),
        ("amount,amount,bank_account_id\n", "more than once"),
        ("amount;bank_account_id\n1;a\n", "'amount;bank_account_id'"),
        ('amount,bank_account_id\n1,"a\n', "not CSV"),
        ("amount,bank_account_id\n1,a\0\n", "U+0000"),
        (b"amount,bank_account_id\n1,\xff\n", "Line 2 of the file is not UTF-8"),
        ("amount,bank_account_id\n" + f"1,{ACCOUNT}\n" * 10_001, "at most 10000"),
    ],
)
def test_what_is_no_list_at_all(client: Client, sheet: str | bytes, said: str) -> None:
    for path in ("/batches/", "/batches/check/"):
        answer = send(client, path, sheet)
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert said in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"payouts": []}, {"payouts": {}}, {"payouts": [LINE], "x": 1}]
)
def test_what_is_no_list_in_json(client: Client, body: object) -> None:
    answer = client.post("/batches/check/", body)
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_a_list_may_have_eight_mebibytes(client: Client) -> None:
    body = json.dumps({"payouts": [LINE]}) + " " * (8 * 2**20 - 100)
    assert client.post("/batches/check/", body).status == 200
    answer = client.post("/batches/check/", body + " " * 200)
    assert (answer.status, answer.code) == (413, "payload_too_large")
    # and nothing else may have
    assert client.create(body[:70_000]).status == 413


@pytest.mark.parametrize("media", ["text/plain", "text/csv; charset=latin-1", "", "text/xml"])
def test_a_list_is_json_or_csv(client: Client, media: str) -> None:
    answer = client("POST", "/batches/check/", "x", [("Content-Type", media)])
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_cancel(client: Client, finish: Callable[[Client, str], None]) -> None:
    batch = upload(client, LINE).json["id"]
    cancelled = client("POST", f"/batches/{batch}/cancel/")
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    started = upload(client, LINE).json["id"]
    finish(client, started)
    answer = client("POST", f"/batches/{started}/cancel/")
    assert (answer.status, answer.code) == (409, "batch_started")


def test_another_merchants_batch_is_not_there(client: Client, new_client: NewClient) -> None:
    batch = upload(client, LINE).json["id"]
    other = new_client()
    for unknown in (batch, str(uuid.uuid4()), "x"):
        for method, path in (
            ("GET", ""),
            ("GET", "lines/"),
            ("GET", "result/"),
            ("POST", "cancel/"),
        ):
            answer = other(method, f"/batches/{unknown}/{path}")
            assert (answer.status, answer.code) == (404, "batch_not_found")
    assert other.get(f"/payouts/?batch_id={batch}").json["data"] == []
    assert other.get("/batches/").json["data"] == []


def test_scopes(new_client: NewClient) -> None:
    reader = new_client(scopes=["read"])
    for path in ("/batches/", "/batches/check/"):
        assert send(reader, path, SHEET).code == "forbidden"
    assert reader.get("/batches/").status == 200


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CELLS = (
    st.sampled_from(
        [*("", "1", "1.50", "-1", "INR", "JPY", "true", "=1", ACCOUNT, "2099-01-31T12:00:00Z")]
    )
    | TEXT
)


@st.composite
def sheets(draw: st.DrawFn) -> bytes:
    """A sheet with the right columns, and anything in its cells."""
    columns = draw(st.permutations(_COLUMNS).map(lambda names: [*names, "metadata.x"]))
    cells = st.lists(CELLS, min_size=len(columns), max_size=len(columns))
    out = io.StringIO()
    csv.writer(out).writerows([columns, *draw(st.lists(cells, max_size=4))])
    return out.getvalue().encode()


@FUZZ
@given(sheet=sheets() | st.binary(max_size=200))
def test_any_sheet(client: Client, sheet: bytes) -> None:
    answer = send(client, "/batches/check/", sheet)
    assert answer.status in {200, 422}
    if answer.status == 200:
        fits(answer.body, types.BatchCheck)


LINES = st.dictionaries(st.sampled_from([*_COLUMNS, "amount_paise", "metadata", "x"]), JSON)


@FUZZ
@given(lines=st.lists(LINES | JSON, max_size=4) | JSON)
def test_any_list(client: Client, lines: Any) -> None:
    answer = client.post("/batches/check/", json.dumps({"payouts": lines}))
    assert answer.status in {200, 400, 422}
    if answer.status == 200:
        fits(answer.body, types.BatchCheck)
