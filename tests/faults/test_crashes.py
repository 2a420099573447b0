"""A worker may be killed anywhere, whatever the bank does: its books and the ledger agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from tests.banks import Bank, bank
from tests.conftest import Database
from tests.desk import Desk, violations
from tests.workers import until, working

VICTIM: Final = str(Path(__file__).with_name("victim.py"))

# What the bank is told to do with each payout, and how it has to end.
OUTCOMES: Final = {
    "accept": "settled",
    "slow": "settled",
    "drop": "settled",
    "hang": "settled",
    "garbage": "settled",
    "error": "settled",
    "limit": "settled",
    "late": "settled",
    "duplicate": "settled",
    "reversed": "settled",
    "return": "returned",
    "refuse": "failed",
    "refuse_and_drop": "failed",
    "flip": "failed",
    "pending": "processing",
    "silent": "processing",
}


@pytest.fixture
def fresh() -> Iterator[Bank]:
    """A bank of one's own."""
    with bank() as made:
        yield made


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("K0", id="K0 before the claim commits"),
        pytest.param("K1", id="K1 claimed, not sent"),
        pytest.param("K2", id="K2 sending"),
        pytest.param("K3", id="K3 the bank has executed, its answer not heard"),
        pytest.param("K4", id="K4 its answer heard, not recorded"),
        pytest.param("K5", id="K5 recorded, the job not finished"),
    ],
)
def test_a_worker_killed_here_costs_time_but_no_money(
    database: Database, fresh: Bank, tmp_path: Path, point: str, workers: int
) -> None:
    folder = tmp_path / "reached"
    folder.mkdir()
    env = {**database.env, **fresh.env}
    with ExitStack() as stack:
        desks = {name: stack.enter_context(Desk(database)) for name in OUTCOMES}
        payouts = {name: desk.payout(amount=6000) for name, desk in desks.items()}
        for name, payout_id in payouts.items():
            fresh.script(name, rail_ref=payout_id.hex)
        arguments = (VICTIM, point, str(folder), str(len(OUTCOMES)))
        with ExitStack() as doomed:
            logs = [tmp_path / f"victim-{number}.log" for number in range(workers)]
            for victim in [doomed.enter_context(working(env, log, *arguments)) for log in logs]:
                assert victim.wait(120) == 137
        reached = {path.name for path in folder.iterdir()}
        assert reached == {payout_id.hex for payout_id in payouts.values()}
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}
        the_point_was_met(fresh, desks, payouts, point)

        with ExitStack() as successors:
            for number in range(workers):
                log = tmp_path / f"successor-{number}.log"
                successors.enter_context(
                    working(env, log, VICTIM, "none", str(folder), str(len(OUTCOMES)))
                )
            ends = [(desks[name], payouts[name], end) for name, end in OUTCOMES.items()]
            until(lambda: all(is_over(*one) for one in ends), 120)
            return_and_flip_are_told(fresh, desks, payouts)
        judge(fresh, desks, payouts)
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}


def the_point_was_met(
    bank: Bank, desks: dict[str, Desk], payouts: dict[str, UUID], point: str
) -> None:
    """The process died where it was to die, not somewhere near."""
    statuses = {desks[name].see(payout)["status"] for name, payout in payouts.items()}
    if point == "K0":
        assert statuses == {"pending"}
    elif point != "K5":
        assert statuses == {"processing"}
    known = bank.instructions()
    arrived = {name for name, payout in payouts.items() if payout.hex in known}
    if point in {"K0", "K1", "K2"}:
        assert arrived == set()
    else:
        assert arrived >= set(OUTCOMES) - {"error", "limit"}


def is_over(desk: Desk, payout_id: UUID, end: str) -> bool:
    """Whether a payout has ended, or people have been asked where the bank never tells."""
    if end == "processing":
        return "outcome_unknown" in cases(desk)
    return desk.see(payout_id)["status"] not in {"pending", "processing"}


def cases(desk: Desk) -> list[str]:
    query = (
        "SELECT kind FROM payrail.cases WHERE merchant_id = %(merchant_id)s AND closed_at IS NULL"
    )
    return [row["kind"] for row in desk.sql("payrail_auditor", query)]


def return_and_flip_are_told(bank: Bank, desks: dict[str, Desk], payouts: dict[str, UUID]) -> None:
    """The bank's later words come by callback; here the notice is put in by hand."""
    for name, state, code in (("return", "returned", "account_closed"), ("flip", "paid", "?")):
        ref = payouts[name].hex
        until(lambda state=state, ref=ref: bank.instructions()[ref]["state"] == state)  # type: ignore[misc]
        desks[name].sql(
            "payrail_api",
            "SELECT payrail.receive_notices('sandbox', ARRAY[ROW(%s, %s, %s, %s, NULL, '{}')"
            "::payrail.notice])",
            [f"event-{name}", ref, state, code],
        )
    until(lambda: desks["return"].see(payouts["return"])["status"] == "returned")
    if desks["flip"].see(payouts["flip"])["status"] == "failed":
        until(lambda: cases(desks["flip"]) == ["money_to_recover"])


def judge(bank: Bank, desks: dict[str, Desk], payouts: dict[str, UUID]) -> None:
    """The bank's books and the ledger say the same, and nothing was executed twice."""
    known = bank.instructions()
    for name, expected in OUTCOMES.items():
        desk, payout = desks[name], desks[name].see(payouts[name])
        order = known[payouts[name].hex]
        # it may have changed its mind before it was heard
        changed = name == "flip" and payout["status"] == "settled"
        end = "settled" if changed else expected
        assert payout["status"] == end, name
        assert order["executions"] <= 1, name
        money = {"settled": (4000, 0), "processing": (4000, 6000)}.get(end, (10_000, 0))
        assert desk.balance() == money, name
        kinds = {"settled": ["settle"], "returned": ["settle", "return"], "failed": ["release"]}
        assert moves(desk) == ["credit", "hold", *kinds.get(end, [])], name
        if end in {"settled", "returned"}:
            assert payout["utr"] == order["utr"], name
        opened = {"processing": ["outcome_unknown"], "failed": ["money_to_recover"]}
        has_case = end == "processing" or (name == "flip" and end == "failed")
        assert cases(desk) == (opened[end] if has_case else []), name


def moves(desk: Desk) -> list[str]:
    """Return what happened to the merchant's money."""
    query = (
        "SELECT kind FROM payrail.ledger_entries WHERE merchant_id = %(merchant_id)s ORDER BY seq"
    )
    return [row["kind"] for row in desk.sql("payrail_auditor", query)]
