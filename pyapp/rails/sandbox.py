"""The sandbox: a pretend bank whose memory is the schema `sandbox` (docs/sandbox.md).

It remembers like a bank does: across processes, restarts and kill -9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import ClassVar

from pyapp import doors
from pyapp.database import Pool
from pyapp.rails.rail import Answer, Capabilities, Instruction, NotFound, Paid, Refused, Unknown


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox over a pool of the worker's role; `seed` decides the lively account's mix."""

    db: Pool
    seed: int = 1

    capabilities: ClassVar[Capabilities] = Capabilities(
        deduplicates_references=True,
        honours_valid_until=False,
        batch_size=100,
        finality=timedelta(seconds=5),
    )

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        """Send payment orders; a lost answer is missing."""
        orders = [
            {
                "rail_ref": order.rail_ref,
                "account_number": order.account_number,
                "amount": order.amount,
                "currency": order.currency,
            }
            for order in instructions
        ]
        said = await doors.sandbox_submit(self.db, orders, seed=self.seed)
        return {bank.rail_ref: _read(bank) for bank in said}

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        """Ask what became of payment orders."""
        said = await doors.sandbox_enquire(self.db, rail_refs)
        return {bank.rail_ref: _read(bank) for bank in said}


def _read(bank: doors.SandboxAnswer) -> Answer:
    raw = asdict(bank)
    match bank:
        case doors.SandboxAnswer(state="paid", utr=str(utr)):
            return Paid(utr, raw)
        case doors.SandboxAnswer(state="refused", failure_code=str(code)):
            return Refused(code, None, raw)
        case doors.SandboxAnswer(state="not_found"):
            return NotFound(raw)
        case _:
            return Unknown(f"the bank says {bank.state}", raw)
