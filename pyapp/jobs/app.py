"""The worker process: an alarm that wakes it, and a sweep that needs no alarm."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final
from uuid import UUID

import psycopg
from procrastinate import App

from pyapp import doors, garbage, log
from pyapp.database import Pool, open_pool, turn
from pyapp.jobs import batches
from pyapp.jobs.batches import Batches
from pyapp.jobs.deliver import Deliverer
from pyapp.jobs.dispatch import Dispatcher
from pyapp.jobs.post import open_post
from pyapp.jobs.tasks import create_app
from pyapp.rails.files import open_file_rails
from pyapp.rails.rail import Rail
from pyapp.rails.sandbox import open_sandbox
from pyapp.settings import Settings

SWEEP: Final = 1.0  # seconds; a payout whose alarm is lost is claimed within two
_CONNECT: Final = 3.0  # seconds to wait for a connection
_RECONNECT: Final = 1.0  # seconds between two tries; the sweep does the work meanwhile


def run(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM; what is claimed by then is finished first."""
    log.setup(settings.log_level)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of every job
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # and this of every try to connect
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # and these of every call
    garbage.look_rarely()
    asyncio.run(work(settings))


async def work(settings: Settings) -> None:
    """Run the worker in this event loop."""
    conninfo = settings.conninfo("payrail_worker")
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_pool(conninfo, name="payrail-worker", max_size=8))
        rails = await open_rails(stack, settings, db)
        if not rails:
            log.event("no bank is configured: nothing will be sent", level=logging.WARNING)
        stopping = asyncio.Event()
        patient = settings.conninfo("payrail_worker", batches.OPTIONS)
        pool = open_pool(patient, name="payrail-batches", max_size=batches.PLACES)
        lists = Batches(await stack.enter_async_context(pool), stopping)
        actor = f"{socket.gethostname()}-{os.getpid()}"
        dispatchers = [
            Dispatcher(db, {name: rail}, actor, stopping) for name, rail in rails.items()
        ]
        post = await stack.enter_async_context(open_post(loopback=settings.webhook_loopback))
        deliverer = Deliverer(db, post, actor, stopping)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)

        log.event("worker started", rails=", ".join(rails))
        helpers = [
            asyncio.create_task(hear(create_app(conninfo, dispatchers, [lists.look]), stopping)),
            *(
                asyncio.create_task(tend(name, rail, dispatcher))
                for (name, rail), dispatcher in zip(rails.items(), dispatchers, strict=True)
            ),
        ]
        await asyncio.gather(
            stopping.wait(),
            sweep(stopping, deliverer.look),
            sweep(stopping, lists.look),
            sweep(stopping, partial(advance, db, actor, stopping)),
            sweep(stopping, partial(prune, db)),
            *(sweep(stopping, each.look, each.flush) for each in dispatchers),
        )
        log.event("worker stopping")
        for helper in helpers:
            helper.cancel()  # Procrastinate finishes its job first
        await asyncio.wait(helpers)
        await lists.stop()
        for dispatcher in dispatchers:
            await dispatcher.stop()
            await dispatcher.flush()
        await deliverer.stop()
    log.event("worker stopped")


async def open_rails(stack: AsyncExitStack, settings: Settings, db: Pool) -> Mapping[str, Rail]:
    """Return the banks that are configured, by the name that bank accounts carry."""
    rails: dict[str, Rail] = {}
    if settings.sandbox_bank_url:
        rails["sandbox"] = await stack.enter_async_context(
            open_sandbox(
                settings.sandbox_bank_url,
                settings.sandbox_bank_key,
                deduplicates=settings.sandbox_deduplicates,
            )
        )
    if settings.bank_profiles:
        rails |= open_file_rails(settings.bank_profiles, db)
    return rails


async def tend(name: str, rail: Rail, dispatcher: Dispatcher) -> None:
    """Look after a bank's mailbox every second."""
    while not dispatcher.stopping.is_set():
        try:
            await dispatcher.declare()
            await rail.tend()
        except Exception as exc:  # noqa: BLE001  # the next second may be better
            log.event("rail not tended", level=logging.ERROR, rail=name, error=repr(exc))
        await asyncio.sleep(SWEEP)


async def hear(app: App, stopping: asyncio.Event) -> None:
    """Run Procrastinate's worker, and again whenever it ends: it doesn't outlive its connection."""
    while not stopping.is_set():
        try:
            async with asyncio.timeout(_CONNECT):  # its pool would try again ever more rarely
                await app.open_async()
            await app.run_worker_async()
            log.event("alarm lost", level=logging.WARNING)
        except Exception as exc:  # noqa: BLE001  # it must come back from whatever happened
            log.event("alarm lost", level=logging.WARNING, error=repr(exc))
        finally:
            await app.close_async()
        await asyncio.sleep(_RECONNECT)


async def sweep(stopping: asyncio.Event, *looks: Callable[[], Awaitable[None]]) -> None:
    """Look for work every second, whether or not an alarm was heard."""
    while not stopping.is_set():
        try:
            for look in looks:
                await look()
        except psycopg.Error as exc:
            log.event("database away", level=logging.WARNING, error=repr(exc))
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), SWEEP)


async def advance(db: Pool, actor: str, stopping: asyncio.Event) -> None:
    """Do what is due and needs no bank: schedules, and what has waited too long."""
    for merchant_id in await doors.waiting_merchants(db):
        await _advance(db, merchant_id, actor, stopping)


async def prune(db: Pool) -> None:
    """Remove a little of what nobody needs any more: what is left is the next second's."""
    await doors.prune(db)


async def _advance(db: Pool, merchant_id: UUID, actor: str, stopping: asyncio.Event) -> None:
    due = True
    try:
        while due and not stopping.is_set():
            async with turn(merchant_id):
                due = await doors.advance_payouts(db, merchant_id, actor=actor) > 0
    except psycopg.Error as exc:  # one merchant's trouble is not the others'
        log.failure("payouts not advanced", exc, merchant_id=merchant_id)
