"""A backup that was restored proves itself: a drill, in a server of its own that is thrown away.

A base backup and the archived WAL are brought to a point at random, as a recovery does it; then
the audit and the hashes tell whether all is as it was. The backup and the archive are only read.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from pyapp import anchors, database, doors
from pyapp.embedded import EmbeddedError, Server

# Invariants about when work is done: nobody does any in a drill.
_OF_WORK: Final = frozenset({"overdue_work", "unescalated", "broken_batches"})
_SEGMENT: Final = re.compile(r"[0-9A-F]{24}")
# A standby must have room for as much as the primary: what pg_controldata tells, and its setting.
_ROOM: Final = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


class DrillError(Exception):
    """A backup or an archive that can't be restored; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What was found: `lsn` is the point that was restored, of those from `first` to `last`."""

    first: str = ""
    last: str = ""
    lsn: str = ""
    restored_in: float = 0.0  # seconds, the copy of the backup included
    audited_in: float
    verified_in: float
    entries: int
    chains: int
    faults: list[anchors.Fault]
    broken: list[doors.Finding]


class _Range(msgspec.Struct, rename={"timeline": "Timeline", "end": "End-LSN"}):
    timeline: int
    end: str


class _Manifest(msgspec.Struct, rename={"ranges": "WAL-Ranges"}):
    ranges: list[_Range]


def restore(
    server: Server, backup: Path, archive: Path, dbname: str, choose: Callable[[int, int], int]
) -> Drill:
    """Restore to the point that is chosen of those from the backup's end on, and look at it.

    `server` tells whose programs are used, and as which account; it is not touched.
    """
    if not (backup / "backup_manifest").is_file():
        message = f"{backup} is no base backup: make one with pg_basebackup, in its plain format"
        raise DrillError(message)
    if any((backup / "pg_tblspc").glob("*")):
        message = f"{backup} has tablespaces, which a drill does not restore"
        raise DrillError(message)
    if not archive.is_dir():
        message = f"{archive} is no folder of archived WAL"
        raise DrillError(message)
    try:
        with tempfile.TemporaryDirectory(prefix="payrail-drill-") as folder:
            home = Path(folder)
            home.chmod(0o755)  # for the account that PostgreSQL runs as
            return _restore(replace(server, home=home / "home"), backup, archive, dbname, choose)
    except OSError as exc:
        several = isinstance(exc, shutil.Error)  # what could not be copied, and why
        message = f"it can't be restored: {exc.args[0][0][2] if several else exc}"
        raise DrillError(message) from None


def _restore(
    server: Server, backup: Path, archive: Path, dbname: str, choose: Callable[[int, int], int]
) -> Drill:
    began = time.monotonic()
    try:
        server.adopt(backup)
        facts = server.facts()
        first, last = _bounds(backup, archive, int(facts["Bytes per WAL segment"]))
        target = choose(first, last)
        where = shlex.quote(str(archive.resolve())).replace("%", "%%")
        options = {
            **{setting: facts[fact] for fact, setting in _ROOM.items()},
            "restore_command": f"cp {where}/%f %p",
            "recovery_target_timeline": "current",  # the backup's, of which the bounds are
            "recovery_target_action": "promote",
            "recovery_target_lsn": text(target),
        }
        if target == first:
            del options["recovery_target_lsn"]
            options["recovery_target"] = "immediate"
        settings = tuple(f"{name}={value}" for name, value in options.items())
        server = replace(server, options=settings)
        with server.recovered():
            restored = time.monotonic()
            found = asyncio.run(_look(server.conninfo(dbname)))
    except (EmbeddedError, psycopg.Error) as exc:
        message = f"it can't be restored: {_last_words(server) or exc}"
        raise DrillError(message) from None
    finally:
        server.discard()
    return replace(
        found,
        first=text(first),
        last=text(last),
        lsn=text(target),
        restored_in=restored - began,
    )


async def _look(conninfo: str) -> Drill:
    """Audit and verify, as the server's administrator."""
    conninfo = make_conninfo(conninfo, options="-c statement_timeout=0")
    await (await psycopg.AsyncConnection.connect(conninfo)).close()  # says why it can't
    async with database.open_pool(conninfo, name="payrail-drill", max_size=1) as db:
        began = time.monotonic()
        report = await doors.run_audit(db)
        audited = time.monotonic()
        verified = await anchors.verify(doors.entries(db), [])
        return Drill(
            audited_in=audited - began,
            verified_in=time.monotonic() - audited,
            entries=verified.entries,
            chains=verified.chains,
            faults=verified.first,
            broken=[one for one in report if one.violations and one.invariant not in _OF_WORK],
        )


def _bounds(backup: Path, archive: Path, size: int) -> tuple[int, int]:
    """Return the backup's end, and the beginning of the last WAL segment that is archived."""
    try:
        manifest = msgspec.json.decode((backup / "backup_manifest").read_bytes(), type=_Manifest)
        of = manifest.ranges[-1]
        first = number(of.end)
    except (msgspec.MsgspecError, IndexError, ValueError):
        message = f"{backup}/backup_manifest can't be read"
        raise DrillError(message) from None
    names = [path.name for path in archive.iterdir() if _SEGMENT.fullmatch(path.name)]
    starts = [
        (int(name[8:16], 16) << 32) + int(name[16:], 16) * size
        for name in names
        if int(name[:8], 16) == of.timeline
    ]
    if not any(start <= first <= start + size for start in starts):
        message = f"{archive} has no WAL of the backup's end, {of.end}: is it archived, and here?"
        raise DrillError(message)
    return first, max(first, *starts)


def number(lsn: str) -> int:
    """Return the byte of the WAL that `0/3000158` is; ValueError if it is no such thing."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def text(lsn: int) -> str:
    """Return a byte of the WAL as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def _last_words(server: Server) -> str:
    """Return why the server ended, by its log."""
    log = server.base / "postgres.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    return fatal[-1] if fatal else ""
