"""Thousands of seeds of a world in which anything fails: the bank's truth and the ledger agree.

`SEEDS=5000 pytest tests/faults/test_simulation.py` is the long run; SEED=n runs one seed again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

import pytest

from tests.conftest import Database
from tests.desk import Desk, violations
from tests.faults import world

SEEDS: Final = int(os.environ.get("SEEDS", "80"))
CROWD: Final = 20  # seeds in one test, so that they spread over the processes
FIRST: Final = os.environ.get("SEED")
STARTS: Final = [int(FIRST)] if FIRST else list(range(1, SEEDS + 1, CROWD))


@pytest.fixture
def clocked(database: Database) -> Database:
    with database.connect("payrail_owner") as owner:
        owner.execute(world.CLOCK)
    return database


@pytest.mark.parametrize("start", STARTS)
def test_whatever_fails_the_bank_and_the_ledger_agree(
    clocked: Database,
    monkeypatch: pytest.MonkeyPatch,
    start: int,
    record_property: Callable[[str, object], None],
) -> None:
    logging.disable(logging.CRITICAL)
    crashes, seeds = 0, range(start, start + (1 if FIRST else min(CROWD, SEEDS)))
    try:
        for seed in seeds:
            with Desk(clocked) as desk, monkeypatch.context() as patch:
                try:
                    crashes += world.run(seed, desk, patch).crashes
                except BaseException as exc:
                    exc.add_note(f"replay it with SEED={seed}")
                    raise
                broken = violations(desk.connection("payrail_auditor"))
                broken.pop("changed_definitions", None)  # the clock
                assert broken == {}, f"SEED={seed}"
    finally:
        logging.disable(logging.NOTSET)
    record_property("seeds", len(seeds))
    assert FIRST or crashes > 0
