"""The bench's report: what a run is kept as, and the page that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from bench import __main__ as bench
from bench import report
from bench.chart import chart
from bench.figures import Figure, Limit, table
from bench.generator import percentile
from pyapp.settings import ROOT

ABOUT: Final = {
    "date": "2026-01-31 12:00 UTC",
    "commit": "abc1234",
    "machine": {"cpu": "a CPU", "cores": 2, "kernel": "Linux 6"},
    "postgresql": "18.0",
    "settings": {"fsync": "on"},
    "seconds": 10,
    "rounds": 3,
}
FIGURES: Final = [
    Figure("yardstick", 5000, "per second", 1.0, rounds=(4999, 5000, 5001), compared=True),
    Figure("create", 4000, "per second", 0.8, Limit(0.7, 1.0), compared=True),
    Figure("p99 < all", 30, "ms", limit=Limit(25, 10, most=True)),
    Figure("a long ledger", 80, "us", 1.01, Limit(1.1, 1.02, most=True)),
    Figure("disk", 1200.5, "bytes", detail={"payout.payouts": 1200.5}),
]
PAGE: Final = ROOT / "docs" / "performance.md"


@pytest.mark.parametrize(
    ("limit", "judged", "verdict"),
    [
        (Limit(0.7, 1.0), 1.0, "goal"),
        (Limit(0.7, 1.0), 0.99, "owed"),
        (Limit(0.7, 1.0), 0.69, "missed"),
        (Limit(25, 10, most=True), 10, "goal"),
        (Limit(25, 10, most=True), 25, "owed"),
        (Limit(25, 10, most=True), 25.1, "missed"),
        (Limit(50, most=True), 1, "owed"),
    ],
)
def test_what_is_owed_and_the_goal(limit: Limit, judged: float, verdict: str) -> None:
    assert limit.verdict(judged) == verdict


def test_with_a_ratio_it_is_the_ratio_that_is_judged() -> None:
    assert [one.verdict for one in FIGURES] == ["", "owed", "missed", "goal", ""]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 1001)]
    assert [percentile(values, percent) for percent in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert percentile([7.0], 99.9) == 7.0


def test_a_run_is_kept_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGE.read_text())
    for _ in range(2):  # the second replaces what the first has written
        report.save(ABOUT, FIGURES, tmp_path)
    before, _, rest = page.read_text().partition("<!-- figures")
    figures, _, after = rest.partition("<!-- end of figures -->")
    assert PAGE.read_text().startswith(before)
    assert PAGE.read_text().endswith(after)
    assert figures.count("| yardstick ") == 1
    saved = json.loads((tmp_path / "performance.json").read_text())
    assert saved["commit"] == "abc1234"
    assert saved["figures"][0]["rounds"] == [4999, 5000, 5001]
    assert saved["figures"][1] | {"rounds": [], "detail": {}} == {
        "what": "create",
        "value": 4000,
        "unit": "per second",
        "ratio": 0.8,
        "to_yardstick": True,
        "owed": ">= 0.7",
        "goal": ">= 1",
        "met": "owed",
        "rounds": [],
        "detail": {},
    }


def test_the_chart_can_be_read_without_seeing_it() -> None:
    picture = ET.fromstring(chart(FIGURES))  # noqa: S314  # our own
    name = "{http://www.w3.org/2000/svg}"
    about = picture.findtext(f"{name}desc")
    assert about
    assert "create: 0.80, 4,000 a second, owed" in about
    assert "p99 < all: 30.00 ms of 25, missed" in about
    assert picture.findtext(f"{name}title")
    assert "prefers-color-scheme: dark" in (picture.findtext(f"{name}style") or "")
    drawn = [text.text for text in picture.iter(f"{name}text")]
    assert {"yardstick", "create", "p99 < all", "a long ledger"} <= {*drawn}
    assert "disk" not in drawn


def test_the_page_shows_the_run_that_is_kept() -> None:
    kept = ROOT / "docs" / "performance.json"
    if not kept.exists():
        return
    rows = re.findall(r"^\| (.+?) +\| +[\d,.]+ \|.*\| *(\w*) *\|$", PAGE.read_text(), re.MULTILINE)
    saved = json.loads(kept.read_text())["figures"]
    assert rows == [(one["what"], one["met"] or "") for one in saved]


def test_the_page_tells_of_every_part() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE) == [*bench.PARTS]


def test_the_table_has_a_line_for_each() -> None:
    assert len(table(FIGURES).splitlines()) == 2 + len(FIGURES)
