"""The operators' console at `/ops/`: served only where CONSOLE says so, as payrail_operator.

Like the dashboard, each page is a few lines that call a door and show what it answered. What a page
does, a door does and writes into the log of actions, in one transaction.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from psycopg import Error
from psycopg.errors import QueryCanceled
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pyapp import database, doors, money, passwords
from pyapp.database import Pool
from pyapp.errors import Problem, problem_of
from pyapp.settings import Settings
from pyapp.web import decode, pages, session, shown
from pyapp.web.session import Session
from pyapp.web.types import Page

COOKIE: Final = session.Cookie(
    *("__Host-payrail-ops", "strict"),
    resume=doors.resume_operator_session,
    close=doors.close_operator_session,
)

_SEQ: Final = re.compile(r"[0-9]{1,18}")
_MINUTES: Final = 60  # of the chart
_LATEST: Final = 10  # rows on a merchant's page
_MOST: Final = 50  # payouts found, or in need of attention
_FLEET: Final = 200  # webhook endpoints
_AT_ONCE: Final = 2  # passwords compared; each takes 64 MiB and a tenth of a second of a processor
_AUDIT: Final = "-c statement_timeout=10min"  # it reads everything


@dataclass(slots=True)
class Office:
    """What the pages of this process share."""

    db: Pool
    settings: Settings
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    auditing: asyncio.Task[None] | None = None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Office]:
    """Connect as payrail_operator until the end of the block."""
    conninfo = settings.conninfo("payrail_operator")
    async with database.open_pool(conninfo, name="payrail-console", max_size=4) as db:
        # once for nobody, so that the first unknown name takes no longer than the others
        await asyncio.to_thread(passwords.matches, None, "")
        yield Office(db, settings)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page by an operator who is signed in."""

    office: Office
    request: Request
    session: Session[str]
    form: Mapping[str, str]

    @property
    def db(self) -> Pool:
        """The console's connections."""
        return self.office.db

    def id(self, name: Literal["merchant_id", "payout_id", "case_id"]) -> UUID:
        """Return an id of the path."""
        return decode.uuid(self.request.path_params[name], name.replace("_id", "_not_found"))

    def around(self) -> dict[str, object]:
        """Return what the header of a page shows."""
        return {
            "operator": self.session.caller,
            "token": self.session.token,
            "path": self.request.url.path,
        }

    def page(self, template: str, status: int = 200, **given: object) -> Response:
        """Render a page of the console's."""
        return pages.html(template, status, **self.around(), **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page, or what one of its forms does."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[Visit], Awaitable[Response]]

    async def __call__(self, request: Request) -> Response:
        """Answer one request; whoever is not signed in is asked to."""
        request.state.page = True
        office: Office = request.app.state.console
        found = await COOKIE.session(office.db, request)
        if found is None:
            where = session.place(request) if self.method == "GET" else "/ops"
            return RedirectResponse(f"/ops/sign-in?next={quote(where)}", 303)
        request.state.operator = found.caller
        form = await session.form(request, found) if self.method == "POST" else {}
        visit = Visit(office, request, found, form)
        request.state.around = visit.around()
        return await self.handler(visit)


# ------------------------------------------------------------------------------------ signing in


async def ask_who(request: Request) -> Response:
    """Show the form that takes a name and a password."""
    request.state.page = True
    target = pages.inside(request.query_params.get("next", "/ops"), "/ops")
    return pages.html("ops-sign-in.html", target=target, name="", refused=False)


async def sign_in(request: Request) -> Response:
    """Start a session and go where the operator wanted to.

    Whoever is refused learns nothing of why, and not by how long it took either.
    """
    request.state.page = True
    form = await session.form(request, None)
    target = pages.inside(form.get("next", "/ops"), "/ops")
    name, password = form.get("name", "").strip(), form.get("password", "")
    office: Office = request.app.state.console
    async with office.places:
        known = await doors.try_operator(office.db, name)
        right = await asyncio.to_thread(passwords.matches, known, password)
    response = RedirectResponse(target, 303)
    if known and right:
        door = partial(doors.open_operator_session, office.db, name, known)
        if await COOKIE.sign_in(door, response):
            return response
    return pages.html("ops-sign-in.html", 403, target=target, name=name, refused=True)


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    response = RedirectResponse("/ops/sign-in", 303)
    await COOKIE.sign_out(visit.db, visit.request, response)
    return response


# --------------------------------------------------------------------------------------- looking


async def overview(visit: Visit) -> Response:
    """Show how much there is, how much is under way, and whether all is well."""
    minutes = await _throughput(visit)
    troubled = await doors.troubled_payouts(visit.db, limit=_MOST)
    return visit.page(
        "ops-overview.html",
        totals=await doors.totals(visit.db) or [doors.Totals("INR", 0, Decimal(0), Decimal(0))],
        under_way=await doors.open_payouts(visit.db),
        work=await doors.work(visit.db),
        rails=await doors.rails(visit.db),
        cases=sum(one.cases for one in await doors.open_cases(visit.db)),
        troubled=f"{_MOST} or more" if len(troubled) == _MOST else len(troubled),
        audit=await doors.last_audit(visit.db),
        minutes=minutes,
        bars=shown.stack([(m.settled, m.failed, m.under_way) for m in minutes], 150),
        most=max((m.settled + m.failed + m.under_way for m in minutes), default=0),
        times=shown.stack([_times(minute) for minute in minutes], 150),
        slowest=max((m.p95_seconds for m in minutes if m.p95_seconds is not None), default=None),
        clock=datetime.now(UTC),
    )


def _times(minute: doors.Throughput) -> tuple[int, int]:
    """Return the median, and by how much the 95th percentile is above it, in ms."""
    half, most = ((one or 0) * 1000 for one in (minute.median_seconds, minute.p95_seconds))
    return round(half), round(most) - round(half)


async def _throughput(visit: Visit) -> list[doors.Throughput]:
    """Return the last hour, or nothing when there is too much to count in the time there is."""
    try:
        return await doors.throughput(visit.db, minutes=_MINUTES)
    except QueryCanceled:
        return []


class _Named(Page, frozen=True, kw_only=True):
    q: Annotated[str, Meta(max_length=255)] | None = None


async def webhooks(visit: Visit) -> Response:
    """Show the webhook endpoints of all merchants: those in trouble first."""
    return visit.page(
        "ops-webhooks.html",
        work=await doors.webhook_work(visit.db),
        calls=await doors.webhook_calls(visit.db),
        fleet=await doors.webhook_fleet(visit.db, limit=_FLEET),
    )


async def merchants(visit: Visit) -> Response:
    """List merchants, newest first, by what their name contains."""
    query = decode.query(visit.request, _Named)
    after = decode.read_cursor(query.cursor, UUID)
    typed = (query.q or "").strip()
    found = await doors.accounts(visit.db, typed, limit=query.limit + 1, after=after)
    return visit.page(
        "ops-merchants.html",
        merchants=found[: query.limit],
        typed=typed,
        more=older("/ops/merchants", found, query.limit, "merchant_id", q=typed),
    )


async def merchant(visit: Visit) -> Response:
    """Show a merchant, and the form that credits it."""
    return await _merchant(visit, {}, {})


async def _merchant(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    merchant_id = visit.id("merchant_id")
    found = await known(visit, merchant_id)
    balances = await doors.balances_at(visit.db, merchant_id, None)
    return visit.page(
        "ops-merchant.html",
        status,
        merchant=found,
        home=f"/ops/merchants/{merchant_id}",
        balances=balances,
        payouts=_decoded(await doors.payouts(visit.db, merchant_id, limit=_LATEST)),
        batches=_decoded(await doors.batches(visit.db, merchant_id, limit=_LATEST)),
        entries=[
            (one.currency, await entries(visit, merchant_id, one.currency)) for one in balances
        ],
        keys=await doors.api_keys(visit.db, merchant_id),
        accounts=_decoded(await doors.bank_accounts(visit.db, merchant_id, limit=100)),
        currencies=sorted(money.EXPONENTS, key=lambda code: (code != "INR", code)),
        form={"amount": "", "currency": "INR", "reference": ""} | dict(form),
        errors=errors,
        credited=await _credited(visit, merchant_id),
    )


async def _credited(visit: Visit, merchant_id: UUID) -> list[Any]:
    """Return the credit that the page before this one has made, if it has."""
    currency, _, seq = visit.request.query_params.get("credited", "").rpartition("-")
    if currency not in money.EXPONENTS or not _SEQ.fullmatch(seq):
        return []
    filters = {"currency": currency, "kind": ["credit"]}
    found = _decoded(
        await doors.ledger_entries(
            visit.db, merchant_id, limit=1, after=int(seq) + 1, filters=filters
        )
    )
    return [entry for entry in found if entry["seq"] == int(seq)]


async def known(visit: Visit, merchant_id: UUID) -> doors.Merchant:
    """Return a merchant that has to be there."""
    found = await doors.merchants(visit.db, merchant_id=merchant_id)
    if not found:
        raise Problem("merchant_not_found")
    return found[0]


async def entries(visit: Visit, merchant_id: UUID, currency: str, **filters: object) -> list[Any]:
    """Return the newest ledger entries of a merchant in one currency."""
    given = {"currency": currency, **filters}
    return _decoded(await doors.ledger_entries(visit.db, merchant_id, limit=_LATEST, filters=given))


def _decoded(items: list[doors.Item[Any]]) -> list[Any]:
    return [msgspec.json.decode(item.body) for item in items]


class _Typed(msgspec.Struct, frozen=True, kw_only=True):
    q: Annotated[str, Meta(max_length=255)] | None = None


async def payouts(visit: Visit) -> Response:
    """Find payouts of any merchant by what is typed; without that, show who needs attention."""
    typed = (decode.query(visit.request, _Typed).q or "").strip()
    if typed:
        found = await doors.find_payouts(visit.db, typed, _uuid(typed), limit=_MOST)
    else:
        found = await doors.troubled_payouts(visit.db, limit=_MOST)
    return visit.page("ops-payouts.html", payouts=found, typed=typed, most=_MOST)


def _uuid(typed: str) -> UUID | None:
    """Return the payout's id that was typed, with dashes or, as banks know it, without."""
    try:
        return UUID(typed)
    except ValueError:
        return None


async def payout(visit: Visit) -> Response:
    """Show one payout: what became of it, what the bank said, and what happens next."""
    merchant_id, payout_id = visit.id("merchant_id"), visit.id("payout_id")
    body = await doors.payout(visit.db, merchant_id, payout_id)
    row = await doors.operated_payout(visit.db, merchant_id, payout_id)
    if body is None or row is None:
        raise Problem("payout_not_found")
    return visit.page(
        "ops-payout.html",
        merchant=await known(visit, merchant_id),
        payout=msgspec.json.decode(body),
        row=row,
        cases=(await doors.payout_cases(visit.db, merchant_id, payout_id))[::-1],
        clock=datetime.now(UTC),
        **await told(visit, merchant_id, payout_id, row.currency),
    )


async def told(visit: Visit, merchant_id: UUID, payout_id: UUID, currency: str) -> dict[str, Any]:
    """Return what pages show of how a payout went: at the bank, and in the ledger."""
    attempts = await doors.attempts(visit.db, merchant_id, payout_id)
    return {
        "home": f"/ops/merchants/{merchant_id}",
        "attempts": attempts,
        "evidence": await doors.evidence(visit.db, merchant_id, payout_id),
        # nobody has heard of what was never sent
        "notices": await doors.notices(visit.db, attempts[0].rail, payout_id.hex)
        if attempts
        else [],
        "entries": (await entries(visit, merchant_id, currency, payout_id=payout_id))[::-1],
    }


async def actions(visit: Visit) -> Response:
    """Show what operators did, newest first."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, UUID)
    found = await doors.actions(visit.db, limit=query.limit + 1, after=after)
    return visit.page(
        "ops-actions.html",
        actions=found[: query.limit],
        more=older("/ops/actions", found, query.limit, "action_id"),
    )


def older(
    path: str, found: list[Any], limit: int, key: str, **given: str | list[str]
) -> str | None:
    """Return where the next page is, if there is one."""
    if len(found) <= limit:
        return None
    cursor = decode.write_cursor(getattr(found[limit - 1], key))
    given |= {"limit": str(limit), "cursor": cursor}
    return f"{path}?{urlencode({name: text for name, text in given.items() if text}, doseq=True)}"


# --------------------------------------------------------------------------------------- auditing


async def audit(visit: Visit) -> Response:
    """Show what the last audit found."""
    return visit.page("ops-audit.html", audit=await doors.last_audit(visit.db))


async def run_audit(visit: Visit) -> Response:
    """Check every invariant; whoever asks meanwhile waits for the same answer."""
    office = visit.office
    if office.auditing is None or office.auditing.done():
        office.auditing = asyncio.create_task(_audit(office, visit.session.caller))
    await asyncio.shield(office.auditing)
    return RedirectResponse("/ops/audit", 303)


async def _audit(office: Office, actor: str) -> None:
    conninfo = office.settings.conninfo("payrail_operator", _AUDIT)
    async with database.open_pool(conninfo, name="payrail-console", max_size=1) as db:
        await doors.run_audit(db, actor=actor)


# -------------------------------------------------------------------------------------- crediting

_NO_AMOUNT: Final = {"amount": "Enter an amount, such as 60 or 1,250.50."}
_REFUSALS: Final = {
    "reference_invalid": ("reference", "Use 1 to 255 printable characters."),
    "credit_reference_reused": ("reference", "This reference was used for another sum."),
    "balance_limit_exceeded": ("amount", "The balance would pass its limit."),
}


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    amount: Annotated[str, Meta(max_length=255)] = ""
    currency: Annotated[str, Meta(max_length=3)] = "INR"
    reference: Annotated[str, Meta(max_length=255)] = ""


def _amount(form: Mapping[str, str]) -> int | None:
    currency = form["currency"]
    return money.read(form["amount"], currency) if currency in money.EXPONENTS else None


async def check_credit(visit: Visit) -> Response:
    """Show what is about to be credited."""
    draft = decode.query(visit.request, _Draft)
    form = {
        "amount": draft.amount.strip(),
        "currency": draft.currency,
        "reference": draft.reference.strip(),
    }
    amount = _amount(form)
    if amount is None:
        return await _merchant(visit, form, _NO_AMOUNT, status=422)
    found = await known(visit, visit.id("merchant_id"))
    return visit.page("ops-credit.html", merchant=found, amount=amount, form=form)


async def credit(visit: Visit) -> Response:
    """Credit what was confirmed: once, however often it is sent."""
    merchant_id = visit.id("merchant_id")
    form = {name: visit.form.get(name, "").strip() for name in ("amount", "reference")}
    form["currency"] = visit.form.get("currency", "INR")
    amount = _amount(form)
    if amount is None:
        return await _merchant(visit, form, _NO_AMOUNT, status=422)
    try:
        entry = await doors.credit_as_operator(
            visit.db,
            merchant_id,
            session_hash=visit.session.hash,
            amount=amount,
            currency=form["currency"],
            reference=form["reference"],
        )
    except Error as exc:
        code = problem_of(exc).row.code
        if code not in _REFUSALS:
            raise
        return await _merchant(visit, form, dict([_REFUSALS[code]]), status=422)
    return RedirectResponse(
        f"/ops/merchants/{merchant_id}?credited={entry.currency}-{entry.seq}", 303
    )


_SUMS: Final = (
    *("approve_from", "second_approval_from", "payout_limit", "daily_limit"),
    "account_daily_limit",
)
_PERIODS: Final = ("approval_expires_after", "queue_expires_after")
_NONE: Final = doors.NewRules()


async def rules(visit: Visit) -> Response:
    """Show a merchant's rules for one currency, and the form that sets them."""
    currency = visit.request.query_params.get("currency", "INR")
    if currency not in money.EXPONENTS:
        raise Problem("currency_unknown")
    all_rules = _decoded(await doors.rules(visit.db, visit.id("merchant_id")))
    form: dict[str, Any] = {"hourly_payouts": None, "over_limit": "reject", "time_zone": "UTC"}
    form |= next((one for one in all_rules if one["currency"] == currency), {})
    for name in _SUMS:
        form[name] = money.plain(form[name], currency) if form.get(name) else ""
    for name in _PERIODS:
        usual: timedelta = getattr(_NONE, name)
        form[name] = shown.period(form.get(f"{name}_seconds", int(usual.total_seconds())))
    return await _rules(visit, currency, form, None)


async def set_rules(visit: Visit) -> Response:
    """Set all of a merchant's rules for one currency."""
    merchant_id = visit.id("merchant_id")
    names = (*_SUMS, *_PERIODS, "hourly_payouts", "over_limit", "time_zone", "currency")
    form = {name: visit.form.get(name, "").strip() for name in names}
    currency = form["currency"] if form["currency"] in money.EXPONENTS else "INR"
    sums = {name: money.read(form[name], currency) for name in _SUMS if form[name]}
    hourly = form["hourly_payouts"]
    if None in sums.values() or not (hourly == "" or re.fullmatch("[0-9]{1,9}", hourly)):
        return await _rules(visit, currency, form, "Enter amounts such as 1,250.50, or nothing.")
    periods = {name: shown.read_period(form[name]) for name in _PERIODS}
    approval, queue = periods["approval_expires_after"], periods["queue_expires_after"]
    if approval is None or queue is None:
        return await _rules(visit, currency, form, "Enter times such as 7 days or 36 hours.")
    new = doors.NewRules(
        approve_from=sums.get("approve_from"),
        second_approval_from=sums.get("second_approval_from"),
        payout_limit=sums.get("payout_limit"),
        daily_limit=sums.get("daily_limit"),
        account_daily_limit=sums.get("account_daily_limit"),
        hourly_payouts=int(hourly) if hourly else None,
        over_limit=form["over_limit"],
        time_zone=form["time_zone"] or "UTC",
        approval_expires_after=approval,
        queue_expires_after=queue,
    )
    try:
        await doors.set_rules(visit.db, merchant_id, currency, new, session_hash=visit.session.hash)
    except Error as exc:
        problem = problem_of(exc)
        if problem.row.code != "rules_invalid":
            raise
        return await _rules(visit, currency, form, exc.diag.message_hint or problem.detail)
    return RedirectResponse(f"/ops/merchants/{merchant_id}/rules?currency={currency}", 303)


async def _rules(
    visit: Visit, currency: str, form: Mapping[str, Any], error: str | None
) -> Response:
    merchant_id = visit.id("merchant_id")
    return visit.page(
        "ops-rules.html",
        422 if error else 200,
        merchant=await known(visit, merchant_id),
        home=f"/ops/merchants/{merchant_id}",
        currency=currency,
        form=form,
        error=error,
    )


_get = partial(View, method="GET")
_post = partial(View, method="POST")

VIEWS: Final = (
    _get(path="/ops", handler=overview),
    _get(path="/ops/merchants", handler=merchants),
    _get(path="/ops/merchants/{merchant_id}", handler=merchant),
    _get(path="/ops/merchants/{merchant_id}/credit", handler=check_credit),
    _post(path="/ops/merchants/{merchant_id}/credit", handler=credit),
    _get(path="/ops/merchants/{merchant_id}/rules", handler=rules),
    _post(path="/ops/merchants/{merchant_id}/rules", handler=set_rules),
    _get(path="/ops/merchants/{merchant_id}/payouts/{payout_id}", handler=payout),
    _get(path="/ops/payouts", handler=payouts),
    _get(path="/ops/webhooks", handler=webhooks),
    _get(path="/ops/audit", handler=audit),
    _post(path="/ops/audit", handler=run_audit),
    _get(path="/ops/actions", handler=actions),
    _post(path="/ops/sign-out", handler=sign_out),
)
