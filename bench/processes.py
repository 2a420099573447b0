"""PayRail's processes as they are shipped, and a bank that answers at once: over real HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from pyapp.settings import ROOT, Settings
from tests import servers


@dataclass(frozen=True)
class Api:
    """A process that serves the API."""

    port: int
    pid: int


@contextmanager
def api(settings: Settings) -> Iterator[Api]:
    """Serve the API by one process."""
    with servers.port() as port:
        env = {"DATABASE_URL": settings.conninfo("admin"), "PORT": str(port)}
        with _process("serve", env) as process:
            _wait(process, f"http://127.0.0.1:{port}/readyz")
            yield Api(port, process.pid)


@contextmanager
def bank() -> Iterator[dict[str, str]]:
    """Run a bank with its books on a disk; return what a worker must know of it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, servers.port() as port:
        env = {"SANDBOX_BANK_URL": f"http://127.0.0.1:{port}"}
        more = {"SANDBOX_BANK_PORT": str(port), "SANDBOX_BANK_FILE": str(Path(folder) / "books")}
        with _process("sandbox-bank", {**env, **more}) as process:
            _wait(process, f"{env['SANDBOX_BANK_URL']}/healthz")
            yield env


@contextmanager
def worker(settings: Settings, env: dict[str, str]) -> Iterator[int]:
    """Run a worker and return its process' id; `env` tells it of its bank."""
    with _process("work", {**env, "DATABASE_URL": settings.conninfo("admin")}) as process:
        yield process.pid


def memory(pid: int) -> tuple[float, str]:
    """Return the megabytes that a process takes, and what they are: its share, or all it touches.

    What it shares with others counts in proportion (Pss of proc_pid_smaps(5)), where we may look.
    """
    process = Path("/proc") / str(pid)
    for file, name in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
        try:
            found = re.search(rf"^{name}:\s+(\d+) kB", (process / file).read_text(), re.MULTILINE)
        except OSError:
            continue
        assert found is not None
        return int(found[1]) * 1024 / 1_000_000, name
    message = "this system does not tell what a process takes"
    raise OSError(message)


def worked(pid: int) -> float:
    """Return the seconds of processor time that a process and its children have had (proc(5))."""
    seconds = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if folder.name == str(pid) or fields[1] == str(pid):
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _wait(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended"
        try:
            httpx.get(url, trust_env=False).raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


@contextmanager
def _process(command: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run one; what it logged last is shown if something fails meanwhile."""
    with (
        tempfile.TemporaryFile("w+", dir="/var/tmp") as log,
        subprocess.Popen(
            [sys.executable, "-m", "pyapp", command],
            env={**os.environ, **env},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.writelines(deque(log, 5))
            raise
        finally:
            process.terminate()
