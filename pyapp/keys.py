"""API keys: what they may do, and how their secrets, and those of webhooks, are made."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

Scope: TypeAlias = Literal[
    "read",
    "payouts:create",
    "payouts:approve",
    "bank_accounts:write",
    "webhooks:write",
    "keys:write",
]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT: Final[tuple[Scope, ...]] = ("read", "payouts:create")
PER_SECOND: Final = 1000  # reads, and as many writes, unless a key has limits of its own


@dataclass(frozen=True, slots=True)
class Secret:
    """A new secret: `text` is shown once, the database keeps the others."""

    text: str = field(repr=False)
    hash: bytes  # SHA-256
    prefix: str


def new_secret(environment: str) -> Secret:
    """Return a secret of 256 random bits for a `live` or another instance."""
    kind = "live" if environment == "live" else "test"
    text = f"pr_{kind}_{secrets.token_urlsafe(32)}"
    return Secret(text, hashlib.sha256(text.encode()).digest(), text[:12])


def new_webhook_secret() -> str:
    """Return a secret of 256 random bits, written as Standard Webhooks has it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
