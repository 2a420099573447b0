"""Strict serializability for each merchant: whatever clients of two processes see has one order."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.concurrency.history import Did, faults
from tests.conftest import Database, Merchant, new_merchant
from tests.crowd import ROUNDS
from tests.desk import violations
from tests.web.client import Client
from tests.web.conftest import Web, serving

CLIENTS: Final = 8
EACH: Final = 10 * ROUNDS  # things that each client does


@dataclass
class Seen:
    """What a client did and was told: of a payout, of a kind of entry, or of a position."""

    began: float
    ended: float
    payout_id: str | None = None
    kind: str | None = None
    seq: int | None = None
    position: tuple[int, int] | None = None


@dataclass
class Recorder:
    """One client, which writes down what it sees."""

    clients: list[Client]
    bank_account_id: str
    name: str
    dice: random.Random
    seen: list[Seen] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def act(self, count: int) -> None:
        """Do one thing at one of the processes."""
        client = self.dice.choice(self.clients)
        what = self.dice.choice(("create", "create", "cancel", "entry", "balance"))
        began = time.monotonic()
        if what == "create":
            # each position of the ledger is another sum
            amount = self.dice.randrange(1, 10_000_000)
            body = {"amount_paise": amount, "bank_account_id": self.bank_account_id}
            answer = client.create(json.dumps(body).encode(), f"{self.name}-{count}")
            assert answer.status == 201, answer
            self.open.append(answer.json["id"])
            self.note(began, payout_id=answer.json["id"], kind="hold")
        elif what == "cancel" and self.open:
            payout_id = self.open.pop(self.dice.randrange(len(self.open)))
            answer = client("POST", f"/payouts/{payout_id}/cancel/")
            assert answer.status == 200, answer
            self.note(began, payout_id=payout_id, kind="release")
        elif what == "entry":
            (entry,) = client.get("/ledger/?limit=1").json["data"]
            self.note(began, seq=entry["seq"])
        else:
            (balance,) = client.get("/balances/").json["balances"]
            self.note(began, position=(balance["available"], balance["held"]))

    def note(self, began: float, **seen: Any) -> None:
        self.seen.append(Seen(began, time.monotonic(), **seen))


@pytest.fixture
def processes(database: Database, tmp_path: Path) -> Iterator[list[Web]]:
    with ExitStack() as stack:
        found = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            url = database.conninfo("admin")
            found.append(stack.enter_context(serving(url, tmp_path / name, "//readyz")))
        yield found
        with database.connect("payrail_auditor") as auditor:
            assert violations(auditor) == {}


def test_what_clients_of_two_processes_see_has_one_order(
    database: Database, processes: list[Web]
) -> None:
    merchant = new_merchant(database, 10**14)
    recorders = [
        Recorder(
            [Client(web.host, web.port, merchant.secret) for web in processes],
            merchant.bank_account_id,
            str(number),
            random.Random(number),
        )
        for number in range(CLIENTS)
    ]

    def record(recorder: Recorder) -> None:
        for count in range(EACH):
            recorder.act(count)
        for client in recorder.clients:
            client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(record, recorders))
    history, newest = versions(database, merchant, [one for r in recorders for one in r.seen])
    assert len(history) == sum(len(recorder.seen) for recorder in recorders)
    assert {did.wrote for did in history} == {True, False}
    assert faults(history, newest) == []
    # and it would be seen if it were otherwise
    for anomaly in ANOMALIES:
        assert faults(anomaly(history), newest), anomaly


def versions(database: Database, merchant: Merchant, seen: list[Seen]) -> tuple[list[Did], int]:
    """Return what was done with its versions, as the ledger has them, and the newest of these."""
    with database.connect("admin") as admin:
        entries = admin.execute(
            "SELECT seq, kind, payout_id::text AS payout_id, available, held FROM ledger.entries"
            " WHERE merchant_id = %s ORDER BY seq",
            [merchant.merchant_id],
        ).fetchall()
    written = {(row["payout_id"], row["kind"]): row["seq"] for row in entries}
    positions = {(row["available"], row["held"]): row["seq"] for row in entries}
    history = []
    for one in seen:
        did = Did(one.began, one.ended, one.seq or 0)
        if one.payout_id is not None:
            did = replace(did, seq=written[one.payout_id, one.kind], wrote=True)
        elif one.position is not None:
            # a KeyError: somebody saw what never was
            did = replace(did, seq=positions[one.position], exact=False)
        history.append(did)
    assert len(entries) == 1 + sum(did.wrote for did in history)
    return history, entries[-1]["seq"]


def stale(history: list[Did]) -> list[Did]:
    """One reads what was there at the start, after all is done."""
    return [*history, Did(last(history) + 1, last(history) + 2, 1)]


def lost(history: list[Did]) -> list[Did]:
    """The newest version that somebody was told of is not there."""
    return [*history, Did(last(history) + 1, last(history) + 2, 10**9)]


def swapped(history: list[Did]) -> list[Did]:
    """The first and the last thing that were written were written in the other order."""
    writes = sorted((did for did in history if did.wrote), key=lambda did: did.began)
    first, final = writes[0], writes[-1]
    rest = [did for did in history if did not in (first, final)]
    return [*rest, replace(first, seq=final.seq), replace(final, seq=first.seq)]


def twice(history: list[Did]) -> list[Did]:
    """Two writes are one entry."""
    final = max((did for did in history if did.wrote), key=lambda did: did.seq)
    return [*history, final]


def skewed(history: list[Did]) -> list[Did]:
    """One reads what is older than what it has read itself."""
    end = last(history)
    newest = max(did.seq for did in history)
    return [*history, Did(end + 1, end + 2, newest), Did(end + 3, end + 4, newest - 1)]


def last(history: list[Did]) -> float:
    return max(did.ended for did in history)


ANOMALIES: Final = (stale, lost, swapped, twice, skewed)


def test_what_overlaps_may_be_in_either_order() -> None:
    both = [Did(0, 10, 2, wrote=True), Did(1, 9, 1, wrote=True), Did(2, 8, 1), Did(11, 12, 2)]
    assert faults(both, 2) == []
    assert faults([*both, Did(13, 14, 1)], 2) != []
