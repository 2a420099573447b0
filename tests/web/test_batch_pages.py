"""The pages of batches: looked through, confirmed once, followed line by line, downloaded."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.web.client import Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_dashboard import EVIL, signed_in
from tests.web.visitor import Page, Visitor

ACCOUNT = "demo-bank-account"
HEADER = "amount,bank_account_id,reference\n"
SHEET = HEADER + "".join(f"{n}.50,{ACCOUNT},wage-{n}\n" for n in range(1, 4))


@pytest.fixture
def visitor(client: Client) -> Visitor:
    return signed_in(client)


def upload(visitor: Visitor, sheet: str | bytes = SHEET, **fields: str) -> Page:
    """Send a file, as the form does."""
    form = {"token": visitor.token(), "name": "wages", "mode": "best_effort", **fields}
    raw = sheet.encode() if isinstance(sheet, str) else sheet
    return visitor.send("/batches/new", form, raw)


def confirm(visitor: Visitor, sheet: str = SHEET, **fields: str) -> str:
    """Upload a list, confirm it, and return where its page is."""
    return visitor.send("/batches", upload(visitor, sheet, **fields).fields).location


def advance(worker: Connection, client: Client, address: str, limit: int = 1000) -> Any:
    row = worker.execute(
        "SELECT * FROM payrail.advance_batch(%s, %s, %s)",
        [client.merchant_id, address.rpartition("/")[2], limit],
    ).fetchone()
    assert row
    return row


def download(visitor: Visitor, path: str) -> list[list[str]]:
    answer = visitor.client(
        "GET", f"/{path}", headers=[("Cookie", f"{visitor.cookie_name}={visitor.cookie}")]
    )
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    return [*csv.reader(io.StringIO(answer.body.decode()))]


def test_a_list_is_looked_through_before_anything_is_kept(visitor: Visitor) -> None:
    page = upload(visitor)
    assert page.status == 200
    assert "Lines 3 Would be paid 3 Would be refused 0 In all ₹7.50" in page.text
    assert page.fields["list"].splitlines() == SHEET.splitlines()
    assert visitor.client.get("/batches/").json["data"] == []
    assert visitor.client.get("/payouts/").json["data"] == []


def test_what_is_confirmed_is_made_by_the_worker(visitor: Visitor, worker: Connection) -> None:
    address = confirm(visitor)
    page = visitor.get(address)
    assert "wages Waiting" in page.text
    assert "0 of 3 lines" in page.text
    assert advance(worker, visitor.client, address, 2)["status"] == "processing"
    page = visitor.get(address)
    assert "wages Under way" in page.text
    assert "2 of 3 lines" in page.text
    advance(worker, visitor.client, address)
    page = visitor.get(address)
    assert "wages Done" in page.text
    made = visitor.client.get("/payouts/").json["data"]
    assert [f"/payouts/{p['id']}" for p in reversed(made)] == [
        a for a in page.values("href") if a.startswith("/payouts/")
    ]
    assert "wages Done 3 of 3 0 ₹7.50" in visitor.get("/batches").text
    page = visitor.get(f"/payouts/{made[0]['id']}")
    assert "Batch wages" in page.text
    assert address in page.values("href")


def test_a_confirmation_that_is_sent_again_is_one_batch(visitor: Visitor) -> None:
    form = upload(visitor).fields
    assert visitor.send("/batches", form).location == visitor.send("/batches", form).location
    assert len(visitor.client.get("/batches/").json["data"]) == 1
    assert visitor.send("/batches", form | {"name": "other"}).status == 422


def test_each_line_that_would_be_refused_says_why(new_client: NewClient) -> None:
    visitor = signed_in(new_client(balance=500))
    page = upload(visitor, SHEET + "1,nowhere,x\n")
    assert "Would be paid 2 Would be refused 2 In all ₹4.00" in page.text
    assert "2 lines would be refused, and the others paid" in page.text
    assert "Not enough money is available for it." in page.text
    assert "There is no such bank account, or it is archived." in page.text
    page = upload(visitor, SHEET, mode="all_or_nothing")
    assert "nothing would be paid" in page.text


def test_a_list_with_a_wrong_line_can_not_be_confirmed(visitor: Visitor) -> None:
    sheet = HEADER + f"x,{ACCOUNT},\n" * 30 + f"1,{ACCOUNT},\n"
    page = upload(visitor, sheet)
    assert "30 lines can't be understood" in page.text
    assert "What is wrong: the first 20" in page.text
    assert "Make the payouts" not in page.text
    assert visitor.send("/batches", page.fields).status == 422
    answer = visitor.client(
        "POST",
        "//batches/errors.csv",
        *multipart(page.fields, visitor),
    )
    found = [*csv.reader(io.StringIO(answer.body.decode()))]
    assert found[0] == ["line", "field", "code", "detail"]
    assert [row[0] for row in found[1:]] == [str(n) for n in range(1, 31)]


def multipart(fields: dict[str, str], visitor: Visitor) -> tuple[str, list[tuple[str, str]]]:
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{body}--x--\r\n", [
        ("Content-Type", "multipart/form-data; boundary=x"),
        ("Cookie", f"{visitor.cookie_name}={visitor.cookie}"),
    ]


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        (b"", "no payout"),
        (b"\xff\xfe", "not UTF-8"),
        (b"name,sum\n", "'name'"),
        (b'{"payouts": 1}', "array"),
        (b"{", "line 1"),
    ],
)
def test_what_is_no_list_is_said_at_the_file(visitor: Visitor, sheet: bytes, said: str) -> None:
    page = upload(visitor, sheet)
    assert page.status in {400, 422}
    assert said in page.text
    assert "file-error" in page.values("aria-describedby")
    assert page.fields["name"] == "wages"


def test_a_file_that_is_too_large_is_a_page(visitor: Visitor) -> None:
    assert upload(visitor, b"x" * (8 * 2**20 + 70_000)).status == 413


@pytest.mark.parametrize("body", [b"", b"--x", b"--x\r\n\r\n--x--", b"token=1"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "multipart/form-data", "x/y"])
def test_a_form_that_is_none_is_a_page(visitor: Visitor, body: bytes, kind: str) -> None:
    page = visitor._send("POST", "/batches/new", body, [("Content-Type", kind)])
    assert page.status in {403, 422}


def test_a_form_of_another_session_or_site_changes_nothing(
    visitor: Visitor, new_client: NewClient
) -> None:
    form = upload(visitor).fields
    other = signed_in(new_client())
    for taken in (form | {"token": other.token()}, form | {"token": ""}):
        assert visitor.send("/batches", taken).status == 403
    cross = [("Sec-Fetch-Site", "cross-site")]
    assert visitor.send("/batches", form, headers=cross).status == 403
    assert visitor.client.get("/batches/").json["data"] == []


def test_the_result_says_what_became_of_each_line(
    new_client: NewClient, worker: Connection
) -> None:
    visitor = signed_in(new_client(balance=500))
    address = confirm(visitor, SHEET + f"0.01,{ACCOUNT},=1+1\n")
    advance(worker, visitor.client, address)
    found = download(visitor, f"{address}/result.csv")
    result = [dict(zip(found[0], row, strict=True)) for row in found[1:]]
    assert [row["line"] for row in result] == ["1", "2", "3", "4"]
    assert [row["amount"] for row in result] == ["1.50", "2.50", "3.50", "0.01"]
    assert [row["outcome"] for row in result] == ["accepted", "accepted", "rejected", "accepted"]
    assert [row["code"] for row in result] == ["", "", "insufficient_funds", ""]
    assert {row["payout_status"] for row in result} == {"pending", ""}
    assert result[3]["reference"] == "'=1+1"  # no program
    refused = visitor.get(f"{address}?outcome=rejected")
    assert "3 ₹3.50 Not enough money is available for it. wage-3" in refused.text
    assert "wage-1" not in refused.text


def test_a_batch_can_be_cancelled_before_it_starts(visitor: Visitor, worker: Connection) -> None:
    address = confirm(visitor)
    assert f"{address}/cancel" in visitor.get(address).actions
    assert visitor.post(f"{address}/cancel", {"token": visitor.token()}).location == address
    assert "wages Cancelled" in visitor.get(address).text
    started = confirm(visitor)
    advance(worker, visitor.client, started, 1)
    assert f"{started}/cancel" not in visitor.get(started).actions
    assert visitor.post(f"{started}/cancel", {"token": visitor.token()}).status == 409


def test_another_merchants_batch_is_not_there(visitor: Visitor, new_client: NewClient) -> None:
    address = confirm(visitor)
    other = signed_in(new_client())
    for path in (address, f"{address}/result.csv", "/batches/x"):
        assert other.get(path).status == 404
    assert other.post(f"{address}/cancel", {"token": other.token()}).status == 404


def test_who_may_only_read_uploads_nothing(new_client: NewClient) -> None:
    reader = signed_in(new_client(scopes=["read"]))
    assert "/batches/new" not in reader.get("/batches").values("href")
    assert reader.get("/batches/new").status == 403
    assert upload(reader).status == 403


def test_what_people_write_is_shown_as_text(visitor: Visitor, worker: Connection) -> None:
    quoted = EVIL.replace('"', '""')
    sheet = HEADER + f'1,{ACCOUNT},"{quoted}"\n"{quoted}",x,y\n'
    page = upload(visitor, sheet, name=EVIL)
    assert EVIL in page.text
    assert page.values("onerror") == []
    address = confirm(visitor, HEADER + f'1,{ACCOUNT},"{quoted}"\n', name=EVIL)
    advance(worker, visitor.client, address)
    for path in (address, "/batches"):
        page = visitor.get(path)
        assert EVIL in page.text
        assert page.values("onerror") == []
