"""Two merchants, every route, every id: what is another's is as if it had never been.

The routes are the application's own, so that a new one can not be forgotten: an id that nobody has
given a value here fails the test, and so does a field that names something and is not asked with.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import msgspec
import pytest

from pyapp.keys import SCOPES
from pyapp.settings import Settings
from pyapp.web import app, console, dashboard, decode, openapi
from pyapp.web.api import ROUTES
from pyapp.web.route import PREFIX, Route
from tests.conftest import Database
from tests.desk import Desk
from tests.web.client import Answer, Client
from tests.web.conftest import Web
from tests.web.test_dashboard import signed_in
from tests.web.test_events import events, stream
from tests.web.visitor import Visitor

Ids = dict[str, Any]

SERVED: Final = [
    (method, path, handler)
    for path, handlers in app._paths(Settings(console=True)).items()
    for method, handler in handlers.items()
]
WITH_IDS: Final = [one for one in SERVED if "{" in one[1]]
LISTS: Final = [one for one in ROUTES if one.method == "GET" and one.described]
PAGES: Final = [
    path
    for method, path, handler in SERVED
    if method == "GET" and isinstance(handler, dashboard.View) and path != "/live"
]
UUIDS: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OF_AN_ANSWER: Final = {"date", "x-request-id", "ratelimit", "content-length"}
FORM: Final = {"reason": "not ours", "hours": "1", "first": "1", "last": "1", "turn": "off"}
TODAY: Final = datetime.now(UTC).date().isoformat()
BY_NAME: Final = {"reference", "utr", "idempotency_key"}  # of a field that holds no id of ours


@dataclass(frozen=True)
class Tenant:
    """A merchant with one of everything, who may do everything."""

    desk: Desk
    client: Client
    visitor: Visitor
    ids: Ids  # by the name that a path or a field has for it
    cursors: list[str]
    marks: list[str]  # what nobody else may ever read

    def browse(self, path: str, form: str | None = None) -> Answer:
        """Open a page or a file of the dashboard, or send a form."""
        cookie = ("Cookie", f"{self.visitor.cookie_name}={self.visitor.cookie}")
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        method = "GET" if form is None else "POST"
        return self.client(method, f"/{path}", form, [("Accept", "text/html"), cookie, kind])


def made(client: Client, path: str, body: object, **headers: str) -> dict[str, Any]:
    answer = client.post(path, body, [(name.replace("_", "-"), headers[name]) for name in headers])
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


@contextmanager
def tenant(database: Database, web: Web, payouts: int) -> Iterator[Tenant]:
    """Make a merchant with one of everything; the more payouts, the higher its events' numbers."""
    with Desk(database, 10**6) as desk:
        secret = f"pr_test_{secrets.token_urlsafe(32)}"
        desk.call(
            *("payrail_operator", "create_api_key"),
            key_hash=hashlib.sha256(secret.encode()).digest(),
            prefix=secret[:12],
            scopes=[*SCOPES],
            owner="asha",
        )
        client = Client(web.host, web.port, secret, desk.merchant_id)
        name = f"of-{desk.merchant_id.hex[-12:]}"
        digits = str(desk.merchant_id.int)[-12:]
        account = made(
            client,
            "/bank_accounts/",
            {"id": name, "holder_name": name, "account_number": digits, "ifsc": "HDFC0000001"},
        )
        endpoint = made(client, "/webhook_endpoints/", {"url": f"http://127.0.0.1:1/{name}"})
        key = made(client, "/api_keys/", {"scopes": ["read"], "name": name})
        line = {"amount_paise": 50, "bank_account_id": name, "reference": name}
        batch = made(client, "/batches/", {"payouts": [line] * 2}, Idempotency_Key=f"{name}-batch")
        desk.advance(batch["id"])
        desk.rule(approve_from=5000)
        failed, settled = desk.payout("failed"), desk.payout("settled")
        waiting = [client.payout(6000, bank_account_id=name) for _ in range(payouts)]
        one = client.create({**line, "amount_paise": 5000}, f"{name}-key").json
        desk.call("payrail_worker", "claim_deliveries", endpoint_id=endpoint["id"])
        number = max(row["seq"] for row in desk.table("webhook_deliveries"))
        utr = desk.see(settled)["utr"]
        places = [*map(UUID, (key["id"], endpoint["id"], batch["id"], one["id"])), name, number, 1]
        visitor = signed_in(client)
        yield Tenant(
            desk,
            client,
            visitor,
            {
                "payout_id": one["id"],
                "retry_of": str(failed),
                "bank_account_id": name,
                "batch_id": batch["id"],
                "api_key_id": key["id"],
                "endpoint_id": endpoint["id"],
                "number": number,
                "reference": name,
                "utr": utr,
                "idempotency_key": f"{name}-key",
                "merchant_id": str(desk.merchant_id),
                # these are nobody's but operators'
                **dict.fromkeys(("case_id", "report_id", "file_id"), str(uuid4())),
            },
            [decode.write_cursor(place) for place in places],
            [
                *(name, digits, account["account_number"], secret[:12], key["prefix"], utr),
                *(str(one) for one in (failed, settled)),
                *(one["id"] for one in (account, endpoint, key, batch, one, *waiting)),
            ],
        )
        client.close()


@pytest.fixture(scope="module")
def hers(database: Database, console: Web) -> Iterator[Tenant]:
    """Whose things are asked for."""
    with tenant(database, console, 9) as made:
        yield made


@pytest.fixture(scope="module")
def other(database: Database, console: Web) -> Iterator[Tenant]:
    """Who asks for them."""
    with tenant(database, console, 1) as made:
        yield made


@pytest.fixture
def untouched(hers: Tenant) -> Iterator[None]:
    """Nothing of hers changes, whatever others ask for."""
    with hers.desk.unchanged():
        yield


def nobodys() -> Ids:
    """Return ids that have never been."""
    names = (
        *("payout_id", "retry_of", "batch_id", "api_key_id", "endpoint_id"),
        *("merchant_id", "case_id", "report_id", "file_id"),
    )
    words = ("bank_account_id", "reference", "utr", "idempotency_key")
    word = f"of-{secrets.token_hex(6)}"
    return {**{name: str(uuid4()) for name in names}, **dict.fromkeys(words, word), "number": 999}


def ask(who: Tenant, method: str, path: str, handler: object, ids: Ids) -> Answer:
    """Send a request that lacks nothing: whose ids it has decides."""
    address = path.format(**{name: quote(str(value), safe="") for name, value in ids.items()})
    if isinstance(handler, Route):
        body = json.dumps(openapi.EXAMPLES.get(handler.body, {}))
        given = [("Content-Type", "application/json")] if method == "POST" else []
        return who.client(method, f"/{address}", body if method == "POST" else None, given)
    if method == "GET":
        return who.browse(address)
    return who.browse(address, urlencode({**FORM, "token": who.visitor.token()}))


def seen(answer: Answer, *asked: object) -> tuple[int, dict[str, str], str]:
    """Return an answer without what was asked for, and what is each answer's own."""
    texts = (quote(str(one), safe="") for one in asked)
    words = re.compile("|".join([UUIDS, *(rf"\b{re.escape(text)}\b" for text in texts)]))
    headers = {
        name: words.sub("…", value)
        for name, value in answer.headers.items()
        if name not in OF_AN_ANSWER
    }
    return answer.status, headers, words.sub("…", answer.body.decode())


def assert_nothing_of(hers: Tenant, answer: Answer, *asked: object) -> None:
    body = answer.body.decode() + str(answer.headers)
    for one in asked:
        body = body.replace(str(one), "")
    assert not [mark for mark in hers.marks if mark in body]


def names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


# ------------------------------------------------------------------------------------------ paths


each_route_with_an_id = pytest.mark.parametrize(
    ("method", "path", "handler"),
    WITH_IDS,
    ids=[f"{method} {path}" for method, path, _ in WITH_IDS],
)


@each_route_with_an_id
@pytest.mark.usefixtures("untouched")
def test_an_id_of_anothers_is_as_one_that_never_was(
    hers: Tenant, other: Tenant, method: str, path: str, handler: object
) -> None:
    for foreign in product((True, False), repeat=len(names(path))):
        if not any(foreign):
            continue
        picked = {name for name, is_hers in zip(names(path), foreign, strict=True) if is_hers}
        real = {**other.ids, **{name: hers.ids[name] for name in picked}}
        never = {**other.ids, **{name: nobodys()[name] for name in picked}}
        found = ask(other, method, path, handler, real)
        missing = ask(other, method, path, handler, never)
        asked, unknown = ([ids[name] for name in names(path)] for ids in (real, never))
        assert seen(found, *asked) == seen(missing, *unknown)
        assert_nothing_of(hers, found, *asked)
        if isinstance(handler, console.View):  # a merchant has no business there
            assert (found.status, found.headers["location"][:12]) == (303, "/ops/sign-in")
        else:
            assert found.status == 404


@each_route_with_an_id
def test_a_merchants_key_opens_no_page_and_its_cookie_no_call(
    hers: Tenant, method: str, path: str, handler: object
) -> None:
    """Not even the own ones: each door has one way in."""
    address = path.format(**hers.ids)
    if isinstance(handler, Route):
        cookie = ("Cookie", f"{hers.visitor.cookie_name}={hers.visitor.cookie}")
        bare = Client(hers.client.host, hers.client.port)
        answer = bare(method, f"/{address}", "{}" if method == "POST" else None, [cookie])
        assert (answer.status, answer.code) == (401, "unauthorized")
        bare.close()
    else:
        answer = hers.client(method, f"/{address}", "" if method == "POST" else None)
        assert answer.status == 303
        assert "sign-in" in answer.headers["location"]


# ------------------------------------------------------------------------------- queries and pages


def fields(kind: Any) -> dict[str, Any]:
    """Return the fields of what a route takes, and those of what is listed in it."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    own = {field.name: field.type for field in msgspec.structs.fields(kind)}
    inner = [fields(part) for one in own.values() for part in _parts(one)]
    return {name: of_kind for one in (*inner, own) for name, of_kind in one.items()}


def _parts(kind: Any) -> Iterator[Any]:
    for part in get_args(kind):
        yield part
        yield from _parts(part)


def names_something(name: str, kind: Any) -> bool:
    return "UUID" in str(kind) or name.endswith(("_id", "cursor")) or name in BY_NAME


def test_every_field_that_names_something_is_asked_with() -> None:
    asked = {
        name
        for route in ROUTES
        for kind in (route.query, route.body, *route.content.values())
        for name, of_kind in fields(kind).items()
        if names_something(name, of_kind)
    }
    assert asked == {"cursor", "batch_id", "bank_account_id", "payout_id", "retry_of", *BY_NAME}


@pytest.mark.parametrize("route", LISTS, ids=lambda route: str(route.path))
@pytest.mark.usefixtures("untouched")
def test_nothing_of_anothers_is_found_by_a_filter_or_a_cursor(
    hers: Tenant, other: Tenant, route: Route[Any, Any]
) -> None:
    path = f"/{PREFIX}{route.path}".format(**other.ids)
    needed = {one.name: TODAY for one in msgspec.structs.fields(route.query) if one.required}
    assert_nothing_of(hers, other.client.get(f"{path}?{urlencode(needed)}"))
    for name, kind in fields(route.query).items():
        if name == "cursor":
            for cursor in hers.cursors:
                answer = other.client.get(f"{path}?{urlencode({**needed, name: cursor})}")
                assert answer.status in {200, 422}
                assert_nothing_of(hers, answer)
        elif names_something(name, kind):
            found, never = (
                other.client.get(f"{path}?{urlencode({**needed, name: ids[name]})}")
                for ids in (hers.ids, nobodys())
            )
            assert (found.status, found.body) == (200, never.body)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.usefixtures("untouched")
def test_nothing_of_anothers_is_on_a_page(hers: Tenant, other: Tenant, path: str) -> None:
    queries: list[dict[str, str]] = [{}, *({"cursor": one} for one in hers.cursors)]
    queries += [{"q": str(hers.ids[name])} for name in ("payout_id", "reference", "utr")]
    for query in queries:
        given = urlencode({"since": TODAY, "until": TODAY, **query})
        answer = other.browse(f"{path.format(**other.ids)}?{given}")
        assert answer.status in {200, 422}
        assert_nothing_of(hers, answer, *query.values())


# ------------------------------------------------------------------------------ bodies and streams


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", ["bank_account_id", "retry_of"])
def test_nothing_is_paid_with_what_is_anothers(hers: Tenant, other: Tenant, name: str) -> None:
    """By one request, by a batch, or by a form."""
    ids = (hers.ids, nobodys())
    bodies = [
        {"amount_paise": 1, "bank_account_id": other.ids["bank_account_id"], name: one[name]}
        for one in ids
    ]
    answers = [other.client.create(body) for body in bodies]
    assert {answer.code for answer in answers} <= {"bank_account_not_found", "retry_of_invalid"}
    asked = [one[name] for one in ids]
    assert seen(answers[0], asked[0]) == seen(answers[1], asked[1])
    checked = [other.client.post("/batches/check/", {"payouts": [body]}) for body in bodies]
    assert [answer.json["rejected"] for answer in checked] == [1, 1]
    assert seen(checked[0], asked[0]) == seen(checked[1], asked[1])
    batch = made(other.client, "/batches/", {"payouts": bodies}, Idempotency_Key=str(uuid4()))
    other.desk.advance(batch["id"])
    lines = [(row["outcome"], row["code"]) for row in other.desk.lines(batch["id"])]
    assert lines == [("rejected", answers[0].code)] * 2
    for answer in (*answers, *checked, other.client.get(f"/batches/{batch['id']}/lines/")):
        assert_nothing_of(hers, answer, hers.ids[name])


@pytest.mark.usefixtures("untouched")
def test_a_form_that_names_anothers_account_pays_nothing(hers: Tenant, other: Tenant) -> None:
    pages = []
    for ids in (hers.ids, nobodys()):
        form = other.visitor.get("/payouts/new").fields | {"amount": "1"}
        page = other.visitor.post(
            "/payouts/new", form | {"bank_account_id": ids["bank_account_id"]}
        )
        assert page.status == 422
        assert_nothing_of(hers, page.answer, ids["bank_account_id"])
        pages.append(seen(page.answer, ids["bank_account_id"]))
    assert pages[0] == pages[1]


@pytest.mark.usefixtures("untouched")
def test_the_names_that_merchants_give_are_each_ones_own(hers: Tenant, other: Tenant) -> None:
    """A key, an account's id, or an address that another has used tells nothing of it."""
    name = hers.ids["bank_account_id"]
    body = {"amount_paise": 5000, "bank_account_id": other.ids["bank_account_id"]}
    paid = other.client.create(body, hers.ids["idempotency_key"])
    assert (paid.status, "idempotent-replayed" in paid.headers) == (201, False)
    account = {"id": name, "holder_name": "x", "account_number": "12345", "ifsc": "HDFC0000001"}
    address = {"url": f"http://127.0.0.1:1/{name}"}
    batch = other.client.post(
        "/batches/", {"payouts": [body]}, [("Idempotency-Key", f"{name}-batch")]
    )
    for answer in (
        batch,
        other.client.post("/bank_accounts/", account),
        other.client.post("/webhook_endpoints/", address),
    ):
        assert answer.status == 201
        assert_nothing_of(hers, answer, name)


@pytest.mark.usefixtures("untouched")
def test_no_number_of_anothers_event_is_replayed(hers: Tenant, other: Tenant) -> None:
    events_of_hers = {"first": other.ids["number"] + 1000, "last": other.ids["number"] + 2000}
    path = f"/webhook_endpoints/{other.ids['endpoint_id']}/replay/"
    assert other.client.post(path, events_of_hers).json == {"events": 0}
    assert_nothing_of(hers, other.client.get(path.replace("replay", "deliveries")))


@pytest.mark.usefixtures("untouched")
def test_a_stream_tells_its_own_merchants_events_only(hers: Tenant, other: Tenant) -> None:
    own = [event["id"] for event in other.client.get("/events/?limit=100").json["data"]]
    with stream(other.client, last_event_id="0") as lines:
        assert [event["id"] for _, event in events(lines, len(own))] == own
    since = hers.visitor.get("/").values("data-since")[0]
    answer = other.browse(f"/live?since={quote(since)}")
    assert answer.status == 403
    assert_nothing_of(hers, answer)


# ------------------------------------------------------------------------------------ the control


def test_who_owns_an_id_is_answered_by_every_route(hers: Tenant) -> None:
    """So that what is refused above is refused for whose it is."""
    ends = ("/archive", "/revoke", "/cancel")
    for method, path, handler in sorted(WITH_IDS, key=lambda one: one[1].endswith(ends)):
        if not isinstance(handler, console.View):
            assert ask(hers, method, path, handler, hers.ids).status != 404, path
