"""What is kept of a run: where it was, its figures as JSON, a chart, and the table in the docs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chart import chart
from bench.figures import Figure, Figures, table
from bench.server import Bench
from pyapp.settings import ROOT

_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
)
_BEGIN = "<!-- figures: `make bench ARGS=--save` writes what is between these two lines -->"
_END = "<!-- end of figures -->"


def circumstances(bench: Bench) -> dict[str, Any]:
    """Say where and when this is measured, and of what."""
    with bench.connect("postgres") as connection:
        values = {name: connection.execute(f"SHOW {name}").fetchone() for name in _SETTINGS}
        version = connection.info.parameter_status("server_version")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "machine": machine(),
        "postgresql": version,
        "settings": {name: value[0] for name, value in values.items() if value},
        "seconds": bench.seconds,
        "rounds": bench.rounds,
    }


def machine() -> dict[str, Any]:
    """Say what this runs on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def document(about: dict[str, Any], figures: Figures) -> str:
    """Return all of it as JSON."""
    return json.dumps({**about, "figures": [_plain(one) for one in figures]}, indent=2) + "\n"


def save(about: dict[str, Any], figures: Figures, docs: Path = ROOT / "docs") -> None:
    """Write performance.json and performance.svg, and the table in performance.md."""
    (docs / "performance.json").write_text(document(about, figures))
    (docs / "performance.svg").write_text(chart(figures))
    put(docs / "performance.md", _BEGIN, _where(about), _PICTURE, table(figures, "github"), _END)


def put(page: Path, begin: str, *parts: str) -> None:
    """Write what is between two lines of a page: `begin`, and the last of `parts`."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(parts[-1])
    assert rest, f"{page} has no line {begin}"
    page.write_text(before + "\n\n".join((begin, *parts)) + after)


def chosen(parts: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of some parts from the command line, in their order."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(parts):
            message = f"no such part: {', '.join(unknown)}"
            raise argparse.ArgumentTypeError(message)
        return [name for name in parts if name in names]

    return read


_PICTURE = "![What was measured, as bars beside what is owed and the goal](performance.svg)"


def _where(about: dict[str, Any]) -> str:
    machine = about["machine"]
    settings = ", ".join(f"{name} {value}" for name, value in about["settings"].items())
    return (
        f"On {about['date']}, commit {about['commit']}: {machine['cpu']}, {machine['cores']} cores,"
        f" {machine['kernel']}.\n"
        f"PostgreSQL {about['postgresql']}: {settings}.\n"
        f"[performance.json](performance.json) has each of the {about['rounds']} rounds of"
        f" {about['seconds']} seconds."
    )


def _plain(one: Figure) -> dict[str, Any]:
    return {
        "what": one.what,
        "value": _short(one.value),
        "unit": one.unit,
        "ratio": None if one.ratio is None else _short(one.ratio),
        "to_yardstick": one.compared,
        "owed": None if one.limit is None else one.limit.text(one.limit.owed),
        "goal": None if one.limit is None else one.limit.text(one.limit.goal) or None,
        "met": one.verdict or None,
        "rounds": [_short(value) for value in one.rounds],
        "detail": {name: _short(value) for name, value in one.detail.items()},
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def commit() -> str | None:
    """Return the commit, marked if what is measured differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def _cpu() -> str:
    """Return the processor's name, as Linux has it."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
