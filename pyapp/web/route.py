"""One row per operation: the table that serves the API also describes it.

A `Route` names the types that decode its request, so what the OpenAPI document promises is what
the decoder enforces. `Resource` is the ASGI app of one path; it decodes, asks who is calling, and
hands over to the route's handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pyapp import doors, keys
from pyapp.database import Pool, turn
from pyapp.errors import Problem
from pyapp.gather import Gather
from pyapp.web import decode
from pyapp.web.limits import Limits

Q = TypeVar("Q", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)

PREFIX: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """A decoded request of a known caller."""

    db: Pool
    caller: doors.KeyHolder
    request: Request
    idempotency_key: str  # "" unless the route asks for one
    query: Q
    body: B


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Q, B]):
    """One operation of the API."""

    method: Literal["GET", "POST"]
    path: str
    scope: keys.Scope
    summary: str
    handler: Callable[[Call[Q, B]], Awaitable[Response]]
    query: type[Q]
    body: type[B]
    response: Any  # the type that documents the answer
    read: Callable[[Request], Awaitable[B]] | None = None  # the body, where it is no small JSON
    content: Mapping[str, Any] = field(default_factory=dict)  # and what it may be, by media type
    media: str = "application/json"
    also: tuple[str, ...] = ()  # media types that the answer may have instead, if asked for
    status: int = 200
    idempotent: bool = False  # an Idempotency-Key is required
    errors: tuple[str, ...] = ()  # codes beyond those that every route has
    rejections: tuple[str, ...] = ()  # codes answered with 422 and stored with the key
    gathered: bool = False  # its call goes down with others', in its turn, and checks the key
    # whether the key is still valid
    described: bool = True  # in the OpenAPI document, which has no words for a stream

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        db: Pool = request.app.state.db
        caller = await _authenticate(request, writes=self.method != "GET", again=not self.gathered)
        if self.scope not in caller.scopes:
            raise Problem("forbidden", f"The API key lacks the scope {self.scope}")
        key = decode.idempotency_key(request) if self.idempotent else ""
        query = decode.query(request, self.query)
        body = await (self.read(request) if self.read else decode.body(request, self.body))
        made = Call(db, caller, request, key, query, body)
        async with nullcontext() if self.gathered else turn(caller.merchant_id):
            return await self.handler(made)


@dataclass(frozen=True, slots=True)
class Resource:
    """What answers at one path: a handler per method."""

    path: str
    handlers: Mapping[str, Callable[[Request], Awaitable[Response]]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch on the method; HEAD is GET, and the server drops the body."""
        scope["state"]["route"] = self.path
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        allowed = ["OPTIONS", *self.handlers, *(["HEAD"] if "GET" in self.handlers else [])]
        allow = {"Allow": ", ".join(sorted(allowed))}
        if method == "OPTIONS":
            response = Response(status_code=204, headers=allow)
        elif method in self.handlers:
            response = await self.handlers[method](Request(scope, receive))
        else:
            raise Problem("method_not_allowed", headers=allow)
        await response(scope, receive, send)


async def _authenticate(request: Request, *, writes: bool, again: bool) -> doors.KeyHolder:
    """Return who calls; `again` asks the database even if it has said so a moment ago."""
    key_hash = decode.key_hash(request)
    limits: Limits = request.app.state.limits
    left = limits.take(key_hash, writes=writes)
    caller = None if again else limits.holder(key_hash)
    if caller is None:
        callers: Gather[bytes, doors.KeyHolder | Literal[False]] = request.app.state.callers
        caller = await callers.ask(key_hash, key_hash) or None
        limits.learn(key_hash, caller)
    if caller is None:
        raise Problem("unauthorized", headers=decode.CHALLENGE)
    request.state.limits = left or limits.take(key_hash, writes=writes)
    request.state.key_prefix = caller.key_prefix
    request.state.merchant_id = caller.merchant_id
    return caller
