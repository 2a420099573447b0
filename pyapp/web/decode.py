"""Strict decoding of what clients send; what isn't exactly right is refused and named.

JSON is RFC 8259 without its loose ends (RFC 7493, I-JSON): UTF-8, no duplicate keys, no NaN, no
U+0000, no lone surrogates, bounded in size and depth. Then the msgspec types decide: no coercion,
no unknown fields, and all that is wrong is told at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NoReturn, TypeVar, cast, get_args
from uuid import UUID

import msgspec
from msgspec import UnsetType
from starlette.requests import Request

from pyapp.doors import Item, PayoutRequest
from pyapp.errors import CATALOG, FieldError, Problem
from pyapp.web.types import CreatePayout, Empty

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")

MAX_BODY: Final = 64 * 1024
_MAX_DEPTH: Final = 16
_MAX_DIGITS: Final = 100
_MAX_ERRORS: Final = 20
CHALLENGE: Final = {"WWW-Authenticate": 'Api-Key realm="payrail"'}
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VISIBLE: Final = re.compile(r"[!-~]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


async def body(request: Request, into: type[T]) -> T:
    """Decode the JSON body; none at all is an empty object."""
    if into is Empty:
        return into()
    given = await raw(request)
    if not given:
        return convert({}, into)
    if media_type(request) != "application/json":
        raise Problem("unsupported_media_type")
    return convert(strict_json(given), into)


def media_type(request: Request) -> str:
    """Return what the body is; text is in UTF-8, and nothing is compressed."""
    media, _, parameters = next(iter(header(request, b"content-type")), "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if charset not in {"", "charset=utf-8"}:
        raise Problem("unsupported_media_type")
    if header(request, b"content-encoding") not in ([], ["identity"]):
        raise Problem("unsupported_media_type")
    return media.strip().lower()


def header(request: Request, name: bytes) -> list[str]:
    """Return what a header says, each time that it is there; the name is in small letters."""
    return [text.decode("latin-1") for key, text in request.scope["headers"] if key == name]


async def raw(request: Request, most: int = MAX_BODY) -> bytes:
    """Return the body as it came, of at most so many bytes."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            detail = None if most == MAX_BODY else f"Send at most {most >> 20} MiB"
            raise Problem("payload_too_large", detail, headers={"Connection": "close"})
    return bytes(found)


def strict_json(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object, or refuse it as malformed."""
    try:
        value = _JSON.decode(raw.decode("utf-8"))
        # only an escape makes what PostgreSQL's text can't hold, and only brackets depth
        if b"\\" in raw or raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH:
            inspect(value)
    except RecursionError:
        raise Problem("malformed_json", "The JSON is nested too deeply") from None
    except UnicodeError:
        raise Problem("malformed_json", "The text is not valid Unicode") from None
    except json.JSONDecodeError as exc:
        where = f"{exc.msg} at line {exc.lineno}, column {exc.colno}"
        raise Problem("malformed_json", where) from None
    except ValueError as exc:  # ours
        raise Problem("malformed_json", str(exc)) from None
    if not isinstance(value, dict):
        raise Problem("malformed_json", "The body has to be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "A key appears twice in one object"
        raise ValueError(msg)
    return found


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        msg = "An integer has too many digits"
        raise ValueError(msg)
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_constant=_refuse_constant
)


def inspect(value: object, depth: int = 0) -> None:
    """Refuse what PostgreSQL's text can't hold, and depth that nothing here needs."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a UnicodeError
        if "\0" in value:
            msg = "A string contains U+0000"
            raise ValueError(msg)
    elif isinstance(value, dict):
        for key, item in value.items():
            inspect(key, depth)
            inspect(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            inspect(item, depth + 1)


def query(request: Request, into: type[T]) -> T:
    """Decode the query string; a parameter repeats only where its type is a list.

    A page's address may have been given more by whoever linked to it, which is nothing of ours.
    """
    if not request.scope["query_string"]:  # most have none, and looking for it is dear
        return convert({}, into, in_query=True)
    known = _fields(into)
    in_page = getattr(request.state, "page", False)
    lists = {name for name, field in known.items() if "list[" in str(field.type)}
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if in_page and name not in known:
            continue
        if "\0" in value or (name in given and name not in lists):
            fault = "It contains U+0000" if "\0" in value else "It appears more than once"
            refuse(FieldError(parameter=name, code="invalid", detail=fault))
        if name in lists:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return convert(given, into, in_query=True)


def refuse(*errors: FieldError) -> NoReturn:
    """Raise what is wrong; a single wrong field speaks with its own code."""
    first = errors[0]
    single = len(errors) == 1 and first.pointer and first.code in CATALOG
    code = first.code if single else "invalid_request"
    raise Problem(code, first.detail if single else None, errors=errors[:_MAX_ERRORS])


def convert(given: Mapping[str, Any], into: type[T], *, in_query: bool = False) -> T:
    """Make one of these of a JSON object; all that is wrong is told at once."""
    fields = _fields(into)
    if given.keys() <= fields.keys():
        try:
            return msgspec.convert(given, into)
        except msgspec.ValidationError:  # it names one fault, and takes no number from a query
            pass
    errors = [
        _error(name, "unknown", "There is no such field", in_query=in_query)
        for name in given
        if name not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in given:
            try:
                values[name] = _value(given[name], field.type, in_query=in_query)
            except msgspec.ValidationError as exc:
                errors += _faults(name, given[name], field.type, exc, in_query=in_query)
        elif field.required:
            errors.append(_error(name, "missing", "It is required", in_query=in_query))
    if errors:
        refuse(*errors)
    return into(**values)


@cache
def _fields(into: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return a type's fields; evaluating its annotations takes longer than all the rest."""
    return {field.name: field for field in msgspec.structs.fields(into)}


def _value(value: object, kind: object, *, in_query: bool) -> Any:  # noqa: ANN401
    try:
        return msgspec.convert(value, cast("type[Any]", kind))
    except msgspec.ValidationError:
        if in_query and isinstance(value, str) and _DIGITS.fullmatch(value):
            return msgspec.convert(int(value), cast("type[Any]", kind))
        raise


def _faults(
    name: str, value: object, kind: object, exc: msgspec.ValidationError, *, in_query: bool
) -> Iterator[FieldError]:
    """Say what is wrong in one field; of an object, in which of its members."""
    code = _code(kind)
    found = False
    for key, item in value.items() if isinstance(value, dict) else ():
        try:
            msgspec.convert({key: item}, cast("type[Any]", kind))
        except msgspec.ValidationError as inner:
            found = True
            yield _error(name, code, _words(inner), key, in_query=in_query)
    if not found:
        yield _error(name, code, _words(exc), in_query=in_query)


def _error(name: str, code: str, detail: str, *path: str, in_query: bool) -> FieldError:
    if in_query:
        return FieldError(parameter=name, code=code, detail=detail)
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in (name, *path))
    return FieldError(pointer="/" + "/".join(escaped), code=code, detail=detail)


def _code(kind: object) -> str:
    """Find the code that a type carries in its Meta."""
    for meta in getattr(kind, "__metadata__", ()):
        if meta.extra:
            return str(meta.extra["code"])
    codes = (_code(part) for part in get_args(kind))
    return next((code for code in codes if code != "invalid"), "invalid")


def _words(exc: msgspec.ValidationError) -> str:
    """Return msgspec's message without its own notation of the place."""
    return str(exc).partition(" - at ")[0]


def payout_request(body: CreatePayout, idempotency_key: str | None) -> PayoutRequest:
    """Bring both forms of the amount to one."""
    match body.amount_paise, body.amount, body.currency:
        case int(amount), UnsetType(), UnsetType():
            currency = "INR"
        case UnsetType(), int(amount), str(currency):
            pass
        case _:
            detail = "Send either amount_paise, or amount and currency"
            refuse(FieldError(pointer="/amount_paise", code="invalid", detail=detail))
    return PayoutRequest(
        idempotency_key=idempotency_key,
        amount=amount,
        currency=currency,
        bank_account_id=body.bank_account_id,
        reference=body.reference,
        metadata=body.metadata,
        scheduled_at=_in_utc(body.scheduled_at),
        queue_if_low_balance=body.queue_if_low_balance,
        narration=body.narration,
        retry_of=body.retry_of,
        mode=body.mode,
    )


def _in_utc(given: datetime | None) -> datetime | None:
    """Return an instant in UTC: PostgreSQL knows fewer offsets than RFC 3339 has."""
    try:
        return given and given.astimezone(UTC)
    except OverflowError:
        detail = "It must be in the future, and no more than 366 days away"
        refuse(FieldError(pointer="/scheduled_at", code="scheduled_at_invalid", detail=detail))


def idempotency_key(request: Request) -> str:
    """Return the key; "abc" as a structured-field string and abc are the same key.

    draft-ietf-httpapi-idempotency-key-header; RFC 9651, section 3.3.3.
    """
    given = header(request, b"idempotency-key")
    if not given:
        raise Problem("idempotency_key_missing")
    if len(given) > 1:
        raise Problem("idempotency_key_invalid", "The header appears more than once")
    key = given[0].strip(" \t")
    quoted = _QUOTED.fullmatch(key)
    if quoted:
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif key.startswith('"'):
        raise Problem("idempotency_key_invalid", "The quoted string does not end, or goes on")
    if not _VISIBLE.fullmatch(key):
        raise Problem("idempotency_key_invalid")
    return key


def api_key(request: Request) -> str:
    """Return the secret of `Authorization: Api-Key <secret>`."""
    given = header(request, b"authorization")
    scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    secret = secret.strip(" \t")
    if scheme.lower() != "api-key" or not _VISIBLE.fullmatch(secret):
        raise Problem("unauthorized", headers=CHALLENGE)
    return secret


def key_hash(request: Request) -> bytes:
    """Return what the database knows of the request's API key."""
    return hashlib.sha256(api_key(request).encode()).digest()


def uuid(text: str, otherwise: str) -> UUID:
    """Return a path's UUID in its usual form; anything else is the problem `otherwise`."""
    if not _UUID.fullmatch(text):
        raise Problem(otherwise)
    return UUID(text)


def write_cursor(key: object) -> str:
    """Return the opaque text for a place in a list."""
    return base64.urlsafe_b64encode(str(key).encode()).rstrip(b"=").decode()


def next_cursor(found: Sequence[Item[Any]], limit: int) -> str | None:
    """Return the cursor behind a page; the one row above its limit only says that there is more."""
    return write_cursor(found[limit - 1].key) if len(found) > limit else None


def read_cursor(text: str | None, kind: Callable[[str], V]) -> V | None:
    """Return the place that `write_cursor` wrote; anything else is refused."""
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        key = kind(raw)
    except ValueError:
        key = None
    if key is None or "\0" in raw or write_cursor(key) != text:
        detail = "It is not a next_cursor of this list"
        refuse(FieldError(parameter="cursor", code="invalid", detail=detail))
    return key
