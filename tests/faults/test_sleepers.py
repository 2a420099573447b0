"""A worker may sleep between claim and send for longer than its lease: the bank executes once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.banks import Bank, bank
from tests.conftest import Database
from tests.desk import Desk, violations
from tests.workers import until, working

# Stops as a machine does that is suspended, its clocks and all that it holds in memory included.
SLEEPER: Final = """
import os, signal, sys
from datetime import timedelta
from dataclasses import replace
from pyapp import doors, settings
from pyapp.jobs import app, dispatch, teller
from pyapp.rails import sandbox
from pyapp.rails.sandbox import Sandbox
dispatch.LEASE = timedelta(seconds=2)
if "impatient" in sys.argv:
    sandbox.CAPABILITIES = replace(sandbox.CAPABILITIES, finality=timedelta(seconds=1))
teller.CALL_DEADLINE = 3600  # however long the sleep was, the late call goes out
claim, submit = doors.claim_payouts_for_many, Sandbox.submit
slept = []
def sleep():
    if not slept:
        slept.append(True)
        print("asleep", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
async def claim_and_sleep(*arguments, **named):
    claims = await claim(*arguments, **named)
    if any(claims.values()):
        sleep()
    return claims
async def sleep_and_submit(*arguments):
    sleep()
    return await submit(*arguments)
if sys.argv[1] == "claimed":
    doors.claim_payouts_for_many = claim_and_sleep
elif sys.argv[1] == "sending":
    Sandbox.submit = sleep_and_submit
app.run(settings.load())
"""


@pytest.mark.parametrize(
    ("where", "says", "submissions"),
    [
        pytest.param("claimed", ["not_sent"], 1, id="before it has looked at its clock"),
        pytest.param("sending", [], 2, id="when it has looked already"),
    ],
)
def test_two_workers_of_whom_one_sleeps_past_its_lease_pay_once(
    database: Database, tmp_path: Path, where: str, says: list[str], submissions: int
) -> None:
    with bank() as own, Desk(database) as desk:
        env = {**database.env, **own.env}
        payout_id = desk.payout(amount=6000)
        first, second = tmp_path / "first", tmp_path / "second"
        with working(env, first, "-c", SLEEPER, where) as sleeper:
            until(lambda: "asleep" in first.read_text())
            assert desk.see(payout_id)["status"] == "processing"
            assert payout_id.hex not in own.instructions()
            with working(env, second, "-c", SLEEPER, "awake"):
                until(lambda: desk.see(payout_id)["status"] == "settled")
            os.kill(sleeper.pid, signal.SIGCONT)
            until(lambda: "dispatched" in events(first))
        judge(own, desk, payout_id.hex, submissions)
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}
        told = [row for row in desk.table("evidence") if row["attempt"] == 1]
        assert [row["outcome"] for row in told] == says


def test_a_bank_that_pays_twice_is_sent_nothing_in_a_sleepers_stead(
    database: Database, tmp_path: Path
) -> None:
    with bank(SANDBOX_DEDUPLICATES="0") as own, Desk(database) as desk:
        env = {**database.env, **own.env}
        payout_id = desk.payout(amount=6000)
        first, second = tmp_path / "first", tmp_path / "second"
        with working(env, first, "-c", SLEEPER, "claimed", "impatient") as sleeper:
            until(lambda: "asleep" in first.read_text())
            with working(env, second, "-c", SLEEPER, "awake", "impatient"):
                until(lambda: len(desk.table("attempts")) > 2)
                until(lambda: desk.table("cases") or own.instructions())
            os.kill(sleeper.pid, signal.SIGCONT)
            until(lambda: "dispatched" in events(first))
        assert own.instructions() == {}
        assert [row["kind"] for row in desk.table("cases")] == ["outcome_unknown"]
        assert desk.see(payout_id)["status"] == "processing"
        assert desk.balance() == (4000, 6000)
        submitted = [row["attempt"] for row in desk.table("attempts") if row["action"] == "submit"]
        assert submitted == [1]
        told = [row["outcome"] for row in desk.table("evidence") if row["attempt"] == 1]
        assert told == ["not_sent"]
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}


def judge(own: Bank, desk: Desk, rail_ref: str, submissions: int) -> None:
    """The bank has executed once, the ledger moved once, and there is nothing to decide."""
    order = own.instructions()[rail_ref]
    assert (order["executions"], order["state"]) == (1, "paid")
    assert order["submissions"] == submissions
    kinds = [row["kind"] for row in desk.table("ledger_entries")]
    assert sorted(kinds) == ["credit", "hold", "settle"]
    assert desk.balance() == (4000, 0)
    assert desk.table("cases") == []
    actions = [(row["attempt"], row["action"]) for row in desk.table("attempts")]
    assert sorted(actions)[:3] == [(1, "submit"), (2, "enquire"), (3, "submit")]


def events(log: Path) -> list[str]:
    lines = log.read_text().splitlines()
    return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]
