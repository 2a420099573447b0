"""Many connections that call at the same moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.rows import DictRow

from tests.conftest import Database
from tests.desk import OPENING, Desk, violations

# `ROUNDS=500 pytest tests/concurrency` is the long run
ROUNDS: Final = int(os.environ.get("ROUNDS", "8"))
SIZE: Final = 32
MOST: Final = 64  # who fit in one race

Connection = psycopg.Connection[DictRow]
Result = TypeVar("Result")


class Crowd:
    """Threads with a connection each, as many as MOST."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.races = 0
        self._open = ExitStack()
        self._threads = self._open.enter_context(ThreadPoolExecutor(MOST))
        self._connections: dict[str, list[Connection]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def desk(self, paise: int = OPENING) -> Desk:
        """Return a new merchant's desk."""
        return self._open.enter_context(Desk(self.database, paise))

    def desks(self, paise: int = OPENING) -> Iterator[Desk]:
        """Return a new merchant's desk for each round; it is closed when the round is over."""
        for _ in range(ROUNDS):
            with Desk(self.database, paise) as desk:
                yield desk

    def race(
        self, *calls: tuple[str, Callable[[Connection], Result]]
    ) -> list[Result | psycopg.Error]:
        """Start all calls (a role, and what to do on its connection) at once; return all results.

        An error with a SQLSTATE of ours is an answer like others; every other error is raised.
        """
        self.races += 1
        barrier = threading.Barrier(len(calls))
        used: dict[str, int] = {}
        running = []
        for role, call in calls:
            used[role] = used.get(role, 0) + 1
            connection = self._connection(role, used[role])
            running.append(self._threads.submit(_start, barrier, call, connection))
        return [future.result() for future in running]

    def all_of(
        self, role: str, calls: Sequence[Callable[[Connection], Result]]
    ) -> list[Result | psycopg.Error]:
        """Start all calls at once, as one role."""
        return self.race(*[(role, call) for call in calls])

    def violations(self) -> dict[str, Any]:
        with self.database.connect("payrail_auditor") as auditor:
            return violations(auditor)

    def _connection(self, role: str, number: int) -> Connection:
        known = self._connections.setdefault(role, [])
        while len(known) < number:
            connection = self._open.enter_context(self.database.connect(role))
            # a busy machine isn't a failure: what counts is who gets what, not when
            connection.execute("SET lock_timeout = 0")
            connection.execute("SET statement_timeout = '60s'")
            known.append(connection)
        return known[number - 1]


def _start(
    barrier: threading.Barrier, call: Callable[[Connection], Result], connection: Connection
) -> Result | psycopg.Error:
    barrier.wait()
    try:
        return call(connection)
    except psycopg.Error as error:
        if not (error.diag.sqlstate or "").startswith("PR"):
            raise
        return error
