"""The ledger is the only source of balances, and nobody can bend it."""

from __future__ import annotations

import hashlib
import struct
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.desk import OPENING, STATUSES, Desk

KINDS = {
    "credit": ("external", "available"),
    "hold": ("available", "held"),
    "settle": ("held", "external"),
    "fee": ("held", "fees"),
    "release": ("held", "available"),
    "return": ("external", "available"),
}
LIMIT = 10**18


def entries(desk: Desk) -> list[dict[str, Any]]:
    return sorted(desk.table("ledger_entries"), key=lambda row: row["seq"])


def write(desk: Desk, role: str = "payrail_owner", **columns: object) -> None:
    """Insert a ledger entry past the doors."""
    given = {"merchant_id": desk.merchant_id, "currency": "INR", **columns}
    places = ", ".join(f"%({name})s" for name in given)
    desk.sql(role, f"INSERT INTO ledger.entries ({', '.join(given)}) VALUES ({places})", given)


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("pending", ["hold"]),
        ("processing", ["hold"]),
        ("settled", ["hold", "settle"]),
        ("failed", ["hold", "release"]),
        ("cancelled", ["hold", "release"]),
        ("returned", ["hold", "settle", "return"]),
    ],
)
def test_each_state_has_its_entries(desk: Desk, status: str, kinds: list[str]) -> None:
    payout_id = desk.payout(status, 4000)
    rows = entries(desk)[1:]
    assert [row["kind"] for row in rows] == kinds
    assert {row["payout_id"] for row in rows} == {payout_id}
    assert {row["amount"] for row in rows} == {4000}
    held = 4000 if kinds == ["hold"] else 0
    spent = 4000 if kinds == ["hold", "settle"] else 0
    assert desk.balance() == (OPENING - held - spent, held)


def test_each_entry_names_both_accounts_and_the_position_after_it(desk: Desk) -> None:
    for status in STATUSES:
        desk.payout(status)
    available = held = 0
    for number, row in enumerate(entries(desk), 1):
        debit, credit = KINDS[row["kind"]]
        assert (row["debit_account"], row["credit_account"]) == (debit, credit)
        change = {credit: row["amount"], debit: -row["amount"]}
        available += change.get("available", 0)
        held += change.get("held", 0)
        assert (row["seq"], row["available"], row["held"]) == (number, available, held)
    assert desk.balance() == (available, held)


def test_debits_equal_credits(desk: Desk) -> None:
    for status in STATUSES:
        desk.payout(status)
    lines = desk.table("ledger_lines")
    assert len(lines) == 2 * len(entries(desk))
    assert sum(line["debit"] or 0 for line in lines) == sum(line["credit"] or 0 for line in lines)
    balance = {
        account: sum(
            (line["credit"] or 0) - (line["debit"] or 0)
            for line in lines
            if line["account"] == account
        )
        for account in ("available", "held", "external", "fees")
    }
    assert (balance["available"], balance["held"]) == desk.balance()
    assert sum(balance.values()) == 0


# PostgreSQL's numbers of the types in the record that is hashed
BYTEA, INT8, TEXT, TIMESTAMPTZ, UUID_ = 17, 20, 25, 1184, 2950


def test_the_hash_is_sha256_over_the_previous_one_and_every_column(desk: Desk) -> None:
    for status in STATUSES:
        desk.payout(status)
    desk.credit(1, "जमा")
    rows = desk.sql(
        "payrail_owner",
        "SELECT *, (extract(EPOCH FROM created_at - '2000-01-01 00:00Z') * 1000000)::bigint"
        " AS microseconds"
        " FROM ledger.entries WHERE merchant_id = %(merchant_id)s ORDER BY seq",
    )
    previous = None
    assert len(rows) > len(STATUSES)
    for row in rows:
        fields = [
            (BYTEA, previous),
            (UUID_, row["merchant_id"].bytes),
            (TEXT, row["currency"].encode()),
            (INT8, struct.pack("!q", row["seq"])),
            (TEXT, row["kind"].encode()),
            *((INT8, struct.pack("!q", row[name])) for name in ("amount", "available", "held")),
            (UUID_, row["payout_id"] and row["payout_id"].bytes),
            (TEXT, row["reference"] and row["reference"].encode()),
            (TIMESTAMPTZ, struct.pack("!q", row["microseconds"])),
        ]
        content = struct.pack("!i", len(fields)) + b"".join(
            struct.pack("!Ii", oid, -1)
            if value is None
            else struct.pack("!Ii", oid, len(value)) + value
            for oid, value in fields
        )
        previous = hashlib.sha256(content).digest()
        assert row["hash"] == previous


# --------------------------------------------------------------------------------------- credits


def test_a_credit_is_available(desk: Desk) -> None:
    row = desk.credit(500, "bank-1")
    assert (row["kind"], row["amount"], row["reference"]) == ("credit", 500, "bank-1")
    assert (row["available"], row["held"], row["payout_id"]) == (OPENING + 500, 0, None)
    assert desk.balance() == (OPENING + 500, 0)


def test_a_credit_counts_once(desk: Desk) -> None:
    first = desk.credit(500, "bank-1")
    desk.payout("settled")
    with desk.unchanged():
        assert desk.credit(500, "bank-1") == first


def test_a_reference_stands_for_one_sum(desk: Desk) -> None:
    desk.credit(500, "bank-1")
    with desk.refused("PR203"):
        desk.credit(501, "bank-1")


def test_references_belong_to_a_merchant(desk: Desk) -> None:
    other = desk.beside()
    desk.credit(500, "bank-1")
    assert other.credit(700, "bank-1")["amount"] == 700


@pytest.mark.parametrize(
    ("amount", "currency", "reference", "state"),
    [
        (0, "INR", "r", "PR101"),
        (-1, "INR", "r", "PR101"),
        (10**15 + 1, "INR", "r", "PR101"),
        (2**63 - 1, "INR", "r", "PR101"),
        (None, "INR", "r", "PR101"),
        (1, "XXX", "r", "PR102"),
        (1, "inr", "r", "PR102"),
        (1, None, "r", "PR102"),
        (1, "INR", "", "PR104"),
        (1, "INR", "r" * 256, "PR104"),
        (1, "INR", "a\nb", "PR104"),
        (1, "INR", None, "PR104"),
    ],
)
def test_a_malformed_credit_is_refused(
    desk: Desk, amount: object, currency: object, reference: object, state: str
) -> None:
    with desk.refused(state):
        desk.credit(amount, reference, currency)


def test_the_largest_credit_and_the_largest_balance(desk: Desk) -> None:
    rich = desk.beside(0)
    rich.sql(
        "payrail_operator",
        "SELECT count(*) FROM generate_series(1, 1000) n,"
        " payrail.credit_merchant(%(merchant_id)s, 1000000000000000, 'INR', 'r' || n)",
    )
    assert rich.balance() == (LIMIT, 0)
    with rich.refused("PR302"):
        rich.credit(1, "over")
    assert rich.create("k", 10**15).status == 201
    with rich.refused("PR302"):  # what is held still counts: it may come back
        rich.credit(1, "over")
    paid = rich.payout("settled", 5)
    rich.credit(5, "in its place")
    with rich.refused("PR302"):
        rich.give_back(paid)


# ------------------------------------------------------------------------------------- tampering


@pytest.mark.parametrize("role", ["admin", "payrail_operator", "payrail_api", "payrail_worker"])
def test_only_the_doors_write_entries(desk: Desk, role: str) -> None:
    with desk.refused("PR502", "42501"):
        write(desk, role, kind="credit", amount=1, reference="r")


def test_the_position_is_computed_whatever_a_writer_says(desk: Desk) -> None:
    write(
        desk,
        kind="credit",
        amount=5,
        reference="r",
        seq=77,
        available=10**12,
        held=10**12,
        hash=b"x",
        created_at="2001-01-01",
    )
    newest = entries(desk)[-1]
    assert (newest["seq"], newest["available"], newest["held"]) == (2, OPENING + 5, 0)
    assert newest["created_at"] >= entries(desk)[0]["created_at"]


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": "credit", "amount": 0, "reference": "r"},
        {"kind": "credit", "amount": -5, "reference": "r"},
        {"kind": "credit", "amount": 10**15 + 1, "reference": "r"},
        {"kind": "credit", "amount": 5},
        {"kind": "credit", "amount": 5, "reference": ""},
        {"kind": "credit", "amount": 5, "reference": "r", "payout_id": uuid4()},
        {"kind": "hold", "amount": 5},
        {"kind": "hold", "amount": 5, "payout_id": uuid4(), "reference": "r"},
        {"kind": "hold", "amount": OPENING + 1, "payout_id": uuid4()},
        {"kind": "settle", "amount": 1, "payout_id": uuid4()},
        {"kind": "release", "amount": 1, "payout_id": uuid4()},
    ],
)
def test_not_even_the_owner_can_write_what_can_not_be(desk: Desk, columns: dict[str, Any]) -> None:
    with desk.refused("23514", "PR903"):
        write(desk, **columns)


def test_an_unknown_kind_is_refused(desk: Desk) -> None:
    with desk.refused("PR903"):
        write(desk, kind="gift", amount=5, reference="r")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("processing", "hold"),
        ("settled", "settle"),
        ("settled", "release"),
        ("failed", "settle"),
        ("failed", "release"),
        ("cancelled", "release"),
        ("returned", "return"),
        ("returned", "release"),
    ],
)
def test_a_payout_moves_its_money_once(desk: Desk, status: str, kind: str) -> None:
    """A second hold, settlement, refund or return is impossible to store, by anybody."""
    payout_id = desk.payout(status)
    desk.payout("processing")  # so that there would be money to take
    with desk.refused("23505") as caught:
        write(desk, kind=kind, amount=1000, payout_id=payout_id)
    assert caught.value.diag.constraint_name == "entries_once_per_payout"


def test_a_credit_reference_is_stored_once(desk: Desk) -> None:
    with desk.refused("23505"):
        write(desk, kind="credit", amount=1, reference="opening")


@pytest.mark.parametrize("role", ["payrail_owner", "admin"])
def test_nobody_who_is_not_a_merchant_has_money(desk: Desk, role: str) -> None:
    """As a foreign key would have it; the superuser is no door either."""
    with desk.refused("PR401" if role == "payrail_owner" else "PR502"):
        write(desk, role, merchant_id=uuid4(), kind="credit", amount=1, reference="r")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.entries SET amount = amount + 1 WHERE merchant_id = %(merchant_id)s",
        "UPDATE ledger.entries SET hash = hash WHERE merchant_id = %(merchant_id)s",
        "DELETE FROM ledger.entries WHERE merchant_id = %(merchant_id)s",
        "TRUNCATE ledger.entries",
    ],
)
@pytest.mark.parametrize("role", ["payrail_owner", "admin"])
def test_entries_are_never_altered(desk: Desk, role: str, statement: str) -> None:
    with desk.refused("PR501"):
        desk.sql(role, statement)


# ------------------------------------------------------------------------------- cost of a balance


def test_a_balance_reads_one_index_entry(desk: Desk) -> None:
    """However long the history: the newest entry, by the primary key."""
    for number in range(50):
        desk.credit(1, f"r{number}")
    plan = explain(desk, "SELECT * FROM payrail.balances WHERE merchant_id = %(merchant_id)s")
    scans = [node for node in nodes(plan) if node.get("Relation Name") == "entries"]
    assert [(scan["Node Type"], scan["Index Name"]) for scan in scans] == [
        ("Index Scan", "entries_pkey")
    ]
    assert scans[0]["Scan Direction"] == "Backward"
    assert scans[0]["Actual Rows"] * scans[0]["Actual Loops"] <= 1
    assert scans[0].get("Rows Removed by Filter", 0) == 0


def explain(desk: Desk, query: str) -> dict[str, Any]:
    with desk.connection("admin").transaction():
        desk.sql("admin", "ANALYZE ledger.entries", [])
        desk.sql("admin", "SET LOCAL enable_seqscan = off", [])  # a small table tempts
        ((plan,),) = (
            row.values() for row in desk.sql("admin", f"EXPLAIN (ANALYZE, FORMAT json) {query}")
        )
    top: dict[str, Any] = plan[0]["Plan"]
    return top


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def test_a_clock_set_back_does_not_show(desk: Desk) -> None:
    rows = entries(desk)
    desk.payout("returned")
    times = [row["created_at"] for row in entries(desk)]
    assert times == sorted(times)
    assert times[0] == rows[0]["created_at"]


def test_no_amount_is_a_fraction_or_not_a_number(desk: Desk) -> None:
    for amount in ("1.5", "NaN", "Infinity", "1e3", str(2**63)):
        with desk.refused("22P02", "22003"), desk.connection("payrail_operator").transaction():
            desk.credit(amount, "r")
    with pytest.raises(psycopg.Error):
        desk.sql("payrail_operator", "SELECT 'NaN'::numeric::bigint", [])
