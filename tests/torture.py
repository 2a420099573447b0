"""Run the long runs, one after the other, and say what they found: `make torture`.

Each part is tests of this suite with the numbers turned up; what a test has counted, it records
itself (record_property). It prints a table, with `ARGS=--json` JSON; `--save` keeps it in docs;
`--only` runs some parts, and of what is kept only those are replaced; `--quick` takes some minutes
and proves little more than `make test`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from tabulate import tabulate

from bench import report
from pyapp.settings import ROOT

BEGIN: Final = "<!-- torture: `make torture ARGS=--save` writes what is between these two lines -->"
END: Final = "<!-- end of torture -->"


@dataclass(frozen=True)
class Part:
    """Some tests, the guarantees that they try to break, and how far their numbers are turned up.

    `quick` are the numbers of a quick run, and which tests it has if not all.
    """

    guarantees: str
    tests: str
    long: Mapping[str, str] = field(default_factory=dict)
    quick: Mapping[str, str] = field(default_factory=dict)
    select: str = ""
    at_once: int = 0  # tests


@dataclass(frozen=True)
class Outcome:
    """What became of a part; `counts` are what its tests say they have done."""

    name: str
    guarantees: str
    counts: Mapping[str, int]
    passed: int
    failed: int
    skipped: int
    seconds: float
    date: str
    commit: str | None = None


PARTS: Final[Mapping[str, Part]] = {
    "races": Part("G1 G2 G3", "tests/concurrency", {"ROUNDS": "500"}, {"ROUNDS": "2"}, at_once=2),
    "processes": Part("G1", "tests/faults/test_processes.py", {"ROUNDS": "500"}, {"ROUNDS": "2"}),
    "cuts": Part("G1", "tests/faults/test_cuts.py", {"CUTS": "10000"}, {"CUTS": "100"}),
    "kills": Part("G5", "tests/faults/test_kills.py", {"KILLS": "200"}, {"KILLS": "5"}),
    "crash points": Part("G4", "tests/faults/test_crashes.py", select="K1", at_once=2),
    "simulation": Part(
        "G4 G8",
        "tests/faults/test_simulation.py",
        {"SEEDS": "5000"},
        {"SEEDS": "40"},
        at_once=2,
    ),
    "chaos": Part("G4 G8", "tests/faults/test_chaos.py", {"SECONDS": "60"}, {"SECONDS": "6"}),
    "resources": Part("G5 G7", "tests/faults/test_resources.py", select="data or held or ahead"),
    "wire": Part("G7", "tests/web/test_wire.py", {"FUZZ": "1000000"}, {"FUZZ": "20000"}),
    "schema": Part("G7", "tests/web/test_schemathesis.py", {"SECONDS": "300"}, {"SECONDS": "10"}),
    "failover": Part("G10", "tests/faults/test_failover.py"),
    "drill": Part("G9", "tests/faults/test_drill.py"),
    "upgrade": Part("G1", "tests/upgrades/test_online.py", {"ROWS": "1000000"}),
    "mutants of the SQL": Part("all", "tests/sql/test_mutants.py", select="noticed", at_once=2),
    "mutants of the shell": Part(
        "all",
        "tests/faults/test_shell_mutants.py",
        {"MUTANTS": "all"},
        {"MUTANTS": "3"},
        at_once=2,
    ),
}


def main() -> int:
    """Run what is asked for and print it; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="make torture ARGS=...", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--save", action="store_true", help="keep it in docs")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it runs")
    parser.add_argument(
        "--only",
        type=report.chosen(PARTS),
        default=[*PARTS],
        metavar="PART,...",
        help=", ".join(PARTS),
    )
    arguments = parser.parse_args()
    if arguments.save and arguments.quick:
        parser.error("--save keeps a long run: not with --quick")
    machine, commit = report.machine(), report.commit()
    outcomes = []
    for place, name in enumerate(arguments.only, 1):
        say(f"[{place}/{len(arguments.only)}] {name} ...")
        outcome = replace(run(name, PARTS[name], is_quick=arguments.quick), commit=commit)
        say(f"{name}: {'FAILED' if outcome.failed else 'passed'}, {outcome.seconds:.0f} s")
        outcomes.append(outcome)
        if arguments.save:  # at once: what was found stays found if the rest is not waited for
            save(machine, [outcome])
    text = document(machine, outcomes) if arguments.json else table(outcomes)
    print(text)  # noqa: T201  # what was asked for
    return any(outcome.failed for outcome in outcomes)


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def run(name: str, part: Part, *, is_quick: bool) -> Outcome:
    """Run the tests of a part; what pytest says meanwhile goes to stderr."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "junit.xml"
        chosen = ["-k", part.select] if is_quick and part.select else []
        spread = ["-n", str(part.at_once)] if part.at_once else []
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", f"--junit-xml={kept}"),
                *(*chosen, *spread, part.tests),
            ],
            cwd=ROOT,
            env={**os.environ, **(part.quick if is_quick else part.long)},
            stdout=sys.stderr,
            check=False,
        )
        tests = read(kept)
    bad = tests["failed"] or int(done.returncode != 0)  # or not even begun
    counts = {name: tests[name] for name in tests if name not in {"passed", "failed", "skipped"}}
    return Outcome(
        name=name,
        guarantees=part.guarantees,
        counts=counts,
        passed=tests["passed"],
        failed=bad,
        skipped=tests["skipped"],
        seconds=round(time.monotonic() - began, 1),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


def read(kept: Path) -> Counter[str]:
    """Add up what pytest says of the tests, and what they say of themselves."""
    found: Counter[str] = Counter()
    for case in ET.parse(kept).iter("testcase") if kept.exists() else ():  # noqa: S314  # our own
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            found["failed"] += 1
            continue
        found["skipped" if "skipped" in kinds else "passed"] += 1
        for one in case.iter("property"):
            found[str(one.get("name"))] += int(one.get("value", "0"))
    return found


def table(outcomes: Sequence[Outcome], form: str = "simple") -> str:
    """Show them; `form` is one of tabulate's."""
    rows = [
        (
            one.guarantees,
            one.name,
            ", ".join(f"{count:,} {what}" for what, count in one.counts.items()),
            one.passed,
            one.failed,
            one.skipped,
            f"{one.seconds:,.0f}",
            f"{one.date} {one.commit or ''}",
        )
        for one in outcomes
    ]
    return tabulate(
        rows,
        [
            *("guarantees", "what", "how many", "passed", "failed", "skipped", "seconds"),
            "day and commit",
        ],
        tablefmt=form,
        disable_numparse=True,
        colalign=("left", "left", "left", "right", "right", "right", "right", "left"),
    )


def document(machine: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Return all of it as JSON."""
    parts = [{**vars(one), "counts": dict(one.counts)} for one in outcomes]
    return json.dumps({"machine": machine, "parts": parts}, indent=2) + "\n"


def save(
    machine: Mapping[str, Any], outcomes: Sequence[Outcome], docs: Path = ROOT / "docs"
) -> None:
    """Write torture.json, and the table in guarantees.md; what was not run again stays."""
    kept = docs / "torture.json"
    parts = json.loads(kept.read_text())["parts"] if kept.exists() else []
    known = {part["name"]: Outcome(**part) for part in parts} | {one.name: one for one in outcomes}
    ordered = [known[name] for name in PARTS if name in known]
    kept.write_text(document(machine, ordered))
    where = (
        f"On {machine['cpu']}, {machine['cores']} cores, {machine['kernel']};"
        " [torture.json](torture.json) has it for machines."
    )
    report.put(docs / "guarantees.md", BEGIN, where, table(ordered, "github"), END)


if __name__ == "__main__":
    sys.exit(main())
