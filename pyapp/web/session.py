"""Who is looking at the dashboard: a cookie, and the hash of it in the database.

Signing in takes an API key, and the session has that key's scopes and ends with it. The cookie is
a new secret of 256 bits each time, so that nobody can plant one; only its SHA-256 is stored. What
changes something also needs the token that the page carries, derived from the same secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from pyapp import doors
from pyapp.database import Pool
from pyapp.errors import Problem
from pyapp.web import decode

# https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
_COOKIE: Final = "__Host-payrail"
_LIFETIME: Final = 12 * 60 * 60  # seconds, as payrail.open_session has it
_MAX_FIELDS: Final = 20


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser."""

    caller: doors.Caller
    token: str  # what a form must carry


async def sign_in(db: Pool, secret: str, response: Response) -> doors.Caller | None:
    """Start a session for the holder of an API key; None, and no cookie, for any other key."""
    cookie = secrets.token_urlsafe(32)
    caller = await doors.open_session(db, _hash(secret), _hash(cookie))
    if caller is not None:
        response.set_cookie(
            *(_COOKIE, cookie), max_age=_LIFETIME, secure=True, httponly=True, samesite="lax"
        )
    return caller


async def resume(db: Pool, request: Request) -> Session | None:
    """Return the session of the request's cookie, if it lasts and its key is valid."""
    cookie = request.cookies.get(_COOKIE)
    caller = await doors.resume_session(db, _hash(cookie)) if cookie else None
    if cookie is None or caller is None:
        return None
    request.state.key_prefix = caller.key_prefix
    request.state.merchant_id = caller.merchant_id
    return Session(caller, hashlib.sha256(f"form:{cookie}".encode()).hexdigest())


async def sign_out(db: Pool, request: Request, response: Response) -> None:
    """End the session; the cookie is worth nothing from now on."""
    cookie = request.cookies.get(_COOKIE)
    if cookie:
        await doors.close_session(db, _hash(cookie))
    response.delete_cookie(_COOKIE, secure=True, httponly=True, samesite="lax")


async def form(request: Request, session: Session | None) -> dict[str, str]:
    """Return the fields of a form that was sent from one of our own pages; refuse any other."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("forbidden", "The form was sent from another site")
    raw = await decode.raw(request)
    try:
        pairs = parse_qsl(
            *(raw.decode(), True, True),
            max_num_fields=_MAX_FIELDS,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise Problem("invalid_request", "The form could not be read") from None
    fields = dict(pairs)
    if len(fields) < len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise Problem("invalid_request", "The form could not be read")
    if session and not hmac.compare_digest(
        fields.pop("token", "").encode(), session.token.encode()
    ):
        raise Problem("forbidden", "The form is from another session. Load the page again.")
    return fields


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
