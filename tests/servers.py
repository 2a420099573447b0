"""PostgreSQL servers of a test's own, for tests that kill, lock or break one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pyapp import embedded
from pyapp.embedded import Server
from pyapp.settings import Settings
from tests import conftest


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that the account PostgreSQL runs as can reach, and leave no server in it."""
    path = Path(tempfile.mkdtemp(prefix="payrail-", dir=conftest._folder()))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def port() -> Iterator[int]:
    """Reserve a port: one server at a time can listen at it, and nobody else is given it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def own(home: Path, *options: str) -> Iterator[Server]:
    """Yield a server that isn't started yet, durable unless the options say otherwise."""
    server = replace(conftest._SERVER, home=home, options=options)
    try:
        yield server
    finally:
        settings = Settings(home=home, pg_bin=server.programs)
        embedded.clean(settings, remove_data=True)


def postmaster(server: Server) -> int:
    """Return the id of the server's main process."""
    return int((server.base / "data" / "postmaster.pid").read_text().split()[0])


def kill(server: Server) -> None:
    """End the server as a power cut ends it."""
    os.kill(postmaster(server), signal.SIGKILL)
