"""Bank accounts over HTTP and in the dashboard: what is wrong is named, and nothing shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.web import types
from tests.web.client import Client
from tests.web.conftest import NewClient
from tests.web.test_contract import fits
from tests.web.test_dashboard import signed_in
from tests.web.test_fuzz import FUZZ
from tests.web.visitor import Visitor

IBAN = "DE89370400440532013000"
NUMBER = {"account_number": "501002340001", "ifsc": "HDFC0000001"}
WAYS: list[dict[str, str]] = [NUMBER, {"vpa": "asha.rao@okbank"}, {"iban": IBAN}]
MASKS = ["XXXXXXXX0001", "XXXXXXao@okbank", "DEXXXXXXXXXXXXXXXX3000"]
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"id": "a/b"}, "/id"),
    ({"id": "new"}, "/account_number"),
    ({"holder_name": "a\tb"}, "/holder_name"),
    ({"account_number": "1234", "ifsc": "HDFC0000001"}, "/account_number"),
    ({"account_number": "12345"}, "/ifsc"),
    ({"account_number": "12345", "ifsc": "hdfc0000001"}, "/ifsc"),
    ({"vpa": "asha"}, "/vpa"),
    ({"vpa": "asha@bank", "iban": IBAN}, "/account_number"),
    ({"iban": "DE88370400440532013000"}, "/iban"),
    ({"iban": "DE8937040044053201300"}, "/iban"),
    ({"iban": "XX89370400440532013000"}, "/iban"),
    ({"iban": "NO938601111794"}, "/iban"),
    ({"vpa": "asha@bank", "rail": "swift"}, "/rail"),
    ({"vpa": "asha@bank", "rail": "sand\x00box"}, "/rail"),
]


@pytest.fixture
def client(new_client: NewClient) -> Client:
    return new_client(scopes=["read", "payouts:create", "bank_accounts:write"])


@pytest.fixture
def visitor(client: Client) -> Visitor:
    return signed_in(client)


def add(client: Client, **given: Any) -> Any:
    return client.post("/bank_accounts/", {"id": "asha", "holder_name": "Asha Rao", **given})


@pytest.mark.parametrize(("way", "mask"), [*zip(WAYS, MASKS, strict=True)])
def test_an_account_is_added_and_paid(client: Client, way: dict[str, str], mask: str) -> None:
    answer = add(client, **way)
    assert answer.status == 201
    account = fits(answer.body, types.BankAccount)
    assert getattr(account, account.kind) == mask
    assert answer.headers["location"] == "/api/v1/bank_accounts/asha/"
    assert client.get("/bank_accounts/asha/").body == answer.body
    assert client.create({"amount_paise": 100, "bank_account_id": "asha"}).status == 201
    assert add(client, **way).body == answer.body


def test_an_id_is_not_given_to_another_account(client: Client) -> None:
    add(client, vpa="asha@bank")
    answer = add(client, iban=IBAN)
    assert (answer.status, answer.code) == (409, "bank_account_exists")


@pytest.mark.parametrize(("given", "pointer"), FAULTS, ids=str)
def test_the_field_that_is_wrong_is_named(
    client: Client, given: dict[str, Any], pointer: str
) -> None:
    answer = add(client, **given)
    assert answer.status in {400, 422}
    if answer.code != "malformed_json":
        assert answer.code == "bank_account_invalid"
        assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert len(client.get("/bank_accounts/").json["data"]) == 1


def test_an_iban_is_checked_by_the_rules_of_its_country(client: Client) -> None:
    said = {
        iban: add(client, iban=iban).json["errors"][0]["detail"]
        for iban in ("DE88370400440532013000", "DE8937040044053201300", "XX89370400440532013000")
    }
    assert [text.partition(" ")[0] for text in said.values()] == ["Its", "It", "It"]
    assert len({*said.values()}) == 3
    assert not any(iban in text for iban, text in said.items())


def test_an_account_is_archived_for_good(client: Client) -> None:
    add(client, vpa="asha@bank")
    for _ in range(2):
        answer = client("POST", "/bank_accounts/asha/archive/")
        assert answer.status == 200
        assert fits(answer.body, types.BankAccount).archived_at
    refused = client.create({"amount_paise": 100, "bank_account_id": "asha"})
    assert (refused.status, refused.code) == (422, "bank_account_not_found")
    for unknown in ("nobody", "%00", "x" * 300):
        answer = client("POST", f"/bank_accounts/{unknown}/archive/")
        assert (answer.status, answer.code) == (404, "bank_account_not_found")


def test_another_merchants_account_is_not_there(client: Client, new_client: NewClient) -> None:
    add(client, vpa="asha@bank")
    other = new_client(scopes=["read", "bank_accounts:write"])
    assert other("POST", "/bank_accounts/asha/archive/").code == "bank_account_not_found"
    assert other.get("/bank_accounts/asha/").code == "bank_account_not_found"
    assert add(other, iban=IBAN).status == 201
    assert client.get("/bank_accounts/asha/").json["archived_at"] is None


def test_adding_and_archiving_take_a_scope_of_their_own(new_client: NewClient) -> None:
    reader = new_client(scopes=["read", "payouts:create"])
    for answer in (
        add(reader, vpa="asha@bank"),
        reader("POST", "/bank_accounts/demo-bank-account/archive/"),
    ):
        assert (answer.status, answer.code) == (403, "forbidden")
        assert "bank_accounts:write" in answer.json["detail"]
    visitor = signed_in(reader)
    page = visitor.get("/bank-accounts")
    assert page.actions == {"/sign-out"}
    assert "/bank-accounts/new" not in page.values("href")
    assert visitor.get("/bank-accounts/new").status == 403
    form = {"token": visitor.token(), "bank_account_id": "x", "kind": "vpa", "vpa": "a@b"}
    assert visitor.post("/bank-accounts/new", form | {"holder_name": "A"}).status == 403
    assert visitor.post("/bank-accounts/demo-bank-account/archive", form).status == 403
    accounts = reader.get("/bank_accounts/").json["data"]
    assert [(one["id"], one["archived_at"]) for one in accounts] == [("demo-bank-account", None)]


def test_a_payout_says_by_which_mode_it_goes(client: Client) -> None:
    body = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}
    chosen = fits(client.create(body).body, types.Payout)
    assert (chosen.mode, bool(chosen.mode_reason)) == ("IMPS", True)
    assert client.create({**body, "mode": "NEFT"}).json["mode"] == "NEFT"
    assert client.create({**body, "mode": "auto"}).json["mode"] == "IMPS"
    for wrong in ("UPI", "neft", "", 7):
        answer = client.create({**body, "mode": wrong})
        assert (answer.status, answer.code) == (422, "mode_unavailable")
        assert [error["pointer"] for error in answer.json["errors"]] == ["/mode"]
    assert client.balance() == (999_700, 300)
    payout_id = client.create({**body, "mode": "NEFT"}, "shown").json["id"]
    assert "NEFT · asked for" in signed_in(client).get(f"/payouts/{payout_id}").text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [IBAN, "asha@bank", "HDFC0000001", "12345678", "sandbox"]
)
FIELDS = st.sampled_from(["account_number", "ifsc", "vpa", "iban", "rail", "id", "x"])


@FUZZ
@given(fields=st.dictionaries(FIELDS, TEXT | st.none() | st.integers(), max_size=4))
def test_any_account(client: Client, fields: dict[str, Any]) -> None:
    answer = add(client, **fields)
    assert answer.status in {201, 400, 409, 422}


# ------------------------------------------------------------------------------------ the dashboard


def form(visitor: Visitor, kind: str, **fields: str) -> dict[str, str]:
    """Return the form as it is filled in."""
    empty = visitor.get("/bank-accounts/new").fields
    return {**empty, "bank_account_id": "asha", "holder_name": "Asha Rao", "kind": kind, **fields}


@pytest.mark.parametrize(("way", "mask"), [*zip(WAYS, MASKS, strict=True)])
def test_the_form_adds_an_account(visitor: Visitor, way: dict[str, str], mask: str) -> None:
    kind = next(iter(way))
    assert visitor.post("/bank-accounts/new", form(visitor, kind, **way)).location == (
        "/bank-accounts"
    )
    page = visitor.get("/bank-accounts")
    assert mask in page.text
    assert way[kind] not in page.html
    assert mask in visitor.get("/payouts/new").text


def test_the_form_is_lenient_with_letters(visitor: Visitor) -> None:
    fields = {"account_number": "501002340001", "ifsc": "hdfc0000001"}
    visitor.post("/bank-accounts/new", form(visitor, "account_number", **fields))
    assert visitor.client.get("/bank_accounts/asha/").json["ifsc"] == "HDFC0000001"


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("vpa", {}, "vpa"),
        ("iban", {}, "iban"),
        ("iban", {"vpa": "asha@bank"}, "iban"),
        ("iban", {"iban": "DE88370400440532013000"}, "iban"),
        ("account_number", {}, "account_number"),
        ("account_number", {"account_number": "12345"}, "ifsc"),
        ("account_number", {"account_number": "12 345", "ifsc": "HDFC0000001"}, "account_number"),
        ("vpa", {"vpa": "asha"}, "vpa"),
        ("vpa", {"vpa": "asha@bank", "holder_name": ""}, "holder_name"),
        ("vpa", {"vpa": "asha@bank", "bank_account_id": "a b"}, "bank_account_id"),
        ("vpa", {"vpa": "asha@bank", "bank_account_id": "demo-bank-account"}, "bank_account_id"),
        ("cheque", {"vpa": "asha@bank"}, "account_number"),
    ],
)
def test_the_form_says_at_the_field_what_is_wrong(
    visitor: Visitor, kind: str, fields: dict[str, str], field: str
) -> None:
    page = visitor.post("/bank-accounts/new", form(visitor, kind, **fields))
    assert page.status == 422
    assert [name for name in page.values("id") if name.endswith("-error")] == [f"{field}-error"]
    assert page.values("aria-invalid", "input") == ["true"]
    for name, value in fields.items():
        assert page.fields[name] == value
    assert len(visitor.client.get("/bank_accounts/").json["data"]) == 1


def test_the_page_archives(visitor: Visitor) -> None:
    visitor.post("/bank-accounts/new", form(visitor, "vpa", vpa="asha@bank"))
    page = visitor.get("/bank-accounts")
    assert "/bank-accounts/asha/archive" in page.actions
    token = {"token": visitor.token()}
    assert visitor.post("/bank-accounts/asha/archive", token).location == "/bank-accounts"
    page = visitor.get("/bank-accounts")
    assert "/bank-accounts/asha/archive" not in page.actions
    assert "Archived" in page.text
    for unknown in ("nobody", "%00"):
        assert visitor.post(f"/bank-accounts/{unknown}/archive", token).status == 404
    assert visitor.post("/bank-accounts/demo-bank-account/archive", {}).status == 403


@FUZZ
@given(
    fields=st.dictionaries(
        st.sampled_from(["kind", "account_number", "ifsc", "vpa", "iban", "holder_name", "x"]),
        TEXT | st.sampled_from(["account_number", "vpa", "iban"]),
        max_size=6,
    )
)
def test_any_account_form(visitor: Visitor, fields: dict[str, str]) -> None:
    given = {"token": visitor.token(), "bank_account_id": "fuzzed"} | fields
    assert visitor.post("/bank-accounts/new", given).status in {303, 422}
