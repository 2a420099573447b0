"""The sandbox bank, as PayRail calls it: JSON over HTTP (docs/sandbox.md)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any, Final

import httpx
import msgspec

from pyapp.rails.rail import (
    Answer,
    Capabilities,
    Instruction,
    NotFound,
    NotReachedError,
    Paid,
    Pending,
    Refused,
    Returned,
    Unknown,
)

_TIMEOUT: Final = httpx.Timeout(8.0, connect=2.0)
_TOTAL: Final = 9.0  # seconds for one call, however slowly the answer drips in
_LIMITS: Final = httpx.Limits(max_connections=64, max_keepalive_connections=32)
_MAX_BODY: Final = 4 * 1024 * 1024
_OK: Final = 200
_NOTHING_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

CAPABILITIES: Final = Capabilities(
    deduplicates_references=True,
    honours_valid_until=True,
    batch_size=100,
    # what is sent is executed at once or, after valid_until, never
    finality=timedelta(seconds=60),
    accounts=frozenset({"account_number", "vpa", "iban"}),
)


class BankError(Exception):
    """A call whose outcome nobody knows; the text has nothing of what the bank has sent."""


class _Answers(msgspec.Struct):
    answers: list[dict[str, Any]]


@asynccontextmanager
async def open_sandbox(url: str, key: str, *, deduplicates: bool = True) -> AsyncIterator[Sandbox]:
    """Open connections to the bank at `url` (http://host:port) under its bearer key.

    Whether it executes no reference twice is the bank's setting, and has to be told here, too.
    """
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"},
        timeout=_TIMEOUT,
        limits=_LIMITS,
        follow_redirects=False,
        trust_env=False,  # neither a proxy nor a .netrc comes between
    ) as client:
        yield Sandbox(client, replace(CAPABILITIES, deduplicates_references=deduplicates))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox bank over an HTTP client that knows its address and key.

    NotReachedError if no connection can be had, BankError for everything else that goes wrong with
    a whole call.
    """

    client: httpx.AsyncClient
    capabilities: Capabilities

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        """Send payment orders; return the answers by rail_ref."""
        orders = [
            {
                "rail_ref": order.rail_ref,
                "amount": order.amount,
                "currency": order.currency,
                "account_number": order.account_number,
                "ifsc": order.ifsc,
                "vpa": order.vpa,
                "iban": order.iban,
                "holder_name": order.holder_name,
                "mode": order.mode,
                "narration": order.narration,
                "valid_until": order.valid_until.astimezone(UTC),
            }
            for order in instructions
        ]
        if not orders:
            return {}
        items = await self._call("/v1/instructions", {"instructions": orders})
        answers = _by_ref(items, (order.rail_ref for order in instructions))
        return {
            # an answer to an enquiry only: it was sent just now
            ref: Unknown("the bank says not_found", answer.raw)
            if isinstance(answer, NotFound)
            else answer
            for ref, answer in answers.items()
        }

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        """Ask what became of payment orders; return the answers by rail_ref."""
        if not rail_refs:
            return {}
        items = await self._call("/v1/enquiries", {"rail_refs": rail_refs})
        return _by_ref(items, rail_refs)

    async def tend(self) -> None:
        """Do nothing: this bank leaves nothing in a mailbox."""

    async def _call(self, path: str, body: object) -> list[dict[str, Any]]:
        found = bytearray()
        try:
            async with (
                asyncio.timeout(_TOTAL),
                self.client.stream(
                    "POST",
                    path,
                    content=msgspec.json.encode(body),
                    headers={"Content-Type": "application/json"},
                ) as response,
            ):
                if response.status_code != _OK:
                    message = f"the bank answered with status {response.status_code}"
                    raise BankError(message)
                async for chunk in response.aiter_raw():
                    found += chunk
                    if len(found) > _MAX_BODY:
                        message = "the bank's answer is too long"
                        raise BankError(message)
        except _NOTHING_LEFT as exc:
            message = f"the bank could not be reached: {type(exc).__name__}"
            raise NotReachedError(message) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            message = f"the bank's answer was lost: {type(exc).__name__}"
            raise BankError(message) from None
        try:
            return msgspec.json.decode(bytes(found), type=_Answers).answers
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            message = "the bank's answer is unreadable"
            raise BankError(message) from None


def _by_ref(items: Iterable[dict[str, Any]], asked: Iterable[str]) -> dict[str, Answer]:
    """Return what is said of each reference that was asked about."""
    said = defaultdict[str, list[dict[str, Any]]](list)
    for item in items:
        said[str(item.get("rail_ref"))].append(item)
    answers: dict[str, Answer] = {}
    for ref in asked:
        match said.get(ref, ()):
            case [item]:
                answers[ref] = _read(item)
            case [item, *others] if all(other == item for other in others):
                answers[ref] = _read(item)
            case [item, *_]:
                answers[ref] = Unknown("the bank says two things at once", item)
    return answers


def _read(item: dict[str, Any]) -> Answer:  # noqa: PLR0911  # one for each kind of answer
    """Return one answer; what is not exactly as agreed is unknown."""
    reason = item.get("reason")
    why = reason if isinstance(reason, str) else None
    match item:
        case {"state": "paid", "utr": str(utr)} if _fits(utr):
            return Paid(utr, item)
        case {"state": "refused", "code": str(code)} if _fits(code):
            return Refused(code, why, item)
        case {"state": "returned", "utr": str(utr), "code": str(code)} if _fits(utr, code):
            return Returned(utr, code, why, item)
        case {"state": "pending"}:
            return Pending("the bank has not decided", item)
        case {"state": "not_found"}:
            return NotFound(item)
        case {"state": "expired"}:  # an earlier submission may have been executed
            return Unknown("the bank got it after valid_until", item)
        case _:
            return Unknown("the bank's answer is not understood", item)


def _fits(*texts: str) -> bool:
    return all(1 <= len(text) <= 35 for text in texts)  # noqa: PLR2004  # as rail.py promises
