"""The bank's callbacks arrive, signed, at least once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import banks
from tests.bank.conftest import Receiver, order, receiving, send
from tests.banks import Bank
from tests.workers import until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def telling(receiver: Receiver) -> Iterator[Bank]:
    """A bank that tells the receiver."""
    with banks.bank(SANDBOX_CALLBACK_URL=receiver.url) as bank:
        yield bank


def pending(bank: Bank) -> str:
    """Submit an instruction that stays pending until somebody decides; return its rail_ref."""
    one = order()
    bank.script("pending", rail_ref=one["rail_ref"])
    assert send(bank, one)["state"] == "pending"
    return str(one["rail_ref"])


def test_tells_what_no_answer_has_told(telling: Bank, receiver: Receiver) -> None:
    ref = pending(telling)
    paid = telling.decide(ref, "settle")
    until(lambda: len(receiver.of(ref)) == 1)
    telling.decide(ref, "return", code="account_dormant")
    until(lambda: len(receiver.of(ref)) == 2)
    first, second = receiver.of(ref)
    assert (first["state"], first["utr"], first["code"]) == ("paid", paid["utr"], None)
    assert first["at"] == paid["booked_at"]
    assert (second["state"], second["utr"], second["code"]) == (
        "returned",
        paid["utr"],
        "account_dormant",
    )
    assert first["event_id"] != second["event_id"]


def test_tells_nothing_that_the_answer_has_told_unless_asked_to(
    telling: Bank, receiver: Receiver
) -> None:
    quiet, loud = order(), order()
    telling.script("accept", rail_ref=loud["rail_ref"], callbacks=True)
    send(telling, quiet)
    send(telling, loud)
    until(lambda: receiver.of(loud["rail_ref"]))
    assert not receiver.of(quiet["rail_ref"])


@pytest.mark.parametrize(
    ("behaviour", "states"), [("slow", ["paid"]), ("flip", ["paid"]), ("return", ["returned"])]
)
def test_tells_what_happens_later(
    telling: Bank, receiver: Receiver, behaviour: str, states: list[str]
) -> None:
    one = order()
    telling.script(behaviour, rail_ref=one["rail_ref"], seconds=0.2)
    send(telling, one)
    until(lambda: [event["state"] for event in receiver.of(one["rail_ref"])] == states)


def test_tells_again_until_it_is_heard(telling: Bank, receiver: Receiver) -> None:
    receiver.statuses += [500, 302, 404]
    ref = pending(telling)
    telling.decide(ref, "settle")
    until(lambda: len(receiver.of(ref)) == 4)
    assert len({event["event_id"] for event in receiver.of(ref)}) == 1


def test_stops_telling_whoever_is_gone(telling: Bank, receiver: Receiver) -> None:
    receiver.statuses.append(410)
    ref, after = pending(telling), pending(telling)
    telling.decide(ref, "settle")
    until(lambda: receiver.of(ref))
    telling.decide(after, "settle")
    until(lambda: receiver.of(after))
    assert len(receiver.of(ref)) == 1


def test_says_it_twice(telling: Bank, receiver: Receiver) -> None:
    one = order("0501")
    send(telling, one)
    until(lambda: len(receiver.of(one["rail_ref"])) == 3)
    assert len({event["event_id"] for event in receiver.of(one["rail_ref"])}) == 1


def test_says_the_last_thing_first(telling: Bank, receiver: Receiver) -> None:
    one = order("0502")
    send(telling, one)
    until(lambda: len(receiver.of(one["rail_ref"])) == 2)
    assert [event["state"] for event in receiver.of(one["rail_ref"])] == ["paid", "pending"]


def test_faults_duplicate_callbacks(telling: Bank, receiver: Receiver) -> None:
    telling.faults(duplicate_callbacks=1, reorder_callbacks=True)
    refs = [pending(telling) for _ in range(5)]
    for ref in refs:
        telling.decide(ref, "settle")
    until(lambda: all(len(receiver.of(ref)) == 2 for ref in refs))


def test_no_callback_is_lost_when_the_bank_is_killed() -> None:
    with banks.bank() as bank:
        with receiving() as early:
            bank.kill()
            bank.settings["SANDBOX_CALLBACK_URL"] = early.url
            early.statuses += [500] * 1000
            bank.start()
            refs = [pending(bank) for _ in range(20)]
            for ref in refs:
                bank.decide(ref, "settle")
            bank.kill()
        with receiving() as receiver:
            bank.settings["SANDBOX_CALLBACK_URL"] = receiver.url
            bank.start()
            until(lambda: all(receiver.of(ref) for ref in refs))


def test_a_bank_that_nobody_listens_to_drops_its_callbacks() -> None:
    with receiving() as receiver, banks.bank(SANDBOX_CALLBACK_URL=receiver.url) as bank:
        receiver.statuses += [500] * 1000
        ref = pending(bank)
        bank.decide(ref, "settle")
        until(lambda: receiver.of(ref))
        bank.kill()
        del bank.settings["SANDBOX_CALLBACK_URL"]
        bank.start()
        bank.kill()
        receiver.heard.clear()
        receiver.statuses.clear()
        bank.settings["SANDBOX_CALLBACK_URL"] = receiver.url
        bank.start()
        after = pending(bank)
        bank.decide(after, "settle")
        until(lambda: receiver.of(after))
        assert not receiver.of(ref)
