"""What is long: a list of payouts from its upload to the last one, and a statement of a merchant's.

Both over HTTP, with a worker and a bank that answers at once beside the server.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench import merchants, processes
from bench.figures import Figure, Figures, Limit, Part
from bench.merchants import Merchant
from bench.processes import Api
from bench.server import Bench, say

LINES = 10_000
_SHORT = 10_000  # lines of a statement that the server has written before


@dataclass(frozen=True)
class Measured:
    """Seconds, how often a list's progress was another, and MiB."""

    made: float
    steps: int
    settled: float
    streamed: float
    grown: float


def long_lists(bench: Bench) -> Part:
    """Measure a whole batch and a long statement, over HTTP."""
    return Part(once=lambda _: _figures(bench, 10_000 if bench.quick else 1_000_000))


def _figures(bench: Bench, entries: int) -> Figures:
    say(f"a list of {LINES:,} payouts, and a statement of {entries:,} lines")
    found = _measure(bench, entries)
    return [
        Figure(
            f"a CSV of {LINES:,} lines, until all are payouts",
            found.made,
            "s",
            limit=Limit(30, most=True),
        ),
        Figure("how often its progress was another", found.steps, "times"),
        Figure("the same CSV, until all are settled", found.settled, "s"),
        Figure(f"a statement of {entries:,} lines as CSV", found.streamed, "s"),
        Figure(
            "what the API's memory grows by for it",
            found.grown,
            "MiB",
            limit=Limit(16, most=True),
        ),
    ]


def _measure(bench: Bench, entries: int) -> Measured:
    """Upload a list, and download a statement of so many lines."""
    settings = bench.database("lists")
    crowd = merchants.make(settings, 3)
    with (
        processes.api(settings) as api,
        processes.bank() as env,
        processes.worker(settings, env),
        bench.connect("lists") as connection,
    ):
        uploader, short, long = (_client(api, merchant) for merchant in crowd)
        made, steps, settled = _upload(uploader)
        connection.execute("SET ROLE payrail_owner")  # what the doors do is measured elsewhere
        _enter(connection, crowd[1].id, _SHORT)
        _enter(connection, crowd[2].id, entries)
        _forget_peak(api.pid)
        _download(short, _SHORT)
        before = _peak(api.pid)
        _forget_peak(api.pid)
        begun = time.monotonic()
        _download(long, entries)
        streamed = time.monotonic() - begun
        return Measured(made, steps, settled, streamed, (_peak(api.pid) - before) / 1024)


def _client(api: Api, merchant: Merchant) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{api.port}/api/v1",
        headers={"Authorization": f"Api-Key {merchant.key}"},
        timeout=300,
        trust_env=False,
    )


def _upload(client: httpx.Client) -> tuple[float, int, float]:
    """Return the seconds until all are made, in how many steps, and until the last is paid."""
    rows = (f"{number % 900 + 1}.50,demo-bank-account,wage-{number}" for number in range(LINES))
    sheet = "\n".join(["amount,bank_account_id,reference", *rows])
    begun = time.monotonic()
    answer = client.post(
        "/batches/",
        content=sheet,
        headers={"Content-Type": "text/csv", "Idempotency-Key": "wages"},
    )
    assert answer.status_code == 201, answer.text
    seen = set[int]()
    batch: dict[str, Any] = answer.json()
    while batch["status"] != "completed":
        time.sleep(0.1)
        batch = client.get(f"/batches/{batch['id']}/").json()
        seen.add(batch["accepted"])
    made = time.monotonic() - begun
    assert batch["accepted"] == LINES
    while any(
        client.get("/payouts/", params={"status": status, "limit": 1}).json()["data"]
        for status in ("pending", "processing")
    ):
        time.sleep(0.1)
    return made, len(seen), time.monotonic() - begun


def _enter(connection: psycopg.Connection, merchant_id: str, entries: int) -> None:
    """Give a merchant a ledger of so many lines."""
    for first in range(0, entries, 10_000):
        connection.execute(
            "INSERT INTO ledger.entries (merchant_id, currency, kind, amount, reference)"
            " SELECT %s, 'INR', 'credit', 1, 'r' || n FROM generate_series(%s::int, %s::int) n",
            [merchant_id, first + 1, min(first + 10_000, entries)],
        )


def _download(client: httpx.Client, lines: int) -> None:
    """Read a statement as it comes, and keep nothing of it."""
    query = {"since": "2020-01-01", "until": "9999-12-31", "format": "csv"}
    count = 0
    with client.stream("GET", "/statements/", params=query) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            count += chunk.count(b"\n")
    assert count > lines


def _forget_peak(pid: int) -> None:
    """Let a process' peak begin with what it has now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> int:
    """Return the most memory that a process has had since, in KiB (proc_pid_status(5))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])
