"""Operators' passwords: Argon2id, as RFC 9106 recommends it where memory is limited."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

LEAST: Final = 12  # characters; NIST SP 800-63B asks for length, and for nothing else

_HASHER: Final = PasswordHasher()


def digest(password: str) -> str:
    """Return what is stored: a PHC string with a salt of its own."""
    return _HASHER.hash(password)


def matches(known: str | None, password: str) -> bool:
    """Tell whether it is the password of this hash; without one it takes as long to say no."""
    try:
        return _HASHER.verify(known or _nobodys(), password) and known is not None
    except VerifyMismatchError:
        return False


@cache
def _nobodys() -> str:
    return digest(secrets.token_hex())
