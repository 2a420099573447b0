"""One bank's counter: what many claims have for it goes there in few calls.

At most a few calls are under way; whatever comes meanwhile joins the next one, so nothing waits
for a timer and a busy bank is called with full batches. Whatever goes wrong, every claim gets an
answer. Calls are counted, and failures told at once: they open the bank's circuit breaker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from pyapp import doors, log
from pyapp.database import Pool
from pyapp.rails.rail import Answer, Instruction, NotReachedError, NotSent, Rail, Unknown

CALL_DEADLINE: Final = 10.0  # seconds for one call to a bank; less than half a lease
_CALLS: Final = 4  # under way at a time, of each action

_SILENCE: Final = Unknown("the bank did not answer")
_LATE: Final[dict[str, Answer]] = {
    "submit": NotSent("the claim was too old to be sent"),
    # an answer that comes when the lease is over is a later attempt's: asking would be in vain
    "enquire": Unknown("the bank could not be asked in time"),
}


class Clock(Protocol):
    """Tells whether something may still be sent."""

    def is_too_old_to_send(self) -> bool:
        """Whether the payout's send_before may have passed."""


Report = Callable[["Tally", str | None], Awaitable[None]]


@dataclass(slots=True)
class Tally:
    """Calls that were made and are not reported yet."""

    action: str
    calls: int = 0
    failed: int = 0
    instructions: int = 0
    busy: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class _Waiting:
    claim: doors.Claim
    moment: Clock
    answer: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Teller:
    """The counter of one bank in one process; `report` is told of calls (payrail.report_calls)."""

    def __init__(self, name: str, rail: Rail, report: Report) -> None:
        self._name = name
        self._rail = rail
        self._report = report
        self._lines: dict[str, deque[_Waiting]] = {"submit": deque(), "enquire": deque()}
        self._tallies = {action: Tally(action) for action in self._lines}
        self._calls: dict[str, set[asyncio.Task[None]]] = {action: set() for action in self._lines}
        self._failing = True  # until a call has succeeded, which is told at once

    async def serve(self, claims: Sequence[doors.Claim], moment: Clock) -> dict[str, Answer]:
        """Take claims to the bank; return the answers by rail_ref."""
        waiting = [_Waiting(claim, moment) for claim in claims]
        for one in waiting:
            self._lines[one.claim.action].append(one)
        for action in self._lines:  # with whoever else comes in this turn of the loop
            asyncio.get_running_loop().call_soon(self._call, action)
        return {one.claim.rail_ref: await one.answer for one in waiting}

    async def flush(self) -> None:
        """Report what was counted."""
        for action, tally in self._tallies.items():
            if tally.calls:
                self._tallies[action] = Tally(action)
                await self._report(tally, None)

    def _call(self, action: str) -> None:
        """Start calls while some wait and the bank has room."""
        line, calls = self._lines[action], self._calls[action]
        while line and len(calls) < _CALLS:
            size = min(len(line), self._rail.capabilities.batch_size)
            batch = [line.popleft() for _ in range(size)]
            task = asyncio.create_task(self._talk(action, batch))
            calls.add(task)
            task.add_done_callback(lambda done: self._leave(action, done))

    def _leave(self, action: str, done: asyncio.Task[None]) -> None:
        self._calls[action].discard(done)
        self._call(action)

    async def _talk(self, action: str, batch: Sequence[_Waiting]) -> None:
        answers: dict[str, Answer] = {}
        try:
            late = [one for one in batch if one.moment.is_too_old_to_send()]
            answers |= {one.claim.rail_ref: _LATE[action] for one in late}
            timely = {one.claim.rail_ref: one.claim for one in batch if one not in late}
            if timely:
                answers |= await self._ask(action, [*timely.values()])
        finally:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_result(answers.get(one.claim.rail_ref, _SILENCE))

    async def _ask(self, action: str, claims: Sequence[doors.Claim]) -> dict[str, Answer]:
        """Call the bank; whatever goes wrong, each reference has an answer."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        rail_refs = [claim.rail_ref for claim in claims]
        answers: dict[str, Answer] = dict.fromkeys(rail_refs, _SILENCE)
        error = None
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                said: Mapping[str, Answer] = (
                    await self._rail.submit([_instruction(claim) for claim in claims])
                    if action == "submit"
                    else await self._rail.enquire(rail_refs)
                )
            answers |= {rail_ref: said[rail_ref] for rail_ref in rail_refs if rail_ref in said}
        except NotReachedError:
            error = "the bank could not be reached"
            answers = dict.fromkeys(rail_refs, NotSent(error))
        except Exception as exc:  # noqa: BLE001  # a bank may fail in any way: nothing is known
            error = str(exc) or f"the bank did not answer: {type(exc).__name__}"
        if error is not None:
            log.event(
                "bank call failed",
                level=logging.WARNING,
                rail=self._name,
                action=action,
                instructions=len(claims),
                error=error,
            )
        await self._count(action, len(claims), loop.time() - started, error)
        return answers

    async def _count(self, action: str, instructions: int, busy: float, error: str | None) -> None:
        """Count a call; a failure, and the first success after one, are reported at once."""
        if error is not None:
            await self._report(Tally(action, 1, 1, instructions, busy), error)
            self._failing = self._failing or action == "submit"
            return
        tally = self._tallies[action]
        tally.calls += 1
        tally.instructions += instructions
        tally.busy += busy
        if self._failing and action == "submit":
            self._failing = False
            await self.flush()


def report_to(db: Pool, rail: str) -> Report:
    """Return how calls to this bank are reported; a database that is away costs only the count."""

    async def report(tally: Tally, error: str | None) -> None:
        try:
            await doors.report_calls(
                db,
                rail,
                tally.action,
                calls=tally.calls,
                failed=tally.failed,
                instructions=tally.instructions,
                busy=timedelta(seconds=tally.busy),
                error=error,
            )
        except Exception as exc:  # noqa: BLE001  # the payouts come first
            log.event("calls not counted", level=logging.WARNING, rail=rail, error=repr(exc))

    return report


def _instruction(claim: doors.Claim) -> Instruction:
    return Instruction(
        rail_ref=claim.rail_ref,
        amount=claim.amount,
        currency=claim.currency,
        account_number=claim.account_number,
        ifsc=claim.ifsc,
        holder_name=claim.holder_name,
        valid_until=claim.send_before,
        vpa=claim.vpa,
        iban=claim.iban,
        mode=claim.mode,
        narration=claim.narration,
    )
