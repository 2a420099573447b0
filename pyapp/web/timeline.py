"""How a payout went, as its merchant is told: without a bank's own words or a worker's name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from pyapp import doors
from pyapp.web import shown

_SAID: Final = {
    "pending": "The bank has it and is working on it",
    "not_found": "The bank has not seen it so far",
    "not_sent": "The bank could not be reached, nothing was sent",
    "unknown": "The bank has not answered",
}
_ENDS: Final = frozenset({"settled", "failed", "cancelled", "returned", "rejected", "expired"})
_WAITS: Final = {
    "awaiting_approval": "It waits until somebody else has approved it.",
    "scheduled": "",
    "queued": "It waits for money.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened; `status` is the payout's after it."""

    status: str
    at: datetime
    title: str
    note: str = ""


def steps(
    payout: Mapping[str, Any],
    row: doors.Payout,
    attempts: Sequence[doors.Attempt],
    evidence: Sequence[doors.Evidence],
) -> list[Step]:
    """Return what happened to a payout, oldest first, and in the last step what happens next.

    `payout` is as the API shows it, with its history.
    """
    ended = [shown.moment(one["at"]) for one in payout["history"] if one["to"] in _ENDS]
    lines = {one.attempt for one in evidence if "queue" in _answer(one)}
    open_answers = [
        one
        for one in evidence
        if one.effect == "noted"
        and one.outcome in _SAID
        and "queue" not in _answer(one)
        and (not ended or one.recorded_at < ended[0])
    ]
    found = [
        *_changes(payout, attempts),
        *_sendings(attempts, {one.attempt for one in evidence if one.outcome == "not_sent"}, lines),
        *(Step("processing", one.recorded_at, _said(one)) for one in open_answers),
    ]
    told = [_together([*same]) for _, same in groupby(sorted(found, key=_when), key=_title)]
    # what has been taken up again is not waiting
    waits = row.status in {"pending", "processing"} and any(
        one.attempt == row.attempts for one in open_answers
    )
    if waits and row.next_action_at:
        what = "send" if row.status == "pending" else "ask again"
        told[-1] = replace(told[-1], note=f"We {what} at {shown.exactly(row.next_action_at)}.")
    return told


def _changes(payout: Mapping[str, Any], attempts: Sequence[doors.Attempt]) -> Iterator[Step]:
    details = payout["status_details"] or {}
    for change in payout["history"]:
        status, at = change["to"], shown.moment(change["at"])
        if change["from"] is None:
            yield Step(status, at, "Requested", _waits(payout, status))
        elif status in _WAITS or (status == "pending" and change["from"] in _WAITS):
            yield _goes_on(payout, change)
        elif status == "processing" and not attempts:
            yield Step(status, at, "Sent to the bank")
        elif status == "settled":
            yield Step(status, at, f"Paid, UTR {payout['utr']}")
        elif status == "failed":
            yield Step(status, at, "Failed", details.get("description") or "")
        elif status in {"cancelled", "rejected", "expired"}:
            yield Step(status, at, shown.STATUSES[status], change["reason"] or "")
        elif status == "returned":
            said = details.get("description") or details.get("rail_code")
            yield Step(status, at, f"Sent back by the beneficiary's bank: {said}")


def _goes_on(payout: Mapping[str, Any], change: Mapping[str, Any]) -> Step:
    """Return the step of a payout that waited, and waits for something else or for no more."""
    status, at = change["to"], shown.moment(change["at"])
    if change["from"] == "awaiting_approval":
        return Step(status, at, "Approved", _waits(payout, status))
    if status == "pending":
        return Step(status, at, "Its money is held")
    return Step(status, at, shown.STATUSES[status], _waits(payout, status))


def _waits(payout: Mapping[str, Any], status: str) -> str:
    """Return for what a payout waits that has come to this status."""
    if status == "scheduled":
        return f"It is to be paid at {shown.exactly(shown.moment(payout['scheduled_at']))}."
    return _WAITS.get(status, "")


def _said(one: doors.Evidence) -> str:
    """Return what a bank has said that ends nothing; of one that answers by files, where it is."""
    said = _answer(one)
    if one.outcome != "pending" or "file" not in said:
        return _SAID[one.outcome]
    if said["file"] is None:
        return "It waits for the next payment file"
    if said["sent_at"] is None:
        return f"In the payment file {said['file']}, which has not left yet"
    return f"Sent in the payment file {said['file']}, the bank has not answered"


def _answer(one: doors.Evidence) -> Mapping[str, Any]:
    found = json.loads(one.answer or "{}")
    return found if isinstance(found, dict) else {}


def _sendings(
    attempts: Sequence[doors.Attempt], never_left: set[int | None], in_line: set[int | None]
) -> Iterator[Step]:
    sent = [one for one in attempts if one.action == "submit" and one.attempt not in never_left]
    for number, one in enumerate(sent):
        if one.attempt in in_line:
            yield Step("processing", one.claimed_at, "Put in line for the next payment file")
        elif number == 0:
            yield Step("processing", one.claimed_at, "Sent to the bank")
        else:
            note = "Under the same reference, so that it is paid once at most."
            yield Step("processing", one.claimed_at, "Sent to the bank again", note)


def _together(same: list[Step]) -> Step:
    """Return one step for several that say the same: the newest."""
    newest = same[-1]
    if len(same) == 1:
        return newest
    return replace(newest, title=f"{newest.title} ({len(same)} times)")


def _when(step: Step) -> datetime:
    return step.at


def _title(step: Step) -> str:
    return step.title
