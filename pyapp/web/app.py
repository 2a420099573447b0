"""The ASGI application: the API, its description, and two probes."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec
import psycopg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pyapp import database, doors, log
from pyapp.errors import Problem, problem_of
from pyapp.gather import Gather
from pyapp.settings import Settings
from pyapp.web import (
    accounts,
    banks,
    batches,
    callbacks,
    console,
    dashboard,
    keyring,
    metrics,
    modes,
    openapi,
    pages,
    webhooks,
)
from pyapp.web.api import ROUTES
from pyapp.web.edge import Edge
from pyapp.web.limits import Limits
from pyapp.web.live import Hub
from pyapp.web.route import PREFIX, Resource

Handler = Callable[[Request], Awaitable[Response]]

_BUSIEST: Final = f"{PREFIX}/payouts"
_STATIC: Final = Path(__file__).parent / "static"
_MEDIA: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def create_app(settings: Settings, hub: Hub | None = None) -> ASGIApp:
    """Return the application; its pool opens and closes with its lifespan. `hub` feeds pages."""
    feed = hub or Hub(dashboard.message)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        conninfo = settings.conninfo("payrail_api")
        app.state.hub = feed
        app.state.limits = Limits()
        async with (
            database.open_pool(conninfo, name="payrail-api") as app.state.db,
            feed.running(app.state.db),
            console.opened(settings) if settings.console else nullcontext() as app.state.console,
        ):
            app.state.callers = _callers(app.state.db)
            app.state.payouts = _payouts(app.state.db)
            yield

    paths = _paths(settings)
    app = Starlette(
        routes=[
            Route(path, Resource(path, paths[path]))
            for path in sorted(paths, key=lambda path: path != _BUSIEST)  # they are tried in turn
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Edge(app, _refuse)


def _callers(db: database.Pool) -> Gather[bytes, doors.KeyHolder | Literal[False]]:
    """Return who finds out whose keys they are; a key that is nobody's is False."""

    async def ask(hashes: Sequence[bytes]) -> list[doors.KeyHolder | Literal[False]]:
        known = await doors.authenticate(db, list({*hashes}))
        return [known.get(key_hash, False) for key_hash in hashes]

    return Gather("authenticate", metrics.gathered("authenticate", ask), ask)


def _payouts(db: database.Pool) -> Gather[doors.AddressedRequest, doors.Reply]:
    """Return who creates payouts; a line is a merchant."""
    create = partial(doors.create_payouts_for_many, db)
    together = metrics.gathered("create_payouts", partial(create, wait=False))
    return Gather("create_payouts", together, partial(create, wait=True))


def _paths(settings: Settings) -> dict[str, dict[str, Handler]]:
    """Return every path, without its trailing slash, and what answers there by method."""
    paths: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for route in ROUTES:
        paths[f"{PREFIX}{route.path}".removesuffix("/")][route.method] = route
    if (
        settings.sandbox_bank_url and settings.sandbox_bank_secret
    ):  # what nobody signs, nobody takes
        paths[callbacks.PATH]["POST"] = callbacks.Sandbox(settings.sandbox_bank_secret)
    document = openapi.document(ROUTES)
    paths[f"{PREFIX}/openapi.json"]["GET"] = _constant(
        msgspec.json.encode(document), "application/json"
    )
    paths["/docs"]["GET"] = _constant(openapi.page(document), "text/html")
    for file in _STATIC.iterdir():
        paths[f"/static/{file.name}"]["GET"] = _file(file.read_bytes(), _MEDIA[file.suffix])
    paths["/healthz"]["GET"] = _healthy
    paths["/readyz"]["GET"] = _ready
    paths["/metrics"]["GET"] = metrics.show
    for view in (
        *dashboard.VIEWS,
        *keyring.VIEWS,
        *accounts.VIEWS,
        *batches.VIEWS,
        *webhooks.VIEWS,
    ):
        paths[view.path][view.method] = view
    paths["/sign-in"] = {"GET": dashboard.ask_who, "POST": dashboard.sign_in}
    if settings.console:
        for page in (*console.VIEWS, *banks.VIEWS, *modes.VIEWS):
            paths[page.path][page.method] = page
        paths["/ops/sign-in"] = {"GET": console.ask_who, "POST": console.sign_in}
    return paths


def _constant(body: bytes | str, media_type: str) -> Handler:
    async def answer(_: Request) -> Response:
        return Response(body, media_type=media_type)

    return answer


def _file(body: bytes, media_type: str) -> Handler:
    """Answer with a file; a browser that has it is told so."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return answer


async def _healthy(_: Request) -> Response:
    """Tell that the process is alive."""
    return Response('{"status":"ok"}', media_type="application/json")


async def _ready(request: Request) -> Response:
    """Tell that the database is reachable and migrated."""
    try:
        found = await doors.instance(request.app.state.db)
    except psycopg.Error:
        found = None
    if found is None:
        raise Problem("unavailable", "The database is not reachable, or not migrated yet")
    body = msgspec.json.encode({"status": "ready", "environment": found.environment})
    return Response(body, media_type="application/json")


async def _refuse(request: Request, exc: Exception) -> Response:
    """Answer with a problem document; the reader of the log learns what the client must not."""
    if isinstance(exc, ClientDisconnect):  # nobody reads it; the status is the one of nginx's log
        return Response(status_code=499)
    problem = Problem("not_found") if isinstance(exc, HTTPException) else problem_of(exc)
    request_id = request.state.request_id
    if isinstance(exc, psycopg.Error) and problem.row.code == "unavailable":
        log.event("unavailable", level=logging.WARNING, request_id=request_id, error=repr(exc))
    elif problem.row.code == "internal":
        name = "internal" if isinstance(exc, psycopg.Error) else "crash"
        log.failure(name, exc, request_id=request_id)
    in_browser = "text/html" in request.headers.get("accept", "")
    if getattr(request.state, "page", in_browser and not request.url.path.startswith(PREFIX)):
        return pages.problem(request, problem)
    body = msgspec.json.encode(problem.document(request_id))
    return Response(body, problem.row.status, problem.headers, "application/problem+json")
