"""A bank that is paid by files: ISO 20022 messages in an outbox and an inbox.

Submitting puts an instruction in line. About once a second `tend` does the rest, and may die
anywhere and be done again by another worker:

    cut a file (its instructions are in it for ever), store its bytes, write it, note that it left
    give a file of the inbox a name of its own, read it, keep what it says, put it away

Neither holds up the other: a file that can't be written does not keep answers from being read.
An enquiry asks no bank: it asks what the bank's files have said. See docs/iso20022.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
import psycopg

from pyapp import doors, log
from pyapp.database import Pool
from pyapp.rails import iso20022
from pyapp.rails.rail import (
    Answer,
    Capabilities,
    Instruction,
    NotFound,
    NotReachedError,
    NotSent,
    Paid,
    Pending,
    Refused,
    Returned,
    Unknown,
)

_LEASE: Final = timedelta(seconds=60)  # to write a file
_PATIENCE: Final = 60.0  # seconds after which a file that makes no sense is no upload under way
_UNFINISHED: Final = (".tmp", ".part", ".filepart", ".partial")
_CALL: Final = 100  # instructions or references of one call
_PART: Final = 2000  # notices that are kept in one commit
_TAKEN: Final = "taken"  # the folder of files that are being read

# A profile is tried out on this before anything is sent.
_A_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AN_ORDER: Final = Instruction("0" * 32, 1, "INR", "000405012345", "HDFC0000004", "A Name", _A_DAY)

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=140)]


class InvalidProfileError(Exception):
    """A bank's profile that can't be used; the text names the file and the field."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bank: NAME.toml, where NAME is the rail's. Folders are relative to that file."""

    outbox: _Text
    inbox: _Text
    debtor_name: _Text
    debtor_account: _Text
    debtor_agent: _Text
    initiating_party: _Text
    service_level: _Text | None = None
    charge_bearer: _Text = "SLEV"
    batch_booking: bool = False
    every_seconds: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 60
    most_instructions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    finality_hours: Annotated[int, msgspec.Meta(ge=1, le=2160)] = 72


def open_file_rails(folder: Path, db: Pool) -> Mapping[str, FileRail]:
    """Return the banks whose profiles are in `folder`; InvalidProfileError if one can't be used."""
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        message = f"{folder} has no profile of a bank: it needs a file like mybank.toml"
        raise InvalidProfileError(message)
    return {path.stem: _open(path, db) for path in paths}


def _open(path: Path, db: Pool) -> FileRail:
    try:
        profile = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Profile)
        rail = FileRail(
            name=path.stem,
            db=db,
            profile=profile,
            outbox=(path.parent / profile.outbox).resolve(),
            inbox=(path.parent / profile.inbox).resolve(),
        )
        iso20022.pain001("PR", _A_DAY, 1, [_AN_ORDER], rail.header)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as exc:
        message = f"{path.name}: {exc}"
        raise InvalidProfileError(message) from None
    for kind, place in (("outbox", rail.outbox), ("inbox", rail.inbox)):
        if not place.is_dir():
            message = f"{path.name}: {kind}: {place} is no folder"
            raise InvalidProfileError(message)
    return rail


@dataclass(frozen=True, slots=True)
class FileRail:
    """A bank behind two folders."""

    name: str
    db: Pool
    profile: Profile
    outbox: Path
    inbox: Path

    @property
    def capabilities(self) -> Capabilities:
        """No instruction is ever in two files, so one that is in none can be sent."""
        return Capabilities(
            deduplicates_references=True,
            honours_valid_until=False,
            batch_size=_CALL,
            finality=timedelta(hours=self.profile.finality_hours),
            accounts=frozenset({"account_number", "iban"}),
        )

    @property
    def header(self) -> iso20022.Profile:
        """What is the same in every file."""
        fields = iso20022.Profile.__dataclass_fields__
        return iso20022.Profile(**{name: getattr(self.profile, name) for name in fields})

    async def submit(self, instructions: Sequence[Instruction]) -> Mapping[str, Answer]:
        """Put payment orders in line for the next file."""
        if not (self.outbox.is_dir() and os.access(self.outbox, os.W_OK | os.X_OK)):
            message = "the outbox is not there, or can't be written"
            raise NotReachedError(message)
        if not instructions:
            return {}
        impossible = await asyncio.to_thread(self._impossible, instructions)
        refs = [order.rail_ref for order in instructions if order.rail_ref not in impossible]
        filed = await doors.queue_instructions(self.db, self.name, refs)
        repeated = [one.rail_ref for one in filed if one.effect == "repeated"]
        return (
            {
                one.rail_ref: NotSent("the payout is not to be sent")
                if one.effect == "refused"
                else Pending("it waits for the next file", {"queue": one.effect})
                for one in filed
            }
            | dict(await self.enquire(repeated))
            | {
                # in no file, now or ever; what is in one after all is what the bank makes of it
                rail_ref: Refused("mode_not_supported", impossible[rail_ref], {"file": None})
                if isinstance(said, NotFound)
                else said
                for rail_ref, said in (await self.enquire([*impossible])).items()
            }
        )

    def _impossible(self, instructions: Sequence[Instruction]) -> dict[str, str]:
        """Return what can't be written, and why: one of it would stop a whole file."""
        try:
            iso20022.pain001("PR", _A_DAY, 1, instructions, self.header)
        except ValueError as exc:
            if len(instructions) == 1:
                return {instructions[0].rail_ref: f"it can't be sent by file: {exc}"[:200]}
            return {k: v for one in instructions for k, v in self._impossible([one]).items()}
        return {}

    async def enquire(self, rail_refs: Sequence[str]) -> Mapping[str, Answer]:
        """Return what the bank's files have said."""
        said = await doors.ask_files(self.db, self.name, rail_refs)
        return {one.rail_ref: _answer(one) for one in said}

    async def tend(self) -> None:
        """Send what is to be sent, and read what has come."""
        for step in (self._cut, self._send, self._receive):
            try:
                await step()
            except Exception as exc:  # noqa: BLE001  # the other steps are done all the same
                log.failure("file rail failed", exc, rail=self.name, step=step.__name__.strip("_"))

    # ----------------------------------------------------------------------------------- out

    async def _cut(self) -> None:
        """Cut a file if it is time, and store its bytes before anything leaves."""
        every = timedelta(seconds=self.profile.every_seconds)
        orders = await doors.cut_file(
            self.db, self.name, limit=self.profile.most_instructions, every=every
        )
        if orders:
            first = orders[0]
            content = await asyncio.to_thread(
                iso20022.pain001,
                first.message_id,
                first.cut_at,
                first.total,
                [_instruction(order) for order in orders],
                self.header,
            )
            await doors.store_file(self.db, first.file_id, content)

    async def _send(self) -> None:
        while file := await doors.claim_file(self.db, self.name, lease=_LEASE):
            await asyncio.to_thread(self._write, f"{file.message_id}.xml", file.content)
            await doors.mark_file_sent(self.db, file.file_id)
            log.event("file sent", rail=self.name, message_id=file.message_id)

    def _write(self, name: str, content: bytes) -> None:
        """Write to a name that nobody collects, and give it its own when the disk has it."""
        for left in self.outbox.glob(f".{name}.*.tmp"):  # of a worker that died
            left.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=self.outbox, prefix=f".{name}.", suffix=".tmp", delete=False
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(0o640)
        Path(file.name).replace(self.outbox / name)
        _sync(self.outbox)

    # ------------------------------------------------------------------------------------ in

    async def _receive(self) -> None:
        """Take what has come, and what a worker that died had taken."""
        for path in [*sorted(self.inbox.iterdir()), *sorted((self.inbox / _TAKEN).glob("*"))]:
            if path.name.startswith(".") or path.name.lower().endswith(_UNFINISHED):
                continue
            if path.is_file():
                try:
                    await self._take(path)
                except Exception as exc:  # noqa: BLE001  # the other files come all the same
                    log.failure("file not taken", exc, rail=self.name, file=path.name)

    async def _take(self, path: Path) -> None:
        """Keep what a file says, and put it away; one that another worker has taken is gone."""
        try:
            content, age = await asyncio.to_thread(_read, path)
            message = await asyncio.to_thread(_understand, content)
            if isinstance(message, str) and age < _PATIENCE:  # it may still be arriving
                return
            if path.parent == self.inbox:
                # under a name of its own: another one may come under this one at any time
                path = await asyncio.to_thread(self._rename, path)
                again, _ = await asyncio.to_thread(_read, path)
                if again != content:
                    content, message = again, await asyncio.to_thread(_understand, again)
        except FileNotFoundError:
            return
        digest = hashlib.sha256(content)
        name = path.name.partition("-")[2].encode("utf-8", "replace").decode()
        try:
            if isinstance(message, str):
                raise iso20022.InvalidMessageError(message)  # noqa: TRY301  # it is handled here
            received = await self._keep(name, digest.digest(), message)
        except (iso20022.InvalidMessageError, psycopg.DataError) as exc:
            why = str(exc) if isinstance(exc, iso20022.InvalidMessageError) else "can't be stored"
            await doors.receive_file(
                self.db, self.name, name=name, content_hash=digest.digest(), error=why
            )
            log.event("file refused", level=logging.ERROR, rail=self.name, file=name, error=why)
            self._put_away(path, "rejected", digest.hexdigest())
            return
        self._put_away(path, "done", digest.hexdigest())
        log.event(
            f"file {received.effect}",
            rail=self.name,
            file=name,
            notices=received.notices,
            unmatched=received.unmatched,
        )

    def _rename(self, path: Path) -> Path:
        taken = self.inbox / _TAKEN
        taken.mkdir(exist_ok=True)
        return path.replace(taken / f"{secrets.token_hex(8)}-{path.name}")

    async def _keep(
        self, name: str, digest: bytes, message: iso20022.Message
    ) -> doors.ReceivedFile:
        """Keep what a message says, in parts: no part holds up others for long."""
        entries = [_notice(entry, entry.rail_ref) for entry in message.entries if entry.rail_ref]
        whole = [_notice(entry, entry.rail_ref) for entry in message.whole if entry.rail_ref]
        parts = [entries[at : at + _PART] for at in range(0, len(entries), _PART)] or [[]]
        kept = [
            await doors.receive_file(
                self.db,
                self.name,
                name=name,
                content_hash=digest,
                kind=message.kind,
                message_id=message.message_id,
                notices=part,
                whole=whole if number == len(parts) else [],
                in_all=len(entries) if len(parts) > 1 else None,
            )
            for number, part in enumerate(parts, 1)
        ]
        return replace(
            kept[0],
            notices=sum(one.notices for one in kept),
            unmatched=sum(one.unmatched for one in kept),
        )

    def _put_away(self, path: Path, folder: str, digest: str) -> None:
        target = self.inbox / folder
        target.mkdir(exist_ok=True)
        try:
            path.replace(target / f"{digest[:12]}-{path.name.partition('-')[2]}")
        except FileNotFoundError:  # another worker has
            return
        _sync(target)


def _read(path: Path) -> tuple[bytes, float]:
    """Return a file's bytes, one more than can be taken at most, and its age in seconds."""
    with path.open("rb") as file:
        age = time.time() - os.fstat(file.fileno()).st_mtime
        return file.read(iso20022.MOST_BYTES + 1), age


def _understand(content: bytes) -> iso20022.Message | str:
    """Return what a file says, or why it can't be understood."""
    try:
        return iso20022.read(content)
    except iso20022.InvalidMessageError as exc:
        return str(exc)


def _sync(folder: Path) -> None:
    """Make the disk keep a folder's names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _instruction(order: doors.Order) -> Instruction:
    return Instruction(
        rail_ref=order.rail_ref,
        amount=order.amount,
        currency=order.currency,
        account_number=order.account_number,
        ifsc=order.ifsc,
        holder_name=order.holder_name,
        valid_until=order.cut_at,
        iban=order.iban,
        mode=order.mode,
        narration=order.narration,
    )


def _notice(entry: iso20022.Entry, rail_ref: str) -> doors.Notice:
    return doors.Notice(
        event_id=entry.event_id,
        rail_ref=rail_ref,
        outcome=entry.outcome,
        code=entry.code,
        reason=entry.reason,
        raw=entry.raw,
    )


def _answer(said: doors.FileAnswer) -> Answer:  # one for each kind of answer
    match said.outcome:
        case "paid" if said.utr:
            return Paid(said.utr, said.raw)
        case "refused" if said.code:
            return Refused(said.code, said.reason, said.raw)
        case "returned" if said.utr and said.code:
            return Returned(said.utr, said.code, said.reason, said.raw)
        case "pending":
            return Pending(said.reason or "the bank has not decided", said.raw)
        case "not_found":
            return NotFound(said.raw)
    return Unknown(said.reason or "the bank's files say nothing final", said.raw)
