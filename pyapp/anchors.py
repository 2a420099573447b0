"""Anchors of the ledger in a file: the newest hash of each chain, signed.

Whoever has the database can alter the ledger and make all its hashes anew; kept where they can't
write, and signed by a key that they don't have, an anchor shows that. A file is two lines of JSON:
what was anchored and when, and the Ed25519 signature of that line's bytes (RFC 8032).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from errno import EEXIST
from pathlib import Path
from typing import Final, Literal

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
    for file, text, mode in ((path, private, 0o600), (public(path), shown, 0o644)):
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(text)


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
