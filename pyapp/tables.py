"""Aligned text for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabulate import tabulate

from pyapp.money import EXPONENTS, plain

Record = Mapping[str, Any]

_AMOUNTS: Final = {  # where the currency is
    "amount": "currency",
    "fee": "currency",
    "amount_from": "currency",
    "fixed": "currency",
    "change": "currency",
    "available": "currency",
    "held": "currency",
    "bank_amount": "bank_currency",
}


def money(currency: str, amount: int) -> str:
    """Return an amount of minor units for people: `INR 10,000.00`."""
    if currency not in EXPONENTS:  # a bank may have booked anything
        return f"{currency} {amount:,} (minor units)"
    sign = "-" if amount < 0 else ""
    whole, point, part = plain(abs(amount), currency).partition(".")
    return f"{currency} {sign}{int(whole):,}{point}{part}"


def table(records: Sequence[Record], *fields: str) -> str:
    """Return one line per record under the names of the fields; amounts stand at the right."""
    if not records:
        return "(none)"
    return tabulate(
        [[_cell(record, field) for field in fields] for record in records],
        headers=[_heading(field) for field in fields],
        colalign=["right" if field in _AMOUNTS else "left" for field in fields],
        tablefmt="simple",
        disable_numparse=True,
    )


def details(record: Record, *fields: str) -> str:
    """Return one line per field of a record; a field without a value has none."""
    lines = [(_heading(field), _cell(record, field)) for field in fields]
    return tabulate([line for line in lines if line[1]], tablefmt="plain", disable_numparse=True)


def _heading(field: str) -> str:
    return field.removesuffix("_at").replace("_", " ")


def _cell(record: Record, field: str) -> str:
    value = record.get(field)
    if value is None:
        return ""
    if field in _AMOUNTS:
        return money(record[_AMOUNTS[field]], value)
    if field.endswith("_at"):
        return f"{value[:10]} {value[11:19]}"  # RFC 3339, in UTC
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if text.isprintable() else ascii(text)  # no name may move a terminal's cursor
