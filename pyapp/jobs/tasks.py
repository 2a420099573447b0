"""Procrastinate's part: an alarm clock.

A job says that something may be due, nothing more. `dispatch` is deferred inside the transaction
that creates a payout, when none is waiting, and there is one for all merchants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

from pyapp.jobs.dispatch import Dispatcher

QUEUE: Final = "payouts"
# Procrastinate misses an alarm that rings while it fetches and finds nothing. That job then waits
# for the next poll, and meanwhile nobody defers another: at its own 5 s, a busy hour is a deaf one.
_POLL: Final = 0.1  # seconds
_STALLED: Final = 60.0  # seconds without a heartbeat (there is one every 10)


def create_app(
    conninfo: str,
    dispatchers: Sequence[Dispatcher],
    starts: Sequence[Callable[[], Awaitable[None]]] = (),
) -> App:
    """Return the app of one worker process; `conninfo` is of the worker's role.

    The alarm calls `starts`, which begin what takes longer, and drains the dispatchers.
    """
    app = App(
        connector=PsycopgConnector(
            conninfo=conninfo,
            min_size=1,
            max_size=4,
            timeout=3.0,
            kwargs={
                "options": "-c search_path=procrastinate",
                "application_name": "payrail-alarm",
                "connect_timeout": 3,
                "tcp_user_timeout": 10_000,
            },
        ),
        worker_defaults={
            "queues": [QUEUE],
            "name": "payrail",
            "fetch_job_polling_interval": _POLL,
            "delete_jobs": "always",  # a job that rang is of no use any more
            "install_signal_handlers": False,
        },
    )

    @app.task(name="dispatch", queue=QUEUE, queueing_lock="dispatch")
    async def dispatch() -> None:
        """Work until nothing is due."""
        await asyncio.gather(*(start() for start in starts))
        await asyncio.gather(*(dispatcher.drain() for dispatcher in dispatchers))

    # A periodic task has a second use: Procrastinate watches its listener only while the task that
    # defers periodic ones runs. Without any, a worker whose listener died would poll every 5 s.
    @app.periodic(cron="* * * * *")
    @app.task(name="tidy", queue=QUEUE, queueing_lock="tidy")
    async def tidy(timestamp: int) -> None:  # noqa: ARG001  # when it was due
        """Delete the jobs that killed workers left behind; their payouts come due by themselves."""
        await app.job_manager.prune_stalled_workers(_STALLED)
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED):
            await app.job_manager.finish_job(job, status=Status.ABORTED, delete_job=True)

    return app
