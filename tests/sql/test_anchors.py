"""What anchors.verify finds: alterations by whoever gets past every guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.rows import DictRow

from pyapp import anchors, doors
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


def taken(desk: Desk, *, later: int = 0) -> anchors.Anchored:
    """Return what is anchored now, or at this second after it."""
    found = desk.sql("payrail_auditor", "SELECT * FROM payrail.anchors")
    return anchors.Anchored(
        format="payrail-anchors-1",
        taken_at=datetime.now(UTC) + timedelta(seconds=later),
        anchors=[doors.Anchor(**row) for row in found],
    )


def verified(connection: psycopg.Connection[DictRow], *files: anchors.Anchored) -> anchors.Verified:
    """Verify as `payrail verify` does, in what this connection sees."""

    async def entries() -> AsyncIterator[Sequence[bytes | None]]:
        with connection.cursor().copy(doors.ENTRIES) as copy:
            for row in copy.rows():
                yield row

    return asyncio.run(anchors.verify(entries(), files))


def faults(connection: psycopg.Connection[DictRow], *files: anchors.Anchored) -> list[Any]:
    return [msgspec.to_builtins(fault) for fault in verified(connection, *files).first]


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
    known = taken(kept)
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
                    assert found[0]["merchant_id"] == str(kept.merchant_id)
                    assert found[0]["seq"] == entry["seq"], column
                elif not last:
                    ours = [row for row in found if row["merchant_id"] == str(kept.merchant_id)]
                    assert entry["seq"] + 1 in {row["seq"] for row in ours}, column


def test_a_column_that_was_made_null_is_found(kept: Desk) -> None:
    """Though none of them can be, but for somebody who takes the constraint away."""
    known = taken(kept)
    for column in ("merchant_id", "currency", "seq", "amount", "created_at", "hash"):
        with tampering(
            kept,
            "ALTER TABLE ledger.entries DROP CONSTRAINT entries_pkey CASCADE;"
            f"ALTER TABLE ledger.entries ALTER {column} DROP NOT NULL;"
            f"UPDATE ledger.entries e SET {column} = NULL WHERE {MINE} AND seq = 2",
        ) as admin:
            assert "broken" in {row["fault"] for row in faults(admin, known)}, column


def test_a_ledger_whose_hashes_were_all_made_anew_is_found_by_its_anchor(kept: Desk) -> None:
    known = taken(kept)
    newest = ledger(kept)[-1]["seq"]
    with tampering(
        kept,
        f"UPDATE ledger.entries e SET reference = 'somebody else' WHERE {MINE} AND seq = 1;"
        + MADE_ANEW,
    ) as admin:
        assert faults(admin) == []  # it looks well
        assert faults(admin, known) == [
            {
                "merchant_id": str(kept.merchant_id),
                "currency": "INR",
                "seq": newest,
                "fault": "rewritten",
            }
        ]


def test_hashes_made_anew_of_what_was_not_altered_are_the_same(kept: Desk) -> None:
    with tampering(kept, MADE_ANEW) as admin:
        assert faults(admin, taken(kept)) == []


def test_a_ledger_that_ends_earlier_is_found_by_its_anchor(kept: Desk) -> None:
    known = taken(kept)
    newest = ledger(kept)[-1]["seq"]
    for removed in (f"seq = {newest}", "TRUE"):
        with tampering(kept, f"DELETE FROM ledger.entries WHERE {MINE} AND {removed}") as admin:
            assert faults(admin) == []
            (found,) = faults(admin, known)
            assert (found["seq"], found["fault"]) == (newest, "missing")


def test_what_has_come_since_is_no_fault(kept: Desk) -> None:
    known = taken(kept)
    kept.payout("settled")
    assert faults(kept.connection("payrail_auditor"), known) == []
    assert faults(kept.connection("payrail_operator"), known, taken(kept)) == []


def test_there_is_an_anchor_of_every_chain(kept: Desk) -> None:
    kept.credit(5, "dollars", "USD")
    ours = [one for one in taken(kept).anchors if one.merchant_id == kept.merchant_id]
    assert sorted((one.currency, one.seq) for one in ours) == [
        ("INR", ledger(kept)[-1]["seq"]),
        ("USD", 1),
    ]


def test_a_chain_whose_book_is_gone_is_anchored(kept: Desk) -> None:
    before = {(one.merchant_id, one.currency) for one in taken(kept).anchors}
    with tampering(kept, f"DELETE FROM ledger.books WHERE {MINE}") as admin:
        found = admin.execute("SELECT merchant_id, currency FROM payrail.anchors").fetchall()
        assert {(row["merchant_id"], row["currency"]) for row in found} == before


def test_a_chain_that_is_kept_from_being_anchored_is_found(kept: Desk) -> None:
    first, second, third = (taken(kept, later=seconds) for seconds in (1, 2, 3))
    (ours,) = (
        one for one in first.anchors if (one.merchant_id, one.currency) == (kept.merchant_id, "INR")
    )
    second.anchors.remove(ours)
    assert faults(kept.connection("payrail_auditor"), third, second, first) == [
        {**msgspec.to_builtins(anchors.Fault(ours.merchant_id, "INR", ours.seq, "withheld"))}
    ]


def test_what_the_anchors_stand_for_is_counted(kept: Desk) -> None:
    auditor = kept.connection("payrail_auditor")
    before = verified(auditor)
    assert before.anchored == 0  # nobody has said how it was
    files = [taken(kept)]
    kept.payout("pending")
    files.append(taken(kept))
    kept.payout("pending")
    found = verified(auditor, *files)
    assert found.anchored == before.entries + 1
    assert found.entries == before.entries + 2
    assert found.chains == before.chains == len(files[0].anchors)


def test_no_function_of_the_database_is_believed(kept: Desk) -> None:
    known = taken(kept)
    with tampering(
        kept,
        f"UPDATE ledger.entries SET reference = 'a lie' WHERE {MINE} AND currency = 'INR'"
        " AND seq = 1",
    ) as admin:
        (row,) = admin.execute(
            "SELECT pg_get_functiondef('ledger.entry_hash'::regproc) AS body"
        ).fetchall()
        head, found, _ = row["body"].rpartition("RETURN sha256")
        assert found
        admin.execute(f"{head} RETURN NULL::bytea".encode())
        assert admin.execute("SELECT * FROM audit.broken_chain").fetchall() == []
        assert [fault["fault"] for fault in faults(admin, known)] == ["broken"]


def test_a_hundred_faults_are_listed_and_all_are_counted(kept: Desk) -> None:
    with kept.beside(1_000_000) as many:
        for number in range(105):
            many.create(f"key-{number}")
        with tampering(
            many, f"UPDATE ledger.entries e SET created_at = created_at + '1s' WHERE {MINE}"
        ) as admin:
            found = verified(admin)
    assert (found.faults, len(found.first)) == (106, 100)
    assert found.first == sorted(found.first)
