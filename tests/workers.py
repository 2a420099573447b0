"""Worker processes, and patience with them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyapp.settings import ROOT

T = TypeVar("T")

RUN = "from pyapp import settings; from pyapp.jobs import app; app.run(settings.load())"
DEAF = f"from pyapp.jobs import app; app.hear = lambda *_: app.asyncio.sleep(3600); {RUN}"
# Nothing but the alarm: no sweep, no poll. What the poll is for, an alarm that rings while
# Procrastinate fetches and finds nothing (see tasks.py), makes it fetch again instead.
BLIND = f"""
from procrastinate.manager import JobManager
from procrastinate.worker import Worker
from pyapp.jobs import app, tasks
fetch, hear = JobManager.fetch_job, Worker._handle_notification
rung = set()
async def again(*arguments, **named):
    while True:
        rung.clear()
        job = await fetch(*arguments, **named)
        if job or not rung:
            return job
async def aloud(*arguments, **named):
    rung.add("rang")
    await hear(*arguments, **named)
JobManager.fetch_job, Worker._handle_notification = again, aloud
app.SWEEP = tasks._POLL = 3600
{RUN}
"""


def until(seen: Callable[[], T], seconds: float = 60) -> T:
    """Return what `seen` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < end, f"not seen within {seconds} s"
        time.sleep(0.02)
    return found


@contextmanager
def working(
    environment: Mapping[str, str], log: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; `arguments` are Python's, such as a script of the test's own."""
    with (
        log.open("a") as file,
        subprocess.Popen(
            [sys.executable, *(arguments or ("-c", RUN))],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=file,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
