"""Anchors of the ledger in a file: the newest hash of each chain, signed.

Whoever has the database can alter the ledger and make all its hashes anew; kept where they can't
write, and signed by a key that they don't have, an anchor shows that. A file is two lines of JSON:
what was anchored and when, and the Ed25519 signature of that line's bytes (RFC 8032).
The hashes are made here once more, as ledger.entry_hash makes them: what is in a database that is
under suspicion, its functions too, is no judge of itself.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import EEXIST
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pyapp.doors import Anchor

_FORMAT: Final = "payrail-anchors-1"
# What stands before a hashed record: 11 columns; and before each of them: its type's OID
_COLUMNS: Final = (11).to_bytes(4)
_OIDS: Final = tuple(oid.to_bytes(4) for oid in (17, 2950, 25, 20, 25, 20, 20, 20, 2950, 25, 1184))
_NULL: Final = b"\xff" * 4
_MOST: Final = 100  # faults that are listed


class InvalidAnchorsError(ValueError):
    """A file that is not what it should be; the text says why."""


class Anchored(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says."""

    format: Literal["payrail-anchors-1"]
    taken_at: datetime
    anchors: list[Anchor]


class _Signed(msgspec.Struct, frozen=True):
    signature: str


def public(key: Path) -> Path:
    """Return where the public half of a key is."""
    return key.with_name(f"{key.name}.pub")


def make_key(path: Path) -> None:
    """Write a new key, and beside it its public half; raises OSError, FileExistsError too."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if public(path).exists():
        raise FileExistsError(EEXIST, os.strerror(EEXIST), str(public(path)))
    write(path, private, 0o600)
    try:
        write(public(path), shown)
    except OSError:
        path.unlink()
        raise


def write(path: Path, text: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet, whole or not at all; raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(text)
            out.flush()
            os.fsync(file)
    except OSError as exc:
        path.unlink()
        raise OSError(exc.errno, exc.strerror, str(path)) from None


def signed(anchors: Sequence[Anchor], key: Path) -> bytes:
    """Return the file that says so, signed by this key."""
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        message = f"{key} is no Ed25519 key without a password, in PEM"
        raise InvalidAnchorsError(message)
    said = Anchored(format=_FORMAT, taken_at=datetime.now(UTC), anchors=list(anchors))
    line = msgspec.json.encode(said)
    return b"%s\n%s\n" % (line, msgspec.json.encode(_Signed(private.sign(line).hex())))


def verified(file: Path, key: Path) -> Anchored:
    """Return what a file says, if the holder of this public key has signed it."""
    try:
        known = load_pem_public_key(key.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        known = None
    if not isinstance(known, Ed25519PublicKey):
        message = f"{key} is no public Ed25519 key in PEM"
        raise InvalidAnchorsError(message)
    line, _, rest = file.read_bytes().partition(b"\n")
    try:
        signature = msgspec.json.decode(rest, type=_Signed).signature
        known.verify(bytes.fromhex(signature), line)
        return msgspec.json.decode(line, type=Anchored)
    except InvalidSignature:
        message = f"{file} was changed, or somebody else has signed it"
        raise InvalidAnchorsError(message) from None
    except (ValueError, msgspec.MsgspecError):
        message = f"{file} is no file of anchors, or not all of one"
        raise InvalidAnchorsError(message) from None


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """An entry of the ledger that is not what it was.

    broken: it does not continue the one before it. rewritten: it was anchored with another hash.
    missing: it was anchored, and is gone. withheld: it was anchored, and of its chain
    nothing is in the file after that.
    """

    merchant_id: UUID
    currency: str
    seq: int
    fault: str


@dataclass(slots=True)
class Verified:
    """What was found: `anchored` of the entries are those that the anchors stand for."""

    chains: int = 0
    entries: int = 0
    anchored: int = 0
    faults: int = 0
    first: list[Fault] = field(default_factory=list)  # in the ledger's order

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it if it is one of the first."""
        self.faults += 1
        if len(self.first) < _MOST:
            self.first.append(fault)


async def verify(
    entries: AsyncIterable[Sequence[bytes | None]], files: Sequence[Anchored]
) -> Verified:
    """Hold every entry against the one before it, and against the anchors.

    An entry is its columns in PostgreSQL's binary form, as doors.entries has them.
    """
    found = Verified()
    known = _known(files, found)
    chain, seq, previous = (UUID(int=0), ""), 0, None
    async for entry in entries:
        *columns, kept = entry
        merchant_id, currency, number = columns[:3]  # none is NULL, unless somebody has seen to it
        here = (UUID(bytes=merchant_id or bytes(16)), (currency or b"").decode())
        if here != chain:
            _end(known.pop(chain, {}), chain, found)
            chain, seq, previous = here, 0, None
            found.chains += 1
        found.entries += 1
        before, seq = seq, int.from_bytes(number or b"")
        if seq != before + 1 or kept != _hash(previous, columns):
            found.add(Fault(*chain, seq, "broken"))
        previous = kept
        if (anchored := known.get(chain)) and (said := anchored.pop(seq, None)):
            if said != {(kept or b"").hex()}:
                found.add(Fault(*chain, seq, "rewritten"))
            elif not anchored:  # the last one of this chain
                found.anchored += seq
    for chain, anchored in known.items():
        _end(anchored, chain, found)
    found.first.sort()
    return found


_Chain: TypeAlias = tuple[UUID, str]
_Anchors: TypeAlias = dict[int, set[str]]  # the hashes that an entry was anchored with


def _known(files: Sequence[Anchored], found: Verified) -> dict[_Chain, _Anchors]:
    known: dict[_Chain, _Anchors] = defaultdict(dict)
    before: dict[_Chain, int] = {}
    for file in sorted(files, key=lambda file: file.taken_at):
        here = {(one.merchant_id, one.currency): one.seq for one in file.anchors}
        for chain in before.keys() - here.keys():
            found.add(Fault(*chain, before[chain], "withheld"))
        before = here
        for one in file.anchors:
            known[one.merchant_id, one.currency].setdefault(one.seq, set()).add(one.hash)
    return known


def _end(anchored: _Anchors, chain: _Chain, found: Verified) -> None:
    """Note what was anchored and did not come."""
    for seq in anchored:
        found.add(Fault(*chain, seq, "missing"))


def _hash(previous: bytes | None, columns: Sequence[bytes | None]) -> bytes:
    parts = [_COLUMNS]
    for oid, value in zip(_OIDS, (previous, *columns), strict=True):
        parts += (oid, _NULL) if value is None else (oid, len(value).to_bytes(4), value)
    return sha256(b"".join(parts)).digest()
