"""What a payout costs is said when it is created, held with it, and booked when it is settled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Database
from tests.desk import OPENING, STATUSES, Desk, in_an_hour
from tests.sql.test_modes import bank, set_mode
from tests.sql.test_rails import later
from tests.workers import until

MOST = 10**15
FEE = 250


def charge(desk: Desk, **fee: Any) -> None:
    """Set a fee at the merchant's own bank; 2.50, if nothing else is said."""
    desk.fee(rail=bank(desk), mode="NEFT", **(fee or {"fixed": FEE}))


def open_account(desk: Desk, *fees: dict[str, Any]) -> None:
    """Give the merchant an account, `own`, at a bank of its own whose one mode costs so much."""
    declared = "SELECT payrail.declare_rail(%s, TRUE, TRUE, 100, '1 hour')"
    desk.sql("payrail_worker", declared, [bank(desk)])
    account = {"account_number": "12345678", "ifsc": "HDFC0000001", "rail": bank(desk)}
    desk.call(
        *("payrail_operator", "add_bank_account"),
        bank_account_id="own",
        holder_name="Asha Rao",
        **account,
    )
    set_mode(desk)
    for fee in fees or ({},):
        charge(desk, **fee)


def pay(desk: Desk, amount: int, key: str = "k", **fields: Any) -> UUID:
    return desk.create(key, amount, bank_account_id="own", **fields).payout_id


def moves(desk: Desk, payout_id: UUID) -> list[tuple[str, int]]:
    rows = [row for row in desk.table("ledger_entries") if row["payout_id"] == payout_id]
    return [(row["kind"], row["amount"]) for row in rows]


# ----------------------------------------------------------------------------------------- how much


@pytest.mark.parametrize(
    ("amount", "fee"),
    [(1, 500), (999, 500), (1000, 1), (1999, 1), (2000, 5), (2199, 5), (2200, 6), (9800, 25)],
)
def test_the_fee_is_that_of_the_greatest_amount_not_above_and_halves_are_rounded_up(
    desk: Desk, amount: int, fee: int
) -> None:
    open_account(
        desk,
        {"fixed": 500},
        {"amount_from": 1000, "fixed": 1},
        {"amount_from": 2000, "basis_points": 25},
    )
    answer = desk.create("k", amount, bank_account_id="own")
    assert answer.json["fee"] == fee
    assert desk.see(answer.payout_id)["fee"] == fee
    assert desk.balance() == (OPENING - amount - fee, amount + fee)
    assert desk.create("k", amount, bank_account_id="own").body == answer.body


def reference(slabs: dict[int, tuple[int, int]], amount: int) -> int:
    """Return the fee as one would compute it on paper."""
    reached = [slab for slab in slabs if slab <= amount]
    fixed, points = slabs[max(reached)] if reached else (0, 0)
    return fixed + int((Decimal(amount * points) / 10_000).quantize(Decimal(1), ROUND_HALF_UP))


SLABS = st.dictionaries(
    st.integers(1, 10_000) | st.integers(1, MOST),
    st.tuples(st.integers(0, 1000) | st.integers(0, 10**12), st.integers(0, 10_000)),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(slabs=SLABS, amounts=st.lists(st.integers(1, 10_000) | st.integers(1, MOST), min_size=5))
def test_a_fee_is_exact_for_every_amount(
    shared_database: Database, slabs: dict[int, tuple[int, int]], amounts: list[int]
) -> None:
    with Desk(shared_database) as desk:
        open_account(desk, {})
        desk.sql("payrail_owner", "DELETE FROM rail.fees WHERE rail = %s", [bank(desk)])
        for amount_from, (fixed, points) in slabs.items():
            charge(desk, amount_from=amount_from, fixed=fixed, basis_points=points)
        amounts += [amount for slab in slabs for amount in (slab - 1, slab) if amount]
        rows = desk.sql(
            "payrail_owner",
            "SELECT c.fee FROM unnest(%s::bigint[]) WITH ORDINALITY a (amount, place),"
            " rail.choose_mode(%s, 'account_number', 'INR', a.amount, NULL, now()) c"
            " ORDER BY a.place",
            [amounts, bank(desk)],
        )
    assert [row["fee"] for row in rows] == [reference(slabs, amount) for amount in amounts]


def test_without_a_row_or_a_mode_there_is_no_fee(desk: Desk) -> None:
    open_account(desk, {"amount_from": 1000, "fixed": FEE})
    assert moves(desk, pay(desk, 999)) == [("hold", 999)]
    desk.sql("payrail_operator", "SELECT payrail.remove_mode(%s, 'NEFT', 'INR')", [bank(desk)])
    assert desk.create("l", 1000, bank_account_id="own").json["fee"] == 0
    set_mode(desk)  # and no fee comes back with it
    assert desk.create("m", 1000, bank_account_id="own").json["fee"] == 0


# --------------------------------------------------------------------------------- where it goes


@pytest.mark.parametrize("status", STATUSES)
def test_a_fee_is_held_booked_and_given_back_with_its_payout(desk: Desk, status: str) -> None:
    open_account(desk)
    payout_id = pay(desk, 4000)
    if status in {"processing", "settled", "failed", "returned"}:
        desk.claim()
    if status in {"settled", "returned"}:
        desk.settle(payout_id)
    if status == "failed":
        desk.fail_batch((payout_id, "account_closed", None, None))
    if status == "cancelled":
        desk.cancel(payout_id)
    if status == "returned":
        desk.give_back(payout_id)
    hold, paid = [("hold", 4000 + FEE)], [("settle", 4000), ("fee", FEE)]
    then = {"settled": paid, "returned": [*paid, ("return", 4000)]}
    back = [("release", 4000 + FEE)] if status in {"failed", "cancelled"} else []
    assert moves(desk, payout_id) == hold + then.get(status, []) + back
    lines = [row for row in desk.table("ledger_lines") if row["account"] == "fees"]
    earned = FEE if status in {"settled", "returned"} else 0
    assert sum(line["credit"] for line in lines) == earned
    held = 4000 + FEE if status in {"pending", "processing"} else 0
    sent = 4000 if status == "settled" else 0
    assert desk.balance() == (OPENING - held - sent - earned, held)
    assert desk.see(payout_id)["fee"] == FEE


def test_a_fee_is_booked_once(desk: Desk) -> None:
    open_account(desk)
    payout_id = pay(desk, 1000)
    desk.claim()
    desk.settle_batch((payout_id, "U", None))
    desk.settle_batch((payout_id, "U", None))
    desk.payout("processing")  # so that there would be money to take
    assert [kind for kind, _ in moves(desk, payout_id)] == ["hold", "settle", "fee"]
    with desk.refused("23505"):
        desk.sql(
            "payrail_owner",
            "INSERT INTO ledger.entries (merchant_id, currency, kind, amount, payout_id)"
            " VALUES (%s, 'INR', 'fee', 1, %s)",
            [desk.merchant_id, payout_id],
        )


def test_a_fee_stays_what_it_was_when_the_payout_was_created(desk: Desk) -> None:
    open_account(desk)
    later_on, dropped = pay(desk, 1000, scheduled_at=in_an_hour()), pay(desk, 1000, "l")
    charge(desk, fixed=9)
    desk.sql("payrail_operator", "SELECT payrail.remove_fee(%s, 'NEFT', 'INR')", [bank(desk)])
    with later(desk, "61 minutes"):
        assert desk.go_on() == 1
        desk.claim()
    desk.settle_batch((later_on, "U", None), (dropped, "V", None))
    for payout_id in (later_on, dropped):
        assert moves(desk, payout_id) == [("hold", 1000 + FEE), ("settle", 1000), ("fee", FEE)]


# ----------------------------------------------------------------------------- enough money for it


def test_money_has_to_do_for_the_fee_too(desk: Desk) -> None:
    open_account(desk)
    refused = desk.create("k", OPENING - FEE + 1, bank_account_id="own")
    assert (refused.status, refused.code) == (422, "insufficient_funds")
    assert (
        f"the amount {OPENING - FEE + 1} and its fee {FEE} (minor units" in refused.json["detail"]
    )
    assert desk.create("l", OPENING - FEE, bank_account_id="own").status == 201
    assert desk.balance() == (0, OPENING)


def test_what_is_checked_counts_the_fee_as_what_is_created_does(desk: Desk) -> None:
    open_account(desk)
    half = OPENING // 2 - FEE
    lines = [
        (key, amount, "INR", "own", None, None) for key, amount in (("a", half), ("b", half + 1))
    ]
    (found,) = desk.check(*lines)
    assert (found["line"], found["code"]) == (2, "insufficient_funds")
    batch_id = desk.upload(*lines).json["id"]
    desk.advance(batch_id)
    made, refused = desk.lines(batch_id)
    assert (made["fee"], refused["fee"]) == (FEE, None)
    assert refused["detail"] == found["detail"]


def test_a_queued_payout_waits_for_its_fee_too(desk: Desk) -> None:
    open_account(desk)
    payout_id = pay(desk, OPENING, queue_if_low_balance=True)
    desk.credit(FEE - 1, "all but a paisa")
    assert (desk.see(payout_id)["status"], desk.balance()) == ("queued", (OPENING + FEE - 1, 0))
    desk.credit(1, "the last")
    assert (desk.see(payout_id)["status"], desk.balance()) == ("pending", (0, OPENING + FEE))


def test_a_scheduled_payout_needs_its_fee_when_its_time_comes(desk: Desk) -> None:
    open_account(desk)
    fits = pay(desk, 1000, "fits", scheduled_at=in_an_hour())
    not_any_more = pay(desk, OPENING - 1000 - FEE, "not", scheduled_at=in_an_hour())
    with later(desk, "61 minutes"):
        desk.go_on()
    assert desk.see(fits)["status"] == "pending"
    row = desk.see(not_any_more)
    assert (row["status"], row["failure_code"]) == ("failed", "insufficient_funds")
    assert f"and its fee {FEE}" in row["failure_reason"]


def test_limits_and_approvals_are_about_the_amount_alone(desk: Desk) -> None:
    open_account(desk)
    desk.rule(approve_from=4001, payout_limit=4000, daily_limit=4000)
    payout_id = pay(desk, 4000)
    assert desk.see(payout_id)["status"] == "pending"
    assert desk.table("rules")[0]["used_today"] == 4000
    desk.cancel(payout_id)
    assert desk.table("rules")[0]["used_today"] == 0


def test_the_largest_amount_has_room_for_the_largest_fee(desk: Desk) -> None:
    open_account(desk, {"fixed": 10**12, "basis_points": 10_000})
    for number in range(3):
        desk.credit(MOST, f"r{number}")
    payout_id = pay(desk, MOST)
    desk.claim()
    desk.settle_batch((payout_id, "U", None))
    desk.give_back(payout_id)
    fee = MOST + 10**12
    assert moves(desk, payout_id) == [
        *(("hold", MOST + fee), ("settle", MOST), ("fee", fee), ("return", MOST))
    ]
    assert desk.balance() == (OPENING + 3 * MOST - fee, 0)
    with desk.refused("23514"):
        desk.sql(
            "payrail_owner",
            "INSERT INTO ledger.entries (merchant_id, currency, kind, amount, payout_id)"
            " VALUES (%s, 'INR', 'hold', %s, uuidv7())",
            [desk.merchant_id, MOST + fee + 1],
        )


@pytest.mark.parametrize(
    ("amount", "fee"), [(MOST + 1, 0), (1000, -1), (1000, 10**12 + 1001), (1000, None)]
)
def test_not_even_the_owner_can_make_a_payout_out_of_bounds(
    desk: Desk, amount: int, fee: int | None
) -> None:
    desk.credit(MOST, "enough")
    with desk.refused("PR101", "23502"):
        desk.sql(
            "payrail_owner",
            "INSERT INTO payout.payouts (merchant_id, payout_id, amount, fee, status, currency,"
            " bank_account_id, next_action_at, actor)"
            " VALUES (%s, uuidv7(), %s, %s, 'pending', 'INR', 'demo-bank-account', now(), 'x')",
            [desk.merchant_id, amount, fee],
        )


# ------------------------------------------------------------------------------------ setting one


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("mode", {"mode": wrong}) for wrong in ("CHEQUE", None)),
        *(("mode", {"rail": "nowhere"}), ("mode", {"currency": "EUR"})),
        *(("amount_from", {"amount_from": wrong}) for wrong in (0, -1, MOST + 1, None)),
        *(("fixed", {"fixed": wrong}) for wrong in (-1, 10**12 + 1, None)),
        *(("basis_points", {"basis_points": wrong}) for wrong in (-1, 10_001, None)),
    ],
)
def test_what_is_no_fee_is_refused(desk: Desk, field: str, wrong: dict[str, Any]) -> None:
    with desk.refused("PR111") as caught:
        desk.fee(**wrong)
    assert f'"{field}"' in str(caught.value.diag.message_detail)


def test_who_changes_a_fee_is_on_record_if_it_changes(desk: Desk) -> None:
    open_account(desk, {"fixed": 5, "actor": "asha"})
    charge(desk, fixed=5, actor="ravi")
    charge(desk, fixed=6, actor="ravi")
    removed = "SELECT payrail.remove_fee(%s, 'NEFT', 'INR', p_actor => 'asha')"
    for _ in range(2):
        desk.sql("payrail_operator", removed, [bank(desk)])
    rows = desk.sql(
        "payrail_auditor",
        "SELECT actor, action, detail FROM payrail.operator_actions"
        " WHERE object = %s AND action LIKE 'fee%%' ORDER BY action_id",
        [f"{bank(desk)} NEFT INR"],
    )
    assert [(row["actor"].partition(":")[2], row["action"]) for row in rows] == [
        *(("asha", "fee_set"), ("ravi", "fee_set"), ("asha", "fee_removed"))
    ]
    assert rows[1]["detail"] == {"amount_from": 1, "fixed": 6, "basis_points": 0}


# ------------------------------------------------------------------ a fee of a mode that goes away

SET = "SELECT * FROM payrail.set_fee(%s, 'NEFT', 'INR', p_fixed => 100)"
REMOVE = "SELECT payrail.remove_mode(%s, 'NEFT', 'INR')"


@pytest.mark.parametrize(("first", "second"), [(SET, REMOVE), (REMOVE, SET)])
def test_no_fee_is_left_of_a_mode_that_is_removed_at_the_same_time(
    own_desk: Desk, first: str, second: str
) -> None:
    open_account(own_desk)
    name = bank(own_desk)

    def run_second() -> str | None:
        with own_desk.database.connect("payrail_operator") as other:
            try:
                other.execute(second.encode(), [name])
            except psycopg.Error as exc:
                return exc.sqlstate
            return None

    with ThreadPoolExecutor(1) as threads:
        with own_desk.database.connect("payrail_operator") as one, one.transaction():
            one.execute(first.encode(), [name])
            told = threads.submit(run_second)
            until(lambda: own_desk.sql("admin", "SELECT 1 FROM pg_locks WHERE NOT granted"))
        assert told.result() == (None if second == REMOVE else "PR111")
    for view in ("modes", "fees"):
        assert own_desk.sql("admin", f"SELECT 1 FROM payrail.{view} WHERE rail = %s", [name]) == []
