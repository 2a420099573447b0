"""Bad requests: each is refused with the right code, names the field, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.client import Client
from tests.web.test_decode import MALFORMED

GOOD = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}

BAD_AMOUNTS: list[Any] = [
    *(0, -1, 10**15 + 1, 10**18, 2**63, 10**40, 1.0, 1.5, 1e3),
    *(True, False, None, "100", "", [], [100], {}),
]
BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"bank_account_id": None}, "/bank_account_id", "bank_account_invalid"),
    ({"bank_account_id": ""}, "/bank_account_id", "bank_account_invalid"),
    ({"bank_account_id": 1}, "/bank_account_id", "bank_account_invalid"),
    ({"bank_account_id": "x" * 256}, "/bank_account_id", "bank_account_invalid"),
    ({"bank_account_id": "a\nb"}, "/bank_account_id", "bank_account_invalid"),
    ({"reference": ""}, "/reference", "reference_invalid"),
    ({"reference": 17}, "/reference", "reference_invalid"),
    ({"reference": "x" * 256}, "/reference", "reference_invalid"),
    ({"reference": "a\x1bb"}, "/reference", "reference_invalid"),
    ({"reference": "line\n"}, "/reference", "reference_invalid"),
    ({"metadata": []}, "/metadata", "metadata_invalid"),
    ({"metadata": "x"}, "/metadata", "metadata_invalid"),
    ({"metadata": {"a": 1}}, "/metadata/a", "metadata_invalid"),
    ({"metadata": {"a": None}}, "/metadata/a", "metadata_invalid"),
    ({"metadata": {"a/b~c": {}}}, "/metadata/a~1b~0c", "metadata_invalid"),
    ({"metadata": {"a": "x" * 501}}, "/metadata/a", "metadata_invalid"),
    ({"metadata": {"": "x"}}, "/metadata/", "metadata_invalid"),
    ({"metadata": {"k" * 41: "x"}}, f"/metadata/{'k' * 41}", "metadata_invalid"),
    ({"metadata": {str(n): "x" for n in range(21)}}, "/metadata", "metadata_invalid"),
]


@pytest.fixture(autouse=True)
def _nothing_changed(client: Client) -> Any:
    yield
    assert client.balance() == (1_000_000, 0)
    assert client.get("/payouts/").json["data"] == []


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=repr)
@pytest.mark.parametrize("form", ["amount_paise", "amount"])
def test_bad_amounts(client: Client, form: str, amount: Any) -> None:
    currency = {"currency": "INR"} if form == "amount" else {}
    answer = client.create({"bank_account_id": "demo-bank-account", form: amount, **currency})
    assert (answer.status, answer.code) == (422, "amount_invalid")
    assert answer.json["errors"][0]["pointer"] == f"/{form}"


@pytest.mark.parametrize("literal", ["1E2", "100.0", "1e-2", "-0", "1e400"])
def test_numbers_that_are_not_integers(client: Client, literal: str) -> None:
    answer = client.create(f'{{"amount_paise":{literal},"bank_account_id":"demo-bank-account"}}')
    assert (answer.status, answer.code) == (422, "amount_invalid")


@pytest.mark.parametrize(("change", "pointer", "code"), BAD_FIELDS)
def test_bad_fields(client: Client, change: dict[str, Any], pointer: str, code: str) -> None:
    answer = client.create({**GOOD, **change})
    assert (answer.status, answer.code) == (422, code)
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_all_that_is_wrong_is_told_at_once(client: Client) -> None:
    answer = client.create({"amount_paise": 0, "reference": 1, "sum": 3})
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert {(error["pointer"], error["code"]) for error in answer.json["errors"]} == {
        ("/sum", "unknown"),
        ("/amount_paise", "amount_invalid"),
        ("/bank_account_id", "missing"),
        ("/reference", "reference_invalid"),
    }


def test_the_list_of_errors_is_bounded(client: Client) -> None:
    answer = client.create({str(n): n for n in range(3000)})
    assert len(answer.json["errors"]) == 20


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json(client: Client, raw: bytes) -> None:
    answer = client.create(raw)
    assert (answer.status, answer.code) == (400, "malformed_json")


@pytest.mark.parametrize(
    "media",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=latin-1",
        "application/json, text/plain",
    ],
)
def test_other_media_types(client: Client, media: str | None) -> None:
    headers = [("Idempotency-Key", "k"), *([("Content-Type", media)] if media is not None else [])]
    body = '{"amount_paise":100,"bank_account_id":"demo-bank-account"}'
    answer = client("POST", "/payouts/", body, headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_a_compressed_body(client: Client) -> None:
    answer = client.post(
        "/payouts/", GOOD, [("Idempotency-Key", "k"), ("Content-Encoding", "gzip")]
    )
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1024 * 1024])
def test_a_body_that_is_too_large(client: Client, size: int) -> None:
    answer = client.create(b'{"a":"' + b"x" * size + b'"}')
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_no_body(client: Client) -> None:
    answer = client.create(b"")
    assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        *("[]", '{"why":"x"}', '{"reason":1}', '{"reason":""}', "{"),
        *('{"reason":"x\\u001b"}', '{"reason":"x\\n"}'),
    ],
)
def test_bad_cancellations(client: Client, body: str) -> None:
    answer = client.post("/payouts/019a2f4e-0000-7000-8000-000000000000/cancel/", body)
    assert answer.status in {400, 422}
    assert answer.code in {"malformed_json", "invalid_request", "argument_invalid"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/me/"),
        ("GET", "/payouts/019a2f4e-0000-7000-8000-000000000000/"),
        ("POST", "/payouts/"),
    ],
)
def test_parameters_that_do_not_exist(client: Client, method: str, path: str) -> None:
    headers = [("Idempotency-Key", "k")]
    answer = client(method, f"{path}?expand=all", headers=headers)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["parameter"] == "expand"
