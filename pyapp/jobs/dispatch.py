"""From due payouts to recorded outcomes.

What is due is found from the payouts themselves, so a lost alarm, a crash or a second worker can
cost time but no money. The life of a claim:

    claim (the merchant's lock, commit)
    call the bank (no lock, no transaction)
    record what it said (the merchant's lock, commit)

A worker that dies between two steps leaves a payout in processing. When its lease ends, the next
claim says "enquire", and the bank is asked what became of it before anything is sent again. What
an answer means is decided where it is recorded, by payrail.record_answers.

A merchant's work is a task of its own. What several of them claim, and record, at the same moment
goes to the database as one call, and to the bank in one, so a crowd of merchants costs little more
than one with as many payouts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final
from uuid import UUID

import psycopg

from pyapp import doors, log
from pyapp.database import Pool
from pyapp.gather import Gather
from pyapp.jobs.teller import Teller, report_to
from pyapp.rails.rail import (
    Answer,
    NotFound,
    NotSent,
    Paid,
    Pending,
    Rail,
    Refused,
    Returned,
    Unknown,
)

LEASE: Final = timedelta(seconds=30)
CLAIM_LIMIT: Final = 100  # payouts of one merchant in one claim
TOGETHER: Final = 20  # merchants in one call
IN_ALL: Final = 400  # payouts in one call for several
ALONE: Final = 2  # calls for one merchant, whose lock somebody else holds
PLACES: Final = 64  # claims that are being worked on at a time
AHEAD: Final = 4  # claims of one merchant that wait for a bank at a time
PATIENCE: Final = 1.0  # seconds that a slow bank may hold up its merchant
GLANCE: Final = 0.2  # seconds after which a busy drain looks for other merchants' work

_SILENCE: Final = Unknown("the bank did not answer")


class Dispatcher:
    """One per bank in a process, so that a bank that hangs holds up nobody at another one.

    The alarm and the sweep share it. `rails` are the banks by the name that bank accounts carry;
    `actor` is who claims; nothing is claimed any more once `stopping` is set.
    """

    def __init__(
        self, db: Pool, rails: Mapping[str, Rail], actor: str, stopping: asyncio.Event
    ) -> None:
        self.stopping = stopping
        self._db = db
        self._rails = rails
        self._is_declared = False
        self._tellers = {
            name: Teller(name, rail, report_to(db, name)) for name, rail in rails.items()
        }
        self._actor = actor
        self._serving: dict[UUID, asyncio.Task[None]] = {}
        self._batches: dict[asyncio.Task[None], UUID] = {}
        self._places = asyncio.Semaphore(PLACES)
        self._claims = Gather(
            "claim_payouts", self._claim, partial(self._claim, wait=True), TOGETHER, ALONE
        )
        self._records = Gather(
            "record_answers", self._record, partial(self._record, wait=True), TOGETHER, ALONE
        )

    async def drain(self) -> None:
        """Work until nothing is due; the look that finds nothing is the last thing done."""
        while True:
            await self.look()
            if not self._serving:
                return
            await asyncio.wait(self._serving.values(), timeout=GLANCE)

    async def look(self) -> None:
        """Start on every merchant with due payouts that isn't being served; don't wait for it."""
        await self.declare()
        for merchant_id in await doors.due_merchants(self._db, rails=[*self._tellers]):
            if merchant_id not in self._serving and not self.stopping.is_set():
                self._serving[merchant_id] = asyncio.create_task(self._serve(merchant_id))

    async def declare(self) -> None:
        """Tell, once, what each bank can be relied on for: what may be sent again goes by it."""
        if self._is_declared:
            return
        for name, rail in self._rails.items():
            relied = rail.capabilities
            await doors.declare_rail(
                self._db,
                name,
                deduplicates_references=relied.deduplicates_references,
                honours_valid_until=relied.honours_valid_until,
                batch_size=relied.batch_size,
                finality=relied.finality,
                accounts=relied.accounts,
            )
        self._is_declared = True

    async def flush(self) -> None:
        """Report the calls to the banks that were counted."""
        for teller in self._tellers.values():
            await teller.flush()

    async def stop(self) -> None:
        """Finish what is claimed; nothing more is, as `stopping` is set."""
        while unfinished := {*self._serving.values(), *self._batches}:
            await asyncio.wait(unfinished)

    async def _serve(self, merchant_id: UUID) -> None:
        """Claim while there is more; the bank is called for one claim while the next is made."""
        is_more = True
        while is_more and not self.stopping.is_set():
            if await self._is_full(merchant_id):
                break
            await self._places.acquire()
            claimed = await self._claim_of(merchant_id)
            is_more = claimed.is_more
            batch = asyncio.create_task(self._finish(merchant_id, claimed))
            self._batches[batch] = merchant_id
            batch.add_done_callback(self._leave)
        if ours := self._under_way(merchant_id):
            await asyncio.wait(ours, timeout=PATIENCE)
        del self._serving[merchant_id]

    async def _is_full(self, merchant_id: UUID) -> bool:
        """Wait a while until fewer claims of this merchant wait for a bank."""
        ours = self._under_way(merchant_id)
        if len(ours) < AHEAD:
            return False
        done, _ = await asyncio.wait(ours, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        return not done

    def _under_way(self, merchant_id: UUID) -> list[asyncio.Task[None]]:
        return [batch for batch, whose in self._batches.items() if whose == merchant_id]

    def _leave(self, batch: asyncio.Task[None]) -> None:
        del self._batches[batch]
        self._places.release()

    async def _claim_of(self, merchant_id: UUID) -> _Claimed:
        try:
            return await self._claims.ask(merchant_id, merchant_id)
        except Exception as exc:  # noqa: BLE001  # one merchant's trouble is not the others'
            log.failure("claim failed", exc, merchant_id=merchant_id)
            await asyncio.sleep(PATIENCE)
            return _Claimed()

    async def _claim(
        self, merchant_ids: Sequence[UUID], *, wait: bool = False
    ) -> list[_Claimed | None]:
        """Claim for each of these merchants; None if somebody else holds its lock."""
        started = _Moment()
        limit = max(1, min(CLAIM_LIMIT, IN_ALL // len(merchant_ids)))
        claims = await doors.claim_payouts_for_many(
            self._db,
            merchant_ids,
            limit=limit,
            lease=LEASE,
            actor=self._actor,
            rails=[*self._tellers],
            wait=wait,
        )
        return [
            None
            if one is None
            else _Claimed(claims=one, is_more=len(one) == limit, started=started)
            for one in (claims.pop(merchant_id, None) for merchant_id in merchant_ids)  # once
        ]

    async def _finish(self, merchant_id: UUID, claimed: _Claimed) -> None:
        """Take one claim to the bank, and record what that said."""
        try:
            answers = await self._answers(claimed.claims, claimed.started)
            await self._note(merchant_id, claimed.claims, answers)
        except Exception as exc:  # noqa: BLE001  # when the lease ends, the bank is asked
            log.failure("dispatch failed", exc, merchant_id=merchant_id)
            await asyncio.sleep(PATIENCE)

    # ------------------------------------------------------------------------------- the bank

    async def _answers(
        self, claims: Sequence[doors.Claim], started: _Moment
    ) -> Mapping[str, Answer]:
        """Return the answers by rail_ref; several banks are asked at a time."""
        by_rail = defaultdict[str, list[doors.Claim]](list)
        for claim in claims:
            by_rail[claim.rail].append(claim)
        served = await asyncio.gather(
            *(self._tellers[rail].serve(group, started) for rail, group in by_rail.items())
        )
        return {rail_ref: answer for said in served for rail_ref, answer in said.items()}

    # ------------------------------------------------------------------------------- the record

    async def _note(
        self, merchant_id: UUID, claims: Sequence[doors.Claim], answers: Mapping[str, Answer]
    ) -> None:
        """Record each answer with its evidence; what isn't final stays processing for later."""
        said = [_told(claim, answers.get(claim.rail_ref, _SILENCE)) for claim in claims]
        effects = await self._tell(merchant_id, said)
        for effect in effects:
            if effect.effect == "contradicted":
                _alarm("evidence contradicts", merchant_id, effect)
            elif effect.effect == "refused":  # an unlisted code, an impossible UTR: no final answer
                _alarm("answer not understood", merchant_id, effect)
        if claims:
            log.event(
                "dispatched",
                merchant_id=merchant_id,
                claimed=len(claims),
                unknown=sum(effect.status == "processing" for effect in effects),
            )

    async def _tell(
        self, merchant_id: UUID, said: Sequence[doors.BankAnswer]
    ) -> list[doors.Effect]:
        """Record a batch; where PostgreSQL can't store one item's text, only that is unknown."""
        if not said:
            return []
        try:
            return await self._records.ask(merchant_id, said)
        except (psycopg.DataError, UnicodeError) as exc:
            if len(said) > 1:
                singly = [await self._tell(merchant_id, [item]) for item in said]
                return [effect for effects in singly for effect in effects]
            (item,) = said
            log.failure("answer unreadable", exc, payout_id=item.payout_id)
            unreadable = doors.BankAnswer(
                merchant_id,
                item.payout_id,
                "unknown",
                reason="the bank's answer can't be stored",
                attempt=item.attempt,
            )
            return await self._records.ask(merchant_id, [unreadable])

    async def _record(
        self, batches: Sequence[Sequence[doors.BankAnswer]], *, wait: bool = False
    ) -> list[list[doors.Effect] | None]:
        """Record the answers of each batch; None if somebody else holds its merchant's lock."""
        answers = [answer for batch in batches for answer in batch]
        effects = iter(
            await doors.record_answers_for_many(self._db, answers, actor=self._actor, wait=wait)
        )
        told = [list(islice(effects, len(batch))) for batch in batches]
        return [[one for one in each if one] if all(each) else None for each in told]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    """What was claimed of one merchant, and whether there may be more."""

    claims: Sequence[doors.Claim] = ()
    is_more: bool = False
    started: _Moment = field(default_factory=_Moment)


def _told(  # noqa: PLR0911  # one for each kind of answer
    claim: doors.Claim, answer: Answer
) -> doors.BankAnswer:
    """Return a bank's answer in the words of payrail.record_answers."""
    payout_id, attempt = claim.payout_id, claim.attempt
    told = partial(doors.BankAnswer, claim.merchant_id)
    match answer:
        case Paid(utr, raw):
            return told(payout_id, "paid", None, utr, None, raw, attempt)
        case Refused(code, reason, raw):
            return told(payout_id, "refused", code, None, reason, raw, attempt)
        case Returned(utr, code, reason, raw):
            return told(payout_id, "returned", code, utr, reason, raw, attempt)
        case Pending(reason, raw):
            return told(payout_id, "pending", None, None, reason, raw, attempt)
        case NotFound(raw):
            reason = "the bank does not know the instruction"
            # right after it was sent this is no news: it is asked again
            outcome = "not_found" if claim.action == "enquire" else "unknown"
            return told(payout_id, outcome, None, None, reason, raw, attempt)
        case NotSent(reason):
            # that a question did not leave tells nothing of what was sent before
            outcome = "not_sent" if claim.action == "submit" else "unknown"
            return told(payout_id, outcome, None, None, reason, None, attempt)
        case Unknown(reason, raw):
            return told(payout_id, "unknown", None, None, reason, raw, attempt)
    # whatever else a rail may return
    reason = "the bank's answer is not understood"
    return told(payout_id, "unknown", None, None, reason, None, attempt)


def _alarm(name: str, merchant_id: UUID, effect: doors.Effect) -> None:
    log.event(
        name,
        level=logging.ERROR,
        merchant_id=merchant_id,
        payout_id=effect.payout_id,
        status=effect.status,
        detail=effect.detail,
    )
