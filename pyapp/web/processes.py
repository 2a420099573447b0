"""Several processes that serve the API at one address, for `payrail serve --workers`.

Each is what `payrail serve` is alone, on a listening socket that all of them inherit: whoever is
free takes the next connection. One that ends is replaced. They read a pipe whose other end is here:
when this process ends, killed or not, the pipe ends, and they stop as on SIGTERM.

What they count for Prometheus is in files of one folder (prometheus_client's multiprocess mode).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

from pyapp import log
from pyapp.settings import Settings
from pyapp.web.server import listen

_APART: Final = 3.0  # seconds between two starts of one that keeps ending


def run(settings: Settings, count: int, fd: int | None) -> None:
    """Serve the API by so many processes until SIGINT or SIGTERM; all finish their requests."""
    log.setup(settings.log_level)
    with (
        tempfile.TemporaryDirectory(prefix="payrail-") as counts,
        listen(settings.host, settings.port, fd) as listener,
    ):
        asyncio.run(_supervise(listener, count, counts))


async def _supervise(listener: socket.socket, count: int, counts: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    theirs, ours = os.pipe()
    async with asyncio.TaskGroup() as keepers:
        for _ in range(count):
            keepers.create_task(_keep(listener.fileno(), theirs, counts, stopping))
        await stopping.wait()
        listener.close()  # nobody is to wait for processes that take no more
        os.close(ours)
    os.close(theirs)


async def _keep(listener: int, lifeline: int, counts: str, stopping: asyncio.Event) -> None:
    """Have one process there, and another when it ends, until it is time to stop."""
    clock = asyncio.get_running_loop().time
    while not stopping.is_set():
        again = clock() + _APART
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pyapp", "serve", "--until-eof", "--fd", str(listener)),
            stdin=lifeline,
            pass_fds=(listener,),
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": counts},
            start_new_session=True,  # Ctrl-C is for this process alone
        )
        status = await process.wait()
        mark_process_dead(process.pid, counts)  # type: ignore[no-untyped-call]
        if not stopping.is_set():
            log.event("process ended", level=logging.ERROR, pid=process.pid, status=status)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), again - clock())
