"""Requests that reach the API at the same moment: nothing twice, no overdraft, no 5xx.

`ROUNDS=500 pytest tests/concurrency/test_http_races.py` is the long run.
"""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest

from tests.conftest import Database, Merchant, new_merchant
from tests.crowd import ROUNDS, SIZE
from tests.desk import violations
from tests.web.conftest import serving

OPENING = 10_000


@dataclass(frozen=True)
class Answer:
    """What one of the racers got."""

    status: int
    replayed: bool
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


class Racers:
    """Kept connections to one server, as many as SIZE, that ask at the same moment."""

    def __init__(self, host: str, port: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._open = ExitStack()
        self._sockets = [
            self._open.enter_context(socket.create_connection((host, port), timeout=60))
            for _ in range(SIZE)
        ]
        for connection in self._sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def race(self, requests: list[bytes]) -> list[Answer]:
        """Send all requests but their last bytes, then all last bytes; return all answers.

        One that is told to come again (409, in flight) does, once the others have their answers.
        """
        used = list(zip(self._sockets, requests, strict=False))
        assert len(used) == len(requests)
        for connection, request in used:
            connection.sendall(request[:-1])
        for connection, request in used:
            connection.sendall(request[-1:])
        answers = [self._answer(connection) for connection, _ in used]
        again = [place for place, answer in enumerate(answers) if answer.status == 409]
        if again:
            repeated = self.race([requests[place] for place in again])
            for place, answer in zip(again, repeated, strict=True):
                answers[place] = answer
        return answers

    def _answer(self, connection: socket.socket) -> Answer:
        with HTTPResponse(connection) as response:
            response.begin()
            body = response.read()
            self.statuses[response.status] += 1
            if response.status == 409:
                assert response.headers["Retry-After"]
                assert json.loads(body)["code"] == "idempotency_key_in_flight"
            replayed = response.headers["Idempotent-Replayed"] == "true"
            return Answer(response.status, replayed, body)


def create(merchant: Merchant, key: str, amount: int) -> bytes:
    """Return a request as it goes over the wire."""
    body = json.dumps({"amount_paise": amount, "bank_account_id": merchant.bank_account_id})
    lines = (
        "POST /api/v1/payouts/ HTTP/1.1",
        "Host: localhost",
        f"Authorization: Api-Key {merchant.secret}",
        f"Idempotency-Key: {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "",
        body,
    )
    return "\r\n".join(lines).encode()


@pytest.fixture
def racers(database: Database, tmp_path: Path) -> Iterator[Racers]:
    """Racers against an API process of their own; the audit finds nothing after them."""
    with (
        serving(database.conninfo("admin"), tmp_path, "//readyz") as web,
        Racers(web.host, web.port) as racers,
    ):
        yield racers
    assert {*racers.statuses} <= {201, 409, 422}
    with database.connect("payrail_auditor") as auditor:
        assert violations(auditor) == {}


def money(database: Database, merchant_id: UUID) -> tuple[int, int, int]:
    """Return what is available, what is held, and how many payouts there are."""
    with database.connect("payrail_auditor") as auditor:
        row = auditor.execute(
            "SELECT available, held, (SELECT count(*) FROM payrail.payouts p"
            " WHERE p.merchant_id = b.merchant_id) AS payouts"
            " FROM payrail.balances b WHERE b.merchant_id = %s",
            [merchant_id],
        ).fetchone()
    assert row is not None
    return row["available"], row["held"], row["payouts"]


def test_one_key_is_one_payout(database: Database, racers: Racers) -> None:
    for number in range(ROUNDS):
        merchant = new_merchant(database, OPENING)  # a key may only do so much in a second
        answers = racers.race([create(merchant, f"k{number}", 6000)] * SIZE)
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
        assert money(database, merchant.merchant_id) == (4000, 6000, 1)


def test_the_balance_is_spent_exactly_once(database: Database, racers: Racers) -> None:
    """Different keys over the balance: as many are paid as fit, and the rest are told why not."""
    dice = random.Random(2)
    for number in range(ROUNDS):
        merchant = new_merchant(database, OPENING)
        amount = dice.randrange(OPENING // SIZE + 1, OPENING + 2000)
        fit = OPENING // amount
        requests = [create(merchant, f"k{number}-{place}", amount) for place in range(SIZE)]
        answers = racers.race(requests)
        assert Counter(answer.status for answer in answers) == Counter({201: fit, 422: SIZE - fit})
        refusals = {answer.json["code"] for answer in answers if answer.status == 422}
        assert refusals == {"insufficient_funds"}
        assert not any(answer.replayed for answer in answers)
        left = OPENING - fit * amount, fit * amount, fit
        assert money(database, merchant.merchant_id) == left

        again = racers.race(requests)
        assert [(a.status, a.body) for a in again] == [(a.status, a.body) for a in answers]
        assert all(answer.replayed for answer in again)
        assert money(database, merchant.merchant_id) == left


def test_two_payouts_of_sixty_from_a_hundred(database: Database, racers: Racers) -> None:
    for number in range(ROUNDS):
        merchant = new_merchant(database, OPENING)
        answers = racers.race([create(merchant, f"{number}-{key}", 6000) for key in "ab"])
        assert sorted(answer.status for answer in answers) == [201, 422]
        assert money(database, merchant.merchant_id) == (4000, 6000, 1)
