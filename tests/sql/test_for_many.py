"""A worker's calls for many merchants: what one call for each would do, and nobody waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.desk import Desk

FREE = (
    "SELECT name FROM merchant.merchants WHERE merchant_id = %(merchant_id)s"
    " FOR NO KEY UPDATE SKIP LOCKED"
)


def claim(desk: Desk, of: Sequence[UUID], **arguments: object) -> dict[UUID, list[DictRow]]:
    """Claim for many; a merchant of whom nothing could be claimed has None."""
    found: dict[UUID, list[DictRow]] = {merchant_id: [] for merchant_id in of}
    named = "".join(f", p_{name} => %s" for name in arguments)
    query = f"SELECT * FROM payrail.claim_payouts_for_many(%s{named})"
    for row in desk.sql("payrail_worker", query, [[*of], *arguments.values()]):
        if row["payout_id"] is None:
            assert {value for name, value in row.items() if name != "merchant_id"} == {None}
            del found[row["merchant_id"]]
        else:
            found[row["merchant_id"]].append(row)
    return found


def record(desk: Desk, *said: Sequence[object], wait: bool = False) -> list[tuple[Any, ...]]:
    """Record for many: (merchant_id, payout_id, outcome, code, utr) each, of its first attempt."""
    row = "ROW(%s, %s, %s, %s, %s, NULL, NULL, 1)::payrail.addressed_answer"
    found = desk.sql(
        "payrail_worker",
        f"SELECT * FROM payrail.record_answers_for_many(ARRAY[{', '.join([row] * len(said))}],"
        " 'test', %s)",
        [*(value for one in said for value in one), wait],
    )
    return [tuple(one.values()) for one in found]


def hold(desk: Desk) -> None:
    """Hold a merchant's lock until the transaction ends."""
    desk.sql(
        "admin",
        "SELECT FROM merchant.merchants WHERE merchant_id = %(merchant_id)s FOR NO KEY UPDATE",
    )


def test_a_claim_for_many_is_a_claim_for_each(own_desk: Desk) -> None:
    desks = [own_desk, own_desk.beside(), own_desk.beside(), own_desk.beside()]
    payouts = [[desk.payout(amount=100) for _ in range(n)] for n, desk in enumerate(desks)]
    ids = [desk.merchant_id for desk in desks]
    found = claim(own_desk, [*ids, ids[1]], limit=2, actor="host-1")
    assert [[row["payout_id"] for row in found[one]] for one in ids] == [
        sorted(made)[:2] for made in payouts
    ]
    rest = claim(own_desk, ids)
    assert [len(rest[one]) for one in ids] == [0, 0, 0, 1]
    for row in found[ids[3]]:
        (alike,) = (
            one for one in desks[3].table("attempts") if one["payout_id"] == row["payout_id"]
        )
        assert (alike["actor"], alike["attempt"]) == ("payrail_worker:host-1", row["attempt"])
        assert desks[3].see(row["payout_id"])["status"] == "processing"


def test_a_claim_for_many_waits_for_no_lock(own_desk: Desk) -> None:
    other = own_desk.beside()
    mine, theirs = own_desk.payout(), other.payout()
    ids = [own_desk.merchant_id, other.merchant_id]
    with own_desk.connection("admin").transaction():
        hold(own_desk)
        found = claim(other, ids)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            claim(other, ids, wait=True)
    assert {one: [row["payout_id"] for row in rows] for one, rows in found.items()} == {
        other.merchant_id: [theirs]
    }
    assert [row["payout_id"] for row in claim(other, ids, wait=True)[own_desk.merchant_id]] == [
        mine
    ]


def test_what_is_recorded_for_many_is_recorded_for_each(own_desk: Desk) -> None:
    """In order, the same with each merchant as in a call of its own, and under one commit."""
    desks = [own_desk, own_desk.beside(), own_desk.beside()]
    apart = [own_desk.beside() for _ in desks]
    outcomes = [
        ("paid", None, "U1"),
        ("refused", "account_closed", None),
        ("refused", "no such code", None),
        ("unknown", None, None),
        ("paid", None, ""),
        ("returned", "AC04", "U2"),
    ]
    cases = [(n, outcome) for outcome in outcomes for n in range(len(desks))]
    made = [
        [group[n].payout("processing", amount=100) for n, _ in cases] for group in (desks, apart)
    ]
    together, alone = made
    said = [
        (desks[n].merchant_id, payout_id, *outcome)
        for (n, outcome), payout_id in zip(cases, together, strict=True)
    ]
    found = record(own_desk, *said)
    assert [payout_id for payout_id, *_ in found] == together
    single = [
        row
        for (n, (outcome, code, utr)), payout_id in zip(cases, alone, strict=True)
        for row in apart[n].record((payout_id, outcome, code, utr, None, None, 1))
    ]
    assert [rest for _, *rest in found] == [
        [row["effect"], row["status"], row["detail"]] for row in single
    ]
    assert {effect for _, effect, *_ in found} == {"applied", "refused"} | {"noted"}
    for one, other in zip(desks, apart, strict=True):
        assert one.balance() == other.balance()
        assert [row["outcome"] for row in one.table("evidence")] == [
            row["outcome"] for row in other.table("evidence")
        ]
    assert own_desk.violations() == {}


def test_what_came_back_to_many_goes_to_what_waits_at_each(own_desk: Desk) -> None:
    desks = [own_desk, own_desk.beside()]
    payouts = [desk.payout("processing", amount=10_000) for desk in desks]
    for desk in desks:
        queued = desk.create("queued", 10_000, queue_if_low_balance=True).payout_id
        assert desk.see(queued)["status"] == "queued"
    record(
        own_desk,
        *(
            (desk.merchant_id, payout_id, "refused", "account_closed", None)
            for desk, payout_id in zip(desks, payouts, strict=True)
        ),
    )
    for desk in desks:
        assert {row["status"] for row in desk.table("payouts")} == {"failed", "pending"}


def test_what_is_recorded_for_many_waits_for_no_lock(own_desk: Desk) -> None:
    other = own_desk.beside()
    mine, theirs = own_desk.payout("processing"), other.payout("processing")
    said = [
        (own_desk.merchant_id, mine, "paid", None, "U1"),
        (other.merchant_id, theirs, "paid", None, "U2"),
    ]
    with own_desk.connection("admin").transaction():
        hold(own_desk)
        assert record(other, *said) == [
            (None, None, None, None),
            (theirs, "applied", "settled", None),
        ]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            record(other, *said, wait=True)
    assert own_desk.see(mine)["status"] == "processing"
    assert [effect for _, effect, *_ in record(other, *said, wait=True)] == ["applied", "repeated"]


@pytest.mark.parametrize("call", [claim, record])
def test_a_call_for_many_holds_its_locks_until_it_is_committed(own_desk: Desk, call: Any) -> None:
    payout_id = own_desk.payout("processing")
    said = (own_desk.merchant_id, payout_id, "unknown", None, None)
    with own_desk.connection("payrail_worker").transaction():
        call(own_desk, [own_desk.merchant_id] if call is claim else said)
        assert own_desk.sql("admin", FREE) == []
    assert len(own_desk.sql("admin", FREE)) == 1


def test_of_a_merchant_who_is_not_there_nothing_is_claimed_or_recorded(own_desk: Desk) -> None:
    stranger, payout_id = uuid4(), own_desk.payout()
    found = claim(own_desk, [stranger, own_desk.merchant_id])
    assert [row["payout_id"] for row in found.pop(own_desk.merchant_id)] == [payout_id]
    assert found == {}
    assert record(
        own_desk,
        (stranger, payout_id, "paid", None, "U1"),
        (None, payout_id, "paid", None, "U1"),
        (own_desk.merchant_id, payout_id, "paid", None, "U1"),
    ) == [(None,) * 4, (None,) * 4, (payout_id, "applied", "settled", None)]
    with pytest.raises(psycopg.ProgrammingError, match="no such merchant"):
        claim(own_desk, [stranger], wait=True)
    with pytest.raises(psycopg.ProgrammingError, match="no such merchant"):
        record(own_desk, (stranger, payout_id, "paid", None, "U1"), wait=True)


@pytest.mark.parametrize("door", ["claim_payouts_for_many", "record_answers_for_many"])
def test_no_array_is_an_argument_out_of_bounds(own_desk: Desk, door: str) -> None:
    with own_desk.refused("PR111"):
        own_desk.sql("payrail_worker", f"SELECT payrail.{door}(NULL)")
