"""What a settled payout leaves on the disk: in all tables, with their indexes and TOAST."""

from __future__ import annotations

import psycopg

from bench import merchants, processes, settling
from bench.figures import Figure, Figures, Limit, Part
from bench.server import Bench, say

_CROWD = 100


def disk(bench: Bench) -> Part:
    """Measure by how much the database grows for each payout that a worker settles."""
    return Part(once=lambda _: _figures(bench, 2_000 if bench.quick else 20_000))


def _figures(bench: Bench, payouts: int) -> Figures:
    say(f"what {payouts:,} settled payouts leave on the disk")
    settings = bench.database("disk")
    crowd = merchants.make(settings, _CROWD)
    with bench.connect("disk") as connection:
        before = _sizes(connection)
        with processes.bank() as env, processes.worker(settings, env):
            settling.drain(bench, "disk", crowd, payouts // _CROWD)
        connection.execute(  # a worker deletes its jobs itself: none should be left
            "DELETE FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')"
        )
        after = _sizes(connection)
    grown = {name: (size - before[name]) / payouts for name, size in after.items()}
    detail = dict(sorted(grown.items(), key=lambda one: -one[1]))
    return [
        Figure(
            "on disk per settled payout",
            sum(grown.values()),
            "bytes",
            limit=Limit(2_500, 1_500, most=True),
            detail={name: size for name, size in detail.items() if size},
        )
    ]


def _sizes(connection: psycopg.Connection) -> dict[str, int]:
    """Return the bytes of each table, with its indexes and what is stored beside it."""
    connection.execute("CHECKPOINT")
    return dict(
        connection.execute(
            "SELECT schemaname || '.' || tablename,"
            " pg_total_relation_size(format('%I.%I', schemaname, tablename))"
            " FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    )
