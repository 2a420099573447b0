"""Statements and lists of payouts as files, for the API, the pages and the command line.

They are made a page at a time, so that one of a million lines takes no more memory than a short
one, and a statement is cut at the number of an entry: what is written meanwhile is not in it.
CSV has amounts in the currency's own unit, everything else minor units.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from pyapp import doors
from pyapp.database import Pool, turn
from pyapp.money import plain
from pyapp.sheets import sheet

_PAYOUTS: Final = 500  # at a time
_LINE: Final = ("amount", "change", "available", "held")
_LINES: Final = ("seq", "created_at", "kind", "payout_id", "reference", "utr", *_LINE)
PAYOUTS: Final = (  # the columns of a list of payouts; failure_code is from status_details
    *("id", "status", "amount", "currency", "bank_account_id", "reference", "utr"),
    *("failure_code", "narration", "created_at", "updated_at", "settled_at", "returned_at"),
    *("scheduled_at", "expires_at", "queue_if_low_balance", "approvals_required", "retry_of"),
    *("mode", "mode_reason", "fee", "metadata"),
)


async def lines(
    db: Pool, merchant_id: UUID, statement: doors.Statement
) -> AsyncIterator[list[doors.Line]]:
    """Yield the lines of a statement, a page at a time."""
    after = statement.after_seq
    while after < statement.last_seq:
        async with turn(merchant_id):
            page = await doors.statement_lines(
                db, merchant_id, statement.currency, after=after, last=statement.last_seq
            )
        yield page
        after = page[-1].seq


async def statement_csv(
    statement: doors.Statement, pages: AsyncIterator[list[doors.Line]]
) -> AsyncIterator[str]:
    """Yield a statement as CSV: the opening balance, every line, and the closing balance."""
    currency = statement.currency
    opening = (statement.opening_available, statement.opening_held)
    closing = (statement.closing_available, statement.closing_held)
    yield sheet([_LINES, _position("opening", statement.opening_at, currency, opening)])
    async for page in pages:
        yield sheet(
            [
                (
                    *(getattr(line, name) for name in _LINES[:6]),
                    *(_amount(getattr(line, name), currency) for name in _LINE),
                )
                for line in page
            ]
        )
    yield sheet([_position("closing", statement.closing_at, currency, closing)])


async def statement_json(
    statement: doors.Statement, pages: AsyncIterator[list[doors.Line]]
) -> AsyncIterator[bytes]:
    """Yield a statement as one JSON object, `lines` last."""
    head = {
        "currency": statement.currency,
        "entries": statement.last_seq - statement.after_seq,
        "opening": {
            "at": utc(statement.opening_at),
            "available": statement.opening_available,
            "held": statement.opening_held,
        },
        "closing": {
            "at": utc(statement.closing_at),
            "available": statement.closing_available,
            "held": statement.closing_held,
        },
    }
    yield msgspec.json.encode(head)[:-1] + b',"lines":['
    comma = b""
    async for page in pages:
        yield comma + msgspec.json.encode(page)[1:-1]
        comma = b","
    yield b"]}"


async def payouts_csv(
    db: Pool, merchant_id: UUID, filters: Mapping[str, object]
) -> AsyncIterator[str]:
    """Yield payouts as CSV, newest first; for `filters` see `doors.payouts`."""
    yield sheet([PAYOUTS])
    after: UUID | None = None
    while True:
        async with turn(merchant_id):
            page = await doors.payouts(
                db, merchant_id, limit=_PAYOUTS, after=after, filters=filters
            )
        if not page:
            return
        yield sheet([_payout(msgspec.json.decode(item.body)) for item in page])
        after = page[-1].key


def utc(instant: datetime) -> str:
    """Write an instant as the API does."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _position(kind: str, at: datetime, currency: str, balance: tuple[int, int]) -> list[object]:
    return ["", utc(at), kind, "", "", "", "", "", *(_amount(one, currency) for one in balance)]


def _amount(amount: int, currency: str) -> Decimal:
    return Decimal(plain(amount, currency))


def _payout(payout: dict[str, Any]) -> list[object]:
    given = payout | {
        "amount": _amount(payout["amount"], payout["currency"]),
        "fee": _amount(payout["fee"], payout["currency"]),
        "failure_code": (payout["status_details"] or {}).get("code"),
        "metadata": msgspec.json.encode(payout["metadata"]).decode() if payout["metadata"] else "",
    }
    return [given[name] for name in PAYOUTS]
