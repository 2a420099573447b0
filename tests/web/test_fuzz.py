"""No input, however strange, is answered with a 5xx, and none moves money it should not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.client import Client

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["amount_paise", "amount", "currency", "bank_account_id", "reference", "metadata", "x"]
)
BODIES = st.dictionaries(FIELDS, JSON, max_size=7).map(lambda body: json.dumps(body).encode())
LATIN = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
)
# http.client refuses to send spaces and control characters in a request line; the rest may go.
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
PATHS = st.sampled_from(
    ["/payouts/", "/ledger/", "/bank_accounts/", "/payouts/{}/", "/payouts/{}/cancel", "/{}"]
)
PATHS |= st.sampled_from(
    ["/events/", "/webhook_endpoints/{}/", "/webhook_endpoints/{}/deliveries/"]
)
PARAMETERS = ["limit", "cursor", "status", "kind", "currency", "created_after", "utr", "payout_id"]
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(PARAMETERS),
        TARGETS.map(lambda text: text.replace("#", "").replace("&", "%")),
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@FUZZ
@given(body=BODIES | st.binary(max_size=300))
def test_any_body(client: Client, body: bytes) -> None:
    answer = client.create(body)
    assert answer.status < 500
    if answer.status != 201:
        assert answer.code


@FUZZ
@given(
    body=st.fixed_dictionaries(
        {"amount_paise": st.integers(1, 10), "bank_account_id": st.just("demo-bank-account")},
        optional={
            "reference": st.text(max_size=300),
            "metadata": st.dictionaries(st.text(max_size=45), st.text(max_size=40), max_size=22),
        },
    )
)
def test_any_text_comes_back_as_it_was(client: Client, body: dict[str, Any]) -> None:
    answer = client.create(body)
    assert answer.status in {201, 400, 422}
    if answer.status == 201:
        assert answer.json["reference"] == body.get("reference")
        assert answer.json["metadata"] == body.get("metadata", {})
        detail = client.get(f"/payouts/{answer.json['id']}/").json
        assert detail["metadata"] == body.get("metadata", {})


@FUZZ
@given(key=LATIN, authorization=LATIN, request_id=LATIN, media=LATIN)
def test_any_header(
    client: Client, key: str, authorization: str, request_id: str, media: str
) -> None:
    headers = [
        ("Idempotency-Key", key),
        ("X-Request-Id", request_id),
        ("traceparent", request_id),
        ("Content-Type", media),
    ]
    assert client("POST", "/payouts/", "{}", headers).status < 500
    assert client("GET", "/me/", headers=[("Authorization", authorization)]).status in {200, 401}


@FUZZ
@given(
    path=PATHS, part=TARGETS, query=QUERIES, method=st.sampled_from(["GET", "POST", "HEAD", "PUT"])
)
def test_any_address(client: Client, path: str, part: str, query: str, method: str) -> None:
    answer = client(method, f"{path.format(part.replace('#', ''))}?{query}")
    assert answer.status < 500
    if answer.status >= 400 and method != "HEAD":
        assert answer.code
