"""The edge: what every request and response passes, whatever happens inside.

A plain ASGI callable around the application: it names each request, accepts paths with and without
a trailing slash, adds the security headers, and writes the access log.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pyapp import log
from pyapp.web import metrics

_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUIET: Final = ("/healthz", "/readyz", "/metrics", "/static/")
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NO_STORE: Final = (b"cache-control", b"no-store")  # of what says nothing else


@dataclass(frozen=True, slots=True)
class Edge:
    """The outermost application: requests go to `app`'s routes, and what they raise to `refuse`."""

    app: Starlette
    refuse: Callable[[Request, Exception], Awaitable[Response]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = _request_id(headers)
        state = {**scope.get("state", {}), "request_id": request_id}
        path: str = scope["path"]
        inner = {**scope, "app": self.app, "state": state, "path": path.removesuffix("/") or "/"}
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                name = (b"x-request-id", request_id.encode())
                given = message["headers"]
                stored = any(key == b"cache-control" for key, _ in given)
                ours = [*state.get("limits", ()), *_HEADERS, *([] if stored else [_NO_STORE]), name]
                message = {**message, "headers": [*given, *ours]}
            await send(message)

        try:
            try:
                await self.app.router(inner, receive, reply)
            except Exception as exc:
                if status:
                    raise
                response = await self.refuse(Request(inner, receive), exc)
                await response(inner, receive, reply)
        except Exception as exc:  # noqa: BLE001 - the client has its answer; this is for us
            log.failure("crash", exc, request_id=request_id)
        finally:
            seconds = time.perf_counter() - started
            metrics.count(scope["method"], state.get("route", "none"), status, seconds)
            log.event(
                "request",
                level=logging.DEBUG if path.startswith(_QUIET) else logging.INFO,
                request_id=request_id,
                trace_id=_trace_id(headers),
                method=scope["method"],
                path=path,
                status=status,
                ms=round(seconds * 1000, 1),
                key_prefix=state.get("key_prefix"),
                merchant_id=state.get("merchant_id"),
                operator=state.get("operator"),
            )


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else _new_id()


def _new_id() -> str:
    """Return a UUID; nothing depends on nobody guessing it, and asking the kernel is dear."""
    return str(UUID(int=random.getrandbits(128), version=4))


def _trace_id(headers: Mapping[bytes, bytes]) -> str | None:
    found = _TRACEPARENT.match(headers.get(b"traceparent", b""))
    return found[1].decode() if found else None
