"""The doors: one function per door of the schema `payrail`, and the only SQL in Python.

Amounts are minor units of the currency (paise for INR). What the public API shows is rendered by
PostgreSQL and passed on as text, so that a payout has one representation, whoever asks.
Refusals arrive as psycopg errors with the door's SQLSTATE; see `errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, Final, Generic, LiteralString, TypeAlias, TypeVar, cast, get_args
from uuid import UUID

import msgspec
from psycopg.rows import class_row, scalar_row
from psycopg.sql import SQL, Composable, Identifier, Placeholder
from psycopg.types.json import Jsonb

from pyapp import keys
from pyapp.database import Pool, call

Row = TypeVar("Row")
Key = TypeVar("Key")


# ---------------------------------------------------------------------------- what goes in and out


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """One element of a batch; fields in the order of payrail.payout_request."""

    idempotency_key: str | None  # None in a batch: one is made
    amount: int
    currency: str
    bank_account_id: str
    reference: str | None = None
    metadata: Mapping[str, str] | None = None
    scheduled_at: datetime | None = None
    queue_if_low_balance: bool = False
    narration: str | None = None
    retry_of: UUID | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class BankAnswer:
    """What a bank said of a payout; fields in the order of payrail.addressed_answer."""

    merchant_id: UUID
    payout_id: UUID
    outcome: str  # paid | refused | returned | pending | not_found | not_sent | unknown
    code: str | None = None  # of a refusal or a return
    utr: str | None = None
    reason: str | None = None
    answer: Mapping[str, Any] | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a bank said by itself; fields in the order of payrail.notice."""

    event_id: str
    rail_ref: str
    outcome: str  # paid | refused | returned | pending | unknown
    code: str | None  # the UTR of paid, the failure code of refused, the return code of returned
    reason: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One booking of a bank's report; fields in the order of payrail.report_line."""

    entry_ref: str | None
    rail_ref: str | None
    kind: str  # payment | return
    amount: int
    currency: str
    utr: str | None
    code: str | None
    booked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose API key it is, and what it may do."""

    merchant_id: UUID
    merchant_name: str
    api_key_id: UUID
    key_prefix: str
    owner: str | None  # who acts with it
    scopes: list[str]
    reads_per_second: int
    writes_per_second: int


@dataclass(frozen=True, slots=True)
class KeyHolder(Caller):
    """A caller that is known by an API key."""

    key_hash: bytes


@dataclass(frozen=True, slots=True)
class AddressedRequest:
    """A request for a payout of one of many merchants; `owner` is the person who asks."""

    merchant_id: UUID
    owner: str | None
    actor: str | None
    key_hash: bytes | None  # of the API key that asks
    request: PayoutRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """What create_payout answered: now, or the first time this key was used."""

    status: int
    body: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Item(Generic[Key]):
    """One row of a list: its place in the order, and its public JSON."""

    key: Key
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A payout that this worker may send, or ask about, until `send_before`."""

    merchant_id: UUID
    payout_id: UUID
    action: str  # submit | enquire
    rail: str
    rail_ref: str
    amount: int
    currency: str
    account_number: str | None = field(repr=False)
    ifsc: str | None
    vpa: str | None = field(repr=False)
    iban: str | None = field(repr=False)
    holder_name: str = field(repr=False)
    mode: str | None
    narration: str | None
    attempt: int
    send_before: datetime


@dataclass(frozen=True, slots=True)
class Effect:
    """What one answer of a bank did to its payout."""

    payout_id: UUID
    effect: str  # applied | repeated | noted | contradicted | refused
    status: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a notice."""

    event_id: str
    effect: str  # stored | repeated | unmatched


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout, as operators see it."""

    merchant_id: UUID
    payout_id: UUID
    status: str
    amount: int
    currency: str
    bank_account_id: str
    reference: str | None
    rail_ref: str | None
    utr: str | None
    failure_code: str | None
    failure_reason: str | None
    return_code: str | None
    attempts: int
    created_at: datetime
    updated_at: datetime
    next_action_at: datetime | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of the ledger, with the position after it."""

    merchant_id: UUID
    currency: str
    seq: int
    kind: str
    debit_account: str
    credit_account: str
    amount: int
    available: int
    held: int
    payout_id: UUID | None
    reference: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant."""

    merchant_id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """What a merchant may spend, and what open payouts hold."""

    merchant_id: UUID
    currency: str
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret."""

    merchant_id: UUID
    api_key_id: UUID
    prefix: str
    name: str | None
    owner: str | None
    scopes: list[str]
    reads_per_second: int
    writes_per_second: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: UUID | None


@dataclass(frozen=True, slots=True)
class FailureCode:
    """Why a payout fails, whose fault it is, and what to do next."""

    code: str
    fault: str
    retryable: bool
    next_step: str
    description: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant of the audit; `violations` is 0 when it holds."""

    invariant: str
    promise: str
    violations: int
    sample: Any


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest entry of a merchant's ledger in one currency, and its hash in hex."""

    merchant_id: UUID
    currency: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class State:
    """How many rows broke one invariant when the audit was run last."""

    checked_at: datetime
    invariant: str
    violations: int


@dataclass(frozen=True, slots=True)
class AuditRun:
    """What the audit found, when, and how long it took; `findings` as those of `Finding`."""

    checked_at: datetime
    took: timedelta
    actor: str
    findings: list[dict[str, Any]]

    @property
    def broken(self) -> list[dict[str, Any]]:
        """The invariants that did not hold."""
        return [finding for finding in self.findings if finding["violations"]]


@dataclass(frozen=True, slots=True)
class Instance:
    """What this database was made for: `demo` or `live`."""

    environment: str
    created_at: datetime


# ---------------------------------------------------------------------------------- for merchants


async def authenticate(db: Pool, key_hashes: Sequence[bytes]) -> dict[bytes, KeyHolder]:
    """Return the callers whose API keys have these SHA-256; none if unknown, expired or revoked."""
    found = await _door(db, KeyHolder, "authenticate_keys", p_key_hashes=list(key_hashes))
    return {known.key_hash: known for known in found}


async def create_payout(
    db: Pool,
    merchant_id: UUID,
    request: PayoutRequest,
    *,
    owner: str | None = None,
    actor: str | None = None,
) -> Reply:
    """Reserve the money and create a payout, or return what its key was answered before.

    `owner` is the person who asks, who can not approve it.
    """
    return _one(
        await _door(
            db,
            Reply,
            "create_payout",
            p_merchant_id=merchant_id,
            p_idempotency_key=request.idempotency_key,
            p_amount=request.amount,
            p_currency=request.currency,
            p_bank_account_id=request.bank_account_id,
            p_reference=request.reference,
            p_metadata=_json(request.metadata),
            p_scheduled_at=request.scheduled_at,
            p_queue_if_low_balance=request.queue_if_low_balance,
            p_narration=request.narration,
            p_retry_of=request.retry_of,
            p_mode=request.mode,
            p_owner=owner,
            p_actor=actor,
        )
    )


async def create_payouts_for_many(
    db: Pool, requests: Sequence[AddressedRequest], *, wait: bool
) -> list[Reply | None]:
    """Create payouts of many merchants in one commit; one reply per request, in order.

    None where somebody else holds the merchant's lock, unless it is to `wait` for it; status 401
    where the key is no longer valid.
    """
    found = await _door(
        db, Reply, "create_payouts_for_many", p_requests=_composites(requests), p_wait=wait
    )
    return [reply if reply.status else None for reply in found]


async def cancel_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    *,
    reason: str | None = None,
    actor: str | None = None,
) -> str:
    """Cancel a payout that no worker has claimed yet; return its JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.payout_json(door)",
            "cancel_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_reason=reason,
            p_actor=actor,
        )
    )


async def add_bank_account(
    db: Pool,
    merchant_id: UUID,
    bank_account_id: str,
    *,
    holder_name: str,
    account_number: str | None = None,
    ifsc: str | None = None,
    vpa: str | None = None,
    iban: str | None = None,
    rail: str | None = None,
) -> str:
    """Add a bank account under the merchant's own id for it; return its JSON.

    It is one of: `account_number` and `ifsc`, `vpa` (a UPI address), `iban`.
    """
    return _one(
        await _values(
            db,
            str,
            "payrail.bank_account_json(door)",
            "add_bank_account",
            p_merchant_id=merchant_id,
            p_bank_account_id=bank_account_id,
            p_holder_name=holder_name,
            p_account_number=account_number,
            p_ifsc=ifsc,
            p_vpa=vpa,
            p_iban=iban,
            p_rail=rail,
        )
    )


async def archive_bank_account(db: Pool, merchant_id: UUID, bank_account_id: str) -> str:
    """Take a bank account out of use; its payouts stay. Return its JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.bank_account_json(door)",
            "archive_bank_account",
            p_merchant_id=merchant_id,
            p_bank_account_id=bank_account_id,
        )
    )


async def approve_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    approver: str,
    *,
    reason: str | None = None,
    actor: str | None = None,
) -> str:
    """Approve a payout that awaits it, as this person; return its JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.payout_json(door)",
            "approve_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_approver=approver,
            p_reason=reason,
            p_actor=actor,
        )
    )


async def reject_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    approver: str,
    reason: str,
    *,
    actor: str | None = None,
) -> str:
    """Reject a payout that awaits approval, as this person; return its JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.payout_json(door)",
            "reject_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_approver=approver,
            p_reason=reason,
            p_actor=actor,
        )
    )


async def rules(db: Pool, merchant_id: UUID) -> list[Item[str]]:
    """Return a merchant's rules by currency, and how much of them is used."""
    return await _page(db, _RULES, merchant_id, 1000, None, {})


@dataclass(frozen=True, slots=True)
class NewRules:
    """All rules of a merchant for one currency; None is no rule. Amounts in minor units."""

    approve_from: int | None = None
    second_approval_from: int | None = None
    payout_limit: int | None = None
    daily_limit: int | None = None
    account_daily_limit: int | None = None
    hourly_payouts: int | None = None
    over_limit: str = "reject"
    time_zone: str = "UTC"
    approval_expires_after: timedelta = timedelta(days=7)
    queue_expires_after: timedelta = timedelta(days=30)


async def set_rules(
    db: Pool,
    merchant_id: UUID,
    currency: str,
    new: NewRules,
    *,
    actor: str | None = None,
    session_hash: bytes | None = None,
) -> str:
    """Set all rules of a merchant for one currency; return their JSON.

    Who does it is `actor`, or whoever is signed in to the console with `session_hash`.
    """
    named = {f"p_{field.name}": getattr(new, field.name) for field in fields(new)}
    return _one(
        await _values(
            *(db, str, "payrail.rules_json(door)", "set_rules"),
            p_merchant_id=merchant_id,
            p_currency=currency,
            **named,
            p_actor=actor,
            p_session_hash=session_hash,
        )
    )


async def me(db: Pool, merchant_id: UUID) -> str | None:
    """Return the merchant's profile with its balances as JSON."""
    return _maybe(await _values(db, str, "door", "me_json", p_merchant_id=merchant_id))


async def payout(db: Pool, merchant_id: UUID, payout_id: UUID) -> str | None:
    """Return one payout with its history as JSON."""
    return await _detail(db, _PAYOUT, merchant_id, payout_id)


async def payouts(
    db: Pool,
    merchant_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    filters: Mapping[str, object] | None = None,
    detailed: bool = False,
) -> list[Item[UUID]]:
    """Return payouts, newest first, from the one behind `after` on; `detailed`: with their history.

    `filters`: status (a list), created_after (inclusive), created_before (exclusive), amount_min,
    amount_max, currency, reference, utr, bank_account_id, batch_id; None is no filter.
    """
    view = _PAYOUT if detailed else _PAYOUTS
    return await _page(db, view, merchant_id, limit, after, filters or {})


async def ledger_entries(
    db: Pool,
    merchant_id: UUID,
    *,
    limit: int,
    after: int | None = None,
    filters: Mapping[str, object],
) -> list[Item[int]]:
    """Return one currency's ledger entries, newest first, from the one behind `after` on.

    `filters`: currency (required: seq counts per currency), kind (a list), payout_id,
    created_after (inclusive), created_before (exclusive).
    """
    return await _page(db, _LEDGER, merchant_id, limit, after, filters)


async def bank_account(db: Pool, merchant_id: UUID, bank_account_id: str) -> str | None:
    """Return one bank account as JSON, its number masked."""
    return await _detail(db, _BANK_ACCOUNTS, merchant_id, bank_account_id)


async def bank_accounts(
    db: Pool, merchant_id: UUID, *, limit: int, after: str | None = None
) -> list[Item[str]]:
    """Return bank accounts by id, from the one behind `after` on."""
    return await _page(db, _BANK_ACCOUNTS, merchant_id, limit, after, {})


async def api_key(db: Pool, merchant_id: UUID, api_key_id: UUID) -> str | None:
    """Return one API key as JSON, without its secret."""
    return await _detail(db, _API_KEYS, merchant_id, api_key_id)


async def listed_api_keys(
    db: Pool, merchant_id: UUID, *, limit: int, after: UUID | None = None
) -> list[Item[UUID]]:
    """Return API keys, newest first, from the one behind `after` on."""
    return await _page(db, _API_KEYS, merchant_id, limit, after, {})


async def create_api_key_by_key(
    db: Pool,
    merchant_id: UUID,
    by: UUID,
    secret: keys.Secret,
    *,
    scopes: Sequence[str],
    name: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Register a new secret that can do no more than the key `by`; return the key's JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.api_key_json(door)",
            "create_api_key_by_key",
            p_merchant_id=merchant_id,
            p_by=by,
            p_key_hash=secret.hash,
            p_prefix=secret.prefix,
            p_scopes=list(scopes),
            p_name=name,
            p_expires_at=expires_at,
        )
    )


async def roll_api_key_by_key(
    db: Pool,
    merchant_id: UUID,
    by: UUID,
    api_key_id: UUID,
    secret: keys.Secret,
    *,
    overlap: timedelta,
) -> str:
    """Give a key a new secret with the key `by`; return the new key's JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.api_key_json(door)",
            "roll_api_key_by_key",
            p_merchant_id=merchant_id,
            p_by=by,
            p_api_key_id=api_key_id,
            p_key_hash=secret.hash,
            p_prefix=secret.prefix,
            p_overlap=overlap,
        )
    )


async def revoke_api_key_by_key(db: Pool, merchant_id: UUID, by: UUID, api_key_id: UUID) -> str:
    """Revoke a key at once with the key `by`; return its JSON."""
    return _one(
        await _values(
            db,
            str,
            "payrail.api_key_json(door)",
            "revoke_api_key_by_key",
            p_merchant_id=merchant_id,
            p_by=by,
            p_api_key_id=api_key_id,
        )
    )


async def events(
    db: Pool, merchant_id: UUID, *, limit: int, after: int | None = None, newest_first: bool = False
) -> list[Item[int]]:
    """Return events as JSON in commit order, from the one behind number `after` on."""
    view = _NEWEST_EVENTS if newest_first else _EVENTS
    return await _page(db, view, merchant_id, limit, after, {})


async def instance(db: Pool) -> Instance | None:
    """Return what this database was made for; None if migrate never finished."""
    return _maybe(await _rows(db, Instance, "instance", "created_at"))


# -------------------------------------------------------------------------------------- webhooks


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where a merchant wants to be told of events."""

    merchant_id: UUID
    endpoint_id: UUID
    url: str
    description: str | None
    event_types: list[str]
    status: str  # enabled | failing | disabled | archived
    disabled_reason: str | None  # by_merchant | gone | failing
    failures: int
    failing_since: datetime | None
    succeeded_at: datetime | None
    previous_until: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EventType:
    """What an event may be."""

    type: str
    description: str


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """An endpoint to which something is to be sent now."""

    merchant_id: UUID
    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that this worker may send, with the secrets to sign it with."""

    claim: int
    url: str
    secrets: list[str] = field(repr=False)
    seq: int
    event_id: str
    payout_id: UUID | None
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one attempt; fields in the order of payrail.delivery_result."""

    seq: int
    attempted_at: datetime
    delivered: bool
    response_status: int | None
    took: timedelta
    error: str | None
    body_head: str | None
    retry_after: timedelta | None


@dataclass(frozen=True, slots=True)
class WebhookWork:
    """The webhook endpoints of one status, and what waits for them."""

    status: str  # enabled | failing | disabled
    endpoints: int
    waiting: int
    waiting_seconds: float


@dataclass(frozen=True, slots=True)
class WebhookCalls:
    """Attempts to deliver webhooks in the last whole minute."""

    attempts: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FleetEndpoint:
    """A webhook endpoint in use, of whichever merchant."""

    merchant_id: UUID
    merchant_name: str
    endpoint_id: UUID
    url: str
    status: str
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    succeeded_at: datetime | None
    waiting: int
    waiting_since: datetime | None


async def event_types(db: Pool) -> list[EventType]:
    """Return the types that an event may have."""
    return await _rows(db, EventType, "event_types", "type")


async def webhook_endpoints(
    db: Pool, merchant_id: UUID, *, limit: int, after: UUID | None = None
) -> list[Item[UUID]]:
    """Return a merchant's webhook endpoints as JSON, newest first, archived ones too."""
    return await _page(db, _ENDPOINTS, merchant_id, limit, after, {})


async def webhook_endpoint(db: Pool, merchant_id: UUID, endpoint_id: UUID) -> str | None:
    """Return one webhook endpoint as JSON."""
    return await _detail(db, _ENDPOINTS, merchant_id, endpoint_id)


async def webhook_deliveries(
    db: Pool,
    merchant_id: UUID,
    endpoint_id: UUID,
    *,
    limit: int,
    after: int | None = None,
    filters: Mapping[str, object] | None = None,
) -> list[Item[int]]:
    """Return what was sent to an endpoint as JSON, newest event first; `filters`: status, seq."""
    given = {**(filters or {}), "endpoint_id": endpoint_id}
    return await _page(db, _DELIVERIES, merchant_id, limit, after, given)


async def create_webhook_endpoint(
    db: Pool,
    merchant_id: UUID,
    *,
    url: str,
    secret: str,
    event_types: Sequence[str] = ("*",),
    description: str | None = None,
) -> str:
    """Send events from now on to an address; the caller made the secret, and shows it once."""
    return _one(
        await _values(
            *(db, str, "payrail.webhook_endpoint_json(door)", "create_webhook_endpoint"),
            p_merchant_id=merchant_id,
            p_url=url,
            p_secret=secret,
            p_event_types=list(event_types),
            p_description=description,
        )
    )


async def update_webhook_endpoint(
    db: Pool,
    merchant_id: UUID,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> str:
    """Change what is given; enabled again, an endpoint goes on where it stopped."""
    return _one(
        await _values(
            *(db, str, "payrail.webhook_endpoint_json(door)", "update_webhook_endpoint"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
            p_url=url,
            p_event_types=None if event_types is None else list(event_types),
            p_description=description,
            p_enabled=enabled,
        )
    )


async def roll_webhook_secret(
    db: Pool, merchant_id: UUID, endpoint_id: UUID, *, secret: str, overlap: timedelta
) -> str:
    """Sign with a new secret, and for a while with the one before as well."""
    return _one(
        await _values(
            *(db, str, "payrail.webhook_endpoint_json(door)", "roll_webhook_secret"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
            p_secret=secret,
            p_overlap=overlap,
        )
    )


async def archive_webhook_endpoint(db: Pool, merchant_id: UUID, endpoint_id: UUID) -> str:
    """Take an endpoint out of use for good."""
    return _one(
        await _values(
            *(db, str, "payrail.webhook_endpoint_json(door)", "archive_webhook_endpoint"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
        )
    )


async def send_test_event(
    db: Pool, merchant_id: UUID, endpoint_id: UUID, *, actor: str | None = None
) -> str:
    """Send a test event to one endpoint; return the event as JSON."""
    return _one(
        await _values(
            *(db, str, "payrail.event_json(door)", "send_test_event"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
            p_actor=actor,
        )
    )


async def replay_events(
    db: Pool, merchant_id: UUID, endpoint_id: UUID, first: int, last: int
) -> int:
    """Send the events with these numbers to an endpoint again; return how many there are."""
    return _one(
        await _values(
            *(db, int, "door", "replay_events"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
            p_from=first,
            p_to=last,
        )
    )


async def due_endpoints(db: Pool) -> list[WebhookTarget]:
    """Return endpoints to which something is to be sent now."""
    return await _door(db, WebhookTarget, "due_endpoints")


async def claim_deliveries(
    db: Pool, merchant_id: UUID, endpoint_id: UUID, *, limit: int, lease: timedelta
) -> list[Delivery]:
    """Take what is to be sent to an endpoint for `lease`; nobody else gets it before it ends."""
    return await _door(
        *(db, Delivery, "claim_deliveries"),
        p_merchant_id=merchant_id,
        p_endpoint_id=endpoint_id,
        p_limit=limit,
        p_lease=lease,
    )


async def record_deliveries(
    db: Pool,
    merchant_id: UUID,
    endpoint_id: UUID,
    claim: int,
    results: Sequence[DeliveryResult],
    *,
    actor: str | None = None,
) -> str | None:
    """Log what an endpoint said; return why it was disabled, if it was."""
    return _maybe(
        await _values(
            *(db, str, "door", "record_deliveries"),
            p_merchant_id=merchant_id,
            p_endpoint_id=endpoint_id,
            p_claim=claim,
            p_results=_composites(results),
            p_actor=actor,
        )
    )


async def webhook_work(db: Pool) -> list[WebhookWork]:
    """Return the webhook endpoints by status, and what waits for them."""
    return await _door(db, WebhookWork, "webhook_work")


async def webhook_calls(db: Pool) -> WebhookCalls:
    """Return how many attempts to deliver there were in the last whole minute."""
    return _one(await _door(db, WebhookCalls, "webhook_calls"))


async def webhook_fleet(db: Pool, *, limit: int) -> list[FleetEndpoint]:
    """Return the endpoints of all merchants: those in trouble first, then who waits longest."""
    return await call(db, _FLEET, {"limit": limit}, class_row(FleetEndpoint))


# ---------------------------------------------------------------------------------------- batches


@dataclass(frozen=True, slots=True)
class Batch:
    """Many payouts that were asked for at once, and how far they are."""

    merchant_id: UUID
    batch_id: UUID
    status: str  # pending | processing | completed | rejected | cancelled
    mode: str  # best_effort | all_or_nothing
    name: str | None
    lines: int
    accepted: int
    rejected: int
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A line of a batch; its payout as it is now, or why there is none."""

    line: int
    outcome: str | None  # accepted | rejected; None: not answered yet
    amount: int
    currency: str
    bank_account_id: str
    reference: str | None
    idempotency_key: str
    payout_id: UUID | None
    payout_status: str | None
    utr: str | None
    failure_code: str | None
    code: str | None
    detail: str | None
    fee: int | None  # of its payout


@dataclass(frozen=True, slots=True)
class Checked:
    """A request, counted from 1, that would make no new payout: refused, or answered before."""

    line: int
    replayed: bool
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class DueBatch:
    """The oldest open batch of a merchant."""

    merchant_id: UUID
    batch_id: UUID


async def check_payouts(
    db: Pool, merchant_id: UUID, requests: Sequence[PayoutRequest]
) -> list[Checked]:
    """Return which of these requests would make no new payout now; none is made."""
    return await _door(
        db,
        Checked,
        "check_payouts",
        p_merchant_id=merchant_id,
        p_requests=_composites(requests),
    )


async def create_batch(
    db: Pool,
    merchant_id: UUID,
    idempotency_key: str,
    requests: Sequence[PayoutRequest],
    *,
    mode: str,
    name: str | None = None,
    owner: str | None = None,
    actor: str | None = None,
) -> Reply:
    """Leave up to 10,000 requests to the worker, or return what the key was answered before."""
    return _one(
        await _door(
            db,
            Reply,
            "create_batch",
            p_merchant_id=merchant_id,
            p_idempotency_key=idempotency_key,
            p_requests=_composites(requests),
            p_mode=mode,
            p_name=name,
            p_owner=owner,
            p_actor=actor,
        )
    )


async def cancel_batch(
    db: Pool, merchant_id: UUID, batch_id: UUID, *, actor: str | None = None
) -> str:
    """Cancel a batch that has not started; return its JSON."""
    return _one(
        await _values(
            *(db, str, "payrail.batch_json(door)", "cancel_batch"),
            p_merchant_id=merchant_id,
            p_batch_id=batch_id,
            p_actor=actor,
        )
    )


async def batch(db: Pool, merchant_id: UUID, batch_id: UUID) -> str | None:
    """Return one batch as JSON."""
    return await _detail(db, _BATCHES, merchant_id, batch_id)


@dataclass(frozen=True, slots=True)
class OpenBatches:
    """How many batches of all merchants have this status, and how many of their lines wait."""

    status: str
    batches: int
    lines_waiting: int


async def open_batches(db: Pool) -> list[OpenBatches]:
    """Return how many batches are not over, by status."""
    return await _door(db, OpenBatches, "open_batches")


async def batches(
    db: Pool, merchant_id: UUID, *, limit: int, after: UUID | None = None
) -> list[Item[UUID]]:
    """Return batches, newest first, from the one behind `after` on."""
    return await _page(db, _BATCHES, merchant_id, limit, after, {})


async def batch_lines(
    db: Pool,
    merchant_id: UUID,
    batch_id: UUID,
    *,
    limit: int,
    after: int | None = None,
    outcome: str | None = None,
) -> list[Item[int]]:
    """Return lines of a batch from behind `after` on, all or those with one outcome."""
    filters = {"of_batch": batch_id, "outcome": outcome}
    return await _page(db, _BATCH_LINES, merchant_id, limit, after, filters)


async def batch_rows(db: Pool, merchant_id: UUID, batch_id: UUID, *, after: int) -> list[BatchLine]:
    """Return up to a thousand lines of a batch, from behind `after` on."""
    parameters = {"merchant_id": merchant_id, "batch_id": batch_id, "after": after}
    return await call(db, _BATCH_ROWS, parameters, class_row(BatchLine))


async def due_batches(db: Pool) -> list[DueBatch]:
    """Return of each merchant with open batches the oldest."""
    return await _door(db, DueBatch, "due_batches")


async def advance_batch(db: Pool, merchant_id: UUID, batch_id: UUID, *, limit: int) -> Batch:
    """Make the payouts of the next `limit` lines; all of them of an all-or-nothing batch."""
    return _one(
        await _door(
            *(db, Batch, "advance_batch"),
            p_merchant_id=merchant_id,
            p_batch_id=batch_id,
            p_limit=limit,
        )
    )


# ---------------------------------------------------------------------------------- the dashboard


@dataclass(frozen=True, slots=True)
class DailyBalance:
    """A merchant's position at the end of a day (UTC)."""

    day: date
    available: int
    held: int
    total: int


@dataclass(frozen=True, slots=True)
class Held:
    """A merchant's balance in one currency, at some time."""

    currency: str
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The balances before and after some days, and which entries of the ledger lie between."""

    currency: str
    opening_at: datetime
    opening_available: int
    opening_held: int
    closing_at: datetime
    closing_available: int
    closing_held: int
    after_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement: `change` is of the available balance."""

    seq: int
    created_at: str
    kind: str
    payout_id: UUID | None
    reference: str | None
    utr: str | None
    amount: int
    change: int
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class DailyPayouts:
    """How the payouts requested on a day (UTC) stand now."""

    day: date | None  # none where it is of all of them
    settled: int
    failed: int
    returned: int
    cancelled: int
    under_way: int
    median_seconds: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """How far somebody has seen a merchant's events and ledger."""

    merchant_id: UUID
    event_seq: int = 0
    entry_seq: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What is new of a merchant; `payouts` is a JSON array as the API shows them.

    `is_more`: too much has changed to show it all, these are simply the newest payouts.
    """

    merchant_id: UUID
    event_seq: int
    entry_seq: int  # of all currencies together
    balances: list[dict[str, Any]]  # currency, available, held; INR first
    is_more: bool
    awaiting: int  # payouts that await approval, counted up to 100
    payouts: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a worker took a payout: to send it, until `send_before`, or to ask."""

    attempt: int
    action: str  # submit | enquire
    rail: str
    claimed_at: datetime
    send_before: datetime | None
    actor: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was said of a payout, by whom, and what it did; the answer as indented JSON."""

    attempt: int | None
    outcome: str
    effect: str  # applied | contradicted | noted
    code: str | None
    reason: str | None
    source: str | None  # bank | operator
    actor: str
    recorded_at: datetime
    answer: str | None
    answer_hash: str | None  # SHA-256 of the text as PostgreSQL writes it, in hex


@dataclass(frozen=True, slots=True)
class OpenPayouts:
    """Payouts under way in one status."""

    status: str
    payouts: int
    unanswered: int
    overdue_seconds: float


async def open_payouts(db: Pool) -> list[OpenPayouts]:
    """Return how much is under way, of all merchants together."""
    return await _door(db, OpenPayouts, "open_payouts")


async def open_session(db: Pool, key_hash: bytes, session_hash: bytes) -> Caller | None:
    """Sign the holder of an API key in for twelve hours; None if the key is not valid."""
    return _maybe(
        await _door(db, Caller, "open_session", p_key_hash=key_hash, p_session_hash=session_hash)
    )


async def resume_session(db: Pool, session_hash: bytes) -> Caller | None:
    """Return whose session it is; None if it is over, or its key no longer valid."""
    return _maybe(await _door(db, Caller, "resume_session", p_session_hash=session_hash))


async def close_session(db: Pool, session_hash: bytes) -> None:
    """End a session; ending it again changes nothing."""
    await _values(db, datetime, "door", "close_session", p_session_hash=session_hash)


async def daily_balances(
    db: Pool, merchant_id: UUID, currency: str, *, days: int
) -> list[DailyBalance]:
    """Return the balance in one currency at the end of each of the last days, oldest first."""
    return await _door(
        *(db, DailyBalance, "daily_balances"),
        p_merchant_id=merchant_id,
        p_currency=currency,
        p_days=days,
    )


async def daily_payouts(db: Pool, merchant_id: UUID, *, days: int) -> list[DailyPayouts]:
    """Return how the payouts of each of the last days stand, oldest first."""
    return await _door(db, DailyPayouts, "daily_payouts", p_merchant_id=merchant_id, p_days=days)


async def statement(
    db: Pool, merchant_id: UUID, currency: str, since: date, until: date
) -> Statement:
    """Return the balances before and after some days (UTC, the last one included)."""
    return _one(
        await _door(
            *(db, Statement, "statement"),
            p_merchant_id=merchant_id,
            p_from=since,
            p_until=until,
            p_currency=currency,
        )
    )


async def statement_lines(
    db: Pool, merchant_id: UUID, currency: str, *, after: int, last: int
) -> list[Line]:
    """Return up to a thousand lines after the number `after`, up to the number `last`."""
    return await _door(
        *(db, Line, "statement_lines"),
        p_merchant_id=merchant_id,
        p_currency=currency,
        p_after_seq=after,
        p_last_seq=last,
    )


async def balances_at(db: Pool, merchant_id: UUID, at: datetime | None) -> list[Held]:
    """Return the balances at an instant, or as they are; INR first."""
    return await _door(db, Held, "balances_at", p_merchant_id=merchant_id, p_at=at)


async def changes(db: Pool, seen: Sequence[Seen]) -> list[Change]:
    """Return what is new of these merchants since what was seen of each."""
    return await _door(
        db,
        Change,
        "changes",
        p_merchant_ids=[one.merchant_id for one in seen],
        p_events=[one.event_seq for one in seen],
        p_entries=[one.entry_seq for one in seen],
    )


async def attempts(db: Pool, merchant_id: UUID, payout_id: UUID) -> list[Attempt]:
    """Return each time that a worker took a payout, oldest first."""
    return await _rows(
        db, Attempt, "attempts", "attempt", merchant_id=merchant_id, payout_id=payout_id
    )


async def evidence(db: Pool, merchant_id: UUID, payout_id: UUID) -> list[Evidence]:
    """Return what was said of a payout, oldest first."""
    parameters = {"merchant_id": merchant_id, "payout_id": payout_id}
    return await call(db, _EVIDENCE, parameters, class_row(Evidence))


async def awaiting_approval(db: Pool, merchant_id: UUID) -> int:
    """Return how many payouts of a merchant await approval, counted up to 100."""
    return _one(await _values(db, int, "door", "awaiting_approval", p_merchant_id=merchant_id))


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A payout that awaits approval: who asked, who has approved it, and who the money goes to."""

    payout_id: UUID
    amount: int
    fee: int  # beyond the amount
    currency: str
    reference: str | None
    bank_account_id: str
    holder_name: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    approvals_required: int
    approved_by: list[str]


async def awaiting(db: Pool, merchant_id: UUID, *, limit: int) -> list[Awaiting]:
    """Return the payouts of a merchant that await approval, those that expire first, first."""
    given = {"merchant_id": merchant_id, "limit": limit}
    return await call(db, _AWAITING, given, class_row(Awaiting))


_AWAITING: Final = b"""
    SELECT p.payout_id, p.amount, p.fee, p.currency, p.reference, p.bank_account_id, b.holder_name,
           p.created_by, p.created_at, p.expires_at, p.approvals_required,
           ARRAY(SELECT a.approver FROM payrail.approvals a
                 WHERE a.merchant_id = p.merchant_id AND a.payout_id = p.payout_id
                   AND a.decision = 'approved' ORDER BY a.decided_at) AS approved_by
    FROM payrail.payouts p
    JOIN payrail.bank_accounts b USING (merchant_id, bank_account_id)
    WHERE p.merchant_id = %(merchant_id)s AND p.status = 'awaiting_approval'
    ORDER BY p.expires_at, p.payout_id
    LIMIT %(limit)s
"""


async def is_under_review(db: Pool, merchant_id: UUID, payout_id: UUID) -> bool:
    """Tell whether people are finding out from the bank what became of a payout."""
    return _one(
        await _values(
            *(db, bool, "door", "is_under_review"), p_merchant_id=merchant_id, p_payout_id=payout_id
        )
    )


async def operated_payout(db: Pool, merchant_id: UUID, payout_id: UUID) -> Payout | None:
    """Return one payout with what the public API does not show."""
    return _maybe(
        await _rows(
            db, Payout, "payouts", "payout_id", merchant_id=merchant_id, payout_id=payout_id
        )
    )


_EVIDENCE: Final = (
    b"SELECT attempt, outcome, effect, code, reason, source, actor, recorded_at,"
    b" jsonb_pretty(answer) AS answer, encode(answer_hash, 'hex') AS answer_hash"
    b" FROM payrail.evidence"
    b" WHERE merchant_id = %(merchant_id)s AND payout_id = %(payout_id)s ORDER BY evidence_id"
)


# ------------------------------------------------------------------------------------- for workers


async def due_merchants(
    db: Pool, limit: int = 1000, rails: Sequence[str] | None = None
) -> list[UUID]:
    """Return merchants that have payouts to send or to ask about, at one of these banks."""
    named = None if rails is None else list(rails)
    return await _values(db, UUID, "door", "due_merchants", p_limit=limit, p_rails=named)


async def waiting_merchants(db: Pool, limit: int = 1000) -> list[UUID]:
    """Return merchants of whom something is due that needs no bank."""
    return await _values(db, UUID, "door", "waiting_merchants", p_limit=limit)


async def advance_payouts(
    db: Pool, merchant_id: UUID, *, limit: int = 100, actor: str | None = None
) -> int:
    """Do what is due of a merchant and needs no bank; return how many payouts were due."""
    return _one(
        await _values(
            *(db, int, "door", "advance_payouts"),
            p_merchant_id=merchant_id,
            p_limit=limit,
            p_actor=actor,
        )
    )


async def claim_payouts_for_many(
    db: Pool,
    merchant_ids: Sequence[UUID],
    *,
    limit: int = 100,
    lease: timedelta = timedelta(seconds=30),
    actor: str | None = None,
    rails: Sequence[str] | None = None,
    wait: bool = False,
) -> dict[UUID, list[Claim]]:
    """Take due payouts, so many of each merchant, for `lease`; nobody else gets them before.

    `rails` are the banks that the worker has access to; None is all of them. A merchant is missing
    whose lock somebody else holds, unless it is to `wait` for it.
    """
    found = await _door(
        db,
        Claim,
        "claim_payouts_for_many",
        p_merchant_ids=list(merchant_ids),
        p_limit=limit,
        p_lease=lease,
        p_actor=actor,
        p_rails=None if rails is None else list(rails),
        p_wait=wait,
    )
    claims: dict[UUID, list[Claim]] = {merchant_id: [] for merchant_id in merchant_ids}
    for claim in found:
        if claim.payout_id:
            claims[claim.merchant_id].append(claim)
        else:
            del claims[claim.merchant_id]
    return claims


async def record_answers_for_many(
    db: Pool, answers: Sequence[BankAnswer], *, actor: str | None = None, wait: bool = False
) -> list[Effect | None]:
    """Record what a bank said; nothing but a listed final no gives money back.

    One effect per answer, in order; None where somebody else holds the merchant's lock, unless it
    is to `wait` for it.
    """
    found = await _door(
        db,
        Effect,
        "record_answers_for_many",
        p_answers=_composites(answers),
        p_actor=actor,
        p_wait=wait,
    )
    return [effect if effect.effect else None for effect in found]


async def declare_rail(
    db: Pool,
    rail: str,
    *,
    deduplicates_references: bool,
    honours_valid_until: bool,
    batch_size: int,
    finality: timedelta,
    accounts: Collection[str],
) -> None:
    """Tell what a bank can be relied on for, and which kinds of account it can pay."""
    await _nothing(
        db,
        "declare_rail",
        p_rail=rail,
        p_deduplicates_references=deduplicates_references,
        p_honours_valid_until=honours_valid_until,
        p_batch_size=batch_size,
        p_finality=finality,
        p_accounts=sorted(accounts),
    )


async def report_calls(
    db: Pool,
    rail: str,
    action: str,
    *,
    calls: int,
    failed: int,
    instructions: int,
    busy: timedelta,
    error: str | None = None,
) -> None:
    """Count calls to a bank; failures in a row open its circuit breaker, a success closes it."""
    await _nothing(
        db,
        "report_calls",
        p_rail=rail,
        p_action=action,
        p_calls=calls,
        p_failed=failed,
        p_instructions=instructions,
        p_busy=busy,
        p_error=error,
    )


async def receive_notices(db: Pool, rail: str, notices: Sequence[Notice]) -> list[Received]:
    """Keep what a bank said by itself, once per event; the payouts are due to be asked about."""
    return await _door(db, Received, "receive_notices", p_rail=rail, p_notices=_composites(notices))


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of an instruction that is to go into a file."""

    rail_ref: str
    effect: str  # queued | repeated | refused


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a file to a bank; `total` is the file's."""

    file_id: UUID
    message_id: str
    cut_at: datetime
    total: int
    rail_ref: str
    amount: int
    currency: str
    account_number: str | None = field(repr=False)
    ifsc: str | None
    iban: str | None = field(repr=False)
    holder_name: str = field(repr=False)
    mode: str | None
    narration: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that can leave."""

    file_id: UUID
    message_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """What became of a bank's file; `notices` were new, `unmatched` of them are of no payout."""

    file_id: UUID
    effect: str  # received | repeated | refused
    notices: int
    unmatched: int


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What a bank's files have said of a reference; see payrail.record_answers."""

    rail_ref: str
    outcome: str  # paid | refused | returned | pending | unknown | not_found
    code: str | None
    utr: str | None
    reason: str | None
    raw: Mapping[str, Any]


async def queue_instructions(db: Pool, rail: str, rail_refs: Sequence[str]) -> list[Filed]:
    """Put instructions in line for the next file to a bank."""
    return await _door(db, Filed, "queue_instructions", p_rail=rail, p_rail_refs=list(rail_refs))


async def cut_file(db: Pool, rail: str, *, limit: int, every: timedelta) -> list[Order]:
    """Return the orders of the next file to a bank; none when there is nothing to write."""
    return await _door(db, Order, "cut_file", p_rail=rail, p_limit=limit, p_every=every)


async def store_file(db: Pool, file_id: UUID, content: bytes) -> None:
    """Keep the bytes of a file that was cut; a second time changes nothing."""
    await _nothing(db, "store_file", p_file_id=file_id, p_content=content)


async def claim_file(db: Pool, rail: str, *, lease: timedelta) -> StoredFile | None:
    """Return the oldest file that is stored and has not left, for this worker to write."""
    return _maybe(await _door(db, StoredFile, "claim_file", p_rail=rail, p_lease=lease))


async def mark_file_sent(db: Pool, file_id: UUID) -> None:
    """Note that a stored file is in the outbox."""
    await _nothing(db, "mark_file_sent", p_file_id=file_id)


async def receive_file(
    db: Pool,
    rail: str,
    *,
    name: str,
    content_hash: bytes,
    kind: str | None = None,
    message_id: str | None = None,
    notices: Sequence[Notice] = (),
    whole: Sequence[Notice] = (),
    error: str | None = None,
    in_all: int | None = None,
) -> ReceivedFile:
    """Keep what a bank's file says, once per content; `error` says why it could not be read.

    Of `whole`, the rail_ref is the message_id of a file of ours. A large file is taken in parts;
    `in_all` is how many notices it has.
    """
    return _one(
        await _door(
            db,
            ReceivedFile,
            "receive_file",
            p_rail=rail,
            p_name=name,
            p_content_hash=content_hash,
            p_kind=kind,
            p_message_id=message_id,
            p_notices=_composites(notices),
            p_whole=_composites(whole),
            p_error=error,
            p_in_all=in_all,
        )
    )


async def ask_files(db: Pool, rail: str, rail_refs: Sequence[str]) -> list[FileAnswer]:
    """Return what a bank's files have said of these references so far, one answer for each."""
    return await _door(db, FileAnswer, "ask_files", p_rail=rail, p_rail_refs=list(rail_refs))


async def prune(db: Pool, *, limit: int = 1000) -> int:
    """Remove what nobody needs any more, at most so many rows of a kind; return how many went."""
    return _one(await _values(db, int, "door", "prune", p_limit=limit))


# ----------------------------------------------------------------------------------- for operators


async def settle_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    *,
    utr: str,
    answer: Mapping[str, Any] | None = None,
    actor: str | None = None,
) -> Payout:
    """Settle a processing payout; the same UTR again changes nothing."""
    return _one(
        await _door(
            db,
            Payout,
            "settle_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_utr=utr,
            p_answer=_json(answer),
            p_actor=actor,
        )
    )


async def fail_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    *,
    failure_code: str,
    reason: str | None = None,
    answer: Mapping[str, Any] | None = None,
    actor: str | None = None,
) -> Payout:
    """Fail a processing payout and release its money; the same code again changes nothing."""
    return _one(
        await _door(
            db,
            Payout,
            "fail_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_failure_code=failure_code,
            p_reason=reason,
            p_answer=_json(answer),
            p_actor=actor,
        )
    )


async def return_payout(
    db: Pool,
    merchant_id: UUID,
    payout_id: UUID,
    *,
    return_code: str,
    reason: str | None = None,
    answer: Mapping[str, Any] | None = None,
    actor: str | None = None,
) -> Payout:
    """Book a settled payout's money back; the same code again changes nothing."""
    return _one(
        await _door(
            db,
            Payout,
            "return_payout",
            p_merchant_id=merchant_id,
            p_payout_id=payout_id,
            p_return_code=return_code,
            p_reason=reason,
            p_answer=_json(answer),
            p_actor=actor,
        )
    )


async def credit_merchant(
    db: Pool,
    merchant_id: UUID,
    *,
    amount: int,
    currency: str,
    reference: str,
    actor: str | None = None,
) -> Entry:
    """Add money to a merchant; the same reference again is the same entry."""
    return _one(
        await _door(
            db,
            Entry,
            "credit_merchant",
            p_merchant_id=merchant_id,
            p_amount=amount,
            p_currency=currency,
            p_reference=reference,
            p_actor=actor,
        )
    )


async def create_merchant(db: Pool, name: str, merchant_id: UUID | None = None) -> Merchant:
    """Create a merchant; the same id and name again is the same merchant."""
    return _one(
        await _door(db, Merchant, "create_merchant", p_name=name, p_merchant_id=merchant_id)
    )


async def create_api_key(
    db: Pool,
    merchant_id: UUID,
    *,
    key_hash: bytes,
    prefix: str,
    name: str | None = None,
    scopes: Sequence[str] = keys.DEFAULT,
    expires_at: datetime | None = None,
    owner: str | None = None,
    reads_per_second: int = keys.PER_SECOND,
    writes_per_second: int = keys.PER_SECOND,
) -> ApiKey:
    """Register the SHA-256 of a secret that the caller made and shows once.

    `owner` is who acts with it: whoever approves a payout is not who created it.
    """
    return _one(
        await _door(
            db,
            ApiKey,
            "create_api_key",
            p_merchant_id=merchant_id,
            p_key_hash=key_hash,
            p_prefix=prefix,
            p_name=name,
            p_scopes=list(scopes),
            p_expires_at=expires_at,
            p_owner=owner,
            p_reads_per_second=reads_per_second,
            p_writes_per_second=writes_per_second,
        )
    )


async def roll_api_key(
    db: Pool, merchant_id: UUID, api_key_id: UUID, secret: keys.Secret, *, overlap: timedelta
) -> ApiKey:
    """Give a key a new secret; the old one is valid for `overlap` more, at most 30 days."""
    return _one(
        await _door(
            db,
            ApiKey,
            "roll_api_key",
            p_merchant_id=merchant_id,
            p_api_key_id=api_key_id,
            p_key_hash=secret.hash,
            p_prefix=secret.prefix,
            p_overlap=overlap,
        )
    )


async def limit_api_key(
    db: Pool, merchant_id: UUID, api_key_id: UUID, *, reads: int, writes: int
) -> ApiKey:
    """Set how many reads and writes a key may make in a second, at each process that serves."""
    return _one(
        await _door(
            db,
            ApiKey,
            "limit_api_key",
            p_merchant_id=merchant_id,
            p_api_key_id=api_key_id,
            p_reads_per_second=reads,
            p_writes_per_second=writes,
        )
    )


async def revoke_api_key(db: Pool, merchant_id: UUID, api_key_id: UUID) -> ApiKey:
    """Revoke a key at once; revoking it again changes nothing."""
    return _one(
        await _door(
            db, ApiKey, "revoke_api_key", p_merchant_id=merchant_id, p_api_key_id=api_key_id
        )
    )


async def audit_state(db: Pool) -> list[State]:
    """Return how many rows broke each invariant when the audit was run last; none before that."""
    return await _rows(db, State, "audit_state", "invariant")


async def last_audit(db: Pool) -> AuditRun | None:
    """Return what the audit found when it was run last."""
    return _maybe(await call(db, _LAST_AUDIT, {}, class_row(AuditRun)))


async def run_audit(db: Pool, *, actor: str | None = None) -> list[Finding]:
    """Check every invariant; all `violations` are 0 in a healthy system."""
    return await _door(db, Finding, "run_audit", p_actor=actor)


async def anchors(db: Pool) -> list[Anchor]:
    """Return the newest entry of every chain of the ledger."""
    return await _rows(db, Anchor, "anchors", "merchant_id")


async def entries(db: Pool) -> AsyncIterator[tuple[bytes | None, ...]]:
    """Yield every entry of the ledger, chain by chain in its order, as one moment had them.

    merchant_id, currency, seq, kind, amount, available, held, payout_id, reference, created_at and
    hash are in PostgreSQL's binary form, which the hash is made of.
    """
    async with db.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        async with connection.cursor().copy(ENTRIES) as copy:
            async for row in copy.rows():
                yield row


async def merchants(
    db: Pool, *, merchant_id: UUID | None = None, name: str | None = None
) -> list[Merchant]:
    """Return all merchants, oldest first, or those with this id or exactly this name."""
    return await _rows(db, Merchant, "merchants", "merchant_id", merchant_id=merchant_id, name=name)


async def balances(db: Pool, merchant_id: UUID | None = None) -> list[Balance]:
    """Return a merchant's balance in each currency, or those of all merchants."""
    return await _rows(db, Balance, "balances", "currency", merchant_id=merchant_id)


async def api_keys(db: Pool, merchant_id: UUID) -> list[ApiKey]:
    """Return a merchant's API keys, oldest first."""
    return await _rows(db, ApiKey, "api_keys", "api_key_id", merchant_id=merchant_id)


async def failure_codes(db: Pool) -> list[FailureCode]:
    """Return the catalogue of reasons for which a payout fails."""
    return await _rows(db, FailureCode, "failure_codes", "code")


# ------------------------------------------------------------------------------------ the console


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may sign in to the console, or no longer may."""

    name: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did."""

    action_id: UUID
    acted_at: datetime
    actor: str
    action: str
    merchant_id: UUID | None
    merchant_name: str | None
    object: str
    detail: Any


@dataclass(frozen=True, slots=True)
class Work:
    """How much is due, and who is there to do it."""

    due: int
    workers: int
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """How the payouts requested in one minute stand now."""

    minute: datetime
    settled: int
    failed: int
    under_way: int
    median_seconds: float | None  # from request to settlement
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """A payout of any merchant, and why it was found."""

    merchant_id: UUID
    merchant_name: str
    payout_id: UUID
    status: str
    amount: int
    currency: str
    reference: str | None
    utr: str | None
    created_at: datetime
    why: list[str]


@dataclass(frozen=True, slots=True)
class Account:
    """A merchant with its balances: currency, available and held; INR first."""

    merchant_id: UUID
    name: str
    created_at: datetime
    balances: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Totals:
    """What all merchants have together in one currency; a Decimal, as it may pass a bigint."""

    currency: str
    merchants: int  # that have had this currency; in INR, all
    available: Decimal
    held: Decimal


async def operators(db: Pool) -> list[Operator]:
    """Return all operators by name."""
    return await _rows(db, Operator, "operators", "name")


async def add_operator(
    db: Pool, name: str, password_hash: str, *, actor: str | None = None
) -> Operator:
    """Let somebody sign in to the console; `password_hash` is an Argon2id PHC string."""
    return _one(
        await _door(
            db,
            Operator,
            "add_operator",
            p_name=name,
            p_password_hash=password_hash,
            p_actor=actor,
        )
    )


async def set_operator_password(
    db: Pool, name: str, password_hash: str, *, actor: str | None = None
) -> Operator:
    """Give an operator another password and end the sessions; who was disabled may come back."""
    return _one(
        await _door(
            db,
            Operator,
            "set_operator_password",
            p_name=name,
            p_password_hash=password_hash,
            p_actor=actor,
        )
    )


async def disable_operator(db: Pool, name: str, *, actor: str | None = None) -> Operator:
    """Sign an operator out and keep them out; again changes nothing."""
    return _one(await _door(db, Operator, "disable_operator", p_name=name, p_actor=actor))


async def try_operator(db: Pool, name: str) -> str | None:
    """Count a try to sign in; return the hash to compare with, None if nobody can sign in so."""
    return _maybe(await _values(db, str, "door", "try_operator", p_name=name))


async def open_operator_session(
    db: Pool, name: str, password_hash: str, session_hash: bytes
) -> str | None:
    """Sign an operator in whose password was compared with `password_hash`; return the name."""
    return _maybe(
        await _values(
            db,
            str,
            "door",
            "open_operator_session",
            p_name=name,
            p_password_hash=password_hash,
            p_session_hash=session_hash,
        )
    )


async def resume_operator_session(db: Pool, session_hash: bytes) -> str | None:
    """Return the name of the operator whose session it is; None if it is over."""
    return _maybe(
        await _values(db, str, "door", "resume_operator_session", p_session_hash=session_hash)
    )


async def close_operator_session(db: Pool, session_hash: bytes) -> None:
    """End a session; ending it again changes nothing."""
    await _values(db, str, "door", "close_operator_session", p_session_hash=session_hash)


async def credit_as_operator(
    db: Pool,
    merchant_id: UUID,
    *,
    session_hash: bytes,
    amount: int,
    currency: str,
    reference: str,
) -> Entry:
    """Add money to a merchant as whoever has this session; the same reference is the same entry."""
    return _one(
        await _door(
            db,
            Entry,
            "credit_as_operator",
            p_merchant_id=merchant_id,
            p_session_hash=session_hash,
            p_amount=amount,
            p_currency=currency,
            p_reference=reference,
        )
    )


async def work(db: Pool) -> Work:
    """Return how much is due, and which workers are alive."""
    return _one(await _door(db, Work, "work"))


async def throughput(db: Pool, *, minutes: int) -> list[Throughput]:
    """Return how the payouts of each of the last minutes stand, of all merchants, oldest first."""
    return await _door(db, Throughput, "throughput", p_minutes=minutes)


async def find_payouts(db: Pool, text: str, payout_id: UUID | None, *, limit: int) -> list[Found]:
    """Return payouts of any merchant by id, reference, UTR or idempotency key, newest first."""
    return await _door(db, Found, "find_payouts", p_text=text, p_payout_id=payout_id, p_limit=limit)


async def troubled_payouts(db: Pool, *, limit: int) -> list[Found]:
    """Return payouts of any merchant that need attention, oldest first."""
    return await _door(db, Found, "troubled_payouts", p_limit=limit)


async def totals(db: Pool) -> list[Totals]:
    """Return what all merchants have together, by currency; INR first."""
    return await call(db, _TOTALS, {}, class_row(Totals))


async def accounts(db: Pool, name: str, *, limit: int, after: UUID | None = None) -> list[Account]:
    """Return merchants whose name contains `name`, newest first, from behind `after` on."""
    parameters = {"name": name, "limit": limit, "after": after or _LAST}
    return await call(db, _ACCOUNTS, parameters, class_row(Account))


async def actions(db: Pool, *, limit: int, after: UUID | None = None) -> list[Action]:
    """Return what operators did, newest first, from behind `after` on."""
    return await call(db, _ACTIONS, {"limit": limit, "after": after or _LAST}, class_row(Action))


_LAST: Final = UUID(int=2**128 - 1)
_LAST_AUDIT: Final = (
    b"SELECT checked_at, took, actor, findings FROM payrail.audit_runs ORDER BY run_id DESC LIMIT 1"
)
ENTRIES: Final = (
    b"COPY (SELECT merchant_id, currency, seq, kind, amount, available, held, payout_id, reference,"
    b" created_at, hash FROM payrail.ledger_entries ORDER BY merchant_id, currency, seq)"
    b" TO STDOUT (FORMAT binary)"
)
_TOTALS: Final = (
    b"SELECT currency, count(*) AS merchants, sum(available) AS available, sum(held) AS held"
    b" FROM payrail.balances GROUP BY currency ORDER BY currency <> 'INR', currency"
)
_ACCOUNTS: Final = (
    b"SELECT m.merchant_id, m.name, m.created_at, ("
    b"SELECT jsonb_agg(to_jsonb(b) ORDER BY b.currency <> 'INR', b.currency)"
    b" FROM payrail.balances b WHERE b.merchant_id = m.merchant_id) AS balances FROM ("
    b"SELECT * FROM payrail.merchants WHERE merchant_id < %(after)s"
    b" AND position(lower(%(name)s) IN lower(name)) > 0"
    b" ORDER BY merchant_id DESC LIMIT %(limit)s"
    b") m ORDER BY m.merchant_id DESC"
)
_ACTIONS: Final = (
    b"SELECT action_id, acted_at, actor, action, merchant_id, merchant_name, object, detail"
    b" FROM payrail.operator_actions WHERE action_id < %(after)s"
    b" ORDER BY action_id DESC LIMIT %(limit)s"
)


# -------------------------------------------------------------------------------- banks, and cases


@dataclass(frozen=True, slots=True)
class Rail:
    """A bank: its circuit breaker, how it is doing, and what it can be relied on for."""

    rail: str
    breaker: str  # closed | open
    failures: int  # in a row
    opened_at: datetime | None
    trial_at: datetime | None
    succeeded_at: datetime | None
    failed_at: datetime | None
    error: str | None
    deduplicates_references: bool
    honours_valid_until: bool
    batch_size: int
    finality: timedelta


@dataclass(frozen=True, slots=True)
class RailMinute:
    """The calls to a bank in one minute, and how long they took together."""

    rail: str
    minute: datetime
    calls: int
    failed: int
    busy: timedelta


@dataclass(frozen=True, slots=True)
class RailCalls:
    """The calls of one kind to a bank in the last whole minute."""

    rail: str
    action: str  # submit | enquire
    calls: int
    failed: int
    instructions: int
    seconds: float  # that they took together


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice of a bank that was kept; `raw` as indented JSON."""

    event_id: str
    outcome: str
    code: str | None
    reason: str | None
    raw: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """What people have to decide, and the proposal that waits for a second operator."""

    case_id: UUID
    kind: str
    rail: str
    rail_ref: str | None
    merchant_id: UUID | None
    merchant_name: str | None
    payout_id: UUID | None
    status: str | None
    amount: int | None  # the one in question: the bank's, where it tells of another
    currency: str | None
    payout_amount: int | None
    payout_fee: int | None
    payout_currency: str | None
    detail: str
    report_id: UUID | None
    booking: str | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    resolution: str | None
    proposal_id: UUID | None
    proposed_action: str | None  # settle | fail | close
    proposed_code: str | None  # the UTR, or the failure code
    proposed_note: str | None
    proposed_by: str | None
    proposed_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenCases:
    """How many cases of one kind are open."""

    kind: str
    cases: int


@dataclass(frozen=True, slots=True)
class Report:
    """A bank's own report that was imported."""

    report_id: UUID
    rail: str
    source: str
    period_from: datetime
    period_until: datetime
    imported_at: datetime
    actor: str
    lines: int


@dataclass(frozen=True, slots=True)
class Booking:
    """A line of a report against our books, or what is missing there (without `line`).

    `amount` and `utr` are ours, `bank_amount` and `bank_utr` the bank's.
    """

    result: str  # matched | missing_at_bank | unknown_to_us | booked_twice | different_…
    line: int | None
    kind: str
    entry_ref: str | None
    rail_ref: str | None
    merchant_id: UUID | None
    payout_id: UUID | None
    status: str | None
    amount: int | None
    currency: str | None
    utr: str | None
    bank_amount: int | None
    bank_currency: str | None
    bank_utr: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A booking of a bank beside ours, or ours that the bank lacks; and the case made of it."""

    result: str
    line: int | None
    kind: str  # payment | return
    entry_ref: str | None
    rail_ref: str | None
    merchant_id: UUID | None
    payout_id: UUID | None
    status: str | None
    amount: int | None
    currency: str | None
    utr: str | None
    bank_amount: int | None
    bank_currency: str | None
    bank_utr: str | None
    booking: str | None
    case_id: UUID | None


@dataclass(frozen=True, slots=True)
class Result:
    """How many lines of a report have one result."""

    result: str
    lines: int


@dataclass(frozen=True, slots=True)
class PayMode:
    """How a bank moves money; NULL hours or days are any."""

    rail: str
    mode: str
    currency: str
    accounts: list[str]  # kinds: account_number | vpa | iban
    amount_min: int
    amount_max: int
    rank: int
    opens: time | None
    closes: time | None
    days: list[int] | None  # 1 is Monday
    time_zone: str
    calendar: str | None


async def pay_modes(db: Pool) -> list[PayMode]:
    """Return the modes of all banks, those of one bank and currency by rank."""
    return await call(db, _PAY_MODES, {}, class_row(PayMode))


@dataclass(frozen=True, slots=True)
class ModeHours:
    """Whether a mode is open now, and from when on; None: not within a year."""

    rail: str
    mode: str
    currency: str
    is_open: bool
    opens_at: datetime | None


async def mode_hours(db: Pool) -> list[ModeHours]:
    """Return when the modes of all banks take payments."""
    return await _door(db, ModeHours, "mode_hours")


async def set_pay_mode(
    db: Pool, mode: PayMode, *, actor: str | None = None, session_hash: bytes | None = None
) -> PayMode:
    """Tell how a bank moves money, from the next payout on.

    Here and below, who does it is `actor`, or whoever is signed in to the console with
    `session_hash`.
    """
    given: dict[str, Any] = {f"p_{one.name}": getattr(mode, one.name) for one in fields(PayMode)}
    who = {"p_actor": actor, "p_session_hash": session_hash}
    return _one(await _door(db, PayMode, "set_mode", **given, **who))


async def remove_pay_mode(
    db: Pool,
    rail: str,
    mode: str,
    currency: str,
    *,
    actor: str | None = None,
    session_hash: bytes | None = None,
) -> None:
    """Take a mode from a bank."""
    await _nothing(
        *(db, "remove_mode"),
        p_rail=rail,
        p_mode=mode,
        p_currency=currency,
        p_actor=actor,
        p_session_hash=session_hash,
    )


@dataclass(frozen=True, slots=True)
class Fee:
    """What a payout by a mode costs from an amount on, up to the next one; minor units."""

    rail: str
    mode: str
    currency: str
    amount_from: int
    fixed: int
    basis_points: int  # of the amount: 1 is 0.01%


async def fees(db: Pool) -> list[Fee]:
    """Return the fees of all banks' modes, by amount."""
    return await call(db, _FEES, {}, class_row(Fee))


async def set_fee(
    db: Pool, fee: Fee, *, actor: str | None = None, session_hash: bytes | None = None
) -> Fee:
    """Set a fee, for new payouts; who does it is as in `set_pay_mode`."""
    given: dict[str, Any] = {f"p_{one.name}": getattr(fee, one.name) for one in fields(Fee)}
    return _one(
        await _door(db, Fee, "set_fee", **given, p_actor=actor, p_session_hash=session_hash)
    )


async def remove_fee(
    db: Pool,
    rail: str,
    mode: str,
    currency: str,
    amount_from: int,
    *,
    actor: str | None = None,
    session_hash: bytes | None = None,
) -> None:
    """Take away the fee that a mode has from an amount on."""
    await _nothing(
        *(db, "remove_fee"),
        p_rail=rail,
        p_mode=mode,
        p_currency=currency,
        p_amount_from=amount_from,
        p_actor=actor,
        p_session_hash=session_hash,
    )


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day on which modes with this calendar do not open."""

    calendar: str
    day: date
    name: str


async def holidays(db: Pool) -> list[Holiday]:
    """Return the holidays of all calendars, the first one first."""
    return await _rows(db, Holiday, "holidays", "day")


async def set_holiday(
    db: Pool,
    calendar: str,
    day: date,
    name: str | None,
    *,
    actor: str | None = None,
    session_hash: bytes | None = None,
) -> None:
    """Add a holiday to a calendar of modes; without a name it is taken out."""
    await _nothing(
        *(db, "set_holiday"),
        p_calendar=calendar,
        p_day=day,
        p_name=name,
        p_actor=actor,
        p_session_hash=session_hash,
    )


async def rails(db: Pool) -> list[Rail]:
    """Return all banks by name."""
    return await _rows(db, Rail, "rails", "rail")


async def rail_minutes(db: Pool, *, minutes: int) -> list[RailMinute]:
    """Return how the calls to each bank went in each of the last minutes, oldest first."""
    return await call(db, _RAIL_MINUTES, {"minutes": minutes}, class_row(RailMinute))


async def rail_calls(db: Pool) -> list[RailCalls]:
    """Return how the calls to each bank went in the last whole minute."""
    return await call(db, _RAIL_CALLS, {}, class_row(RailCalls))


async def notices(db: Pool, rail: str, rail_ref: str) -> list[Heard]:
    """Return what a bank said by itself of one reference, oldest first."""
    return await call(db, _NOTICES, {"rail": rail, "rail_ref": rail_ref}, class_row(Heard))


async def open_cases(db: Pool) -> list[OpenCases]:
    """Return how many cases are open, by kind; kinds without any are left out."""
    return await _door(db, OpenCases, "open_cases")


async def cases(
    db: Pool, *, is_open: bool, kinds: Sequence[str], limit: int, after: UUID | None = None
) -> list[Case]:
    """Return open or closed cases of these kinds, newest first, from behind `after` on."""
    parameters = {
        "is_open": is_open,
        "kinds": list(kinds),
        "limit": limit,
        "after": after or _LAST,
    }
    return await call(db, _CASES, parameters, class_row(Case))


async def case(db: Pool, case_id: UUID) -> Case | None:
    """Return one case."""
    return _maybe(await _rows(db, Case, "cases", "case_id", case_id=case_id))


async def payout_cases(db: Pool, merchant_id: UUID, payout_id: UUID) -> list[Case]:
    """Return the cases of a payout, oldest first."""
    return await _rows(db, Case, "cases", "case_id", merchant_id=merchant_id, payout_id=payout_id)


async def case_actions(db: Pool, case_id: UUID) -> list[Action]:
    """Return what operators did with a case, oldest first."""
    parameters = {"case_id": case_id, "object": str(case_id)}
    return await call(db, _CASE_ACTIONS, parameters, class_row(Action))


async def propose_resolution(
    db: Pool, session_hash: bytes, case_id: UUID, *, action: str, code: str | None, note: str
) -> Case:
    """Propose to settle (`code` is the UTR), fail (a failure code) or close, in one's own name."""
    return _one(
        await _door(
            db,
            Case,
            "propose_resolution",
            p_session_hash=session_hash,
            p_case_id=case_id,
            p_action=action,
            p_code=code,
            p_note=note,
        )
    )


async def decide_resolution(
    db: Pool, session_hash: bytes, proposal_id: UUID, *, confirm: bool
) -> Case:
    """Confirm another operator's proposal, which then happens, or reject one."""
    return _one(
        await _door(
            db,
            Case,
            "decide_resolution",
            p_session_hash=session_hash,
            p_proposal_id=proposal_id,
            p_confirm=confirm,
        )
    )


async def reports(db: Pool, *, limit: int, after: UUID | None = None) -> list[Report]:
    """Return the banks' reports, newest first, from behind `after` on."""
    return await call(db, _REPORTS, {"limit": limit, "after": after or _LAST}, class_row(Report))


async def report(db: Pool, report_id: UUID) -> Report | None:
    """Return one report."""
    return _maybe(await _rows(db, Report, "reports", "report_id", report_id=report_id))


async def import_report(
    db: Pool,
    rail: str,
    *,
    source: str,
    content_hash: bytes,
    since: datetime,
    until: datetime,
    lines: Sequence[ReportLine],
    actor: str | None = None,
) -> Report:
    """Keep what a bank booked from `since` until before `until`; each difference becomes a case.

    `content_hash` is the SHA-256 of the file: the same content again changes nothing.
    """
    return _one(
        await _door(
            db,
            Report,
            "import_report",
            p_rail=rail,
            p_source=source,
            p_content_hash=content_hash,
            p_from=since,
            p_until=until,
            p_lines=_composites(lines),
            p_actor=actor,
        )
    )


async def reconciliation(db: Pool, report_id: UUID) -> list[Booking]:
    """Return a report against our books as they are now, by line; what is missing comes last."""
    return await _door(db, Booking, "reconciliation", p_report_id=report_id)


async def all_cases(db: Pool, *, closed: bool = False) -> list[Case]:
    """Return the cases that are open, oldest first; with `closed` those that were, too."""
    return await call(db, _ALL_CASES, {"closed": closed}, class_row(Case))


@dataclass(frozen=True, slots=True)
class File:
    """What went to a bank or came from it as a file."""

    file_id: UUID
    direction: str  # out | in
    rail: str
    kind: str | None
    message_id: str | None
    name: str
    noted_at: datetime
    sent_at: datetime | None
    items: int
    amount: int | None
    currency: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class FileItem:
    """A payout in a file, and what the file says of it."""

    rail_ref: str
    merchant_id: UUID | None
    payout_id: UUID | None
    status: str | None
    amount: int | None
    currency: str | None
    outcome: str | None
    code: str | None


async def files(db: Pool, *, limit: int, after: UUID | None = None) -> list[File]:
    """Return files to and from banks, newest first, from behind `after` on."""
    return await call(db, _FILES, {"limit": limit, "after": after or _LAST}, class_row(File))


async def file(db: Pool, file_id: UUID) -> File | None:
    """Return one file."""
    return _maybe(await _rows(db, File, "files", "file_id", file_id=file_id))


async def file_items(
    db: Pool, file_id: UUID, *, limit: int, after: str | None = None
) -> list[FileItem]:
    """Return what is in a file by reference, from behind `after` on."""
    parameters = {"file_id": file_id, "limit": limit, "after": after or ""}
    return await call(db, _FILE_ITEMS, parameters, class_row(FileItem))


async def results(db: Pool, report_id: UUID) -> list[Result]:
    """Return how many lines of a report have which result."""
    return await call(db, _RESULTS, {"report_id": report_id}, class_row(Result))


async def compared(db: Pool, report_id: UUID, *, limit: int, skip: int) -> list[Compared]:
    """Return a report beside our books, differences first."""
    parameters = {"report_id": report_id, "limit": limit, "skip": skip}
    return await call(db, _COMPARED, parameters, class_row(Compared))


_RAIL_MINUTES: Final = (
    b"SELECT r.rail, m.minute, coalesce(sum(c.calls), 0)::bigint AS calls,"
    b" coalesce(sum(c.failed), 0)::bigint AS failed, coalesce(sum(c.busy), '0') AS busy"
    b" FROM payrail.rails r CROSS JOIN generate_series("
    b"date_trunc('minute', now()) - make_interval(mins => %(minutes)s - 1),"
    b" date_trunc('minute', now()), INTERVAL '1 minute') m (minute)"
    b" LEFT JOIN payrail.rail_calls c ON c.rail = r.rail AND c.minute = m.minute"
    b" AND c.minute > now() - make_interval(mins => %(minutes)s)"
    b" GROUP BY r.rail, m.minute ORDER BY r.rail, m.minute"
)
_RAIL_CALLS: Final = (
    b"SELECT r.rail, a.action, coalesce(c.calls, 0) AS calls, coalesce(c.failed, 0) AS failed,"
    b" coalesce(c.instructions, 0) AS instructions,"
    b" coalesce(extract(EPOCH FROM c.busy), 0)::double precision AS seconds"
    b" FROM payrail.rails r CROSS JOIN (VALUES ('enquire'), ('submit')) a (action)"
    b" LEFT JOIN payrail.rail_calls c ON c.rail = r.rail AND c.action = a.action"
    b" AND c.minute = date_trunc('minute', now()) - INTERVAL '1 minute'"
    b" ORDER BY r.rail, a.action"
)
_NOTICES: Final = (
    b"SELECT event_id, outcome, code, reason, jsonb_pretty(raw) AS raw, received_at"
    b" FROM payrail.notices WHERE rail = %(rail)s AND rail_ref = %(rail_ref)s"
    b" ORDER BY received_at, event_id"
)
_CASES: Final = (
    b"SELECT * FROM payrail.cases WHERE case_id < %(after)s"
    b" AND (closed_at IS NULL) = %(is_open)s AND kind = ANY (%(kinds)s)"
    b" ORDER BY case_id DESC LIMIT %(limit)s"
)
# both ids tell the time, and nobody acts on a case before it is there
_CASE_ACTIONS: Final = (
    b"SELECT action_id, acted_at, actor, action, merchant_id, merchant_name, object, detail"
    b" FROM payrail.operator_actions WHERE action_id > %(case_id)s AND object = %(object)s"
    b" ORDER BY action_id"
)
_REPORTS: Final = (
    b"SELECT report_id, rail, source, period_from, period_until, imported_at, actor, lines"
    b" FROM payrail.reports WHERE report_id < %(after)s ORDER BY report_id DESC LIMIT %(limit)s"
)
_RESULTS: Final = (
    b"SELECT result, count(*) AS lines FROM payrail.reconciliation(%(report_id)s)"
    b" GROUP BY result ORDER BY result = 'matched', result"
)
_COMPARED: Final = (
    b"SELECT d.*, c.case_id FROM payrail.reconciliation(%(report_id)s) d"
    b" LEFT JOIN (SELECT DISTINCT ON (o.kind, o.rail_ref, o.booking)"
    b" o.kind, o.rail_ref, o.booking, o.case_id"
    b" FROM payrail.cases o JOIN payrail.reports r ON r.rail = o.rail"
    b" WHERE r.report_id = %(report_id)s"
    b" ORDER BY o.kind, o.rail_ref, o.booking, o.case_id DESC"
    b") c ON c.kind = d.result AND c.booking = d.booking"
    b" AND coalesce(c.rail_ref, '') = coalesce(d.rail_ref, '')"
    b" ORDER BY d.result = 'matched', d.result, d.line, d.rail_ref"
    b" LIMIT %(limit)s OFFSET %(skip)s"
)


# ------------------------------------------------------------------------------------- the SQL text


@dataclass(frozen=True, slots=True)
class _View:
    """A view that is shown as JSON in the order of one key."""

    name: LiteralString
    key: LiteralString
    render: LiteralString
    newest_first: bool = True


_PAYOUTS: Final = _View("payouts", "payout_id", "payout_json")
_RULES: Final = _View("rules", "currency", "rules_json", newest_first=False)
_PAYOUT: Final = _View("payouts", "payout_id", "payout_detail_json")
_LEDGER: Final = _View("ledger_entries", "seq", "ledger_entry_json")
_API_KEYS: Final = _View("api_keys", "api_key_id", "api_key_json")
_BANK_ACCOUNTS: Final = _View(
    "bank_accounts", "bank_account_id", "bank_account_json", newest_first=False
)

_EVENTS: Final = _View("events", "seq", "event_json", newest_first=False)
_NEWEST_EVENTS: Final = _View("events", "seq", "event_json")
_ENDPOINTS: Final = _View("webhook_endpoints", "endpoint_id", "webhook_endpoint_json")
_DELIVERIES: Final = _View("webhook_deliveries", "seq", "webhook_delivery_json")

_BATCHES: Final = _View("batches", "batch_id", "batch_json")
_BATCH_LINES: Final = _View("batch_lines", "line", "batch_line_json", newest_first=False)

_FILTERS: Final[Mapping[str, SQL]] = {
    "batch_id": SQL(
        "row.payout_id = ANY (ARRAY(SELECT made.payout_id FROM payrail.batch_lines AS made"
        " WHERE made.merchant_id = %(merchant_id)s AND made.batch_id = %(batch_id)s))"
    ),
    "of_batch": SQL("row.batch_id = %(of_batch)s"),
    "outcome": SQL("row.outcome = %(outcome)s"),
    "status": SQL("row.status = ANY (%(status)s)"),
    "kind": SQL("row.kind = ANY (%(kind)s)"),
    "created_after": SQL("row.created_at >= %(created_after)s"),
    "created_before": SQL("row.created_at < %(created_before)s"),
    "amount_min": SQL("row.amount >= %(amount_min)s"),
    "amount_max": SQL("row.amount <= %(amount_max)s"),
    "currency": SQL("row.currency = %(currency)s"),
    "reference": SQL("row.reference = %(reference)s"),
    "utr": SQL("row.utr = %(utr)s"),
    "bank_account_id": SQL("row.bank_account_id = %(bank_account_id)s"),
    "payout_id": SQL("row.payout_id = %(payout_id)s"),
    "endpoint_id": SQL("row.endpoint_id = %(endpoint_id)s"),
    "seq": SQL("row.seq = %(seq)s"),
}


async def _door(
    db: Pool, row: type[Row], door: LiteralString, /, **parameters: object
) -> list[Row]:
    query = _call(_columns(row), door, tuple(parameters))
    return await call(db, query, parameters, class_row(row))


async def _values(
    db: Pool, kind: type[Row], select: LiteralString, door: LiteralString, /, **parameters: object
) -> list[Row]:
    """Return one column; `kind` says what PostgreSQL sends there."""
    query = _call(select, door, tuple(parameters))
    values = await call(db, query, parameters, scalar_row)
    return [found for found in values if isinstance(found, kind)]


async def _rows(
    db: Pool,
    row: type[Row],
    view: LiteralString,
    order: LiteralString,
    /,
    **equal: object,
) -> list[Row]:
    """Return a view's rows where each column of `equal` has that value; None is no condition."""
    given = {name: value for name, value in equal.items() if value is not None}
    query = _select(_columns(row), view, order, tuple(given))
    return await call(db, query, given, class_row(row))


async def _page(
    db: Pool,
    view: _View,
    merchant_id: UUID,
    limit: int,
    after: Key | None,
    filters: Mapping[str, object],
) -> list[Item[Key]]:
    given = {name: value for name, value in filters.items() if value is not None}
    parameters = {**given, "merchant_id": merchant_id, "limit": limit, "after": after}
    query = _list(view, tuple(given), resumed=after is not None)
    item: type[Item[Key]] = Item  # calling Item[Key] itself fails: a frozen class notes no type
    return await call(db, query, parameters, class_row(item))


async def _detail(db: Pool, view: _View, merchant_id: UUID, key: object) -> str | None:
    parameters = {"merchant_id": merchant_id, "key": key}
    return _maybe(await call(db, _find(view), parameters, scalar_row))


# Each statement is composed once: the same text is the same prepared statement.


def _columns(row: type[Row]) -> LiteralString:
    names: list[LiteralString] = [column.name for column in fields(cast("type[Any]", row))]
    return ", ".join(names)


_BATCH_ROWS: Final = (
    SQL(
        "SELECT {} FROM payrail.batch_lines WHERE merchant_id = %(merchant_id)s"
        " AND batch_id = %(batch_id)s AND line > %(after)s ORDER BY line LIMIT 1000"
    )
    .format(SQL(_columns(BatchLine)))
    .as_bytes()
)
_FILES: Final = (
    SQL("SELECT {} FROM payrail.files WHERE file_id < %(after)s ORDER BY file_id DESC")
    .format(SQL(_columns(File)))
    .as_bytes()
    + b" LIMIT %(limit)s"
)
_FILE_ITEMS: Final = (
    SQL("SELECT {} FROM payrail.file_items WHERE file_id = %(file_id)s AND rail_ref > %(after)s")
    .format(SQL(_columns(FileItem)))
    .as_bytes()
    + b" ORDER BY rail_ref, outcome LIMIT %(limit)s"
)
_PAY_MODES: Final = (
    SQL("SELECT {} FROM payrail.modes ORDER BY rail, currency, rank, mode")
    .format(SQL(_columns(PayMode)))
    .as_bytes()
)
_FEES: Final = (
    SQL("SELECT {} FROM payrail.fees ORDER BY rail, currency, mode, amount_from")
    .format(SQL(_columns(Fee)))
    .as_bytes()
)
_ALL_CASES: Final = (
    SQL("SELECT {} FROM payrail.cases WHERE closed_at IS NULL OR %(closed)s ORDER BY case_id")
    .format(SQL(_columns(Case)))
    .as_bytes()
)


_FLEET: Final = (
    SQL("SELECT {} FROM payrail.webhook_fleet").format(SQL(_columns(FleetEndpoint))).as_bytes()
    + b" ORDER BY status = 'enabled', waiting_since, endpoint_id LIMIT %(limit)s"
)


@cache
def _call(select: LiteralString, door: LiteralString, names: tuple[str, ...]) -> bytes:
    arguments = [SQL("{} => {}").format(Identifier(name), Placeholder(name)) for name in names]
    return (
        SQL("SELECT {} FROM payrail.{}({}) AS door")
        .format(SQL(select), Identifier(door), SQL(", ").join(arguments))
        .as_bytes()
    )


@cache
def _select(
    columns: LiteralString, view: LiteralString, order: LiteralString, names: tuple[str, ...]
) -> bytes:
    where: list[Composable] = [
        SQL("{} = {}").format(Identifier(name), Placeholder(name)) for name in names
    ]
    return (
        SQL("SELECT {} FROM payrail.{} WHERE {} ORDER BY {}")
        .format(
            SQL(columns),
            Identifier(view),
            SQL(" AND ").join(where or [SQL("true")]),
            Identifier(order),
        )
        .as_bytes()
    )


@cache
def _list(view: _View, filters: tuple[str, ...], *, resumed: bool) -> bytes:
    key = Identifier("row", view.key)
    where: list[Composable] = [
        SQL("row.merchant_id = %(merchant_id)s"),
        *(_FILTERS[name] for name in filters),
    ]
    if resumed:
        where.append(SQL("{} < %(after)s" if view.newest_first else "{} > %(after)s").format(key))
    return (
        SQL(
            "SELECT {key} AS key, payrail.{render}(row) AS body FROM payrail.{view} AS row"
            " WHERE {where} ORDER BY {key} {order} LIMIT %(limit)s"
        )
        .format(
            key=key,
            render=Identifier(view.render),
            view=Identifier(view.name),
            where=SQL(" AND ").join(where),
            order=SQL("DESC" if view.newest_first else "ASC"),
        )
        .as_bytes()
    )


@cache
def _find(view: _View) -> bytes:
    return (
        SQL(
            "SELECT payrail.{render}(row) FROM payrail.{view} AS row"
            " WHERE row.merchant_id = %(merchant_id)s AND {key} = %(key)s"
        )
        .format(
            render=Identifier(view.render),
            view=Identifier(view.name),
            key=Identifier("row", view.key),
        )
        .as_bytes()
    )


async def _nothing(db: Pool, door: LiteralString, /, **parameters: object) -> None:
    """Call a door that returns nothing."""
    await call(db, _call("NULL", door, tuple(parameters)), parameters, scalar_row)


def _json(value: Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)


_Composite: TypeAlias = (
    PayoutRequest | AddressedRequest | BankAnswer | Notice | ReportLine | DeliveryResult
)
_VALUES: Final = {kind: attrgetter(*kind.__slots__) for kind in get_args(_Composite)}


def _composites(items: Sequence[_Composite]) -> str:
    """Write a batch as the text of a PostgreSQL array of composites (manual 8.15, 8.16)."""
    return "{" + ",".join(_quote(f"({_fields(item)})") for item in items) + "}"


def _fields(item: _Composite) -> str:
    return ",".join([_field(value) for value in _VALUES[type(item)](item)])


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int | UUID):
        return str(value)
    return _quote(_text(value))


def _text(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6f} seconds"
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, PayoutRequest):
        return f"({_fields(value)})"
    return msgspec.json.encode(value).decode() if isinstance(value, Mapping) else str(value)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one(rows: Sequence[Row]) -> Row:
    (row,) = rows
    return row


def _maybe(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None
