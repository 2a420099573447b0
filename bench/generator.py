"""A load generator in a process of its own: `python -m bench.generator` asks for payouts over HTTP.

With a rate it is open-loop: each request has a time at which it is meant to leave, whatever became
of those before it, and its latency counts from then, also while no connection is free. Without one,
each connection asks again as soon as it is answered. Any answer but 201 ends it.

One thread and select(2), whose clock is finer than a millisecond; it needs nothing but Python.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import secrets
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BODY = '{"amount_paise":100,"bank_account_id":"demo-bank-account"}'


@dataclass(slots=True, eq=False)
class Line:
    """A connection that is kept, and when the request on it was meant to leave."""

    socket: socket.socket
    meant: float = 0.0
    heard: bytes = b""

    def fileno(self) -> int:
        """Let select(2) wait for it."""
        return self.socket.fileno()

    def ask(self, request: bytes, meant: float) -> None:
        """Send a request."""
        self.meant = meant
        self.heard = b""
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Take what has come; return whether it is all."""
        come = self.socket.recv(65536)
        self.heard += come
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if come and not end:
            return False
        if not head.startswith(b"HTTP/1.1 201 "):
            sys.exit(f"an answer that is not 201: {self.heard.decode(errors='replace')}")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        if not come and len(body) < length:
            sys.exit("a connection was closed before its answer was whole")
        return len(body) >= length


def load(
    port: int, keys: Sequence[str], connections: int, seconds: float, rate: float | None
) -> tuple[list[float], float]:
    """Ask for payouts of the keys' merchants, at random.

    Return the seconds that each answer took, and how long all of it.
    """
    run = secrets.token_hex(8)
    heads = [
        f"POST /api/v1/payouts/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
        f"Authorization: Api-Key {key}\r\nIdempotency-Key: {run}-"
        for key in keys
    ]
    idle = [Line(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
    busy = set[Line]()
    took = list[float]()
    asked = 0
    begun = time.monotonic()
    while True:
        now = time.monotonic()
        meant = begun + asked / rate if rate else now
        is_over = meant >= begun + seconds
        if is_over and not busy:
            return took, now - begun
        if idle and meant <= now and not is_over:
            line = idle.pop()
            line.ask(f"{random.choice(heads)}{asked}\r\n\r\n{BODY}".encode(), meant)
            busy.add(line)
            asked += 1
            continue
        wait = meant - now if idle and not is_over else None
        for line in select.select(busy, (), (), wait)[0]:
            if line.is_answered():
                took.append(time.monotonic() - line.meant)
                busy.remove(line)
                idle.append(line)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of them do not exceed."""
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)]


def main() -> None:
    """Do what the arguments say, and print what came of it as JSON; times are milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("keys", type=Path, help="a file with an API key in each line")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, help="requests a second; flat out without")
    given = parser.parse_args()
    gc.disable()  # its pauses would be the server's
    keys = given.keys.read_text().split()
    took, seconds = load(given.port, keys, given.connections, given.seconds, given.rate)
    took.sort()
    found: dict[str, float] = {"answered": len(took), "seconds": seconds}
    for percent in (50, 99, 99.9):
        found[f"p{percent}"] = 1000 * percentile(took, percent)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
