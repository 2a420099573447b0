"""Altering what is stored, as only a superuser can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import DictRow

from tests.desk import Desk

MINE = "merchant_id = %(merchant_id)s"


@contextmanager
def tampering(desk: Desk, statements: str) -> Iterator[psycopg.Connection[DictRow]]:
    """Alter what is stored, as only a superuser can, with every guard out of the way; then undo it.

    Inside, the guards are on again: what the audit finds is not that they were off.
    """
    admin = desk.connection("admin")
    with admin.transaction(force_rollback=True):
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute(SWITCH.format("DISABLE").encode())
        for statement in statements.split(";"):
            admin.execute(statement.encode(), {"merchant_id": desk.merchant_id})
        admin.execute(SWITCH.format("ENABLE ALWAYS").encode())
        yield admin


# user triggers only: the guards
SWITCH = """
    DO $$
    DECLARE t record;
    BEGIN
        FOR t IN SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger g
            JOIN pg_class c ON c.oid = tgrelid
            WHERE NOT tgisinternal AND c.relnamespace::regnamespace::text = ANY
                ('{{merchant,ledger,webhook,payout,rail}}')
        LOOP
            EXECUTE format('ALTER TABLE %s {0} TRIGGER %I', t.relation, t.tgname);
        END LOOP;
    END $$
"""


# what else could be in each column of an entry e of the ledger
OTHER_VALUES = {
    "amount": "amount + 1",
    "available": "available + 1",
    "held": "held + 1",
    "seq": "100000",
    "created_at": "created_at + INTERVAL '1 microsecond'",
    "kind": "CASE kind WHEN 'return' THEN 'release' ELSE 'return' END",
    "payout_id": "CASE WHEN payout_id IS NULL THEN NULL ELSE uuidv7() END",
    "reference": "CASE WHEN reference IS NULL THEN NULL ELSE reference || 'x' END",
    "currency": "'USD'",
    "hash": "sha256(hash)",
    "merchant_id": "(SELECT m.merchant_id FROM merchant.merchants m"
    " WHERE m.merchant_id <> e.merchant_id"
    " LIMIT 1)",
}
