"""The merchant's pages of API keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import psycopg
from starlette.responses import RedirectResponse, Response

from pyapp import doors, keys
from pyapp.errors import Problem
from pyapp.web import decode, shown
from pyapp.web.dashboard import View, Visit
from pyapp.web.types import Page

_DAYS: Final = {"": "When yours does", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
_OVERLAPS: Final = {"0": "at once", "1": "in an hour", "24": "in a day", "168": "in a week"}
_FORM: Final = {"name": "", "days": ""}


async def list_keys(visit: Visit) -> Response:
    """List the keys, and show the form that makes one."""
    return await _list(visit, _FORM, {})


async def create_key(visit: Visit) -> Response:
    """Make a key and show its secret, this once."""
    form = {name: visit.form.get(name, "").strip() for name in _FORM}
    scopes = [scope for scope in keys.SCOPES if f"scope-{scope}" in visit.form]
    days = form["days"]
    if not scopes:
        errors = {"scopes": "Choose what the key may do."}
        return await _list(visit, form, errors, status=422)
    if days not in _DAYS:
        raise Problem("invalid_request", "There is no such choice")
    secret = await _new_secret(visit)
    caller = visit.session.caller
    try:
        body = await doors.create_api_key_by_key(
            *(visit.db, visit.merchant_id, caller.api_key_id, secret),
            scopes=scopes,
            name=form["name"] or None,
            expires_at=datetime.now(UTC) + timedelta(days=int(days)) if days else None,
        )
    except psycopg.Error as exc:
        fault = _FAULTS.get(exc.sqlstate or "")
        if fault is None:
            raise
        return await _list(visit, form, dict([fault]), status=422)
    return _show(visit, msgspec.json.decode(body), secret)


_FAULTS: Final = {
    "PR108": ("name", "Use at most 200 characters."),
    "PR505": ("days", "A key lasts no longer than yours, and may do no more."),
}


async def show_key(visit: Visit) -> Response:
    """Show one key."""
    body = await doors.api_key(visit.db, visit.merchant_id, _key_id(visit))
    if body is None:
        raise Problem("api_key_not_found")
    return _show(visit, msgspec.json.decode(body))


async def roll_key(visit: Visit) -> Response:
    """Give a key a new secret and show it, this once."""
    hours = visit.form.get("hours", "")
    if hours not in _OVERLAPS:
        raise Problem("invalid_request", "There is no such choice")
    secret = await _new_secret(visit)
    body = await doors.roll_api_key_by_key(
        *(visit.db, visit.merchant_id, visit.session.caller.api_key_id, _key_id(visit), secret),
        overlap=timedelta(hours=int(hours)),
    )
    return _show(visit, msgspec.json.decode(body), secret)


async def revoke_key(visit: Visit) -> Response:
    """Revoke a key; whoever revokes the own one has to sign in with another."""
    key_id, caller = _key_id(visit), visit.session.caller
    await doors.revoke_api_key_by_key(visit.db, visit.merchant_id, caller.api_key_id, key_id)
    return RedirectResponse(f"/keys/{key_id}", 303)


async def _list(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    query = decode.query(visit.request, Page)
    found = await doors.listed_api_keys(
        *(visit.db, visit.merchant_id),
        limit=query.limit + 1,
        after=decode.read_cursor(query.cursor, UUID),
    )
    cursor = decode.next_cursor(found, query.limit)
    return visit.page(
        *("keys.html", status),
        keys=[_with_state(msgspec.json.decode(item.body)) for item in found[: query.limit]],
        form=form,
        errors=errors,
        days=_DAYS,
        grants=[scope for scope in keys.SCOPES if visit.may(scope)],
        chosen=[scope for scope in keys.SCOPES if f"scope-{scope}" in visit.form],
        more=f"/keys?{urlencode({'cursor': cursor})}" if cursor else None,
    )


def _show(visit: Visit, key: dict[str, Any], secret: keys.Secret | None = None) -> Response:
    caller = visit.session.caller
    ended = key["revoked_at"] or _is_past(key["expires_at"])
    return visit.page(
        "key.html",
        key=_with_state(key),
        secret=secret.text if secret else None,
        overlaps=_OVERLAPS,
        is_own=key["id"] == str(caller.api_key_id),
        may_revoke=visit.may("keys:write") and not ended,
        may_roll=visit.may("keys:write")
        and not (ended or key["replaced_by"])
        and key["owner"] == caller.owner
        and {*key["scopes"]} <= {*caller.scopes},
    )


def _with_state(key: dict[str, Any]) -> dict[str, Any]:
    """Add in words how long the key is valid."""
    end = key["expires_at"]
    if key["revoked_at"]:
        state = "Revoked"
    elif _is_past(end):
        state = "Expired"
    elif end:
        state = f"In use until {shown.exactly(shown.moment(end))}"
    else:
        state = "In use"
    return {**key, "state": state}


def _is_past(end: str | None) -> bool:
    return end is not None and shown.moment(end) <= datetime.now(UTC)


def _key_id(visit: Visit) -> UUID:
    return decode.uuid(visit.request.path_params["api_key_id"], "api_key_not_found")


async def _new_secret(visit: Visit) -> keys.Secret:
    found = await doors.instance(visit.db)
    return keys.new_secret(found.environment if found else "demo")


VIEWS: Final = (
    View(method="GET", path="/keys", handler=list_keys),
    View(method="POST", path="/keys", handler=create_key, scope="keys:write"),
    View(method="GET", path="/keys/{api_key_id}", handler=show_key),
    View(method="POST", path="/keys/{api_key_id}/roll", handler=roll_key, scope="keys:write"),
    View(method="POST", path="/keys/{api_key_id}/revoke", handler=revoke_key, scope="keys:write"),
)
