"""An upgrade while the work goes on: of two versions, either's shell on either's database.

Only the database of this version has all that this version's shell asks for; until it is migrated,
what can not be done waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from bench.large import COPIES
from pyapp import migrate
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.banks import Bank
from tests.conftest import Database, Merchant, new_merchant
from tests.desk import violations
from tests.upgrades.make import SHELL
from tests.upgrades.test_upgrades import restored
from tests.web.client import Client
from tests.workers import until

# `ROWS=1000000 pytest tests/upgrades/test_online.py` is the long run
ROWS: Final = int(os.environ.get("ROWS", "2000"))
LAST: Final = f"{len([*ROOT.glob('migrations/*.sql')]) - 1:04}.sql"
REQUEST: Final = b'{"amount_paise":100,"bank_account_id":"demo-bank-account"}'


@pytest.fixture
def last(database: Database) -> Iterator[Settings]:
    """A database as the last version left it."""
    with restored(database, LAST) as settings:
        yield settings


@pytest.fixture
def last_shell(tmp_path: Path) -> Path:
    """Where the last version's Python is."""
    folder = tmp_path / "last"
    with tarfile.open(SHELL) as tar:
        tar.extractall(folder, filter="data")
    return folder


@contextmanager
def running(shell: Path, database: Database, bank: Bank, log: Path) -> Iterator[int]:
    """Have this version's API and worker run; yield the API's port."""
    with servers.port() as port, log.open("a") as file:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "pyapp", command],
                env={**database.env, **bank.env, "PORT": str(port), "PYTHONPATH": str(shell)},
                cwd=shell,
                stdin=subprocess.DEVNULL,
                stderr=file,
            )
            for command in ("serve", "work")
        ]
        try:
            yield port
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()


def create(client: Client, count: int) -> None:
    """Have so many payouts created; the API may only just have been started."""

    def ready() -> bool:
        try:
            return client("GET", "//readyz").status == 200
        except OSError:
            return False

    until(ready)
    for number in range(count):
        answer = client.create(REQUEST, f"key-{number}")
        assert answer.status == 201
        assert client.create(REQUEST, f"key-{number}").body == answer.body


def statuses(database: Database, merchant: Merchant) -> list[str]:
    with database.connect("admin") as admin:
        found = admin.execute(
            "SELECT status FROM payout.payouts WHERE merchant_id = %s", [merchant.merchant_id]
        )
        return [row["status"] for row in found]


def test_the_last_versions_shell_pays_on_this_versions_database(
    database: Database, bank: Bank, last_shell: Path, tmp_path: Path
) -> None:
    merchant = new_merchant(database)
    with running(last_shell, database, bank, tmp_path / "log") as port:
        client = Client("127.0.0.1", port, merchant.secret)
        create(client, 5)
        until(lambda: statuses(database, merchant) == ["settled"] * 5)
        client.close()
    with database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def test_this_versions_shell_takes_payouts_on_the_last_database_and_pays_once_migrated(
    last: Settings, bank: Bank, tmp_path: Path
) -> None:
    database = Database(last)
    merchant = new_merchant(database)
    with running(ROOT, database, bank, tmp_path / "log") as port:
        client = Client("127.0.0.1", port, merchant.secret)
        create(client, 5)
        migrate.migrate(last, "demo", say=lambda _: None)
        until(lambda: statuses(database, merchant) == ["settled"] * 5)
        client.close()
    with database.connect("payrail_auditor") as auditor:
        assert "double_payout" not in violations(auditor)


def test_nobody_waits_a_second_for_a_lock_while_a_large_database_is_migrated(
    last: Settings, record_property: Any
) -> None:
    """PostgreSQL refuses whoever waits that long: nobody."""
    database = Database(last)
    fill(last, ROWS // 2)  # a payout has two entries
    merchant = new_merchant(database)
    over = Event()
    with ThreadPoolExecutor(2) as pool:
        paying = pool.submit(pay, database, merchant.merchant_id, over)
        reading = pool.submit(read, database, merchant.merchant_id, over)
        try:
            migrate.migrate(last, "demo", say=lambda _: None)
        finally:
            over.set()
        paid, seen = paying.result(), reading.result()
    record_property("rows", ROWS)
    record_property("calls", paid + seen)
    assert paid
    assert seen


def pay(database: Database, merchant_id: UUID, over: Event) -> int:
    """Create payouts, until it is over or one had to wait for a second."""
    made = 0
    with impatient(database, "payrail_api") as api:
        while not over.is_set() or not made:
            api.execute(
                "SELECT payrail.create_payout(%s, %s, 1, 'demo-bank-account')",
                [merchant_id, str(uuid4())],
            )
            made += 1
    return made


def read(database: Database, merchant_id: UUID, over: Event) -> int:
    """Read what a merchant may read."""
    made = 0
    with impatient(database, "payrail_api") as api:
        while not over.is_set() or not made:
            api.execute("SELECT FROM payrail.payouts WHERE merchant_id = %s", [merchant_id])
            api.execute("SELECT FROM payrail.ledger_entries WHERE merchant_id = %s", [merchant_id])
            api.execute("SELECT FROM payrail.events WHERE merchant_id = %s", [merchant_id])
            made += 1
    return made


def impatient(database: Database, role: str) -> psycopg.Connection[Any]:
    options = "-c lock_timeout=1s"
    return psycopg.connect(database.conninfo(role), autocommit=True, options=options)


def fill(settings: Settings, payouts: int) -> None:
    """Copy a settled payout, with all that there is of it, so many times."""
    with psycopg.connect(settings.database_url or "", autocommit=True) as admin:
        (template,) = admin.execute(
            "SELECT payout_id FROM payout.payouts WHERE status = 'settled' LIMIT 1"
        ).fetchall()
        admin.execute(
            "CREATE TABLE public.made AS SELECT i, uuidv7(i * INTERVAL '1 ms') AS payout_id,"
            " now() AS at FROM generate_series(1000, %s) i",
            [999 + payouts],
        )
        for table, differing in COPIES.items():
            others = {**differing, "seq": "s.seq + 100 * made.i"}  # it had others between its own
            name = sql.SQL(table)
            admin.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(name))
            columns = [
                column
                for (column,) in admin.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass"
                    " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                    [table],
                )
            ]
            values = [
                sql.SQL(others[one]) if one in others else sql.Identifier("s", one)
                for one in columns
            ]
            copied = admin.execute(
                sql.SQL(
                    "INSERT INTO {} ({}) SELECT {} FROM public.made JOIN {} s ON s.payout_id = %s"
                ).format(
                    name,
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join(values),
                    name,
                ),
                template,
            )
            assert copied.rowcount >= payouts
            admin.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER ALL").format(name))
