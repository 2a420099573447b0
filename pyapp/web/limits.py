"""How often an API key may be used, counted in this process.

Each key has a bucket of reads and one of writes. A bucket holds what the key may do in a second,
and fills up evenly (the generic cell rate algorithm of ITU-T I.371, which keeps one number). A key
whose bucket is empty is refused before the database is asked whose it is. Several processes count
apart, each of them the whole limit.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from pyapp.doors import KeyHolder
from pyapp.errors import Problem

Headers = list[tuple[bytes, bytes]]

_SECOND: Final = 10**9  # nanoseconds
_FRESH: Final = 10 * _SECOND  # what the database said of a key


@dataclass(slots=True)
class Bucket:
    """What is left of `quota` requests a second; times are nanoseconds of one clock."""

    name: str
    quota: int
    full_at: int = 0

    def take(self, now: int) -> Headers:
        """Take one request out and say what is left; Problem rate_limited if there is none."""
        each = _SECOND // self.quota
        full_at = max(self.full_at, now) + each
        left = (now + _SECOND - full_at) // each
        policy = _policy(self.name, self.quota)
        if left < 0:
            wait = -((now + _SECOND - full_at) // _SECOND)
            headers = {"RateLimit-Policy": policy.decode(), "RateLimit": self._left(0).decode()}
            raise Problem("rate_limited", headers={"Retry-After": str(wait), **headers})
        self.full_at = full_at
        return [(b"ratelimit-policy", policy), (b"ratelimit", self._left(left))]

    def _left(self, count: int) -> bytes:
        return b'"%s";r=%d;t=1' % (self.name.encode(), count)


@cache
def _policy(name: str, quota: int) -> bytes:
    return f'"{name}";q={quota};w=1'.encode()


@dataclass(slots=True)
class Buckets:
    """Those of one key, and whose it is, as the database said at a time of our clock."""

    reads: Bucket
    writes: Bucket
    holder: KeyHolder
    learnt_at: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Every key that has been used here, by the SHA-256 of its secret."""

    clock: Callable[[], int] = time.monotonic_ns
    keys: dict[bytes, Buckets] = field(default_factory=dict)

    def take(self, key_hash: bytes, *, writes: bool) -> Headers | None:
        """Take a request out of a key's bucket; None if the key has not been used here yet."""
        found = self.keys.get(key_hash)
        if found is None:
            return None
        return (found.writes if writes else found.reads).take(self.clock())

    def holder(self, key_hash: bytes) -> KeyHolder | None:
        """Return whose key it was a moment ago, for who asks the database about it anyway."""
        found = self.keys.get(key_hash)
        return found.holder if found and self.clock() - found.learnt_at < _FRESH else None

    def learn(self, key_hash: bytes, holder: KeyHolder | None) -> None:
        """Note what the database says of a key now: whose it is, or that it is not valid."""
        if holder is None:
            self.keys.pop(key_hash, None)
            return
        found = self.keys.get(key_hash)
        if found is None:
            buckets = Bucket("reads", 1), Bucket("writes", 1)
            found = self.keys[key_hash] = Buckets(*buckets, holder, 0)
        found.holder = holder
        found.learnt_at = self.clock()
        found.reads.quota = holder.reads_per_second
        found.writes.quota = holder.writes_per_second
