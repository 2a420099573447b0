"""Connections: one pool per role and process, and one way to call a door.

Every door may be called again with the same arguments: a payout has its idempotency key, evidence
and credits have their reference, a claim has its lease. So a call that was rolled back, or whose
connection broke before the answer came, is simply made again. A door is a single statement in
autocommit: there is no transaction here that could stay half done.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID
from weakref import WeakSet, WeakValueDictionary

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import AsyncRowFactory, TupleRow
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[TupleRow]]
T = TypeVar("T")

_TIMEOUT: Final = 3.0  # seconds; long enough for PostgreSQL to come back from a crash
_AT_ONCE: Final = 4  # a merchant's; the API's pool has 16 connections, the worker's 8
_running: Final[set[asyncio.Task[Any]]] = set()
_unreplicated: Final[WeakSet[AsyncConnection[TupleRow]]] = WeakSet()
_places: Final[WeakValueDictionary[UUID, asyncio.Semaphore]] = WeakValueDictionary()


class NotReplicatedError(psycopg.OperationalError):
    """What was done is committed here, but the standbys that were waited for may not have it.

    PostgreSQL says so by a warning only, and calls it success: somebody has cancelled the wait. It
    is not to be acknowledged, and nothing is to be sent because of it. Asked again, the door locks
    its merchant, which is a commit of its own that waits for the standbys to have all before it.
    """


def open_pool(conninfo: str, *, name: str, max_size: int = 16) -> Pool:
    """Return the pool that `async with` opens, without waiting for the database to be there.

    `name` becomes application_name. When the database is away, a caller waits 3 s and gets
    psycopg_pool.PoolTimeout.
    """
    return AsyncConnectionPool(
        conninfo,
        open=False,
        name=name,
        min_size=1,
        max_size=max_size,
        max_waiting=1000,
        timeout=_TIMEOUT,
        reconnect_timeout=_TIMEOUT,
        kwargs={
            "autocommit": True,
            "application_name": name,
            "prepare_threshold": 0,  # every statement is a door, used again and again
            "connect_timeout": 3,
            # a host that has vanished is noticed, whether it was to take something or to answer
            "tcp_user_timeout": 10_000,  # ms
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
        configure=_configure,
    )


async def _configure(connection: AsyncConnection[TupleRow]) -> None:
    """Pass json on as the text that the API answers, and hear of waits that were cancelled."""
    await connection.execute("SET client_min_messages = warning")  # whatever the role's is
    connection.adapters.register_loader("json", TextLoader)
    here = weakref.ref(connection)

    def hear(notice: errors.Diagnostic) -> None:
        # the server's messages may be in any language; where they come from is not
        if notice.source_function == "SyncRepWaitForLSN" and (waited := here()):
            _unreplicated.add(waited)

    connection.add_notice_handler(hear)


@asynccontextmanager
async def turn(merchant_id: UUID) -> AsyncIterator[None]:
    """Hold one of a merchant's few places at the database.

    So a merchant whose lock somebody holds can't take the connections of all the others. Whoever
    waits 3 s gets psycopg_pool.PoolTimeout, as for a connection.
    """
    places = _places.setdefault(merchant_id, asyncio.Semaphore(_AT_ONCE))
    try:
        async with asyncio.timeout(_TIMEOUT):
            await places.acquire()
    except TimeoutError:
        message = f"too many calls of merchant {merchant_id} at once"
        raise PoolTimeout(message) from None
    try:
        yield
    finally:
        places.release()


async def call(
    db: Pool, query: bytes, parameters: Mapping[str, object], row: AsyncRowFactory[T]
) -> list[T]:
    """Run one statement and return its rows.

    The call goes on when its caller is cancelled: a client that hangs up, or a server that stops,
    never leaves a door open half way. So no commit that waits for a standby is cancelled by us;
    one that somebody else cancels raises NotReplicatedError.
    """
    task = asyncio.create_task(_persist(db, query, parameters, row))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return await asyncio.shield(task)


async def _persist(
    db: Pool, query: bytes, parameters: Mapping[str, object], row: AsyncRowFactory[T]
) -> list[T]:
    attempt = 0
    while True:
        attempt += 1
        async with db.connection() as connection:
            try:
                cursor = connection.cursor(row_factory=row)
                await cursor.execute(query, parameters)
                rows = await cursor.fetchall()
            except psycopg.OperationalError as exc:
                broken = connection.closed
                if attempt >= _attempts(exc, broken=broken):
                    raise
            else:
                _require_replication(connection)
                return rows
            finally:
                _unreplicated.discard(connection)
        if broken:
            await db.check()
        await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311


def _require_replication(connection: AsyncConnection[TupleRow]) -> None:
    if connection in _unreplicated:
        message = "the wait for a synchronous standby was cancelled"
        raise NotReplicatedError(message)


def _attempts(exc: psycopg.OperationalError, *, broken: bool) -> int:
    """Return how often a call may be tried that ended in `exc`."""
    if broken:
        return 2  # never more: the call itself may be what breaks the server
    return 5 if isinstance(exc, errors.SerializationFailure | errors.DeadlockDetected) else 1
