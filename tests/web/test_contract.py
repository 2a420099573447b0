"""The contract, line by line, over a real server and database."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from psycopg.sql import SQL, Identifier

from pyapp.web import types
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient

BODY = {"amount_paise": 6000, "bank_account_id": "demo-bank-account"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_me(client: Client) -> None:
    me = client.get("/me/")
    assert me.status == 200
    decoded = fits(me.body, types.Me)
    assert decoded.id == client.merchant_id
    assert (decoded.available_paise, decoded.held_paise) == (1_000_000, 0)
    assert decoded.balances == [types.Balance(currency="INR", available=1_000_000, held=0)]


def test_create_a_payout(client: Client) -> None:
    answer = client.create({**BODY, "reference": "invoice-17", "metadata": {"order": "17"}})
    assert answer.status == 201
    payout = fits(answer.body, types.Payout)
    assert answer.headers["location"] == f"/api/v1/payouts/{payout.id}/"
    assert "idempotent-replayed" not in answer.headers
    assert (payout.status, payout.amount, payout.currency) == ("pending", 6000, "INR")
    assert (payout.amount_paise, payout.reference) == (6000, "invoice-17")
    assert payout.metadata == {"order": "17"}
    assert client.balance() == (994_000, 6000)
    detail = client("GET", f"//{answer.headers['location']}"[1:])
    assert detail.status == 200
    history = fits(detail.body, types.PayoutDetail).history
    assert [(change.seq, change.from_, change.to) for change in history] == [(1, None, "pending")]
    assert client.key
    assert history[0].actor == f"payrail_api:{client.key[:12]}"


def test_both_forms_of_the_amount(client: Client) -> None:
    general = {"amount": 6000, "currency": "INR", "bank_account_id": "demo-bank-account"}
    first = client.create(general, "one-key")
    assert first.status == 201
    replay = client.create(BODY, "one-key")
    assert (replay.status, replay.body) == (201, first.body)


@pytest.mark.parametrize(
    "amounts",
    [
        {},
        {"amount": 1},
        {"currency": "INR"},
        {"amount_paise": 1, "amount": 1},
        {"amount_paise": 1, "currency": "INR"},
        {"amount_paise": 1, "amount": 1, "currency": "INR"},
    ],
)
def test_exactly_one_form_of_the_amount(client: Client, amounts: dict[str, Any]) -> None:
    answer = client.create({"bank_account_id": "demo-bank-account", **amounts})
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["pointer"] == "/amount_paise"


def test_an_amount_of_more_than_there_is(client: Client) -> None:
    answer = client.create({**BODY, "amount_paise": 1_000_001}, "too-much")
    assert (answer.status, answer.code) == (422, "insufficient_funds")
    assert client.balance() == (1_000_000, 0)


def test_an_unknown_bank_account(client: Client) -> None:
    answer = client.create({**BODY, "bank_account_id": "nobody's"})
    assert (answer.status, answer.code) == (422, "bank_account_not_found")


def test_an_unknown_currency(client: Client) -> None:
    answer = client.create({"amount": 1, "currency": "XXX", "bank_account_id": "a"})
    assert (answer.status, answer.code) == (422, "currency_unknown")
    assert answer.json["errors"][0]["pointer"] == "/currency"


def test_cancel(client: Client) -> None:
    payout = client.payout(6000)
    cancelled = client("POST", f"/payouts/{payout['id']}/cancel/")
    assert cancelled.status == 200
    assert fits(cancelled.body, types.Payout).status == "cancelled"
    assert client.balance() == (1_000_000, 0)
    again = client.post(f"/payouts/{payout['id']}/cancel/", {"reason": "ordered twice"})
    assert again.json["status"] == "cancelled"
    assert client.balance() == (1_000_000, 0)


def test_cancel_with_a_reason(client: Client) -> None:
    payout = client.payout(6000)
    client.post(f"/payouts/{payout['id']}/cancel", {"reason": "ordered twice"})
    history = client.get(f"/payouts/{payout['id']}").json["history"]
    assert [change["to"] for change in history] == ["pending", "cancelled"]
    assert history[1]["reason"] == "ordered twice"


def test_an_illegal_transition_names_the_current_status(
    client: Client, settle: Callable[[Client, str], None]
) -> None:
    payout = client.payout(6000)
    settle(client, payout["id"])
    answer = client("POST", f"/payouts/{payout['id']}/cancel/")
    assert (answer.status, answer.code) == (409, "illegal_transition")
    assert "settled" in answer.json["detail"]
    assert client.balance() == (994_000, 0)
    detail = fits(client.get(f"/payouts/{payout['id']}/").body, types.PayoutDetail)
    assert (detail.status, detail.utr) == ("settled", "UTR1")
    assert detail.settled_at


def test_a_failed_payout_says_why(client: Client, fail: Callable[[Client, str], None]) -> None:
    payout = client.payout(6000)
    fail(client, payout["id"])
    detail = fits(client.get(f"/payouts/{payout['id']}/").body, types.PayoutDetail)
    assert detail.status == "failed"
    assert detail.status_details
    assert detail.status_details.code == "account_closed"
    assert detail.status_details.fault == "beneficiary"
    assert client.balance() == (1_000_000, 0)


def test_the_ledger(client: Client) -> None:
    payout = client.payout(6000)
    client("POST", f"/payouts/{payout['id']}/cancel/")
    page = client.get("/ledger/")
    entries = fits(page.body, types.Listing[types.LedgerEntry]).data
    assert [entry.kind for entry in entries] == ["release", "hold", "credit"]
    assert [entry.seq for entry in entries] == [3, 2, 1]
    assert [entry.available for entry in entries] == [1_000_000, 994_000, 1_000_000]
    of_payout = client.get(f"/ledger/?payout_id={payout['id']}&kind=hold").json["data"]
    assert [entry["seq"] for entry in of_payout] == [2]


def test_bank_accounts(client: Client) -> None:
    accounts = fits(client.get("/bank_accounts/").body, types.Listing[types.BankAccount]).data
    assert [account.id for account in accounts] == ["demo-bank-account"]
    assert not re.search(r"\d{5}", accounts[0].account_number)
    one = client.get("/bank_accounts/demo-bank-account/")
    assert fits(one.body, types.BankAccount) == accounts[0]
    for unknown in ("nobody", "%00", "%F0%9F", "x" * 300):
        answer = client.get(f"/bank_accounts/{unknown}/")
        assert (answer.status, answer.code) == (404, "bank_account_not_found")


@pytest.mark.parametrize(
    "payout_id",
    [str(uuid.UUID(int=7)), "1", "demo", "%00", "..", "0" * 32, "{" + "0" * 34 + "}", "%C3%A9"],
)
def test_unknown_payouts(client: Client, payout_id: str) -> None:
    for method, path in (("GET", "/"), ("POST", "/cancel/")):
        answer = client(method, f"/payouts/{payout_id}{path}")
        assert (answer.status, answer.code) == (404, "payout_not_found")


def test_another_merchants_things_are_not_there(client: Client, new_client: NewClient) -> None:
    payout = client.payout(reference="mine")
    other = new_client()
    assert other.get(f"/payouts/{payout['id']}/").code == "payout_not_found"
    assert other("POST", f"/payouts/{payout['id']}/cancel/").code == "payout_not_found"
    assert other.get("/payouts/").json["data"] == []
    assert other.get("/payouts/?reference=mine").json["data"] == []
    assert len(other.get("/ledger/").json["data"]) == 1
    assert client.get(f"/payouts/{payout['id']}/").json["status"] == "pending"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Api-Key",
        "Api-Key ",
        "Api-Key nobody",
        "Bearer {key}",
        "Basic {key}",
        "{key}",
        "Api-Key {key} {key}",
        "Api-Key {key}x",
        "Api-Key {key}\xa0",
        "Api-Key \x85{key}",
        "Api-Key é",
        "Api-Key " + "x" * 4000,
    ],
)
@pytest.mark.parametrize(
    "path", ["/me/", "/payouts/", "/ledger/", "/bank_accounts/", "/payouts/1/"]
)
def test_no_key_no_answer(client: Client, header: str | None, path: str) -> None:
    stranger = Client(client.host, client.port)
    given = [] if header is None else [("Authorization", header.format(key=client.key))]
    answer = stranger("GET", path, headers=given)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Api-Key realm="payrail"'
    stranger.close()


def test_two_authorizations_are_none(client: Client) -> None:
    both = [("Authorization", f"Api-Key {client.key}")] * 2
    assert client("GET", "/me/", headers=both).status == 401


def test_the_scheme_is_not_case_sensitive(client: Client) -> None:
    header = ("Authorization", f"api-KEY  {client.key}")
    assert client("GET", "/me/", headers=[header]).status == 200


def test_scopes(new_client: NewClient) -> None:
    reader = new_client(scopes=["read"])
    assert reader.get("/me/").status == 200
    for answer in (reader.create(BODY), reader("POST", f"/payouts/{uuid.uuid4()}/cancel/")):
        assert (answer.status, answer.code) == (403, "forbidden")
        assert "payouts:create" in answer.json["detail"]
    creator = new_client(scopes=["payouts:create"])
    assert creator.create(BODY).status == 201
    refused = creator.get("/me/")
    assert (refused.status, refused.code) == (403, "forbidden")
    assert "read" in refused.json["detail"]


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_a_key_that_has_ended(client: Client, admin: Connection, column: str) -> None:
    assert client.get("/me/").status == 200
    admin.execute(
        SQL("UPDATE merchant.api_keys SET {} = now() WHERE merchant_id = %s").format(
            Identifier(column)
        ),
        [client.merchant_id],
    )
    assert client.get("/me/").code == "unauthorized"


def fits(body: bytes, kind: Any) -> Any:
    """Decode a response strictly, and hold that no field is missing or undocumented."""
    decoded = msgspec.json.decode(body, type=kind, strict=True)
    plain = msgspec.to_builtins(decoded)
    assert _shape(plain) == _shape(msgspec.json.decode(body))
    return decoded


def _shape(value: Any) -> Any:
    """Reduce a document to its keys; times to whether they are written as promised."""
    match value:
        case dict():
            return {key: _shape(item) for key, item in sorted(value.items())}
        case list():
            return [_shape(item) for item in value]
    return type(value)


@pytest.mark.parametrize("offset", ["+23:59", "-23:59", "+16:00", "+05:30", "Z"])
def test_a_time_may_have_any_offset(client: Client, offset: str) -> None:
    """PostgreSQL knows fewer of them than RFC 3339 has."""
    at = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0, tzinfo=None)
    payout = client.payout(scheduled_at=f"{at.isoformat()}{offset}")
    given = datetime.fromisoformat(f"{at.isoformat()}{offset}")
    assert datetime.fromisoformat(payout["scheduled_at"]) == given


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_there_is_not_in_utc_is_no_time(client: Client, at: str) -> None:
    body = {"amount_paise": 100, "bank_account_id": "demo-bank-account", "scheduled_at": at}
    answer = client.create(body)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/scheduled_at")
