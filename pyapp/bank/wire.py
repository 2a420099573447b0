"""What goes over the wire to the bank and back: these types decode the requests.

Amounts are whole minor units of the currency (paise for INR); times are RFC 3339.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

BATCH: Final = 1000  # instructions or references of one call

State: TypeAlias = Literal["pending", "paid", "refused", "returned"]
RailRef = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Code = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,35}\Z")]
AccountNumber = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{4,35}\Z")]
Vpa = Annotated[str, Meta(pattern=r"^[a-z0-9._-]+@[a-z0-9.-]+\Z", max_length=100)]
Iban = Annotated[str, Meta(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z")]
Name = Literal[
    "accept",
    "refuse",
    "slow",
    "pending",
    "silent",
    "drop",
    "refuse_and_drop",
    "hang",
    "garbage",
    "error",
    "limit",
    "late",
    "return",
    "flip",
    "duplicate",
    "reversed",
]


class Empty(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is taken."""


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One instruction, to an account number and IFSC, a UPI address, or an IBAN."""

    rail_ref: RailRef
    amount: Annotated[int, Meta(ge=1, le=10**15)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    account_number: AccountNumber | None = None
    ifsc: Annotated[str, Meta(pattern=r"^[A-Z]{4}0[A-Z0-9]{6}\Z")] | None = None
    vpa: Vpa | None = None
    iban: Iban | None = None
    holder_name: Annotated[str, Meta(min_length=1, max_length=200)]
    mode: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{1,15}\Z")] | None = None
    narration: Annotated[str, Meta(min_length=1, max_length=30)] | None = None
    valid_until: Annotated[datetime, Meta(tz=True)]

    def __post_init__(self) -> None:
        """Refuse an order that says nothing, or two things, of where the money goes."""
        ways = [self.account_number or self.ifsc, self.vpa, self.iban]
        if ways.count(None) != len(ways) - 1 or bool(self.account_number) != bool(self.ifsc):
            msg = "Expected one of account_number and ifsc, vpa, iban"
            raise ValueError(msg)

    @property
    def account(self) -> str:
        """Where the money goes: what the books call account_number."""
        return self.account_number or self.vpa or self.iban or ""


class Instructions(Struct, frozen=True, forbid_unknown_fields=True):
    """Instructions to execute."""

    instructions: Annotated[list[Order], Meta(min_length=1, max_length=BATCH)]


class Enquiries(Struct, frozen=True, forbid_unknown_fields=True):
    """References to tell about."""

    rail_refs: Annotated[list[RailRef], Meta(min_length=1, max_length=BATCH)]


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A behaviour for one reference, or for all to one account, whatever kind it is of."""

    behaviour: Name
    rail_ref: RailRef | None = None
    account_number: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._@-]{3,100}\Z")] | None = None
    code: Code | None = None
    seconds: Annotated[float, Meta(ge=0, le=3600)] | None = None
    times: Annotated[int, Meta(ge=0, le=1000)] | None = None
    enquiries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    callbacks: bool = False


class Faults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How unreliable everything is, from now on."""

    drop: Annotated[float, Meta(ge=0, le=1)] = 0.0
    duplicate_callbacks: Annotated[float, Meta(ge=0, le=1)] = 0.0
    reorder_callbacks: bool = False
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """Why an instruction is refused or returned."""

    code: Code = "account_closed"


class Answer(Struct, frozen=True, kw_only=True):
    """What the bank says of one reference now."""

    rail_ref: str
    state: State | Literal["expired", "not_found"]
    utr: str | None = None
    code: str | None = None
    reason: str | None = None
    booked_at: str | None = None


class Answers(Struct, frozen=True):
    """What the bank says of all the references of a call."""

    answers: list[Answer]


class Event(Struct, frozen=True, kw_only=True):
    """The body of a callback."""

    event_id: str
    rail_ref: str
    state: State
    utr: str | None
    code: str | None
    at: str


class Entry(Struct, frozen=True, kw_only=True):
    """One line of a settlement report."""

    entry_ref: str
    rail_ref: str
    kind: Literal["payment", "return"]
    amount: int
    currency: str
    utr: str
    booked_at: str
    code: str | None
    mode: str | None
    narration: str | None


class Totals(Struct, frozen=True, kw_only=True):
    """What the lines of a report come to."""

    payments: int
    returns: int
    amount_paid: int
    amount_returned: int


class Report(Struct, frozen=True, kw_only=True):
    """What was booked on one day, UTC, by the time at which it is asked for."""

    date: str
    generated_at: str
    bank: str
    entries: list[Entry]
    totals: Totals


class Known(Struct, frozen=True, kw_only=True):
    """One instruction as the bank has it; `executions` is how often money has moved.

    `account_number` is the UPI address or the IBAN, if it goes there.
    """

    rail_ref: str
    amount: int
    currency: str
    account_number: str
    mode: str | None
    narration: str | None
    state: State
    utr: str | None
    code: str | None
    executions: int
    submissions: int
    conflicts: int
    received_at: str
