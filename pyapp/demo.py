"""`make demo`: all of PayRail in one terminal.

The database first, then a sandbox bank, the API and a worker as child processes. Each child has a
session of its own, so that Ctrl-C reaches this process alone and things stop in order, and reads a
pipe whose other end is here: when this process is killed, the pipe ends and so do they.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import http.client
import os
import secrets
import shlex
import signal
import socket
import sys
import uuid
from asyncio.subprocess import STDOUT, Process
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from psycopg.conninfo import conninfo_to_dict

from pyapp import doors, embedded, reset, tables
from pyapp.database import open_pool
from pyapp.settings import ROOT, Settings
from pyapp.web import callbacks

_CHILDREN: Final = {"sandbox-bank": "sandbox bank", "serve": "API", "work": "worker"}
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_PORT: Final = 65535
_PATIENCE: Final = 10.0  # seconds
_LOOK: Final = 2.0
_OPERATOR: Final = "demo"
_BANK_HOST: Final = "127.0.0.1"


class DemoError(Exception):
    """The demo can't start or go on; the text says why."""


def run(settings: Settings) -> None:
    """Run the demo until Ctrl-C or SIGTERM; DemoError if a part of it ends by itself."""
    settings = replace(settings, port=_free_port(settings))
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with embedded.running(settings), socket.create_server((_BANK_HOST, 0)) as counter:
            again = settings.reset_data and reset.environment(settings) is not None
            (reset.reset if again else reset.create)(settings, say=lambda _: None)
            password = asyncio.run(reset.let_in(settings, _OPERATOR))
            asyncio.run(_supervise(_with_bank(settings, counter), password, counter.fileno()))
    except KeyboardInterrupt:
        pass
    _say("\nPayRail has stopped. Its data stays: make demo goes on where it was.")


def _with_bank(settings: Settings, counter: socket.socket) -> Settings:
    """Return the settings with a bank that only this demo knows the key of."""
    return replace(
        settings,
        sandbox_bank_url=f"http://{_BANK_HOST}:{counter.getsockname()[1]}",
        sandbox_bank_key=secrets.token_urlsafe(16),
        sandbox_bank_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        sandbox_callback_url=f"http://{_host(settings)}:{settings.port}{callbacks.PATH}/",
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _free_port(settings: Settings) -> int:
    """Return the port to serve at; DemoError if it can't be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OSError as exc:
        message = f"can't listen on {settings.host}:{settings.port}: {exc.strerror}"
        if exc.errno == errno.EADDRINUSE:
            other = settings.port + (1 if settings.port < _LAST_PORT else -1)
            message = f"port {settings.port} is taken: try PORT={other} make demo"
        raise DemoError(message) from exc


# ---------------------------------------------------------------------------------- the processes


async def _supervise(settings: Settings, password: str, counter: int) -> None:
    """Run the children until a signal comes; DemoError if a part ends by itself."""
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    children: list[Process] = []
    theirs, ours = os.pipe()
    try:
        for command in _CHILDREN:
            children.append(await _start(command, theirs, settings, counter))  # noqa: PERF401  # one may fail
        ends = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(_lost(settings)),
            *(asyncio.create_task(child.wait()) for child in children),
        ]
        starting = asyncio.create_task(_ready(settings))
        done, _ = await asyncio.wait([*ends, starting], return_when=asyncio.FIRST_COMPLETED)
        if done == {starting}:
            _say(await _summary(settings, password))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return
        names = [
            name
            for name, child in zip(_CHILDREN.values(), children, strict=True)
            if child.returncode is not None
        ]
        message = f"the {' and the '.join(names) or 'database'} ended unexpectedly: all is stopped"
        raise DemoError(message)
    finally:
        await _stop(children)
        os.close(theirs)
        os.close(ours)


async def _start(command: str, lifeline: int, settings: Settings, counter: int) -> Process:
    is_bank = command == "sandbox-bank"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pyapp", command, "--until-eof"),
        *(("--fd", str(counter)) if is_bank else ()),
        pass_fds=(counter,) if is_bank else (),
        stdin=lifeline,
        stderr=STDOUT,
        cwd=ROOT,
        env={
            **os.environ,
            "PORT": str(settings.port),
            "PAYRAIL_HOME": str(settings.home),
            "CONSOLE": "1",
            "WEBHOOK_LOOPBACK": "1",
            "SANDBOX_BANK_URL": settings.sandbox_bank_url or "",
            "SANDBOX_BANK_KEY": settings.sandbox_bank_key,
            "SANDBOX_BANK_SECRET": settings.sandbox_bank_secret or "",
            "SANDBOX_CALLBACK_URL": settings.sandbox_callback_url or "",
        },
        start_new_session=True,
    )


async def _stop(children: list[Process]) -> None:
    """Ask politely, wait, and insist."""
    running = [child for child in children if child.returncode is None]
    for child in running:
        child.terminate()
    ends = [asyncio.create_task(child.wait()) for child in running]
    if not ends:
        return
    _, late = await asyncio.wait(ends, timeout=_PATIENCE)
    if late:
        for child in running:
            if child.returncode is None:
                child.kill()
        await asyncio.wait(late)


async def _lost(settings: Settings) -> None:
    """Return when the embedded server is away for longer than its recovery from a crash takes."""
    server = embedded.of(settings)
    away = 0.0
    while away < _PATIENCE:
        await asyncio.sleep(_LOOK)
        there = settings.database_url is not None or await asyncio.to_thread(server.is_live)
        away = 0.0 if there else away + _LOOK


async def _ready(settings: Settings) -> None:
    """Return when the API answers and sees its database."""
    while not await asyncio.to_thread(_answers, settings):  # noqa: ASYNC110  # another process
        await asyncio.sleep(0.05)


def _answers(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(f"{_host(settings)}:{settings.port}", timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# ------------------------------------------------------------------------------ what people see


async def _summary(settings: Settings, password: str) -> str:
    url = f"http://{_host(settings)}:{settings.port}"
    merchants = [
        {"merchant": m.name, "API_key": m.secret, **balance}
        for m, balance in zip(reset.MERCHANTS, await _balances(settings), strict=True)
    ]
    sections = {
        "PayRail is running": tables.details(
            {
                "dashboard": f"{url}/",
                "API": f"{url}/api/v1/",
                "docs": f"{url}/docs/",
                "sandbox_bank": f"{settings.sandbox_bank_url} (docs/sandbox.md)",
                "data": _data(settings),
            },
            *("dashboard", "API", "docs", "sandbox_bank", "data"),
        ),
        "Operators' console (a new password at each start)": tables.details(
            {"console": f"{url}/ops/", "name": _OPERATOR, "password": password},
            *("console", "name", "password"),
        ),
        "Merchants": tables.table(merchants, "merchant", "API_key", "available", "held"),
        "Pay INR 60.00 (the same line again gives the same answer and no second payout)": _curl(
            url
        ),
        "Look inside": _psql(settings),
    }
    parts = [f"\n{_bold(title)}\n\n{_indent(text)}\n" for title, text in sections.items()]
    return "".join(parts) + f"\n{_bold('Ctrl-C stops everything.')}\n"


async def _balances(settings: Settings) -> list[dict[str, object]]:
    conninfo = settings.conninfo("payrail_operator")
    async with open_pool(conninfo, name="payrail-demo", max_size=1) as db:
        found = {
            balance.merchant_id: balance
            for balance in await doors.balances(db)
            if balance.currency == "INR"
        }
    return [
        {"currency": "INR", "available": balance.available, "held": balance.held}
        for balance in (found[merchant.merchant_id] for merchant in reset.MERCHANTS)
    ]


def _curl(url: str) -> str:
    return (
        f"curl -s -X POST {url}/api/v1/payouts/"
        f" -H 'Authorization: Api-Key {reset.MERCHANTS[-1].secret}'"
        f" -H 'Idempotency-Key: {uuid.uuid4()}'"
        " -H 'Content-Type: application/json'"
        f""" -d '{{"amount_paise":6000,"bank_account_id":"{reset.BANK_ACCOUNT}"}}'"""
    )


def _psql(settings: Settings) -> str:
    """Return a line that works from any folder, in a shell with the same DATABASE_URL if any."""
    program = Path(sys.executable).with_name("payrail")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "pyapp"]
    if settings.database_url is None and settings.home != Settings().home:
        command = ["env", f"PAYRAIL_HOME={settings.home}", *command]
    return shlex.join([*command, "psql", "-c", "SELECT * FROM payrail.balances"])


def _data(settings: Settings) -> str:
    if settings.database_url is None:
        return f"{embedded.of(settings).base / 'data'} (embedded PostgreSQL)"
    parts = conninfo_to_dict(settings.database_url)
    return f"database {parts.get('dbname')} of {parts.get('host', 'the local server')}"


def _host(settings: Settings) -> str:
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = everywhere.get(settings.host, settings.host)
    return f"[{host}]" if ":" in host else host


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    return text if plain else f"\033[1m{text}\033[0m"


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
