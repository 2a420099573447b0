"""Calls that are asked for at the same moment go to the database as one.

While calls are under way, what is asked for meanwhile gathers, and goes down together: one
statement, one commit. There is no timer: what is asked for while nothing is under way goes at once.
Everybody stands in a line, and each line gets a place in turn, so nobody's thousand requests keep
another's one waiting. Of a line one call is under way at a time, so it never waits for itself.

What the call for all can not answer, for somebody else holds a lock or because one of the requests
is poison, is asked again for its line alone, and after that one by one: it delays only its like.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg_pool import PoolTimeout

from pyapp.web import metrics

Ask = TypeVar("Ask")
Told = TypeVar("Told")

_TOGETHER: Final = 100  # requests in a call
_AT_ONCE: Final = 2  # calls for all
_ALONE: Final = 8  # calls for one line
_MOST: Final = 1000  # requests that may wait
_PATIENCE: Final = 3.0  # seconds


@dataclass(slots=True)
class _Request(Generic[Ask, Told]):
    line: Hashable
    ask: Ask
    answer: asyncio.Future[Told]
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class Gather(Generic[Ask, Told]):
    """One door, and who waits before it.

    `together` answers requests in their order, with None for what it could not; `alone` answers
    requests of one line, and may wait for its lock.
    """

    name: str
    together: Callable[[Sequence[Ask]], Awaitable[Sequence[Told | None]]]
    alone: Callable[[Sequence[Ask]], Awaitable[Sequence[Told]]]
    _lines: dict[Hashable, deque[_Request[Ask, Told]]] = field(default_factory=dict)
    _away: set[Hashable] = field(default_factory=set)  # lines of which a call is under way
    _waiting: int = 0
    _flights: int = 0
    _few: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ALONE))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, line: Hashable, ask: Ask) -> Told:
        """Ask for one call, and return its answer.

        Raises what the door raises, and psycopg_pool.PoolTimeout, as for a connection, if too many
        wait or it had no turn within 3 s; then nothing was asked.
        """
        if self._waiting >= _MOST:
            message = f"{_MOST} requests wait for {self.name}"
            raise PoolTimeout(message)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Told] = loop.create_future()
        late = PoolTimeout(f"{self.name} was not reached in time")
        timer = loop.call_later(_PATIENCE, _tell, answer, late)
        self._lines.setdefault(line, deque()).append(_Request(line, ask, answer, timer))
        self._waiting += 1
        self._start()
        return await answer

    def _start(self) -> None:
        while self._flights < _AT_ONCE and (requests := self._take()):
            self._flights += 1
            self._run(self._fly(requests))

    def _take(self) -> list[_Request[Ask, Told]]:
        """Take a place's worth from each line in turn, of those that nobody is away for."""
        taken: list[_Request[Ask, Told]] = []
        here = [line for line in self._lines if line not in self._away]
        while here and len(taken) < _TOGETHER:
            for line in here[: _TOGETHER - len(taken)]:
                request = self._lines[line].popleft()
                request.timer.cancel()
                self._waiting -= 1
                if not request.answer.done():  # else whoever asked has gone
                    taken.append(request)
            here = [line for line in here if self._lines[line]]
        for line in {request.line for request in taken}:
            rest = self._lines.pop(line)
            if rest:
                self._lines[line] = rest  # behind those that had no turn
        for line in [line for line, rest in self._lines.items() if not rest]:
            del self._lines[line]
        self._away.update(request.line for request in taken)
        return taken

    async def _fly(self, requests: list[_Request[Ask, Told]]) -> None:
        metrics.gathered(self.name, len(requests))
        told: Sequence[Told | None] = [None] * len(requests)
        try:
            told = _whole(requests, await self.together([request.ask for request in requests]))
        except Exception as exc:  # noqa: BLE001  # whoever asked is to hear of it
            if _is_of_all(exc):
                _fail(requests, exc)
        self._flights -= 1
        rest: dict[Hashable, list[_Request[Ask, Told]]] = {}
        for request, answer in zip(requests, told, strict=True):
            if request.answer.done():
                continue
            if answer is None:
                rest.setdefault(request.line, []).append(request)
            else:
                request.answer.set_result(answer)
        self._away.difference_update({request.line for request in requests} - rest.keys())
        for line, unanswered in rest.items():
            self._run(self._wait(line, unanswered))
        self._start()

    async def _wait(self, line: Hashable, requests: list[_Request[Ask, Told]]) -> None:
        async with self._few:
            if not await self._try(requests) and len(requests) > 1:
                for request in requests:
                    await self._try([request])
        self._away.discard(line)
        self._start()

    async def _try(self, requests: list[_Request[Ask, Told]]) -> bool:
        """Ask for one line; what goes wrong is told to whoever asked alone."""
        wanted = [request for request in requests if not request.answer.done()]
        if not wanted:
            return True
        try:
            told = _whole(wanted, await self.alone([request.ask for request in wanted]))
        except Exception as exc:  # noqa: BLE001  # whoever asked is to hear of it
            if len(wanted) == 1 or _is_of_all(exc):
                _fail(wanted, exc)
            return False
        for request, answer in zip(wanted, told, strict=True):
            if not request.answer.done():
                request.answer.set_result(answer)
        return True

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _whole(requests: Sequence[object], told: Sequence[Told]) -> Sequence[Told]:
    """Return the answers, if there is one to each request."""
    if len(told) != len(requests):
        message = f"{len(requests)} requests and {len(told)} answers"
        raise RuntimeError(message)
    return told


def _is_of_all(exc: Exception) -> bool:
    """Tell what no single request is the cause of: a lock, or a database that is away."""
    return not isinstance(exc, psycopg.Error) or exc.sqlstate in {None, LockNotAvailable.sqlstate}


def _fail(requests: Iterable[_Request[Ask, Told]], exc: Exception) -> None:
    for request in requests:
        _tell(request.answer, exc)


def _tell(answer: asyncio.Future[Any], exc: Exception) -> None:
    if not answer.done():
        answer.set_exception(exc)
