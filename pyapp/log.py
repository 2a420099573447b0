"""Logs: one JSON object per line, or one readable line on a terminal.

Never logged: secrets, bodies, query strings, account numbers. A caller is its key's prefix.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

import msgspec
import psycopg

_LOGGER: Final = logging.getLogger("payrail")


def setup(level: str = "INFO") -> None:
    """Send every log line of this process to stderr at `level` and above."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line() if sys.stderr.isatty() else _Json())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nor these
    # At INFO the pool tells of every connection it lends, and httpx of every call.
    for name in ("psycopg.pool", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log that `name` happened; fields that are None are left out."""
    if _LOGGER.isEnabledFor(level):
        # as _LOGGER.log does, but without a look at the stack for a line number that nobody reads
        record = logging.LogRecord(_LOGGER.name, level, "", 0, name, None, None)
        record.fields = fields
        _LOGGER.handle(record)


def failure(name: str, exc: BaseException, **fields: object) -> None:
    """Log an exception with its stack, but without PostgreSQL's DETAIL, which quotes whole rows."""
    text = exc.diag.message_primary if isinstance(exc, psycopg.Error) else None
    event(
        name,
        level=logging.ERROR,
        error=type(exc).__name__,
        sqlstate=getattr(exc, "sqlstate", None),
        message=text or str(exc),
        stack="".join(traceback.format_tb(exc.__traceback__)),
        **fields,
    )


def _fields(record: logging.LogRecord) -> dict[str, object]:
    known: dict[str, object] = getattr(record, "fields", {})
    fields = {name: value for name, value in known.items() if value is not None}
    if record.name != _LOGGER.name:
        fields["logger"] = record.name
    if record.exc_info and record.exc_info[1]:
        fields["error"] = type(record.exc_info[1]).__name__
        fields["stack"] = "".join(traceback.format_tb(record.exc_info[2]))
    return fields


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        return msgspec.json.encode(line, enc_hook=str).decode()


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = _fields(record)
        stack = fields.pop("stack", "")
        pairs = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
        line = f"{time} {record.levelname.lower():7} {_plain(record.getMessage())} {pairs}"
        return f"{line}\n{stack}".rstrip()


def _plain(value: object) -> str:
    """Return text that can't move a terminal's cursor or start a new line."""
    text = str(value)
    return text if text.isprintable() else ascii(text)
