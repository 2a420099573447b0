"""From events to webhooks: at least once, with the same id, in order as far as can be.

What is to be sent is found from the events themselves, by a cursor per endpoint, so that a payout's
transaction writes nothing for it. The life of a claim is that of a payout's (see `dispatch`): it is
handed out for a lease, sent without any lock, and recorded; who dies in between leaves it to be
handed out again. One claim of an endpoint is out at a time, and the events of one payout go one
after the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

import httpcore
from standardwebhooks import Webhook

from pyapp import doors, log
from pyapp.database import Pool, turn
from pyapp.jobs.post import Post, RefusedError, Said

LEASE: Final = timedelta(seconds=60)
_CLAIM: Final = 50  # events of one endpoint in one claim
_AT_ONCE: Final = 4  # requests to one endpoint
_BEGUN: Final = 30.0  # seconds of a claim after which nothing more is begun; + DEADLINE < LEASE
_ENOUGH: Final = 5  # failures of a claim, and no success: the rest is spared
_PLACES: Final = 128  # endpoints served at a time
_PATIENCE: Final = 1.0
_FAREWELL: Final = 5.0  # seconds that what is being sent has when the worker stops
_LONGEST: Final = timedelta(days=1)  # that an endpoint may ask us to wait


class Deliverer:
    """Sends the webhooks of all merchants; nothing is claimed any more once `stopping` is set."""

    def __init__(self, db: Pool, post: Post, actor: str, stopping: asyncio.Event) -> None:
        self.stopping = stopping
        self._db = db
        self._post = post
        self._actor = actor
        self._serving: dict[UUID, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_PLACES)

    async def drain(self) -> None:
        """Work until nothing is due."""
        while True:
            await self.look()
            if not self._serving:
                return
            await asyncio.wait(self._serving.values())

    async def look(self) -> None:
        """Start on every endpoint that something is due to; don't wait for it."""
        for target in await doors.due_endpoints(self._db):
            if target.endpoint_id not in self._serving and not self.stopping.is_set():
                task = asyncio.create_task(self._serve(target))
                self._serving[target.endpoint_id] = task

    async def stop(self) -> None:
        """Finish what is being sent; what takes too long for that is sent again by the next."""
        if not self._serving:
            return
        _, late = await asyncio.wait(self._serving.values(), timeout=_FAREWELL)
        for task in late:
            task.cancel()

    async def _serve(self, target: doors.WebhookTarget) -> None:
        """Claim while there is more."""
        claimed = _CLAIM
        try:
            while claimed == _CLAIM and not self.stopping.is_set():
                async with self._places:
                    claimed = await self._deliver(target)
        except Exception as exc:  # noqa: BLE001  # one endpoint's trouble is not the others'
            log.failure("webhooks not delivered", exc, endpoint_id=target.endpoint_id)
            await asyncio.sleep(_PATIENCE)
        finally:
            del self._serving[target.endpoint_id]

    async def _deliver(self, target: doors.WebhookTarget) -> int:
        """Send one claim, and record what was said; return how much it was."""
        whose = target.merchant_id, target.endpoint_id
        async with turn(target.merchant_id):
            claimed = await doors.claim_deliveries(self._db, *whose, limit=_CLAIM, lease=LEASE)
        if not claimed:
            return 0
        results = await self._send_all(claimed)
        async with turn(target.merchant_id):
            reason = await doors.record_deliveries(
                self._db, *whose, claimed[0].claim, results, actor=self._actor
            )
        log.event(
            "webhooks sent",
            merchant_id=target.merchant_id,
            endpoint_id=target.endpoint_id,
            delivered=sum(result.delivered for result in results),
            failed=sum(not result.delivered for result in results),
        )
        if reason is not None:
            log.event(
                "webhook endpoint disabled",
                level=logging.WARNING,
                merchant_id=target.merchant_id,
                endpoint_id=target.endpoint_id,
                reason=reason,
            )
        return len(claimed)

    async def _send_all(self, claimed: Sequence[doors.Delivery]) -> list[doors.DeliveryResult]:
        """Send several at a time, one payout's in their order; what isn't begun has no result."""
        lines = defaultdict[UUID | int, list[doors.Delivery]](list)
        for delivery in claimed:
            lines[delivery.payout_id or delivery.seq].append(delivery)
        places = asyncio.Semaphore(_AT_ONCE)
        ends = time.monotonic() + _BEGUN
        results: list[doors.DeliveryResult] = []

        async def send(line: Sequence[doors.Delivery]) -> None:
            for delivery in line:
                async with places:
                    in_vain = len(results) >= _ENOUGH and not any(r.delivered for r in results)
                    if in_vain or self.stopping.is_set() or time.monotonic() > ends:
                        return
                    results.append(await self._send(delivery))

        await asyncio.gather(*(send(line) for line in lines.values()))
        return results

    async def _send(self, delivery: doors.Delivery) -> doors.DeliveryResult:
        """Send one; whatever goes wrong is its result."""
        attempted_at, begun = datetime.now(UTC), time.monotonic()
        said: Said | None = None
        error: str | None = None
        try:
            said = await self._post(
                delivery.url, signed(delivery, attempted_at), delivery.body.encode()
            )
            if not 200 <= said.status < 300:  # noqa: PLR2004
                error = f"the status is {said.status}, not 2xx"
        except RefusedError as exc:
            error = str(exc)
        except TimeoutError:
            error = "there was no answer in time"
        except Exception as exc:  # noqa: BLE001  # it is the receiver's, and may be anything
            known = isinstance(exc, httpcore.NetworkError | httpcore.ProtocolError | OSError)
            error = f"{'the connection failed' if known else 'it failed'}: {type(exc).__name__}"
        return doors.DeliveryResult(
            seq=delivery.seq,
            attempted_at=attempted_at,
            delivered=error is None,
            response_status=said.status if said else None,
            took=timedelta(seconds=time.monotonic() - begun),
            error=error,
            body_head=_text(said.head) if said else None,
            retry_after=_pause(said.retry_after, attempted_at) if said and error else None,
        )


def signed(delivery: doors.Delivery, now: datetime) -> dict[str, str]:
    """Return the headers of a webhook, with a signature by each secret.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signatures = (
        Webhook(one).sign(delivery.event_id, now, delivery.body) for one in delivery.secrets
    )
    return {
        "Content-Type": "application/json",
        "User-Agent": "PayRail",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _text(head: bytes) -> str | None:
    return head.decode(errors="replace").replace("\0", "�") or None


def _pause(text: str | None, now: datetime) -> timedelta | None:
    """Return how long Retry-After says to wait, in seconds or until a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            wait = timedelta(seconds=int(text[:9]))
        else:
            wait = parsedate_to_datetime(text) - now
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
    return min(max(wait, timedelta()), _LONGEST)
