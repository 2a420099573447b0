"""The bank's HTTP side: bearer-authenticated JSON, and everything that can go wrong with it."""

from __future__ import annotations

import asyncio
import csv
import hmac
import io
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from typing import Final, Literal, TypeVar, cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pyapp import log
from pyapp.bank.behaviour import Behaviour, scripted
from pyapp.bank.books import Books, ConflictError
from pyapp.bank.outbox import Outbox
from pyapp.bank.wire import (
    Answers,
    Decision,
    Empty,
    Enquiries,
    Entry,
    Faults,
    Instructions,
    Script,
)
from pyapp.settings import Settings

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[Request], Awaitable[Response]]

_MAX_BODY: Final = 1024 * 1024
_PLACE: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)
_RAIL_REF: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class RefusedError(Exception):
    """A call that is answered with an error; `field` is what is wrong with it, if it is a field."""

    def __init__(self, status: int, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"error": code, "field": field, "detail": detail}


def create_app(settings: Settings, books: Books) -> Starlette:
    """Return the application over these books; they are closed when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.books = books
        app.state.outbox = Outbox(
            books, settings.sandbox_callback_url, settings.sandbox_bank_secret
        )
        try:
            async with app.state.outbox.running():
                yield
        finally:
            books.close()

    def guarded(path: str, handler: Handler, method: str) -> Route:
        async def answer(request: Request) -> Response:
            _authenticate(request, settings.sandbox_bank_key)
            return await handler(request)

        return Route(path, answer, methods=[method])

    app = Starlette(
        routes=[
            guarded("/v1/instructions", _submit, "POST"),
            guarded("/v1/enquiries", _enquire, "POST"),
            guarded("/v1/reports/{name}", _report, "GET"),
            guarded("/admin/scripts", _script, "POST"),
            guarded("/admin/faults", _set_faults, "POST"),
            guarded("/admin/instructions", _everything, "GET"),
            guarded("/admin/instructions", _forget, "DELETE"),
            *(
                guarded(f"/admin/instructions/{{rail_ref}}/{name}", partial(_decide, name), "POST")
                for name in ("settle", "refuse", "return")
            ),
            Route("/healthz", _healthy),
        ],
        lifespan=lifespan,
        exception_handlers={
            RefusedError: _refuse,
            HTTPException: _refuse,
            ClientDisconnect: _refuse,
            sqlite3.Error: _refuse,
            Exception: _refuse,
        },
    )
    app.router.redirect_slashes = False
    return app


# ------------------------------------------------------------------------------- what PayRail calls


async def _submit(request: Request) -> Response:
    body = await _body(request, Instructions)
    books: Books = request.app.state.books
    misfortune = books.misfortune()
    if misfortune == "before":
        return await _hang_up(request)
    said = books.submit(body.instructions)
    request.app.state.outbox.wake()
    if said.conflicts:
        log.event("known references with another content", conflicts=said.conflicts)
    if misfortune == "after":
        return await _hang_up(request)
    if said.spoilt:
        return await _spoil(request, said.spoilt, said.answers)
    return _json(Answers(said.answers))


async def _enquire(request: Request) -> Response:
    body = await _body(request, Enquiries)
    books: Books = request.app.state.books
    if books.misfortune():
        return await _hang_up(request)
    return _json(Answers(books.enquire(body.rail_refs)))


async def _report(request: Request) -> Response:
    name: str = request.path_params["name"]
    text = name.removesuffix(".csv")
    try:
        if not _DAY.fullmatch(text):
            raise ValueError  # noqa: TRY301  # fromisoformat takes more than we want
        day = date.fromisoformat(text)
    except ValueError:
        detail = "It must be a day, such as 2026-01-31"
        raise RefusedError(400, "invalid", detail, "date") from None
    report = request.app.state.books.report(day)
    if text == name:
        return _json(report)
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\r\n")
    lines.writerow(Entry.__struct_fields__)
    lines.writerows(msgspec.structs.astuple(entry) for entry in report.entries)
    return Response(file.getvalue(), media_type="text/csv")


async def _spoil(request: Request, way: Behaviour, answers: object) -> Response:
    """Answer as an unreliable bank does."""
    match way.call:
        case "error":
            raise RefusedError(500, "internal", "The bank has a problem: nothing was executed")
        case "limit":
            refusal = RefusedError(429, "too_many", "Too many calls: nothing was executed")
            return _json(refusal.body, 429, {"Retry-After": str(round(way.seconds))})
        case "garbage":
            return Response(b'{"answers": [\xff\x00{"rail_ref', media_type="application/json")
        case "hang":
            await asyncio.sleep(way.seconds)
            return _json({"answers": answers})
        case _:
            return await _hang_up(request)


async def _hang_up(request: Request) -> Response:
    """Close the connection without an answer."""
    request.scope["state"]["transport"].abort()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)  # goes nowhere


# ----------------------------------------------------------------------------- what a tester calls


async def _script(request: Request) -> Response:
    script = await _body(request, Script)
    if (script.rail_ref is None) == (script.account_number is None):
        detail = "Either rail_ref or account_number is required"
        raise RefusedError(400, "invalid", detail, "rail_ref")
    kind: Literal["rail_ref", "account_number"] = (
        "account_number" if script.rail_ref is None else "rail_ref"
    )
    subject = script.rail_ref or script.account_number or ""
    request.app.state.books.script(kind, subject, scripted(script))
    return _json({kind: subject, "behaviour": script.behaviour})


async def _set_faults(request: Request) -> Response:
    faults = await _body(request, Faults)
    request.app.state.books.set_faults(faults)
    return _json(faults)


async def _decide(decision: Literal["settle", "refuse", "return"], request: Request) -> Response:
    rail_ref: str = request.path_params["rail_ref"]
    code = (await _body(request, Decision)).code if decision != "settle" else ""
    if decision == "settle":
        await _body(request, Empty)
    found = None
    if _RAIL_REF.fullmatch(rail_ref):
        try:
            found = request.app.state.books.decide(rail_ref, decision, code)
        except ConflictError as exc:
            raise RefusedError(409, "conflict", str(exc), "rail_ref") from None
    if found is None:
        raise RefusedError(404, "not_found", "There is no such instruction", "rail_ref")
    request.app.state.outbox.wake()
    return _json(found)


async def _everything(request: Request) -> Response:
    return _json({"instructions": request.app.state.books.everything()})


async def _forget(request: Request) -> Response:
    request.app.state.books.forget()
    return Response(status_code=204)


async def _healthy(_: Request) -> Response:
    return _json({"status": "ok"})


# ------------------------------------------------------------------------------------ in and out


def _authenticate(request: Request, key: str) -> None:
    given = request.headers.get("authorization", "")
    scheme, _, secret = given.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(secret.encode(), key.encode()):
        raise RefusedError(401, "unauthorized", "Send Authorization: Bearer and the bank's key")


async def _body(request: Request, into: type[T]) -> T:
    """Decode the JSON body strictly; none at all is an empty object."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > _MAX_BODY:
            raise RefusedError(413, "too_large", f"A body has at most {_MAX_BODY} bytes")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found and media != "application/json":
        raise RefusedError(415, "unsupported_media_type", "The body has to be application/json")
    try:
        return msgspec.json.decode(bytes(found) or b"{}", type=into)
    except msgspec.ValidationError as exc:
        raise _fault(str(exc)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RefusedError(400, "malformed_json", "The body is not JSON") from None


def _fault(text: str) -> RefusedError:
    """Return the refusal that names the field in msgspec's words."""
    words = _PLACE.fullmatch(text)
    detail, place = (words[1], words[2] or "") if words else (text, "")
    member = _FIELD.fullmatch(detail)
    if member:
        place = f"{place}.{member[1]}".lstrip(".")
        detail = "It is required" if "missing" in detail else "There is no such field"
    return RefusedError(400, "invalid", detail, place or None)


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


async def _refuse(_: Request, exc: Exception) -> Response:
    """Answer with an error; the log has the rest."""
    if isinstance(exc, RefusedError):
        challenge = {"WWW-Authenticate": "Bearer"} if exc.status == 401 else None  # noqa: PLR2004
        return _json(exc.body, exc.status, challenge)
    if isinstance(exc, HTTPException):
        code = "not_found" if exc.status_code == 404 else "method_not_allowed"  # noqa: PLR2004
        body = RefusedError(exc.status_code, code, exc.detail).body
        return _json(body, exc.status_code, cast("dict[str, str] | None", exc.headers))
    if isinstance(exc, ClientDisconnect):
        return Response(status_code=499)
    log.event("bank failed", level=logging.ERROR, error=type(exc).__name__)
    return _json(RefusedError(500, "internal", "The bank has a problem").body, 500)
