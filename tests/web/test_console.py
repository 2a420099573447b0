"""The operators' console: who gets in, what is shown, and that a credit is one and on record."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from pyapp import passwords
from tests.conftest import Database
from tests.desk import Desk
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient, Web, wait_until
from tests.web.test_dashboard import EVIL, NOBODY, signed_in
from tests.web.test_fuzz import FUZZ
from tests.web.test_webhooks import SCOPES, deliver, url
from tests.web.visitor import Page, Visitor

COOKIE = "__Host-payrail-ops"
PASSWORD = "correct horse battery"
DIGEST = passwords.digest(PASSWORD)
PAGES = (
    *("/ops", "/ops/merchants", "/ops/payouts", "/ops/cases", "/ops/rails", "/ops/reports"),
    *("/ops/modes", "/ops/modes/new", "/ops/webhooks", "/ops/audit", "/ops/actions"),
)
REFUSED = "The name or the password is wrong, or there were too many tries."


@dataclass
class Operator(Visitor):
    """An operator's browser."""

    cookie_name: str = COOKIE
    home: str = "/ops"
    name: str = ""

    def enter(self, password: str = PASSWORD, target: str | None = None, **more: str) -> Page:
        """Send the form with a name and a password."""
        fields = {"name": self.name, "password": password} | more
        return self.post("/ops/sign-in", fields | ({"next": target} if target is not None else {}))


NewOperator = Callable[[], Operator]


@pytest.fixture
def new_operator(console: Web, operator: Connection) -> Iterator[NewOperator]:
    """Make an operator of the console who is not signed in yet."""
    clients: list[Client] = []

    def make() -> Operator:
        name = f"asha-{secrets.token_hex(4)}"
        operator.execute("SELECT payrail.add_operator(%s, %s)", [name, DIGEST])
        clients.append(Client(console.host, console.port))
        return Operator(clients[-1], name=name)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def asha(new_operator: NewOperator) -> Operator:
    """An operator who is signed in."""
    asha = new_operator()
    assert asha.enter().location == "/ops"
    return asha


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk


def at(desk: Desk, *rest: object) -> str:
    """Return where a merchant's page is, or one below it."""
    return "/".join(["/ops/merchants", str(desk.merchant_id), *map(str, rest)])


def credit_form(asha: Operator, amount: str = "60", reference: str = "r-1") -> dict[str, str]:
    """Return the form as it is filled in and confirmed."""
    return {"token": asha.token(), "amount": amount, "reference": reference}


def log(operator: Connection, desk: Desk) -> list[dict[str, Any]]:
    """Return what was done for a merchant since its first money came."""
    return operator.execute(
        "SELECT actor, action, object, detail FROM payrail.operator_actions"
        " WHERE merchant_id = %s AND object <> 'opening'",
        [desk.merchant_id],
    ).fetchall()


# ------------------------------------------------------------------------------------ signing in


def test_where_the_console_is_not_asked_for_there_is_none(client: Client) -> None:
    visitor = signed_in(client)
    for path in (*PAGES, "/ops/sign-in", f"/ops/merchants/{NOBODY}"):
        assert visitor.get(path).status == 404
        assert visitor.post(path, {}).status == 404


def test_the_right_password_signs_in(new_operator: NewOperator) -> None:
    asha = new_operator()
    assert asha.enter().location == "/ops"
    assert asha.set_cookie
    attributes = {part.strip().lower() for part in asha.set_cookie.split(";")[1:]}
    assert attributes >= {"secure", "httponly", "samesite=strict", "path=/"}
    assert not any(attribute.startswith("domain") for attribute in attributes)
    for path in PAGES:
        page = asha.get(path)
        assert page.status == 200
        assert "Operators" in page.text
        assert asha.name in page.text


@pytest.mark.parametrize("path", [*PAGES, f"/ops/merchants/{NOBODY}"])
def test_who_is_not_signed_in_is_asked_to(new_operator: NewOperator, path: str) -> None:
    asha = new_operator()
    for cookie in (None, "x", "é" * 9, secrets.token_urlsafe(32)):
        assert replace(asha, cookie=cookie).get(path).location == f"/ops/sign-in?next={quote(path)}"


def test_a_form_of_somebody_who_is_not_signed_in_changes_nothing(
    new_operator: NewOperator, desk: Desk, operator: Connection
) -> None:
    form = {"amount": "1", "reference": "r"}
    for path in (at(desk, "credit"), "/ops/audit", "/ops/sign-out"):
        assert new_operator().post(path, form).location == "/ops/sign-in?next=/ops"
    assert (desk.balance(), log(operator, desk)) == ((10_000, 0), [])


@pytest.mark.parametrize("password", ["", "x", PASSWORD.upper(), PASSWORD + " ", "é", "x" * 5000])
def test_a_wrong_password_signs_nobody_in(new_operator: NewOperator, password: str) -> None:
    asha = new_operator()
    page = asha.enter(password)
    assert (page.status, asha.set_cookie) == (403, None)
    assert REFUSED in page.text
    assert page.fields["name"] == asha.name
    assert page.fields["password"] == ""


@pytest.mark.parametrize("name", ["", "nobody", "Asha", "x" * 300, "' OR 1=1", "é", EVIL])
def test_an_unknown_name_is_refused_in_the_same_words(asha: Operator, name: str) -> None:
    asha.cookie = None
    page = asha.enter(name=name)
    assert (page.status, asha.cookie) == (403, None)
    assert REFUSED in page.text
    assert page.values("onerror") == []


def test_an_unknown_name_takes_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is compared, whoever is said to have it: with a hash of the same cost."""
    compared: list[str] = []

    class Watched:
        def verify(self, known: str, password: str) -> bool:
            compared.append(known)
            return PasswordHasher().verify(known, password)

        def hash(self, password: str) -> str:
            return PasswordHasher().hash(password)

    monkeypatch.setattr(passwords, "_HASHER", Watched())
    assert passwords.matches(DIGEST, PASSWORD)
    assert not passwords.matches(DIGEST, "x")
    assert not passwords.matches(None, PASSWORD)
    costs = [known.split("$")[:4] for known in compared]
    assert costs == [DIGEST.split("$")[:4]] * 3


def test_after_ten_failures_not_even_the_right_password_signs_in(
    new_operator: NewOperator, owner: Connection
) -> None:
    asha = new_operator()
    for number in range(10):
        assert asha.enter(f"wrong-{number}").status == 403
    page = asha.enter()
    assert (page.status, asha.set_cookie) == (403, None)
    assert REFUSED in page.text
    owner.execute(
        "UPDATE merchant.operator_tries SET since = now() - INTERVAL '10 minutes' WHERE name = %s",
        [asha.name],
    )
    assert asha.enter().location == "/ops"


def test_trying_many_at_once_is_no_way_around_it(new_operator: NewOperator) -> None:
    asha = new_operator()
    crowd = [replace(asha, client=replace(asha.client, _connection=None)) for _ in range(14)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        pages = list(pool.map(lambda one: one.enter("wrong"), crowd))
    for one in crowd:
        one.client.close()
    assert {page.status for page in pages} == {403}
    assert asha.enter().status == 403


def test_a_planted_cookie_is_never_adopted(new_operator: NewOperator) -> None:
    asha = new_operator()
    planted = asha.cookie = secrets.token_urlsafe(32)
    asha.enter()
    first = asha.cookie
    asha.enter()
    assert len({planted, first, asha.cookie}) == 3
    assert asha.get("/ops").status == 200
    assert replace(asha, cookie=planted).get("/ops").status == 303


def test_only_hashes_are_stored(asha: Operator, admin: Connection) -> None:
    assert asha.cookie
    stored = [
        str(row)
        for table in ("operators", "operator_sessions", "operator_tries", "operator_actions")
        for row in admin.execute(f"SELECT t::text FROM merchant.{table} t".encode()).fetchall()
    ]
    assert any(hashlib.sha256(asha.cookie.encode()).hexdigest() in row for row in stored)
    for secret in (asha.cookie, asha.token(), PASSWORD):
        assert not any(secret in row or secret.encode().hex() in row for row in stored)


def test_signing_out_ends_the_session_in_the_database(asha: Operator) -> None:
    cookie = asha.cookie
    assert asha.post("/ops/sign-out", {"token": asha.token()}).location == "/ops/sign-in"
    assert asha.cookie is None
    assert replace(asha, cookie=cookie).get("/ops").status == 303


def test_who_is_disabled_is_signed_out_at_once(
    asha: Operator, desk: Desk, operator: Connection
) -> None:
    form = credit_form(asha)
    operator.execute("SELECT payrail.disable_operator(%s)", [asha.name])
    assert asha.get("/ops").status == 303
    assert asha.post(at(desk, "credit"), form).status == 303
    assert asha.enter().status == 403
    assert desk.balance() == (10_000, 0)


@pytest.mark.parametrize("target", ["/ops/payouts?q=a%20b", f"/ops/merchants/{NOBODY}"])
def test_signing_in_leads_where_the_operator_wanted_to(asha: Operator, target: str) -> None:
    assert asha.get(f"/ops/sign-in?next={quote(target)}").fields["next"] == target
    assert asha.enter(target=target).location == target


@pytest.mark.parametrize("target", ["//evil", "https://evil", "/\\evil", "/ops\r\nX: y", "/", ""])
def test_signing_in_never_leaves_the_console(asha: Operator, target: str) -> None:
    assert asha.get(f"/ops/sign-in?next={quote(target)}").fields["next"] == "/ops"
    assert asha.enter(target=target).location == "/ops"


def test_a_merchants_session_is_worth_nothing_in_the_console_and_the_other_way_round(
    asha: Operator, client: Client, console: Web
) -> None:
    merchant = Visitor(Client(console.host, console.port, client.key))
    merchant.sign_in(client.key)
    for name in ("__Host-payrail", COOKIE):
        there = replace(merchant, cookie_name=name, client=asha.client)
        assert there.get("/ops").location == "/ops/sign-in?next=/ops"
        here = replace(asha, cookie_name=name)
        assert here.get("/").location == "/sign-in?next=/"
    assert merchant.get("/").status == 200
    assert asha.get("/ops").status == 200
    merchant.client.close()


def test_an_api_key_is_no_password_and_a_password_no_key(asha: Operator, client: Client) -> None:
    asha.cookie = None
    assert asha.enter(str(client.key)).status == 403
    assert Visitor(asha.client).sign_in(PASSWORD).status == 403


# ------------------------------------------------------------------------------------------ forms


def test_a_form_without_its_sessions_token_changes_nothing(
    asha: Operator, desk: Desk, operator: Connection, new_operator: NewOperator
) -> None:
    other = new_operator()
    other.enter()
    form = credit_form(asha)
    own = form.pop("token")
    for token in ("", "x", own[:-1], own.upper(), other.token(), "é"):
        for path in (at(desk, "credit"), "/ops/audit", "/ops/sign-out"):
            assert asha.post(path, form | {"token": token}).status == 403, (path, token)
    assert asha.post(at(desk, "credit"), form).status == 403
    assert (desk.balance(), log(operator, desk)) == ((10_000, 0), [])
    assert asha.get("/ops").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
def test_a_form_from_another_site_changes_nothing(asha: Operator, desk: Desk, site: str) -> None:
    headers = [("Sec-Fetch-Site", site)]
    for path in (at(desk, "credit"), "/ops/audit", "/ops/sign-out", "/ops/sign-in"):
        assert asha.post(path, credit_form(asha), headers).status == 403
    assert desk.balance() == (10_000, 0)


@pytest.mark.parametrize(
    "body", ["a=1&a=2", "a=%ff", "a=%00", "&".join("abcdefghijklmnopqrstuvwx")]
)
def test_a_bad_form_is_a_page(asha: Operator, body: str) -> None:
    assert asha.post("/ops/audit", f"token={asha.token()}&{body}").status == 422
    assert asha.post("/ops/sign-in", body).status == 422
    assert asha.post("/ops/sign-in", {"password": "x" * 70_000}).status == 413


# --------------------------------------------------------------------------------------- crediting


def test_a_credit_is_shown_before_it_is_made(asha: Operator, desk: Desk) -> None:
    assert asha.get(at(desk)).actions == {"/ops/sign-out"}
    draft = urlencode({"amount": " ₹1,250.50 ", "reference": " statement 17 "})
    page = asha.get(f"{at(desk, 'credit')}?{draft}")
    assert (page.status, desk.balance()) == (200, (10_000, 0))
    assert "Credit ₹1,250.50?" in page.text
    assert "Tiny Studio" in page.text
    done = asha.post(at(desk, "credit"), page.fields).location
    assert desk.balance() == (135_050, 0)
    assert "₹1,250.50 were credited" in asha.get(done).text
    assert "statement 17" in asha.get("/ops/actions").text


def test_a_credit_is_in_the_currency_that_was_chosen(
    asha: Operator, desk: Desk, operator: Connection
) -> None:
    form = credit_form(asha) | {"amount": "1.234", "currency": "KWD"}
    done = asha.post(at(desk, "credit"), form).location
    assert "KWD 1.234 were credited" in asha.get(done).text
    assert log(operator, desk)[0]["detail"] == {"amount": 1234, "currency": "KWD"}
    assert desk.balance() == (10_000, 0)
    page = asha.get(at(desk)).text
    assert "Available ₹100.00" in page
    assert "Available KWD 1.234" in page
    assert "KWD 1.234" in asha.get("/ops/actions").text
    assert "Available, all merchants KWD " in asha.get("/ops").text
    assert "KWD 1.234" in asha.get("/ops/merchants").text
    for currency, amount in (("JPY", "1.5"), ("XXX", "1"), ("", "1")):
        wrong = credit_form(asha) | {"amount": amount, "currency": currency, "reference": "r-2"}
        assert asha.post(at(desk, "credit"), wrong).status == 422


def test_one_reference_is_one_credit_and_one_row_of_the_log(
    asha: Operator, desk: Desk, operator: Connection
) -> None:
    form = credit_form(asha)
    crowd = [replace(asha, client=replace(asha.client, _connection=None)) for _ in range(4)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        pages = list(pool.map(lambda one: one.post(at(desk, "credit"), form), crowd))
    for one in crowd:
        one.client.close()
    # who had to wait for too long is told so, and may send it again
    assert {303} <= {page.status for page in pages} <= {303, 503}
    asha.post(at(desk, "credit"), form)
    assert desk.balance() == (16_000, 0)
    assert log(operator, desk) == [
        {
            "actor": f"payrail_operator:{asha.name}",
            "action": "merchant_credited",
            "object": "r-1",
            "detail": {"amount": 6000, "currency": "INR"},
        }
    ]


def test_who_repeats_an_old_credit_is_told_of_it(asha: Operator, desk: Desk) -> None:
    form = credit_form(asha)
    asha.post(at(desk, "credit"), form)
    for _ in range(12):
        desk.payout("cancelled", 100)
    again = asha.post(at(desk, "credit"), form).location
    assert "₹60.00 were credited" in asha.get(again).text
    for seq in ("1", "3", "99", "x", "9" * 30, "²"):  # 1 is another credit, 3 a hold
        for currency in ("INR", "USD", "x"):
            page = asha.get(f"{at(desk)}?{urlencode({'credited': f'{currency}-{seq}'})}")
            assert ("were credited" in page.text) == ((currency, seq) == ("INR", "1"))


@pytest.mark.parametrize(
    ("field", "amount", "reference"),
    [
        ("amount", "", "r-2"),
        ("amount", "0", "r-2"),
        ("amount", "-1", "r-2"),
        ("amount", "1.234", "r-2"),
        ("amount", "NaN", "r-2"),
        ("amount", "99999999999999999999", "r-2"),
        ("reference", "1", ""),
        ("reference", "1", "a\tb"),
        ("reference", "1", "x" * 256),
        ("reference", "61", "r-1"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    asha: Operator, desk: Desk, field: str, amount: str, reference: str
) -> None:
    asha.post(at(desk, "credit"), credit_form(asha))
    if field == "amount":
        draft = urlencode({"amount": amount, "reference": reference})
        page = asha.get(f"{at(desk, 'credit')}?{draft}")
        assert (page.status, page.fields["amount"]) == (422, amount)
    page = asha.post(at(desk, "credit"), credit_form(asha, amount, reference))
    assert page.status == 422
    assert f"{field}-error" in page.values("aria-describedby", "input")
    assert (page.fields["amount"], page.fields["reference"]) == (amount, reference)
    assert desk.balance() == (16_000, 0)


def test_a_merchant_that_is_not_there_is_not_credited(asha: Operator) -> None:
    form = credit_form(asha)
    for path in (f"/ops/merchants/{NOBODY}/credit", "/ops/merchants/x/credit"):
        assert asha.post(path, form).status == 404
        assert asha.post(path, form | {"amount": ""}).status == 404
        assert asha.get(f"{path}?amount=1&reference=r").status == 404


# ------------------------------------------------------------------------------------------ rules


def test_a_form_of_rules_that_is_sent_as_it_is_shown_changes_nothing(
    asha: Operator, desk: Desk
) -> None:
    desk.rule(
        approve_from=500,
        daily_limit=900_000,
        hourly_payouts=9,
        approval_expires_after=timedelta(hours=36),
        queue_expires_after=timedelta(seconds=90),
    )
    before = desk.table("rules")
    page = asha.get(at(desk, "rules"))
    assert page.fields["approval_expires_after"] == "36 hours"
    assert page.fields["queue_expires_after"] == "90 seconds"
    form = page.fields | {"over_limit": "reject"}
    assert asha.post(at(desk, "rules"), form).status == 303
    assert desk.table("rules") == before
    asha.post(at(desk, "rules"), form | {"approval_expires_after": "2 Days"})
    assert desk.table("rules")[0]["approval_expires_after"] == timedelta(days=2)


@pytest.mark.parametrize("text", ["", "7", "a week", "-1 days", "999999999 days", "0 minutes"])
def test_a_time_that_is_none_changes_no_rules(asha: Operator, desk: Desk, text: str) -> None:
    page = asha.get(at(desk, "rules"))
    assert page.status == 200
    assert page.fields["queue_expires_after"] == "30 days"
    form = page.fields | {"over_limit": "reject"}
    page = asha.post(at(desk, "rules"), form | {"queue_expires_after": text})
    assert page.status == 422
    assert "Nothing was changed." in page.text
    assert page.fields["queue_expires_after"] == text
    assert desk.table("rules") == []


# ------------------------------------------------------------------------------------------ pages


def test_the_overview_counts_everybodys_money_and_work(
    asha: Operator, desk: Desk, operator: Connection
) -> None:
    pending = desk.payout()
    text = asha.get("/ops").text
    (row,) = operator.execute(
        "SELECT sum(available)::bigint AS available, sum(held)::bigint AS held, count(*) AS count"
        " FROM payrail.balances WHERE currency = 'INR'"
    ).fetchall()
    assert f"Available, all merchants {rupees(row['available'])}" in text
    assert f"Held for payouts {rupees(row['held'])}" in text
    assert f"Merchants {row['count']} " in text
    assert "None alive" in text
    before = under_way(asha)
    desk.cancel(pending)
    assert under_way(asha) == before - 1


def rupees(paise: int) -> str:
    whole = f"{paise // 100}"
    head, tail = whole[:-3], whole[-3:]
    grouped = re.sub(r"(?<=\d)(?=(\d\d)+$)", ",", head)
    return f"₹{grouped}{',' if grouped else ''}{tail}.{paise % 100:02}"


def under_way(asha: Operator) -> int:
    """Return how many payouts of the last hour are under way, as the table says."""
    table = asha.get("/ops").html.partition('aria-label="Payouts by minute"')[2]
    cells = re.findall(r'<td class="number">(\d+)</td></tr>', table)
    assert len(cells) == 60
    return sum(map(int, cells))


def test_a_worker_that_gives_signs_of_life_is_alive(asha: Operator, admin: Connection) -> None:
    queue = "procrastinate.procrastinate_workers"
    admin.execute(f"INSERT INTO {queue} DEFAULT VALUES".encode())
    assert "1 alive" in asha.get("/ops").text
    admin.execute(f"UPDATE {queue} SET last_heartbeat = now() - INTERVAL '31 s'".encode())
    assert "None alive last seen" in asha.get("/ops").text
    admin.execute(f"DELETE FROM {queue}".encode())


def test_merchants_are_found_by_a_part_of_their_name(asha: Operator, operator: Connection) -> None:
    word = secrets.token_hex(4)
    names = [f"{word} One%", f"Two {word.upper()}", f"three{word}"]
    for name in names:
        operator.execute("SELECT payrail.create_merchant(%s)", [name])
    query = urlencode({"q": f" {word} ", "limit": 2})
    first = asha.get(f"/ops/merchants?{query}")
    (more,) = [attrs["href"] for _, attrs in first.elements if attrs.get("rel") == "next"]
    shown = [[name for name in names if name in page.text] for page in (first, asha.get(str(more)))]
    assert shown == [names[1:], names[:1]]
    for nothing in (f"{word}%", f"{word}_", NOBODY):
        assert "No merchant" in asha.get(f"/ops/merchants?{urlencode({'q': nothing})}").text


def test_a_merchants_page_shows_what_is_its_own(asha: Operator, desk: Desk) -> None:
    mine, others = desk.payout(amount=4000), desk.beside().payout(amount=3000)
    page = asha.get(at(desk))
    assert "Available ₹60.00 Held for payouts ₹40.00" in page.text
    assert page.payouts == [str(mine)]
    assert str(others) not in page.html
    assert desk.secret[:12] in page.text
    assert desk.secret not in page.html
    assert "XXXXXXXX0001" in page.text
    assert "000000000001" not in page.html


def test_a_merchants_page_shows_its_batches(asha: Operator, desk: Desk) -> None:
    desk.upload(*[(None, 100, "INR", "demo-bank-account", None, None)] * 2, name="wages")
    assert "wages Waiting 0 of 2 0" in asha.get(at(desk)).text


def test_a_payout_is_found_by_all_it_is_known_by(asha: Operator, desk: Desk) -> None:
    word = secrets.token_hex(6)
    other = desk.beside()
    mine = desk.create(f"key-{word}", 100, reference=f"ref-{word}").payout_id
    theirs = other.create(f"key-2-{word}", 100, reference=f"ref-{word}").payout_id
    desk.claim()
    desk.settle(mine, f"UTR{word}")
    for typed, why in (
        (str(mine), "Id"),
        (str(mine).upper(), "Id"),
        (mine.hex, "Id"),
        (f" UTR{word} ", "UTR"),
        (f"key-{word}", "Idempotency key"),
    ):
        page = asha.get(f"/ops/payouts?{urlencode({'q': typed})}")
        assert page.payouts == [str(mine)], typed
        assert f" {why} Tiny Studio" in page.text
    found = asha.get(f"/ops/payouts?{urlencode({'q': f'ref-{word}'})}")
    assert found.payouts == [str(theirs), str(mine)]
    assert at(desk, "payouts", mine) in found.values("href")
    for nothing in (NOBODY, f"ref-{word}%", "'", "%"):
        page = asha.get(f"/ops/payouts?{urlencode({'q': nothing})}")
        assert page.payouts == []


def test_what_needs_attention_is_listed_with_why(
    asha: Operator, desk: Desk, owner: Connection
) -> None:
    fine, contradicted = desk.payout("settled"), desk.payout("settled")
    desk.fail_batch((contradicted, "account_closed", None, None))
    overdue = desk.payout()
    with late(owner, overdue):
        page = asha.get("/ops/payouts")
        assert {str(contradicted), str(overdue)} <= {*page.payouts}
        assert str(fine) not in page.payouts
        assert re.search(r"The bank contradicted itself Tiny Studio .*UTR", page.text)
        assert "Its work is overdue" in page.text
    detail = asha.get(at(desk, "payouts", contradicted)).text
    assert "The bank contradicted itself." in detail
    assert "Contradicts" in detail
    assert "Go to the case" in detail


@contextmanager
def late(owner: Connection, payout_id: uuid.UUID) -> Iterator[None]:
    """Let a payout's work be a day late until the end of the block."""
    move = b"UPDATE payout.payouts SET next_action_at = now() + %s WHERE payout_id = %s"
    owner.execute(move, [timedelta(days=-1), payout_id])
    yield
    owner.execute(move, [timedelta(minutes=1), payout_id])


def test_a_payout_shows_all_that_is_known_of_it(asha: Operator, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    page = asha.get(at(desk, "payouts", payout_id))
    assert "₹40.00 Processing" in page.text
    assert "Next action Ask the bank" in page.text
    desk.settle_batch((payout_id, "UTR7", json.dumps({"said": EVIL})))
    page = asha.get(at(desk, "payouts", payout_id))
    for text in ("Settled", "payrail_worker", "UTR7", "Paid", "Applied", "Paid out ₹40.00"):
        assert text in page.text
    assert "None: it has ended" in page.text
    assert payout_id.hex in page.text
    assert page.values("onerror") == []
    assert not {"x"} & set(page.values("src"))


def test_what_people_write_is_shown_as_text(asha: Operator, operator: Connection) -> None:
    (row,) = operator.execute("SELECT * FROM payrail.create_merchant(%s)", [EVIL]).fetchall()
    path = f"/ops/merchants/{row['merchant_id']}"
    form = {"token": asha.token(), "amount": "1", "reference": EVIL}
    draft = urlencode({"amount": "1", "reference": EVIL})
    pages = [
        asha.get(f"{path}/credit?{draft}"),
        asha.get(asha.post(f"{path}/credit", form).location),
        asha.get("/ops/actions"),
        asha.get("/ops/merchants"),
    ]
    for page in pages:
        assert EVIL in page.text
        assert page.values("onerror") == []
        assert not {"x"} & set(page.values("src"))
    assert asha.get(f"/ops/payouts?{urlencode({'q': EVIL})}").fields["q"] == EVIL


@pytest.mark.parametrize("path", [*PAGES, "/ops/sign-in", "/ops/nope", "a merchant", "a payout"])
def test_every_page_is_free_of_inline_code(asha: Operator, desk: Desk, path: str) -> None:
    places = {"a merchant": at(desk), "a payout": at(desk, "payouts", desk.payout())}
    page = asha.get(places.get(path, path))
    policy = page.answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
    names = {tag for tag, _ in page.elements} | {name for _, at in page.elements for name in at}
    assert "style" not in names
    assert not any(name.startswith("on") for name in names)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page.html, re.DOTALL) == [""]
    for address in page.values("href") + page.values("action") + page.values("src"):
        assert re.match(r"/(?!/)|#|$", address), address


def test_what_is_not_there_is_a_page(asha: Operator, desk: Desk) -> None:
    theirs = desk.beside().payout()
    for path in (
        "/ops/nope",
        "/ops/merchants/nope",
        f"/ops/merchants/{NOBODY}",
        at(desk, "payouts", "nope"),
        at(desk, "payouts", NOBODY),
        at(desk, "payouts", theirs),  # another merchant's
        at(desk, "nope"),
    ):
        page = asha.get(path)
        assert page.status == 404, path
        assert "/ops" in page.values("href")
    assert asha.get("/ops/sign-out").status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/ops/merchants?limit=0",
        "/ops/merchants?cursor=x",
        "/ops/actions?cursor=x",
        f"/ops/payouts?q={'x' * 256}",
        "/ops/payouts?q=%00",
        f"/ops/merchants/{NOBODY}/credit?amount=%00",
        f"/ops/merchants/{NOBODY}/credit?amount=1&reference={'x' * 256}",
    ],
)
def test_a_bad_query_is_a_page(asha: Operator, path: str) -> None:
    assert asha.get(path).status == 422


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.sampled_from(["limit", "cursor", "q", "credited", "amount", "x"])
FIELDS = st.sampled_from(["amount", "reference", "name", "next", "x"])


@FUZZ
@given(
    path=st.sampled_from([*PAGES, "/ops/sign-in", f"/ops/merchants/{NOBODY}/credit"]),
    pairs=st.lists(st.tuples(NAMES, TEXT), max_size=4),
)
def test_any_query(asha: Operator, path: str, pairs: list[tuple[str, str]]) -> None:
    assert asha.get(f"{path}?{urlencode(pairs)}").status < 500


@FUZZ
@given(fields=st.dictionaries(FIELDS, TEXT, max_size=6), raw=st.none() | TEXT)
def test_any_form(asha: Operator, desk: Desk, fields: dict[str, str], raw: str | None) -> None:
    form = urlencode({"token": asha.token()} | fields) + (f"&{raw}" if raw else "")
    assert asha.post(at(desk, "credit"), form).status < 500


# ------------------------------------------------------------------------------- audit and actions


def test_the_audit_runs_when_it_is_told_to(
    asha: Operator, operator: Connection, new_operator: NewOperator
) -> None:
    """Whatever other tests have left behind in this database, it is what the door says."""
    assert asha.post("/ops/audit", {"token": asha.token()}).location == "/ops/audit"
    report = operator.execute("SELECT * FROM payrail.audit_report()").fetchall()
    broken = [row["invariant"] for row in report if row["violations"]]
    page = asha.get("/ops/audit")
    assert all(row["promise"] in page.text and row["invariant"] in page.text for row in report)
    assert page.text.count(" Holds ") == len(report) - len(broken)
    assert re.search(r"Checked .* it took \d", page.text)
    other = new_operator()
    other.enter()
    verdict = f"{len(broken)} of {len(report)} invariants" if broken else "invariants hold"
    assert verdict in other.get("/ops/audit").text  # it is kept
    assert verdict in other.get("/ops").text


def test_the_audit_shows_the_rows_that_break_an_invariant(
    asha: Operator, desk: Desk, owner: Connection
) -> None:
    payout_id = desk.payout()
    with late(owner, payout_id):
        asha.post("/ops/audit", {"token": asha.token()})
        page = asha.get("/ops/audit")
        assert "invariants are broken" in page.text
        assert re.search(r"\d+ broken No work is overdue", page.text)
        assert '"next_action_at": ' in page.text
        assert "are broken" in asha.get("/ops").text


def test_pages_hold_every_action_once(asha: Operator, desk: Desk) -> None:
    form = credit_form(asha)
    made = [f"{secrets.token_hex(4)}-{number}" for number in range(5)]
    for reference in made:
        asha.post(at(desk, "credit"), form | {"reference": reference})
    path, shown = "/ops/actions?limit=2", ""
    for _ in range(3):
        page = asha.get(path)
        shown += page.text
        assert f"payrail_operator:{asha.name}" in page.values("title")
        # there are more than six: somebody was made and signed in before
        (path,) = [str(attrs["href"]) for _, attrs in page.elements if attrs.get("rel") == "next"]
    assert [reference for reference in made if shown.count(reference) != 1] == []
    assert sorted(made, key=shown.index) == made[::-1]


def test_the_log_line_names_the_operator(asha: Operator, console: Web) -> None:
    asha.get("/ops/actions")
    wait_until(lambda: f'"operator":"{asha.name}"' in console.log.read_text())
    assert PASSWORD not in console.log.read_text()
    assert str(asha.cookie) not in console.log.read_text()


def test_a_console_is_ready_as_any_server_is(console: Web, new_client: NewClient) -> None:
    client = Client(console.host, console.port)
    assert client.get("//readyz").status == 200
    assert client.get("//healthz").status == 200
    assert replace(client, key=new_client().key).get("/me/").status == 200
    client.close()


# -------------------------------------------------------------------------------------- webhooks


def test_the_webhooks_of_all_merchants_are_there_those_in_trouble_first(
    asha: Operator, new_client: NewClient, worker: Connection
) -> None:
    sound, gone = (new_client(scopes=SCOPES) for _ in range(2))
    addresses = [url() for _ in range(2)]
    for client, address in zip((sound, gone), addresses, strict=True):
        client.post("/webhook_endpoints/", {"url": address})
        client.payout(100)
    (endpoint,) = gone.get("/webhook_endpoints/").json["data"]
    deliver(worker, gone, endpoint["id"], 410)
    page = asha.get("/ops/webhooks")
    assert page.status == 200
    assert page.text.index(addresses[1]) < page.text.index(addresses[0])
    assert f"/ops/merchants/{gone.merchant_id}" in page.values("href")
