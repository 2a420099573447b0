"""The sandbox's adapter fits the interface, and takes nothing on trust that comes back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from pyapp.rails import sandbox
from pyapp.rails.rail import (
    Answer,
    Instruction,
    NotFound,
    Paid,
    Pending,
    Rail,
    Refused,
    Returned,
    Unknown,
)
from pyapp.rails.sandbox import BankError, open_sandbox
from tests import banks, servers
from tests.banks import KEY, Bank
from tests.rails.conformance import CHECKS, Check, Subject

T = TypeVar("T")

ONE = Instruction(
    rail_ref="a1",
    amount=6000,
    currency="INR",
    account_number="501002340001",
    ifsc="HDFC0000001",
    holder_name="Asha Rao",
    valid_until=datetime(2099, 1, 1, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    with banks.bank() as running:
        yield running


@pytest.fixture(scope="module")
def subject(bank: Bank) -> Iterator[Subject]:
    with servers.port() as port:  # where nobody listens

        def executions(rail_ref: str) -> int:
            known = bank.instructions().get(rail_ref)
            return known["executions"] if known else 0

        yield Subject(
            opened=lambda: open_sandbox(bank.url, KEY),
            nowhere=lambda: open_sandbox(f"http://127.0.0.1:{port}", KEY),
            accounts={
                "paid": "501002340001",
                "refused": "501002340101",
                "undecided": "501002340303",
                "slow": "501002340002",
            },
            executions=executions,
            mode=lambda rail_ref: bank.instructions()[rail_ref]["mode"],
            narration=lambda rail_ref: bank.instructions()[rail_ref]["narration"],
        )


def asked(url: str, key: str, ask: Callable[[Rail], Awaitable[T]]) -> T:
    async def go() -> T:
        async with open_sandbox(url, key) as rail:
            return await ask(rail)

    return asyncio.run(go())


def test_relies_on_the_reference_unless_it_is_told_otherwise() -> None:
    async def relied(**told: bool) -> bool:
        async with open_sandbox("http://127.0.0.1:1", KEY, **told) as rail:
            return rail.capabilities.deduplicates_references

    assert asyncio.run(relied())
    assert not asyncio.run(relied(deduplicates=False))


@pytest.mark.parametrize("check", CHECKS)
def test_conforms(check: Check, subject: Subject) -> None:
    asyncio.run(check(subject))


def test_a_bank_that_was_killed_and_came_back_is_reached_again() -> None:
    with banks.bank() as own:

        async def go(rail: Rail) -> list[str]:
            seen = []
            for step in (None, own.kill, own.start):
                if step:
                    step()
                try:
                    seen.append(type((await rail.enquire(["a1"]))["a1"]).__name__)
                except Exception as exc:  # noqa: BLE001  # whatever it is
                    seen.append(type(exc).__name__)
            return seen

        assert asked(own.url, KEY, go) == ["NotFound", "NotReachedError", "NotFound"]


def test_a_wrong_key_is_not_an_answer(bank: Bank) -> None:
    with pytest.raises(BankError, match="401"):
        asked(bank.url, "another-key", lambda rail: rail.submit([ONE]))


@pytest.mark.parametrize("ending", ["0301", "0302", "0305", "0306", "0307", "0308"])
def test_a_call_that_goes_wrong_raises_without_quoting_anything(bank: Bank, ending: str) -> None:
    bad = replace(ONE, rail_ref=f"bad{ending}", account_number=f"987654{ending}")
    with pytest.raises(BankError) as raised:
        asked(bank.url, KEY, lambda rail: rail.submit([bad]))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    secrets = (bad.account_number, bad.holder_name, KEY, "rail_ref")
    assert not any(str(secret) in str(raised.value) for secret in secrets)


def test_nothing_of_a_call_is_logged(caplog: pytest.LogCaptureFixture, bank: Bank) -> None:
    with caplog.at_level(logging.DEBUG):
        asked(bank.url, KEY, lambda rail: rail.submit([ONE]))
    secrets = (str(ONE.account_number), ONE.holder_name, KEY)
    assert not any(secret in caplog.text for secret in secrets)


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        ({"vpa": "success@test"}, Paid),
        ({"vpa": "failure@test"}, Refused),
        ({"vpa": "somebody@else"}, Paid),
        ({"iban": "DE89370400440532013000"}, Paid),
        ({"iban": "DE83370400440532010101"}, Refused),
    ],
    ids=str,
)
def test_a_upi_address_and_an_iban_are_paid(
    bank: Bank, account: dict[str, str], kind: type[Answer]
) -> None:
    ref = uuid4().hex
    one = replace(ONE, rail_ref=ref, account_number=None, ifsc=None, **account)  # type: ignore[arg-type]
    answer = asked(bank.url, KEY, lambda rail: rail.submit([one]))[ref]
    assert isinstance(answer, kind)
    assert not any(text in f"{one!r} {answer!r}" for text in account.values())


# ------------------------------------------------------------------------- a bank gone mad


@asynccontextmanager
async def saying(reply: bytes, *, drips: bool = False) -> AsyncIterator[Rail]:
    """Open the adapter to a server that answers everything with these bytes."""
    calls = set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.add(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            while drips:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            async with open_sandbox(f"http://127.0.0.1:{port}", KEY) as rail:
                yield rail
        finally:
            await asyncio.gather(*filter(None, calls))


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Connection: close", *headers, b"", body])


def told(reply: bytes, ask: Callable[[Rail], Awaitable[T]], *, drips: bool = False) -> T:
    async def go() -> T:
        async with saying(reply, drips=drips) as rail:
            return await ask(rail)

    return asyncio.run(go())


def read(*items: object) -> dict[str, Answer]:
    body = json.dumps({"answers": items}).encode()
    return dict(told(ok(body), lambda rail: rail.enquire(["a1"])))


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"state": "paid", "utr": "U1"}, Paid),
        ({"state": "paid", "utr": "U" * 36}, Unknown),
        ({"state": "paid", "utr": ""}, Unknown),
        ({"state": "paid", "utr": 7}, Unknown),
        ({"state": "paid"}, Unknown),
        ({"state": "refused", "code": "account_closed"}, Refused),
        ({"state": "refused", "code": "no_such_code"}, Refused),  # the database knows the list
        ({"state": "refused"}, Unknown),
        ({"state": "refused", "code": None}, Unknown),
        ({"state": "returned", "utr": "U1", "code": "R1"}, Returned),
        ({"state": "returned", "utr": "U1"}, Unknown),
        ({"state": "pending"}, Pending),
        ({"state": "not_found"}, NotFound),
        ({"state": "expired"}, Unknown),
        ({"state": "PAID", "utr": "U1"}, Unknown),
        ({"state": ["paid"], "utr": "U1"}, Unknown),
        ({}, Unknown),
    ],
    ids=str,
)
def test_an_answer_is_what_it_says_or_unknown(item: dict[str, Any], kind: type) -> None:
    given = {"rail_ref": "a1", **item, "more": {"x": [1]}}
    answer = read(given)["a1"]
    assert type(answer) is kind
    assert getattr(answer, "raw", None) == given


def test_answers_about_others_are_not_taken() -> None:
    assert read({"rail_ref": "b2", "state": "paid", "utr": "U1"}, {"state": "paid"}) == {}


def test_a_bank_that_says_two_things_at_once_is_not_believed() -> None:
    paid = {"rail_ref": "a1", "state": "paid", "utr": "U1"}
    refused = {"rail_ref": "a1", "state": "refused", "code": "account_closed"}
    assert isinstance(read(paid, refused)["a1"], Unknown)
    assert isinstance(read(paid, paid)["a1"], Paid)


@pytest.mark.parametrize("state", ["not_found", "expired"])
def test_a_submission_is_never_answered_with_not_found(state: str) -> None:
    reply = ok(json.dumps({"answers": [{"rail_ref": "a1", "state": state}]}).encode())
    assert isinstance(told(reply, lambda rail: rail.submit([ONE]))["a1"], Unknown)


@pytest.mark.parametrize(
    "reply",
    [
        ok(b"{"),
        ok(b"null"),
        ok(b"[]"),
        ok(b"\xff\xfe"),
        ok(b'{"answers": {"a1": "paid"}}'),
        ok(b'{"answers": ["paid"]}'),
        ok(b"[" * 100_000),
        ok(b'{"answers": [], "padding": "' + b"x" * 2**22 + b'"}'),
        ok(b"{}", b"Content-Length: 100"),
        ok(b"\x1f\x8b\x08garbage", b"Content-Encoding: gzip"),
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsorr",
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
    ids=range(15),
)
def test_what_can_not_be_read_raises(reply: bytes) -> None:
    with pytest.raises(BankError) as raised:
        told(reply, lambda rail: rail.submit([ONE]))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_an_answer_that_drips_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_TOTAL", 0.5)
    reply = ok(b"", b"Content-Length: 1000000")
    with pytest.raises(BankError, match="lost"):
        told(reply, lambda rail: rail.enquire(["a1"]), drips=True)
