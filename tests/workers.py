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
BLIND = f"from pyapp.jobs import app; app.SWEEP = 3600; {RUN}"


def until(seen: Callable[[], T], seconds: float = 20) -> T:
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
