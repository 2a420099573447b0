"""Whether what clients saw of one merchant could have happened one after the other.

Every change of a merchant's money is an entry with the next seq, so seq is the order of versions.
What a client did has the version that it wrote, or that it saw. Beyond that only time counts: what
began after something had ended comes after it. With one order of versions there is no cycle among
these edges (writes, reads, and time) exactly when nothing that began later has an older version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Did:
    """What a client did, from when until when by one clock, and the version it has."""

    began: float
    ended: float
    seq: int
    wrote: bool = False
    exact: bool = True  # else this is the newest of the versions that it may have seen


def faults(history: Sequence[Did], newest: int) -> list[str]:
    """Return what can't have happened one after the other; `newest` is the last version."""
    found = []
    ended = sorted((did for did in history if did.exact), key=lambda did: did.ended)
    written: set[int] = set()
    floor = place = 0
    for did in sorted(history, key=lambda did: did.began):
        while place < len(ended) and ended[place].ended < did.began:
            floor = max(floor, ended[place].seq)
            place += 1
        if did.wrote and did.seq <= floor:
            found.append(f"{did} was written before what had been seen: {floor}")
        if did.seq < floor:
            found.append(f"{did} is older than what had been seen: {floor}")
        if did.seq > newest:
            found.append(f"{did} is not there any more")
        if did.wrote and did.seq in written:
            found.append(f"{did} was written twice")
        if did.wrote:
            written.add(did.seq)
    return found
