"""Signed callbacks, as Standard Webhooks has them (https://www.standardwebhooks.com).

The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` go with a JSON body; the
signature is HMAC-SHA256 over id.timestamp.body, under a secret written as whsec_<base64>. Written
here because the library of that name has no types and raises ValueError for what is malformed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

TOLERANCE: Final = 300  # seconds that a callback may be old, or ahead of this clock
_PREFIX: Final = "whsec_"
_ID: Final = re.compile(r"[!-\-/-~]{1,255}")  # without the dot, which separates what is signed
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class ForgedError(Exception):
    """A callback that can't be trusted; the text says why, and quotes nothing of it."""


def key_of(secret: str) -> bytes:
    """Return the key in a whsec_ secret, 24 to 64 bytes; ValueError if it isn't one."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not (secret.startswith(_PREFIX) and 24 <= len(key) <= 64):  # noqa: PLR2004  # the standard's
        message = f"must be {_PREFIX} and 24 to 64 bytes in base64"
        raise ValueError(message)
    return key


def sign(event_id: str, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers that go with a callback sent now."""
    timestamp = str(int(time.time()))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{_signature(event_id, timestamp, body, key_of(secret))}",
    }


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> dict[str, Any]:
    """Return the JSON object of a callback that one of the secrets has signed within 5 minutes.

    ForgedError for everything else. `headers` has their names in lower case, or ignores case.
    """
    event_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not (_ID.fullmatch(event_id) and _TIMESTAMP.fullmatch(timestamp)):
        message = "webhook-id or webhook-timestamp is missing or malformed"
        raise ForgedError(message)
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        message = "webhook-timestamp is too far from now"
        raise ForgedError(message)
    expected = [_signature(event_id, timestamp, body, key_of(secret)) for secret in secrets]
    signatures = [text[3:] for text in given.split(" ") if text.startswith("v1,")]
    if not any(
        hmac.compare_digest(ours.encode(), theirs.encode())
        for ours in expected
        for theirs in signatures
    ):
        message = "webhook-signature does not match"
        raise ForgedError(message)
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        message = "the body is not a JSON object"
        raise ForgedError(message) from None


def _signature(event_id: str, timestamp: str, body: bytes, key: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
