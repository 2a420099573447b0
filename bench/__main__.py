"""Measure PayRail against PostgreSQL's own benchmark, on one server, in one run, fsync on.

`make bench` prints a table; `make bench ARGS="--json"` prints JSON; `--lists` is the last part of
it; `--quick` takes a minute and proves nothing. Every figure that depends on the machine is given
as a ratio to `pgbench -N`, but for what is owed in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from tabulate import tabulate

from bench import lists, pages, settling
from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import Settings

SCRIPTS = Path(__file__).parent
MERCHANTS = 1000
YARDSTICK = "pgbench -N, 16 clients"


@dataclass(frozen=True)
class Figure:
    """One measured figure; `ratio` is to the yardstick or to the first of a pair."""

    what: str
    value: float
    unit: str
    ratio: float | None = None
    goal: str = ""


@dataclass(frozen=True)
class Bench:
    """A server of its own, with a database of PayRail's and one of pgbench's."""

    server: Server
    seconds: int
    rounds: int

    def connect(self) -> psycopg.Connection:
        """Connect as the administrator."""
        return psycopg.connect(self.server.conninfo(), autocommit=True)

    def database(self, name: str) -> Settings:
        """Make a database of PayRail's."""
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        settings = Settings(database_url=self.server.conninfo(name))
        migrate(settings, "demo", say=lambda _: None)
        return settings

    def pgbench(self, *arguments: str, dbname: str = "payrail") -> str:
        """Run pgbench and return what it prints."""
        command = [str(self.server.program("pgbench")), *arguments]
        environment = {
            **os.environ,
            "PGHOST": str(self.server.socket_folder),
            "PGUSER": "postgres",
            "PGDATABASE": dbname,
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def rate(self, *arguments: str, dbname: str = "payrail") -> float:
        """Return transactions per second."""
        run = ("-n", "-M", "prepared", "-j", "2", "-T", str(self.seconds))
        output = self.pgbench(*run, *arguments, dbname=dbname)
        found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
        assert found is not None
        return float(found[1])

    def latency(self, script: str, merchant: int) -> float:
        """Return the lower quartile of one client's latency in microseconds.

        The quartile, because the tail is the disk's and the neighbours'.
        """
        with tempfile.TemporaryDirectory() as folder:
            prefix = f"{folder}/log"
            self.pgbench(
                *(
                    "-c",
                    "1",
                    "-t",
                    "1000",
                    "-D",
                    f"merchant={merchant}",
                    "-f",
                    str(SCRIPTS / script),
                ),
                *("-l", f"--log-prefix={prefix}"),
            )
            lines = [
                line for log in Path(folder).iterdir() for line in log.read_text().splitlines()
            ]
        return statistics.quantiles((float(line.split()[2]) for line in lines), n=4)[0]


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it runs")
    parser.add_argument("--lists", action="store_true", help="only long lists and statements")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="payrail-bench-", dir="/var/tmp"))  # a disk
    folder.chmod(0o755)
    server = Server(home=folder / "home", options=("max_connections=100",))
    server.start()
    try:
        bench = Bench(server, *((2, 1) if arguments.quick else (10, 5)))
        migrate(Settings(database_url=server.conninfo()), "demo", say=lambda _: None)
        figures = (long_lists if arguments.lists else measure)(
            bench, 10_000 if arguments.quick else 1_000_000
        )
    finally:
        server.stop()
        shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        rows = [(f.what, f.value, f.unit, f.ratio, f.goal) for f in figures]
        print(tabulate(rows, ["what", "value", "unit", "ratio", "owed"], floatfmt=",.2f"))


def measure(bench: Bench, entries: int) -> list[Figure]:
    """Return all figures; progress goes to stderr."""
    say("setting up")
    setup(bench)
    figures = [*throughput(bench), *growth(bench, entries), *claims(bench)]
    figures += [*settled(bench, figures[0].value), *open_pages(bench)]
    return [*figures, *long_lists(bench, entries)]


def say(text: str) -> None:
    """Show what is going on."""
    print(f"bench  {text}", file=sys.stderr, flush=True)


def setup(bench: Bench) -> None:
    """Make the yardstick's database and merchants with money, and fill every table a little."""
    with bench.connect() as connection:
        connection.execute("CREATE DATABASE yardstick")
        connection.execute("CREATE TABLE public.merchants (n int PRIMARY KEY, merchant_id uuid)")
        connection.execute(
            "INSERT INTO public.merchants SELECT i, (payrail.create_merchant('m' || i,"
            " ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid)).merchant_id"
            " FROM generate_series(1, %s) i",
            [MERCHANTS + 2],
        )
        connection.execute(
            "SELECT count(*) FROM public.merchants m, payrail.add_bank_account("
            "m.merchant_id, 'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001') b"
        )
        connection.execute(
            "SELECT count(*) FROM public.merchants m,"
            " payrail.credit_merchant(m.merchant_id, 1000000000000000, 'INR', 'opening') c"
        )
    bench.pgbench("-i", "-q", "-s", "20", dbname="yardstick")
    bench.rate("-c", "16", "-f", str(SCRIPTS / "create.sql"))
    with bench.connect() as connection:
        connection.execute("VACUUM ANALYZE")


def throughput(bench: Bench) -> list[Figure]:
    """Compare rates with the yardstick's, each round all of them, and take the best of each.

    The best, because whoever else is on the machine only ever slows a run down.
    """
    create = str(SCRIPTS / "create.sql")
    batch = str(SCRIPTS / "batch.sql")
    runs: dict[str, Callable[[], float]] = {
        YARDSTICK: lambda: bench.rate("-N", "-c", "16", dbname="yardstick"),
        "create_payout, 16 clients, 1000 merchants": lambda: bench.rate("-c", "16", "-f", create),
        "create_payout, 16 clients, one merchant": lambda: bench.rate(
            "-c", "16", "-D", "merchant=1", "-f", str(SCRIPTS / "create_one.sql")
        ),
        "create_payouts, 100 a call, one merchant": lambda: (
            100 * bench.rate("-c", "4", "-D", "merchant=1", "-f", batch)
        ),
    }
    rates: dict[str, list[float]] = {what: [] for what in runs}
    for number in range(bench.rounds):
        for what, run in runs.items():
            say(f"round {number + 1}/{bench.rounds}: {what}")
            rates[what].append(run())
    goals = {"create_payout, 16 clients, 1000 merchants": ">= 0.5"}
    return [
        Figure(
            what,
            max(values),
            "per second",
            max(values) / max(rates[YARDSTICK]),
            goals.get(what, ""),
        )
        for what, values in rates.items()
    ]


def growth(bench: Bench, entries: int) -> list[Figure]:
    """Compare one merchant's cost at 1,000 ledger entries with that at `entries`."""
    short, long = MERCHANTS + 1, MERCHANTS + 2
    with bench.connect() as connection:
        for merchant, wanted in ((short, 1_000), (long, entries)):
            say(f"a merchant with {wanted:,} ledger entries")
            for first in range(0, wanted, 10_000):
                connection.execute(
                    "SELECT count(*) FROM generate_series(%s::int, %s::int) i, public.merchants m,"
                    " payrail.credit_merchant(m.merchant_id, 1, 'INR', 'credit ' || i) c"
                    " WHERE m.n = %s",
                    [first + 1, min(first + 10_000, wanted), merchant],
                )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    figures = []
    for what, script in (("balance read", "balance.sql"), ("create", "create_one.sql")):
        before = after = 0.0
        ratios = []
        for _ in range(3):
            before = bench.latency(script, short)
            after = bench.latency(script, long)
            ratios.append(after / before)
        figures += [
            Figure(f"{what} at 1,000 entries", before, "us"),
            Figure(
                f"{what} at {entries:,} entries", after, "us", statistics.median(ratios), "<= 1.2"
            ),
        ]
    return figures


def claims(bench: Bench) -> list[Figure]:
    """Measure how long a payout created in SQL waits for an idle worker."""
    settings = bench.database("claims")
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection:
        connection.execute("SET search_path = procrastinate")  # its triggers name no schema
        row = connection.execute(
            "SELECT c.merchant_id FROM payrail.create_merchant('Claims') c"
        ).fetchone()
        assert row is not None
        merchant = row[0]
        for door in (
            "add_bank_account(%s, 'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001')",
            "credit_merchant(%s, 100000, 'INR', 'opening')",
        ):
            connection.execute(f"SELECT * FROM payrail.{door}", [merchant])
        figures = []
        for what, goal, count, alarm in (
            ("claimed by an idle worker, median", "<= 50", 100, True),
            ("the same, the alarm suppressed, slowest of 20", "<= 2000", 20, False),
        ):
            say(what)
            with settling.bank() as env, settling.worker(settings, env):
                waits = [claim(connection, merchant, alarm=alarm) for _ in range(count + 1)][1:]
            value = statistics.median(waits) if alarm else max(waits)
            figures.append(Figure(what, value, "ms", None, goal))
    return figures


def settled(bench: Bench, yardstick: float) -> list[Figure]:
    """Measure payouts from created to settled, by one worker at a bank that answers at once."""
    say("payouts through a worker and the sandbox bank")
    found = settling.measure(bench.database("settling"), 2_000 if bench.rounds == 1 else 10_000)
    per_second = "per second"
    return [
        Figure(
            "created to settled, one worker, one merchant",
            found.one_merchant,
            per_second,
            found.one_merchant / yardstick,
            ">= 500 /s",
        ),
        Figure(
            "created to settled, one worker, 1000 merchants",
            found.many_merchants,
            per_second,
            found.many_merchants / yardstick,
            ">= 300 /s",
        ),
        Figure("created to settled, idle, median", found.median, "ms", None, "<= 150"),
        Figure("the same, slowest tenth", found.slowest_tenth, "ms"),
    ]


def open_pages(bench: Bench) -> list[Figure]:
    """Measure what open dashboards cost the API, and how late they are."""
    say(f"payouts over HTTP, without and with {pages.PAGES} pages open")
    found = pages.measure(bench.database("pages"), rounds=1 if bench.rounds == 1 else 3)
    figures = []
    for offered, what, goal in (
        (pages.STEADY, f"of {pages.STEADY} creates a second over HTTP", ">= 0.9"),
        (pages.FLAT_OUT, f"creates over HTTP, {pages.CONNECTIONS} connections", ""),
    ):
        one = found[offered]
        also = f"the same, {pages.PAGES} pages open"
        figures += [
            Figure(what, one.without, "per second"),
            Figure(also, one.with_pages, "per second", one.ratio, goal),
            Figure("the last page hears of the last payout", one.behind, "ms"),
        ]
    return figures


def long_lists(bench: Bench, entries: int) -> list[Figure]:
    """Measure a whole batch and a long statement, over HTTP."""
    say(f"a list of {lists.LINES:,} payouts, and a statement of {entries:,} lines")
    found = lists.measure(bench.database("lists"), entries)
    return [
        Figure(
            f"a CSV of {lists.LINES:,} lines, until all are payouts", found.made, "s", goal="<= 30"
        ),
        Figure("how often its progress was another", found.steps, "times"),
        Figure("the same CSV, until all are settled", found.settled, "s"),
        Figure(f"a statement of {entries:,} lines as CSV", found.streamed, "s"),
        Figure("what the server's memory grows by for it", found.grown, "MiB", goal="<= 16"),
    ]


def claim(connection: psycopg.Connection, merchant: object, *, alarm: bool) -> float:
    """Create a payout, wait until it has ended, and return the milliseconds it was pending."""
    with connection.transaction():
        row = connection.execute(
            "SELECT (body ->> 'id')::uuid"
            " FROM payrail.create_payout(%s, %s, 1, 'demo-bank-account')",
            [merchant, str(uuid4())],
        ).fetchone()
        if not alarm:
            connection.execute("DELETE FROM procrastinate.procrastinate_jobs WHERE status = 'todo'")
    assert row is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        waited = connection.execute(
            "SELECT 1000 * extract(epoch FROM c.created_at - n.created_at)::float"
            " FROM payrail.payout_history n"
            " JOIN payrail.payout_history c USING (merchant_id, payout_id)"
            " WHERE n.merchant_id = %s AND n.payout_id = %s AND n.seq = 1 AND c.seq = 2",
            [merchant, row[0]],
        ).fetchone()
        if waited is not None:
            return float(waited[0])
        time.sleep(0.005)
    message = "no worker claims the payout"
    raise TimeoutError(message)


if __name__ == "__main__":
    main()
