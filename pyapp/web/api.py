"""The public API: decode → door → encode."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import UNSET
from psycopg.errors import LockNotAvailable
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pyapp import doors, exports, iban, keys, uploads
from pyapp.errors import FieldError, Problem
from pyapp.gather import Gather
from pyapp.uploads import Upload
from pyapp.web import decode, files, live
from pyapp.web.limits import Limits
from pyapp.web.route import PREFIX, Call, Route
from pyapp.web.types import (
    AllRules,
    ApiKey,
    ApprovePayout,
    Balances,
    BalancesQuery,
    BankAccount,
    Batch,
    BatchCheck,
    BatchLineQuery,
    BatchLineResult,
    BatchQuery,
    CancelPayout,
    CreateApiKey,
    CreateBankAccount,
    CreateBatch,
    CreatePayout,
    CreateWebhookEndpoint,
    Delivery,
    DeliveryQuery,
    Empty,
    Event,
    Events,
    LedgerEntry,
    LedgerQuery,
    ListedPayout,
    Listing,
    Me,
    NewApiKey,
    NewWebhookEndpoint,
    Page,
    Payout,
    PayoutDetail,
    PayoutFilters,
    PayoutQuery,
    RejectPayout,
    Replayed,
    ReplayEvents,
    RollApiKey,
    RollWebhookSecret,
    Sheet,
    Statement,
    StatementQuery,
    StreamQuery,
    UpdateWebhookEndpoint,
    WebhookEndpoint,
)

Key = TypeVar("Key")

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_UPLOADS: Final = {"application/json": CreateBatch, "text/csv": Sheet}


async def me(call: Call[Empty, Empty]) -> Response:
    """Tell the caller who it is and what it has."""
    body = await doors.me(call.db, call.caller.merchant_id)
    return _json(_found(body, "merchant_not_found"))


async def balances(call: Call[BalancesQuery, Empty]) -> Response:
    """Tell what the caller has, or had at a time."""
    at = call.query.at
    found = await doors.balances_at(call.db, call.caller.merchant_id, at)
    body = msgspec.json.encode({"at": at and exports.utc(at), "balances": found})
    return _json(body.decode())


async def get_statement(call: Call[StatementQuery, Empty]) -> Response:
    """Send the movements of some days, between two balances."""
    return await files.statement(call.db, call.caller, call.query)


async def export_payouts(call: Call[PayoutFilters, Empty]) -> Response:
    """Send payouts as CSV."""
    return files.payouts(call.db, call.caller.merchant_id, msgspec.structs.asdict(call.query))


async def list_ledger(call: Call[LedgerQuery, Empty]) -> Response:
    """List the ledger of one currency."""
    entries = await doors.ledger_entries(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, int),
        filters=_filters(call.query),
    )
    return _page(call, entries)


async def list_payouts(call: Call[PayoutQuery, Empty]) -> Response:
    """List payouts."""
    payouts = await doors.payouts(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, UUID),
        filters=_filters(call.query),
        detailed=call.query.expand is not None,
    )
    return _page(call, payouts)


async def create_payout(call: Call[Empty, CreatePayout]) -> Response:
    """Reserve money and create a payout, once per Idempotency-Key."""
    caller = call.caller
    request = decode.payout_request(call.body, call.idempotency_key)
    payouts: Gather[doors.AddressedRequest, doors.Reply] = call.request.app.state.payouts
    try:
        reply = await payouts.ask(
            caller.merchant_id,
            doors.AddressedRequest(
                caller.merchant_id, caller.owner, caller.key_prefix, caller.key_hash, request
            ),
        )
    except LockNotAvailable:
        raise Problem("idempotency_key_in_flight") from None
    if reply.status == HTTPStatus.UNAUTHORIZED:
        limits: Limits = call.request.app.state.limits
        limits.learn(caller.key_hash, None)
        raise Problem("unauthorized", headers=decode.CHALLENGE)
    return _reply(reply, "payouts")


async def get_payout(call: Call[Empty, Empty]) -> Response:
    """Show one payout with its history."""
    body = await doors.payout(call.db, call.caller.merchant_id, _payout_id(call.request))
    return _json(_found(body, "payout_not_found"))


async def approve_payout(call: Call[Empty, ApprovePayout]) -> Response:
    """Approve a payout as the key's owner."""
    body = await doors.approve_payout(
        call.db,
        call.caller.merchant_id,
        _payout_id(call.request),
        call.caller.owner or call.caller.key_prefix,
        reason=call.body.reason,
        actor=call.caller.key_prefix,
    )
    return _json(body)


async def reject_payout(call: Call[Empty, RejectPayout]) -> Response:
    """Reject a payout as the key's owner."""
    body = await doors.reject_payout(
        call.db,
        call.caller.merchant_id,
        _payout_id(call.request),
        call.caller.owner or call.caller.key_prefix,
        call.body.reason,
        actor=call.caller.key_prefix,
    )
    return _json(body)


async def list_rules(call: Call[Empty, Empty]) -> Response:
    """List the merchant's rules."""
    found = await doors.rules(call.db, call.caller.merchant_id)
    return _json(f'{{"data":[{",".join(rules.body for rules in found)}]}}')


async def cancel_payout(call: Call[Empty, CancelPayout]) -> Response:
    """Cancel a payout that has not left yet, and release its money."""
    body = await doors.cancel_payout(
        call.db,
        call.caller.merchant_id,
        _payout_id(call.request),
        reason=call.body.reason,
        actor=call.caller.key_prefix,
    )
    return _json(body)


async def list_events(call: Call[Page, Empty]) -> Response:
    """List events in commit order; whoever has read them all goes on from the last cursor."""
    after = decode.read_cursor(call.query.cursor, int) or 0
    limit = call.query.limit
    found = await doors.events(call.db, call.caller.merchant_id, limit=limit + 1, after=after)
    items = found[:limit]
    cursor = decode.write_cursor(items[-1].key if items else after)
    more = len(found) > limit
    data = ",".join(item.body for item in items)
    body = f'{{"data":[{data}],"has_more":{str(more).lower()},"next_cursor":"{cursor}"}}'
    return _json(body, headers=_link(call, cursor) if more else None)


async def stream_events(call: Call[StreamQuery, Empty]) -> Response:
    """Stream events as they happen, after Last-Event-ID, the cursor, or from now on."""
    merchant_id = call.caller.merchant_id
    given = call.request.headers.get("last-event-id")
    after = decode.read_cursor(call.query.cursor, int) if given is None else _number(given)
    if after is None:
        after = (await live.latest(call.db, merchant_id)).event_seq
    key_hash = decode.key_hash(call.request)

    async def is_valid() -> bool:
        return bool(await doors.authenticate(call.db, [key_hash]))

    hub: live.Hub = call.request.app.state.hub
    return StreamingResponse(
        hub.events(call.db, merchant_id, after, is_valid), media_type="text/event-stream"
    )


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Problem("invalid_request", "Last-Event-ID is not the number of an event")
    return int(text)


async def create_batch(call: Call[BatchQuery, Upload]) -> Response:
    """Leave many payouts to the worker, once per Idempotency-Key."""
    requests = call.body.whole()
    try:
        reply = await doors.create_batch(
            call.db,
            call.caller.merchant_id,
            call.idempotency_key,
            requests,
            mode=call.query.mode,
            name=call.query.name,
            owner=call.caller.owner,
            actor=call.caller.key_prefix,
        )
    except LockNotAvailable:
        raise Problem("idempotency_key_in_flight") from None
    return _reply(reply, "batches")


async def check_batch(call: Call[Empty, Upload]) -> Response:
    """Tell what would become of each line, and make nothing."""
    found = await uploads.check(call.db, call.caller.merchant_id, call.body)
    return _json(msgspec.json.encode(found).decode())


async def list_batches(call: Call[Page, Empty]) -> Response:
    """List batches."""
    batches = await doors.batches(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, UUID),
    )
    return _page(call, batches)


async def get_batch(call: Call[Empty, Empty]) -> Response:
    """Show one batch, and how far it is."""
    body = await doors.batch(call.db, call.caller.merchant_id, _batch_id(call.request))
    return _json(_found(body, "batch_not_found"))


async def list_batch_lines(call: Call[BatchLineQuery, Empty]) -> Response:
    """List the lines of a batch, and what became of each."""
    batch_id = _batch_id(call.request)
    _found(await doors.batch(call.db, call.caller.merchant_id, batch_id), "batch_not_found")
    lines = await doors.batch_lines(
        call.db,
        call.caller.merchant_id,
        batch_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, int),
        outcome=call.query.outcome,
    )
    return _page(call, lines)


async def get_batch_result(call: Call[Empty, Empty]) -> Response:
    """Send what became of each line."""
    merchant_id, batch_id = call.caller.merchant_id, _batch_id(call.request)
    _found(await doors.batch(call.db, merchant_id, batch_id), "batch_not_found")
    return StreamingResponse(uploads.results(call.db, merchant_id, batch_id), media_type="text/csv")


async def cancel_batch(call: Call[Empty, Empty]) -> Response:
    """Cancel a batch that has not started."""
    batch_id = _batch_id(call.request)
    actor = call.caller.key_prefix
    body = await doors.cancel_batch(call.db, call.caller.merchant_id, batch_id, actor=actor)
    return _json(body)


async def receive_upload(request: Request) -> Upload:
    """Read a list of payouts from the body; others are served meanwhile."""
    media = decode.media_type(request)
    if media not in _UPLOADS:
        detail = f"Send {' or '.join(_UPLOADS)}, in UTF-8 and not compressed"
        raise Problem("unsupported_media_type", detail)
    content = await decode.raw(request, uploads.MOST_BYTES)
    return await asyncio.to_thread(uploads.read, content, is_csv=media == "text/csv")


async def list_webhook_endpoints(call: Call[Page, Empty]) -> Response:
    """List webhook endpoints."""
    endpoints = await doors.webhook_endpoints(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, UUID),
    )
    return _page(call, endpoints)


async def create_webhook_endpoint(call: Call[Empty, CreateWebhookEndpoint]) -> Response:
    """Add a webhook endpoint, and show its secret this once."""
    secret = keys.new_webhook_secret()
    body = await doors.create_webhook_endpoint(
        call.db,
        call.caller.merchant_id,
        url=call.body.url,
        secret=secret,
        event_types=call.body.event_types,
        description=call.body.description,
    )
    return _with_secret(secret, body, "webhook_endpoints")


async def get_webhook_endpoint(call: Call[Empty, Empty]) -> Response:
    """Show one webhook endpoint."""
    body = await doors.webhook_endpoint(call.db, *_endpoint(call))
    return _json(_found(body, "webhook_endpoint_not_found"))


async def update_webhook_endpoint(call: Call[Empty, UpdateWebhookEndpoint]) -> Response:
    """Change a webhook endpoint, disable it, or enable it again."""
    body = await doors.update_webhook_endpoint(
        call.db,
        *_endpoint(call),
        url=call.body.url,
        event_types=call.body.event_types,
        description=call.body.description,
        enabled=call.body.enabled,
    )
    return _json(body)


async def roll_webhook_secret(call: Call[Empty, RollWebhookSecret]) -> Response:
    """Give a webhook endpoint a new secret; the old one signs as well for a while."""
    secret = keys.new_webhook_secret()
    overlap = timedelta(seconds=call.body.overlap_seconds)
    body = await doors.roll_webhook_secret(
        call.db, *_endpoint(call), secret=secret, overlap=overlap
    )
    return _with_secret(secret, body, "webhook_endpoints", 200)


async def archive_webhook_endpoint(call: Call[Empty, Empty]) -> Response:
    """Take a webhook endpoint out of use for good."""
    return _json(await doors.archive_webhook_endpoint(call.db, *_endpoint(call)))


async def send_test_event(call: Call[Empty, Empty]) -> Response:
    """Send a test event to a webhook endpoint."""
    return _json(
        await doors.send_test_event(call.db, *_endpoint(call), actor=call.caller.key_prefix)
    )


async def replay_events(call: Call[Empty, ReplayEvents]) -> Response:
    """Send events to a webhook endpoint again."""
    first = call.body.first
    last = first if call.body.last is None else call.body.last
    replayed = await doors.replay_events(call.db, *_endpoint(call), first, last)
    return _json(f'{{"events":{replayed}}}')


async def list_deliveries(call: Call[DeliveryQuery, Empty]) -> Response:
    """List what was sent to a webhook endpoint."""
    merchant_id, endpoint_id = _endpoint(call)
    _found(
        await doors.webhook_endpoint(call.db, merchant_id, endpoint_id),
        "webhook_endpoint_not_found",
    )
    deliveries = await doors.webhook_deliveries(
        call.db,
        merchant_id,
        endpoint_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, int),
        filters=_filters(call.query),
    )
    return _page(call, deliveries)


async def get_delivery(call: Call[Empty, Empty]) -> Response:
    """Show one delivery, by the number of its event."""
    text = call.request.path_params["number"]
    number = int(text) if _NUMBER.fullmatch(text) else 0
    found = await doors.webhook_deliveries(
        call.db, *_endpoint(call), limit=1, filters={"seq": number}
    )
    return _json(_found(found[0].body if found else None, "delivery_not_found"))


def _endpoint(call: Call[Any, Any]) -> tuple[UUID, UUID]:
    text = call.request.path_params["endpoint_id"]
    return call.caller.merchant_id, decode.uuid(text, "webhook_endpoint_not_found")


async def list_bank_accounts(call: Call[Page, Empty]) -> Response:
    """List bank accounts."""
    accounts = await doors.bank_accounts(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, str),
    )
    return _page(call, accounts)


async def get_bank_account(call: Call[Empty, Empty]) -> Response:
    """Show one bank account."""
    body = await doors.bank_account(
        call.db, call.caller.merchant_id, _bank_account_id(call.request)
    )
    return _json(_found(body, "bank_account_not_found"))


async def list_api_keys(call: Call[Page, Empty]) -> Response:
    """List API keys."""
    found = await doors.listed_api_keys(
        call.db,
        call.caller.merchant_id,
        limit=call.query.limit + 1,
        after=decode.read_cursor(call.query.cursor, UUID),
    )
    return _page(call, found)


async def get_api_key(call: Call[Empty, Empty]) -> Response:
    """Show one API key."""
    body = await doors.api_key(call.db, call.caller.merchant_id, _api_key_id(call.request))
    return _json(_found(body, "api_key_not_found"))


async def create_api_key(call: Call[Empty, CreateApiKey]) -> Response:
    """Make a key with the caller's, and show its secret this once."""
    secret = await _new_secret(call)
    body = await doors.create_api_key_by_key(
        call.db,
        call.caller.merchant_id,
        call.caller.api_key_id,
        secret,
        scopes=call.body.scopes,
        name=call.body.name,
        expires_at=call.body.expires_at,
    )
    return _with_secret(secret.text, body, "api_keys")


async def roll_api_key(call: Call[Empty, RollApiKey]) -> Response:
    """Give a key a new secret; the old one is valid for a while."""
    secret = await _new_secret(call)
    body = await doors.roll_api_key_by_key(
        call.db,
        call.caller.merchant_id,
        call.caller.api_key_id,
        _api_key_id(call.request),
        secret,
        overlap=timedelta(seconds=call.body.overlap_seconds),
    )
    return _with_secret(secret.text, body, "api_keys")


async def revoke_api_key(call: Call[Empty, Empty]) -> Response:
    """Revoke a key at once."""
    caller = call.caller
    body = await doors.revoke_api_key_by_key(
        call.db, caller.merchant_id, caller.api_key_id, _api_key_id(call.request)
    )
    return _json(body)


async def create_bank_account(call: Call[Empty, CreateBankAccount]) -> Response:
    """Add a bank account; the same again is the same account."""
    given: dict[str, Any] = {
        name: value
        for name, value in msgspec.structs.asdict(call.body).items()
        if value is not UNSET
    }
    fault = iban.fault(given["iban"]) if "iban" in given else None
    if fault:
        decode.refuse(FieldError(pointer="/iban", code="bank_account_invalid", detail=fault))
    bank_account_id = given.pop("id")
    body = await doors.add_bank_account(call.db, call.caller.merchant_id, bank_account_id, **given)
    return _json(body, 201, {"Location": f"{PREFIX}/bank_accounts/{bank_account_id}/"})


async def archive_bank_account(call: Call[Empty, Empty]) -> Response:
    """Take a bank account out of use."""
    body = await doors.archive_bank_account(
        call.db, call.caller.merchant_id, _bank_account_id(call.request)
    )
    return _json(body)


async def _new_secret(call: Call[Any, Any]) -> keys.Secret:
    found = await doors.instance(call.db)
    return keys.new_secret(found.environment if found else "demo")


def _with_secret(secret: str, body: str, where: str, status: int = 201) -> Response:
    """Show what was made, or changed, with its secret: this once."""
    made = msgspec.json.decode(body)
    shown = msgspec.json.encode({**made, "secret": secret}).decode()
    created = {"Location": f"{PREFIX}/{where}/{made['id']}/"}
    return _json(shown, status, created if status == HTTPStatus.CREATED else None)


def _api_key_id(request: Request) -> UUID:
    return decode.uuid(request.path_params["api_key_id"], "api_key_not_found")


def _batch_id(request: Request) -> UUID:
    return decode.uuid(request.path_params["batch_id"], "batch_not_found")


def _payout_id(request: Request) -> UUID:
    return decode.uuid(request.path_params["payout_id"], "payout_not_found")


def _bank_account_id(request: Request) -> str:
    bank_account_id: str = request.path_params["bank_account_id"]
    if "\0" in bank_account_id:
        raise Problem("bank_account_not_found")
    return bank_account_id


def _found(body: str | None, otherwise: str) -> str:
    if body is None:
        raise Problem(otherwise)
    return body


def _filters(query: Page | PayoutQuery) -> dict[str, object]:
    return {
        name: value
        for name, value in msgspec.structs.asdict(query).items()
        if name not in {*Page.__struct_fields__, "expand"}
    }


def _json(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


def _reply(reply: doors.Reply, where: str) -> Response:
    headers = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return Response(reply.body, reply.status, headers, "application/problem+json")
    created = msgspec.json.decode(reply.body, type=_Created)
    headers["Location"] = f"{PREFIX}/{where}/{created.id}/"
    return _json(reply.body, reply.status, headers)


class _Created(msgspec.Struct):
    id: str


def _page(call: Call[Any, Empty], items: list[doors.Item[Key]]) -> Response:
    """Render a page; the one row above the limit only says that there is more."""
    data = ",".join(item.body for item in items[: call.query.limit])
    cursor = decode.next_cursor(items, call.query.limit)
    if cursor is None:
        return _json(f'{{"data":[{data}],"has_more":false,"next_cursor":null}}')
    body = f'{{"data":[{data}],"has_more":true,"next_cursor":"{cursor}"}}'
    return _json(body, headers=_link(call, cursor))


def _link(call: Call[Any, Empty], cursor: str) -> dict[str, str]:
    given = call.request.query_params.multi_items()
    address = urlencode([*(pair for pair in given if pair[0] != "cursor"), ("cursor", cursor)])
    return {"Link": f'<{call.request.url.path}/?{address}>; rel="next"'}


_OF_A_LINE: Final = (
    "amount_invalid",
    "currency_unknown",
    "bank_account_invalid",
    "reference_invalid",
    "metadata_invalid",
    "narration_invalid",
    "scheduled_at_invalid",
)

ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="GET",
        path="/me/",
        scope="read",
        summary="The merchant whose key it is, and its balances",
        handler=me,
        query=Empty,
        body=Empty,
        response=Me,
    ),
    Route(
        method="GET",
        path="/balances/",
        scope="read",
        summary="The balances in every currency, now or as of any time",
        handler=balances,
        query=BalancesQuery,
        body=Empty,
        response=Balances,
    ),
    Route(
        method="GET",
        path="/statements/",
        scope="read",
        summary="A statement of some days in one currency, with the balance after each movement",
        handler=get_statement,
        query=StatementQuery,
        body=Empty,
        response=Statement,
        also=("text/csv", "text/html"),
        errors=("argument_invalid", "currency_unknown"),
    ),
    Route(
        method="GET",
        path="/exports/payouts/",
        scope="read",
        summary="Payouts as CSV, newest first, amounts in the currency's own unit",
        handler=export_payouts,
        query=PayoutFilters,
        body=Empty,
        response=str,
        media="text/csv",
    ),
    Route(
        method="GET",
        path="/ledger/",
        scope="read",
        summary="The ledger of one currency, newest entry first",
        handler=list_ledger,
        query=LedgerQuery,
        body=Empty,
        response=Listing[LedgerEntry],
    ),
    Route(
        method="GET",
        path="/payouts/",
        scope="read",
        summary="Payouts, newest first",
        handler=list_payouts,
        query=PayoutQuery,
        body=Empty,
        response=Listing[ListedPayout],
    ),
    Route(
        method="POST",
        path="/payouts/",
        scope="payouts:create",
        summary="Create a payout: reserve the money and send it to a bank account",
        handler=create_payout,
        query=Empty,
        body=CreatePayout,
        response=Payout,
        status=201,
        idempotent=True,
        gathered=True,
        errors=(
            "idempotency_key_missing",
            "idempotency_key_invalid",
            "idempotency_key_in_flight",
            "idempotency_key_reused",
            *_OF_A_LINE,
        ),
        rejections=(
            "insufficient_funds",
            "bank_account_not_found",
            "limit_exceeded",
            "retry_of_invalid",
            "mode_unavailable",
        ),
    ),
    Route(
        method="GET",
        path="/payouts/{payout_id}/",
        scope="read",
        summary="One payout with its history",
        handler=get_payout,
        query=Empty,
        body=Empty,
        response=PayoutDetail,
        errors=("payout_not_found",),
    ),
    Route(
        method="POST",
        path="/payouts/{payout_id}/cancel/",
        scope="payouts:create",
        summary="Cancel a payout that no worker has taken yet",
        handler=cancel_payout,
        query=Empty,
        body=CancelPayout,
        response=Payout,
        errors=("payout_not_found", "illegal_transition", "argument_invalid"),
    ),
    Route(
        method="POST",
        path="/payouts/{payout_id}/approve/",
        scope="payouts:approve",
        summary="Approve a payout that awaits it, as the key's owner, who did not ask for it",
        handler=approve_payout,
        query=Empty,
        body=ApprovePayout,
        response=Payout,
        errors=(
            "payout_not_found",
            "illegal_transition",
            "approval_expired",
            "approver_is_creator",
            "argument_invalid",
        ),
    ),
    Route(
        method="POST",
        path="/payouts/{payout_id}/reject/",
        scope="payouts:approve",
        summary="Reject a payout that awaits approval, as the key's owner",
        handler=reject_payout,
        query=Empty,
        body=RejectPayout,
        response=Payout,
        errors=("payout_not_found", "illegal_transition", "approval_expired", "argument_invalid"),
    ),
    Route(
        method="GET",
        path="/rules/",
        scope="read",
        summary="What has to be approved and how much may be paid, by currency",
        handler=list_rules,
        query=Empty,
        body=Empty,
        response=AllRules,
    ),
    Route(
        method="GET",
        path="/events/",
        scope="read",
        summary="What happened, oldest first, without gaps",
        handler=list_events,
        query=Page,
        body=Empty,
        response=Events,
    ),
    Route(
        method="GET",
        path="/events/stream/",
        scope="read",
        summary="What happens, as server-sent events",
        handler=stream_events,
        query=StreamQuery,
        body=Empty,
        response=Event,
        described=False,
    ),
    Route(
        method="GET",
        path="/batches/",
        scope="read",
        summary="Batches, newest first",
        handler=list_batches,
        query=Page,
        body=Empty,
        response=Listing[Batch],
    ),
    Route(
        method="POST",
        path="/batches/",
        scope="payouts:create",
        summary="Ask for up to 10,000 payouts at once, which are then made one after another",
        handler=create_batch,
        query=BatchQuery,
        body=Upload,
        response=Batch,
        read=receive_upload,
        content=_UPLOADS,
        status=201,
        idempotent=True,
        errors=(
            "idempotency_key_missing",
            "idempotency_key_invalid",
            "idempotency_key_in_flight",
            "idempotency_key_reused",
            "batch_line_invalid",
            *_OF_A_LINE,
        ),
    ),
    Route(
        method="POST",
        path="/batches/check/",
        scope="payouts:create",
        summary="Tell what would become of a batch, line by line, and make nothing",
        handler=check_batch,
        query=Empty,
        body=Upload,
        response=BatchCheck,
        read=receive_upload,
        content=_UPLOADS,
    ),
    Route(
        method="GET",
        path="/batches/{batch_id}/",
        scope="read",
        summary="One batch, and how far it is",
        handler=get_batch,
        query=Empty,
        body=Empty,
        response=Batch,
        errors=("batch_not_found",),
    ),
    Route(
        method="GET",
        path="/batches/{batch_id}/lines/",
        scope="read",
        summary="The lines of a batch, and what became of each",
        handler=list_batch_lines,
        query=BatchLineQuery,
        body=Empty,
        response=Listing[BatchLineResult],
        errors=("batch_not_found",),
    ),
    Route(
        method="GET",
        path="/batches/{batch_id}/result/",
        scope="read",
        summary="What became of each line as CSV, amounts in the currency's own unit",
        handler=get_batch_result,
        query=Empty,
        body=Empty,
        response=str,
        media="text/csv",
        errors=("batch_not_found",),
    ),
    Route(
        method="POST",
        path="/batches/{batch_id}/cancel/",
        scope="payouts:create",
        summary="Cancel a batch that has not started",
        handler=cancel_batch,
        query=Empty,
        body=Empty,
        response=Batch,
        errors=("batch_not_found", "batch_started"),
    ),
    Route(
        method="GET",
        path="/webhook_endpoints/",
        scope="read",
        summary="Webhook endpoints, newest first",
        handler=list_webhook_endpoints,
        query=Page,
        body=Empty,
        response=Listing[WebhookEndpoint],
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/",
        scope="webhooks:write",
        summary="Be told of events; the secret is shown this once",
        handler=create_webhook_endpoint,
        query=Empty,
        body=CreateWebhookEndpoint,
        response=NewWebhookEndpoint,
        status=201,
        errors=(
            "webhook_endpoint_invalid",
            "webhook_endpoint_exists",
            "webhook_endpoints_full",
        ),
    ),
    Route(
        method="GET",
        path="/webhook_endpoints/{endpoint_id}/",
        scope="read",
        summary="One webhook endpoint",
        handler=get_webhook_endpoint,
        query=Empty,
        body=Empty,
        response=WebhookEndpoint,
        errors=("webhook_endpoint_not_found",),
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/{endpoint_id}/",
        scope="webhooks:write",
        summary="Change a webhook endpoint, disable it, or enable it again",
        handler=update_webhook_endpoint,
        query=Empty,
        body=UpdateWebhookEndpoint,
        response=WebhookEndpoint,
        errors=(
            "webhook_endpoint_not_found",
            "webhook_endpoint_invalid",
            "webhook_endpoint_exists",
        ),
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/{endpoint_id}/roll_secret/",
        scope="webhooks:write",
        summary="Give it a new secret, while the old one signs as well for some time",
        handler=roll_webhook_secret,
        query=Empty,
        body=RollWebhookSecret,
        response=NewWebhookEndpoint,
        errors=(
            "webhook_endpoint_not_found",
            "webhook_endpoint_invalid",
        ),
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/{endpoint_id}/archive/",
        scope="webhooks:write",
        summary="Take it out of use for good",
        handler=archive_webhook_endpoint,
        query=Empty,
        body=Empty,
        response=WebhookEndpoint,
        errors=("webhook_endpoint_not_found",),
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/{endpoint_id}/test/",
        scope="webhooks:write",
        summary="Send it a test event",
        handler=send_test_event,
        query=Empty,
        body=Empty,
        response=Event,
        errors=("webhook_endpoint_not_found",),
    ),
    Route(
        method="POST",
        path="/webhook_endpoints/{endpoint_id}/replay/",
        scope="webhooks:write",
        summary="Send events to it again",
        handler=replay_events,
        query=Empty,
        body=ReplayEvents,
        response=Replayed,
        errors=(
            "webhook_endpoint_not_found",
            "webhook_endpoint_invalid",
        ),
    ),
    Route(
        method="GET",
        path="/webhook_endpoints/{endpoint_id}/deliveries/",
        scope="read",
        summary="What was sent to it, newest event first",
        handler=list_deliveries,
        query=DeliveryQuery,
        body=Empty,
        response=Listing[Delivery],
        errors=("webhook_endpoint_not_found",),
    ),
    Route(
        method="GET",
        path="/webhook_endpoints/{endpoint_id}/deliveries/{number}/",
        scope="read",
        summary="One delivery, by the number of its event",
        handler=get_delivery,
        query=Empty,
        body=Empty,
        response=Delivery,
        errors=(
            "webhook_endpoint_not_found",
            "delivery_not_found",
        ),
    ),
    Route(
        method="GET",
        path="/bank_accounts/",
        scope="read",
        summary="Bank accounts, by id",
        handler=list_bank_accounts,
        query=Page,
        body=Empty,
        response=Listing[BankAccount],
    ),
    Route(
        method="POST",
        path="/bank_accounts/",
        scope="bank_accounts:write",
        summary="Add a bank account; the same again changes nothing",
        handler=create_bank_account,
        query=Empty,
        body=CreateBankAccount,
        response=BankAccount,
        status=201,
        errors=("bank_account_invalid", "bank_account_exists"),
    ),
    Route(
        method="GET",
        path="/bank_accounts/{bank_account_id}/",
        scope="read",
        summary="One bank account",
        handler=get_bank_account,
        query=Empty,
        body=Empty,
        response=BankAccount,
        errors=("bank_account_not_found",),
    ),
    Route(
        method="GET",
        path="/api_keys/",
        scope="read",
        summary="API keys without their secrets, newest first",
        handler=list_api_keys,
        query=Page,
        body=Empty,
        response=Listing[ApiKey],
    ),
    Route(
        method="POST",
        path="/api_keys/",
        scope="keys:write",
        summary="Make an API key, of the same owner; its secret is shown this once",
        handler=create_api_key,
        query=Empty,
        body=CreateApiKey,
        response=NewApiKey,
        status=201,
        errors=("api_key_invalid", "grant_refused"),
    ),
    Route(
        method="GET",
        path="/api_keys/{api_key_id}/",
        scope="read",
        summary="One API key without its secret",
        handler=get_api_key,
        query=Empty,
        body=Empty,
        response=ApiKey,
        errors=("api_key_not_found",),
    ),
    Route(
        method="POST",
        path="/api_keys/{api_key_id}/roll/",
        scope="keys:write",
        summary="Give an API key a new secret, while the old one is valid for some time",
        handler=roll_api_key,
        query=Empty,
        body=RollApiKey,
        response=NewApiKey,
        status=201,
        errors=("api_key_not_found", "api_key_ended", "api_key_invalid", "grant_refused"),
    ),
    Route(
        method="POST",
        path="/api_keys/{api_key_id}/revoke/",
        scope="keys:write",
        summary="Revoke an API key at once",
        handler=revoke_api_key,
        query=Empty,
        body=Empty,
        response=ApiKey,
        errors=("api_key_not_found", "grant_refused"),
    ),
    Route(
        method="POST",
        path="/bank_accounts/{bank_account_id}/archive/",
        scope="bank_accounts:write",
        summary="Take a bank account out of use: it gets no new payouts",
        handler=archive_bank_account,
        query=Empty,
        body=Empty,
        response=BankAccount,
        errors=("bank_account_not_found",),
    ),
)
