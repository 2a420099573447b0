"""The pages of batches: a list is uploaded, looked through, confirmed, and followed line by line.

Between the upload and the confirmation nothing is kept: the page that shows what would become of
the lines carries the list itself, so what is confirmed is what was looked at.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

import msgspec
from psycopg.errors import LockNotAvailable
from starlette.responses import RedirectResponse, Response, StreamingResponse

from pyapp import doors, uploads
from pyapp.errors import Problem
from pyapp.money import written
from pyapp.uploads import Upload
from pyapp.web import decode
from pyapp.web.dashboard import View, Visit
from pyapp.web.types import BatchLineQuery, Page

_SHOWN: Final = 20  # lines that are refused; the rest is downloaded
_WORDS: Final = {  # where the API's detail counts in minor units, or says more than people ask
    "insufficient_funds": "Not enough money is available for it.",
    "bank_account_not_found": "There is no such bank account, or it is archived.",
    "idempotency_key_reused": "Its idempotency key belongs to another request.",
}
_MODES: Final = ("best_effort", "all_or_nothing")


async def batches(visit: Visit) -> Response:
    """List batches, newest first."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, UUID)
    found = await doors.batches(visit.db, visit.merchant_id, limit=query.limit + 1, after=after)
    cursor = decode.next_cursor(found, query.limit)
    return visit.page(
        "batches.html",
        now=await visit.now(),
        batches=[_decoded(item.body) for item in found[: query.limit]],
        more=f"/batches?{urlencode({'cursor': cursor})}" if cursor else None,
    )


async def new_batch(visit: Visit) -> Response:
    """Show the form that takes a list."""
    return _form(visit, {"mode": _MODES[0], "name": ""})


async def look_through(visit: Visit) -> Response:
    """Show what would become of each line of the list that was uploaded; nothing is made."""
    form = {"mode": visit.form.get("mode", ""), "name": visit.form.get("name", "").strip()}
    if form["mode"] not in _MODES:
        form["mode"] = _MODES[0]
    try:
        upload, text = await _read(visit)
    except Problem as problem:
        told = problem.errors[0].detail if problem.errors else problem.detail
        return _form(visit, form, told, problem.row.status)
    found = await uploads.check(visit.db, visit.merchant_id, upload)
    return visit.page(
        "batch-check.html",
        form=form,
        text=text,
        idempotency_key=str(uuid4()),
        check=found,
        sums=[written(total.amount, total.currency) for total in found.totals],
        errors=[
            {"line": one.line, "field": one.field, "why": _WORDS.get(one.code, one.detail)}
            for one in found.errors[:_SHOWN]
        ],
    )


async def download_errors(visit: Visit) -> Response:
    """Send all that is wrong with a list as CSV."""
    upload, _ = await _read(visit)
    found = await uploads.check(visit.db, visit.merchant_id, upload)
    return Response(uploads.errors(found), media_type="text/csv", headers=_attached("errors.csv"))


async def create_batch(visit: Visit) -> Response:
    """Leave the list to the worker: once, however often the form is sent."""
    upload, _ = await _read(visit)
    try:
        reply = await doors.create_batch(
            visit.db,
            visit.merchant_id,
            f"dashboard-{visit.form.get('idempotency_key', '')}",
            upload.whole(),
            mode=visit.form.get("mode", ""),
            name=visit.form.get("name", "").strip() or None,
            owner=visit.session.caller.owner,
            actor=visit.session.caller.key_prefix,
        )
    except LockNotAvailable:
        raise Problem("idempotency_key_in_flight") from None
    answer = msgspec.json.decode(reply.body)
    if reply.status != 201:  # noqa: PLR2004
        raise Problem(answer["code"], answer["detail"])
    return RedirectResponse(f"/batches/{answer['id']}", 303)


async def batch(visit: Visit) -> Response:
    """Show one batch: how far it is, and what became of each line."""
    batch_id = _batch_id(visit)
    query = decode.query(visit.request, BatchLineQuery)
    seen = await visit.now()
    body = await doors.batch(visit.db, visit.merchant_id, batch_id)
    if body is None:
        raise Problem("batch_not_found")
    lines = await doors.batch_lines(
        visit.db,
        visit.merchant_id,
        batch_id,
        limit=query.limit + 1,
        after=decode.read_cursor(query.cursor, int),
        outcome=query.outcome,
    )
    given = {"outcome": query.outcome} if query.outcome else {}
    cursor = decode.next_cursor(lines, query.limit)
    shown = [_decoded(item.body) for item in lines[: query.limit]]
    return visit.page(
        "batch.html",
        now=seen,
        batch=_decoded(body),
        lines=[
            {
                **line,
                "sum": written(line["amount"], line["currency"]),
                "why": _WORDS.get(line["code"], line["detail"]),
            }
            for line in shown
        ],
        outcome=query.outcome,
        more=f"/batches/{batch_id}?{urlencode({**given, 'cursor': cursor})}" if cursor else None,
    )


async def download_result(visit: Visit) -> Response:
    """Send what became of each line as CSV."""
    batch_id = _batch_id(visit)
    if await doors.batch(visit.db, visit.merchant_id, batch_id) is None:
        raise Problem("batch_not_found")
    return StreamingResponse(
        uploads.results(visit.db, visit.merchant_id, batch_id),
        media_type="text/csv",
        headers=_attached(f"batch-{batch_id}.csv"),
    )


async def cancel_batch(visit: Visit) -> Response:
    """Cancel a batch that has not started."""
    batch_id = _batch_id(visit)
    await doors.cancel_batch(
        visit.db, visit.merchant_id, batch_id, actor=visit.session.caller.key_prefix
    )
    return RedirectResponse(f"/batches/{batch_id}", 303)


async def _read(visit: Visit) -> tuple[Upload, str]:
    """Read the list that came as a file, or that the page carried along."""
    content = visit.file or visit.form.get("list", "").encode()
    is_csv = not content.lstrip().startswith(b"{")
    upload = await asyncio.to_thread(uploads.read, content, is_csv=is_csv)
    return upload, content.decode("utf-8-sig")


def _form(
    visit: Visit, form: dict[str, str], error: str | None = None, status: int = 200
) -> Response:
    return visit.page("new-batch.html", status, form=form, error=error, most=uploads.MOST_LINES)


def _batch_id(visit: Visit) -> UUID:
    return decode.uuid(visit.request.path_params["batch_id"], "batch_not_found")


def _decoded(body: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(body)
    if "totals" in found:
        found["sums"] = [written(one["amount"], one["currency"]) for one in found["totals"]]
    return found


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


_get = partial(View, method="GET")
_post = partial(View, method="POST", scope="payouts:create", upload=uploads.MOST_BYTES)

VIEWS: Final = (
    _get(path="/batches", handler=batches),
    _get(path="/batches/new", handler=new_batch, scope="payouts:create"),
    _post(path="/batches/new", handler=look_through),
    _post(path="/batches/errors.csv", handler=download_errors),
    _post(path="/batches", handler=create_batch),
    _get(path="/batches/{batch_id}", handler=batch),
    _get(path="/batches/{batch_id}/result.csv", handler=download_result),
    View(
        method="POST",
        path="/batches/{batch_id}/cancel",
        handler=cancel_batch,
        scope="payouts:create",
    ),
)
