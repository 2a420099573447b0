"""Receivers of webhooks: real servers that say what a test wants, byte for byte."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """What came; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def saying(status: int, body: str = "", **headers: str) -> Answer:
    """Answer with a status, and nothing remarkable."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    text = "\r\n".join([*lines, "", body])

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        await writer.drain()

    return answer


@dataclass
class Receiver:
    """A server at `url` that keeps what comes and answers by `answer`, which may be changed."""

    answer: Answer
    got: list[Request] = field(default_factory=list)
    port: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.got]

    @property
    def types(self) -> list[str]:
        return [str(request.event["type"]) for request in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.serving.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(head[0].split(" ")[1], headers, body)
            self.got.append(request)
            await self.answer(request, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.serving.discard(task)


@asynccontextmanager
async def receiving(
    answer: Answer | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver in this event loop."""
    receiver = Receiver(answer or saying(200))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        while receiver.serving:
            for task in receiver.serving:
                task.cancel()
            await asyncio.wait([*receiver.serving])


@contextmanager
def receiving_beside(answer: Answer | None = None) -> Iterator[Receiver]:
    """Run a receiver in a thread, for tests that wait for other processes."""
    loop = asyncio.new_event_loop()
    started: list[Receiver] = []
    ready, over = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with receiving(answer) as receiver:
            started.append(receiver)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    ready.wait(60)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
