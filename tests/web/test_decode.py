"""What the decoder takes and refuses, without a server."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from pyapp.errors import Problem
from pyapp.web import decode
from pyapp.web.types import LedgerQuery, PayoutQuery

MALFORMED = {
    "nothing but space": b"  ",
    "not JSON": b"{amount: 1}",
    "cut off": b'{"a": 1',
    "text behind it": b'{"a": 1} {}',
    "trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a comment": b'{"a": 1} // one',
    "a list": b"[1]",
    "a string": b'"a"',
    "null": b"null",
    "duplicate key": b'{"a": 1, "a": 1}',
    "duplicate key, escaped": b'{"a": 1, "\\u0061": 1}',
    "duplicate key below": b'{"a": {"b": 1, "b": 2}}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "U+0000": b'{"a": "x\\u0000"}',
    "U+0000 in a key": b'{"x\\u0000": 1}',
    "a raw control character": b'{"a": "x\x01"}',
    "high surrogate alone": b'{"a": "\\ud800"}',
    "low surrogate alone": b'{"a": ["\\udc00x"]}',
    "surrogates the wrong way round": b'{"a": "\\udc00\\ud800"}',
    "invalid UTF-8": b'{"a": "\xff"}',
    "an encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "an overlong encoding": b'{"a": "\xc0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "too deep": b'{"a":' * 20 + b"1" + b"}" * 20,
    "far too deep": b"[" * 60_000,
    "an endless integer": b'{"a": ' + b"9" * 5000 + b"}",
    "a leading zero": b'{"a": 01}',
    "a plus sign": b'{"a": +1}',
    "hexadecimal": b'{"a": 0x1}',
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as caught:
        decode.strict_json(raw)
    assert caught.value.row.code == "malformed_json"


def test_a_surrogate_pair_is_one_character() -> None:
    assert decode.strict_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@given(st.dictionaries(st.text("ab", max_size=2), st.integers() | st.booleans() | st.none()))
def test_sound_json_is_taken_as_it_is(value: dict[str, object]) -> None:
    assert decode.strict_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(raw: bytes) -> None:
    try:
        assert isinstance(decode.strict_json(raw), dict)
    except Problem as problem:
        assert problem.row.code == "malformed_json"  # noqa: PT017


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("abc", "abc"),
        (" abc ", "abc"),
        ("\tabc\t ", "abc"),
        ('"abc"', "abc"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('a"b', 'a"b'),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
        ("!~", "!~"),
    ],
)
def test_idempotency_keys(header: str, key: str) -> None:
    assert decode.idempotency_key(_request(("idempotency-key", header))) == key


@pytest.mark.parametrize(
    "header",
    [
        "",
        "  ",
        '""',
        '"abc',
        'abc" def',
        '"a" "b"',
        '"abc";p=1',
        r'"a\b"',
        "a b",
        "a,  b",
        "x" * 256,
        f'"{"x" * 256}"',
        "é",
        "a\x7f",
        "a\tb",
        "abc\xa0",
        "\x85abc",
    ],
)
def test_bad_idempotency_keys(header: str) -> None:
    with pytest.raises(Problem) as caught:
        decode.idempotency_key(_request(("idempotency-key", header)))
    assert caught.value.row.code == "idempotency_key_invalid"


def test_one_idempotency_key_only() -> None:
    with pytest.raises(Problem) as caught:
        decode.idempotency_key(_request(("idempotency-key", "a"), ("idempotency-key", "a")))
    assert caught.value.row.code == "idempotency_key_invalid"
    with pytest.raises(Problem) as caught:
        decode.idempotency_key(_request())
    assert caught.value.row.code == "idempotency_key_missing"


@given(st.uuids() | st.integers(0, 2**63) | st.text("aé/ ", min_size=1))
def test_cursors_come_back_as_they_were(key: uuid.UUID | int | str) -> None:
    assert decode.read_cursor(decode.write_cursor(key), type(key)) == key


@pytest.mark.parametrize(
    "text", ["", "x", "!", "=", "MQ==", "MQ=", "MR", "_w", "AA", "MTI_", "2aM", "é", "M Q"]
)
@pytest.mark.parametrize("kind", [int, uuid.UUID])
def test_cursors_of_nobody_are_refused(text: str, kind: type) -> None:
    with pytest.raises(Problem) as caught:
        decode.read_cursor(text, kind)
    assert caught.value.errors[0].parameter == "cursor"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1e1", "limit"),
        ("limit=5.0", "limit"),
        ("limit=", "limit"),
        ("limit=-1", "limit"),
        ("limit=%2B1", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("limit=1&limit=1", "limit"),
        ("page=1", "page"),
        ("status=paid", "status"),
        ("status=settled,failed", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_after=1700000000", "created_after"),
        ("created_after=2026-01-01", "created_after"),
        ("created_before=2026-01-01T00:00:00", "created_before"),
        ("amount_min=-1", "amount_min"),
        ("amount_max=1.5", "amount_max"),
        ("currency=inr", "currency"),
        ("reference=", "reference"),
        ("reference=a%00b", "reference"),
        ("utr=%00", "utr"),
    ],
)
def test_bad_parameters_are_named(query: str, parameter: str) -> None:
    with pytest.raises(Problem) as caught:
        decode.query(_request(query=query), PayoutQuery)
    assert caught.value.row.code == "invalid_request"
    assert [error.parameter for error in caught.value.errors] == [parameter]


def test_good_parameters() -> None:
    query = decode.query(
        _request(query="status=settled&status=failed&limit=7&reference=123&amount_min=0"),
        PayoutQuery,
    )
    assert query.status == ["settled", "failed"]
    assert (query.limit, query.reference, query.amount_min) == (7, "123", 0)
    assert decode.query(_request(), LedgerQuery).currency == "INR"


def _request(*headers: tuple[str, str], query: str = "") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "headers": raw, "query_string": query.encode()})
