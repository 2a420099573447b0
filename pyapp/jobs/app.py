"""The worker process: an alarm that wakes it, and a sweep that needs no alarm."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import Final

import psycopg
from procrastinate import App

from pyapp import log
from pyapp.database import open_pool
from pyapp.jobs.dispatch import Dispatcher
from pyapp.jobs.tasks import create_app
from pyapp.rails.rail import Rail
from pyapp.rails.sandbox import Sandbox
from pyapp.settings import Settings

SWEEP: Final = 1.0  # seconds; a payout whose alarm is lost is claimed within two
_CONNECT: Final = 3.0  # seconds to wait for a connection
_RECONNECT: Final = 1.0  # seconds between two tries; the sweep does the work meanwhile


def run(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM; what is claimed by then is finished first."""
    log.setup(settings.log_level)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of every job
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # and this of every try to connect
    asyncio.run(work(settings))


async def work(settings: Settings) -> None:
    """Run the worker in this event loop."""
    conninfo = settings.conninfo("payrail_worker")
    async with (
        open_pool(conninfo, name="payrail-worker", max_size=8) as db,
        open_pool(conninfo, name="payrail-sandbox", max_size=4) as bank,
    ):
        rails: dict[str, Rail] = {"sandbox": Sandbox(bank, settings.sandbox_seed)}
        dispatcher = Dispatcher(db, rails, actor=f"{socket.gethostname()}-{os.getpid()}")
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, dispatcher.stopping.set)

        log.event("worker started")
        alarm = asyncio.create_task(hear(create_app(conninfo, dispatcher), dispatcher.stopping))
        await sweep(dispatcher)
        log.event("worker stopping")
        alarm.cancel()  # Procrastinate finishes its job first
        await asyncio.wait({alarm})
        await dispatcher.stop()
    log.event("worker stopped")


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


async def sweep(dispatcher: Dispatcher) -> None:
    """Look for due payouts every second, whether or not an alarm was heard."""
    while not dispatcher.stopping.is_set():
        try:
            await dispatcher.look()
        except psycopg.Error as exc:
            log.event("database away", level=logging.WARNING, error=repr(exc))
        with suppress(TimeoutError):
            await asyncio.wait_for(dispatcher.stopping.wait(), SWEEP)
