"""The doors in SQL, by pgbench: how many payouts a second, and what a long ledger costs."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path

from bench.figures import Figure, Figures, Limit, Part, Run
from bench.server import SCRIPTS, Bench, say
from pyapp.settings import Settings

MERCHANTS = 1000
_PEERS = Path(__file__).parent / "peers"
_CREATE = str(SCRIPTS / "create.sql")
_CREATE_ONE = str(SCRIPTS / "create_one.sql")
_BATCH = str(SCRIPTS / "batch.sql")


def creates(bench: Bench) -> Part:
    """Compare the creation of payouts with the yardstick."""
    say("merchants for SQL")
    numbered(bench, "creates", MERCHANTS)
    bench.rate("creates", "-c", "16", "-f", _CREATE)  # every table is filled a little
    with bench.connect("creates") as connection:
        connection.execute("VACUUM ANALYZE")
    one = ("-D", "merchant=1", "-f")
    return Part(
        [
            Run(
                "SQL create_payout, 16 clients, 1000 merchants",
                lambda: bench.rate("creates", "-c", "16", "-f", _CREATE),
                Limit(0.7, 1.0),
            ),
            Run(
                "SQL create_payout, 16 clients, one merchant",
                lambda: bench.rate("creates", "-c", "16", *one, _CREATE_ONE),
            ),
            Run(
                "SQL create_payouts, 100 a call, one merchant",
                lambda: 100 * bench.rate("creates", "-c", "4", *one, _BATCH),
                Limit(2.0, 3.0),
            ),
        ]
    )


def peers(bench: Bench) -> Part:
    """Compare what others do in SQL with the yardstick: a transfer between two of 1000 accounts."""
    runs = []
    for peer in ("pgledger", "tb_perf"):
        say(f"accounts of {peer}")
        bench.create(peer)
        with bench.connect(peer) as connection:
            connection.execute("SET search_path = public")
            connection.execute((_PEERS / f"{peer}.sql").read_text())
            connection.execute("VACUUM ANALYZE")
        script = str(_PEERS / f"{peer}_transfer.sql")
        runs.append(
            Run(
                f"{peer.replace('_', '-')}'s transfer, 16 clients, 1000 accounts",
                partial(bench.rate, peer, "-c", "16", "-f", script),
            )
        )
    return Part(runs)


def growth(bench: Bench) -> Part:
    """Compare one merchant's cost at 1,000 ledger entries with that at a million."""
    return Part(once=lambda _: _growth(bench, 10_000 if bench.quick else 1_000_000))


def _growth(bench: Bench, entries: int) -> Figures:
    short, long = 1, 2
    numbered(bench, "growth", 2)
    with bench.connect("growth") as connection:
        for merchant, wanted in ((short, 1_000), (long, entries)):
            say(f"a merchant with {wanted:,} ledger entries")
            for first in range(2, wanted + 1, 10_000):  # it has one
                connection.execute(
                    "SELECT count(*) FROM generate_series(%s::int, %s::int) i, public.merchants m,"
                    " payrail.credit_merchant(m.merchant_id, 1, 'INR', 'credit ' || i) c"
                    " WHERE m.n = %s",
                    [first, min(first + 9_999, wanted), merchant],
                )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    figures = []
    for what, script, count in (
        ("balance", "balance.sql", 5_000),
        ("create", "create_one.sql", 1_000),
    ):
        text = (SCRIPTS / script).read_text()
        scripts = [f"\\set merchant {merchant}\n{text}" for merchant in (short, long)]
        pairs = [bench.latencies("growth", count, scripts) for _ in range(3)]
        before, after = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = [slow / fast for fast, slow in pairs]
        figures += [
            Figure(f"{what} at 1,000 entries", before, "us"),
            Figure(
                f"{what} at {entries:,} entries",
                after,
                "us",
                statistics.median(ratios),
                Limit(1.1, 1.02, most=True),
                ratios,
            ),
        ]
    return figures


def numbered(bench: Bench, database: str, count: int) -> Settings:
    """Make a database of merchants with money, numbered for pgbench."""
    settings = bench.database(database)
    with bench.connect(database) as connection:
        connection.execute("CREATE TABLE public.merchants (n int PRIMARY KEY, merchant_id uuid)")
        connection.execute(
            "INSERT INTO public.merchants SELECT i, (payrail.create_merchant('m' || i,"
            " ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid)).merchant_id"
            " FROM generate_series(1, %s) i",
            [count],
        )
        connection.execute(
            "SELECT count(*) FROM public.merchants m, payrail.add_bank_account("
            "m.merchant_id, 'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001') b"
        )
        connection.execute(
            "SELECT count(*) FROM public.merchants m,"
            " payrail.credit_merchant(m.merchant_id, 1000000000000000, 'INR', 'opening') c"
        )
    return settings
