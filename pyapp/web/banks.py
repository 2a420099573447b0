"""The console's pages about banks: how they are doing, their own reports, and what people decide.

A resolution takes two operators. Which two is not for these pages to say: the doors take it from
the sessions, and refuse whoever tries alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from psycopg import Error
from starlette.responses import RedirectResponse, Response

from pyapp import doors
from pyapp.errors import Problem, problem_of
from pyapp.web import console, decode, shown
from pyapp.web.console import View, Visit
from pyapp.web.types import Page

_MINUTES: Final = 60  # of the chart

# ----------------------------------------------------------------------------------------- banks


async def rails(visit: Visit) -> Response:
    """Show each bank: its breaker, its last hour, and what it can be relied on for."""
    minutes = await doors.rail_minutes(visit.db, minutes=_MINUTES)
    return visit.page(
        "ops-rails.html",
        rails=[
            (rail, _hour([minute for minute in minutes if minute.rail == rail.rail]))
            for rail in await doors.rails(visit.db)
        ],
        clock=datetime.now(UTC),
    )


def _hour(minutes: list[doors.RailMinute]) -> Mapping[str, Any]:
    calls = sum(minute.calls for minute in minutes)
    busy = sum((minute.busy for minute in minutes), timedelta())
    return {
        "minutes": minutes,
        "bars": shown.stack([(one.calls - one.failed, one.failed) for one in minutes], 150),
        "most": max((one.calls for one in minutes), default=0),
        "calls": calls,
        "failed": sum(minute.failed for minute in minutes),
        "mean": busy.total_seconds() / calls if calls else None,
    }


# ----------------------------------------------------------------------------------------- cases

Kind = Literal[
    "outcome_unknown",
    "money_to_recover",
    "contradiction",
    "missing_at_bank",
    "unknown_to_us",
    "booked_twice",
    "different_amount",
    "different_outcome",
]


class _Cases(Page, frozen=True, kw_only=True):
    state: Literal["open", "closed"] = "open"
    kind: list[Kind] | None = None


async def cases(visit: Visit) -> Response:
    """List cases, newest first: open or closed, and by kind."""
    query = decode.query(visit.request, _Cases)
    after = decode.read_cursor(query.cursor, UUID)
    chosen = [str(kind) for kind in query.kind or []]
    found = await doors.cases(
        visit.db,
        is_open=query.state == "open",
        kinds=chosen or [*shown.CASES],
        limit=query.limit + 1,
        after=after,
    )
    return visit.page(
        "ops-cases.html",
        cases=found[: query.limit],
        state=query.state,
        chosen=chosen,
        more=console.older(
            "/ops/cases", found, query.limit, "case_id", state=query.state, kind=chosen
        ),
    )


async def case(visit: Visit) -> Response:
    """Show all that is needed to decide a case, and the form to do so."""
    return await _case(visit, {}, {})


async def _case(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    case_id = visit.id("case_id")
    found = await doors.case(visit.db, case_id)
    if found is None:
        raise Problem("case_not_found")
    given: dict[str, Any] = {"row": None, "attempts": [], "evidence": [], "entries": []}
    if found.merchant_id and found.payout_id:
        row = await doors.operated_payout(visit.db, found.merchant_id, found.payout_id)
        if row is None:
            raise Problem("payout_not_found")
        given["row"] = row
        given |= await console.told(visit, row.merchant_id, row.payout_id, row.currency)
    given["notices"] = (
        await doors.notices(visit.db, found.rail, found.rail_ref) if found.rail_ref else []
    )
    return visit.page(
        "ops-case.html",
        status,
        case=found,
        actions=await doors.case_actions(visit.db, case_id),
        codes=await doors.failure_codes(visit.db),
        form=dict.fromkeys(_FIELDS, "") | dict(form),
        errors=errors,
        **given,
    )


_FIELDS: Final = ("action", "utr", "failure_code", "note")
_CODES: Final = {"settle": "utr", "fail": "failure_code"}
_REFUSALS: Final = {  # of a proposal: the field, and what to say there
    "utr_invalid": ("utr", "Enter the UTR as the bank gave it: 1 to 35 printable characters."),
    "failure_code_unknown": ("failure_code", "Choose one of the codes."),
    "illegal_transition": ("action", "The payout is not processing, so it can only be closed."),
    "outcome_still_unknown": ("action", "Settle or fail it: nobody knows yet what became of it."),
    "case_closed": ("case", "The case was closed meanwhile."),
    "proposal_waiting": ("case", "Another proposal is waiting, and has to be decided first."),
}
_ARGUMENTS: Final = {
    "action": "Choose what is to be done.",
    "note": "Say how you know: up to 1,000 characters of plain text.",
}
_REFUSED: Final = {  # a decision
    "second_operator_needed": "Another operator than the one who proposed it has to confirm it.",
    "illegal_transition": "The payout's status does not allow it any more. Reject the proposal.",
    "evidence_contradicts": "The payout has ended otherwise meanwhile. Reject the proposal.",
    "case_closed": "The case was closed meanwhile.",
    "resolution_too_early": (
        "The bank may still execute what was sent last. Confirm it later, once its file has left."
    ),
    "outcome_still_unknown": "Nobody knows yet what became of the payout. Reject the proposal.",
    "proposal_not_found": "The proposal has been decided already.",
}


async def propose(visit: Visit) -> Response:
    """Propose how to resolve a case; nothing happens before another operator agrees."""
    case_id = visit.id("case_id")
    form = {name: visit.form.get(name, "").strip() for name in _FIELDS}
    code = form.get(_CODES.get(form["action"], ""))
    if code is not None and not code.isprintable():
        return await _case(visit, form, dict([_REFUSALS["utr_invalid"]]), status=422)
    try:
        await doors.propose_resolution(
            visit.db,
            visit.session.hash,
            case_id,
            action=form["action"],
            code=code,
            note=form["note"],
        )
    except Error as exc:
        problem = problem_of(exc)
        refusal = _REFUSALS.get(problem.row.code)
        if problem.row.code == "argument_invalid":
            name = (problem.errors[0].pointer or "").removeprefix("/") if problem.errors else ""
            refusal = (name, _ARGUMENTS[name]) if name in _ARGUMENTS else None
        if refusal is None:
            raise
        return await _case(visit, form, dict([refusal]), status=problem.row.status)
    return RedirectResponse(f"/ops/cases/{case_id}", 303)


async def decide(visit: Visit) -> Response:
    """Confirm what another operator proposed, or reject it."""
    case_id = visit.id("case_id")
    proposal_id = decode.uuid(visit.form.get("proposal_id", ""), "proposal_not_found")
    confirm = {"confirm": True, "reject": False}.get(visit.form.get("decision", ""))
    if confirm is None:
        raise Problem("invalid_request", "decision must be confirm or reject")
    try:
        await doors.decide_resolution(visit.db, visit.session.hash, proposal_id, confirm=confirm)
    except Error as exc:
        problem = problem_of(exc)
        words = _REFUSED.get(problem.row.code)
        if words is None:
            raise
        return await _case(visit, {}, {"decision": words}, status=problem.row.status)
    return RedirectResponse(f"/ops/cases/{case_id}", 303)


# --------------------------------------------------------------------------------------- reports


async def reports(visit: Visit) -> Response:
    """List the banks' reports that were imported, newest first."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, UUID)
    found = await doors.reports(visit.db, limit=query.limit + 1, after=after)
    return visit.page(
        "ops-reports.html",
        reports=found[: query.limit],
        more=console.older("/ops/reports", found, query.limit, "report_id"),
    )


async def report(visit: Visit) -> Response:
    """Show a bank's report beside our books, differences first."""
    query = decode.query(visit.request, Page)
    skip = decode.read_cursor(query.cursor, int) or 0
    report_id = decode.uuid(visit.request.path_params["report_id"], "not_found")
    found = await doors.report(visit.db, report_id)
    if found is None:
        raise Problem("not_found")
    lines = await doors.compared(visit.db, report_id, limit=query.limit + 1, skip=skip)
    following = decode.write_cursor(skip + query.limit)
    return visit.page(
        "ops-report.html",
        report=found,
        results=await doors.results(visit.db, report_id),
        lines=lines[: query.limit],
        more=f"/ops/reports/{report_id}?limit={query.limit}&cursor={following}"
        if len(lines) > query.limit
        else None,
    )


# ----------------------------------------------------------------------------------------- files


async def files(visit: Visit) -> Response:
    """List what went to banks and came from them as files, newest first."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, UUID)
    found = await doors.files(visit.db, limit=query.limit + 1, after=after)
    return visit.page(
        "ops-files.html",
        files=found[: query.limit],
        more=console.older("/ops/files", found, query.limit, "file_id"),
    )


async def file(visit: Visit) -> Response:
    """Show a file, and the payouts in it."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, str)
    file_id = decode.uuid(visit.request.path_params["file_id"], "not_found")
    found = await doors.file(visit.db, file_id)
    if found is None:
        raise Problem("not_found")
    items = await doors.file_items(visit.db, file_id, limit=query.limit + 1, after=after)
    return visit.page(
        "ops-file.html",
        file=found,
        items=items[: query.limit],
        more=console.older(f"/ops/files/{file_id}", items, query.limit, "rail_ref"),
    )


_get = partial(View, method="GET")
_post = partial(View, method="POST")

VIEWS: Final = (
    _get(path="/ops/rails", handler=rails),
    _get(path="/ops/cases", handler=cases),
    _get(path="/ops/cases/{case_id}", handler=case),
    _post(path="/ops/cases/{case_id}/propose", handler=propose),
    _post(path="/ops/cases/{case_id}/decide", handler=decide),
    _get(path="/ops/reports", handler=reports),
    _get(path="/ops/reports/{report_id}", handler=report),
    _get(path="/ops/files", handler=files),
    _get(path="/ops/files/{file_id}", handler=file),
)
