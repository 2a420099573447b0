"""From created to settled: a worker and a bank that answers at once, over real HTTP."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import uuid4

import psycopg

from bench import merchants, processes
from bench.figures import Figure, Figures, Limit, Part, Run
from bench.merchants import Merchant
from bench.server import Bench, say

_CROWD = 1000
_CALLERS = 4  # who create payouts at once


def settled(bench: Bench) -> Part:
    """Compare payouts that go all the way with the yardstick."""
    say("merchants whose payouts are settled")
    settings = bench.database("settled")
    crowd = merchants.make(settings, _CROWD)
    payouts = 2_000 if bench.quick else 10_000

    def rate(of: Sequence[Merchant]) -> float:
        with (
            bench.connect("settled") as connection,
            processes.bank() as env,
            processes.worker(settings, env),
        ):
            settle(connection, crowd[0])  # waits until the worker has started
            return payouts / drain(bench, "settled", of, payouts // len(of))

    limit = Limit(0.3, 0.5)
    return Part(
        [
            Run("created to settled, 1000 merchants", lambda: rate(crowd), limit),
            Run("created to settled, one merchant", lambda: rate(crowd[:1]), limit),
        ]
    )


def drain(bench: Bench, dbname: str, of: Sequence[Merchant], each: int) -> float:
    """Create so many payouts of each merchant while a worker settles them.

    Return the seconds from before the first is created until the last is settled.
    """
    calls = [(merchant, min(500, each - done)) for done in range(0, each, 500) for merchant in of]
    callers = min(_CALLERS, len(of))
    with bench.connect(dbname) as connection:
        began = _now(connection)
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda n: _create(bench, dbname, calls[n::callers]), range(callers)))
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            row = connection.execute(
                "SELECT count(*), extract(epoch FROM max(settled_at) - %(began)s)::float"
                " FROM payrail.payouts WHERE status = 'settled' AND created_at > %(began)s",
                {"began": began},
            ).fetchone()
            assert row is not None
            if row[0] == each * len(of):
                return float(row[1])
            time.sleep(0.5)
    message = "the worker does not settle everything"
    raise TimeoutError(message)


def idle(bench: Bench) -> Part:
    """Measure how long a single payout waits on an idle system."""
    return Part(once=lambda _: _idle(bench))


def settle(connection: psycopg.Connection, merchant: Merchant) -> float:
    """Create one payout; return the milliseconds until it was settled."""
    payout = _create_one(connection, merchant)
    return _waited(
        connection,
        "SELECT 1000 * extract(epoch FROM settled_at - created_at)::float FROM payrail.payouts"
        " WHERE merchant_id = %s AND payout_id = %s AND status = 'settled'",
        merchant,
        payout,
    )


def _idle(bench: Bench) -> Figures:
    say("single payouts, and an idle worker")
    settings = bench.database("idle")
    (merchant,) = merchants.make(settings, 1)
    count = 20 if bench.quick else 100
    with bench.connect("idle") as connection, processes.bank() as env:
        with processes.worker(settings, env):
            claims = [_claim(connection, merchant) for _ in range(count + 1)][1:]
            waits = [settle(connection, merchant) for _ in range(count)]
        with processes.worker(settings, env):
            deaf = [_claim(connection, merchant, alarm=False) for _ in range(count // 5 + 1)][1:]
    return [
        Figure(
            "claimed by an idle worker, median",
            statistics.median(claims),
            "ms",
            limit=Limit(50, most=True),
        ),
        Figure(
            f"claimed without an alarm, slowest of {len(deaf)}",
            max(deaf),
            "ms",
            limit=Limit(2000, most=True),
        ),
        Figure(
            "created to settled, idle, median",
            statistics.median(waits),
            "ms",
            limit=Limit(150, most=True),
        ),
        Figure(
            "created to settled, idle, slowest tenth", statistics.quantiles(waits, n=10)[-1], "ms"
        ),
    ]


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _create(bench: Bench, dbname: str, calls: Sequence[tuple[Merchant, int]]) -> None:
    with bench.connect(dbname) as connection:
        for merchant, size in calls:
            row = connection.execute(
                "SELECT count(*) FILTER (WHERE a.status = 201)"
                " FROM payrail.create_payouts(%s, ARRAY(SELECT ROW(uuidv7()::text,"
                " 100, 'INR', 'demo-bank-account', NULL, NULL, NULL, NULL, NULL, NULL,"
                " NULL)::payrail.payout_request FROM generate_series(1, %s))) a",
                [merchant.id, size],
            ).fetchone()
            assert row == (size,)


def _create_one(connection: psycopg.Connection, merchant: Merchant, *, alarm: bool = True) -> str:
    with connection.transaction():
        row = connection.execute(
            "SELECT body ->> 'id' FROM payrail.create_payout(%s, %s, 1, 'demo-bank-account')",
            [merchant.id, str(uuid4())],
        ).fetchone()
        if not alarm:
            connection.execute("DELETE FROM procrastinate.procrastinate_jobs WHERE status = 'todo'")
    assert row is not None
    payout: str = row[0]
    return payout


def _claim(connection: psycopg.Connection, merchant: Merchant, *, alarm: bool = True) -> float:
    """Create a payout; return the milliseconds that it was pending."""
    payout = _create_one(connection, merchant, alarm=alarm)
    return _waited(
        connection,
        "SELECT 1000 * extract(epoch FROM c.created_at - n.created_at)::float"
        " FROM payrail.payout_history n"
        " JOIN payrail.payout_history c USING (merchant_id, payout_id)"
        " WHERE n.merchant_id = %s AND n.payout_id = %s AND n.seq = 1 AND c.seq = 2",
        merchant,
        payout,
    )


def _waited(connection: psycopg.Connection, query: str, merchant: Merchant, payout: str) -> float:
    """Ask until there is an answer, and return it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        row = connection.execute(query, [merchant.id, payout]).fetchone()
        if row is not None:
            return float(row[0])
        time.sleep(0.005)
    message = "no worker takes the payout"
    raise TimeoutError(message)
