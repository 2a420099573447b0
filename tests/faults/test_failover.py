"""A primary that dies, and a standby that takes over: nothing that was acknowledged is lost.

One primary and two standbys, of which one has to have a commit before it is acknowledged; the API
knows all three, and goes to the one that may be written to.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pyapp import database, doors
from pyapp.embedded import Server
from pyapp.migrate import migrate
from pyapp.settings import ROOT, Settings
from tests import servers
from tests.conftest import Database, Merchant, new_merchant
from tests.desk import violations
from tests.faults.test_kills import (
    CLIENTS,
    RICH,
    Load,
    open_accounts,
    progress,
    repeat_all,
    under,
)
from tests.web.client import Client
from tests.workers import until

NAMES: Final = ("north", "south")
REQUEST: Final = b'{"amount_paise":100,"bank_account_id":"demo-bank-account"}'


@dataclass
class Cluster:
    """A primary, its standbys, and an API over whichever is the primary."""

    primary: Server
    standbys: list[Server]
    port: int
    _deaf: list[int] = field(default_factory=list)

    @property
    def database(self) -> Database:
        """Whichever may be written to."""
        hosts = ",".join(str(one.socket_folder) for one in (self.primary, *self.standbys))
        url = make_conninfo(self.primary.conninfo(), host=hosts, target_session_attrs="read-write")
        return Database(Settings(database_url=url))

    def follow(self, *, synchronously: bool) -> None:
        """Let a commit wait for one of the standbys, or for none; all have what there is."""
        names = f"ANY 1 ({', '.join(NAMES)})" if synchronously else ""
        with psycopg.connect(self.primary.conninfo(), autocommit=True) as admin:
            until(lambda: self._following(admin, "async"))
            admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
            admin.execute("SELECT pg_reload_conf()")
            until(lambda: self._following(admin, "quorum" if synchronously else "async"))

    def _following(self, admin: psycopg.Connection[Any], state: str) -> bool:
        found = admin.execute(
            "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = %s"
            " AND replay_lsn >= pg_current_wal_lsn()",
            [state],
        )
        return found.rowcount == len(self.standbys)

    def deafen(self) -> None:
        """Send the standbys nothing more, as if the network were gone."""
        with psycopg.connect(self.primary.conninfo()) as admin:
            self._deaf = [pid for (pid,) in admin.execute("SELECT pid FROM pg_stat_replication")]
        self._signal(signal.SIGSTOP)

    def hear(self) -> None:
        """Go on sending."""
        self._signal(signal.SIGCONT)
        self._deaf = []

    def fail_over(self) -> None:
        """End the primary as a power cut does, and promote the standby that has the most of it."""
        servers.kill(self.primary)
        self._signal(signal.SIGKILL)
        self._deaf = []
        until(lambda: not self.primary.is_live())
        with psycopg.connect(max(self.standbys, key=_received).conninfo()) as admin:
            assert admin.execute("SELECT pg_promote()").fetchone() == (True,)

    def cancel(self) -> bool:
        """Cancel the commits that wait for a standby; tell whether there were any."""
        with psycopg.connect(self.primary.conninfo()) as admin:
            waiting = admin.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
            return waiting.rowcount > 0

    def keys(self) -> set[tuple[UUID, str]]:
        """Return all keys that are known to the database."""
        with self.database.connect("admin") as admin:
            rows = admin.execute("SELECT merchant_id, idempotency_key FROM payout.idempotency_keys")
            return {(row["merchant_id"], row["idempotency_key"]) for row in rows}

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._deaf:
            os.kill(pid, number)


def _received(standby: Server) -> Any:
    """Return how much of the primary's WAL a standby has."""
    with psycopg.connect(standby.conninfo()) as admin:
        return admin.execute("SELECT pg_last_wal_receive_lsn() - '0/0'").fetchall()[0][0]


@contextmanager
def copy(home: Path, primary: Server, name: str) -> Iterator[Server]:
    """Yield a standby that follows the primary under this name."""
    follows = f"primary_conninfo=host={primary.socket_folder} user=postgres application_name={name}"
    with servers.own(home, "fsync=off", follows) as standby:
        standby._own(standby.base)
        of = ("-h", primary.socket_folder, "-U", "postgres")
        standby._run("pg_basebackup", *of, "-D", standby.base / "data", "-R", "-c", "fast")
        standby.start()
        yield standby


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        port = stack.enter_context(servers.port())
        folder = stack.enter_context(servers.folder())
        primary = stack.enter_context(servers.own(folder / "primary", "fsync=off"))
        primary.start()
        migrate(Settings(database_url=primary.conninfo()), "demo", say=lambda _: None)
        standbys = [stack.enter_context(copy(folder / name, primary, name)) for name in NAMES]
        cluster = Cluster(primary, standbys, port)
        stack.callback(cluster.hear)
        log = stack.enter_context((tmp_path / "api.log").open("a"))
        api = subprocess.Popen(
            [sys.executable, "-m", "pyapp", "serve"],
            env={**cluster.database.env, "PORT": str(port)},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        stack.callback(api.wait)
        stack.callback(api.kill)
        yield cluster


@pytest.fixture
def merchant(cluster: Cluster) -> Merchant:
    found = new_merchant(cluster.database, RICH)
    open_accounts(cluster.database, [found])
    return found


@pytest.fixture
def client(cluster: Cluster, merchant: Merchant) -> Iterator[Client]:
    client = Client("127.0.0.1", cluster.port, merchant.secret)

    def ready() -> bool:
        try:
            return client("GET", "//readyz").status == 200
        except OSError:
            return False

    until(ready)
    yield client
    client.close()


def test_a_failover_under_load_loses_nothing_that_was_acknowledged(
    cluster: Cluster,
    merchant: Merchant,
    client: Client,
    record_property: Callable[[str, object], None],
) -> None:
    assert client
    cluster.follow(synchronously=True)
    load = Load(cluster.port, [merchant])
    with under(load) as clients:
        progress(load, clients, 100)
        cluster.fail_over()
        progress(load, clients, 50)
    acknowledged = [(old.merchant.merchant_id, old.key) for old in load.acknowledged]
    assert len(acknowledged) == len(set(acknowledged))
    assert cluster.keys() == set(acknowledged)
    record_property("requests", len(acknowledged))
    for place in range(CLIENTS):
        repeat_all(load, place)  # answered as before, byte for byte
    with cluster.database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def test_without_a_synchronous_standby_a_failover_loses_what_was_acknowledged(
    cluster: Cluster, merchant: Merchant, client: Client
) -> None:
    """So the test above would see it."""
    cluster.follow(synchronously=False)
    assert client.create(REQUEST, "kept").status == 201
    cluster.follow(synchronously=False)
    cluster.deafen()
    assert client.create(REQUEST, "lost").status == 201
    cluster.fail_over()
    assert cluster.keys() == {(merchant.merchant_id, "kept")}


def test_a_commit_whose_wait_for_a_standby_was_cancelled_is_not_acknowledged(
    cluster: Cluster, merchant: Merchant, client: Client
) -> None:
    """PostgreSQL calls it a success, and warns even those who would hear of errors only."""
    with psycopg.connect(cluster.primary.conninfo(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET client_min_messages = error")
    cluster.follow(synchronously=True)
    cluster.deafen()
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):  # nor is the answer that is stored by then
            asked = pool.submit(client.create, REQUEST, "key")
            until(cluster.cancel)
            answer = asked.result()
            assert (answer.status, answer.code) == (503, "unavailable")
        claimed = pool.submit(asyncio.run, claim(cluster, merchant))
        until(cluster.cancel)
        with pytest.raises(database.NotReplicatedError):  # so nothing is sent to the bank
            claimed.result()
        asked = pool.submit(client.create, REQUEST, "key")
        until(lambda: waits(cluster))
        assert not asked.done()
        cluster.hear()
        answer = asked.result()
    assert (answer.status, answer.headers["idempotent-replayed"]) == (201, "true")
    cluster.fail_over()
    assert cluster.keys() == {(merchant.merchant_id, "key")}
    assert json.loads(answer.body)["status"] == "pending"


async def claim(cluster: Cluster, merchant: Merchant) -> None:
    conninfo = cluster.database.conninfo("payrail_worker")
    async with database.open_pool(conninfo, name="test") as db:
        await doors.claim_payouts_for_many(db, [merchant.merchant_id], wait=True)


def waits(cluster: Cluster) -> bool:
    with psycopg.connect(cluster.primary.conninfo()) as admin:
        query = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        return admin.execute(query).rowcount > 0
