"""uvicorn, serving the sandbox bank."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pyapp import log
from pyapp.bank.app import create_app
from pyapp.bank.books import Books
from pyapp.settings import Settings


class _Protocol(HttpToolsProtocol):
    """Tells each request its transport, so that the bank can hang up without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def run(settings: Settings, fd: int | None) -> None:
    """Serve the bank until SIGINT or SIGTERM, on HOST and its own port or on a listening socket."""
    log.setup(settings.log_level)
    listener = _listen(settings.host, settings.sandbox_bank_port, fd)
    books = _books(settings)
    host, port = listener.getsockname()[:2]
    log.event("sandbox bank", host=host, port=port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, books),
            loop="uvloop",
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has stopped
        server.run(sockets=[listener])


def _books(settings: Settings) -> Books:
    """Open the books, or end the process with one line that says why not."""
    file = settings.sandbox_bank_file
    callbacks = settings.sandbox_callback_url is not None
    try:
        return Books(
            file,
            seed=settings.sandbox_seed,
            callbacks=callbacks,
            deduplicates=settings.sandbox_deduplicates,
        )
    except (OSError, sqlite3.Error) as exc:
        sys.exit(f"payrail: can't keep books in {file}: {exc}. Try another SANDBOX_BANK_FILE.")


def _listen(host: str, port: int, fd: int | None) -> socket.socket:
    """Return the listening socket, or end the process with one line that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if fd is not None:
            return socket.socket(fileno=fd)
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        where = f"{host}:{port}" if fd is None else f"file descriptor {fd}"
        sys.exit(
            f"payrail: can't listen on {where}: {exc.strerror}. Try another SANDBOX_BANK_PORT."
        )
