"""The merchant's pages: who gets in, what is shown, and that a form pays once or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Database
from tests.desk import ask
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient, Web, serving
from tests.web.test_fuzz import FUZZ
from tests.web.visitor import Page, Visitor

NOBODY = "019a2f4e-0000-7000-8000-000000000000"
PAGES = ("/", "/payouts", "/payouts/new", "/ledger", "/statements", "/bank-accounts")
EVIL = """<script>alert("1")</script>'"><img src=x onerror=alert(1)>&lt;{{7*7}}"""


@pytest.fixture
def visitor(client: Client) -> Visitor:
    """A merchant's browser, signed in."""
    return signed_in(client)


@pytest.fixture
def pending(visitor: Visitor) -> str:
    """A payout of the visitor's that nobody has claimed."""
    return str(visitor.client.payout(6000)["id"])


@pytest.fixture
def read_only(new_client: NewClient) -> Visitor:
    return signed_in(new_client(scopes=["read"]))


def signed_in(client: Client) -> Visitor:
    visitor = Visitor(client)
    assert visitor.sign_in(client.key).location == "/"
    return visitor


def payout_form(visitor: Visitor, amount: str = "60", **fields: str) -> dict[str, str]:
    """Return the form as it is filled in."""
    form = visitor.get("/payouts/new").fields
    return form | {"amount": amount, "bank_account_id": "demo-bank-account"} | fields


def payouts(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/payouts/").json["data"]
    return found


def sessions(admin: Connection, client: Client) -> list[dict[str, Any]]:
    return admin.execute(
        "SELECT * FROM merchant.sessions WHERE merchant_id = %s", [client.merchant_id]
    ).fetchall()


# ------------------------------------------------------------------------------------ signing in


def test_a_valid_key_signs_in(client: Client) -> None:
    visitor = Visitor(client)
    assert visitor.sign_in(client.key).location == "/"
    assert visitor.set_cookie
    assert visitor.set_cookie.startswith("__Host-payrail=")
    attributes = {part.strip().lower() for part in visitor.set_cookie.split(";")[1:]}
    assert attributes >= {"secure", "httponly", "samesite=lax", "path=/"}
    assert not any(attribute.startswith("domain") for attribute in attributes)
    for path in PAGES:
        assert visitor.get(path).status == 200
    assert "Tiny Studio" in visitor.get("/").text


@pytest.mark.parametrize("path", [*PAGES, f"/payouts/{NOBODY}"])
def test_who_is_not_signed_in_is_asked_to(client: Client, path: str) -> None:
    for visitor in (Visitor(client), Visitor(client, cookie="x"), Visitor(client, cookie="é" * 9)):
        assert visitor.get(path).location == f"/sign-in?next={quote(path)}"


def test_a_form_of_somebody_who_is_not_signed_in_changes_nothing(client: Client) -> None:
    payout_id = client.payout()["id"]
    for path in ("/payouts/new", f"/payouts/{payout_id}/cancel", "/sign-out"):
        assert Visitor(client).post(path, {"amount": "1"}).location == "/sign-in?next=/"
    assert [payout["status"] for payout in payouts(client)] == ["pending"]


@pytest.mark.parametrize("key", ["", "x", "pr_test_unknown", "é", " ", "' OR 1=1", "x" * 5000])
def test_an_unknown_key_signs_nobody_in(client: Client, admin: Connection, key: str) -> None:
    count = admin.execute("SELECT FROM merchant.sessions").rowcount
    visitor = Visitor(client)
    page = visitor.sign_in(key)
    assert (page.status, visitor.set_cookie) == (403, None)
    assert "unknown, expired or revoked" in page.text
    assert len(key) < 2 or not key.strip() or key not in page.html
    assert admin.execute("SELECT FROM merchant.sessions").rowcount == count


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_a_key_that_ends_takes_its_sessions_along(
    client: Client, owner: Connection, column: str
) -> None:
    visitor = signed_in(client)
    assert visitor.get("/").status == 200
    owner.execute(
        f"UPDATE merchant.api_keys SET {column} = now() WHERE merchant_id = %s".encode(),
        [client.merchant_id],
    )
    assert visitor.get("/").location == "/sign-in?next=/"
    again = Visitor(client)
    assert (again.sign_in(client.key).status, again.set_cookie) == (403, None)


def test_an_operator_who_revokes_a_key_ends_its_sessions(
    client: Client, operator: Connection
) -> None:
    visitor = signed_in(client)
    form = payout_form(visitor)
    operator.execute(
        "SELECT payrail.revoke_api_key(merchant_id, api_key_id) FROM payrail.api_keys"
        " WHERE merchant_id = %s",
        [client.merchant_id],
    )
    assert visitor.post("/payouts/new", form).location == "/sign-in?next=/"
    assert visitor.get("/live").status == 401


def test_a_session_ends_after_its_time(visitor: Visitor, client: Client, owner: Connection) -> None:
    owner.execute(
        "UPDATE merchant.sessions SET expires_at = now() WHERE merchant_id = %s",
        [client.merchant_id],
    )
    assert visitor.get("/").location == "/sign-in?next=/"


def test_a_planted_cookie_is_never_adopted(client: Client) -> None:
    planted = secrets.token_urlsafe(32)
    visitor = Visitor(client, cookie=planted)
    visitor.sign_in(client.key)
    first = visitor.cookie
    visitor.sign_in(client.key)
    assert len({planted, first, visitor.cookie}) == 3
    assert visitor.get("/").status == 200
    assert Visitor(client, cookie=planted).get("/").status == 303


def test_only_hashes_are_stored(visitor: Visitor, admin: Connection) -> None:
    assert visitor.cookie
    (row,) = sessions(admin, visitor.client)
    assert row["session_hash"] == hashlib.sha256(visitor.cookie.encode()).digest()
    tables = ("merchant.sessions", "merchant.api_keys")
    stored = [
        str(row)
        for table in tables
        for row in admin.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
    ]
    for secret in (visitor.cookie, visitor.client.key, visitor.token()):
        assert secret
        assert not any(secret in row or secret.encode().hex() in row for row in stored)


def test_signing_out_ends_the_session_in_the_database(visitor: Visitor, admin: Connection) -> None:
    cookie = visitor.cookie
    other = signed_in(visitor.client)
    assert visitor.post("/sign-out", {"token": visitor.token()}).location == "/sign-in"
    assert visitor.cookie is None  # it is told to forget it
    assert Visitor(visitor.client, cookie=cookie).get("/").status == 303
    assert other.get("/").status == 200
    assert len(sessions(admin, visitor.client)) == 1


@pytest.mark.parametrize(
    "target", ["/payouts", "/payouts?status=settled&q=a%20b", f"/payouts/{NOBODY}"]
)
def test_signing_in_leads_where_the_visitor_wanted_to(client: Client, target: str) -> None:
    form = Visitor(client).get(f"/sign-in?next={quote(target)}").fields
    assert Visitor(client).sign_in(client.key, form["next"]).location == target


@pytest.mark.parametrize(
    "target",
    [
        "//evil",
        "https://evil",
        "/\\evil",
        "\\\\evil",
        "/\r\nSet-Cookie: a=b",
        "/\t/evil",
        "/\n/evil",
        "/ \u2028/evil",
        "javascript:alert(1)",
        "evil",
        "",
        "\0",
        ".//evil",
        "@evil",
    ],
)
def test_signing_in_never_leaves_the_site(client: Client, target: str) -> None:
    page = Visitor(client).get(f"/sign-in?next={quote(target)}")
    assert page.status == 200
    assert page.fields["next"] == "/"
    sent = Visitor(client).sign_in(client.key, target)
    assert sent.status == 422 if target == "\0" else sent.location == "/"
    assert Visitor(client).get("/sign-in?next=/%0d%0a//evil").fields["next"] == "/"


# ------------------------------------------------------------------------------------------ forms


def other_tokens(visitor: Visitor, stranger: Client) -> list[dict[str, str]]:
    """Return what a form may carry that is not of this session."""
    own, same_merchant = visitor.token(), signed_in(visitor.client).token()
    wrong = ["", "x", own[:-1], own.upper(), same_merchant, signed_in(stranger).token(), "é"]
    return [{}, *({"token": token} for token in wrong)]


def test_a_form_without_its_sessions_token_changes_nothing(
    visitor: Visitor, pending: str, new_client: NewClient
) -> None:
    before, form = visitor.client.balance(), payout_form(visitor)
    del form["token"]
    for token in other_tokens(visitor, new_client()):
        for path in ("/payouts/new", f"/payouts/{pending}/cancel", "/sign-out"):
            assert visitor.post(path, form | token).status == 403, (path, token)
    assert visitor.client.balance() == before
    assert [payout["status"] for payout in payouts(visitor.client)] == ["pending"]
    assert visitor.get("/").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
def test_a_form_from_another_site_changes_nothing(
    visitor: Visitor, pending: str, site: str
) -> None:
    before, form = visitor.client.balance(), payout_form(visitor)
    headers = [("Sec-Fetch-Site", site)]
    for path in ("/payouts/new", f"/payouts/{pending}/cancel", "/sign-out"):
        assert visitor.post(path, form, headers).status == 403
    key = {"api_key": str(visitor.client.key)}
    assert Visitor(visitor.client).post("/sign-in", key, headers).status == 403
    assert visitor.client.balance() == before
    assert visitor.get("/").status == 200


def test_a_form_of_our_own_page_is_taken(visitor: Visitor) -> None:
    page = visitor.post("/payouts/new", payout_form(visitor), [("Sec-Fetch-Site", "same-origin")])
    assert re.fullmatch(r"/payouts/[0-9a-f-]{36}", page.location)


def test_the_form_offers_the_modes_that_can_pay_and_takes_one(visitor: Visitor) -> None:
    page = visitor.get("/payouts/new")
    assert page.values("value", "option")[:1] == ["demo-bank-account"]
    assert "Automatic IMPS · up to ₹5,00,000.00 RTGS · from ₹2,00,000.00 NEFT " in page.text
    assert "UPI" not in page.text  # there is no such account
    form = payout_form(visitor, mode="NEFT", narration="Invoice 17")
    page = visitor.get(visitor.post("/payouts/new", form).location)
    assert "Mode NEFT · asked for" in page.text
    assert "Narration Invoice 17" in page.text
    (payout,) = payouts(visitor.client)
    assert (payout["mode"], payout["narration"]) == ("NEFT", "Invoice 17")


def test_the_form_makes_the_payout_that_it_asks_for(visitor: Visitor) -> None:
    form = payout_form(visitor, " ₹1,250.50 ", reference=" invoice 17 ")
    location = visitor.post("/payouts/new", form).location
    (payout,) = payouts(visitor.client)
    assert location == f"/payouts/{payout['id']}"
    assert (payout["amount"], payout["reference"]) == (125_050, "invoice 17")
    assert visitor.client.balance() == (874_950, 125_050)
    page = visitor.get(location)
    assert "₹1,250.50 Pending" in page.text
    assert "invoice 17" in page.text


def test_a_form_that_is_sent_again_is_one_payout(visitor: Visitor) -> None:
    form = payout_form(visitor)
    first = visitor.post("/payouts/new", form).location
    assert visitor.post("/payouts/new", form).location == first
    assert len(payouts(visitor.client)) == 1
    assert visitor.post("/payouts/new", payout_form(visitor)).location != first


def test_a_form_that_is_sent_eight_times_at_once_is_one_payout(visitor: Visitor) -> None:
    form = payout_form(visitor)
    crowd = [replace(visitor, client=replace(visitor.client, _connection=None)) for _ in range(8)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        pages = list(pool.map(lambda one: one.post("/payouts/new", form), crowd))
    for one in crowd:
        one.client.close()
    (payout,) = payouts(visitor.client)
    # who had to wait for too long is told so, and may send it again
    assert {303} <= {page.status for page in pages} <= {303, 409, 503}
    assert {page.location for page in pages if page.status == 303} == {f"/payouts/{payout['id']}"}


def test_another_form_under_a_used_key_pays_nothing(visitor: Visitor) -> None:
    form = payout_form(visitor)
    visitor.post("/payouts/new", form)
    page = visitor.post("/payouts/new", form | {"amount": "61"})
    assert page.status == 422
    assert page.fields["idempotency_key"] != form["idempotency_key"]
    assert [payout["amount"] for payout in payouts(visitor.client)] == [6000]


def test_where_payouts_cost_something_too_little_money_says_that_it_counts(
    visitor: Visitor, operator: Connection
) -> None:
    for amount_from, fixed, basis_points in ((1, 250, 10), (10**14, 0, 5)):
        fee = [amount_from, fixed, basis_points]
        operator.execute("SELECT payrail.set_fee('sandbox', 'RTGS', 'INR', %s, %s, %s)", fee)
    try:
        page = visitor.post("/payouts/new", payout_form(visitor, "10,001"))
    finally:
        for fee in ([1], [10**14]):
            operator.execute("SELECT payrail.remove_fee('sandbox', 'RTGS', 'INR', %s)", fee)
    assert "available for ₹10,001.00. Its fee counts, too." in page.text
    assert "RTGS · from ₹2,00,000.00 · fee ₹2.50 + 0.10% or 0.05% NEFT " in page.text


def test_too_little_money_is_said_kindly_and_can_be_tried_again(
    visitor: Visitor, credit: Callable[[Client, int], None]
) -> None:
    form = payout_form(visitor, "10,001", reference="rent")
    page = visitor.post("/payouts/new", form)
    assert page.status == 422
    assert "There is not enough money available for ₹10,001.00." in page.text
    assert "amount-error" in page.values("aria-describedby", "input")
    assert (page.fields["amount"], page.fields["reference"]) == ("10,001", "rent")
    assert page.fields["idempotency_key"] != form["idempotency_key"]
    assert payouts(visitor.client) == []
    credit(visitor.client, 100_000)
    assert visitor.post("/payouts/new", form).status == 422  # this one was answered for good
    again = form | {"idempotency_key": page.fields["idempotency_key"]}
    assert visitor.post("/payouts/new", again).status == 303


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "abc",
        "1.234",
        "-1",
        "1e3",
        "0",
        "0.00",
        "10000000000001",
        "١٢",
        "1,2",
        "1 2",
        "+1",
    ],
)
def test_a_bad_amount_is_refused_next_to_its_field(visitor: Visitor, amount: str) -> None:
    page = visitor.post("/payouts/new", payout_form(visitor, amount, reference="kept"))
    assert page.status == 422
    assert "amount-error" in page.values("id", "p")
    (field,) = [attrs for tag, attrs in page.elements if attrs.get("id") == "amount"]
    assert (field["aria-invalid"], field["aria-describedby"]) == ("true", "amount-error")
    assert (field["value"], page.fields["reference"]) == (amount, "kept")
    assert payouts(visitor.client) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reference", "x" * 256),
        ("reference", "a\x07b"),
        ("narration", "a-b"),
        ("mode", "UPI"),
        ("mode", "RTGS"),
        ("scheduled_at", "2020-01-01T00:00"),
        ("bank_account_id", "nope"),
    ],
)
def test_other_faults_are_refused_next_to_their_field(
    visitor: Visitor, field: str, value: str
) -> None:
    page = visitor.post("/payouts/new", payout_form(visitor) | {field: value})
    assert page.status == 422
    assert f"{field}-error" in page.values("id", "p")
    assert page.fields["amount"] == "60"
    assert payouts(visitor.client) == []


def test_an_archived_bank_account_is_not_offered(visitor: Visitor, operator: Connection) -> None:
    assert "demo-bank-account" in visitor.get("/payouts/new").values("value", "option")
    operator.execute(
        "SELECT payrail.archive_bank_account(%s, 'demo-bank-account')",
        [visitor.client.merchant_id],
    )
    assert "There is no bank account to pay to yet" in visitor.get("/payouts/new").text
    assert "Archived" in visitor.get("/bank-accounts").text


def test_a_pending_payout_can_be_cancelled(visitor: Visitor, pending: str) -> None:
    path = f"/payouts/{pending}/cancel"
    assert path in visitor.get(f"/payouts/{pending}").actions
    for _ in range(2):
        page = visitor.post(path, {"token": visitor.token()})
        assert page.location == f"/payouts/{pending}"
    page = visitor.get(f"/payouts/{pending}")
    assert "₹60.00 Cancelled" in page.text
    assert path not in page.actions
    assert visitor.client.balance() == (1_000_000, 0)


def test_a_payout_that_has_left_can_not_be_cancelled(
    visitor: Visitor, pending: str, claim: Callable[[Client], None]
) -> None:
    claim(visitor.client)
    path = f"/payouts/{pending}/cancel"
    assert path not in visitor.get(f"/payouts/{pending}").actions
    page = visitor.post(path, {"token": visitor.token()})
    assert page.status == 409
    assert "status does not allow this" in page.text
    assert visitor.client.balance() == (994_000, 6000)


def test_another_merchants_payout_is_not_there(pending: str, new_client: NewClient) -> None:
    stranger = signed_in(new_client())
    page = stranger.get(f"/payouts/{pending}")
    assert (page.status, pending in page.html) == (404, False)
    token = {"token": stranger.token()}
    assert stranger.post(f"/payouts/{pending}/cancel", token).status == 404
    assert stranger.get(f"/payouts?q={pending}").payouts == []


def test_another_merchants_payout_can_not_be_cancelled(
    visitor: Visitor, pending: str, new_client: NewClient
) -> None:
    stranger = signed_in(new_client())
    stranger.post(f"/payouts/{pending}/cancel", {"token": stranger.token()})
    assert "Pending" in visitor.get(f"/payouts/{pending}").text
    assert visitor.client.balance() == (994_000, 6000)


def test_who_may_only_read_sees_no_form_and_sends_none(read_only: Visitor, api: Connection) -> None:
    client = read_only.client
    assert client.merchant_id
    for path in PAGES:
        assert "/payouts/new" not in read_only.get(path).values("href")
    payout_id = ask(api, client.merchant_id, "k", 100).payout_id
    for path in ("/", "/payouts", f"/payouts/{payout_id}"):
        page = read_only.get(path)
        assert page.actions == {"/sign-out"}
        assert "/payouts/new" not in page.values("href")
    assert read_only.get("/payouts/new").status == 403
    form = {"token": read_only.token(), "amount": "1", "bank_account_id": "demo-bank-account"}
    form["idempotency_key"] = str(uuid.uuid4())
    assert read_only.post("/payouts/new", form).status == 403
    assert read_only.post(f"/payouts/{payout_id}/cancel", form).status == 403
    assert [payout["status"] for payout in payouts(client)] == ["pending"]


# ------------------------------------------------------------------------------------------ pages


def test_what_people_write_is_shown_as_text(visitor: Visitor, operator: Connection) -> None:
    client = visitor.client
    operator.execute(
        "SELECT payrail.add_bank_account(%s, %s, %s, '501000000001', 'HDFC0000001')",
        [client.merchant_id, "evil", EVIL],
    )
    payout = client.payout(reference=EVIL, metadata={EVIL[:40]: EVIL}, bank_account_id="evil")
    paths = ["/", "/payouts", "/payouts/new", f"/payouts/{payout['id']}", "/bank-accounts"]
    for path in paths:
        page = visitor.get(path)
        assert EVIL in page.text, path
        assert not {"x"} & set(page.values("src")), path
        assert page.values("onerror") == [], path
    assert visitor.get(f"/payouts?{urlencode({'q': EVIL})}").fields["q"] == EVIL
    form = payout_form(visitor, EVIL, reference=EVIL)
    page = visitor.post("/payouts/new", form)
    assert (page.fields["amount"], page.fields["reference"]) == (EVIL, EVIL)
    assert page.values("onerror") == []
    with listening(visitor, f"0-0@{visitor.client.merchant_id}") as stream:
        _, news = next(stream)
    (row,) = news["payouts"]
    assert "<script" not in row["row"]
    assert "<img" not in row["row"]


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/payouts/nope", "one payout", "refused"])
def test_every_page_is_free_of_inline_code(visitor: Visitor, pending: str, path: str) -> None:
    page = (
        visitor.post("/payouts/new", payout_form(visitor, "x"))
        if path == "refused"
        else visitor.get(f"/payouts/{pending}" if path == "one payout" else path)
    )
    policy = page.answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
    assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert not any("unsafe" in part for part in policy)
    names = {tag for tag, _ in page.elements} | {name for _, at in page.elements for name in at}
    assert "style" not in names
    assert not any(name.startswith("on") for name in names)
    assert page.values("src", "script") == ["/static/app.js"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", page.html, re.DOTALL) == [""]
    for address in page.values("href") + page.values("action") + page.values("src"):
        assert re.match(r"/(?!/)|#|$", address), address


@pytest.mark.parametrize(
    "path", ["/nope", "/payouts/nope", f"/payouts/{NOBODY}", "/payouts/%00", "/payouts/a/b"]
)
def test_what_is_not_there_is_a_page(visitor: Visitor, path: str) -> None:
    page = visitor.get(path)
    assert page.status == 404
    assert "There is no" in page.text
    assert page.answer.headers["x-request-id"] in page.text


def test_a_method_that_is_not_there_is_a_page(visitor: Visitor, pending: str) -> None:
    page = visitor.get(f"/payouts/{pending}/cancel")
    assert page.status == 405
    assert page.answer.headers["allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    "path",
    [
        "/payouts?limit=0",
        "/payouts?cursor=x",
        "/payouts?status=x",
        "/ledger?kind=x",
        "/statement",
        "/statement?since=2026-02-30&until=2026-03-01",
        "/statement?since=2026-03-01&until=2026-02-28",
        "/statement?since=2026-03-01&until=2026-03-01&format=pdf",
        "/statement?since=2026-03-01&until=2026-03-01&currency=XXX",
        "/payouts.csv?status=x",
    ],
)
def test_a_bad_query_is_a_page(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status == 422


@pytest.mark.parametrize(
    "body", ["a=1&a=2", "a=%ff", "a=%00", "&".join("abcdefghijklmnopqrstuvwx")]
)
def test_a_bad_form_is_a_page(visitor: Visitor, body: str) -> None:
    assert visitor.post("/payouts/new", f"token={visitor.token()}&{body}").status == 422
    assert visitor.post("/sign-in", body).status == 422


def test_a_form_that_is_too_large_is_a_page(visitor: Visitor) -> None:
    assert visitor.post("/sign-in", {"api_key": "x" * 70_000}).status == 413


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FIELDS = st.sampled_from(["amount", "bank_account_id", "reference", "idempotency_key", "next", "x"])
NAMES = st.sampled_from(["limit", "cursor", "status", "kind", "q", "next", "x"])


@FUZZ
@given(
    path=st.sampled_from([*PAGES, "/sign-in", "/payouts/x"]),
    pairs=st.lists(st.tuples(NAMES, TEXT), max_size=4),
)
def test_any_query(visitor: Visitor, path: str, pairs: list[tuple[str, str]]) -> None:
    assert visitor.get(f"{path}?{urlencode(pairs)}").status < 500


@FUZZ
@given(fields=st.dictionaries(FIELDS, TEXT, max_size=6), raw=st.none() | TEXT)
def test_any_form(visitor: Visitor, fields: dict[str, str], raw: str | None) -> None:
    form = urlencode({"token": visitor.token()} | fields) + (f"&{raw}" if raw else "")
    for path in ("/payouts/new", "/payouts/x/cancel", "/sign-in"):
        assert visitor.post(path, form).status < 500


# ------------------------------------------------------------------------------------------ lists


def walk(visitor: Visitor, path: str) -> list[Page]:
    """Follow the links to the next page."""
    pages = [visitor.get(path)]
    while more := [a["href"] for _, a in pages[-1].elements if a.get("rel") == "next"]:
        pages.append(visitor.get(str(more[0])))
    return pages


def test_pages_hold_every_payout_once(visitor: Visitor) -> None:
    made = [visitor.client.payout(n + 1)["id"] for n in range(7)]
    for limit in (1, 3, 6, 7):
        pages = walk(visitor, f"/payouts?limit={limit}")
        assert len(pages[0].payouts) == limit
        assert [payout for page in pages for payout in page.payouts] == made[::-1]


def test_payouts_by_status(visitor: Visitor, settle: Callable[[Client, str], None]) -> None:
    paid = visitor.client.payout(100)["id"]
    settle(visitor.client, paid)
    waiting = [visitor.client.payout(100)["id"] for _ in range(3)]
    assert visitor.get("/payouts?status=settled").payouts == [paid]
    assert visitor.get("/payouts?status=pending").payouts == waiting[::-1]
    both = visitor.get("/payouts?status=pending&status=settled")
    assert both.payouts == [*waiting[::-1], paid]
    checked = [attrs.get("value") for _, attrs in both.elements if "checked" in attrs]
    assert checked == ["pending", "settled"]
    assert "No payout matches" in visitor.get("/payouts?status=failed").text


def test_payouts_by_what_is_typed(visitor: Visitor, settle: Callable[[Client, str], None]) -> None:
    paid = visitor.client.payout(100, reference="a&b=c")["id"]
    settle(visitor.client, paid)
    other = visitor.client.payout(100, reference="r-2")["id"]
    for typed in ("a&b=c", " a&b=c ", "UTR1"):
        assert visitor.get(f"/payouts?{urlencode({'q': typed})}").payouts == [paid]
    for typed in (other, other.upper(), f" {other} "):
        page = visitor.get(f"/payouts?{urlencode({'q': typed})}")
        assert page.location == f"/payouts/{other}"
    for typed in (NOBODY, "r-3", "r-", "%"):
        assert "No payout matches" in visitor.get(f"/payouts?{urlencode({'q': typed})}").text


def test_the_next_page_keeps_the_filters(visitor: Visitor) -> None:
    for reference in ("a&b=c", "other", "a&b=c"):
        visitor.client.payout(reference=reference)
    query = urlencode({"limit": 1, "q": "a&b=c", "status": "pending"})
    pages = walk(visitor, f"/payouts?{query}")
    assert [len(page.payouts) for page in pages] == [1, 1]
    assert pages[1].fields["q"] == "a&b=c"


def test_pages_hold_every_ledger_entry_once(
    visitor: Visitor, settle: Callable[[Client, str], None]
) -> None:
    settle(visitor.client, visitor.client.payout(4000)["id"])
    page = visitor.get("/ledger")
    cells = re.findall(r"(Paid out|Held for a payout|Money in) ₹([\d,.]+)", page.text)
    assert cells == [
        ("Paid out", "40.00"),
        ("Held for a payout", "40.00"),
        ("Money in", "10,000.00"),
    ]
    filtered = visitor.get("/ledger?kind=hold&kind=credit")
    assert "₹9,960.00" in filtered.text  # available after the hold
    rows = [attrs for tag, attrs in filtered.elements if tag == "tr"]
    assert len(rows) == 1 + 2


def test_the_overview_shows_what_there_is(
    visitor: Visitor,
    settle: Callable[[Client, str], None],
    fail: Callable[[Client, str], None],
) -> None:
    settle(visitor.client, visitor.client.payout(4000)["id"])
    fail(visitor.client, visitor.client.payout(3000)["id"])
    visitor.client.payout(2000)
    text = visitor.get("/").text
    assert "Available ₹9,940.00" in text
    assert "Held for payouts ₹20.00" in text
    assert "Success rate, 14 days 50.0%" in text


def test_what_a_merchant_cancels_is_no_failure(
    visitor: Visitor, settle: Callable[[Client, str], None]
) -> None:
    settle(visitor.client, visitor.client.payout(4000)["id"])
    cancelled = visitor.client.payout(3000)["id"]
    visitor.client.post(f"/payouts/{cancelled}/cancel/", {})
    assert "Success rate, 14 days 100%" in visitor.get("/").text


def test_an_overview_without_payouts_draws_none(visitor: Visitor) -> None:
    assert "No payouts in these days." in visitor.get("/").text


def test_a_page_that_refuses_keeps_the_navigation_and_says_what_is_wrong(visitor: Visitor) -> None:
    page = visitor.get("/payouts?limit=x&status=y")
    assert page.status == 422
    assert "/ledger" in page.values("href", "a")
    assert "limit : Expected" in page.text
    assert "status : Invalid" in page.text
    page = visitor.get("/payouts/nope")
    assert page.text.count("There is no such payout") == 2  # its title and its heading
    assert "/sign-out" in page.actions


@pytest.mark.parametrize("path", ["/", "/payouts", "/ledger", "/bank-accounts"])
def test_what_others_add_to_an_address_is_passed_over(visitor: Visitor, path: str) -> None:
    assert visitor.get(f"{path}?utm_source=a&utm_source=b").status == 200


def test_a_form_that_was_sent_with_something_else_in_it_says_so(visitor: Visitor) -> None:
    form = payout_form(visitor)
    visitor.post("/payouts/new", form)
    page = visitor.post("/payouts/new", form | {"amount": "61"})
    assert page.status == 422
    assert "This form has been sent before, and something else was in it." in page.text
    assert page.text.startswith("Error: New payout")


def test_payouts_of_some_days(visitor: Visitor) -> None:
    payout_id = visitor.client.payout(100)["id"]
    today = datetime.now(UTC).date()
    before, after = today - timedelta(days=1), today + timedelta(days=1)
    for since, until, found in (
        (before, after, [payout_id]),
        (before, "", [payout_id]),
        ("", after, [payout_id]),
        (before - timedelta(days=1), before, []),
        (after, "", []),
    ):
        path = f"/payouts?{urlencode({'since': since, 'until': until, 'q': ''})}"
        assert visitor.get(path).payouts == found
    page = visitor.get("/payouts?since=2026-02-30")
    assert page.status == 422
    assert "There is no day 2026-02-30." in page.text


def test_whoever_signs_in_again_comes_back_to_the_same_search(visitor: Visitor) -> None:
    nobody = replace(visitor, cookie=None)
    location = nobody.get("/payouts?status=settled&q=a%26b").location
    form = nobody.get(location).fields
    assert visitor.sign_in(visitor.client.key, form["next"]).location == (
        "/payouts?status=settled&q=a%26b"
    )


def test_all_bank_accounts_can_be_paid_to(visitor: Visitor, operator: Connection) -> None:
    for number in range(120):
        operator.execute(
            "SELECT payrail.add_bank_account(%s, %s, 'Asha Rao', '000000000001', 'HDFC0000001')",
            [visitor.client.merchant_id, f"zz-{number:03}"],
        )
    operator.execute(
        "SELECT payrail.archive_bank_account(%s, 'zz-003')", [visitor.client.merchant_id]
    )
    offered = visitor.get("/payouts/new").values("value", "option")
    expected = {f"zz-{number:03}" for number in range(120)} - {"zz-003"}
    assert {*offered} >= expected
    assert "zz-003" not in offered


def test_a_failed_payout_says_why(visitor: Visitor, fail: Callable[[Client, str], None]) -> None:
    payout_id = visitor.client.payout(3000)["id"]
    fail(visitor.client, payout_id)
    details = visitor.client.get(f"/payouts/{payout_id}/").json["status_details"]
    text = visitor.get(f"/payouts/{payout_id}").text
    said = f"{details['description'].rstrip('.')}. {details['next_step']}"
    assert said in text
    assert "Requested" in text
    assert "Sent to the bank" in text
    assert "Held for a payout ₹30.00" in text
    assert "Released ₹30.00" in text


# ------------------------------------------------------------------------------------------- live


@contextmanager
def opened(
    visitor: Visitor, since: str, last: str | None = None, at: Web | None = None
) -> Iterator[HTTPResponse]:
    """Open the stream of a page."""
    port = at.port if at else visitor.client.port
    headers = {"Cookie": f"__Host-payrail={visitor.cookie}"}
    if last is not None:
        headers["Last-Event-ID"] = last
    with closing(HTTPConnection(visitor.client.host, port, timeout=60)) as connection:
        connection.request("GET", f"/live?{urlencode({'since': since})}", headers=headers)
        with connection.getresponse() as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield response


@contextmanager
def listening(
    visitor: Visitor, since: str, last: str | None = None
) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """Open the stream of a page and read its events, as (id, data)."""
    with opened(visitor, since, last) as response:
        yield events(response)


def events(response: HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    seen = ""
    while line := response.readline():
        if line.startswith(b"id: "):
            seen = line[4:].decode().strip()
        if line.startswith(b"data: "):
            yield seen, json.loads(line[6:])


def since(visitor: Visitor) -> str:
    """Return how far a page is that is opened now."""
    (value,) = visitor.get("/").values("data-since")
    return value


def test_a_page_hears_what_happened_since_it_was_rendered(visitor: Visitor) -> None:
    rendered = since(visitor)
    made = [visitor.client.payout(100)["id"] for _ in range(3)]
    with listening(visitor, rendered) as stream:
        seen, news = next(stream)
    assert [payout["id"] for payout in news["payouts"]] == made
    assert news["balances"] == {"INR": {"available": "₹9,997.00", "held": "₹3.00"}}
    assert not news["more"]
    assert seen == since(visitor)


def test_a_page_hears_what_happens(
    visitor: Visitor, credit: Callable[[Client, int], None], settle: Callable[[Client, str], None]
) -> None:
    with listening(visitor, since(visitor)) as stream:
        credit(visitor.client, 500)
        assert next(stream)[1]["balances"]["INR"]["available"] == "₹10,005.00"
        payout_id = visitor.client.payout(100)["id"]
        _, news = next(stream)
        assert [payout["id"] for payout in news["payouts"]] == [payout_id]
        assert "Pending" in news["payouts"][0]["row"]
        settle(visitor.client, payout_id)
        while "Settled" not in (row := next(stream)[1]["payouts"][0]["row"]):
            assert "Processing" in row
        assert "UTR1" in row


def test_a_page_that_comes_back_hears_what_it_missed(visitor: Visitor) -> None:
    rendered = since(visitor)
    first = visitor.client.payout(100)["id"]
    with listening(visitor, rendered) as stream:
        seen, news = next(stream)
    assert [payout["id"] for payout in news["payouts"]] == [first]
    second = visitor.client.payout(100)["id"]
    with listening(visitor, rendered, last=seen) as stream:
        _, news = next(stream)
    assert [payout["id"] for payout in news["payouts"]] == [second]


def test_all_pages_of_a_merchant_hear_it_and_no_other_merchants(
    visitor: Visitor, new_client: NewClient
) -> None:
    stranger = signed_in(new_client(balance=700))
    with (
        listening(visitor, since(visitor)) as one,
        listening(signed_in(visitor.client), since(visitor)) as two,
        listening(stranger, since(stranger)) as other,
    ):
        mine = visitor.client.payout(100)["id"]
        theirs = stranger.client.payout(100)["id"]
        for stream, payout_id in ((one, mine), (two, mine), (other, theirs)):
            assert [payout["id"] for payout in next(stream)[1]["payouts"]] == [payout_id]


@pytest.mark.parametrize(
    "value",
    ["", "x", "1", "-", "1-", "-1", "1-x", "1-1-1", "²-1", "9" * 20 + "-0", "0-" + "9" * 20],
)
def test_a_stream_since_nonsense_is_refused(visitor: Visitor, value: str) -> None:
    at = f"@{visitor.client.merchant_id}"
    assert visitor.get(f"/live?{urlencode({'since': value + at})}").status == 422
    assert visitor.get(f"/live?{urlencode({'since': value})}").status == 422


def test_a_page_of_another_merchant_hears_nothing(visitor: Visitor, new_client: NewClient) -> None:
    """Somebody else has signed in meanwhile, in another tab."""
    theirs = since(signed_in(new_client(balance=700)))
    assert visitor.get(f"/live?{urlencode({'since': theirs})}").status == 403


@pytest.mark.parametrize("way", ["signed out", "key revoked"])
def test_a_stream_ends_with_its_session(
    visitor: Visitor, operator: Connection, credit: Callable[[Client, int], None], way: str
) -> None:
    with listening(visitor, since(visitor)) as stream:
        if way == "signed out":
            visitor.post("/sign-out", {"token": visitor.token()})
        else:
            operator.execute(
                "SELECT payrail.revoke_api_key(merchant_id, api_key_id) FROM payrail.api_keys"
                " WHERE merchant_id = %s",
                [visitor.client.merchant_id],
            )
        credit(visitor.client, 100)
        for _ in stream:  # what follows at once may still be told
            credit(visitor.client, 100)


def test_a_server_that_stops_ends_the_streams(
    visitor: Visitor, database: Database, tmp_path: Path
) -> None:
    """The stream ends in good order: nobody had to be cut off."""
    with ExitStack() as page:
        with serving(database.conninfo("admin"), tmp_path, "//readyz") as own:
            stream = page.enter_context(opened(visitor, since(visitor), at=own))
            assert stream.readline() == b"retry: 1000\n"
        assert stream.read() == b"\n"
