"""What PayRail asks of a bank.

A rail is any object that fits `Rail`: there is nothing to inherit. Instructions go out in batches,
and each one's answer comes back under its rail_ref. Two of the answers end a payout:

- `Paid`: the bank has paid.
- `Refused`: an explicit, listed, final no. Only this ever gives a merchant its money back.

and one comes after the end:

- `Returned`: the bank had paid, and the beneficiary's bank has sent the money back.

The others end nothing:

- `Pending`: the bank has the instruction and is working on it.
- `NotFound`: an enquiry only; the bank has never seen this reference, so far.
- `NotSent`: it provably never left: no connection could be made.
- `Unknown`: everything else: no answer, a 5xx, a text nobody can read.

A rail never raises because of one instruction. When it raises, or takes too long, for the whole
call, the outcome of every instruction in it is Unknown, or NotSent if it raises NotReachedError;
either counts against the bank's health. A rail_ref that has no answer is Unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["account_number", "vpa", "iban"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What can be relied on when talking to this bank."""

    deduplicates_references: bool
    """The same rail_ref sent twice is executed once, so one that isn't found may be sent again."""

    honours_valid_until: bool
    """The bank drops an instruction that reaches it after `valid_until`."""

    batch_size: int
    """How many instructions or references one call may carry."""

    finality: timedelta
    """How long after sending "not found" may still turn into "paid"."""

    accounts: frozenset[Kind] = frozenset({"account_number"})
    """Which kinds of account it can pay."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One payment order; `amount` in minor units of the currency.

    It goes to one of: `account_number` and `ifsc`, `vpa` (a UPI address), `iban`. `mode` is how the
    bank is to move it, such as IMPS, if the bank has several ways. `narration` is what the holder
    is told of it: 1 to 30 letters, digits and spaces.
    """

    rail_ref: str
    amount: int
    currency: str
    account_number: str | None = field(repr=False)
    ifsc: str | None
    holder_name: str = field(repr=False)
    valid_until: datetime
    vpa: str | None = field(default=None, repr=False)
    iban: str | None = field(default=None, repr=False)
    mode: str | None = None
    narration: str | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """The bank has paid; `utr` is its reference, 1 to 35 characters."""

    utr: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """The bank's final no; `failure_code` is one of payrail.failure_codes."""

    failure_code: str
    reason: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """Paid under `utr`, and sent back; `return_code` is the bank's, 1 to 35 characters."""

    utr: str
    return_code: str
    reason: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """The bank has it and has not decided."""

    reason: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotFound:
    """The bank has not seen this reference, so far."""

    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotSent:
    """The instruction provably never left."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether the bank has paid or will."""

    reason: str
    raw: Mapping[str, Any] | None = None


Answer: TypeAlias = Paid | Refused | Returned | Pending | NotFound | NotSent | Unknown


class NotReachedError(Exception):
    """The bank could not be reached: nothing of this call has left."""


class Rail(Protocol):
    """A bank."""

    @property
    def capabilities(self) -> Capabilities:
        """What can be relied on."""

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        """Send payment orders; return the answers by rail_ref."""

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        """Ask what became of payment orders; return the answers by rail_ref."""

    async def tend(self) -> None:
        """Do what is to be done about once a second: fetch what a bank has left in a mailbox."""
