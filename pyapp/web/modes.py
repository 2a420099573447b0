"""The console's pages of how banks move money: modes and what they cost, hours, and holidays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from psycopg import Error
from starlette.responses import RedirectResponse, Response

from pyapp import doors, money
from pyapp.errors import Problem, problem_of
from pyapp.web import decode, shown
from pyapp.web.console import View, Visit

_DAYS: Final = range(1, 8)
_FIELDS: Final = (
    *("rail", "mode", "currency", "rank", "amount_min", "amount_max"),
    *("opens", "closes", "time_zone", "calendar"),
    *(f"account-{kind}" for kind in shown.ACCOUNTS),
    *(f"day-{day}" for day in _DAYS),
)
_WORDS: Final = {
    "rail": "Choose one of the banks.",
    "mode": "Use 2 to 16 capital letters, digits and underscores, such as NEFT.",
    "currency": "Choose one of the currencies.",
    "accounts": "Choose what it can pay to.",
    "rank": "Enter a whole number from 0 to 1000.",
    "amount_min": "Enter an amount, such as 1 or 2,00,000, or nothing.",
    "amount_max": "Enter an amount that is not below the least, or nothing.",
    "opens": "Enter a time, such as 08:00, or nothing.",
    "closes": "Enter both times, and a later one here, or none.",
    "days": "Choose one day at least.",
    "time_zone": "Enter the name of a time zone, such as Asia/Kolkata.",
    "calendar": "Use at most 64 characters, or nothing.",
    "day": "Enter a day.",
    "name": "Use 1 to 200 characters.",
    "amount_from": "Enter an amount, such as 1,000, or nothing.",
    "fixed": "Enter an amount up to 10^12 of the smallest unit, or nothing.",
    "basis_points": "Enter 0 to 100, with two digits after the point at most, or nothing.",
}
_FEE: Final = ("amount_from", "fixed", "basis_points")


class _Which(msgspec.Struct, frozen=True, kw_only=True):
    rail: Annotated[str, Meta(max_length=255)] = ""
    mode: Annotated[str, Meta(max_length=255)] = ""
    currency: Annotated[str, Meta(max_length=255)] = ""


async def modes(visit: Visit) -> Response:
    """Show the modes of each bank, whether they are open, and the holidays to come."""
    return await _modes(visit, {}, {})


async def _modes(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    found = await doors.pay_modes(visit.db)
    hours = {(one.rail, one.mode, one.currency): one for one in await doors.mode_hours(visit.db)}
    fees = await doors.fees(visit.db)
    days = await doors.holidays(visit.db)
    since = datetime.now(UTC).date() - timedelta(days=1)  # it may be yesterday still
    calendars = {mode.calendar for mode in found if mode.calendar} | {one.calendar for one in days}
    return visit.page(
        "ops-modes.html",
        status,
        rails=[
            (
                rail.rail,
                [
                    (mode, hours.get(key), _fees(fees, key))
                    for mode in found
                    if mode.rail == rail.rail
                    for key in ((mode.rail, mode.mode, mode.currency),)
                ],
            )
            for rail in await doors.rails(visit.db)
        ],
        calendars=[
            (calendar, [one for one in days if one.calendar == calendar and one.day >= since])
            for calendar in sorted(calendars)
        ],
        form={"calendar": "", "day": "", "name": ""} | dict(form),
        errors=errors,
    )


def _fees(fees: Sequence[doors.Fee], key: tuple[str | None, ...]) -> list[doors.Fee]:
    """Return those of one mode: of its bank, name and currency."""
    return [fee for fee in fees if (fee.rail, fee.mode, fee.currency) == key]


async def new_mode(visit: Visit) -> Response:
    """Show the form that gives a bank a mode."""
    asked = decode.query(visit.request, _Which)
    form = {"rail": asked.rail, "rank": "1", "time_zone": "UTC"}
    form |= {f"day-{day}": "on" for day in _DAYS}
    return await _form(visit, form, {}, known=False)


async def mode(visit: Visit) -> Response:
    """Show a mode in the form that changes it."""
    return await _mode(visit, decode.query(visit.request, _Which), {}, {})


async def _mode(
    visit: Visit,
    asked: _Which,
    fee: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    status: int = 200,
) -> Response:
    """Show a mode that is there; `fee` is what was entered for one, and `errors` is about it."""
    found = [
        one
        for one in await doors.pay_modes(visit.db)
        if (one.rail, one.mode, one.currency) == (asked.rail, asked.mode, asked.currency)
    ]
    if not found:
        raise Problem("not_found")
    return await _form(visit, _filled(found[0]) | dict(fee), errors, known=True, status=status)


def _filled(mode: doors.PayMode) -> dict[str, str]:
    """Return the form as it is filled in for a mode that is there."""
    return {
        "rail": mode.rail,
        "mode": mode.mode,
        "currency": mode.currency,
        "rank": str(mode.rank),
        "amount_min": money.plain(mode.amount_min, mode.currency) if mode.amount_min > 1 else "",
        "amount_max": money.plain(mode.amount_max, mode.currency)
        if mode.amount_max < money.MOST
        else "",
        "opens": shown.clock(mode.opens) if mode.opens else "",
        "closes": shown.clock(mode.closes) if mode.closes else "",
        "time_zone": mode.time_zone,
        "calendar": mode.calendar or "",
        **{f"account-{kind}": "on" for kind in mode.accounts},
        **{f"day-{day}": "on" for day in mode.days or _DAYS},
    }


async def set_mode(visit: Visit) -> Response:
    """Give a bank the mode that the form describes, or change it."""
    form = {name: visit.form.get(name, "").strip() for name in _FIELDS}
    errors, read = _read(form)
    if not errors:
        try:
            await doors.set_pay_mode(visit.db, read, session_hash=visit.session.hash)
        except Error as exc:
            errors = _errors(exc)
        else:
            return RedirectResponse("/ops/modes", 303)
    return await _form(visit, form, errors, known="known" in visit.form, status=422)


def _read(form: Mapping[str, str]) -> tuple[dict[str, str], doors.PayMode]:
    """Return what can not be read of a form, and the mode; whether it is one, the door says."""
    currency = form["currency"] if form["currency"] in money.EXPONENTS else "INR"
    least = money.read(form["amount_min"] or money.plain(1, currency), currency)
    most = money.read(form["amount_max"] or money.plain(money.MOST, currency), currency)
    opens, closes = (_time(form[name]) for name in ("opens", "closes"))
    days = [day for day in _DAYS if form[f"day-{day}"]]
    rank = int(form["rank"]) if re.fullmatch("[0-9]{1,4}", form["rank"]) else -1
    wrong = {
        "rank": not 0 <= rank <= 1000,  # noqa: PLR2004  # as the door has it
        "amount_min": least is None,
        "amount_max": most is None,
        "opens": bool(form["opens"]) and opens is None,
        "closes": bool(form["closes"]) and closes is None,
    }
    mode = doors.PayMode(
        rail=form["rail"],
        mode=form["mode"],
        currency=form["currency"],
        accounts=[kind for kind in shown.ACCOUNTS if form[f"account-{kind}"]],
        amount_min=least or 1,
        amount_max=most or 1,
        rank=rank,
        opens=opens,
        closes=closes,
        days=None if len(days) == len(_DAYS) else days,
        time_zone=form["time_zone"],
        calendar=form["calendar"] or None,
    )
    return {name: _WORDS[name] for name, is_wrong in wrong.items() if is_wrong}, mode


def _time(text: str) -> time | None:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None else None


def _errors(exc: Error) -> dict[str, str]:
    """Return what a door refuses by field; whatever is not about the form is raised on."""
    problem = problem_of(exc)
    if problem.row.code != "argument_invalid" or not problem.errors:
        raise exc
    field = (problem.errors[0].pointer or "").removeprefix("/")
    return {field: _WORDS.get(field, problem.detail)}


async def _form(
    visit: Visit,
    form: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    known: bool,
    status: int = 200,
) -> Response:
    key = (form.get("rail"), form.get("mode"), form.get("currency"))
    return visit.page(
        "ops-mode.html",
        status,
        fees=_fees(await doors.fees(visit.db), key),
        form=dict.fromkeys((*_FIELDS, *_FEE), "") | dict(form),
        errors=errors,
        known=known,
        rails=[rail.rail for rail in await doors.rails(visit.db)],
        currencies=sorted(money.EXPONENTS, key=lambda code: (code != "INR", code)),
        days=[(day, shown.DAYS[day]) for day in _DAYS],
    )


async def remove_mode(visit: Visit) -> Response:
    """Take a mode from a bank."""
    rail, mode, currency = (visit.form.get(name, "") for name in ("rail", "mode", "currency"))
    await doors.remove_pay_mode(visit.db, rail, mode, currency, session_hash=visit.session.hash)
    return RedirectResponse("/ops/modes", 303)


async def set_fee(visit: Visit) -> Response:
    """Set what payouts by a mode cost from an amount on, or take it away."""
    asked = _Which(**{name: visit.form.get(name, "") for name in ("rail", "mode", "currency")})
    form = {name: visit.form.get(name, "").strip() for name in _FEE}
    where = (asked.rail, asked.mode, asked.currency)
    currency = asked.currency if asked.currency in money.EXPONENTS else "INR"
    sums = {
        "amount_from": money.read(form["amount_from"], currency) if form["amount_from"] else 1,
        "fixed": money.read(form["fixed"], currency) if form["fixed"].strip("0.") else 0,
        "basis_points": shown.read_points(form["basis_points"]),
    }
    errors = {name: _WORDS[name] for name, value in sums.items() if value is None}
    if errors:
        return await _mode(visit, asked, form, errors, status=422)
    start, fixed, points = (value or 0 for value in sums.values())
    session = visit.session.hash
    try:
        if "remove" in visit.form:
            await doors.remove_fee(visit.db, *where, start, session_hash=session)
        else:
            fee = doors.Fee(*where, start, fixed, points)
            await doors.set_fee(visit.db, fee, session_hash=session)
    except Error as exc:
        return await _mode(visit, asked, form, _errors(exc), status=422)
    named = dict(zip(("rail", "mode", "currency"), where, strict=True))
    return RedirectResponse(f"/ops/modes/edit?{urlencode(named)}#fees", 303)


async def set_holiday(visit: Visit) -> Response:
    """Add a holiday to a calendar, or take it out."""
    form = {name: visit.form.get(name, "").strip() for name in ("calendar", "day", "name")}
    name = None if "remove" in visit.form else form["name"]
    try:
        day = date.fromisoformat(form["day"])
    except ValueError:
        return await _modes(visit, form, {"day": _WORDS["day"]}, status=422)
    try:
        await doors.set_holiday(
            *(visit.db, form["calendar"], day, name), session_hash=visit.session.hash
        )
    except Error as exc:
        return await _modes(visit, form, _errors(exc), status=422)
    return RedirectResponse("/ops/modes#holidays", 303)


_get = partial(View, method="GET")
_post = partial(View, method="POST")

VIEWS: Final = (
    _get(path="/ops/modes", handler=modes),
    _post(path="/ops/modes", handler=set_mode),
    _get(path="/ops/modes/new", handler=new_mode),
    _get(path="/ops/modes/edit", handler=mode),
    _post(path="/ops/modes/remove", handler=remove_mode),
    _post(path="/ops/fees", handler=set_fee),
    _post(path="/ops/holidays", handler=set_holiday),
)
