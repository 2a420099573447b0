"""uvicorn, run the way PayRail wants it."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import uvicorn

from pyapp import garbage, log
from pyapp.settings import Settings
from pyapp.web import dashboard
from pyapp.web.app import create_app
from pyapp.web.live import Hub
from pyapp.web.wire import Protocol


def run(settings: Settings, fd: int | None = None) -> None:
    """Serve the API until SIGINT or SIGTERM; requests under way are finished first."""
    listener = listen(settings.host, settings.port, fd)
    serving = server(settings)
    garbage.look_rarely()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has stopped
        serving.run(sockets=[listener])


def listen(host: str, port: int, fd: int | None) -> socket.socket:
    """Return the socket, which may be inherited, or end with one line that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if fd is not None:
            return socket.socket(fileno=fd)
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        where = f"{host}:{port}" if fd is None else f"file descriptor {fd}"
        reason = f"can't listen on {where}: {exc.strerror}"
        sys.exit(f"payrail: {reason}. Choose another HOST or PORT.")


def server(settings: Settings) -> uvicorn.Server:
    """Return a server that is not started yet.

    uvicorn has no timeout for receiving a request: put a reverse proxy in front of it.
    """
    log.setup(settings.log_level)
    hub = Hub(dashboard.message)
    return _Server(
        uvicorn.Config(
            create_app(settings, hub),
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        ),
        hub,
    )


class _Server(uvicorn.Server):
    """A server that ends the streams of open pages when it is told to stop; they never would."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self.hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.hub.close()
        await super().shutdown(sockets)
