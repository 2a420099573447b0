"""A bank that drops calls and repeats itself, a worker that is killed again and again, under load.

`SECONDS=60 pytest tests/faults/test_chaos.py --log-cli-level=INFO` is the long run.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pyapp.settings import ROOT
from pyapp.web import callbacks
from tests import banks, servers
from tests.banks import Bank
from tests.conftest import Database
from tests.desk import Desk, violations
from tests.workers import until

SECONDS: Final = float(os.environ.get("SECONDS", "6"))
LIFE: Final = min(5.0, SECONDS / 3)  # seconds after which the worker is killed
SERVE: Final = ("-m", "pyapp", "serve")
A_SHORT_LEASE: Final = """
from datetime import timedelta
from pyapp import settings
from pyapp.jobs import app, dispatch
dispatch.LEASE = timedelta(seconds=4)
app.run(settings.load())
"""
WORK: Final = ("-c", A_SHORT_LEASE)
OPEN: Final = """
SELECT count(*) AS open FROM payrail.payouts WHERE status IN ('pending', 'processing')
"""
TAIL: Final = 800  # seconds; who was tried ten times is asked about after up to 640
CROWD: Final = 200  # payouts under way at a time

log = logging.getLogger(__name__)


def test_after_a_minute_of_everything_the_banks_report_has_no_difference(
    database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        servers.port() as port,
        banks.bank(
            SANDBOX_CALLBACK_URL=f"http://127.0.0.1:{port}{callbacks.PATH}/", SANDBOX_SEED="7"
        ) as bank,
        Desk(database, 100_000_000) as desk,
    ):
        bank.faults(drop=0.3, duplicate_callbacks=0.1, reorder_callbacks=True, seed=7)
        add_accounts(desk)
        env = {**database.env, **bank.env, "PORT": str(port)}
        with start(SERVE, env, tmp_path / "api.log") as api:
            try:
                kills = live(desk, env, tmp_path / "worker.log")
                bank.faults(drop=0.0, duplicate_callbacks=0.0, reorder_callbacks=False, seed=7)
                with start(WORK, env, tmp_path / "worker.log") as worker:
                    try:
                        until(lambda: under_way(desk) == 0, TAIL)
                        worker.terminate()
                        worker.wait(60)
                    finally:
                        worker.kill()
            finally:
                api.kill()
        statuses = Counter(row["status"] for row in desk.table("payouts"))
        log.info("killed the worker %s times; %s", kills, dict(statuses))
        record_property("kills", kills)
        record_property("payouts", statuses.total())
        assert kills >= 2
        assert {*statuses} == {"settled", "failed"}
        assert all(order["executions"] <= 1 for order in bank.instructions().values())
        assert reconcile(desk, bank, tmp_path) == {"matched": statuses["settled"]}
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}


def add_accounts(desk: Desk) -> None:
    for ending in ("0001", "0002", "0101", "0308", "0501"):
        desk.call(
            "payrail_operator",
            "add_bank_account",
            bank_account_id=f"account-{ending}",
            holder_name="Asha Rao",
            account_number=f"50100000{ending}",
            ifsc="HDFC0000001",
        )


def live(desk: Desk, env: dict[str, str], out: Path) -> int:
    """Create payouts while workers live and die; return how many were killed."""
    dice = random.Random(7)
    ends = time.monotonic() + SECONDS
    numbers = itertools.count()
    kills = 0
    while time.monotonic() < ends:
        with start(WORK, env, out) as worker:
            dies = time.monotonic() + LIFE
            while time.monotonic() < dies:
                if under_way(desk) > CROWD:
                    time.sleep(0.02)
                    continue
                account = dice.choices(("0001", "0002", "0101", "0308", "0501"), (60, 10, 20, 2, 8))
                name = f"account-{account[0]}"
                requests = [(f"c{next(numbers)}", 100, "INR", name, None, None) for _ in range(3)]
                desk.create_batch(*requests)
            worker.send_signal(signal.SIGKILL)
            worker.wait(60)
            kills += 1
    return kills


def under_way(desk: Desk) -> int:
    (row,) = desk.sql("admin", OPEN, [])
    return int(row["open"])


def start(arguments: tuple[str, ...], env: dict[str, str], out: Path) -> subprocess.Popen[bytes]:
    with out.open("a") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=file,
        )


def reconcile(desk: Desk, bank: Bank, folder: Path) -> Counter[str]:
    """Import the bank's reports of today (and of yesterday, around midnight)."""
    found: Counter[str] = Counter()
    today = datetime.now(UTC).date()
    for day in (today - timedelta(days=1), today):
        report: Any = bank.ask("GET", f"/v1/reports/{day}")
        if not report["entries"]:
            continue
        file = folder / f"{day}.json"
        file.write_text(json.dumps(report))
        done = subprocess.run(
            [sys.executable, "-m", "pyapp", "reconcile", str(file), "--json"],
            env=desk.database.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for line in json.loads(done.stdout)["summary"]:
            found[line["result"]] += line["count"]
    return found
