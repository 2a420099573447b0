"""What goes over the wire: these types decode the requests and describe the API.

Amounts are whole minor units of the currency (paise for INR). Responses are rendered by PostgreSQL;
their types here document them, and a test holds the two together.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pyapp.keys import SCOPES, Scope

T = TypeVar("T")

_PRINTABLE = r"^[^\x00-\x1F\x7F-\x9F]+\Z"

# A pattern ends with \Z: $ would let a newline follow. The OpenAPI document has it as $ again.
# A field that is refused carries the code that the door would raise for it (Meta.extra).
Amount = Annotated[
    int,
    Meta(
        ge=1,
        le=10**15,
        description="Minor units of the currency",
        examples=[6000],
        extra={"code": "amount_invalid"},
    ),
]
Currency = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{3}\Z",
        description="ISO 4217 code",
        examples=["INR"],
        extra={"code": "currency_unknown"},
    ),
]
BankAccountId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_PRINTABLE,
        description="Your id of the bank account",
        examples=["demo-bank-account"],
        extra={"code": "bank_account_invalid"},
    ),
]
NewBankAccountId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="Yours: it names the account for good",
        examples=["asha-rao"],
        extra={"code": "bank_account_invalid"},
    ),
]
HolderName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=_PRINTABLE,
        description="Whose account it is",
        examples=["Asha Rao"],
        extra={"code": "bank_account_invalid"},
    ),
]
AccountNumber = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]{5,34}\Z",
        description="Needs ifsc",
        examples=["501002340001"],
        extra={"code": "bank_account_invalid"},
    ),
]
Ifsc = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{4}0[A-Z0-9]{6}\Z",
        description="The bank's branch, in India",
        examples=["HDFC0000001"],
        extra={"code": "bank_account_invalid"},
    ),
]
Vpa = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+\Z",
        description="A UPI address; the case of letters means nothing",
        examples=["asha@bank"],
        extra={"code": "bank_account_invalid"},
    ),
]
Iban = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[A-Za-z0-9 ]+\Z",
        description="Checked by the rules of its country; spaces and case mean nothing",
        examples=["DE89 3704 0044 0532 0130 00"],
        extra={"code": "bank_account_invalid"},
    ),
]
Rail = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=_PRINTABLE,
        description="The bank that pays it; by default that of your newest account",
        examples=["sandbox"],
        extra={"code": "bank_account_invalid"},
    ),
]
Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_PRINTABLE,
        description="Your own reference: printable, and not necessarily unique",
        examples=["invoice-17"],
        extra={"code": "reference_invalid"},
    ),
]
Metadata = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=40)],
        Annotated[str, Meta(max_length=500)],
    ],
    Meta(
        max_length=20,
        description="Yours: at most 20 keys of 1 to 40 characters, strings of at most 500",
        examples=[{"order": "17"}],
        extra={"code": "metadata_invalid"},
    ),
]
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_PRINTABLE,
        description="In your words",
        examples=["ordered twice"],
        extra={"code": "argument_invalid"},
    ),
]
KeyName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=_PRINTABLE,
        description="What it is for",
        examples=["web shop"],
        extra={"code": "api_key_invalid"},
    ),
]
WebhookUrl = Annotated[
    str,
    Meta(
        max_length=2048,
        pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?\Z",
        description="https, in lower case; http is for demos",
        examples=["https://shop.example/webhooks"],
        extra={"code": "webhook_endpoint_invalid"},
    ),
]
EventTypes = Annotated[
    list[Annotated[str, Meta(pattern=r"^(\*|[a-z]+\.(\*|[a-z_]+))\Z", max_length=64)]],
    Meta(
        min_length=1,
        max_length=50,
        description="Types, all of a kind such as payout.*, or * for all",
        examples=[["payout.*", "balance.credited"]],
        extra={"code": "webhook_endpoint_invalid"},
    ),
]
WebhookDescription = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=_PRINTABLE,
        examples=["web shop"],
        extra={"code": "webhook_endpoint_invalid"},
    ),
]
EventNumber = Annotated[
    int, Meta(ge=1, le=10**15, examples=[17], extra={"code": "webhook_endpoint_invalid"})
]
DeliveryStatus = Literal["pending", "delivered", "failed"]
Status = Literal[
    "awaiting_approval",
    "scheduled",
    "queued",
    "pending",
    "processing",
    "settled",
    "failed",
    "cancelled",
    "rejected",
    "expired",
    "returned",
]
Narration = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ]{0,29}\Z",
        description="What the beneficiary is told of it: 30 letters, digits and spaces",
        examples=["Invoice 17"],
        extra={"code": "narration_invalid"},
    ),
]
Mode = Literal["best_effort", "all_or_nothing"]
BatchStatus = Literal["pending", "processing", "completed", "rejected", "cancelled"]
Outcome = Literal["accepted", "rejected"]
Kind = Literal["credit", "hold", "settle", "fee", "release", "return"]
Account = Literal["available", "held", "external", "fees"]
Minor = Annotated[int, Meta(description="Minor units of the currency", examples=[6000])]
Limit = Annotated[int, Meta(ge=1, le=100, description="How many at most")]
Cursor = Annotated[str, Meta(max_length=512, description="The next_cursor before; opaque")]
From = Annotated[datetime, Meta(tz=True, description="Created at this time or later")]
Until = Annotated[datetime, Meta(tz=True, description="Created before this time")]
Time = Annotated[
    datetime,
    Meta(tz=True, description="RFC 3339, UTC", examples=["2026-01-31T12:00:00.000000Z"]),
]


# --------------------------------------------------------------------------------------- requests


class Empty(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is taken."""


class CreatePayout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payout: `amount_paise`, or `amount` and `currency`."""

    amount_paise: Amount | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    bank_account_id: BankAccountId
    reference: Reference | None = None
    metadata: Metadata | None = None
    scheduled_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description="When to pay, up to 366 days from now; at once if not given",
                extra={"code": "scheduled_at_invalid"},
            ),
        ]
        | None
    ) = None
    queue_if_low_balance: Annotated[
        bool, Meta(description="Wait for money instead of being refused")
    ] = False
    narration: Narration | None = None
    retry_of: (
        Annotated[
            UUID, Meta(description="The payout, ended without paying, that this one makes up for")
        ]
        | None
    ) = None
    mode: (
        Annotated[
            str,
            Meta(
                pattern=r"^(auto|[A-Z][A-Z0-9_]{1,15})\Z",
                description="How its bank is to move it; by default the bank's first that is open",
                examples=["IMPS"],
                extra={"code": "mode_unavailable"},
            ),
        ]
        | None
    ) = None


class ApprovePayout(Struct, frozen=True, forbid_unknown_fields=True):
    """A note, kept with the approval."""

    reason: Reason | None = None


class RejectPayout(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; kept with the rejection."""

    reason: Reason


class CancelPayout(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; kept in the payout's history."""

    reason: Reason | None = None


class CreateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the new key may do: no more than the key that makes it."""

    scopes: Annotated[
        list[Scope],
        Meta(min_length=1, max_length=len(SCOPES), extra={"code": "api_key_invalid"}),
    ]
    name: KeyName | None = None
    expires_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description="When it ends; by default when the key that makes it does",
                extra={"code": "api_key_invalid"},
            ),
        ]
        | None
    ) = None


class RollApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the old secret is valid still."""

    overlap_seconds: Annotated[
        int, Meta(ge=0, le=30 * 86400, examples=[3600], extra={"code": "api_key_invalid"})
    ] = 86400


class BatchLine(CreatePayout, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payout of a batch."""

    idempotency_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=255,
                pattern=r"^[!-~]+\Z",
                description="Its own; without one, one is made of the batch's id and the line",
                extra={"code": "idempotency_key_invalid"},
            ),
        ]
        | None
    ) = None


class CreateBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payouts that are asked for at once."""

    payouts: Annotated[list[BatchLine], Meta(min_length=1, max_length=10_000)]


class BatchQuery(Struct, frozen=True, kw_only=True):
    """How the batch is to be done."""

    mode: Annotated[
        Mode, Meta(description="Each line for itself, or none if one of them is refused")
    ] = "best_effort"
    name: (
        Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE, description="Yours")]
        | None
    ) = None


class CreateBankAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank account: `account_number` and `ifsc`, or `vpa`, or `iban`."""

    id: NewBankAccountId
    holder_name: HolderName
    account_number: AccountNumber | UnsetType = UNSET
    ifsc: Ifsc | UnsetType = UNSET
    vpa: Vpa | UnsetType = UNSET
    iban: Iban | UnsetType = UNSET
    rail: Rail | UnsetType = UNSET


class CreateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to, and what."""

    url: WebhookUrl
    event_types: EventTypes = field(default_factory=lambda: ["*"])
    description: WebhookDescription | None = None


class UpdateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; the rest stays."""

    url: WebhookUrl | None = None
    event_types: EventTypes | None = None
    description: WebhookDescription | None = None
    enabled: bool | None = None


class RollWebhookSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the old secret signs as well."""

    overlap_seconds: Annotated[
        int, Meta(ge=0, le=7 * 86400, examples=[3600], extra={"code": "webhook_endpoint_invalid"})
    ] = 86400


class ReplayEvents(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of events: one, or from the first to the last of at most 10,000."""

    first: EventNumber
    last: EventNumber | None = None


class Page(Struct, frozen=True, kw_only=True):
    """How much of a list, and from where."""

    limit: Limit = 25
    cursor: Cursor | None = None


class PayoutFilters(Struct, frozen=True, kw_only=True):
    """Which payouts; all filters must hold."""

    status: Annotated[list[Status], Meta(description="Repeat it for several")] | None = None
    created_after: From | None = None
    created_before: Until | None = None
    amount_min: Annotated[int, Meta(ge=0, le=10**15, description="Minor units")] | None = None
    amount_max: Annotated[int, Meta(ge=0, le=10**15, description="Minor units")] | None = None
    currency: Currency | None = None
    reference: Reference | None = None
    utr: Annotated[str, Meta(max_length=255, description="The bank's reference")] | None = None
    bank_account_id: BankAccountId | None = None
    batch_id: Annotated[UUID, Meta(description="What a batch has made")] | None = None


class BatchLineQuery(Page, frozen=True, kw_only=True):
    """Which lines of a batch."""

    outcome: Outcome | None = None


class PayoutQuery(PayoutFilters, frozen=True, kw_only=True):
    """Which payouts; all filters must hold."""

    limit: Limit = 25
    cursor: Cursor | None = None
    expand: (
        Annotated[
            list[Literal["history"]], Meta(description="history: each with all that happened to it")
        ]
        | None
    ) = None


class LedgerQuery(Page, frozen=True, kw_only=True):
    """Which entries; all filters must hold."""

    currency: Currency = "INR"
    kind: Annotated[list[Kind], Meta(description="Repeat it for several")] | None = None
    payout_id: Annotated[UUID, Meta(description="The entries of one payout")] | None = None
    created_after: From | None = None
    created_before: Until | None = None


class DeliveryQuery(Page, frozen=True, kw_only=True):
    """Which deliveries."""

    status: Annotated[list[DeliveryStatus], Meta(description="Repeat it for several")] | None = None


class StreamQuery(Struct, frozen=True, kw_only=True):
    """Where a stream begins; the header Last-Event-ID comes first."""

    cursor: Annotated[str, Meta(max_length=512)] | None = None


Sheet = Annotated[
    str,
    Meta(
        description="A header line and a line per payout; amounts in the currency's own unit",
        examples=["amount,bank_account_id,reference\n60.00,demo-bank-account,wage-1\n"],
    ),
]


class BalancesQuery(Struct, frozen=True, kw_only=True):
    """When."""

    at: (
        Annotated[datetime, Meta(tz=True, description="As of this time; without it, now")] | None
    ) = None


class StatementQuery(Struct, frozen=True, kw_only=True):
    """Which days, and how they are written."""

    since: Annotated[date, Meta(description="The first day, in UTC", examples=["2026-11-01"])]
    until: Annotated[date, Meta(description="The last day, in UTC", examples=["2026-11-30"])]
    currency: Currency = "INR"
    format: Annotated[
        Literal["json", "csv", "html"],
        Meta(description="csv has amounts in the currency's own unit; html is to be printed"),
    ] = "json"


# -------------------------------------------------------------------------------------- responses


class StatusDetails(Struct, frozen=True, kw_only=True):
    """Why a payout failed, came back or takes longer, and what to do."""

    code: Annotated[str, Meta(examples=["account_closed"])]
    fault: Literal["merchant", "beneficiary", "beneficiary_bank", "rail", "operator"]
    retryable: Annotated[bool, Meta(description="A new payout may succeed")]
    next_step: str
    expected_by: Time | None
    rail_code: Annotated[str | None, Meta(description="What the bank called it")]
    description: str


class Payout(Struct, frozen=True, kw_only=True):
    """Money on its way to a bank account."""

    id: UUID
    status: Status
    amount: Minor
    currency: Currency
    amount_paise: Annotated[int | None, Meta(description="The amount again, if it is in INR")]
    bank_account_id: BankAccountId
    reference: Reference | None
    metadata: Metadata
    utr: Annotated[str | None, Meta(description="The bank's reference, once it has paid")]
    status_details: StatusDetails | None
    created_at: Time
    updated_at: Time
    settled_at: Time | None
    returned_at: Time | None
    scheduled_at: Annotated[Time | None, Meta(description="When it is, or was, to be paid")]
    expires_at: Annotated[Time | None, Meta(description="Until when it waits in this status")]
    queue_if_low_balance: bool
    approvals_required: Annotated[int, Meta(description="How many people have to approve it")]
    narration: str | None
    retry_of: UUID | None
    mode: Annotated[str | None, Meta(description="How its bank moves it, if it says so")]
    mode_reason: Annotated[str | None, Meta(description="Why by this one")]
    # not in the stored answers of before there were fees, which are given again word for word
    fee: Annotated[int, Meta(description="Held with the amount; minor units", examples=[590])] = 0


class Approval(Struct, frozen=True, kw_only=True):
    """One person's decision about a payout."""

    approver: str
    decision: Literal["approved", "rejected"]
    reason: str | None
    at: Time


class Rules(Struct, frozen=True, kw_only=True):
    """What has to be approved in one currency, and how much may be paid; null is no rule."""

    currency: Currency
    approve_from: Annotated[int | None, Meta(description="From this amount on, one approval")]
    second_approval_from: Annotated[
        int | None, Meta(description="From this amount on, two people's")
    ]
    approval_expires_after_seconds: int
    queue_expires_after_seconds: int
    payout_limit: Annotated[int | None, Meta(description="Of one payout")]
    daily_limit: int | None
    account_daily_limit: Annotated[int | None, Meta(description="Of a day to one bank account")]
    hourly_payouts: Annotated[int | None, Meta(description="How many in an hour")]
    over_limit: Annotated[
        Literal["reject", "approve"], Meta(description="Refused, or to be approved")
    ]
    time_zone: Annotated[str, Meta(description="Where days begin", examples=["Asia/Kolkata"])]
    used_today: Minor
    payouts_this_hour: int
    set_at: Time


class AllRules(Struct, frozen=True, kw_only=True):
    """The rules of every currency that has any."""

    data: list[Rules]


class Change(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One change of a payout's status."""

    seq: int
    from_: Status | None
    to: Status
    actor: Annotated[str, Meta(description="Who did it: a database role, and for whom")]
    reason: str | None
    at: Time


class PayoutDetail(Payout, frozen=True, kw_only=True):
    """A payout with its batch, who approved it and all that happened to it, oldest first."""

    batch_id: UUID | None
    approvals: list[Approval]
    history: list[Change]


class ListedPayout(Payout, frozen=True, kw_only=True):
    """A payout of a list; with `expand=history` it has what a payout alone has."""

    batch_id: UUID | UnsetType | None = UNSET
    approvals: list[Approval] | UnsetType = UNSET
    history: list[Change] | UnsetType = UNSET


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened; the body of a webhook is the same."""

    id: Annotated[str, Meta(description="The webhook-id; the same however often it is sent")]
    type: Annotated[str, Meta(examples=["payout.settled"])]
    timestamp: Time
    number: Annotated[int, Meta(description="Counts your events, without gaps")]
    sequence: Annotated[int | None, Meta(description="Counts the events of one payout")]
    data: Annotated[dict[str, Any], Meta(description="The payout as it was then, or what else")]


class Events(Struct, frozen=True, kw_only=True):
    """One page, oldest first; `next_cursor` is also where to go on when there is no more."""

    data: list[Event]
    has_more: bool
    next_cursor: str


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Where you are told of events."""

    id: UUID
    url: str
    description: str | None
    event_types: list[str]
    status: Annotated[
        Literal["enabled", "failing", "disabled", "archived"],
        Meta(description="failing: five failures in a row, and one attempt a minute"),
    ]
    disabled_reason: Literal["by_merchant", "gone", "failing"] | None
    failing_since: Time | None
    succeeded_at: Time | None
    previous_secret_until: Annotated[
        Time | None, Meta(description="The secret before signs as well until then")
    ]
    created_at: Time


class NewWebhookEndpoint(WebhookEndpoint, frozen=True, kw_only=True):
    """With the secret, which is shown this once."""

    secret: Annotated[str, Meta(examples=["whsec_…"])]


class WebhookAttempt(Struct, frozen=True, kw_only=True):
    """What the endpoint said, or why it could not be asked."""

    at: Time
    delivered: bool
    response_status: int | None
    milliseconds: int
    error: str | None
    body_head: Annotated[str | None, Meta(description="The first 1,024 bytes of its answer")]


class Delivery(Struct, frozen=True, kw_only=True):
    """An event on its way to an endpoint."""

    event_id: str
    number: int
    type: str
    status: Annotated[DeliveryStatus, Meta(description="failed: it was given up after 24 hours")]
    queued_at: Time
    next_attempt_at: Time | None
    delivered_at: Time | None
    attempts: list[WebhookAttempt]


class Replayed(Struct, frozen=True, kw_only=True):
    """How many events will be sent again."""

    events: int


class LedgerEntry(Struct, frozen=True, kw_only=True):
    """One movement of money, and the merchant's position after it."""

    currency: Currency
    seq: Annotated[int, Meta(description="Gapless per currency")]
    kind: Kind
    debit_account: Account
    credit_account: Account
    amount: Minor
    available: Minor
    held: Minor
    payout_id: UUID | None
    reference: str | None
    created_at: Time


class BankAccount(Struct, frozen=True, kw_only=True):
    """Where money may go."""

    id: BankAccountId
    holder_name: str
    kind: Annotated[
        Literal["account_number", "vpa", "iban"], Meta(description="Which of the fields it has")
    ]
    account_number: Annotated[str | None, Meta(description="Masked", examples=["XXXXXX0001"])]
    ifsc: str | None
    vpa: Annotated[str | None, Meta(description="Masked", examples=["XXXXha@bank"])]
    iban: Annotated[str | None, Meta(description="Masked", examples=["DEXXXXXXXXXXXXXXXX3000"])]
    rail: Annotated[str, Meta(examples=["sandbox"])]
    archived_at: Time | None
    created_at: Time


class ApiKey(Struct, frozen=True, kw_only=True):
    """Who may use the API in the merchant's name, and for what."""

    id: UUID
    prefix: Annotated[str, Meta(description="How the secret begins", examples=["pr_live_a1b2"])]
    name: str | None
    owner: Annotated[str | None, Meta(description="Who acts with it")]
    scopes: list[Scope]
    reads_per_second: int
    writes_per_second: int
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, Meta(description="To the minute")]
    replaced_by: Annotated[UUID | None, Meta(description="The key that it was rolled to")]


class NewApiKey(ApiKey, frozen=True, kw_only=True):
    """A key with its secret, which is shown this once."""

    secret: str


class Balance(Struct, frozen=True, kw_only=True):
    """What may be spent, and what open payouts hold."""

    currency: Currency
    available: Minor
    held: Minor


class Balances(Struct, frozen=True, kw_only=True):
    """What there is, or was at a time, in INR and in every other currency the merchant has had."""

    at: Annotated[Time | None, Meta(description="The time that was asked for")]
    balances: list[Balance]


class Position(Struct, frozen=True, kw_only=True):
    """The balance at the beginning or the end of a statement."""

    at: Time
    available: Minor
    held: Minor


class StatementLine(Struct, frozen=True, kw_only=True):
    """One movement of money, and the balances after it."""

    seq: Annotated[int, Meta(description="Gapless per currency")]
    created_at: Time
    kind: Kind
    payout_id: UUID | None
    reference: Annotated[str | None, Meta(description="Of the credit, or of the payout")]
    utr: Annotated[str | None, Meta(description="The bank's reference of the payout")]
    amount: Minor
    change: Annotated[int, Meta(description="What it did to the available balance")]
    available: Minor
    held: Minor


class Statement(Struct, frozen=True, kw_only=True):
    """All movements of some days in one currency, between two balances."""

    currency: Currency
    entries: Annotated[int, Meta(description="How many lines there are")]
    opening: Position
    closing: Position
    lines: list[StatementLine]


class Me(Struct, frozen=True, kw_only=True):
    """The merchant whose key it is."""

    id: UUID
    name: str
    created_at: Time
    available_paise: Annotated[int, Meta(description="INR that may be spent, in paise")]
    held_paise: Annotated[int, Meta(description="INR that open payouts hold, in paise")]
    balances: list[Balance]


class Total(Struct, frozen=True, kw_only=True):
    """A sum in one currency."""

    currency: Currency
    lines: int
    amount: Minor


class Batch(Struct, frozen=True, kw_only=True):
    """Many payouts that were asked for at once, and how far they are."""

    id: UUID
    status: BatchStatus
    mode: Mode
    name: str | None
    lines: int
    accepted: Annotated[int, Meta(description="Lines that have a payout, so far")]
    rejected: Annotated[int, Meta(description="Lines that were refused, so far")]
    totals: Annotated[list[Total], Meta(description="What was asked for, by currency")]
    created_at: Time
    completed_at: Time | None


class BatchLineResult(Struct, frozen=True, kw_only=True):
    """A line of a batch: its payout as it is now, or why there is none."""

    line: Annotated[int, Meta(description="From 1")]
    outcome: Outcome | None
    amount: Minor
    currency: Currency
    bank_account_id: BankAccountId
    reference: str | None
    metadata: Metadata
    idempotency_key: str
    payout_id: UUID | None
    payout_status: Status | None
    replayed: Annotated[bool, Meta(description="The key was used before: this is its payout")]
    code: str | None
    detail: str | None
    fee: Annotated[int | None, Meta(description="Of its payout; minor units")]


class LineError(Struct, frozen=True, kw_only=True):
    """What is wrong with a line."""

    line: Annotated[int, Meta(description="From 1")]
    field: str | None = None
    code: str
    detail: str


class BatchCheck(Struct, frozen=True, kw_only=True):
    """What would become of a batch if it were done now."""

    lines: int
    accepted: int
    rejected: Annotated[int, Meta(description="Lines that would be refused")]
    invalid: Annotated[int, Meta(description="Those of them for which no batch would be taken")]
    replayed: Annotated[int, Meta(description="Lines whose key has been used: no new payout")]
    totals: Annotated[list[Total], Meta(description="What would be accepted, by currency")]
    errors: list[LineError]


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """One page; `Link: rel="next"` has the address of the next."""

    data: list[T]
    has_more: bool
    next_cursor: str | None
