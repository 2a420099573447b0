"""Who is looking at a page: a cookie, and the hash of it in the database.

Merchants and operators each have a cookie and doors of their own (`Cookie`), and otherwise the same
rules. The cookie is a new secret of 256 bits at each sign-in, so that nobody can plant one; only
its SHA-256 is stored. What changes something also needs the token that the page carries, derived
from the same secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from pyapp.database import Pool
from pyapp.errors import Problem
from pyapp.web import decode

W = TypeVar("W")

_LIFETIME: Final = 12 * 60 * 60  # seconds, as the doors that open and resume sessions have it
_MAX_FIELDS: Final = 30


@dataclass(frozen=True, slots=True)
class Session(Generic[W]):
    """A signed-in browser."""

    caller: W
    hash: bytes  # what the database knows it by
    token: str  # what a form must carry


@dataclass(frozen=True, slots=True)
class Cookie(Generic[W]):
    """One kind of session; `resume` and `close` are its doors."""

    # https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
    name: str
    same_site: Literal["lax", "strict"]
    resume: Callable[[Pool, bytes], Awaitable[W | None]]
    close: Callable[[Pool, bytes], Awaitable[None]]

    async def sign_in(
        self, door: Callable[[bytes], Awaitable[W | None]], response: Response
    ) -> W | None:
        """Start a session by a door that takes its hash; None, and no cookie, if it refuses."""
        secret = secrets.token_urlsafe(32)
        caller = await door(sha256(secret))
        if caller is not None:
            response.set_cookie(
                *(self.name, secret),
                max_age=_LIFETIME,
                secure=True,
                httponly=True,
                samesite=self.same_site,
            )
        return caller

    async def session(self, db: Pool, request: Request) -> Session[W] | None:
        """Return the session of the request's cookie, if it lasts."""
        secret = request.cookies.get(self.name)
        caller = await self.resume(db, sha256(secret)) if secret else None
        if secret is None or caller is None:
            return None
        return Session(
            caller, sha256(secret), hashlib.sha256(f"form:{secret}".encode()).hexdigest()
        )

    async def sign_out(self, db: Pool, request: Request, response: Response) -> None:
        """End the session; the cookie is worth nothing from now on."""
        secret = request.cookies.get(self.name)
        if secret:
            await self.close(db, sha256(secret))
        response.delete_cookie(self.name, secure=True, httponly=True, samesite=self.same_site)


async def form(request: Request, session: Session[Any] | None) -> dict[str, str]:
    """Return the fields of a form that was sent from one of our own pages; refuse any other."""
    _refuse_others(request)
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
    return _fields(pairs, session)


async def upload(
    request: Request, session: Session[Any], most: int
) -> tuple[dict[str, str], bytes]:
    """Return the fields of a form of ours and the file, of at most so many bytes, sent with it."""
    _refuse_others(request)
    raw = await decode.raw(request, most + decode.MAX_BODY)

    async def body() -> AsyncGenerator[bytes, None]:
        yield raw

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem("invalid_request", "The form could not be read")
    parser = MultiPartParser(
        *(request.headers, body()), max_files=1, max_fields=_MAX_FIELDS, max_part_size=most
    )
    try:
        found = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, LookupError):
        raise Problem("invalid_request", "The form could not be read") from None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(found.close)
        pairs = [(name, value) for name, value in found.multi_items() if isinstance(value, str)]
        files = [value for _, value in found.multi_items() if isinstance(value, UploadFile)]
        return _fields(pairs, session), await files[0].read() if files else b""


def _refuse_others(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("forbidden", "The form was sent from another site")


def _fields(pairs: list[tuple[str, str]], session: Session[Any] | None) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) < len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise Problem("invalid_request", "The form could not be read")
    if session and not hmac.compare_digest(
        fields.pop("token", "").encode(), session.token.encode()
    ):
        raise Problem("forbidden", "The form is from another session. Load the page again.")
    return fields


def place(request: Request) -> str:
    """Return the path of a request with its query, to come back to."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def sha256(secret: str) -> bytes:
    """Return what the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).digest()
