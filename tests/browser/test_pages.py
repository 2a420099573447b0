"""Every page can be read: on a phone, in the dark, and by people who use no eyes or no mouse."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import FilePayload, Page, ViewportSize

from pyapp.keys import SCOPES, new_webhook_secret
from tests.browser.conftest import Windows
from tests.conftest import Database
from tests.desk import STATUSES, Desk

Scheme = Literal["light", "dark"]
AXE = (files(axe_playwright_python) / "axe.min.js").read_text()
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
LONG = "wide" * 60


@pytest.fixture(scope="module")
def busy(database: Database) -> Iterator[Desk]:
    """A merchant with something of everything, and much of it."""
    with Desk(database, 10**15) as desk:
        desk.fee(amount_from=10**5, fixed=999, basis_points=10)  # more than others here pay
        for number, status in enumerate(STATUSES):
            desk.payout(status, 10 ** (2 * number + 1))
        desk.call(
            "payrail_operator",
            "add_bank_account",
            bank_account_id="w" * 64,
            holder_name=LONG[:100],
            account_number="501000000001",
            ifsc="HDFC0000001",
        )
        batch = desk.upload(*requests(3), key="done", name=LONG).json["id"]
        desk.advance(batch)
        desk.upload(*requests(2), key="waiting")
        desk.create("wide", 1, reference=LONG, metadata={"order": LONG, "k" * 40: "v"})
        webhooks(desk)
        desk.secret = key_of_all(desk)
        desk.rule(approve_from=10**14, second_approval_from=2 * 10**14)
        for number, person in enumerate(("w" * 64, "somebody else")):
            desk.create(f"approve {number}", 2 * 10**14, reference=LONG, owner=person)
        yield desk


def requests(lines: int) -> list[tuple[object, ...]]:
    return [
        (f"w{n}" * 40, 10**13, "INR", "w" * 64 if n else "nowhere", LONG, None)
        for n in range(lines)
    ]


def webhooks(desk: Desk) -> None:
    """Add endpoints of which one has failed, and is turned off."""
    for url in (f"https://shop.example/{LONG}", "https://shop.example/other"):
        (endpoint,) = desk.call(
            *("payrail_operator", "create_webhook_endpoint"),
            url=url,
            secret=new_webhook_secret(),
            description=LONG[:200],
        )
        endpoint_id = endpoint["endpoint_id"]
        desk.call("payrail_operator", "send_test_event", endpoint_id=endpoint_id)
        (claimed,) = desk.call("payrail_worker", "claim_deliveries", endpoint_id=endpoint_id)
        desk.sql(
            "payrail_worker",
            "SELECT payrail.record_deliveries(%s, %s, %s, ARRAY[ROW(%s, now(), FALSE, 410, '1 s',"
            " 'the status is 410, not 2xx', %s, NULL)::payrail.delivery_result])",
            [desk.merchant_id, endpoint_id, claimed["claim"], claimed["seq"], LONG],
        )


def key_of_all(desk: Desk) -> str:
    """Return the secret of a key that may do everything, so that its pages have every form."""
    secret = secrets.token_urlsafe()
    desk.call(
        "payrail_operator",
        "create_api_key",
        key_hash=hashlib.sha256(secret.encode()).digest(),
        prefix=secret[:12],
        name=LONG[:200],
        scopes=[*SCOPES],
        owner="w" * 64,
        expires_at="2099-01-31 UTC",
    )
    return secret


def paths(desk: Desk) -> list[str]:
    """Return where all kinds of pages are."""
    rows = {row["status"]: row["payout_id"] for row in desk.table("payouts")}
    payouts = [f"/payouts/{rows[status]}" for status in ("pending", "returned")]
    lists = ["/payouts", "/payouts?status=settled&q=no", "/ledger", "/bank-accounts"]
    lists += ["/batches", *(f"/batches/{one['batch_id']}" for one in desk.table("batches"))]
    lists += ["/batches/new", "/approvals", "/limits"]
    lists += ["/statements", "/statement?since=2020-01-01&until=2999-12-31&format=html"]
    lists += ["/keys", *(f"/keys/{key['api_key_id']}" for key in desk.table("api_keys"))]
    forms = ["/payouts/new", "/bank-accounts/new", "/sign-in"]
    endpoint_id = desk.table("webhook_endpoints")[0]["endpoint_id"]
    (sent,) = [d for d in desk.table("webhook_deliveries") if d["endpoint_id"] == endpoint_id]
    hook = f"/webhooks/{endpoint_id}"
    lists += ["/events", "/webhooks", hook, f"{hook}/deliveries/{sent['seq']}"]
    return ["/", *lists, *forms, "/payouts/nope", *payouts]


def visit(page: Page, desk: Desk) -> Iterator[str]:
    """Open every page, and the form that was refused."""
    for path in paths(desk):
        page.goto(path)
        if page.locator("details").count():
            page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        yield path
    page.goto("/payouts/new")
    page.get_by_label("Amount").fill("x")
    page.get_by_role("button", name="Request payout").click()
    page.locator("#amount-error").wait_for()
    yield "refused"
    for kind in ("Account number and IFSC", "UPI address", "IBAN"):
        page.goto("/bank-accounts/new")
        page.get_by_label("Holder's name").fill("Asha Rao")
        page.get_by_label("Your id for it").fill("asha")
        page.get_by_role("radio", name=kind).check()
        page.get_by_role("button", name="Add bank account").click()
        page.get_by_role("alert").wait_for()
        yield f"refused: {kind}"
    for name, content, there in (
        ("no list", "x", "#file-error"),
        ("a list", f"amount,bank_account_id\n1,{LONG}\n{LONG},x\n", "#errors"),
    ):
        page.goto("/batches/new")
        page.set_input_files("#file", sheet(content))
        page.get_by_role("button", name="Look through it").click()
        page.locator(there).wait_for()
        yield name


def sheet(content: str) -> FilePayload:
    """Return a file to upload."""
    return {"name": "list.csv", "mimeType": "text/csv", "buffer": content.encode()}


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing_serious(
    windows: Windows, busy: Desk, scheme: Scheme, viewport: ViewportSize
) -> None:
    page = windows.open(busy, color_scheme=scheme, viewport=viewport).signed_in()
    found: list[tuple[str, str, Any]] = []
    for path in visit(page, busy):
        found += [(path, *fault) for fault in serious(page)]
    assert found == []


def serious(page: Page) -> list[tuple[str, Any]]:
    """Return what axe finds on a page that would keep somebody from using it."""
    page.evaluate(AXE)
    report = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert report["passes"]
    return [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in report["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def test_a_statement_fits_on_paper(windows: Windows, desk: Desk) -> None:
    """A4 with margins of 15 mm is 680 pixels wide."""
    desk.credit(10**9, "wide")
    desk.create("wide", 10**8, reference="w" * 64)
    page = windows.open(desk, viewport={"width": 680, "height": 1000}).signed_in()
    page.goto("/statement?since=2020-01-01&until=2999-12-31&format=html")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_role("columnheader", name="Held").is_visible()
    assert not page.get_by_role("link", name="Statements").is_visible()


def test_no_page_scrolls_sideways(windows: Windows, busy: Desk) -> None:
    page = windows.open(busy, viewport=PHONE).signed_in()
    for path in visit(page, busy):
        for width in (320, 390, 768):
            page.set_viewport_size({"width": width, "height": 844})
            inside = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.evaluate(inside), (path, width)


def test_the_dark_is_dark(windows: Windows, busy: Desk) -> None:
    page = windows.open(busy, color_scheme="light").signed_in()
    paper, ink = light(page, "backgroundColor"), light(page, "color")
    page.emulate_media(color_scheme="dark")
    assert light(page, "backgroundColor") < 0.2 < 0.8 < paper  # noqa: PLR0133
    assert ink < 0.2 < 0.8 < light(page, "color")  # noqa: PLR0133


def light(page: Page, of: str) -> float:
    """Return how light a colour of the page is, from 0 to 1."""
    red, green, blue = re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{of}"))
    return (int(red) + int(green) + int(blue)) / 3 / 255


def test_the_pages_work_without_javascript(windows: Windows, desk: Desk) -> None:
    page = windows.open(desk, java_script_enabled=False).signed_in("/payouts/new")
    page.get_by_label("Amount").fill("60")
    page.get_by_role("button", name="Request payout").click()
    page.get_by_text("₹60.00 Pending").wait_for()
    page.get_by_role("button", name="Cancel payout").click()
    page.get_by_text("₹60.00 Cancelled").wait_for()
    page.goto("/batches/new")
    page.set_input_files("#file", sheet("amount,bank_account_id\n60,demo-bank-account\n"))
    page.get_by_role("button", name="Look through it").click()
    page.get_by_role("button", name="Make the payouts").click()
    page.get_by_text("0 of 1 lines").first.wait_for()
    page.get_by_role("button", name="Cancel batch").click()
    page.locator("h1", has_text="Cancelled").wait_for()
