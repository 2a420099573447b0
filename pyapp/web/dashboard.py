"""The merchant's pages: each a few lines that call a door and show what it answered."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import msgspec
from msgspec import Meta
from psycopg.errors import LockNotAvailable
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from pyapp import doors, keys, money, reset
from pyapp.database import Pool, turn
from pyapp.errors import Problem
from pyapp.web import decode, files, pages, session, shown, timeline
from pyapp.web.live import Hub, latest
from pyapp.web.session import Session
from pyapp.web.types import Currency, Kind, Page, StatementQuery, Status

_LATEST: Final = 8  # rows on the overview
_BALANCE_DAYS: Final = 30
_PAYOUT_DAYS: Final = 14
_TRUST: Final = 5.0  # seconds that an open page's session is taken to go on
_EVENT_ID: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})@([0-9a-f-]{36})")
_MONTHS: Final = 12
_AWAITING: Final = 100  # payouts on the page of approvals

COOKIE: Final = session.Cookie("__Host-payrail", "lax", doors.resume_session, doors.close_session)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page by somebody who is signed in."""

    db: Pool
    request: Request
    session: Session[doors.Caller]
    form: Mapping[str, str]
    file: bytes = b""  # that was sent along
    awaiting: int | None = None  # payouts that await approval, where the session may approve

    @property
    def person(self) -> str:
        """Who asks for payouts with this session, and approves them."""
        return self.session.caller.owner or self.session.caller.key_prefix

    @property
    def merchant_id(self) -> UUID:
        """Whose pages these are."""
        return self.session.caller.merchant_id

    def may(self, scope: str) -> bool:
        """Whether the session's API key has this scope."""
        return scope in self.session.caller.scopes

    async def now(self) -> doors.Change:
        """Return the balance, and how far the events and the ledger are that the page will show."""
        return await latest(self.db, self.merchant_id)

    def around(self) -> dict[str, object]:
        """Return what the header of a page shows."""
        return {"caller": self.session.caller, "token": self.session.token, "visit": self}

    def page(self, template: str, status: int = 200, **given: object) -> Response:
        """Render a page of this merchant's."""
        return pages.html(template, status, **self.around(), **given)


Handler = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page, or what one of its forms does."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    scope: keys.Scope = "read"
    upload: int = 0  # bytes that a file may have which the form sends along

    async def __call__(self, request: Request) -> Response:
        """Answer one request; whoever is not signed in is asked to."""
        request.state.page = True
        db: Pool = request.app.state.db
        found = await COOKIE.session(db, request)
        if found is None and self.path == "/live":  # no browser follows a stream to a form
            raise Problem("unauthorized")
        if found is None:
            where = session.place(request) if self.method == "GET" else "/"
            return RedirectResponse(f"/sign-in?next={quote(where)}", 303)
        request.state.key_prefix = found.caller.key_prefix
        request.state.merchant_id = found.caller.merchant_id
        if self.upload:
            form, file = await session.upload(request, found, self.upload)
            visit = Visit(db, request, found, form, file)
        else:
            form = await session.form(request, found) if self.method == "POST" else {}
            visit = Visit(db, request, found, form)
        if self.path != "/live" and visit.may("payouts:approve"):
            count = await doors.awaiting_approval(db, visit.merchant_id)
            visit = replace(visit, awaiting=count)
        request.state.around = visit.around()
        if not visit.may(self.scope):
            raise Problem("forbidden", f"Your API key lacks the scope {self.scope}")
        async with turn(visit.merchant_id):
            return await self.handler(visit)


# ------------------------------------------------------------------------------------ signing in


async def ask_who(request: Request) -> Response:
    """Show the form that takes an API key; in a demo, the keys as well."""
    request.state.page = True
    return await _sign_in_page(request, pages.inside(request.query_params.get("next", "/"), "/"))


async def sign_in(request: Request) -> Response:
    """Start a session and go where the visitor wanted to."""
    request.state.page = True
    form = await session.form(request, None)
    target = pages.inside(form.get("next", "/"), "/")
    response = RedirectResponse(target, 303)
    key_hash = session.sha256(form.get("api_key", "").strip())
    if await COOKIE.sign_in(partial(doors.open_session, request.app.state.db, key_hash), response):
        return response
    return await _sign_in_page(request, target, status=403, refused=True)


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    response = RedirectResponse("/sign-in", 303)
    await COOKIE.sign_out(visit.db, visit.request, response)
    return response


async def _sign_in_page(
    request: Request, target: str, *, status: int = 200, refused: bool = False
) -> Response:
    found = await doors.instance(request.app.state.db)
    demo = reset.MERCHANTS if found and found.environment == "demo" else ()
    return pages.html("sign-in.html", status, target=target, refused=refused, merchants=demo)


# --------------------------------------------------------------------------------------- looking


async def overview(visit: Visit) -> Response:
    """Show the balance, how payouts go, and the newest of them."""
    now = await visit.now()
    currency = _currency(visit, now)
    balances = await doors.daily_balances(visit.db, visit.merchant_id, currency, days=_BALANCE_DAYS)
    days = await doors.daily_payouts(visit.db, visit.merchant_id, days=_PAYOUT_DAYS)
    payouts = await doors.payouts(visit.db, visit.merchant_id, limit=_LATEST)
    entries = await _entries(visit, currency, limit=_LATEST)
    *days, whole = days
    columns = [(d.settled, d.failed + d.returned, d.cancelled, d.under_way) for d in days]
    return visit.page(
        "overview.html",
        now=now,
        currency=currency,
        balances=balances,
        days=days,
        top=max(day.total for day in balances),
        whole=whole,
        most=max(map(sum, columns), default=0),
        wanted=_PAYOUT_DAYS,
        line=shown.line([day.total for day in balances], 560, 150),
        bars=shown.stack(columns, 150),
        rate=shown.rate(whole.settled, whole.settled + whole.failed + whole.returned),
        payouts=_decoded(payouts),
        entries=entries,
    )


_Day = Annotated[str, Meta(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?\Z")]


class _Search(Page, frozen=True, kw_only=True):
    status: list[Status] | None = None
    q: Annotated[str, Meta(max_length=255)] | None = None
    since: _Day = ""  # days in UTC
    until: _Day = ""

    @property
    def filters(self) -> dict[str, object]:
        """What the list is narrowed down to, but for what is typed."""
        return {
            "status": self.status,
            "created_after": _start(self.since),
            "created_before": _start(self.until, later=1),
        }

    @property
    def given(self) -> list[tuple[str, str]]:
        """The fields of the form that are filled in."""
        texts = {"since": self.since, "until": self.until, "q": (self.q or "").strip()}
        return [
            *(("status", status) for status in self.status or []),
            *((name, text) for name, text in texts.items() if text),
        ]


def _start(day: str, later: int = 0) -> datetime | None:
    """Return when a day begins, or one so many days later; none is given as an empty field."""
    if not day:
        return None
    try:
        found = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        return found + timedelta(days=later)
    except (ValueError, OverflowError):
        raise Problem("invalid_request", f"There is no day {day}") from None


async def payouts(visit: Visit) -> Response:
    """List payouts, newest first: by status, or by what is typed: an id, a reference or a UTR."""
    query = decode.query(visit.request, _Search)
    after = decode.read_cursor(query.cursor, UUID)
    typed = (query.q or "").strip()
    if typed and await _find(visit, typed):
        return RedirectResponse(f"/payouts/{UUID(typed)}", 303)
    now = await visit.now()
    found: list[doors.Item[UUID]] = []
    for column in ("reference", "utr") if typed else ("reference",):
        filters = {**query.filters, column: typed or None}
        found = await doors.payouts(
            visit.db, visit.merchant_id, limit=query.limit + 1, after=after, filters=filters
        )
        if found:
            break
    given = query.given
    cursor = decode.next_cursor(found, query.limit)
    return visit.page(
        "payouts.html",
        now=now,
        payouts=_decoded(found[: query.limit]),
        chosen=query.status or [],
        typed=typed,
        since=query.since,
        until=query.until,
        narrowed=bool(given),
        export=urlencode(given),
        first=query.cursor is None,
        more=f"/payouts?{urlencode([*given, ('cursor', cursor)])}" if cursor else None,
    )


async def _find(visit: Visit, typed: str) -> bool:
    """Tell whether what was typed is the id of one of the merchant's payouts."""
    try:
        payout_id = decode.uuid(typed, "payout_not_found")
    except Problem:
        return False
    return await doors.payout(visit.db, visit.merchant_id, payout_id) is not None


async def payout(visit: Visit) -> Response:
    """Show one payout: what became of it, step by step, and what it did to the balance."""
    payout_id = decode.uuid(visit.request.path_params["payout_id"], "payout_not_found")
    now = await visit.now()
    body = await doors.payout(visit.db, visit.merchant_id, payout_id)
    row = await doors.operated_payout(visit.db, visit.merchant_id, payout_id)
    if body is None or row is None:
        raise Problem("payout_not_found")
    found = msgspec.json.decode(body)
    attempts = await doors.attempts(visit.db, visit.merchant_id, payout_id)
    evidence = await doors.evidence(visit.db, visit.merchant_id, payout_id)
    entries = await _entries(visit, row.currency, limit=10, payout_id=payout_id)
    open_still = found["status"] == "processing"
    of = found["batch_id"]
    batch = await doors.batch(visit.db, visit.merchant_id, UUID(of)) if of else None
    return visit.page(
        "payout.html",
        now=now,
        payout=found,
        batch=msgspec.json.decode(batch) if batch else None,
        steps=timeline.steps(found, row, attempts, evidence),
        again=row.next_action_at if open_still else None,
        checking=open_still and await doors.is_under_review(visit.db, visit.merchant_id, payout_id),
        entries=entries[::-1],
        may_approve=(row.created_by or "").lower() != visit.person.lower(),
    )


class _Pages(Page, frozen=True, kw_only=True):
    kind: list[Kind] | None = None
    currency: Currency | None = None


async def ledger(visit: Visit) -> Response:
    """List the ledger, newest entry first, with the balance after each."""
    query = decode.query(visit.request, _Pages)
    after = decode.read_cursor(query.cursor, int)
    now = await visit.now()
    currency = _currency(visit, now)
    found = await _entries(visit, currency, limit=query.limit + 1, after=after, kind=query.kind)
    more = len(found) > query.limit
    given = [("currency", currency), *(("kind", kind) for kind in query.kind or [])]
    cursor = ("cursor", decode.write_cursor(found[query.limit - 1]["seq"])) if more else None
    return visit.page(
        "ledger.html",
        now=now,
        currency=currency,
        entries=found[: query.limit],
        chosen=query.kind or [],
        more=f"/ledger?{urlencode([*given, cursor])}" if cursor else None,
    )


async def statements(visit: Visit) -> Response:
    """Show which statements there are: a month's, or one of any days."""
    now = await visit.now()
    today = datetime.now(UTC).date()
    months = [today.replace(day=1)]
    while len(months) < _MONTHS:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    ends = [today, *(month - timedelta(days=1) for month in months)]
    return visit.page(
        "statements.html",
        now=now,
        currency=_currency(visit, now),
        months=[*zip(months, ends, strict=False)],
        since=months[0],
        until=today,
    )


async def statement(visit: Visit) -> Response:
    """Send a statement: as a page that can be printed, or as a file."""
    query = decode.query(visit.request, StatementQuery)
    return await files.statement(visit.db, visit.session.caller, query, as_file=True)


async def export(visit: Visit) -> Response:
    """Send the payouts that are listed as CSV."""
    query = decode.query(visit.request, _Search)
    filters = query.filters
    typed = (query.q or "").strip()
    if typed:
        by_reference = await doors.payouts(
            visit.db, visit.merchant_id, limit=1, filters={**filters, "reference": typed}
        )
        filters["reference" if by_reference else "utr"] = typed
    return files.payouts(visit.db, visit.merchant_id, filters)


async def live(visit: Visit) -> Response:
    """Stream what happens from what the page shows on; see `live.Hub`.

    A page of another merchant, open since before this one signed in, is told nothing.
    """
    since = visit.request.headers.get("last-event-id") or visit.request.query_params.get(
        "since", ""
    )
    found = _EVENT_ID.fullmatch(since)
    if found is None:
        raise Problem("invalid_request", "since is not an event id")
    if found[3] != str(visit.merchant_id):
        raise Problem("forbidden", "The page is from another session. Load it again.")
    seen = doors.Seen(visit.merchant_id, int(found[1]), int(found[2]))
    hub: Hub = visit.request.app.state.hub
    stream = _while_signed_in(visit, hub.stream(visit.db, seen))
    return StreamingResponse(stream, media_type="text/event-stream")


async def _while_signed_in(
    visit: Visit, stream: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    """Pass a stream on until the session is over, however it ended."""
    asked = time.monotonic()
    async with aclosing(stream):
        async for message in stream:
            if time.monotonic() - asked > _TRUST:
                asked = time.monotonic()
                if await COOKIE.session(visit.db, visit.request) is None:
                    return
            yield message


def _currency(visit: Visit, now: doors.Change) -> str:
    """Return the currency that was asked for, or else the first one that the merchant has."""
    asked = visit.request.query_params.get("currency")
    had = [one["currency"] for one in now.balances]
    used = [one["currency"] for one in now.balances if one["available"] or one["held"]]
    return asked if asked and asked in had else str([*used, "INR"][0])


async def _entries(
    visit: Visit, currency: str, *, limit: int, after: int | None = None, **filters: object
) -> list[Any]:
    found = await doors.ledger_entries(
        visit.db,
        visit.merchant_id,
        limit=limit,
        after=after,
        filters={"currency": currency, **filters},
    )
    return _decoded(found)


def _decoded(items: list[doors.Item[Any]]) -> list[Any]:
    return [msgspec.json.decode(item.body) for item in items]


# ---------------------------------------------------------------------------------------- paying


async def new_payout(visit: Visit) -> Response:
    """Show the form that asks for a payout."""
    return await _payout_form(visit, {"idempotency_key": str(uuid4())}, {})


async def create_payout(visit: Visit) -> Response:
    """Create the payout that the form asks for: once, however often it is sent."""
    form = {name: visit.form.get(name, "").strip() for name in _FIELDS}
    currency = form["currency"] or "INR"
    amount = money.read(form["amount"], currency) if currency in money.EXPONENTS else None
    if amount is None:
        errors = {"amount": "Enter an amount, such as 60 or 1,250.50."}
        return await _payout_form(visit, form, errors, status=422)
    key = f"dashboard-{form['idempotency_key']}"
    scheduled_at = None
    if form["scheduled_at"]:
        try:
            scheduled_at = datetime.fromisoformat(form["scheduled_at"]).replace(tzinfo=UTC)
        except ValueError:
            errors = {"scheduled_at": _REFUSALS["scheduled_at_invalid"]}
            return await _payout_form(visit, form, errors, status=422)
    request = doors.PayoutRequest(
        *(key, amount, currency, form["bank_account_id"], form["reference"] or None),
        scheduled_at=scheduled_at,
        queue_if_low_balance=bool(form["queue_if_low_balance"]),
        narration=form["narration"] or None,
        mode=form["mode"] or None,
    )
    try:
        reply = await doors.create_payout(
            *(visit.db, visit.merchant_id, request),
            owner=visit.session.caller.owner,
            actor=visit.session.caller.key_prefix,
        )
    except LockNotAvailable:
        raise Problem("idempotency_key_in_flight") from None
    answer = msgspec.json.decode(reply.body)
    if reply.status == 201:  # noqa: PLR2004
        return RedirectResponse(f"/payouts/{answer['id']}", 303)
    # a refusal is an answer for good: another try is another payout
    errors = {
        _field(fault["pointer"]): _words(answer["code"], money.written(amount, currency))
        for fault in answer["errors"]
    }
    if answer["code"] == "insufficient_funds":
        charged = any(fee.currency == currency for fee in await doors.fees(visit.db))
        errors["amount"] += " Its fee counts, too." if charged else ""
    return await _payout_form(visit, form | {"idempotency_key": str(uuid4())}, errors, status=422)


_FIELDS: Final = (
    *("amount", "currency", "bank_account_id", "reference", "idempotency_key"),
    *("narration", "scheduled_at", "queue_if_low_balance", "mode"),
)
_REFUSALS: Final = {
    "insufficient_funds": "There is not enough money available for {amount}.",
    "bank_account_not_found": "Choose one of your bank accounts.",
    "idempotency_key_reused": (
        "This form has been sent before, and something else was in it. Look at your payouts before"
        " you send it again."
    ),
    "reference_invalid": "Use at most 255 printable characters, or leave it empty.",
    "narration_invalid": "Use at most 30 letters, digits and spaces, or leave it empty.",
    "scheduled_at_invalid": "Enter a time in the future, at most 366 days from now.",
    "mode_unavailable": "No mode that was chosen can pay {amount} to this bank account.",
    "limit_exceeded": "With {amount} a limit of yours would be passed.",
}


def _field(pointer: str) -> str:
    name = pointer.removeprefix("/")
    if name == "idempotency_key":
        return "form"
    return name if name in _FIELDS else "amount"


def _words(code: str, amount: str) -> str:
    return _REFUSALS.get(code, "This payout can't be made.").format(amount=amount)


async def _payout_form(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    now = await visit.now()
    usable = [one async for one in _bank_accounts(visit) if not one["archived_at"]]
    given = dict.fromkeys(_FIELDS, "") | dict(form)
    return visit.page(
        "new-payout.html",
        status,
        now=now,
        form=given,
        errors=errors,
        accounts=usable,
        modes=await _modes(visit, {one["currency"] for one in now.balances}, usable),
    )


async def _modes(visit: Visit, currencies: set[str], accounts: list[Any]) -> list[dict[str, Any]]:
    """Return the modes that can pay any of the accounts."""
    used = {(account["rail"], account["kind"]) for account in accounts}
    opened = {
        (one.rail, one.mode, one.currency)
        for one in await doors.mode_hours(visit.db)
        if one.is_open
    }
    costs: dict[tuple[str, str, str], list[str]] = {}
    for fee in await doors.fees(visit.db):
        words = shown.cost(fee.fixed, fee.basis_points, fee.currency)
        costs.setdefault((fee.rail, fee.mode, fee.currency), []).append(words)
    found = []
    for mode in await doors.pay_modes(visit.db):
        pays = {(mode.rail, kind) for kind in mode.accounts}
        if pays & used and mode.currency in currencies:
            name = (mode.rail, mode.mode, mode.currency)
            parts = [
                mode.mode,
                shown.bounds(mode.amount_min, mode.amount_max, mode.currency),
                f"fee {' or '.join(costs[name])}" if name in costs else "",
                "" if name in opened else "closed now",
            ]
            label = " · ".join(part for part in parts if part)
            found.append({"mode": mode, "label": label})
    return found


async def _bank_accounts(visit: Visit) -> AsyncIterator[Any]:
    """Yield all bank accounts of the merchant, however many there are."""
    after: str | None = None
    while found := await doors.bank_accounts(visit.db, visit.merchant_id, limit=100, after=after):
        for account in _decoded(found):
            yield account
        after = found[-1].key


async def approvals(visit: Visit) -> Response:
    """List what awaits approval, with the forms that decide it."""
    return visit.page(
        "approvals.html",
        now=await visit.now(),
        payouts=await doors.awaiting(visit.db, visit.merchant_id, limit=_AWAITING),
        most=_AWAITING,
    )


async def approve_payout(visit: Visit) -> Response:
    """Approve a payout as the owner of the key that is signed in."""
    payout_id = decode.uuid(visit.request.path_params["payout_id"], "payout_not_found")
    await doors.approve_payout(
        *(visit.db, visit.merchant_id, payout_id, visit.person),
        actor=visit.session.caller.key_prefix,
    )
    return _decided(visit, payout_id)


async def reject_payout(visit: Visit) -> Response:
    """Reject a payout as the owner of the key that is signed in."""
    payout_id = decode.uuid(visit.request.path_params["payout_id"], "payout_not_found")
    await doors.reject_payout(
        *(visit.db, visit.merchant_id, payout_id, visit.person),
        visit.form.get("reason", "").strip(),
        actor=visit.session.caller.key_prefix,
    )
    return _decided(visit, payout_id)


def _decided(visit: Visit, payout_id: UUID) -> Response:
    """Go back to where the decision was made: to the list, or to the payout."""
    from_list = visit.form.get("from") == "approvals"
    return RedirectResponse("/approvals" if from_list else f"/payouts/{payout_id}", 303)


async def limits(visit: Visit) -> Response:
    """Show what has to be approved, and how much may be paid."""
    rules = _decoded(await doors.rules(visit.db, visit.merchant_id))
    return visit.page("limits.html", now=await visit.now(), rules=rules)


async def cancel_payout(visit: Visit) -> Response:
    """Cancel a payout that has not left yet."""
    payout_id = decode.uuid(visit.request.path_params["payout_id"], "payout_not_found")
    await doors.cancel_payout(
        visit.db, visit.merchant_id, payout_id, actor=visit.session.caller.key_prefix
    )
    return RedirectResponse(f"/payouts/{payout_id}", 303)


# --------------------------------------------------------------------------------------- the rest


def message(change: doors.Change) -> bytes:
    """Render what is new of a merchant as one server-sent event, for all its pages."""
    row = getattr(pages.TEMPLATES.get_template("rows.html").module, "payout_row")  # noqa: B009
    body = msgspec.json.encode(
        {
            "balances": {
                one["currency"]: {
                    name: money.written(one[name], one["currency"])
                    for name in ("available", "held")
                }
                for one in change.balances
            },
            "more": change.is_more,
            "awaiting": shown.several(change.awaiting),
            "payouts": [
                {"id": payout["id"], "row": str(row(payout))}
                for payout in msgspec.json.decode(change.payouts)
            ],
        }
    )
    place = f"{change.event_seq}-{change.entry_seq}@{change.merchant_id}"
    return b"id: %s\ndata: %s\n\n" % (place.encode(), body)


_get = partial(View, method="GET")
_post = partial(View, method="POST")

VIEWS: Final = (
    _get(path="/", handler=overview),
    _get(path="/payouts", handler=payouts),
    _get(path="/payouts/new", handler=new_payout, scope="payouts:create"),
    _post(path="/payouts/new", handler=create_payout, scope="payouts:create"),
    _get(path="/payouts/{payout_id}", handler=payout),
    _post(path="/payouts/{payout_id}/cancel", handler=cancel_payout, scope="payouts:create"),
    _post(path="/payouts/{payout_id}/approve", handler=approve_payout, scope="payouts:approve"),
    _post(path="/payouts/{payout_id}/reject", handler=reject_payout, scope="payouts:approve"),
    _get(path="/approvals", handler=approvals, scope="payouts:approve"),
    _get(path="/limits", handler=limits),
    _get(path="/ledger", handler=ledger),
    _get(path="/statements", handler=statements),
    _get(path="/statement", handler=statement),
    _get(path="/payouts.csv", handler=export),
    _get(path="/live", handler=live),
    _post(path="/sign-out", handler=sign_out),
)
