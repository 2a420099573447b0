"""What payrail.verify_ledger finds: alterations by whoever gets past every guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tests.conftest import Database
from tests.desk import STATUSES, Desk
from tests.tampering import MINE, OTHER_VALUES, tampering

# Each hash made anew from the first on, as one who covers their tracks would do it.
MADE_ANEW = """
    WITH RECURSIVE chain AS (
        SELECT e.seq, {hash} AS hash FROM ledger.entries e WHERE {mine} AND e.seq = 1
        UNION ALL
        SELECT e.seq, {next} FROM chain c JOIN ledger.entries e ON e.seq = c.seq + 1 WHERE {mine}
    )
    UPDATE ledger.entries e SET hash = c.hash FROM chain c WHERE {mine} AND e.seq = c.seq
""".format(
    mine="e.merchant_id = %(merchant_id)s",
    **{
        name: f"ledger.entry_hash({before}, e.merchant_id, e.currency, e.seq, e.kind, e.amount,"
        " e.available, e.held, e.payout_id, e.reference, e.created_at)"
        for name, before in (("hash", "NULL"), ("next", "c.hash"))
    },
)


@pytest.fixture(scope="module")
def kept(shared_database: Database) -> Iterator[Desk]:
    """A merchant whose ledger has an entry of every kind, and another merchant."""
    with Desk(shared_database, 100_000) as desk:
        desk.fee(amount_from=1, fixed=70)
        for status in STATUSES:
            desk.payout(status)
        desk.beside(100_000)
        yield desk
        assert faults(desk.connection("admin")) == []  # all tampering was rolled back


def anchors(desk: Desk) -> Any:
    (row,) = desk.sql("payrail_auditor", "SELECT jsonb_agg(a) AS found FROM payrail.anchors a")
    return row["found"]


def faults(connection: psycopg.Connection[DictRow], known: object = ()) -> list[DictRow]:
    return connection.execute(
        "SELECT * FROM payrail.verify_ledger(%s)",
        [Jsonb(list(known))],  # type: ignore[call-overload]
    ).fetchall()


def ledger(desk: Desk) -> list[DictRow]:
    return desk.sql(
        "admin",
        "SELECT * FROM ledger.entries WHERE merchant_id = %s ORDER BY seq",
        [desk.merchant_id],
    )


def test_every_column_of_every_entry_that_is_altered_is_found_at_its_entry(kept: Desk) -> None:
    entries = ledger(kept)
    assert len(entries) > len(STATUSES)
    assert entries[0].keys() == OTHER_VALUES.keys()
    known = anchors(kept)
    for entry in entries:
        for column, value in OTHER_VALUES.items():
            if entry[column] is None:
                continue
            moved = ", seq = 100000" if column == "merchant_id" else ""  # where there is room
            with tampering(
                kept,
                "DROP INDEX ledger.entries_credit_once; DROP INDEX ledger.entries_once_per_payout;"
                f"UPDATE ledger.entries e SET {column} = {value}{moved}"
                f" WHERE {MINE} AND seq = {entry['seq']}",
            ) as admin:
                found = [row for row in faults(admin, known) if row["fault"] == "broken"]
                assert found, (entry["seq"], column)
                away = column in {"merchant_id", "currency", "seq"}  # then the next has lost it
                last = entry["seq"] == len(entries)
                if not away:
                    assert found[0]["merchant_id"] == kept.merchant_id
                    assert found[0]["seq"] == entry["seq"], column
                elif not last:
                    ours = [row for row in found if row["merchant_id"] == kept.merchant_id]
                    assert entry["seq"] + 1 in {row["seq"] for row in ours}, column


def test_a_ledger_whose_hashes_were_all_made_anew_is_found_by_its_anchor(kept: Desk) -> None:
    known = anchors(kept)
    newest = ledger(kept)[-1]["seq"]
    with tampering(
        kept,
        f"UPDATE ledger.entries e SET reference = 'somebody else' WHERE {MINE} AND seq = 1;"
        + MADE_ANEW,
    ) as admin:
        assert faults(admin) == []  # it looks well
        assert faults(admin, known) == [
            {
                "merchant_id": kept.merchant_id,
                "currency": "INR",
                "seq": newest,
                "fault": "rewritten",
            }
        ]


def test_hashes_made_anew_of_what_was_not_altered_are_the_same(kept: Desk) -> None:
    with tampering(kept, MADE_ANEW) as admin:
        assert faults(admin, anchors(kept)) == []


def test_a_ledger_that_ends_earlier_is_found_by_its_anchor(kept: Desk) -> None:
    known = anchors(kept)
    newest = ledger(kept)[-1]["seq"]
    for removed in (f"seq = {newest}", "TRUE"):
        with tampering(kept, f"DELETE FROM ledger.entries WHERE {MINE} AND {removed}") as admin:
            assert faults(admin) == []
            (found,) = faults(admin, known)
            assert (found["seq"], found["fault"]) == (newest, "missing")


def test_what_has_come_since_is_no_fault(kept: Desk) -> None:
    known = anchors(kept)
    kept.payout("settled")
    assert faults(kept.connection("payrail_auditor"), known) == []
    assert faults(kept.connection("payrail_operator"), [*known, *anchors(kept)]) == []


def test_there_is_an_anchor_of_every_chain(kept: Desk) -> None:
    kept.credit(5, "dollars", "USD")
    ours = [one for one in anchors(kept) if one["merchant_id"] == str(kept.merchant_id)]
    assert sorted((one["currency"], one["seq"]) for one in ours) == [
        ("INR", ledger(kept)[-1]["seq"]),
        ("USD", 1),
    ]


@pytest.mark.parametrize("known", [Jsonb({}), Jsonb(None), None])
def test_anchors_are_an_array(kept: Desk, known: object) -> None:
    with kept.refused("PR111"):
        kept.sql("payrail_auditor", "SELECT * FROM payrail.verify_ledger(%s)", [known])


@pytest.mark.parametrize("limit", [0, -1, 10_001, None])
def test_how_many_are_listed_is_bounded(kept: Desk, limit: object) -> None:
    with kept.refused("PR111"):
        kept.sql("payrail_auditor", "SELECT * FROM payrail.verify_ledger('[]', %s)", [limit])
