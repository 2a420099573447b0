"""HTTP as uvicorn speaks it, but for one thing: answers come in the order of their requests."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """Answers what is no HTTP after all that came before it on the connection.

    uvicorn says 400 at once and hangs up. Whoever had sent a request just before would take that
    for its answer, although the request is being done (RFC 9112, section 9.3.2).
    """

    _late: str | None = None  # the answer that has to wait

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
