"""A worker that is killed at one point of its payouts' lives (the design's crash points K0 to K5).

`victim.py POINT FOLDER COUNT`: each payout that gets to the point leaves a file in the folder; when
all have, whichever worker brought them there, the process ends as a power cut would end it. With
the point "none" it is a worker like any other, but for its patience.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import psycopg
from psycopg_pool import PoolTimeout

from pyapp import doors, settings
from pyapp.database import Pool
from pyapp.jobs import app, dispatch, teller
from pyapp.rails import sandbox
from pyapp.rails.rail import Answer, Instruction
from pyapp.rails.sandbox import Sandbox

POINT, FOLDER, COUNT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
LATEST: Final = 60.0  # seconds after which the process ends, whoever is still missing
DEADLINE: Final = 1.0  # seconds for a call to the bank
ends: Final[list[asyncio.Task[NoReturn]]] = []
open_still: Final[list[psycopg.AsyncConnection[Any]]] = []
submit = Sandbox.submit
record_answers = doors.record_answers_for_many


def fall(*names: str) -> NoReturn:
    """Come to an end here, where others who are to come to theirs wait for the end of the call."""
    ends.append(asyncio.create_task(die(*names)))
    message = "its end"
    raise PoolTimeout(message)


async def die(*names: str) -> NoReturn:
    """End without a word when everybody is here."""
    for name in names:
        (FOLDER / name).touch()
    latest = time.monotonic() + LATEST
    while len(os.listdir(FOLDER)) < COUNT and time.monotonic() < latest:  # noqa: ASYNC110, PTH208
        await asyncio.sleep(0.01)
    os._exit(137)


async def claim_uncommitted(_: Pool, merchant_ids: Sequence[UUID], **__: object) -> NoReturn:
    """K0: before the claim commits."""
    conninfo = settings.load().conninfo("payrail_worker")
    connection = await psycopg.AsyncConnection.connect(conninfo)
    open_still.append(connection)
    query = b"SELECT rail_ref FROM payrail.claim_payouts_for_many(%s) WHERE rail_ref IS NOT NULL"
    cursor = await connection.execute(query, [merchant_ids])
    fall(*(str(row[0]) for row in await cursor.fetchall()))


async def ask_in_vain(_: Sandbox, __: Sequence[str]) -> Mapping[str, Answer]:
    """Who waits for the others to die hears nothing meanwhile, however slow the machine is."""
    await die()


async def submit_unsent(_: Sandbox, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
    """K1: claimed, not sent."""
    await die(*(order.rail_ref for order in instructions))


async def submit_unfinished(
    bank: Sandbox, instructions: Sequence[Instruction]
) -> Mapping[str, Answer]:
    """K2: in the middle of sending."""
    url = urlsplit(str(bank.client.base_url))
    body = msgspec.json.encode({"instructions": [msgspec.to_builtins(o) for o in instructions]})
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"POST /v1/instructions HTTP/1.1\r\nHost: bank\r\nContent-Length: {len(body)}\r\n"
    key = f"Authorization: {bank.client.headers['authorization']}\r\n\r\n"
    writer.write((head + key).encode() + body[: len(body) // 2])
    await writer.drain()
    await die(*(order.rail_ref for order in instructions))


async def submit_unheard(
    bank: Sandbox, instructions: Sequence[Instruction]
) -> Mapping[str, Answer]:
    """K3: the bank has executed, its answer is not heard."""
    with suppress(Exception):
        async with asyncio.timeout(DEADLINE):
            await submit(bank, instructions)
    await die(*(order.rail_ref for order in instructions))


async def record_nothing(*arguments: Any, **_: object) -> list[doors.Effect]:
    """K4: the answer is read, and not recorded."""
    fall(*(one.payout_id.hex for one in arguments[1]))


async def record_and_die(*arguments: Any, **named: Any) -> list[doors.Effect]:
    """K5: recorded, the job not finished."""
    await record_answers(*arguments, **named)
    fall(*(one.payout_id.hex for one in arguments[1]))


POINTS: Mapping[str, tuple[object, str, Callable[..., Awaitable[object]]]] = {
    "K0": (doors, "claim_payouts_for_many", claim_uncommitted),
    "K1": (Sandbox, "submit", submit_unsent),
    "K2": (Sandbox, "submit", submit_unfinished),
    "K3": (Sandbox, "submit", submit_unheard),
    "K4": (doors, "record_answers_for_many", record_nothing),
    "K5": (doors, "record_answers_for_many", record_and_die),
}

if __name__ == "__main__":
    # nobody wants to wait as long as in earnest; and each payout is a call of its own
    dispatch.LEASE = timedelta(seconds=4)  # type: ignore[misc]
    teller.CALL_DEADLINE = DEADLINE  # type: ignore[misc]
    teller._CALLS = 64  # type: ignore[misc]
    sandbox.CAPABILITIES = replace(  # type: ignore[misc]
        sandbox.CAPABILITIES, batch_size=1, finality=timedelta(seconds=1)
    )
    if POINT in {"K1", "K2", "K3"}:
        teller.CALL_DEADLINE = 3600.0  # type: ignore[misc]
        Sandbox.enquire = ask_in_vain  # type: ignore[assignment, method-assign]
    if POINT != "none":
        setattr(*POINTS[POINT])
    app.run(settings.load())
