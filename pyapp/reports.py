"""A bank's report of what it booked: all of it is understood, or nothing is imported.

Three shapes, told apart by how they begin:

- JSON, as the sandbox bank writes it: `date`, `generated_at`, `entries` and `totals`, which must
  agree. The report covers [date 00:00Z, the next day 00:00Z), or until `generated_at` if earlier.
- XML: ISO 20022 camt.053 or camt.054. Booked debits are payments; booked credits count where they
  are returns, or name an instruction, and not where they are somebody's money coming in. It covers
  the period that it tells, or the days of its bookings.
- CSV in UTF-8: a header line with the names of an entry's fields, in any order. It covers the days
  (UTC) of its booked_at, from the first until the last.

Amounts are whole minor units (paise), and no float is ever made of one.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from pyapp.doors import ReportLine
from pyapp.rails import iso20022

MOST_BYTES: Final = 128 * 2**20
MOST_LINES: Final = 100_000

_DAY: Final = timedelta(days=1)
_YEARS: Final = range(2000, 3000)  # far from where arithmetic with dates ends
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_CUT: Final = "export it again as the bank gave it"

_Text: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")
]
_Amount: TypeAlias = Annotated[int, Meta(ge=1, le=10**15)]
_Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]


class ReportError(Exception):
    """A report that can't be read; the text says where, what, and what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a bank says it has booked from `since` until before `until`."""

    since: datetime
    until: datetime
    lines: list[ReportLine]


class _Entry(Struct, frozen=True):
    entry_ref: _Text | None
    rail_ref: _Text | None
    kind: Literal["payment", "return"]
    amount: _Amount
    currency: Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]
    utr: _Text | None
    booked_at: _Moment | None
    code: _Text | None = None


class _Totals(Struct, frozen=True):
    payments: int
    amount_paid: int
    returns: int
    amount_returned: int


class _Daily(Struct, frozen=True):
    date: date
    entries: Annotated[list[_Entry], Meta(max_length=MOST_LINES)]
    totals: _Totals
    generated_at: _Moment | None = None


def read(content: bytes, *, since: datetime | None = None, until: datetime | None = None) -> Report:
    """Read a report; `since` and `until` (with a zone) replace the period that it tells itself.

    Raises ReportError.
    """
    if len(content) > MOST_BYTES:
        message = f"the report is larger than {MOST_BYTES >> 20} MiB: split it by days"
        raise ReportError(message)
    _plausible("--from", since)
    _plausible("--until", until)
    content = content.removeprefix(b"\xef\xbb\xbf")  # Excel's mark of UTF-8
    begin = content.lstrip()[:1]
    if not begin:
        message = f"the report is empty: {_CUT}"
        raise ReportError(message)
    shapes = {b"{": _json, b"<": _xml}
    report = shapes.get(begin, _csv)(content, since, until)
    if not report.since < report.until:
        message = (
            f"the period ends at {report.until.isoformat()}, which is not after its begin"
            f" {report.since.isoformat()}: give --from and --until"
        )
        raise ReportError(message)
    _once(report.lines)
    return report


def _json(content: bytes, since: datetime | None, until: datetime | None) -> Report:
    try:
        daily = msgspec.json.decode(content, type=_Daily)
    except msgspec.ValidationError as exc:
        raise ReportError(_explain(str(exc))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        message = f"the report is not whole JSON in UTF-8 ({exc}): {_CUT}"
        raise ReportError(message) from None
    _agree(daily)
    _plausible("date", daily.date)
    _plausible("generated_at", daily.generated_at)
    lines = [_line(f"entries/{place}", entry) for place, entry in enumerate(daily.entries)]
    begin = datetime.combine(daily.date, time(), UTC)
    end = min(begin + _DAY, daily.generated_at or begin + _DAY)
    return Report(since or begin, until or end, lines)


def _agree(daily: _Daily) -> None:
    """Check that the totals are those of the entries: no entry is cut off, doubled or altered."""
    paid = [entry.amount for entry in daily.entries if entry.kind == "payment"]
    returned = [entry.amount for entry in daily.entries if entry.kind == "return"]
    found = _Totals(len(paid), sum(paid), len(returned), sum(returned))
    for name in found.__struct_fields__:
        if getattr(found, name) != getattr(daily.totals, name):
            message = (
                f"totals/{name} says {getattr(daily.totals, name)}, and the entries come to"
                f" {getattr(found, name)}: {_CUT}"
            )
            raise ReportError(message)


def _csv(content: bytes, since: datetime | None, until: datetime | None) -> Report:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        message = f"line {line} is not UTF-8: save the report as UTF-8"
        raise ReportError(message) from None
    lines = [_line(f"line {number}", _entry(number, row)) for number, row in _rows(text)]
    return _of_days(lines, since, until)


def _of_days(lines: list[ReportLine], since: datetime | None, until: datetime | None) -> Report:
    """Return the report of the days (UTC) on which its lines were booked."""
    booked = [line.booked_at.astimezone(UTC).date() for line in lines if line.booked_at]
    if not booked and (since is None or until is None):
        message = "no line of the report says when it was booked: give --from and --until"
        raise ReportError(message)
    first = since or datetime.combine(min(booked), time(), UTC)
    last = until or datetime.combine(max(booked) + _DAY, time(), UTC)
    return Report(first, last, lines)


def _xml(content: bytes, since: datetime | None, until: datetime | None) -> Report:
    try:
        message = iso20022.read(content)
    except iso20022.InvalidMessageError as exc:
        text = f"the report can't be read: {exc}: {_CUT}"
        raise ReportError(text) from None
    if message.kind == "pain.002":
        text = "a pain.002 tells of no bookings: give a camt.053 or camt.054"
        raise ReportError(text)
    lines = [
        _line(f"booking {place}", _booked(entry))
        for place, entry in enumerate(message.entries, 1)
        if entry.raw["status"] == "BOOK"
        and (entry.kind == "payment" or entry.outcome == "returned" or entry.rail_ref)
    ]
    if len(lines) > MOST_LINES:
        text = f"the report has more than {MOST_LINES} lines: split it by days"
        raise ReportError(text)
    if message.period is None:
        return _of_days(lines, since, until)
    return Report(since or message.period[0], until or message.period[1], lines)


def _booked(entry: iso20022.Entry) -> _Entry:
    fields = {name: getattr(entry, name) for name in _Entry.__struct_fields__}
    if entry.kind == "payment":
        fields["code"] = None  # it is the UTR there
    try:
        return msgspec.convert(fields, _Entry)
    except msgspec.ValidationError as exc:
        raise ReportError(_explain(str(exc))) from None


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each row with the number of the line on which it ends."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    found = 0
    try:
        for row in reader:
            if not row:
                continue
            if not columns:
                columns = _header(row)
                continue
            if len(row) != len(columns):
                message = (
                    f"line {reader.line_num} has {len(row)} fields and the header line has"
                    f" {len(columns)}: quote fields that contain a comma"
                )
                raise ReportError(message)
            found += 1
            if found > MOST_LINES:
                message = f"the report has more than {MOST_LINES} lines: split it by days"
                raise ReportError(message)
            yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as exc:
        message = f"line {reader.line_num} is not CSV ({exc}): {_CUT}"
        raise ReportError(message) from None


def _header(row: list[str]) -> list[str]:
    """Return the columns' names; each of an entry's fields is there once."""
    columns = [name.strip() for name in row]
    names = _Entry.__struct_fields__
    wrong = [name for name in names if columns.count(name) != 1]
    if wrong:
        message = (
            f"the header line has no column {wrong[0]}, or two: it names, separated by commas,"
            f" {', '.join(names)}"
        )
        raise ReportError(message)
    return columns


def _entry(number: int, row: Mapping[str, str]) -> _Entry:
    fields: dict[str, object] = {name: value.strip() or None for name, value in row.items()}
    if _WHOLE.fullmatch(amount := row["amount"].strip()):
        fields["amount"] = int(amount)
    try:
        return msgspec.convert(fields, _Entry)
    except msgspec.ValidationError as exc:
        raise ReportError(_explain(str(exc), f"line {number}")) from None


def _line(where: str, entry: _Entry) -> ReportLine:
    _plausible(f"{where}: booked_at", entry.booked_at)
    return ReportLine(
        entry_ref=entry.entry_ref,
        rail_ref=entry.rail_ref,
        kind=entry.kind,
        amount=entry.amount,
        currency=entry.currency,
        utr=entry.utr,
        code=entry.code,
        booked_at=entry.booked_at,
    )


def _plausible(where: str, when: date | None) -> None:
    if when is not None and when.year not in _YEARS:
        message = f"{where} is not a time at which a bank books: {_CUT}"
        raise ReportError(message)


def _once(lines: list[ReportLine]) -> None:
    """Check that no entry is in the report twice, as when two exports were put together."""
    refs = Counter(line.entry_ref for line in lines if line.entry_ref is not None)
    twice = next((ref for ref, count in refs.items() if count > 1), None)
    if twice is not None:
        places = [place for place, line in enumerate(lines, 1) if line.entry_ref == twice]
        message = (
            f"entry_ref {twice!a} is in the report more than once (entries {places[0]} and"
            f" {places[1]}): {_CUT}"
        )
        raise ReportError(message)


def _explain(said: str, where: str = "") -> str:
    """Say msgspec's words with the place first: `entries/3/amount: Expected `int`, got `str``."""
    what, _, path = said.partition(" - at `")
    place = path.removesuffix("`").removeprefix("$").lstrip(".")
    place = place.replace("[", "/").replace("]", "").replace(".", "/")
    whole = ": ".join(part for part in (where, place, what) if part)
    return f"{whole}: amounts are whole minor units, times RFC 3339 with a zone"
