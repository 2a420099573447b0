"""The merchant's pages of events and webhooks: endpoints, what was sent to each, and again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import psycopg
from starlette.responses import RedirectResponse, Response

from pyapp import doors, keys
from pyapp.errors import Problem
from pyapp.web import decode
from pyapp.web.dashboard import View, Visit
from pyapp.web.types import DeliveryQuery, Page

_OVERLAPS: Final = {"0": "at once", "1": "in an hour", "24": "in a day", "168": "in a week"}
_FORM: Final = {"url": "", "description": "", "event_types": "*"}
_KINDS: Final = {
    "*": "Everything",
    "payout.*": "All that happens to payouts",
    "payout.settled payout.failed payout.returned": "How payouts end",
    "balance.*": "Money that arrives",
}
_FAULTS: Final = {
    "url": "Enter an https address in lower case, without a user name or a #part.",
    "event_types": "Choose types of the list, such as payout.settled or payout.*.",
    "description": "Use at most 200 characters.",
}
_LOG: Final = 25  # deliveries on a page


async def list_endpoints(visit: Visit) -> Response:
    """List the endpoints, and show the form that adds one."""
    return await _list(visit, _FORM, {})


async def create_endpoint(visit: Visit) -> Response:
    """Add an endpoint and show its secret, this once."""
    form = {name: visit.form.get(name, "").strip() for name in _FORM}
    secret = keys.new_webhook_secret()
    try:
        body = await doors.create_webhook_endpoint(
            visit.db,
            visit.merchant_id,
            url=form["url"],
            secret=secret,
            event_types=form["event_types"].replace(",", " ").split(),
            description=form["description"] or None,
        )
    except psycopg.Error as exc:
        return await _list(visit, form, _faults(exc), status=422)
    return await _show(visit, msgspec.json.decode(body), secret)


async def show_endpoint(visit: Visit) -> Response:
    """Show an endpoint, how it goes, and what was sent to it."""
    return await _show(visit, await _endpoint(visit))


async def change_endpoint(visit: Visit) -> Response:
    """Change what an endpoint is told, or turn it on or off."""
    endpoint_id = _id(visit)
    turn = visit.form.get("turn", "")
    types = visit.form.get("event_types", "").replace(",", " ").split()
    try:
        await doors.update_webhook_endpoint(
            visit.db,
            visit.merchant_id,
            endpoint_id,
            url=visit.form.get("url", "").strip() or None,
            event_types=types or None,
            enabled={"on": True, "off": False}.get(turn),
        )
    except psycopg.Error as exc:
        errors = _faults(exc)
        form = {"url": visit.form.get("url", ""), "event_types": " ".join(types)}
        return await _show(visit, await _endpoint(visit), form=form, errors=errors)
    return RedirectResponse(f"/webhooks/{endpoint_id}", 303)


async def roll_secret(visit: Visit) -> Response:
    """Give an endpoint a new secret and show it, this once."""
    hours = visit.form.get("hours", "")
    if hours not in _OVERLAPS:
        raise Problem("invalid_request", "There is no such choice")
    secret = keys.new_webhook_secret()
    body = await doors.roll_webhook_secret(
        *(visit.db, visit.merchant_id, _id(visit)),
        secret=secret,
        overlap=timedelta(hours=int(hours)),
    )
    return await _show(visit, msgspec.json.decode(body), secret)


async def archive_endpoint(visit: Visit) -> Response:
    """Take an endpoint out of use."""
    await doors.archive_webhook_endpoint(visit.db, visit.merchant_id, _id(visit))
    return RedirectResponse("/webhooks", 303)


async def test_endpoint(visit: Visit) -> Response:
    """Send an endpoint a test event."""
    endpoint_id = _id(visit)
    actor = visit.session.caller.key_prefix
    await doors.send_test_event(visit.db, visit.merchant_id, endpoint_id, actor=actor)
    return RedirectResponse(f"/webhooks/{endpoint_id}#log", 303)


async def replay(visit: Visit) -> Response:
    """Send events to an endpoint again."""
    endpoint_id = _id(visit)
    first, last = visit.form.get("first", "").strip(), visit.form.get("last", "").strip()
    numbers = [_number(text) for text in (first, last or first)]
    try:
        await doors.replay_events(visit.db, visit.merchant_id, endpoint_id, *numbers)
    except psycopg.Error as exc:
        if exc.sqlstate != "PR131":
            raise
        errors = {"last": "Enter numbers of events, the first before the last: 10,000 at most."}
        form = {"first": first, "last": last}
        return await _show(visit, await _endpoint(visit), form=form, errors=errors)
    return RedirectResponse(f"/webhooks/{endpoint_id}#log", 303)


async def show_delivery(visit: Visit) -> Response:
    """Show what was sent, and what was said to each attempt."""
    endpoint = await _endpoint(visit)
    number = _number(visit.request.path_params["number"])
    whose = visit.db, visit.merchant_id
    found = await doors.webhook_deliveries(*whose, _id(visit), limit=1, filters={"seq": number})
    if not found:
        raise Problem("delivery_not_found")
    (event,) = await doors.events(*whose, limit=1, after=number - 1)
    return visit.page(
        "delivery.html",
        endpoint=endpoint,
        delivery=msgspec.json.decode(found[0].body),
        body=msgspec.json.format(event.body, indent=2),
    )


async def list_events(visit: Visit) -> Response:
    """List what happened, newest first."""
    query = decode.query(visit.request, Page)
    found = await doors.events(
        *(visit.db, visit.merchant_id),
        limit=query.limit + 1,
        after=decode.read_cursor(query.cursor, int),
        newest_first=True,
    )
    cursor = decode.next_cursor(found, query.limit)
    return visit.page(
        "events.html",
        events=[msgspec.json.decode(item.body) for item in found[: query.limit]],
        more=f"/events?{urlencode({'cursor': cursor})}" if cursor else None,
    )


async def _list(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    found = await doors.webhook_endpoints(visit.db, visit.merchant_id, limit=100)
    endpoints = [msgspec.json.decode(item.body) for item in found]
    return visit.page(
        *("webhooks.html", status),
        endpoints=[one for one in endpoints if one["status"] != "archived"],
        form=form,
        errors=errors,
        kinds=_KINDS,
    )


async def _show(
    visit: Visit,
    endpoint: dict[str, Any],
    secret: str | None = None,
    *,
    form: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response:
    query = (
        decode.query(visit.request, DeliveryQuery)
        if visit.request.method == "GET"
        else DeliveryQuery(limit=_LOG)
    )
    found = await doors.webhook_deliveries(
        *(visit.db, visit.merchant_id, UUID(endpoint["id"])),
        limit=query.limit + 1,
        after=decode.read_cursor(query.cursor, int),
        filters={"status": query.status},
    )
    given = [("status", one) for one in query.status or []]
    cursor = decode.next_cursor(found, query.limit)
    known = {"url": endpoint["url"], "event_types": " ".join(endpoint["event_types"])}
    return visit.page(
        *("webhook.html", 422 if errors else 200),
        endpoint=endpoint,
        secret=secret,
        deliveries=[msgspec.json.decode(item.body) for item in found[: query.limit]],
        chosen=query.status or [],
        form={**known, "first": "", "last": "", **(form or {})},
        errors=errors or {},
        overlaps=_OVERLAPS,
        may=visit.may("webhooks:write") and endpoint["status"] != "archived",
        more=f"/webhooks/{endpoint['id']}?{urlencode([*given, ('cursor', cursor)])}"
        if cursor
        else None,
    )


async def _endpoint(visit: Visit) -> dict[str, Any]:
    body = await doors.webhook_endpoint(visit.db, visit.merchant_id, _id(visit))
    if body is None:
        raise Problem("webhook_endpoint_not_found")
    return msgspec.json.decode(body, type=dict[str, Any])


def _faults(exc: psycopg.Error) -> dict[str, str]:
    """Return which field of a form is wrong; what is not a field's fault is raised again."""
    if exc.sqlstate == "PR231":
        return {"url": "You have an endpoint at this address."}
    if exc.sqlstate == "PR232":
        return {"url": "You have 16 endpoints: archive one that is not needed."}
    facts = msgspec.json.decode(exc.diag.message_detail or "{}")
    if exc.sqlstate != "PR131" or facts.get("field") not in _FAULTS:
        raise exc
    return {facts["field"]: _FAULTS[facts["field"]]}


def _id(visit: Visit) -> UUID:
    return decode.uuid(visit.request.path_params["endpoint_id"], "webhook_endpoint_not_found")


def _number(text: str) -> int:
    """Return the number of an event; 0, which is none's, for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0  # noqa: PLR2004


_CHANGES: Final = {
    "": change_endpoint,
    "/roll": roll_secret,
    "/archive": archive_endpoint,
    "/test": test_endpoint,
    "/replay": replay,
}
VIEWS: Final = (
    View(method="GET", path="/events", handler=list_events),
    View(method="GET", path="/webhooks", handler=list_endpoints),
    View(method="POST", path="/webhooks", handler=create_endpoint, scope="webhooks:write"),
    View(method="GET", path="/webhooks/{endpoint_id}", handler=show_endpoint),
    *(
        View(
            method="POST",
            path=f"/webhooks/{{endpoint_id}}{rest}",
            handler=handler,
            scope="webhooks:write",
        )
        for rest, handler in _CHANGES.items()
    ),
    View(method="GET", path="/webhooks/{endpoint_id}/deliveries/{number}", handler=show_delivery),
)
