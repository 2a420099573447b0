"""Calls that are asked for at the same moment go to the database as one.

While a call is under way, what is asked for meanwhile gathers, and goes down together: one
statement, one commit. There is no timer: what is asked for while nothing is under way goes at once.
One call at a time is enough: this process is longer busy with a request than the database is, and
two at once were slower, for each was half as large.
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
from psycopg_pool import PoolTimeout

Ask = TypeVar("Ask")
Told = TypeVar("Told")
Answers = TypeVar("Answers")

_MOST: Final = 200  # requests of a line that may wait
_PATIENCE: Final = 3.0  # seconds
_SILENCE: Final = 10.0  # seconds that a call may take: twice what PostgreSQL gives a statement
# SQLSTATEs that no single request is the cause of: a lock, a call that took too long, no resources
_OF_ALL: Final = ("55P03", "57", "53", "58")


@dataclass(slots=True, eq=False)
class _Request(Generic[Ask, Told]):
    line: Hashable
    ask: Ask
    answer: asyncio.Future[Told]
    until: float  # it waits, by the loop's clock


@dataclass(slots=True)
class Gather(Generic[Ask, Told]):
    """One door, and who waits before it.

    `together` answers requests in their order, with None for what it could not; `alone` answers
    requests of one line, and may wait for its lock. At most `most` requests are in a call for all,
    and `few` calls for one line are under way.
    """

    name: str
    together: Callable[[Sequence[Ask]], Awaitable[Sequence[Told | None]]]
    alone: Callable[[Sequence[Ask]], Awaitable[Sequence[Told | None]]]
    most: int = 100
    few: int = 8
    _lines: dict[Hashable, deque[_Request[Ask, Told]]] = field(default_factory=dict)
    _away: set[Hashable] = field(default_factory=set)  # lines of which a call is under way
    _flying: bool = False  # a call for all is under way
    _few: asyncio.Semaphore = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None  # of whoever waits

    def __post_init__(self) -> None:
        self._few = asyncio.Semaphore(self.few)

    async def ask(self, line: Hashable, ask: Ask) -> Told:
        """Ask for one call, and return its answer.

        Raises what the door raises, and psycopg_pool.PoolTimeout, as for a connection, if too many
        of the line wait or it had no turn within 3 s; then nothing was asked. Or if the call was
        not answered within 10 s: then it may have been done.
        """
        waiting = self._lines.setdefault(line, deque())
        if len(waiting) >= _MOST:
            message = f"{_MOST} requests of {line!s} wait for {self.name}"
            raise PoolTimeout(message)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Told] = loop.create_future()
        waiting.append(_Request(line, ask, answer, loop.time() + _PATIENCE))
        if self._timer is None:
            self._timer = loop.call_later(_PATIENCE, self._expire)
        loop.call_soon(self._start)  # with whoever else asks in this turn of the loop
        return await answer

    def _expire(self) -> None:
        """End the waits that are over; what nobody waits for any more takes no room either."""
        loop = asyncio.get_running_loop()
        waits = [request for line in self._lines.values() for request in line]
        late = [request for request in waits if request.until <= loop.time()]
        _fail(late, PoolTimeout(f"{self.name} was not reached in time"))
        for line in {request.line for request in late}:
            self._keep(line, (one for one in self._lines[line] if not one.answer.done()))
        left = [request.until for request in waits if not request.answer.done()]
        self._timer = loop.call_at(min(left), self._expire) if left else None

    def _keep(self, line: Hashable, requests: Iterable[_Request[Ask, Told]]) -> None:
        """Let these be what waits in a line, which is behind all others then."""
        self._lines.pop(line, None)
        if rest := deque(requests):
            self._lines[line] = rest

    def _start(self) -> None:
        if not self._flying and (requests := self._take()):
            self._flying = True
            self._run(self._fly(requests))

    def _take(self) -> list[_Request[Ask, Told]]:
        """Take a place's worth from each line in turn, of those that nobody is away for."""
        taken: list[_Request[Ask, Told]] = []
        here = [line for line in self._lines if line not in self._away]
        touched: set[Hashable] = set()
        while here and len(taken) < self.most:
            for line in here[: self.most - len(taken)]:
                touched.add(line)
                request = self._lines[line].popleft()
                if not request.answer.done():  # else whoever asked has gone
                    taken.append(request)
            here = [line for line in here if self._lines[line]]
        for line in touched:
            self._keep(line, self._lines[line])
        self._away.update(request.line for request in taken)
        return taken

    async def _fly(self, requests: list[_Request[Ask, Told]]) -> None:
        told: Sequence[Told | None] = [None] * len(requests)
        try:
            told = _whole(requests, await self._answered(self.together, requests))
        except Exception as exc:  # noqa: BLE001  # whoever asked is to hear of it
            # what took too long together may be one line's, and not hold up the others alone
            if _is_of_all(exc) and not isinstance(exc, psycopg.errors.QueryCanceled):
                _fail(requests, exc)
        self._flying = False
        rest: dict[Hashable, list[_Request[Ask, Told]]] = {}
        for request, answer in zip(requests, told, strict=True):
            if answer is None and not request.answer.done():
                rest.setdefault(request.line, []).append(request)
        self._away.difference_update({request.line for request in requests} - rest.keys())
        for line, unanswered in rest.items():
            self._run(self._wait(line, unanswered))
        self._start()
        # Whoever is told goes on before what has just been started. But the database is not to wait
        # until all have been answered: in two turns of the loop the next call has left.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        _give(requests, told)

    async def _wait(self, line: Hashable, requests: list[_Request[Ask, Told]]) -> None:
        """Ask for a line alone, once there is a place for it, and after that one by one."""
        late = PoolTimeout(f"{self.name} was not reached in time")
        timer = asyncio.get_running_loop().call_later(_PATIENCE, _fail, requests, late)
        async with self._few:
            timer.cancel()
            groups = deque([requests])
            while groups:
                group = groups.popleft()
                exc = await self._try(group)
                if exc and _is_of_all(exc):
                    _fail(requests, exc)
                    break
                if exc and len(group) > 1:
                    groups.extend([one] for one in group)
                elif exc:
                    _fail(group, exc)
        self._away.discard(line)
        self._start()

    async def _try(self, requests: list[_Request[Ask, Told]]) -> Exception | None:
        """Ask for these alone; return what went wrong."""
        wanted = [request for request in requests if not request.answer.done()]
        if not wanted:
            return None
        try:
            found = await self._answered(self.alone, wanted)
            told = _whole(wanted, [one for one in found if one is not None])
        except Exception as exc:  # noqa: BLE001  # whoever asked is to hear of it
            return exc
        _give(wanted, told)
        return None

    async def _answered(
        self,
        call: Callable[[Sequence[Ask]], Awaitable[Answers]],
        requests: Sequence[_Request[Ask, Told]],
    ) -> Answers:
        """Make a call; a connection on which nothing comes back is not to hold up the next one."""
        try:
            async with asyncio.timeout(_SILENCE):
                return await call([request.ask for request in requests])
        except TimeoutError:
            message = f"{self.name} was not answered in time"
            raise PoolTimeout(message) from None

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
    """Tell what no single request is the cause of, so that asking one by one is of no use."""
    if isinstance(exc, psycopg.Error) and exc.sqlstate is not None:
        return exc.sqlstate.startswith(_OF_ALL)
    # psycopg refuses text that PostgreSQL can't hold before it is sent
    return not isinstance(exc, UnicodeError | psycopg.DataError)


def _give(requests: Sequence[_Request[Ask, Told]], told: Sequence[Told | None]) -> None:
    """Give whoever still waits the answer that there is."""
    for request, answer in zip(requests, told, strict=True):
        if answer is not None and not request.answer.done():
            request.answer.set_result(answer)


def _fail(requests: Iterable[_Request[Ask, Told]], exc: Exception) -> None:
    for request in requests:
        _tell(request.answer, exc)


def _tell(answer: asyncio.Future[Any], exc: Exception) -> None:
    if not answer.done():
        answer.set_exception(exc)
