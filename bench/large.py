"""What a large database costs: the bytes of each table and index, and what waits in it longer.

It is filled with copies of payouts that a worker has settled, in the order of time, as they would
have come. Nothing is checked meanwhile: the guards of this one database are switched off.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from bench import processes, settling
from bench.figures import Figure, Figures, Part
from bench.merchants import Merchant
from bench.server import SCRIPTS, Bench, say
from bench.sql import MERCHANTS, numbered

_FEW: Final = 20  # payouts of each merchant in the small one
_STEP: Final = 100  # payouts of each merchant that are copied at once
_FREE: Final = 15 * 10**9  # bytes that stay free on the disk

# What is another in a copy: number i, made.payout_id, at made.at; all else is as it was.
COPIES: Final[Mapping[LiteralString, Mapping[str, LiteralString]]] = {
    "payout.payouts": {
        "payout_id": "made.payout_id",
        "created_at": "made.at",
        "updated_at": "made.at",
        "settled_at": "made.at",
        "held_at": "made.at",
        "send_before": "made.at",
        "utr": "left(s.utr, 4) || left(md5(made.payout_id::text), length(s.utr) - 4)",
    },
    "payout.idempotency_keys": {
        "idempotency_key": "gen_random_uuid()::text",
        "payout_id": "made.payout_id",
        "created_at": "made.at",
        "body": "replace(s.body::text, s.payout_id::text, made.payout_id::text)::json",
    },
    "ledger.entries": {
        "payout_id": "made.payout_id",
        "seq": "s.seq + 2 * made.i",
        "created_at": "made.at",
    },
    "webhook.events": {
        "payout_id": "made.payout_id",
        "seq": "s.seq + 3 * made.i",
        "created_at": "made.at",
    },
    "rail.attempts": {
        "payout_id": "made.payout_id",
        "claimed_at": "made.at",
        "send_before": "made.at",
    },
    "rail.instructions": {
        "payout_id": "made.payout_id",
        "rail_ref": "replace(made.payout_id::text, '-', '')",
        "instructed_at": "made.at",
    },
    "rail.evidence": {
        "payout_id": "made.payout_id",
        "evidence_id": "uuidv7(made.at - now())",
        "recorded_at": "made.at",
        "code": "left(s.code, 4) || left(md5(made.payout_id::text), length(s.code) - 4)",
    },
}

_ANYBODY: Final = f"\\set merchant random(1, {MERCHANTS})\n"
_CALLS: Final = {
    "create_payout": (SCRIPTS / "create.sql").read_text(),
    "balance": _ANYBODY + (SCRIPTS / "balance.sql").read_text(),
    "a merchant's 20 newest payouts": _ANYBODY
    + "SELECT payrail.payout_json(p) FROM payrail.payouts p WHERE p.merchant_id ="
    " (SELECT m.merchant_id FROM public.merchants m WHERE m.n = :merchant)"
    " ORDER BY p.payout_id DESC LIMIT 20;",
    "a look for merchants with due work": "SELECT count(*) FROM payrail.due_merchants();",
    "claim_payouts": _ANYBODY + "SELECT count(c.payout_id) FROM public.merchants m,"
    " payrail.claim_payouts(m.merchant_id, 10) c WHERE m.n = :merchant;",
    "prune, with nothing to remove": "SELECT payrail.prune();",
}


def large(bench: Bench) -> Part:
    """Fill a database, weigh it, and compare what takes longer in it than in a small one."""
    return Part(once=lambda _: _figures(bench, 100_000 if bench.quick else 10_000_000))


def _figures(bench: Bench, payouts: int) -> Figures:
    say("a payout of each merchant, settled by a worker")
    settings = numbered(bench, "small", MERCHANTS)
    with bench.connect("small") as connection:
        ids = connection.execute("SELECT merchant_id::text FROM public.merchants").fetchall()
    with processes.bank() as env, processes.worker(settings, env):
        settling.drain(bench, "small", [Merchant(one, "") for (one,) in ids], 1)
    with bench.connect("postgres") as connection:
        connection.execute("CREATE DATABASE large TEMPLATE small")
    for name, each in (("small", _FEW), ("large", payouts // MERCHANTS)):
        with bench.connect(name) as connection:
            _fill(bench, connection, each)
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    with bench.connect("large") as connection:
        weights = _weigh(connection, payouts)
    compared = _compare(bench, payouts)
    say("its indexes built anew")
    with bench.connect("large") as connection:
        for table in COPIES:
            connection.execute(f"REINDEX TABLE {table}")
        dense = [
            replace(one, what=f"{one.what} built anew")
            for one in _weigh(connection, payouts)
            if one.what.endswith(", indexes")
        ]
    return [*weights, *dense, *compared]


def _fill(bench: Bench, connection: psycopg.Connection, each: int) -> None:
    copies = []
    for number, (table, others) in enumerate(COPIES.items()):
        connection.execute(
            f"ALTER TABLE {table} DISABLE TRIGGER ALL;"
            f" CREATE TABLE public.s{number} AS SELECT * FROM {table} WHERE payout_id IS NOT NULL;"
            f" DELETE FROM {table} WHERE payout_id IS NOT NULL"
        )
        # so that what is new comes last: a page amid others is split in the middle
        connection.execute(f"VACUUM {table}")
        columns = [
            name
            for (name,) in connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped AND attgenerated = ''",
                [table],
            )
        ]
        copies.append(
            sql.SQL(
                "INSERT INTO {} ({}) SELECT {} FROM public.made JOIN {} s USING (merchant_id)"
                " ORDER BY made.i, made.n, s.{}"
            ).format(
                sql.SQL(table),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(
                    sql.SQL(others[name]) if name in others else sql.Identifier("s", name)
                    for name in columns
                ),
                sql.Identifier("public", f"s{number}"),
                sql.Identifier("seq" if "seq" in columns else "merchant_id"),
            )
        )
    connection.execute(
        "CREATE TABLE public.made (i int, n int, merchant_id uuid, payout_id uuid, at timestamptz)"
    )
    for done in range(0, each, _STEP):
        if done % (10 * _STEP) == 0:
            say(f"{done * MERCHANTS:,} of {each * MERCHANTS:,} payouts")
        if shutil.disk_usage(bench.server.home).free < _FREE:
            message = "the disk is almost full"
            raise OSError(message)
        connection.execute("TRUNCATE public.made")
        connection.execute(  # a year of them
            "INSERT INTO public.made SELECT i, n, merchant_id, uuidv7(ago), now() + ago"
            " FROM generate_series(%s::int, %s::int) i, public.merchants,"
            " LATERAL (SELECT (i + n / 1e4 - %s) / %s * INTERVAL '365 days' AS ago)",
            [done, min(done + _STEP, each) - 1, each, each],
        )
        connection.execute("ANALYZE public.made")
        for copy in copies:
            connection.execute(copy)
    for table in COPIES:
        connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


def _weigh(connection: psycopg.Connection, payouts: int) -> Figures:
    """Return the bytes per payout of the tables and indexes that have grown, and of all."""
    rows = connection.execute(
        "SELECT c.oid::regclass::text, pg_table_size(c.oid)::float / %(payouts)s,"
        " sum(pg_relation_size(i.indexrelid))::float / %(payouts)s,"
        " jsonb_object_agg(i.indexrelid::regclass::text,"
        " round(pg_relation_size(i.indexrelid)::numeric / %(payouts)s, 1))"
        " FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid"
        " WHERE c.oid = ANY (%(tables)s::regclass[]) GROUP BY c.oid ORDER BY 2 DESC",
        {"payouts": payouts, "tables": [*COPIES]},
    ).fetchall()
    figures = []
    for table, heap, indexes, detail in rows:
        figures.append(Figure(f"{table}, rows", heap, "bytes a payout"))
        figures.append(Figure(f"{table}, indexes", indexes, "bytes a payout", detail=detail))
    total = sum(one.value for one in figures)
    return [Figure(f"on disk at {payouts:,} payouts", total, "bytes a payout"), *figures]


def _compare(bench: Bench, payouts: int) -> Figures:
    rounds: list[dict[str, list[float]]] = []
    for number in range(3):
        say(f"round {number + 1}/3: calls to a small and to a large database")
        count = 200 if bench.quick else 2_000
        rounds.append(
            {name: bench.latencies(name, count, [*_CALLS.values()]) for name in ("small", "large")}
        )
    figures = []
    for number, what in enumerate(_CALLS):
        small, big = (
            statistics.median(one[name][number] for one in rounds) for name in ("small", "large")
        )
        figures.append(Figure(f"{what}, {MERCHANTS * _FEW:,} payouts", small, "us"))
        figures.append(Figure(f"{what}, {payouts:,} payouts", big, "us", big / small))
    return figures
