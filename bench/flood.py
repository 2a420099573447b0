"""Payouts over HTTP: the peak of 64 connections, what each waits at 30 % of that, and memory.

The load comes from wrk, or from bench/generator.py where there is no wrk, and at a steady rate
always from the latter: wrk knows no rate.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from bench import merchants, processes
from bench.figures import Figure, Figures, Limit, Part, Run
from bench.merchants import Merchant
from bench.processes import Api
from bench.server import SCRIPTS, Bench, say
from pyapp.settings import ROOT, Settings
from tests import servers

_CROWD = 1000
_CONNECTIONS = 64
_WARM = 2  # seconds
_SHARE = 0.3  # of the peak
_OURS = "bench/generator.py"
_UNIFORM = f"HTTP create, {_CONNECTIONS} connections, {_CROWD} merchants"
_HOT = f"HTTP create, {_CONNECTIONS} connections, one merchant"


@cache
def generator() -> str:
    """Name what the load comes from: wrk, if it is here or root can install it, or our own."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("there is no wrk: apt-get install wrk")
        done = subprocess.run(
            ["apt-get", "install", "-y", "-qq", "wrk"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            say(f"it fails: {' '.join(done.stderr.split())}")
    if shutil.which("wrk") is None:
        say(f"no wrk: the load comes from {_OURS}")
        return _OURS
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return f"wrk {found[0]}" if found else "wrk"


@dataclass(frozen=True)
class Http:
    """A database with merchants, whose API is started anew for each run."""

    settings: Settings
    crowd: Sequence[Merchant]
    seconds: int

    def creates(self, of: Sequence[Merchant]) -> float:
        """Return how many payouts a second are answered with 201, and nothing else is."""
        with processes.api(self.settings) as api, _keys(of) as keys:
            flood(api, keys, _WARM)
            return flood(api, keys, self.seconds)

    def latency(self, rate: float, seconds: int) -> dict[str, float]:
        """Return what the generator found at so many requests a second."""
        with processes.api(self.settings) as api, _keys(self.crowd) as keys:
            flood(api, keys, _WARM)
            return _generate(api, keys, "--seconds", str(seconds), "--rate", str(rate))


def http(bench: Bench) -> Part:
    """Compare the creation of payouts over HTTP with the yardstick, and see what each waits."""
    say("merchants for HTTP")
    settings = bench.database("http")
    web = Http(settings, merchants.make(settings, _CROWD), bench.seconds)
    unit = f"per second by {generator()}"
    return Part(
        [
            Run(_UNIFORM, lambda: web.creates(web.crowd), Limit(0.7, 1.0), unit),
            Run(_HOT, lambda: web.creates(web.crowd[:1]), Limit(0.8, 1.2), unit),
        ],
        lambda figures: [
            _evenness(figures),
            *_latency(web, figures, 3 if bench.quick else 20),
            *_cost(web, bench),
        ],
    )


def memory(bench: Bench) -> Part:
    """Measure what the API and a worker take once they have worked."""
    return Part(once=lambda _: _memory(bench))


def flood(api: Api, keys: str, seconds: int) -> float:
    """Ask for payouts as fast as they are answered; return how many a second were made."""
    if generator() == _OURS:
        found = _generate(api, keys, "--seconds", str(seconds))
    else:
        found = _run(
            *("wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}", "--timeout", "30s"),
            *("-s", str(SCRIPTS / "create.lua"), f"http://127.0.0.1:{api.port}", "--", keys),
        )
        assert found["refused"] == found["broken"] == 0, found
    assert found["answered"] > 0, found
    return found["answered"] / found["seconds"]


def _latency(web: Http, figures: Figures, seconds: int) -> Figures:
    (peak,) = (one.value for one in figures if one.what == _UNIFORM)
    rate = round(_SHARE * peak)
    say(f"{rate} creates a second over HTTP")
    found = web.latency(rate, seconds)
    what = f"HTTP create at {100 * _SHARE:.0f} % of the peak"
    return [
        Figure(what, rate, "per second"),
        Figure(f"{what}, p50", found["p50"], "ms"),
        Figure(f"{what}, p99", found["p99"], "ms", limit=Limit(25, 10, most=True)),
        Figure(f"{what}, p99.9", found["p99.9"], "ms"),
    ]


def _cost(web: Http, bench: Bench) -> Figures:
    """Return where the time of the processors goes."""
    say("what a payout over HTTP costs")
    with processes.api(web.settings) as api, _keys(web.crowd) as keys:
        flood(api, keys, _WARM)
        pids = {"the API": api.pid, "PostgreSQL": servers.postmaster(bench.server)}
        before = {name: processes.worked(pid) for name, pid in pids.items()}
        payouts = flood(api, keys, bench.seconds) * bench.seconds
        return [
            Figure(
                f"a payout over HTTP, processor time of {name}",
                1e6 * (processes.worked(pid) - before[name]) / payouts,
                "us",
            )
            for name, pid in pids.items()
        ]


def _evenness(figures: Figures) -> Figure:
    rates = {one.what: one.value for one in figures}
    ratio = rates[_HOT] / rates[_UNIFORM]
    return Figure(
        "HTTP create, one merchant, to 1000 merchants", rates[_HOT], "per second", ratio, Limit(0.9)
    )


def _memory(bench: Bench) -> Figures:
    say("what the API and a worker take")
    settings = bench.database("memory")
    crowd = merchants.make(settings, _CROWD)
    with (
        processes.bank() as env,
        processes.api(settings) as api,
        processes.worker(settings, env) as worker,
        _keys(crowd) as keys,
        bench.connect("memory") as connection,
    ):
        flood(api, keys, bench.seconds)
        deadline = time.monotonic() + 300
        while connection.execute(
            "SELECT FROM payrail.payouts WHERE status <> 'settled' LIMIT 1"
        ).rowcount:
            assert time.monotonic() < deadline, "the worker does not settle everything"
            time.sleep(0.5)
        return [
            Figure(f"memory of {name}, {kind}", megabytes, "MB", limit=Limit(120, 80, most=True))
            for name, pid in (("the API", api.pid), ("a worker", worker))
            for megabytes, kind in [processes.memory(pid)]
        ]


@contextmanager
def _keys(of: Sequence[Merchant]) -> Iterator[str]:
    """Write the merchants' keys into a file for the load generator."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.writelines(f"{merchant.key}\n" for merchant in of)
        file.flush()
        yield file.name


def _generate(api: Api, keys: str, *arguments: str) -> dict[str, float]:
    return _run(
        *(sys.executable, "-m", "bench.generator", str(api.port), keys),
        *("--connections", str(_CONNECTIONS), *arguments),
    )


def _run(*command: str) -> dict[str, float]:
    """Run a load generator; return what it prints last, which is JSON."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
