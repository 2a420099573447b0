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

from bench import pages, settling
from pyapp.settings import Settings

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


def measure(settings: Settings, entries: int) -> Measured:
    """Upload a list, and download a statement of so many lines."""
    with (
        pages.serving(settings) as site,
        settling.bank() as env,
        settling.worker(settings, env),
        psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection,
    ):
        uploader, short, long = (_client(site, number) for number in range(3))
        made, steps, settled = _upload(uploader)
        connection.execute("SET ROLE payrail_owner")  # what the doors do is measured elsewhere
        _enter(connection, site.ids[1], _SHORT)
        _enter(connection, site.ids[2], entries)
        _forget_peak(site.pid)
        _download(short, _SHORT)
        before = _peak(site.pid)
        _forget_peak(site.pid)
        begun = time.monotonic()
        _download(long, entries)
        streamed = time.monotonic() - begun
        return Measured(made, steps, settled, streamed, (_peak(site.pid) - before) / 1024)


def _client(site: pages.Site, number: int) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{site.port}/api/v1",
        headers={"Authorization": f"Api-Key {site.keys[number]}"},
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
