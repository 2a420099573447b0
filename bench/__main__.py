"""Measure PayRail against PostgreSQL's own benchmark, on one server, in one run, fsync on.

`make bench` prints a table, with `ARGS=--json` JSON; `--save` keeps it in docs; `--only` runs some
parts of it; `--quick` takes two minutes and proves nothing. What depends on the machine is given as
a ratio to `pgbench -N`, 32 clients, prepared, scale 20. It and whatever is compared with it take
turns, three rounds of ten seconds each, and each one's median counts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import disk, flood, large, lists, pages, report, settling, sql
from bench.figures import Figures, Part, table
from bench.server import Bench
from pyapp.embedded import Server

PARTS: dict[str, Callable[[Bench], Part]] = {
    "sql": sql.creates,
    "peers": sql.peers,
    "http": flood.http,
    "settled": settling.settled,
    "idle": settling.idle,
    "growth": sql.growth,
    "disk": disk.disk,
    "memory": flood.memory,
    "pages": pages.watched,
    "lists": lists.long_lists,
    "large": large.large,
}
WHOLE = [name for name in PARTS if name != "large"]  # takes longer than all the others


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--save", action="store_true", help="keep it in docs/performance.*")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it runs")
    parser.add_argument(
        "--only",
        type=report.chosen(PARTS),
        default=WHOLE,
        metavar="PART,...",
        help=", ".join(PARTS),
    )
    arguments = parser.parse_args()
    if arguments.save and (arguments.quick or arguments.only != WHOLE):
        parser.error("--save keeps a whole run: not with --quick, nor with --only")
    folder = Path(tempfile.mkdtemp(prefix="payrail-bench-", dir="/var/tmp"))  # a disk
    folder.chmod(0o755)
    server = Server(home=folder / "home")
    server.start()
    try:
        seconds, rounds = (2, 1) if arguments.quick else (10, 3)
        bench = Bench(server, seconds, rounds, arguments.quick)
        about = report.circumstances(bench)
        figures = measure(bench, arguments.only)
    finally:
        server.stop()
        shutil.rmtree(folder)
    if arguments.save:
        report.save(about, figures)
    print(report.document(about, figures) if arguments.json else table(figures))


def measure(bench: Bench, names: Sequence[str]) -> Figures:
    """Return the figures of these parts; progress goes to stderr."""
    parts = [PARTS[name](bench) for name in names]
    runs = [run for part in parts for run in part.runs]
    figures = bench.compare(runs) if runs else []
    for part in parts:
        figures += part.once(figures)
    return figures


if __name__ == "__main__":
    main()
