"""The server that everything is measured on, PostgreSQL's own benchmark, and what is going on."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.figures import Figure, Figures, Run
from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import Settings

SCRIPTS = Path(__file__).parent / "scripts"
YARDSTICK = "pgbench -N, 32 clients"
_DATABASE = "yardstick"


def say(text: str) -> None:
    """Show what is going on."""
    print(f"bench  {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Bench:
    """A server of its own with default durability, where each part has a database of its own."""

    server: Server
    seconds: int  # of a run
    rounds: int
    quick: bool

    @contextmanager
    def connect(self, dbname: str) -> Iterator[psycopg.Connection]:
        """Connect as the administrator."""
        with psycopg.connect(self.server.conninfo(dbname), autocommit=True) as connection:
            connection.execute("SET search_path = procrastinate, public")  # triggers name no schema
            yield connection

    def create(self, name: str) -> None:
        """Make an empty database."""
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")

    def database(self, name: str) -> Settings:
        """Make a database of PayRail's."""
        self.create(name)
        settings = Settings(database_url=self.server.conninfo(name))
        migrate(settings, "demo", say=lambda _: None)
        return settings

    def pgbench(self, dbname: str, *arguments: str) -> str:
        """Run pgbench and return what it prints."""
        command = [str(self.server.program("pgbench")), *arguments]
        environment = {
            **os.environ,
            "PGHOST": str(self.server.socket_folder),
            "PGUSER": "postgres",
            "PGDATABASE": dbname,
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rate(self, dbname: str, *arguments: str) -> float:
        """Return transactions per second."""
        run = ("-n", "-M", "prepared", "-j", "2", "-T", str(self.seconds))
        output = self.pgbench(dbname, *run, *arguments)
        found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
        assert found is not None
        assert "number of failed transactions: 0 " in output
        return float(found[1])

    def latencies(self, dbname: str, count: int, scripts: Sequence[str]) -> list[float]:
        """Return the mean latency of the faster half of one client's calls of each script, in us.

        The client takes one of the scripts at random each time, so whatever else is on the machine
        meets all of them alike. The rest is the disk's and the neighbours'.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{number}.sql" for number in range(len(scripts))]
            for file, script in zip(files, scripts, strict=True):
                file.write_text(script)
            self.pgbench(
                dbname,
                *("-n", "-M", "prepared", "-c", "1", "-t", str(count * len(scripts))),
                *("-l", f"--log-prefix={folder}/log"),
                *(word for file in files for word in ("-f", str(file))),
            )
            (log,) = Path(folder).glob("log*")
            times = defaultdict[int, list[float]](list)
            for line in log.read_text().splitlines():
                _, _, microseconds, script_number, *_ = line.split()
                times[int(script_number)].append(float(microseconds))
        halves = (sorted(found)[: len(found) // 2] for _, found in sorted(times.items()))
        return [statistics.mean(half) for half in halves]

    def compare(self, runs: Sequence[Run]) -> Figures:
        """Let the yardstick and all runs take turns; return the median of each, and its ratio."""
        say("setting up the yardstick")
        self.create(_DATABASE)
        self.pgbench(_DATABASE, "-i", "-q", "-s", "20")
        yardstick = Run(YARDSTICK, lambda: self.rate(_DATABASE, "-N", "-c", "32"))
        rates: dict[str, list[float]] = {run.what: [] for run in (yardstick, *runs)}
        for number in range(self.rounds):
            for run in (yardstick, *runs):
                say(f"round {number + 1}/{self.rounds}: {run.what}")
                rates[run.what].append(run.rate())
        medians = {what: statistics.median(values) for what, values in rates.items()}
        return [
            Figure(
                run.what,
                medians[run.what],
                run.unit,
                medians[run.what] / medians[YARDSTICK],
                run.limit,
                rates[run.what],
                compared=True,
            )
            for run in (yardstick, *runs)
        ]
