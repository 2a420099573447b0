"""Whatever version a database is of, one migrate brings it here, with all that is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from pyapp import migrate
from pyapp.settings import Settings
from tests.conftest import Database
from tests.desk import violations
from tests.upgrades.make import CLAIM, kept

DUMPS: Final = kept()


@pytest.fixture(params=sorted(DUMPS), ids=lambda name: name.removesuffix(".sql"))
def old(request: pytest.FixtureRequest, database: Database) -> Iterator[Settings]:
    """A database as a version left it."""
    with restored(database, request.param) as settings:
        yield settings


@contextmanager
def restored(database: Database, dump: str) -> Iterator[Settings]:
    """Have a database as a version left it; the roles are there, as on a server that has others."""
    name = psycopg.conninfo.conninfo_to_dict(database.conninfo("admin"))["dbname"]
    emptied = f"{name}_old"
    with psycopg.connect(database.settings.conninfo("admin"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {emptied} TEMPLATE template0".encode())
    url = psycopg.conninfo.make_conninfo(database.conninfo("admin"), dbname=emptied)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(DUMPS[dump])
    yield Settings(database_url=url)
    with psycopg.connect(database.settings.conninfo("admin"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {emptied} WITH (FORCE)".encode())


def rows(settings: Settings, query: str, parameters: Any = None) -> list[dict[str, Any]]:
    with psycopg.connect(
        settings.database_url or "", autocommit=True, row_factory=dict_row
    ) as admin:
        admin.execute("SET search_path = procrastinate, public")
        cursor = admin.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


BALANCES: Final = (
    "SELECT DISTINCT ON (merchant_id, currency) merchant_id, currency, seq, available, held"
    " FROM ledger.entries ORDER BY merchant_id, currency, seq DESC"
)
STATES: Final = "SELECT payout_id, status, amount::bigint, utr FROM payout.payouts ORDER BY 1"


def test_a_migrate_keeps_all_that_an_earlier_version_left(old: Settings) -> None:
    balances, states = rows(old, BALANCES), rows(old, STATES)
    asked = rows(old, "SELECT a.*, m.merchant_id FROM public.asked a, public.merchant m")
    assert {"pending", "settled", "cancelled"} <= {row["status"] for row in states}
    migrate.migrate(old, "demo", say=lambda _: None)

    assert (rows(old, BALANCES), rows(old, STATES)) == (balances, states)
    database = Database(old)
    with database.connect("payrail_auditor") as auditor:
        # nobody has worked since the dump was made
        assert {*violations(auditor)} <= {"overdue_work", "unescalated"}
    # the same keys are answered as they were, byte for byte
    for one in asked:
        (again,) = rows(
            old,
            "SELECT (a).body::text AS body, (a).replayed FROM (SELECT payrail.create_payout("
            "%(merchant_id)s, %(key)s, %(amount)s, 'demo-bank-account') AS a) x",
            one,
        )
        assert (again["body"], again["replayed"]) == (one["answer"], True)
    # what was open goes on
    open_before = {row["payout_id"] for row in states if row["status"] == "pending"}
    claimed = {row["payout_id"] for row in rows(old, CLAIM)}
    assert open_before <= claimed | settled(old)
    for payout_id in sorted(claimed):
        settle(old, payout_id)
    with database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def settled(old: Settings) -> set[UUID]:
    return {row["payout_id"] for row in rows(old, STATES) if row["status"] == "settled"}


def settle(old: Settings, payout_id: UUID) -> None:
    (done,) = rows(
        old,
        "SELECT payrail.settle_payout(merchant_id, %s, %s)::text AS done FROM public.merchant",
        [payout_id, payout_id.hex],
    )
    assert done
    assert payout_id in settled(old)
