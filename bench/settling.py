"""From created to settled: a worker and a bank that answers at once, over real HTTP."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg

from pyapp.settings import ROOT, Settings
from tests import servers

CROWD = 1000
ACCOUNT = "'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001'"


@dataclass(frozen=True)
class Settled:
    """How many payouts went all the way how fast, and how long one takes on an idle system."""

    one_merchant: float  # per second
    many_merchants: float
    median: float  # milliseconds from created to settled
    slowest_tenth: float


def measure(settings: Settings, payouts: int) -> Settled:
    """Settle that many payouts of one merchant, then of a thousand, then single ones."""
    with (
        psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection,
        bank() as env,
    ):
        connection.execute("SET search_path = procrastinate")  # its triggers name no schema
        merchants = [_merchant(connection) for _ in range(CROWD)]
        with worker(settings, env):
            _settle(connection, merchants[0])  # the first one waits for the worker to start
            one = _rate(connection, merchants[:1], payouts)
            many = _rate(connection, merchants, payouts // CROWD or 1)
            waits = [_settle(connection, merchants[0]) for _ in range(100)]
    return Settled(one, many, statistics.median(waits), statistics.quantiles(waits, n=10)[-1])


def _merchant(connection: psycopg.Connection) -> UUID:
    row = connection.execute(
        "SELECT m.merchant_id FROM payrail.create_merchant('Settling') m"
    ).fetchone()
    assert row is not None
    connection.execute(f"SELECT payrail.add_bank_account(%s, {ACCOUNT})", [row[0]])
    connection.execute("SELECT payrail.credit_merchant(%s, 10000000, 'INR', 'opening')", [row[0]])
    merchant_id: UUID = row[0]
    return merchant_id


def _rate(connection: psycopg.Connection, merchants: list[UUID], each: int) -> float:
    """Create payouts while a worker settles them; return how many a second go all the way.

    From before the first is created until the last is settled.
    """
    began = connection.execute("SELECT clock_timestamp()").fetchone()
    assert began is not None
    for merchant_id in merchants:
        left = each
        while left:
            size = min(left, 500)
            connection.execute(
                "SELECT count(*) FROM payrail.create_payouts(%s, ARRAY(SELECT ROW(uuidv7()::text,"
                " 100, 'INR', 'demo-bank-account', NULL, NULL, NULL, NULL, NULL, NULL,"
                " NULL)::payrail.payout_request FROM generate_series(1, %s)))",
                [merchant_id, size],
            )
            left -= size
    expected = each * len(merchants)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        row = connection.execute(
            "SELECT count(*), extract(epoch FROM max(settled_at) - %(began)s)::float"
            " FROM payrail.payouts WHERE status = 'settled' AND created_at > %(began)s",
            {"began": began[0]},
        ).fetchone()
        assert row is not None
        if row[0] == expected:
            return expected / float(row[1])
        time.sleep(0.5)
    message = "the worker does not settle everything"
    raise TimeoutError(message)


def _settle(connection: psycopg.Connection, merchant: UUID) -> float:
    """Create one payout; return the milliseconds until it was settled."""
    row = connection.execute(
        "SELECT (body ->> 'id')::uuid FROM payrail.create_payout(%s, %s, 1, 'demo-bank-account')",
        [merchant, str(uuid4())],
    ).fetchone()
    assert row is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = connection.execute(
            "SELECT 1000 * extract(epoch FROM settled_at - created_at)::float"
            " FROM payrail.payouts"
            " WHERE merchant_id = %s AND payout_id = %s AND status = 'settled'",
            [merchant, row[0]],
        ).fetchone()
        if found is not None:
            return float(found[0])
        time.sleep(0.005)
    message = "no worker settles the payout"
    raise TimeoutError(message)


@contextmanager
def bank() -> Iterator[dict[str, str]]:
    """Run a bank with its books on a disk; return what a worker must know of it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, servers.port() as port:
        env = {"SANDBOX_BANK_URL": f"http://127.0.0.1:{port}"}
        more = {"SANDBOX_BANK_PORT": str(port), "SANDBOX_BANK_FILE": str(Path(folder) / "books")}
        with _process("sandbox-bank", {**env, **more}):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    httpx.get(f"{env['SANDBOX_BANK_URL']}/healthz", trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield env


@contextmanager
def worker(settings: Settings, env: dict[str, str]) -> Iterator[None]:
    """Run a worker process; `env` tells it of its bank."""
    with _process("work", {**env, "DATABASE_URL": settings.conninfo("admin")}):
        yield


@contextmanager
def _process(command: str, env: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "pyapp", command],
        env={**os.environ, **env},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
