"""The Python client, against a real server, and through a proxy that loses answers."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_type_hints
from uuid import uuid4

import msgspec
import pytest
from standardwebhooks import Webhook

from pyapp import client as library
from pyapp.client import (
    ApiError,
    AsyncClient,
    Client,
    ForgedError,
    LostError,
    verify_webhook,
)
from pyapp.keys import SCOPES
from pyapp.web import types
from pyapp.web.api import ROUTES
from tests.web.client import Client as Caller
from tests.web.conftest import Connection, NewClient, Web

PAYOUT: Any = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}
SECRET, OTHER = (f"whsec_{b64encode(bytes([n] * 32)).decode()}" for n in (1, 2))
QUICK: dict[str, Any] = {"first_pause": 0.001}


@dataclass
class Wire:
    """A proxy before the server; the next requests go as `faults` says, and then as they should.

    `lost`: the request arrives, its answer does not. `cut`: not even the request does. `html`: a
    proxy's own 502. `break`: a stream ends after an event.
    """

    url: str
    faults: list[str] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)


@pytest.fixture
def wire(web: Web) -> Iterator[Wire]:
    with proxied(web) as found:
        yield found


class Server(ThreadingHTTPServer):
    """The proxy; each request is a connection of its own."""

    def __init__(self, web: Web) -> None:
        super().__init__(("127.0.0.1", 0), Proxy)
        self.web = web
        self.wire = Wire(f"http://127.0.0.1:{self.server_port}")

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that has hung up."""


class Proxy(BaseHTTPRequestHandler):
    server: Server

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        wire, web = self.server.wire, self.server.web
        fault = wire.faults.pop(0) if wire.faults else ""
        wire.seen.append((self.command, self.path, self.headers.get("idempotency-key")))
        if fault == "html":
            self.send_response(502)
            self.end_headers()
            self.wfile.write(b"<h1>Bad gateway</h1>")
        if fault in {"html", "cut"}:
            return
        with closing(http.client.HTTPConnection(web.host, web.port)) as onward:
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            if answer.getheader("content-type", "").startswith("text/event-stream"):
                self.stream(answer, fault)
                return
            content = answer.read()
        if fault != "lost":
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name != "transfer-encoding":  # the content is whole
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do  # noqa: N815  # the library's names

    def stream(self, answer: http.client.HTTPResponse, fault: str) -> None:
        self.send_response(200)
        self.end_headers()
        while chunk := answer.read1():
            self.wfile.write(chunk)
            if fault == "break" and b"data: " in chunk:
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxied(web: Web) -> Iterator[Wire]:
    with Server(web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.wire
        server.shutdown()
        thread.join()


@contextmanager
def using(url: str, caller: Caller, **options: Any) -> Iterator[Client]:
    assert caller.key
    with Client(url, caller.key, **{**QUICK, **options}) as made:
        yield made


@pytest.fixture
def url(web: Web) -> str:
    return f"http://{web.host}:{web.port}"


@pytest.fixture
def keeper(new_client: NewClient) -> Caller:
    return new_client(scopes=[*SCOPES], owner="asha")


# ------------------------------------------------------------------------------------- answers


def test_a_payout_is_made_read_and_cancelled(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        me = payrail.me()
        assert (me.id, me.available_paise) == (keeper.merchant_id, 1_000_000)
        payout = payrail.create_payout(**PAYOUT, reference="invoice-17", metadata={"order": "17"})
        assert (payout.amount, payout.currency, payout.reference) == (100, "INR", "invoice-17")
        assert payrail.payout(payout.id).history[0].to == "pending"
        assert [one.id for one in payrail.payouts(reference="invoice-17")] == [payout.id]
        assert [one.kind for one in payrail.ledger(payout_id=payout.id)] == ["hold"]
        assert not [*payrail.ledger(payout_id=payout.id, kind=["settle", "release"])]
        assert payrail.cancel_payout(payout.id, reason="twice").status == "cancelled"
        assert payrail.payout(payout.id).history[-1].reason == "twice"
        (account,) = payrail.bank_accounts()
        assert payrail.bank_account(account.id) == account


def test_bank_accounts_are_added_and_archived(url: str, keeper: Caller) -> None:
    asha: Any = {"id": "asha", "holder_name": "Asha Rao", "vpa": "asha@bank"}
    with using(url, keeper) as payrail:
        account = payrail.create_bank_account(**asha)
        assert payrail.create_bank_account(**asha) == account
        assert payrail.create_payout(bank_account_id="asha", amount_paise=100).status == "pending"
        assert payrail.archive_bank_account("asha").archived_at
        with pytest.raises(ApiError) as refused:
            payrail.bank_account("no?body")
        assert refused.value.code == "bank_account_not_found"


def test_keys_are_managed(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        made = payrail.create_api_key(scopes=["read"], name="reporting")
        with Client(url, made.secret) as other:
            assert other.me().id == keeper.merchant_id
        rolled = payrail.roll_api_key(made.id, overlap_seconds=0)
        assert payrail.api_key(made.id).replaced_by == rolled.id
        assert payrail.revoke_api_key(rolled.id).revoked_at
        assert {made.id, rolled.id} < {key.id for key in payrail.api_keys()}


def test_a_list_goes_on_over_its_pages(url: str, keeper: Caller, api: Connection) -> None:
    api.execute(
        "SELECT payrail.create_payout(p_merchant_id => %s, p_idempotency_key => n::text,"
        " p_amount => 1, p_currency => 'INR', p_bank_account_id => 'demo-bank-account')"
        " FROM generate_series(1, 205) n",
        [keeper.merchant_id],
    )
    with using(url, keeper) as payrail:
        found = [payout.id for payout in payrail.payouts(status=["pending"])]
    assert len({*found}) == len(found) == 205
    assert found == sorted(found, reverse=True)


def test_a_refusal_tells_what_is_wrong(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        with pytest.raises(ApiError) as poor:
            payrail.create_payout(bank_account_id="demo-bank-account", amount_paise=10**15)
        assert (poor.value.status, poor.value.code) == (422, "insufficient_funds")
        assert poor.value.idempotency_key
        with pytest.raises(ApiError) as wrong:
            payrail.create_payout(bank_account_id="demo-bank-account", amount_paise=0)
        assert [error.pointer for error in wrong.value.errors] == ["/amount_paise"]
        assert wrong.value.request_id
        with pytest.raises(ApiError) as nowhere:
            payrail.payout(uuid4())
        assert nowhere.value.code == "payout_not_found"
    with Client(url, "nobody's") as stranger, pytest.raises(ApiError) as who:
        stranger.me()
    assert who.value.code == "unauthorized"


def test_a_batch_is_checked_made_and_cancelled(url: str, keeper: Caller) -> None:
    lines: list[Any] = [{**PAYOUT, "idempotency_key": "a"}, {**PAYOUT, "bank_account_id": "no"}]
    sheet = b"amount,bank_account_id\n1.00,demo-bank-account\n"
    with using(url, keeper) as payrail:
        found = payrail.check_batch(lines)
        assert (found.accepted, found.rejected) == (1, 1)
        assert found.errors[0].line == 2
        batch = payrail.create_batch(lines, name="november", idempotency_key="once")
        assert payrail.create_batch(lines, name="november", idempotency_key="once") == batch
        assert payrail.batch(batch.id).lines == 2
        assert [line.outcome for line in payrail.batch_lines(batch.id)] == [None, None]
        assert [*payrail.batch_lines(batch.id, outcome="accepted")] == []
        assert payrail.cancel_batch(batch.id).status == "cancelled"
        other = payrail.create_batch(sheet, mode="all_or_nothing")
        assert [one.id for one in payrail.batches()] == [other.id, batch.id]


def test_a_payout_is_approved_or_rejected_by_somebody_else(
    url: str, keeper: Caller, new_client: NewClient, operator: Connection
) -> None:
    query = "SELECT payrail.set_rules(%s, p_approve_from => 1000)"
    operator.execute(query, [keeper.merchant_id])
    ravi = new_client(beside=keeper, scopes=[*SCOPES], owner="ravi")
    with using(url, keeper) as payrail, using(url, ravi) as other:
        assert [rules.approve_from for rules in payrail.rules()] == [1000]
        big: Any = {"amount_paise": 1000, "bank_account_id": "demo-bank-account"}
        first, second = payrail.create_payout(**big), payrail.create_payout(**big)
        assert first.status == "awaiting_approval"
        with pytest.raises(ApiError) as refused:
            payrail.approve_payout(first.id)
        assert refused.value.code == "approver_is_creator"
        assert other.approve_payout(first.id, reason="seen").status == "pending"
        assert other.payout(first.id).approvals[0].approver == "ravi"
        assert other.reject_payout(second.id, "twice").status == "rejected"


def test_money_is_accounted_for(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        before = datetime.now(UTC)
        payrail.create_payout(**PAYOUT)
        assert [balance.held for balance in payrail.balances().balances] == [100]
        assert [balance.held for balance in payrail.balances(at=before).balances] == [0]
        statement = payrail.statement(date(2020, 1, 1), date(9999, 12, 31))
        assert [line.kind for line in statement.lines] == ["credit", "hold"]
        assert (statement.opening.available, statement.closing.held) == (0, 100)


def test_webhook_endpoints_are_managed(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        made = payrail.create_webhook_endpoint(url="https://shop.example/hook")
        changed = payrail.update_webhook_endpoint(made.id, event_types=["payout.settled"])
        assert changed.event_types == ["payout.settled"]
        assert payrail.roll_webhook_secret(made.id, overlap_seconds=60).secret != made.secret
        assert payrail.send_test_event(made.id).type == "endpoint.test"
        assert payrail.replay_events(made.id, 1).events == 1
        assert [one.number for one in payrail.webhook_deliveries(made.id)] == [1]
        assert payrail.webhook_delivery(made.id, 1).status == "pending"
        assert [*payrail.webhook_deliveries(made.id, status=["failed"])] == []
        assert payrail.archive_webhook_endpoint(made.id).status == "archived"
        assert payrail.webhook_endpoint(made.id).status == "archived"
        assert made.id in [one.id for one in payrail.webhook_endpoints()]


ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("payout_id", "batch_id", "endpoint_id", "api_key_id"), uuid4()),
    **dict.fromkeys(("since", "until"), date(2026, 1, 31)),
    "bank_account_id": "nobody",
    "number": 1,
    "first": 1,
    "reason": "why",
    "payouts": [PAYOUT],
}
FIELDS: dict[str, Any] = {
    "create_payout": PAYOUT,
    "create_bank_account": {"id": "a", "holder_name": "Asha", "vpa": "asha@bank"},
    "create_api_key": {"scopes": ["read"]},
    "create_webhook_endpoint": {"url": "https://shop.example/"},
    "follow": {"after": 0},
}


def test_every_route_has_its_method(wire: Wire, keeper: Caller) -> None:
    """But those that answer with a file of CSV and nothing else."""
    with using(wire.url, keeper) as payrail:
        for name, method in inspect.getmembers(Client, inspect.isfunction):
            if name.startswith("_") or name == "close":
                continue
            asked = inspect.signature(method).parameters
            given = {key: value for key, value in ARGUMENTS.items() if key in asked}
            with suppress(ApiError):
                answer = method(payrail, **given, **FIELDS.get(name, {}))
                if isinstance(answer, Iterator):
                    next(answer, None)
    seen = {(method, path.partition("?")[0]) for method, path, _ in wire.seen}
    unseen = {
        (route.method, route.path)
        for route in ROUTES
        if not any(
            method == route.method
            and re.fullmatch(re.sub("{.*?}", "[^/]+", f"/api/v1{route.path}"), path)
            for method, path in seen
        )
    }
    assert unseen == {(route.method, route.path) for route in ROUTES if route.response is str}


# -------------------------------------------------------------------------------- trying again


@pytest.mark.parametrize("fault", ["lost", "cut", "html"])
def test_a_payout_whose_answer_is_lost_is_made_once(wire: Wire, keeper: Caller, fault: str) -> None:
    wire.faults = [fault] * 3
    with using(wire.url, keeper) as payrail:
        payout = payrail.create_payout(**PAYOUT)
        assert [one.id for one in payrail.payouts()] == [payout.id]
    sent = [key for method, _, key in wire.seen if method == "POST"]
    assert len(sent) == 4
    assert len({*sent}) == 1


def test_what_stays_lost_is_asked_for_again_by_its_key(wire: Wire, keeper: Caller) -> None:
    wire.faults = ["lost"] * 5
    with using(wire.url, keeper) as payrail:
        with pytest.raises(LostError) as lost:
            payrail.create_payout(**PAYOUT)
        key = lost.value.idempotency_key
        assert key
        assert key in str(lost.value)
        (made,) = payrail.payouts()
        assert payrail.create_payout(idempotency_key=key, **PAYOUT) == made


def test_a_key_is_not_made_again_when_its_answer_is_lost(wire: Wire, keeper: Caller) -> None:
    with using(wire.url, keeper) as payrail:
        before = len([*payrail.api_keys()])
        wire.faults = ["lost"]
        with pytest.raises(LostError):
            payrail.create_api_key(scopes=["read"])
        assert len([*payrail.api_keys()]) == before + 1


def test_a_refusal_is_not_asked_for_again(wire: Wire, keeper: Caller) -> None:
    with using(wire.url, keeper) as payrail, pytest.raises(ApiError):
        payrail.create_payout(bank_account_id="nobody's", amount_paise=1)
    assert len(wire.seen) == 1


def test_a_server_that_is_not_there_is_lost_at_last(keeper: Caller) -> None:
    with using("http://127.0.0.1:1", keeper, tries=3) as payrail, pytest.raises(LostError):
        payrail.me()


def test_whoever_is_too_fast_waits_as_long_as_told(
    wire: Wire, keeper: Caller, new_client: NewClient
) -> None:
    slow = new_client(beside=keeper, writes_per_second=1)
    with using(wire.url, slow) as payrail:
        made = [payrail.create_payout(**PAYOUT) for _ in range(3)]
    assert len({payout.id for payout in made}) == 3
    assert len([*wire.seen]) > 3


def test_no_error_shows_the_key(wire: Wire, keeper: Caller) -> None:
    wire.faults = ["cut"]
    with using(wire.url, keeper, tries=1) as payrail:
        with pytest.raises(LostError) as lost:
            payrail.me()
        shown = f"{lost.value!r} {lost.value.__cause__!r} {payrail!r} {vars(payrail)}"
    assert keeper.key
    assert keeper.key not in shown


# --------------------------------------------------------------------------------------- events


def test_what_happened_is_read_page_by_page(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        seen = payrail.event_page()
        assert not seen.has_more
        payout = payrail.create_payout(**PAYOUT)
        payrail.cancel_payout(payout.id)
        events = [*payrail.events(cursor=seen.next_cursor)]
        assert [event.type for event in events] == ["payout.created", "payout.cancelled"]
        assert {event.data["id"] for event in events} == {str(payout.id)}
        assert [*payrail.events()][-2:] == events


def test_what_happens_is_heard_when_it_does(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail, using(url, keeper) as other:
        after = [*payrail.events()][-1].number
        stream = payrail.follow(after)
        for _ in range(2):
            payout = other.create_payout(**PAYOUT)
            assert next(stream).data["id"] == str(payout.id)


def test_a_stream_that_breaks_goes_on_where_it_was(url: str, wire: Wire, keeper: Caller) -> None:
    wire.faults = ["break", "cut", "html", "break"]
    with using(wire.url, keeper) as payrail, using(url, keeper) as other:
        stream = payrail.follow(0)
        numbers = [next(stream).number]
        for _ in range(3):
            other.create_payout(**PAYOUT)
            numbers.append(next(stream).number)
    assert numbers == [*range(1, 5)]
    assert wire.faults == []


def test_a_webhook_is_verified(url: str, keeper: Caller) -> None:
    with using(url, keeper) as payrail:
        payrail.create_payout(**PAYOUT)
        event = [*payrail.events()][-1]
    body = msgspec.json.encode(event)
    headers = signed(event.id, body)
    assert verify_webhook(body, headers, SECRET) == event
    # a receiver that changes its secret knows two for a while
    assert verify_webhook(body, headers, OTHER, SECRET) == event
    upper = {name.title(): text for name, text in headers.items()}
    assert verify_webhook(body, upper, SECRET) == event
    both = f"{signed(event.id, body, OTHER)['webhook-signature']} {headers['webhook-signature']}"
    assert verify_webhook(body, {**headers, "webhook-signature": both}, SECRET) == event


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "99999999999999999999"},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1a,AAAA,BBBB"},
    ],
)
def test_a_forged_webhook_is_refused(change: dict[str, str]) -> None:
    headers = {**signed("evt_1", b"{}"), **change}
    with pytest.raises(ForgedError):
        verify_webhook(b"{}", headers, SECRET)


@pytest.mark.parametrize("body", [b"{ }", b"", b"\xff", b"{}\n"])
def test_a_webhook_with_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(ForgedError):
        verify_webhook(body, signed("evt_1", b"{}"), SECRET)
    with pytest.raises(ForgedError):
        verify_webhook(b"{}", signed("evt_1", b"{}"), OTHER)
    with pytest.raises(ForgedError):
        verify_webhook(b"{}", {}, SECRET)


def signed(event_id: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, now, body.decode()),
    }


# -------------------------------------------------------------------------------------- asyncio


def test_the_same_with_asyncio(wire: Wire, keeper: Caller) -> None:
    async def pay() -> None:
        assert keeper.key
        async with AsyncClient(wire.url, keeper.key, first_pause=0.001) as payrail:
            wire.faults = ["lost", "cut"]
            payout = await payrail.create_payout(**PAYOUT)
            assert [one.id async for one in payrail.payouts()] == [payout.id]
            at_once = await asyncio.gather(*(payrail.create_payout(**PAYOUT) for _ in range(9)))
            assert len({one.id for one in at_once}) == 9
            with pytest.raises(ApiError):
                await payrail.payout(uuid4())
            wire.faults = ["lost"]
            with pytest.raises(LostError):
                await payrail.create_api_key(scopes=["read"])
            stream = payrail.follow(0)
            wire.faults = ["break"]
            numbers = [(await anext(stream)).number for _ in range(5)]
            assert numbers == [*range(1, 6)]
            assert len([event async for event in payrail.events()]) >= 11

    asyncio.run(pay())


def test_both_clients_do_the_same() -> None:
    both = [
        {
            name: inspect.signature(member, eval_str=False)
            for name, member in vars(kind).items()
            if callable(member) and not name.startswith("_")
        }
        for kind in (Client, AsyncClient)
    ]
    shown = [
        {name: str(found).replace("AsyncIterator", "Iterator") for name, found in one.items()}
        for one in both
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (library.NewPayout, types.CreatePayout),
        (library.NewBankAccount, types.CreateBankAccount),
        (library.NewEndpoint, types.CreateWebhookEndpoint),
        (library.EndpointChange, types.UpdateWebhookEndpoint),
        (library.BatchPayout, types.BatchLine),
        (library.NewKey, types.CreateApiKey),
        (library.PayoutFilters, types.PayoutQuery),
        (library.LedgerFilters, types.LedgerQuery),
    ],
)
def test_it_takes_what_the_api_takes(ours: Any, theirs: Any) -> None:
    names = {*theirs.__struct_fields__} - {*types.Page.__struct_fields__, "expand"}
    assert {*get_type_hints(ours)} == names
