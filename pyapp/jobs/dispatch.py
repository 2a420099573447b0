"""From due payouts to recorded outcomes.

What is due is found from the payouts themselves, so a lost alarm, a crash or a second worker can
cost time but no money. The life of a claim:

    claim (the merchant's lock, commit)
    call the bank (no lock, no transaction)
    record what it said (the merchant's lock, commit)

A worker that dies between two steps leaves a payout in processing. When its lease ends, the next
claim says "enquire", and the bank is asked what became of it before anything is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg

from pyapp import doors, log
from pyapp.database import Pool, turn
from pyapp.rails.rail import Answer, Instruction, NotFound, Paid, Rail, Refused, Unknown

LEASE: Final = timedelta(seconds=30)
CALL_DEADLINE: Final = 10.0  # seconds for one call to a bank; less than half a lease
CLAIM_LIMIT: Final = 100  # payouts of one merchant in one claim
PLACES: Final = 32  # claims that are being worked on at a time
PATIENCE: Final = 1.0  # seconds that a slow bank may hold up its merchant's next claim
GLANCE: Final = 0.2  # seconds after which a busy drain looks for other merchants' work

T = TypeVar("T")
Evidence = TypeVar("Evidence", doors.Settlement, doors.Refusal)
_SILENCE: Final = Unknown("the bank did not answer")


class Dispatcher:
    """One per process; the alarm and the sweep share it.

    `rails` are the banks by the name that bank accounts carry; `actor` is who claims.
    """

    def __init__(self, db: Pool, rails: Mapping[str, Rail], actor: str) -> None:
        self.stopping = asyncio.Event()
        self._db = db
        self._rails = rails
        self._actor = actor
        self._serving: dict[UUID, asyncio.Task[None]] = {}
        self._batches: set[asyncio.Task[int]] = set()
        self._places = asyncio.Semaphore(PLACES)

    async def drain(self) -> None:
        """Work until nothing is due; the look that finds nothing is the last thing done."""
        while True:
            await self.look()
            if not self._serving:
                return
            await asyncio.wait(self._serving.values(), timeout=GLANCE)

    async def look(self) -> None:
        """Start on every merchant with due payouts that isn't being served; don't wait for it."""
        for merchant_id in await doors.due_merchants(self._db):
            if merchant_id not in self._serving and not self.stopping.is_set():
                self._serving[merchant_id] = asyncio.create_task(self._serve(merchant_id))

    async def stop(self) -> None:
        """Claim nothing more, and finish what is claimed."""
        self.stopping.set()
        while unfinished := {*self._serving.values(), *self._batches}:
            await asyncio.wait(unfinished)

    async def _serve(self, merchant_id: UUID) -> None:
        claimed = CLAIM_LIMIT
        while claimed == CLAIM_LIMIT and not self.stopping.is_set():
            await self._places.acquire()
            batch = asyncio.create_task(self._batch(merchant_id))
            self._batches.add(batch)
            batch.add_done_callback(self._leave)
            await asyncio.wait({batch}, timeout=PATIENCE)
            claimed = batch.result() if batch.done() else 0
        del self._serving[merchant_id]

    def _leave(self, batch: asyncio.Task[int]) -> None:
        self._batches.discard(batch)
        self._places.release()

    async def _batch(self, merchant_id: UUID) -> int:
        """Take one claim through its life; return how many payouts it had."""
        started = _Moment()
        try:
            async with turn(merchant_id):
                claims = await doors.claim_payouts(
                    self._db, merchant_id, limit=CLAIM_LIMIT, lease=LEASE, actor=self._actor
                )
            answers = await self._answers(claims, started)
            async with turn(merchant_id):
                await self._record(merchant_id, claims, answers)
        except Exception as exc:  # noqa: BLE001  # one merchant's trouble is not the others'
            log.failure("dispatch failed", exc, merchant_id=merchant_id)
            await asyncio.sleep(PATIENCE)
            return 0
        return len(claims)

    # ------------------------------------------------------------------------------- the bank

    async def _answers(
        self, claims: Sequence[doors.Claim], started: _Moment
    ) -> Mapping[str, Answer]:
        """Return the answers by rail_ref; several banks are called at a time."""
        by_rail = defaultdict[str, list[doors.Claim]](list)
        for claim in claims:
            by_rail[claim.rail].append(claim)
        spoken = await asyncio.gather(
            *(
                _talk(self._rails[rail], group, started)
                for rail, group in by_rail.items()
                if rail in self._rails
            )
        )
        return {rail_ref: answer for answers in spoken for rail_ref, answer in answers.items()}

    # ------------------------------------------------------------------------------- the record

    async def _record(
        self, merchant_id: UUID, claims: Sequence[doors.Claim], answers: Mapping[str, Answer]
    ) -> None:
        """Record each answer with its evidence; what isn't final stays processing for later."""
        paid, refused, unknown = _sorted(claims, answers)
        settle = partial(doors.settle_payouts, self._db, merchant_id, actor=self._actor)
        fail = partial(doors.fail_payouts, self._db, merchant_id, actor=self._actor)
        for effect in [*await _tell(settle, paid), *await _tell(fail, refused)]:
            if effect.effect == "contradicted":
                _alarm("evidence contradicts", merchant_id, effect)
            elif effect.effect == "refused":  # an unlisted code, an impossible UTR: no final answer
                _alarm("answer not understood", merchant_id, effect)
                unknown[f"not understood: {effect.detail}"].append(effect.payout_id)
        for reason, payout_ids in unknown.items():
            await doors.postpone_payouts(self._db, merchant_id, payout_ids, reason=reason)
        if claims:
            log.event(
                "dispatched",
                merchant_id=merchant_id,
                claimed=len(claims),
                unknown=sum(map(len, unknown.values())),
            )


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a claim was asked for, by two clocks.

    The steady one may stand still while a machine sleeps; the other may be set back. Neither is
    compared with another machine's.
    """

    steady: float = field(default_factory=time.monotonic)
    wall: float = field(default_factory=time.time)

    def is_too_old_to_send(self) -> bool:
        """Whether half the lease is over: then the payout's send_before may have passed."""
        age = max(time.monotonic() - self.steady, time.time() - self.wall)
        return age >= LEASE.total_seconds() / 2


async def _talk(rail: Rail, claims: Sequence[doors.Claim], started: _Moment) -> dict[str, Answer]:
    """Enquire about what may have been sent before, then send what the bank hasn't got."""
    answers: dict[str, Answer] = {claim.rail_ref: _SILENCE for claim in claims}
    size = rail.capabilities.batch_size

    for group in _groups([claim for claim in claims if claim.action == "enquire"], size):
        rail_refs = [claim.rail_ref for claim in group]
        answers |= await _call(rail_refs, rail.enquire(rail_refs))

    def is_to_be_sent(claim: doors.Claim) -> bool:
        lost = isinstance(answers[claim.rail_ref], NotFound)
        return claim.action == "submit" or (lost and rail.capabilities.deduplicates_references)

    for group in _groups([claim for claim in claims if is_to_be_sent(claim)], size):
        rail_refs = [claim.rail_ref for claim in group]
        if started.is_too_old_to_send():
            answers |= dict.fromkeys(rail_refs, Unknown("not sent: the claim was too old"))
        else:
            answers |= await _call(rail_refs, rail.submit([_instruction(claim) for claim in group]))
    return answers


async def _call(
    rail_refs: Sequence[str], call: Coroutine[Any, Any, Mapping[str, Answer]]
) -> dict[str, Answer]:
    """Call the bank; whatever goes wrong, each reference has an answer."""
    answers: dict[str, Answer] = dict.fromkeys(rail_refs, _SILENCE)
    try:
        async with asyncio.timeout(CALL_DEADLINE):
            said = await call
        answers |= {rail_ref: said[rail_ref] for rail_ref in rail_refs if rail_ref in said}
    except Exception as exc:  # noqa: BLE001  # a bank may fail in any way: the outcome is unknown
        log.failure("bank call failed", exc, instructions=len(rail_refs))
    return answers


def _sorted(
    claims: Sequence[doors.Claim], answers: Mapping[str, Answer]
) -> tuple[list[doors.Settlement], list[doors.Refusal], defaultdict[str, list[UUID]]]:
    """Return what is paid, what is refused, and by reason what is neither."""
    paid, refused = list[doors.Settlement](), list[doors.Refusal]()
    unknown = defaultdict[str, list[UUID]](list)
    for claim in claims:
        match answers.get(claim.rail_ref, _SILENCE):
            case Paid(utr, raw):
                paid.append(doors.Settlement(claim.payout_id, utr, raw))
            case Refused(code, reason, raw):
                refused.append(doors.Refusal(claim.payout_id, code, reason, raw))
            case NotFound():
                unknown["the bank does not know the instruction"].append(claim.payout_id)
            case Unknown(reason):
                unknown[reason].append(claim.payout_id)
            case _:  # whatever else a rail may return
                unknown["the bank's answer is not understood"].append(claim.payout_id)
    return paid, refused, unknown


async def _tell(
    record: Callable[[Sequence[Evidence]], Awaitable[list[doors.Effect]]],
    evidence: Sequence[Evidence],
) -> list[doors.Effect]:
    """Record a batch; where PostgreSQL can't store one item's text, only that item is unknown."""
    if not evidence:
        return []
    try:
        return await record(evidence)
    except (psycopg.DataError, UnicodeError) as exc:
        if len(evidence) == 1:
            log.failure("answer unreadable", exc, payout_id=evidence[0].payout_id)
            return [doors.Effect(evidence[0].payout_id, "refused", "processing", "unreadable")]
        singly = [await _tell(record, [item]) for item in evidence]
        return [effect for effects in singly for effect in effects]


def _instruction(claim: doors.Claim) -> Instruction:
    return Instruction(
        rail_ref=claim.rail_ref,
        amount=claim.amount,
        currency=claim.currency,
        account_number=claim.account_number,
        ifsc=claim.ifsc,
        holder_name=claim.holder_name,
        valid_until=claim.send_before,
    )


def _groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _alarm(name: str, merchant_id: UUID, effect: doors.Effect) -> None:
    log.event(
        name,
        level=logging.ERROR,
        merchant_id=merchant_id,
        payout_id=effect.payout_id,
        status=effect.status,
        detail=effect.detail,
    )
