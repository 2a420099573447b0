"""HTTP as uvicorn speaks it, but for two things.

Answers come in the order of their requests, and an answer's head and body go out together.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MUCH: Final = 64 * 1024  # bytes, which is where the transport tells its writer to wait


class Protocol(HttpToolsProtocol):
    """Answers what is no HTTP after all that came before it on the connection.

    uvicorn says 400 at once and hangs up. Whoever had sent a request just before would take that
    for its answer, although the request is being done (RFC 9112, section 9.3.2).
    """

    _late: str | None = None  # the answer that has to wait

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Write by way of what joins."""
        super().connection_made(cast("asyncio.Transport", _Joined(transport, self.loop)))

    def data_received(self, data: bytes) -> None:
        """Read on, unless nothing that follows can be understood."""
        if self._late is None:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in its turn."""
        if self.pipeline or (self.cycle and not self._is_idle() and not self.cycle.more_body):
            self._late = msg
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Go on with the next request, or with what was no HTTP."""
        super().on_response_complete()
        if self._late is None or self.pipeline or self.transport.is_closing():
            return
        if self._is_idle() or self.cycle.more_body:  # the broken one, whose body never ends
            super().send_400_response(self._late)

    def _is_idle(self) -> bool:
        return bool(self.cycle.response_complete)


class _Joined:
    """A transport that writes once what is written in one turn of the loop.

    uvicorn writes the head of an answer and its body apart: two calls of the system, for which the
    client wakes twice.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = bytearray()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # all else is the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write this at the end of the turn, or at once when it is much."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held += data
        if len(self._held) >= _MUCH:
            self._flush()

    def close(self) -> None:
        """Close, once all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, bytearray()
        if held and not self._transport.is_closing():
            self._transport.write(held)
