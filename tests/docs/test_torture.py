"""The report of the long runs: what it counts, and that a failure is one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from pyapp.settings import ROOT
from tests import torture
from tests.torture import PARTS, Outcome, Part

KEPT: Final = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase name="a"><properties><property name="kills" value="2"/></properties></testcase>
<testcase name="b"><properties><property name="kills" value="3"/></properties></testcase>
<testcase name="c"><skipped/></testcase>
<testcase name="d"><properties><property name="kills" value="9"/></properties><failure/></testcase>
<testcase name="e"><error/></testcase>
</testsuite></testsuites>
"""
MACHINE: Final = {"cpu": "a CPU", "cores": 2, "kernel": "Linux 6"}
KILLS: Final = Outcome(
    "kills", "G5", {"kills": 1200, "requests": 7}, 1, 0, 0, 1234.5, "2026-01-31", "abc1234"
)
DRILL: Final = Outcome("drill", "G9", {}, 6, 1, 2, 4.0, "2026-01-31", "abc1234")


def test_what_tests_have_counted_is_added_up_but_for_those_that_failed(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(KEPT)
    found = torture.read(tmp_path / "junit.xml")
    assert found == {"kills": 5, "passed": 2, "skipped": 1, "failed": 2}
    assert torture.read(tmp_path / "nothing.xml") == {}


@pytest.mark.parametrize("tests", ["tests/nothing_is_here.py", "tests/docs -k nothing"])
def test_what_did_not_run_has_failed(tests: str) -> None:
    outcome = torture.run("nothing", Part("G1", tests), is_quick=True)
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_the_tests_of_each_part_are_there_and_the_guarantees_are_promised() -> None:
    promised = (ROOT / "docs" / "guarantees.md").read_text()
    for part in PARTS.values():
        assert (ROOT / part.tests).exists()
        for name in part.guarantees.split():
            assert name == "all" or f"| {name} | **" in promised


def test_a_run_is_kept_in_its_page_and_one_of_some_parts_replaces_only_those(
    tmp_path: Path,
) -> None:
    page = tmp_path / "guarantees.md"
    page.write_text((ROOT / "docs" / "guarantees.md").read_text())
    torture.save(MACHINE, [KILLS, DRILL], tmp_path)
    torture.save(MACHINE, [replace(DRILL, failed=0, commit="def5678")], tmp_path)
    before, _, rest = page.read_text().partition(torture.BEGIN)
    kept, _, after = rest.partition(torture.END)
    assert "## The long runs" in before
    assert "## What is not promised" in after
    assert "1,200 kills, 7 requests" in kept
    assert (kept.count("abc1234"), kept.count("def5678")) == (1, 1)
    saved = json.loads((tmp_path / "torture.json").read_text())
    assert [part["name"] for part in saved["parts"]] == ["kills", "drill"]
    assert saved["parts"][0]["counts"] == {"kills": 1200, "requests": 7}
