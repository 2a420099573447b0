"""uvicorn, run the way PayRail wants it."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import uvicorn

from pyapp import log
from pyapp.settings import Settings
from pyapp.web.app import create_app


def run(settings: Settings) -> None:
    """Serve the API until SIGINT or SIGTERM; requests under way are finished first."""
    listener = listen(settings.host, settings.port)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has stopped
        server(settings).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Bind the address, or end the process with one line that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        sys.exit(f"payrail: can't listen on {host}:{port}: {exc.strerror}. Choose another PORT.")


def server(settings: Settings) -> uvicorn.Server:
    """Return a server that is not started yet.

    uvicorn has no timeout for receiving a request: put a reverse proxy in front of it.
    """
    log.setup(settings.log_level)
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        )
    )
