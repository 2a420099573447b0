"""Pages: how a template becomes an answer, and the page that says what went wrong."""

from __future__ import annotations

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pyapp import money
from pyapp.errors import Problem
from pyapp.web import shown

TEMPLATES: Final = Environment(
    loader=PackageLoader("pyapp.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "money": money.written,
    "moment": shown.moment,
    "exactly": shown.exactly,
    "span": shown.span,
    "sentence": shown.sentence,
    "clock": shown.clock,
    "several": shown.several,
    "days": shown.days,
    "plain": money.plain,
    "cost": shown.cost,
}
_BELOW: Final = {"/ops/reports": "/ops/rails", "/ops/files": "/ops/rails"}  # pages of other pages


def current(address: str, path: str) -> str:
    """Tell whether an entry of the navigation leads to a page or to what is above it."""
    for other, home in _BELOW.items():
        path = path.replace(other, home) if path.startswith(other) else path
    if path == address:
        return "page"
    inside = address not in {"/", "/ops"} and path.startswith(f"{address}/")
    return "true" if inside else ""


TEMPLATES.globals |= {
    "current": current,
    "EXPONENTS": money.EXPONENTS,
    "MOST": money.MOST,
    "STATUSES": shown.STATUSES,
    "BATCHES": shown.BATCHES,
    "MODES": shown.MODES,
    "ACCOUNTS": shown.ACCOUNTS,
    "KINDS": shown.KINDS,
    "CASES": shown.CASES,
    "RESULTS": shown.RESULTS,
    "OUTCOMES": shown.OUTCOMES,
    "RESOLUTIONS": shown.RESOLUTIONS,
    "REASONS": shown.REASONS,
    "ACTIONS": shown.ACTIONS,
    "ENDPOINTS": shown.ENDPOINTS,
    "ENDPOINT_BADGES": shown.ENDPOINT_BADGES,
    "DELIVERIES": shown.DELIVERIES,
    "DELIVERY_BADGES": shown.DELIVERY_BADGES,
}


def html(template: str, status: int = 200, /, **given: object) -> Response:
    """Render a template."""
    return HTMLResponse(TEMPLATES.get_template(template).render(**given), status)


# What people can do, where the API's advice is for programs.
_ADVICE: Final = {
    "forbidden": "Ask whoever gave you the key, or sign in with another one.",
    "idempotency_key_in_flight": "Look at your payouts before you send it again.",
    "internal": "Try again. If it stays, ask for help.",
    "invalid_request": "Go back and correct it, or start from the overview.",
    "method_not_allowed": "Start from the overview.",
    "not_found": "Check the address, or start from the overview.",
    "payload_too_large": "Go back and send less at once.",
    "payout_not_found": "Check the address: you see the payouts of your own merchant only.",
    "unauthorized": "Sign in again.",
    "unavailable": "Nothing was lost. Load the page again in a moment.",
}


def problem(request: Request, found: Problem) -> Response:
    """Show a problem as a page; whoever is signed in keeps the navigation."""
    in_console = request.app.state.console and request.url.path.startswith("/ops")
    row = found.row
    response = html(
        "problem.html",
        row.status,
        base="ops-base.html" if in_console else "base.html",
        heading=row.meaning,
        detail=found.detail if found.detail != f"{row.meaning}. {row.advice}" else None,
        advice=_ADVICE.get(row.code, row.advice),
        faults=found.errors,
        request_id=request.state.request_id,
        home="/ops" if in_console else "/",
        **getattr(request.state, "around", {}),
    )
    response.headers.update(found.headers)
    return response


def inside(target: str, home: str) -> str:
    """Return a path of ours, at or below `home`; an address elsewhere is not gone to."""
    plain = target.startswith(home) and not target.startswith("//") and "\\" not in target
    return target if plain and target.isprintable() else home
