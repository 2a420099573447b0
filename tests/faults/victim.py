"""A worker that is killed at one point of a payout's life (the design's crash points K0 to K5)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

from psycopg.types.json import Jsonb

from pyapp import doors, settings
from pyapp.database import Pool
from pyapp.jobs import app, dispatch
from pyapp.rails.rail import Answer, Instruction
from pyapp.rails.sandbox import Sandbox

submit = Sandbox.submit
settle_payouts = doors.settle_payouts


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


async def die_uncommitted(db: Pool, query: str, *parameters: object) -> NoReturn:
    """Die between a statement and its commit."""
    async with db.connection() as connection, connection.transaction():
        await (await connection.execute(query.encode(), parameters)).fetchall()
        die()


async def claim_uncommitted(db: Pool, merchant_id: UUID, **_: object) -> list[doors.Claim]:
    await die_uncommitted(db, "SELECT * FROM payrail.claim_payouts(%s)", merchant_id)


async def submit_unsent(*_: object) -> Mapping[str, Answer]:
    die()


async def submit_unfinished(
    bank: Sandbox, instructions: Sequence[Instruction]
) -> Mapping[str, Answer]:
    orders = [
        {
            "rail_ref": order.rail_ref,
            "account_number": order.account_number,
            "amount": order.amount,
            "currency": order.currency,
        }
        for order in instructions
    ]
    query = "SELECT * FROM sandbox.submit(%s)"
    await die_uncommitted(bank.db, query, Jsonb(orders))


async def submit_unheard(
    bank: Sandbox, instructions: Sequence[Instruction]
) -> Mapping[str, Answer]:
    await submit(bank, instructions)
    die()


async def settle_unrecorded(*_: object, **__: object) -> list[doors.Effect]:
    die()


async def settle_recorded(*arguments: Any, **named: Any) -> list[doors.Effect]:
    await settle_payouts(*arguments, **named)
    die()


POINTS: Mapping[str, tuple[object, str, Callable[..., Awaitable[object]]]] = {
    "K0": (doors, "claim_payouts", claim_uncommitted),
    "K1": (Sandbox, "submit", submit_unsent),
    "K2": (Sandbox, "submit", submit_unfinished),
    "K3": (Sandbox, "submit", submit_unheard),
    "K4": (doors, "settle_payouts", settle_unrecorded),
    "K5": (doors, "settle_payouts", settle_recorded),
}

if __name__ == "__main__":
    dispatch.LEASE = timedelta(seconds=1)  # type: ignore[misc]  # nobody wants to wait for 30
    setattr(*POINTS[sys.argv[1]])
    app.run(settings.load())
