"""Answers that are files, or a page to be printed, of any length: `exports`, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final
from uuid import UUID

from starlette.responses import Response, StreamingResponse

from pyapp import doors, exports
from pyapp.database import Pool
from pyapp.web import pages
from pyapp.web.types import StatementQuery

_ROWS: Final = "<!-- the lines -->"


async def statement(
    db: Pool, caller: doors.Caller, query: StatementQuery, *, as_file: bool = False
) -> Response:
    """Answer with a statement; `as_file` lets a browser save it rather than show it."""
    found = await doors.statement(db, caller.merchant_id, query.currency, query.since, query.until)
    lines = exports.lines(db, caller.merchant_id, found)
    name = f"statement-{query.currency}-{query.since}-{query.until}.{query.format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if as_file else {}
    content: AsyncIterator[str | bytes]
    match query.format:
        case "json":
            content = exports.statement_json(found, lines)
            return StreamingResponse(content, headers=headers, media_type="application/json")
        case "csv":
            content = exports.statement_csv(found, lines)
            return StreamingResponse(content, headers=headers, media_type="text/csv")
        case "html":
            content = _printable(caller, query, found, lines)
            return StreamingResponse(content, media_type="text/html")


def payouts(db: Pool, merchant_id: UUID, filters: Mapping[str, object]) -> Response:
    """Answer with payouts as CSV."""
    return StreamingResponse(
        exports.payouts_csv(db, merchant_id, filters),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="payouts.csv"'},
    )


async def _printable(
    caller: doors.Caller,
    query: StatementQuery,
    found: doors.Statement,
    lines: AsyncIterator[list[doors.Line]],
) -> AsyncIterator[str]:
    template = pages.TEMPLATES.get_template("statement.html")
    page = template.render(merchant=caller.merchant_name, query=query, statement=found, rows=_ROWS)
    head, _, tail = page.partition(_ROWS)
    rows = getattr(pages.TEMPLATES.get_template("statement-rows.html").module, "rows")  # noqa: B009
    yield head
    async for some in lines:
        yield str(rows(some, found.currency))
    yield tail
