"""A worker may be killed anywhere: the payout settles, once, and the bank pays once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.desk import Desk
from tests.workers import until, working

VICTIM = str(Path(__file__).with_name("victim.py"))


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk


@pytest.mark.parametrize(
    ("point", "status", "paid"),
    [
        pytest.param("K0", "pending", 0, id="K0 before the claim commits"),
        pytest.param("K1", "processing", 0, id="K1 claimed, not sent"),
        pytest.param("K2", "processing", 0, id="K2 sending"),
        pytest.param("K3", "processing", 1, id="K3 the bank has paid, its answer not heard"),
        pytest.param("K4", "processing", 1, id="K4 its answer heard, not recorded"),
        pytest.param("K5", "settled", 1, id="K5 recorded, the job not finished"),
    ],
)
def test_a_killed_worker_costs_time_but_no_money(
    desk: Desk, tmp_path: Path, point: str, status: str, paid: int
) -> None:
    payout_id = desk.payout()
    with working(desk.database.env, tmp_path / "victim.log", VICTIM, point) as victim:
        assert victim.wait(60) == -signal.SIGKILL
    assert desk.see(payout_id)["status"] == status
    assert len(bank_sees(desk)) == paid
    assert desk.violations() == {}

    with working(desk.database.env, tmp_path / "successor.log"):
        until(lambda: desk.see(payout_id)["status"] == "settled")
    assert len(bank_sees(desk)) == 1
    assert desk.balance() == (9000, 0)
    assert kinds(desk) == ["credit", "hold", "settle"]
    statuses = [row["to_status"] for row in desk.table("payout_history")]
    assert statuses == ["pending", "processing", "settled"]
    assert desk.violations() == {}


def bank_sees(desk: Desk) -> list[object]:
    return list(desk.sql("admin", "SELECT rail_ref FROM sandbox.instructions"))


def kinds(desk: Desk) -> list[str]:
    """Return what happened to the merchant's money."""
    query = (
        "SELECT kind FROM payrail.ledger_entries WHERE merchant_id = %(merchant_id)s ORDER BY seq"
    )
    return [row["kind"] for row in desk.sql("payrail_auditor", query)]
