"""A client of the API, for programs that pay: `Client`, and `AsyncClient` for asyncio.

    with Client("https://pay.example", "pr_live_…") as payrail:
        payout = payrail.create_payout(bank_account_id="asha", amount_paise=60_00)

Answers are the types of the API's description. A request that may safely be sent again is, with
growing pauses or after `Retry-After`: what only reads, what says the same when repeated, and a
payout, since it has an idempotency key. What the API refuses is an `ApiError`; when there was no
answer to the last try it is a `LostError`, and nobody knows yet whether the request was carried
out: send it again with the idempotency key that the error has.

`verify_webhook` tells whether a webhook is PayRail's, and what it says.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Generic, Required, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import msgspec
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from pyapp.errors import FieldError, ProblemDocument
from pyapp.keys import Scope
from pyapp.web.types import (
    AllRules,
    ApiKey,
    Balances,
    BankAccount,
    Batch,
    BatchCheck,
    BatchLineResult,
    Delivery,
    DeliveryStatus,
    Event,
    Events,
    Kind,
    LedgerEntry,
    Listing,
    Me,
    Mode,
    NewApiKey,
    NewWebhookEndpoint,
    Outcome,
    Payout,
    PayoutDetail,
    Replayed,
    Rules,
    Statement,
    Status,
    WebhookEndpoint,
)

T = TypeVar("T")

_PREFIX: Final = "/api/v1"
_PAGE: Final = 100  # the most that a list gives at once
_LONGEST: Final = 30.0  # seconds between two tries
_SILENCE: Final = 45.0  # seconds; a stream shows a sign of life every 15
_OVERLOADED: Final = 429
_FAILED: Final = 500


class ApiError(Exception):
    """What the API refused; dispatch on `code`, which docs/errors.md lists."""

    def __init__(self, problem: ProblemDocument, idempotency_key: str | None) -> None:
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.retryable = problem.retryable
        self.request_id = problem.request_id
        self.errors: list[FieldError] = problem.errors
        self.idempotency_key = idempotency_key
        super().__init__(f"{problem.code}: {problem.detail}")


class LostError(Exception):
    """There was no answer that can be read, so the request may have been carried out."""

    def __init__(self, what: str, idempotency_key: str | None) -> None:
        self.idempotency_key = idempotency_key
        again = f"; send it again with idempotency_key={idempotency_key!r}"
        super().__init__(what + (again if idempotency_key else ""))


class ForgedError(Exception):
    """A webhook that none of the secrets has signed within the last five minutes."""


def verify_webhook(body: bytes, headers: Mapping[str, str], *secrets: str) -> Event:
    """Return the event of a webhook that one of the secrets (`whsec_…`) has signed.

    `body` is what came, byte for byte. ForgedError if it can't be trusted. The same event may come
    again, with the same id, and an older one after a newer one.
    """
    for signer in [Webhook(secret) for secret in secrets]:
        try:
            signer.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # a ValueError for what is malformed
            continue
        return msgspec.json.decode(body, type=Event)
    message = "the webhook is not signed with any of the secrets, or not within five minutes"
    raise ForgedError(message)


class NewPayout(TypedDict, total=False):
    """A payout: `amount_paise`, or `amount` in minor units and `currency`."""

    bank_account_id: Required[str]
    amount_paise: int
    amount: int
    currency: str
    reference: str | None
    metadata: Mapping[str, str] | None
    scheduled_at: datetime | None
    queue_if_low_balance: bool
    narration: str | None
    retry_of: UUID | None
    mode: str | None


class NewBankAccount(TypedDict, total=False):
    """A bank account: `account_number` and `ifsc`, or `vpa`, or `iban`."""

    id: Required[str]
    holder_name: Required[str]
    account_number: str
    ifsc: str
    vpa: str
    iban: str
    rail: str


class BatchPayout(NewPayout, total=False):
    """A payout of a batch; without a key one is made of the batch and the line."""

    idempotency_key: str | None


class NewEndpoint(TypedDict, total=False):
    """Where to be told of events, and of which; all of them unless it says so."""

    url: Required[str]
    event_types: list[str]
    description: str | None


class EndpointChange(TypedDict, total=False):
    """What is to change of an endpoint; the rest stays."""

    url: str | None
    event_types: list[str] | None
    description: str | None
    enabled: bool | None


class PayoutFilters(TypedDict, total=False):
    """Which payouts; all of them must hold. Amounts are minor units."""

    status: list[Status]
    created_after: datetime  # inclusive
    created_before: datetime  # exclusive
    amount_min: int
    amount_max: int
    currency: str
    reference: str
    utr: str
    bank_account_id: str
    batch_id: UUID


class LedgerFilters(TypedDict, total=False):
    """Which entries; all of them must hold. `currency` is INR unless it is given."""

    currency: str
    kind: list[Kind]
    payout_id: UUID
    created_after: datetime  # inclusive
    created_before: datetime  # exclusive


class NewKey(TypedDict, total=False):
    """An API key that can do no more than the client's own."""

    scopes: Required[list[Scope]]
    name: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Ask(Generic[T]):
    """One request, and what a good answer is."""

    method: str
    path: str
    kind: type[T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | bytes | None = None  # bytes are CSV
    idempotency_key: str | None = None
    repeatable: bool = True  # carried out twice it does what it does once

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        headers = {} if self.idempotency_key is None else {"Idempotency-Key": self.idempotency_key}
        content = None
        if isinstance(self.body, bytes):
            headers["Content-Type"] = "text/csv"
            content = self.body
        elif self.body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(self.body)
        return http.build_request(
            self.method,
            _PREFIX + self.path,
            params=msgspec.to_builtins(self.query),
            content=content,
            headers=headers,
        )

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _get(path: str, kind: type[T], query: Mapping[str, Any] | None = None) -> _Ask[T]:
    return _Ask("GET", path, kind, query or {})


def _post(
    path: str, kind: type[T], body: Mapping[str, Any] | None = None, *, repeatable: bool = True
) -> _Ask[T]:
    return _Ask("POST", path, kind, body=body, repeatable=repeatable)


def _create_payout(body: NewPayout, idempotency_key: str | None) -> _Ask[Payout]:
    key = idempotency_key or str(uuid4())
    return _Ask("POST", "/payouts/", Payout, body=body, idempotency_key=key)


def _create_batch(
    payouts: Sequence[BatchPayout] | bytes, mode: Mode, name: str | None, key: str | None
) -> _Ask[Batch]:
    query = {"mode": mode} if name is None else {"mode": mode, "name": name}
    return _Ask("POST", "/batches/", Batch, query, _upload(payouts), key or str(uuid4()))


def _check_batch(payouts: Sequence[BatchPayout] | bytes) -> _Ask[BatchCheck]:
    return _Ask("POST", "/batches/check/", BatchCheck, body=_upload(payouts))


def _upload(payouts: Sequence[BatchPayout] | bytes) -> Mapping[str, Any] | bytes:
    return payouts if isinstance(payouts, bytes) else {"payouts": payouts}


def _batch_lines(batch_id: UUID, outcome: Outcome | None) -> _Ask[BatchLineResult]:
    query = {} if outcome is None else {"outcome": outcome}
    return _get(f"/batches/{batch_id}/lines/", BatchLineResult, query)


def _balances(at: datetime | None) -> _Ask[Balances]:
    return _get("/balances/", Balances, {} if at is None else {"at": at})


def _statement(since: date, until: date, currency: str) -> _Ask[Statement]:
    query = {"since": since, "until": until, "currency": currency}
    return _get("/statements/", Statement, query)


def _endpoint(endpoint_id: UUID, then: str = "") -> str:
    return f"/webhook_endpoints/{endpoint_id}/{then}"


def _deliveries(endpoint_id: UUID, status: list[DeliveryStatus] | None) -> _Ask[Delivery]:
    query = {} if status is None else {"status": status}
    return _get(_endpoint(endpoint_id, "deliveries/"), Delivery, query)


def _replay(endpoint_id: UUID, first: int, last: int | None) -> _Ask[Replayed]:
    body = {"first": first, "last": last}
    return _post(_endpoint(endpoint_id, "replay/"), Replayed, body, repeatable=False)


def _roll_secret(endpoint_id: UUID, overlap_seconds: int) -> _Ask[NewWebhookEndpoint]:
    body = {"overlap_seconds": overlap_seconds}
    path = _endpoint(endpoint_id, "roll_secret/")
    return _post(path, NewWebhookEndpoint, body, repeatable=False)


def _events(cursor: str | None, kind: type[T]) -> _Ask[T]:
    return _get("/events/", kind, {} if cursor is None else {"cursor": cursor})


def _page(ask: _Ask[T], cursor: str | None) -> _Ask[Listing[T]]:
    """Return the request for one page of a list of what `ask` is of."""
    query = {"limit": _PAGE, **ask.query, **({} if cursor is None else {"cursor": cursor})}
    kind: Any = Listing[ask.kind]  # type: ignore[name-defined]
    return _Ask("GET", ask.path, kind, query)


@dataclass(frozen=True, slots=True)
class _Patience:
    """How often a request is sent, and how long to wait between two tries."""

    tries: int
    first_pause: float  # seconds; doubled from try to try

    def after(self, ask: _Ask[Any], answer: httpx.Response | httpx.TransportError, n: int) -> float:
        """Return how long to wait before the next try; raise if the n-th was the last."""
        pause = min(self.first_pause * 2.0 ** (n - 1), _LONGEST) * random.uniform(0.5, 1)  # noqa: S311
        if isinstance(answer, httpx.TransportError):
            unsent = isinstance(
                answer, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
            )
            if n < self.tries and (ask.repeatable or unsent):
                return pause
            what = f"{ask}: {type(answer).__name__}: {answer}"
            raise LostError(what, ask.idempotency_key) from answer
        problem = _problem(answer)
        again = problem.retryable if problem else answer.status_code >= _FAILED
        again = again and (ask.repeatable or answer.status_code == _OVERLOADED)
        given = answer.headers.get("retry-after", "")
        told = float(given) if given.isascii() and given.isdigit() else 0.0
        if n < self.tries and again and told <= _LONGEST:
            return max(pause, told)
        if problem is None:
            what = f"{ask}: answered {answer.status_code}"
            raise LostError(what, ask.idempotency_key)
        raise ApiError(problem, ask.idempotency_key)


@dataclass(slots=True)
class _Stream:
    """A stream of server-sent events, and how far it has been heard."""

    after: int | None
    timeout: float
    failures: int = 0
    rest: bytes = b""

    def options(self) -> dict[str, Any]:
        """Begin anew behind what has been heard."""
        self.rest = b""
        return {
            "method": "GET",
            "url": f"{_PREFIX}/events/stream/",
            "headers": {} if self.after is None else {"Last-Event-ID": str(self.after)},
            "timeout": httpx.Timeout(self.timeout, read=max(self.timeout, _SILENCE)),
        }

    def hear(self, chunk: bytes) -> Iterator[Event]:
        """Return the events that have come in full."""
        self.failures = 0
        *blocks, self.rest = (self.rest + chunk).split(b"\n\n")
        for block in blocks:
            said = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"id" in said:
                self.after = int(said[b"id"])
            if b"data" in said:
                yield msgspec.json.decode(said[b"data"], type=Event)

    def pause(self, patience: _Patience, answer: httpx.Response | httpx.TransportError) -> float:
        """Return how long to wait before the stream is opened again; raise if it is no use."""
        self.failures += 1
        return patience.after(_Ask("GET", "/events/stream/", Event), answer, self.failures)


def _problem(answer: httpx.Response) -> ProblemDocument | None:
    """Return what an answer refuses; None if it isn't the API's own, but a proxy's."""
    try:
        return msgspec.json.decode(answer.content, type=ProblemDocument)
    except msgspec.MsgspecError:
        return None


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _options(url: str, key: str, timeout: float) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": {"Authorization": f"Api-Key {key}", "Accept": "application/json"},
        "timeout": timeout,
    }


class Client:
    """The API for one key. Close it, or use it in a `with` block; threads may share it."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 10.0,
        tries: int = 5,
        first_pause: float = 0.5,
    ) -> None:
        """`timeout` and `first_pause` are seconds; `tries` counts the first one."""
        self._http = httpx.Client(**_options(url, key, timeout))
        self._patience = _Patience(tries, first_pause)
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def me(self) -> Me:
        """Return the merchant whose key it is, and its balances."""
        return self._send(_get("/me/", Me))

    def balances(self, *, at: datetime | None = None) -> Balances:
        """Return the balance in each currency, as of a time if one is given."""
        return self._send(_balances(at))

    def statement(self, since: date, until: date, *, currency: str = "INR") -> Statement:
        """Return all movements of some days (UTC, both included) between two balances."""
        return self._send(_statement(since, until, currency))

    def ledger(self, **filters: Unpack[LedgerFilters]) -> Iterator[LedgerEntry]:
        """Return the ledger entries of one currency, newest first."""
        return self._all(_get("/ledger/", LedgerEntry, filters))

    def payouts(self, **filters: Unpack[PayoutFilters]) -> Iterator[Payout]:
        """Return payouts, newest first."""
        return self._all(_get("/payouts/", Payout, filters))

    def payout(self, payout_id: UUID) -> PayoutDetail:
        """Return one payout with its history."""
        return self._send(_get(f"/payouts/{payout_id}/", PayoutDetail))

    def create_payout(
        self, *, idempotency_key: str | None = None, **body: Unpack[NewPayout]
    ) -> Payout:
        """Create a payout, once per `idempotency_key`: a new one unless it is given."""
        return self._send(_create_payout(body, idempotency_key))

    def cancel_payout(self, payout_id: UUID, *, reason: str | None = None) -> Payout:
        """Cancel a payout that no worker has taken yet."""
        return self._send(_post(f"/payouts/{payout_id}/cancel/", Payout, {"reason": reason}))

    def approve_payout(self, payout_id: UUID, *, reason: str | None = None) -> Payout:
        """Approve a payout as the key's owner, who must not be the one who asked for it."""
        return self._send(_post(f"/payouts/{payout_id}/approve/", Payout, {"reason": reason}))

    def reject_payout(self, payout_id: UUID, reason: str) -> Payout:
        """Reject a payout that awaits approval."""
        return self._send(_post(f"/payouts/{payout_id}/reject/", Payout, {"reason": reason}))

    def rules(self) -> list[Rules]:
        """Return what has to be approved and how much may be paid, by currency."""
        return self._send(_get("/rules/", AllRules)).data

    def create_batch(
        self,
        payouts: Sequence[BatchPayout] | bytes,
        *,
        mode: Mode = "best_effort",
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Leave up to 10,000 payouts to the worker, once per `idempotency_key`; bytes are CSV."""
        return self._send(_create_batch(payouts, mode, name, idempotency_key))

    def check_batch(self, payouts: Sequence[BatchPayout] | bytes) -> BatchCheck:
        """Tell what would become of a batch, line by line, and make nothing."""
        return self._send(_check_batch(payouts))

    def batches(self) -> Iterator[Batch]:
        """Return batches, newest first."""
        return self._all(_get("/batches/", Batch))

    def batch(self, batch_id: UUID) -> Batch:
        """Return one batch, and how far it is."""
        return self._send(_get(f"/batches/{batch_id}/", Batch))

    def batch_lines(
        self, batch_id: UUID, *, outcome: Outcome | None = None
    ) -> Iterator[BatchLineResult]:
        """Return the lines of a batch, and what became of each."""
        return self._all(_batch_lines(batch_id, outcome))

    def cancel_batch(self, batch_id: UUID) -> Batch:
        """Cancel a batch that has not started."""
        return self._send(_post(f"/batches/{batch_id}/cancel/", Batch))

    def events(self, *, cursor: str | None = None) -> Iterator[Event]:
        """Return what has happened so far, oldest first; from behind a cursor on."""
        return self._all(_events(cursor, Event))

    def event_page(self, *, cursor: str | None = None) -> Events:
        """Return one page of what happened; its `next_cursor` is where to go on, now or later."""
        return self._send(_events(cursor, Events))

    def follow(self, after: int | None = None) -> Iterator[Event]:
        """Yield events as they happen, without end: after the one numbered so, or from now on."""
        stream = _Stream(after, self._timeout)
        while True:
            try:
                with self._http.stream(**stream.options()) as answer:
                    pause = self._patience.first_pause  # a stream ends now and then
                    if answer.is_success:
                        for chunk in answer.iter_bytes():
                            yield from stream.hear(chunk)
                    else:
                        answer.read()
                        pause = stream.pause(self._patience, answer)
            except httpx.TransportError as exc:
                pause = stream.pause(self._patience, exc)
            time.sleep(pause)

    def webhook_endpoints(self) -> Iterator[WebhookEndpoint]:
        """Return webhook endpoints, newest first."""
        return self._all(_get("/webhook_endpoints/", WebhookEndpoint))

    def webhook_endpoint(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Return one webhook endpoint."""
        return self._send(_get(_endpoint(endpoint_id), WebhookEndpoint))

    def create_webhook_endpoint(self, **body: Unpack[NewEndpoint]) -> NewWebhookEndpoint:
        """Be told of events; the secret is in this answer only."""
        ask = _post("/webhook_endpoints/", NewWebhookEndpoint, body, repeatable=False)
        return self._send(ask)

    def update_webhook_endpoint(
        self, endpoint_id: UUID, **body: Unpack[EndpointChange]
    ) -> WebhookEndpoint:
        """Change a webhook endpoint, disable it, or enable it again."""
        return self._send(_post(_endpoint(endpoint_id), WebhookEndpoint, body))

    def roll_webhook_secret(
        self, endpoint_id: UUID, *, overlap_seconds: int = 86400
    ) -> NewWebhookEndpoint:
        """Give an endpoint a new secret; the old one signs as well for `overlap_seconds` more."""
        return self._send(_roll_secret(endpoint_id, overlap_seconds))

    def archive_webhook_endpoint(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Send nothing there any more, for good."""
        return self._send(_post(_endpoint(endpoint_id, "archive/"), WebhookEndpoint))

    def send_test_event(self, endpoint_id: UUID) -> Event:
        """Send an event to one endpoint that says nothing has happened."""
        return self._send(_post(_endpoint(endpoint_id, "test/"), Event, repeatable=False))

    def replay_events(self, endpoint_id: UUID, first: int, last: int | None = None) -> Replayed:
        """Send an event again, or those from the first number to the last."""
        return self._send(_replay(endpoint_id, first, last))

    def webhook_deliveries(
        self, endpoint_id: UUID, *, status: list[DeliveryStatus] | None = None
    ) -> Iterator[Delivery]:
        """Return the deliveries to an endpoint, newest first."""
        return self._all(_deliveries(endpoint_id, status))

    def webhook_delivery(self, endpoint_id: UUID, number: int) -> Delivery:
        """Return the delivery of one event to an endpoint."""
        return self._send(_get(_endpoint(endpoint_id, f"deliveries/{number}/"), Delivery))

    def bank_accounts(self) -> Iterator[BankAccount]:
        """Return bank accounts, by id."""
        return self._all(_get("/bank_accounts/", BankAccount))

    def bank_account(self, bank_account_id: str) -> BankAccount:
        """Return one bank account."""
        return self._send(_get(f"/bank_accounts/{_quoted(bank_account_id)}/", BankAccount))

    def create_bank_account(self, **body: Unpack[NewBankAccount]) -> BankAccount:
        """Add a bank account; the same again changes nothing."""
        return self._send(_post("/bank_accounts/", BankAccount, body))

    def archive_bank_account(self, bank_account_id: str) -> BankAccount:
        """Take a bank account out of use: it gets no new payouts."""
        path = f"/bank_accounts/{_quoted(bank_account_id)}/archive/"
        return self._send(_post(path, BankAccount))

    def api_keys(self) -> Iterator[ApiKey]:
        """Return API keys without their secrets, newest first."""
        return self._all(_get("/api_keys/", ApiKey))

    def api_key(self, api_key_id: UUID) -> ApiKey:
        """Return one API key without its secret."""
        return self._send(_get(f"/api_keys/{api_key_id}/", ApiKey))

    def create_api_key(self, **body: Unpack[NewKey]) -> NewApiKey:
        """Make an API key; its secret is in this answer only."""
        return self._send(_post("/api_keys/", NewApiKey, body, repeatable=False))

    def roll_api_key(self, api_key_id: UUID, *, overlap_seconds: int = 86400) -> NewApiKey:
        """Give a key a new secret; the old one is valid for `overlap_seconds` more."""
        body = {"overlap_seconds": overlap_seconds}
        return self._send(_post(f"/api_keys/{api_key_id}/roll/", NewApiKey, body, repeatable=False))

    def revoke_api_key(self, api_key_id: UUID) -> ApiKey:
        """Revoke an API key at once."""
        return self._send(_post(f"/api_keys/{api_key_id}/revoke/", ApiKey))

    def _all(self, ask: _Ask[T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._send(_page(ask, cursor))
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more:
                return

    def _send(self, ask: _Ask[T]) -> T:
        for n in itertools.count(1):
            try:
                answer = self._http.send(ask.request(self._http))
            except httpx.TransportError as exc:
                pause = self._patience.after(ask, exc, n)
            else:
                if answer.is_success:
                    return msgspec.json.decode(answer.content, type=ask.kind)
                pause = self._patience.after(ask, answer, n)
            time.sleep(pause)
        raise AssertionError


class AsyncClient:
    """The API for one key, for asyncio. Close it, or use it in an `async with` block."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 10.0,
        tries: int = 5,
        first_pause: float = 0.5,
    ) -> None:
        """`timeout` and `first_pause` are seconds; `tries` counts the first one."""
        self._http = httpx.AsyncClient(**_options(url, key, timeout))
        self._patience = _Patience(tries, first_pause)
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def me(self) -> Me:
        """Return the merchant whose key it is, and its balances."""
        return await self._send(_get("/me/", Me))

    async def balances(self, *, at: datetime | None = None) -> Balances:
        """Return the balance in each currency, as of a time if one is given."""
        return await self._send(_balances(at))

    async def statement(self, since: date, until: date, *, currency: str = "INR") -> Statement:
        """Return all movements of some days (UTC, both included) between two balances."""
        return await self._send(_statement(since, until, currency))

    def ledger(self, **filters: Unpack[LedgerFilters]) -> AsyncIterator[LedgerEntry]:
        """Return the ledger entries of one currency, newest first."""
        return self._all(_get("/ledger/", LedgerEntry, filters))

    def payouts(self, **filters: Unpack[PayoutFilters]) -> AsyncIterator[Payout]:
        """Return payouts, newest first."""
        return self._all(_get("/payouts/", Payout, filters))

    async def payout(self, payout_id: UUID) -> PayoutDetail:
        """Return one payout with its history."""
        return await self._send(_get(f"/payouts/{payout_id}/", PayoutDetail))

    async def create_payout(
        self, *, idempotency_key: str | None = None, **body: Unpack[NewPayout]
    ) -> Payout:
        """Create a payout, once per `idempotency_key`: a new one unless it is given."""
        return await self._send(_create_payout(body, idempotency_key))

    async def cancel_payout(self, payout_id: UUID, *, reason: str | None = None) -> Payout:
        """Cancel a payout that no worker has taken yet."""
        return await self._send(_post(f"/payouts/{payout_id}/cancel/", Payout, {"reason": reason}))

    async def approve_payout(self, payout_id: UUID, *, reason: str | None = None) -> Payout:
        """Approve a payout as the key's owner, who must not be the one who asked for it."""
        return await self._send(_post(f"/payouts/{payout_id}/approve/", Payout, {"reason": reason}))

    async def reject_payout(self, payout_id: UUID, reason: str) -> Payout:
        """Reject a payout that awaits approval."""
        return await self._send(_post(f"/payouts/{payout_id}/reject/", Payout, {"reason": reason}))

    async def rules(self) -> list[Rules]:
        """Return what has to be approved and how much may be paid, by currency."""
        return (await self._send(_get("/rules/", AllRules))).data

    async def create_batch(
        self,
        payouts: Sequence[BatchPayout] | bytes,
        *,
        mode: Mode = "best_effort",
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Leave up to 10,000 payouts to the worker, once per `idempotency_key`; bytes are CSV."""
        return await self._send(_create_batch(payouts, mode, name, idempotency_key))

    async def check_batch(self, payouts: Sequence[BatchPayout] | bytes) -> BatchCheck:
        """Tell what would become of a batch, line by line, and make nothing."""
        return await self._send(_check_batch(payouts))

    def batches(self) -> AsyncIterator[Batch]:
        """Return batches, newest first."""
        return self._all(_get("/batches/", Batch))

    async def batch(self, batch_id: UUID) -> Batch:
        """Return one batch, and how far it is."""
        return await self._send(_get(f"/batches/{batch_id}/", Batch))

    def batch_lines(
        self, batch_id: UUID, *, outcome: Outcome | None = None
    ) -> AsyncIterator[BatchLineResult]:
        """Return the lines of a batch, and what became of each."""
        return self._all(_batch_lines(batch_id, outcome))

    async def cancel_batch(self, batch_id: UUID) -> Batch:
        """Cancel a batch that has not started."""
        return await self._send(_post(f"/batches/{batch_id}/cancel/", Batch))

    def events(self, *, cursor: str | None = None) -> AsyncIterator[Event]:
        """Return what has happened so far, oldest first; from behind a cursor on."""
        return self._all(_events(cursor, Event))

    async def event_page(self, *, cursor: str | None = None) -> Events:
        """Return one page of what happened; its `next_cursor` is where to go on, now or later."""
        return await self._send(_events(cursor, Events))

    async def follow(self, after: int | None = None) -> AsyncIterator[Event]:
        """Yield events as they happen, without end: after the one numbered so, or from now on."""
        stream = _Stream(after, self._timeout)
        while True:
            try:
                async with self._http.stream(**stream.options()) as answer:
                    pause = self._patience.first_pause  # a stream ends now and then
                    if answer.is_success:
                        async for chunk in answer.aiter_bytes():
                            for event in stream.hear(chunk):
                                yield event
                    else:
                        await answer.aread()
                        pause = stream.pause(self._patience, answer)
            except httpx.TransportError as exc:
                pause = stream.pause(self._patience, exc)
            await asyncio.sleep(pause)

    def webhook_endpoints(self) -> AsyncIterator[WebhookEndpoint]:
        """Return webhook endpoints, newest first."""
        return self._all(_get("/webhook_endpoints/", WebhookEndpoint))

    async def webhook_endpoint(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Return one webhook endpoint."""
        return await self._send(_get(_endpoint(endpoint_id), WebhookEndpoint))

    async def create_webhook_endpoint(self, **body: Unpack[NewEndpoint]) -> NewWebhookEndpoint:
        """Be told of events; the secret is in this answer only."""
        ask = _post("/webhook_endpoints/", NewWebhookEndpoint, body, repeatable=False)
        return await self._send(ask)

    async def update_webhook_endpoint(
        self, endpoint_id: UUID, **body: Unpack[EndpointChange]
    ) -> WebhookEndpoint:
        """Change a webhook endpoint, disable it, or enable it again."""
        return await self._send(_post(_endpoint(endpoint_id), WebhookEndpoint, body))

    async def roll_webhook_secret(
        self, endpoint_id: UUID, *, overlap_seconds: int = 86400
    ) -> NewWebhookEndpoint:
        """Give an endpoint a new secret; the old one signs as well for `overlap_seconds` more."""
        return await self._send(_roll_secret(endpoint_id, overlap_seconds))

    async def archive_webhook_endpoint(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Send nothing there any more, for good."""
        return await self._send(_post(_endpoint(endpoint_id, "archive/"), WebhookEndpoint))

    async def send_test_event(self, endpoint_id: UUID) -> Event:
        """Send an event to one endpoint that says nothing has happened."""
        return await self._send(_post(_endpoint(endpoint_id, "test/"), Event, repeatable=False))

    async def replay_events(
        self, endpoint_id: UUID, first: int, last: int | None = None
    ) -> Replayed:
        """Send an event again, or those from the first number to the last."""
        return await self._send(_replay(endpoint_id, first, last))

    def webhook_deliveries(
        self, endpoint_id: UUID, *, status: list[DeliveryStatus] | None = None
    ) -> AsyncIterator[Delivery]:
        """Return the deliveries to an endpoint, newest first."""
        return self._all(_deliveries(endpoint_id, status))

    async def webhook_delivery(self, endpoint_id: UUID, number: int) -> Delivery:
        """Return the delivery of one event to an endpoint."""
        return await self._send(_get(_endpoint(endpoint_id, f"deliveries/{number}/"), Delivery))

    def bank_accounts(self) -> AsyncIterator[BankAccount]:
        """Return bank accounts, by id."""
        return self._all(_get("/bank_accounts/", BankAccount))

    async def bank_account(self, bank_account_id: str) -> BankAccount:
        """Return one bank account."""
        return await self._send(_get(f"/bank_accounts/{_quoted(bank_account_id)}/", BankAccount))

    async def create_bank_account(self, **body: Unpack[NewBankAccount]) -> BankAccount:
        """Add a bank account; the same again changes nothing."""
        return await self._send(_post("/bank_accounts/", BankAccount, body))

    async def archive_bank_account(self, bank_account_id: str) -> BankAccount:
        """Take a bank account out of use: it gets no new payouts."""
        path = f"/bank_accounts/{_quoted(bank_account_id)}/archive/"
        return await self._send(_post(path, BankAccount))

    def api_keys(self) -> AsyncIterator[ApiKey]:
        """Return API keys without their secrets, newest first."""
        return self._all(_get("/api_keys/", ApiKey))

    async def api_key(self, api_key_id: UUID) -> ApiKey:
        """Return one API key without its secret."""
        return await self._send(_get(f"/api_keys/{api_key_id}/", ApiKey))

    async def create_api_key(self, **body: Unpack[NewKey]) -> NewApiKey:
        """Make an API key; its secret is in this answer only."""
        return await self._send(_post("/api_keys/", NewApiKey, body, repeatable=False))

    async def roll_api_key(self, api_key_id: UUID, *, overlap_seconds: int = 86400) -> NewApiKey:
        """Give a key a new secret; the old one is valid for `overlap_seconds` more."""
        body = {"overlap_seconds": overlap_seconds}
        return await self._send(
            _post(f"/api_keys/{api_key_id}/roll/", NewApiKey, body, repeatable=False)
        )

    async def revoke_api_key(self, api_key_id: UUID) -> ApiKey:
        """Revoke an API key at once."""
        return await self._send(_post(f"/api_keys/{api_key_id}/revoke/", ApiKey))

    async def _all(self, ask: _Ask[T]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self._send(_page(ask, cursor))
            for item in page.data:
                yield item
            cursor = page.next_cursor
            if not page.has_more:
                return

    async def _send(self, ask: _Ask[T]) -> T:
        for n in itertools.count(1):
            try:
                answer = await self._http.send(ask.request(self._http))
            except httpx.TransportError as exc:
                pause = self._patience.after(ask, exc, n)
            else:
                if answer.is_success:
                    return msgspec.json.decode(answer.content, type=ask.kind)
                pause = self._patience.after(ask, answer, n)
            await asyncio.sleep(pause)
        raise AssertionError
