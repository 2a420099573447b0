"""How things are written on a page: times, statuses, and charts. For money see `money`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from markupsafe import Markup

from pyapp import money

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)")
STATUSES: Final = {
    "awaiting_approval": "Awaiting approval",
    "scheduled": "Scheduled",
    "queued": "Queued",
    "pending": "Pending",
    "processing": "Processing",
    "settled": "Settled",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "rejected": "Rejected",
    "expired": "Expired",
    "returned": "Returned",
}
BATCHES: Final = {
    "pending": "Waiting",
    "processing": "Under way",
    "completed": "Done",
    "rejected": "Refused",
    "cancelled": "Cancelled",
}
MODES: Final = {"best_effort": "The others are paid", "all_or_nothing": "None is paid"}
ACCOUNTS: Final = {"account_number": "Account number", "vpa": "UPI address", "iban": "IBAN"}
DAYS: Final = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # by their ISO 8601 number
KINDS: Final = {
    "credit": "Money in",
    "hold": "Held for a payout",
    "settle": "Paid out",
    "fee": "Fee",
    "release": "Released",
    "return": "Returned by the bank",
}
CASES: Final = {
    "outcome_unknown": "Outcome unknown",
    "money_to_recover": "Money to recover",
    "contradiction": "Contradiction",
    "missing_at_bank": "Missing at the bank",
    "unknown_to_us": "Unknown to us",
    "booked_twice": "Booked twice",
    "different_amount": "Another amount",
    "different_outcome": "Another outcome",
}
RESULTS: Final = {  # of a bank's booking beside ours
    "matched": "Matched",
    **{kind: CASES[kind] for kind in [*CASES][3:]},
}
OUTCOMES: Final = {  # what a bank may say of a payout
    "paid": "Paid",
    "refused": "Refused",
    "returned": "Returned",
    "pending": "Working on it",
    "not_found": "Not found",
    "not_sent": "Never sent",
    "unknown": "No clear answer",
}
RESOLUTIONS: Final = {"settle": "Settle", "fail": "Fail", "close": "Close"}
REASONS: Final = {  # why the console shows a payout
    **CASES,
    "contradiction": "The bank contradicted itself",
    "overdue": "Its work is overdue",
    "slow": "No answer for an hour",
    "id": "Id",
    "reference": "Reference",
    "utr": "UTR",
    "idempotency_key": "Idempotency key",
}
ENDPOINTS: Final = {
    "enabled": "In use",
    "failing": "Failing",
    "disabled": "Turned off",
    "archived": "Archived",
}
ENDPOINT_BADGES: Final = {  # the status of a payout that looks like it
    "enabled": "settled",
    "failing": "failed",
    "disabled": "cancelled",
    "archived": "cancelled",
}
DELIVERIES: Final = {"pending": "Waiting", "delivered": "Delivered", "failed": "Given up"}
DELIVERY_BADGES: Final = {"pending": "pending", "delivered": "settled", "failed": "failed"}
ACTIONS: Final = {
    "operator_added": "Operator added",
    "operator_password_set": "Password set",
    "operator_disabled": "Operator disabled",
    "signed_in": "Signed in",
    "merchant_credited": "Merchant credited",
    "rules_set": "Rules set",
    "mode_set": "Mode set",
    "mode_removed": "Mode removed",
    "holiday_set": "Holiday set",
    "holiday_removed": "Holiday removed",
    "fee_set": "Fee set",
    "fee_removed": "Fee removed",
    "resolution_proposed": "Resolution proposed",
    "resolution_confirmed": "Resolution confirmed",
    "resolution_rejected": "Resolution rejected",
}


def several(number: int) -> str:
    """Write a number that was counted up to a hundred; nothing for none."""
    return "99+" if number > 99 else str(number or "")  # noqa: PLR2004


def bounds(least: int, most: int, currency: str) -> str:
    """Write between which sums something is; nothing if they say nothing."""
    low = f"from {money.written(least, currency)}" if least > 1 else ""
    high = f"up to {money.written(most, currency)}" if most < money.MOST else ""
    return f"{low} {high}".strip()


def cost(fixed: int, basis_points: int, currency: str) -> str:
    """Write a fee: what is fixed, and how much of the amount."""
    parts = [
        money.written(fixed, currency) if fixed else "",
        points(basis_points) if basis_points else "",
    ]
    return " + ".join(part for part in parts if part) or "nothing"


def clock(at: time) -> str:
    """Write a time of day, with seconds only if there are any."""
    return at.strftime("%H:%M") if at == at.replace(second=0, microsecond=0) else at.isoformat()


def days(numbers: Sequence[int]) -> str:
    """Write days of the week, three and more in a row as the first and the last."""
    runs: list[list[int]] = []
    for day in sorted(set(numbers)):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(_run([DAYS[day] for day in run]) for run in runs)


def _run(names: Sequence[str]) -> str:
    return f"{names[0]}\N{EN DASH}{names[-1]}" if len(names) > 2 else ", ".join(names)  # noqa: PLR2004


def moment(text: str) -> datetime:
    """Return the instant that the API writes as RFC 3339 in UTC."""
    return datetime.fromisoformat(text)


def exactly(instant: datetime) -> str:
    """Write an instant in full."""
    return instant.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def span(seconds: float | None) -> str:
    """Write a duration with its unit; a dash when there is none."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_PERIOD: Final = re.compile(r"([0-9]{1,9}) *(days?|hours?|minutes?|seconds?)")


def period(seconds: int) -> str:
    """Write a period of time exactly, in the largest unit that can."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def read_period(text: str) -> timedelta | None:
    """Read what `period` writes; None if it is something else."""
    found = _PERIOD.fullmatch(text.strip().lower())
    if found is None:
        return None
    return int(found[1]) * timedelta(seconds=dict(_UNITS)[found[2].removesuffix("s")])


_PER_CENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))? *%?")


def points(basis_points: int) -> str:
    """Write basis points in per cent: 25 is 0.25%, 100 is 1%."""
    whole, part = divmod(basis_points, 100)
    return f"{whole}.{part:02}".removesuffix("00").removesuffix(".") + "%"


def read_points(text: str) -> int | None:
    """Read what `points` writes, nothing as 0; None if it is something else."""
    found = _PER_CENT.fullmatch(text or "0")
    return int(found[1] + (found[2] or "").ljust(2, "0")) if found else None


def rate(good: int, of: int) -> str:
    """Write a share in per cent, never rounded up: 999 of 1000 is 99.9%, and only all is 100%."""
    if not of:
        return "-"
    tenths = good * 1000 // of
    return f"{tenths // 10}%" if tenths % 1000 == 0 else f"{tenths // 10}.{tenths % 10}%"


def sentence(text: str) -> Markup:
    """Write a bank's or a door's words as a sentence, and the instants in it as exact times."""
    text = text.strip()
    ended = text if not text or text[-1] in ".!?…" else f"{text}."
    parts = _INSTANT.split(f"{ended[:1].upper()}{ended[1:]}")
    return Markup().join(
        _instant(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _instant(text: str) -> Markup:
    words = exactly(moment(text))
    return Markup('<time datetime="{0}" title="{1}" data-exact>{1}</time>').format(text, words)


def line(values: Sequence[int], width: int, height: int) -> str:
    """Return the points of a line chart that fills a box, from zero up."""
    top = max(*values, 1)
    step = width / max(len(values) - 1, 1)
    return " ".join(
        f"{number * step:.1f},{height - value / top * height:.1f}"
        for number, value in enumerate(values)
    )


def stack(columns: Sequence[Sequence[int]], height: int) -> list[list[tuple[float, float]]]:
    """Return for each column of a stacked chart its parts, as (y, height) from the bottom up."""
    top = max((sum(column) for column in columns), default=0) or 1
    found = []
    for column in columns:
        parts, low = [], float(height)
        for value in column:
            size = value / top * height
            low -= size
            parts.append((round(low, 1), round(size, 1)))
        found.append(parts)
    return found
