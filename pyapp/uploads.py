"""Lists of payouts that are uploaded, as JSON or as CSV: every line is understood, or told why not.

JSON is `{"payouts": […]}`, each as one payout is asked for and with an `idempotency_key` of its own
if it has one. CSV in UTF-8 has a header line with the same names, in any order: `amount` is in the
currency's own unit (1250.50), `currency` is INR where there is none, and a column `metadata.order`
is the key `order`. Lines count from 1, and the header and blank lines are not counted.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec
from msgspec import Struct

from pyapp import doors
from pyapp.database import Pool
from pyapp.doors import PayoutRequest
from pyapp.errors import CATALOG, FieldError, Problem
from pyapp.money import EXPONENTS, plain
from pyapp.money import read as read_money
from pyapp.sheets import sheet
from pyapp.web import decode
from pyapp.web.types import BatchCheck, BatchLine, LineError, Total

MOST_BYTES: Final = 8 * 2**20
MOST_LINES: Final = 10_000

_METADATA: Final = "metadata."
_COLUMNS: Final = [  # the amount is in rupees, and each key of the metadata is a column
    name for name in BatchLine.__struct_fields__ if name not in {"amount_paise", "metadata"}
]
_RESULTS: Final = [field.name for field in fields(doors.BatchLine)]
_SUMS: Final = ("amount", "fee")
_FLAG: Final = "queue_if_low_balance"
_NEEDED: Final = ("amount", "bank_account_id")
_AMOUNT: Final = "write the amount in the currency's own unit, such as 1250.50"


class Upload(Struct, frozen=True, kw_only=True):
    """What a list asks for: the requests by line, and what is wrong with the other lines."""

    lines: int
    requests: dict[int, PayoutRequest]
    faults: list[LineError]

    def whole(self) -> list[PayoutRequest]:
        """Return the requests, if every line is one; else raise what is wrong."""
        if self.faults:
            decode.refuse(*(_field_error(fault) for fault in self.faults))
        return [*self.requests.values()]


def read(content: bytes, *, is_csv: bool) -> Upload:
    """Read a list; raises Problem if it is none, or has too many lines or no line at all."""
    rows = _csv(content) if is_csv else _json(content)
    requests: dict[int, PayoutRequest] = {}
    faults: list[LineError] = []
    lines = 0
    for line, row in rows:
        lines = line
        if lines > MOST_LINES:
            _refuse(f"A batch has at most {MOST_LINES} payouts: send several")
        found = _request(line, row)
        if isinstance(found, PayoutRequest):
            requests[line] = found
        else:
            faults += found
    if not lines:
        _refuse("There is no payout in it")
    faults += _twice(requests)
    for fault in faults:
        requests.pop(fault.line, None)
    return Upload(lines=lines, requests=requests, faults=sorted(faults, key=lambda one: one.line))


async def check(db: Pool, merchant_id: UUID, upload: Upload) -> BatchCheck:
    """Tell what would become of each line now, without making any payout."""
    lines = [*upload.requests]
    found = await doors.check_payouts(db, merchant_id, [*upload.requests.values()])
    refused = [
        LineError(line=lines[one.line - 1], code=one.code, detail=one.detail or one.code)
        for one in found
        if one.code is not None
    ]
    errors = sorted([*upload.faults, *refused], key=lambda one: one.line)
    wrong = {one.line for one in errors}
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for line, request in upload.requests.items():
        if line not in wrong:
            counts[request.currency] += 1
            sums[request.currency] += request.amount
    return BatchCheck(
        lines=upload.lines,
        accepted=upload.lines - len(wrong),
        rejected=len(wrong),
        invalid=len({fault.line for fault in upload.faults}),
        replayed=sum(one.code is None for one in found),
        totals=[
            Total(currency=currency, lines=counts[currency], amount=sums[currency])
            for currency in sorted(counts)
        ],
        errors=errors,
    )


async def results(db: Pool, merchant_id: UUID, batch_id: UUID) -> AsyncIterator[str]:
    """Yield what became of each line of a batch as CSV, a thousand lines at a time."""
    yield sheet([_RESULTS])
    after = 0
    while page := await doors.batch_rows(db, merchant_id, batch_id, after=after):
        yield sheet(
            [
                plain(value, row.currency) if name in _SUMS and value is not None else value
                for name in _RESULTS
                for value in (getattr(row, name),)
            ]
            for row in page
        )
        after = page[-1].line


def errors(found: BatchCheck) -> str:
    """Write all that was found wrong as CSV."""
    rows = [(one.line, one.field, one.code, one.detail) for one in found.errors]
    return sheet([("line", "field", "code", "detail"), *rows])


# ------------------------------------------------------------------------------------ JSON and CSV


def _json(content: bytes) -> Iterator[tuple[int, object]]:
    given = decode.strict_json(content)
    unknown = [name for name in given if name != "payouts"]
    if unknown:
        decode.refuse(
            FieldError(pointer=f"/{unknown[0]}", code="unknown", detail="There is no such field")
        )
    payouts = given.get("payouts")
    if not isinstance(payouts, list):
        detail = "It is required, and is an array"
        decode.refuse(FieldError(pointer="/payouts", code="missing", detail=detail))
    return iter(enumerate(payouts, 1))


def _csv(content: bytes) -> Iterator[tuple[int, object]]:
    """Yield each row as the JSON that it stands for."""
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")  # Excel's mark of UTF-8
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        _refuse(f"Line {line} of the file is not UTF-8: save it as CSV UTF-8")
    if "\0" in text:
        _refuse("The file contains U+0000: save it as CSV UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    line = 0
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not columns:
                columns = _header(row)
                continue
            line += 1
            yield line, _row(columns, row)
    except csv.Error as exc:
        _refuse(f"Line {reader.line_num} of the file is not CSV: {exc}")


def _header(row: list[str]) -> list[str]:
    columns = [name.strip() for name in row]
    for name in columns:
        if name not in _COLUMNS and not name.startswith(_METADATA):
            known = ", ".join(_COLUMNS)
            _refuse(f"The header line has {name!a}, and columns are {known} and {_METADATA}…")
        if columns.count(name) > 1:
            _refuse(f"The header line has {name!a} more than once")
    for name in _NEEDED:
        if name not in columns:
            _refuse(f"The header line has no {name!a}")
    return columns


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a row stands for nothing."""

    code: str
    detail: str
    field: str | None = None


def _row(columns: Sequence[str], row: Sequence[str]) -> dict[str, Any] | _Fault:
    """Return what a row asks for, or why it asks for nothing."""
    if len(row) != len(columns):
        detail = f"It has {len(row)} fields and the header line has {len(columns)}"
        return _Fault("invalid", f"{detail}: quote what contains a comma")
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    found: dict[str, Any] = {
        name: cell for name, cell in cells.items() if cell and not name.startswith(_METADATA)
    }
    currency = found.setdefault("currency", "INR")
    if currency not in EXPONENTS:
        detail = f"{currency!a} is no currency's ISO 4217 code"
        return _Fault("currency_unknown", detail, "currency")
    amount = read_money(cells["amount"], currency)
    if amount is None:
        detail = f"{cells['amount']!a} can not be paid: {_AMOUNT}"
        return _Fault("amount_invalid", detail, "amount")
    metadata = {
        name.removeprefix(_METADATA): cell
        for name, cell in cells.items()
        if cell and name.startswith(_METADATA)
    }
    flag = found.get(_FLAG, "").lower()
    if flag in {"true", "false"}:
        found[_FLAG] = flag == "true"
    return {**found, "amount": amount, **({"metadata": metadata} if metadata else {})}


def _request(line: int, row: object) -> PayoutRequest | list[LineError]:
    if isinstance(row, _Fault):
        return [LineError(line=line, field=row.field, code=row.code, detail=row.detail)]
    if not isinstance(row, dict):
        return [LineError(line=line, code="invalid", detail="It has to be an object")]
    try:
        try:
            body = msgspec.convert(row, BatchLine)
        except msgspec.ValidationError:
            body = decode.convert(row, BatchLine)  # which tells all that is wrong
        return decode.payout_request(body, body.idempotency_key)
    except Problem as problem:
        return [_line_error(line, error) for error in problem.errors]


def _twice(requests: Mapping[int, PayoutRequest]) -> Iterator[LineError]:
    """Yield the lines whose key a line above has: they would be no second payout."""
    first: dict[str, int] = {}
    for line, request in requests.items():
        key = request.idempotency_key
        if key is not None and first.setdefault(key, line) != line:
            detail = f"Line {first[key]} has the same idempotency key"
            yield LineError(
                line=line, field="idempotency_key", code="idempotency_key_reused", detail=detail
            )


def _line_error(line: int, error: FieldError) -> LineError:
    field = (error.pointer or "").removeprefix("/")
    return LineError(line=line, field=field or None, code=error.code, detail=error.detail)


def _field_error(fault: LineError) -> FieldError:
    where = f"/{fault.field}" if fault.field else ""
    return FieldError(
        pointer=f"/payouts/{fault.line - 1}{where}",
        code=fault.code if fault.code in CATALOG else "invalid",
        detail=f"Line {fault.line}: {fault.detail}",
    )


def _refuse(detail: str) -> NoReturn:
    decode.refuse(FieldError(pointer="/payouts", code="invalid", detail=detail))
