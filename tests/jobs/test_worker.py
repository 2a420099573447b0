"""Worker processes: what wakes them, what they survive, how they end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from procrastinate import App

from pyapp.jobs.tasks import create_app
from pyapp.migrate import migrate
from pyapp.settings import Settings
from tests import servers
from tests.banks import Bank
from tests.conftest import Database
from tests.desk import OPENING, Desk
from tests.rails.test_files import PROFILE, account
from tests.sql.test_pruning import age
from tests.workers import BLIND, DEAF, RUN, until, working

# A bank that says when it is called, and answers when something comes on stdin. The sweep finds the
# work, so that Procrastinate's own patience with its job proves nothing.
SLOW_BANK = """
import asyncio, sys
from pyapp import settings
from pyapp.jobs import app, dispatch, teller
from pyapp.rails.sandbox import Sandbox
submit = Sandbox.submit
async def slowly(*arguments):
    print("called", file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return await submit(*arguments)
Sandbox.submit = slowly
teller.CALL_DEADLINE = 3600
app.hear = lambda *_: asyncio.sleep(3600)
app.run(settings.load())
"""


# An alarm that rings while Procrastinate fetches and has found nothing. Whoever writes to stdin
# lets the fetch return. Then nothing but our own poll can find the job.
MISSED = f"""
import asyncio, sys
from procrastinate.manager import JobManager
from procrastinate.worker import Worker
from pyapp.jobs import app
fetch, hear = JobManager.fetch_job, Worker._handle_notification
async def slowly(*arguments, **named):
    job = await fetch(*arguments, **named)
    if job is None:
        JobManager.fetch_job = fetch
        await asyncio.to_thread(sys.stdin.readline)
    return job
async def aloud(*arguments, **named):
    await hear(*arguments, **named)
    print("rang", file=sys.stderr, flush=True)
JobManager.fetch_job, Worker._handle_notification = slowly, aloud
Worker._periodic_deferrer = lambda _: asyncio.sleep(3600)  # the only job is the alarm
init = Worker.__init__
def patient(*arguments, **named):
    init(*arguments, **{{"fetch_job_polling_interval": 3600, **named}})
Worker.__init__ = patient
app.SWEEP = 3600
{RUN}
"""


pytestmark = pytest.mark.usefixtures("bank")


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def events(log: Path) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]


def listeners(desk: Desk) -> set[int]:
    """Return the processes of PostgreSQL's that listen for the alarm."""
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
    )
    return {row["pid"] for row in desk.sql("admin", query)}


def settled(desk: Desk, payout_id: Any) -> Callable[[], bool]:
    return lambda: bool(desk.see(payout_id)["status"] == "settled")


def test_an_alarm_wakes_the_worker(desk: Desk, log: Path) -> None:
    with working(desk.database.env, log, "-c", BLIND):
        until(lambda: listeners(desk))
        for _ in range(3):
            until(settled(desk, desk.payout()))


def test_a_lost_alarm_costs_a_sweep(desk: Desk, log: Path) -> None:
    with working(desk.database.env, log, "-c", DEAF):
        until(lambda: "worker started" in events(log))
        for _ in range(2):
            until(settled(desk, desk.payout()))
    (waiting,) = desk.sql("admin", "SELECT status FROM procrastinate.procrastinate_jobs")
    assert waiting["status"] == "todo"


def test_an_alarm_that_procrastinate_misses_is_soon_found(desk: Desk, log: Path) -> None:
    with working(desk.database.env, log, "-c", MISSED) as worker:
        until(lambda: listeners(desk))
        payout_id = desk.payout()
        until(lambda: "rang" in log.read_text())
        assert worker.stdin
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        until(settled(desk, payout_id))


def test_a_slow_payout_settles_when_it_is_asked_about_again(desk: Desk, log: Path) -> None:
    desk.call(
        "payrail_operator",
        "add_bank_account",
        bank_account_id="slow",
        holder_name="Asha Rao",
        account_number="501002340002",
        ifsc="HDFC0000001",
    )
    payout_id = desk.create("slow", bank_account_id="slow").payout_id
    with working(desk.database.env, log):
        until(settled(desk, payout_id))
    assert desk.see(payout_id)["attempts"] > 1


def test_two_workers_share_the_work(desk: Desk, log: Path, bank: Bank) -> None:
    desk.credit(1_000_000, "more")
    with working(desk.database.env, log), working(desk.database.env, log):
        for batch in range(20):
            requests = [
                (f"{batch}-{n}", 10, "INR", "demo-bank-account", None, None) for n in range(25)
            ]
            desk.create_batch(*requests)
        until(lambda: {row["status"] for row in desk.table("payouts")} == {"settled"})
    known = bank.instructions()
    sent = [known[row["payout_id"].hex] for row in desk.table("payouts")]
    assert [order["submissions"] for order in sent] == [1] * 500


def test_jobs_do_not_pile_up(desk: Desk, log: Path) -> None:
    with working(desk.database.env, log):
        for _ in range(10):
            until(settled(desk, desk.payout(amount=100)))
        query = "SELECT id FROM procrastinate.procrastinate_jobs WHERE task_name = 'dispatch'"
        until(lambda: not desk.sql("admin", query))


def test_what_killed_workers_left_behind_is_tidied_up(desk: Desk) -> None:
    desk.payout()
    desk.sql("admin", "SET search_path = procrastinate, pg_catalog")
    desk.sql(
        "admin",
        "WITH dead AS (INSERT INTO procrastinate.procrastinate_workers (last_heartbeat)"
        " VALUES (now() - interval '1 hour') RETURNING id)"
        " UPDATE procrastinate.procrastinate_jobs"
        " SET status = 'doing', worker_id = (SELECT id FROM dead)",
    )

    async def tidy() -> None:
        conninfo = desk.database.conninfo("payrail_worker")
        app: App = create_app(conninfo, [])
        async with app.open_async():
            await app.tasks["tidy"](timestamp=0)

    asyncio.run(tidy())
    assert not desk.sql("admin", "SELECT id FROM procrastinate.procrastinate_jobs")
    assert not desk.sql("admin", "SELECT id FROM procrastinate.procrastinate_workers")


def test_a_worker_removes_what_nobody_needs_any_more(desk: Desk, log: Path) -> None:
    assert desk.create("too-much", OPENING + 1).status == 422
    age(desk, "payout.idempotency_keys", "created_at", "25 hours")
    payout_id = desk.payout()
    with working(desk.database.env, log):
        until(settled(desk, payout_id))
        query = "SELECT payout_id FROM payout.idempotency_keys"
        until(lambda: [row["payout_id"] for row in desk.sql("admin", query)] == [payout_id])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_has_begun(desk: Desk, log: Path, number: signal.Signals) -> None:
    begun = desk.payout()
    with working(desk.database.env, log, "-c", SLOW_BANK) as worker:
        until(lambda: "called" in log.read_text())
        worker.send_signal(number)
        until(lambda: "worker stopping" in events(log))
        late = desk.payout()
        worker.communicate(b"\n", timeout=60)
    assert worker.returncode == 0
    assert desk.see(begun)["status"] == "settled"
    assert desk.see(late)["status"] == "pending"


def test_a_bank_that_hangs_holds_up_nobody_at_another_one(desk: Desk, log: Path) -> None:
    one_place = SLOW_BANK.replace("app.hear", "dispatch.PLACES = 1\napp.hear")
    with servers.folder() as folder:
        for name in ("out", "in"):
            (folder / name).mkdir()
        (folder / "mybank.toml").write_text(PROFILE)
        env = {**desk.database.env, "BANK_PROFILES": str(folder)}
        with working(env, log, "-c", one_place) as worker:
            hanging = desk.payout()
            until(lambda: "called" in log.read_text())
            until(lambda: desk.sql("admin", "SELECT rail FROM rail.rails WHERE rail = 'mybank'"))
            number = account(desk, "000405012345")
            assert desk.create("by-file", 100, bank_account_id=number).payout_id
            until(lambda: [*(folder / "out").glob("*.xml")])
            assert desk.see(hanging)["status"] == "processing"
            worker.send_signal(signal.SIGTERM)
            worker.communicate(b"\n", timeout=60)
        assert desk.see(hanging)["status"] == "settled"


def test_the_alarm_comes_back_after_its_connection_was_cut(desk: Desk, log: Path) -> None:
    with working(desk.database.env, log, "-c", BLIND):
        cut = until(lambda: listeners(desk))
        desk.sql(
            "admin",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'payrail-alarm'",
        )
        until(lambda: listeners(desk) - cut)
        until(settled(desk, desk.payout()))


def test_it_survives_a_crash_of_postgresql(log: Path) -> None:
    with servers.folder() as folder, servers.own(folder / "home") as server:
        server.start()
        database = Database(Settings(database_url=server.conninfo()))
        migrate(database.settings, "demo", say=lambda _: None)
        with working(database.env, log, "-c", BLIND):
            with Desk(database) as desk:
                until(lambda: listeners(desk))
                until(settled(desk, desk.payout()))
            servers.kill(server)
            server.start()
            with Desk(database) as desk:
                until(lambda: listeners(desk))
                until(settled(desk, desk.payout()))
                assert desk.violations() == {}
