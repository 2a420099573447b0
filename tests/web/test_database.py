"""Calls survive what happens to connections, servers and callers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import scalar_row
from psycopg_pool import PoolTimeout

from pyapp import doors
from pyapp.database import Pool, call, open_pool
from pyapp.errors import problem_of
from tests.conftest import Database
from tests.web.client import Client
from tests.web.conftest import Connection, Web, serving, start, wait_until

PID = b"SELECT pg_backend_pid()"
FLAKY = """
CREATE SEQUENCE pg_temp.tries;
CREATE FUNCTION pg_temp.flaky(p_failures integer, p_state text)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('pg_temp.tries') <= p_failures THEN
        RAISE EXCEPTION 'again' USING ERRCODE = p_state;
    END IF;
    RETURN currval('pg_temp.tries');
END $$;
SELECT 1
"""


def with_pool(conninfo: str, run: Callable[[Pool], Awaitable[Any]], size: int = 1) -> Any:
    """Run a coroutine with a pool of its own."""

    async def main() -> Any:
        async with open_pool(conninfo, name="test", max_size=size) as db:
            return await run(db)

    return asyncio.run(main())


def patient(database: Database) -> str:
    """Return how the API connects, but for its timeouts: a busy machine isn't a failure."""
    options = "-c lock_timeout=0 -c statement_timeout=0"
    return make_conninfo(database.conninfo("payrail_api"), options=options)


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize(("failures", "succeeds"), [(0, True), (4, True), (5, False)])
def test_a_rolled_back_call_is_made_again(
    database: Database, state: str, failures: int, *, succeeds: bool
) -> None:
    async def run(db: Pool) -> list[int]:
        async with db.connection() as connection:
            await connection.execute(FLAKY, prepare=False)
        query = b"SELECT pg_temp.flaky(%(failures)s::integer, %(state)s)"
        return await call(db, query, {"failures": failures, "state": state}, scalar_row)

    if succeeds:
        assert with_pool(database.conninfo("admin"), run) == [failures + 1]
    else:
        with pytest.raises(psycopg.OperationalError) as caught:
            with_pool(database.conninfo("admin"), run)
        assert problem_of(caught.value).row.code == "unavailable"


def test_other_errors_are_not_tried_again(database: Database) -> None:
    async def run(db: Pool) -> int:
        async with db.connection() as connection:
            await connection.execute(FLAKY, prepare=False)
        with pytest.raises(psycopg.errors.RaiseException):
            await call(db, b"SELECT pg_temp.flaky(9, 'P0001')", {}, scalar_row)
        (tries,) = await call(db, b"SELECT currval('pg_temp.tries')", {}, scalar_row)
        return int(tries)

    assert with_pool(database.conninfo("admin"), run) == 1


def test_a_broken_connection_is_replaced(database: Database, admin: Connection) -> None:
    async def run(db: Pool) -> None:
        for _ in range(3):
            (pid,) = await call(db, PID, {}, scalar_row)
            admin.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
        assert await call(db, PID, {}, scalar_row) != [pid]

    with_pool(database.conninfo("payrail_api"), run)


def test_a_payout_is_made_once_though_its_connection_breaks(
    client: Client,
    database: Database,
    admin: Connection,
    locked: Callable[[Client], psycopg.Connection[Any]],
    waiting: Callable[[], int],
) -> None:
    assert client.merchant_id
    merchant_id = client.merchant_id
    request = doors.PayoutRequest("k", 6000, "INR", "demo-bank-account")

    async def run(db: Pool) -> doors.Reply:
        (pid,) = await call(db, PID, {}, scalar_row)
        with locked(client):
            creating = asyncio.create_task(doors.create_payout(db, merchant_id, request))
            await asyncio.to_thread(wait_until, lambda: waiting() == 1)
            admin.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
        return await creating

    assert with_pool(patient(database), run).status == 201
    assert client.balance() == (994_000, 6000)


def test_a_cancelled_caller_does_not_cancel_the_call(
    client: Client,
    database: Database,
    locked: Callable[[Client], psycopg.Connection[Any]],
    waiting: Callable[[], int],
) -> None:
    assert client.merchant_id
    merchant_id = client.merchant_id
    request = doors.PayoutRequest("k", 6000, "INR", "demo-bank-account")

    async def run(db: Pool) -> None:
        with locked(client):
            creating = asyncio.create_task(doors.create_payout(db, merchant_id, request))
            await asyncio.to_thread(wait_until, lambda: waiting() == 1)
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
        await asyncio.to_thread(wait_until, lambda: client.balance() == (994_000, 6000))

    with_pool(patient(database), run)


def test_an_absent_database_is_unavailable(tmp_path: Path) -> None:
    async def run(db: Pool) -> None:
        await doors.instance(db)

    with pytest.raises(PoolTimeout) as caught:
        with_pool(f"host={tmp_path} user=payrail_api", run)
    assert problem_of(caught.value).row.code == "unavailable"


def test_the_server_without_its_database(tmp_path: Path) -> None:
    nowhere = f"postgresql://payrail_api@/none?host={tmp_path}"
    with serving(nowhere, tmp_path, "//healthz") as web:
        client = Client(web.host, web.port, "key")
        for path in ("//readyz", "/me/"):
            answer = client.get(path)
            assert (answer.status, answer.code) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("//healthz").status == 200
        client.close()
    log = web.log.read_text()
    assert "Traceback" not in log
    assert '"stack"' not in log


def test_a_taken_port(web: Web, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("w") as file, start("postgresql:///none", web.port, file) as process:
        assert process.wait(60) == 1
    (line,) = errors.read_text().splitlines()
    assert str(web.port) in line


def test_ctrl_c_ends_it_quietly(database: Database, tmp_path: Path) -> None:
    with serving(database.conninfo("admin"), tmp_path, "//readyz", stop=signal.SIGINT) as web:
        pass
    assert "Traceback" not in web.log.read_text()
