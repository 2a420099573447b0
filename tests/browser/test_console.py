"""Operators at the console, in a real browser: they sign in, credit, search and audit."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.conftest import Windows, opening
from tests.browser.test_pages import DESKTOP, LONG, PHONE, Scheme, serious
from tests.desk import STATUSES, Desk
from tests.sql.test_files import declare, filed, on_files, paid, rail_of, receive, sent
from tests.web.conftest import Web
from tests.web.test_cases import stuck
from tests.web.test_console import DIGEST, PASSWORD
from tests.web.test_dashboard import EVIL


@pytest.fixture
def office(browser: Browser, console: Web) -> Iterator[Windows]:
    """Windows before the server that serves the console."""
    with opening(browser, console) as windows:
        yield windows


def entered(office: Windows, desk: Desk, path: str = "/ops", **options: object) -> Page:
    """Open a window and sign in, as a person does."""
    name = f"asha-{secrets.token_hex(4)}"
    operator = desk.connection("payrail_operator")
    operator.execute("SELECT payrail.add_operator(%s, %s)", [name, DIGEST])
    page = office.open(desk, **options).tab(path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")
    return page


def test_signing_in_and_out(office: Windows, desk: Desk) -> None:
    page = entered(office, desk, "/ops/actions")
    expect(page.get_by_role("banner")).to_contain_text("Operators")
    expect(page.get_by_role("row", name="Signed in").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    expect(page.get_by_label("Password")).to_be_focused()
    page.goto("/ops")
    page.wait_for_url("**/ops/sign-in?next=/ops")


def test_a_merchant_is_credited_once(office: Windows, desk: Desk) -> None:
    page = entered(office, desk, f"/ops/merchants/{desk.merchant_id}")
    page.get_by_label("Amount").fill("1,250.50")
    page.get_by_label("Reference").fill("statement 17, line 4")
    page.get_by_role("button", name="Check and confirm").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Credit ₹1,250.50?")
    assert desk.balance() == (10_000, 0)
    page.get_by_role("button", name="Credit ₹1,250.50").dblclick()
    expect(page.get_by_role("status").last).to_contain_text("₹1,250.50 were credited")
    assert desk.balance() == (135_050, 0)
    page.go_back()
    page.get_by_role("button", name="Credit ₹1,250.50").click()
    expect(page.get_by_role("status").last).to_contain_text("₹1,250.50 were credited")
    assert desk.balance() == (135_050, 0)
    page.get_by_role("link", name="Actions").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("Merchant credited")


def test_a_payout_is_searched_and_the_audit_run(office: Windows, desk: Desk) -> None:
    reference = secrets.token_hex(8)
    desk.create("k", 4000, reference=reference)
    page = entered(office, desk)
    page.get_by_role("link", name="Payouts").click()
    page.get_by_placeholder("Id, reference, UTR or idempotency key").fill(reference)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="₹40.00").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("₹40.00 Pending")
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_role("button", name="Check everything now").click()
    expect(page.get_by_text("it took")).to_be_visible()


def test_two_operators_decide_a_case_and_one_alone_can_not(office: Windows, desk: Desk) -> None:
    payout_id, case_id = stuck(desk)
    path = f"/ops/cases/{case_id}"
    one, other = entered(office, desk, path), entered(office, desk)
    expect(one.get_by_label("UTR", exact=False)).to_be_hidden()
    expect(one.get_by_label("Why the bank did not pay")).to_be_hidden()
    one.get_by_label("Settle: the bank has paid").check()
    one.get_by_label("UTR, the bank's reference").fill("x" * 35)
    one.get_by_label("How do you know?").fill("<b>Ravi</b> said so")
    one.get_by_role("button", name="Propose").dblclick()
    expect(one.get_by_text("Another operator has to confirm it.")).to_be_visible()
    expect(one.get_by_role("button", name="Confirm")).to_have_count(0)
    one.locator("[name=decision]").evaluate("(one) => { one.value = 'confirm'; }")
    one.get_by_role("button", name="Withdraw").click()
    expect(one.get_by_role("alert")).to_contain_text("Another operator than the one who proposed")
    assert desk.see(payout_id)["status"] == "processing"
    other.get_by_role("link", name="Cases").click()
    other.get_by_role("row", name="Outcome unknown").first.get_by_role("link").first.click()
    expect(other.get_by_text("<b>Ravi</b> said so").first).to_be_visible()
    other.get_by_role("button", name="Confirm").focus()
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", level=1)).to_contain_text("Closed")
    assert desk.see(payout_id)["status"] == "settled"
    one.goto(path)
    expect(one.get_by_text("Resolution confirmed")).to_be_visible()


def test_a_bank_that_sends_markup_sends_text(office: Windows, desk: Desk) -> None:
    payout_id = desk.payout("processing")
    desk.record((payout_id, "unknown", None, None, EVIL, {"said": EVIL}, 1))
    page = entered(office, desk, f"/ops/merchants/{desk.merchant_id}/payouts/{payout_id}")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.get_by_text("The answer as it came").click()
    expect(page.locator("pre")).to_contain_text(json.dumps(EVIL))
    expect(page.locator("img[src=x]")).to_have_count(0)


def test_the_console_works_without_javascript(office: Windows, desk: Desk) -> None:
    path = f"/ops/merchants/{desk.merchant_id}"
    page = entered(office, desk, path, java_script_enabled=False)
    page.get_by_label("Amount").fill("60")
    page.get_by_label("Reference").fill("r-1")
    page.get_by_role("button", name="Check and confirm").click()
    page.get_by_role("button", name="Credit ₹60.00").click()
    page.get_by_text("₹60.00 were credited").wait_for()
    assert desk.balance() == (16_000, 0)
    _, case_id = stuck(desk)
    page.goto(f"/ops/cases/{case_id}")
    page.get_by_label("Fail: the bank has not paid").check()
    page.get_by_label("Why the bank did not pay").select_option("not_executed")
    page.get_by_label("How do you know?").fill("Ravi said so")
    page.get_by_role("button", name="Propose").click()
    page.get_by_text("Another operator has to confirm it.").wait_for()


def visit(page: Page, desk: Desk) -> Iterator[str]:
    """Open every page of the console, with much on it."""
    merchant = f"/ops/merchants/{desk.merchant_id}"
    rows = {row["status"]: row["payout_id"] for row in desk.table("payouts")}
    payouts = [f"{merchant}/payouts/{rows[status]}" for status in ("processing", "settled")]
    lists = ["/ops", "/ops/merchants", "/ops/payouts", f"/ops/payouts?q={LONG}", "/ops/actions"]
    cases = [f"/ops/cases/{row['case_id']}" for row in desk.table("cases")]
    (report,) = desk.sql("payrail_operator", "SELECT report_id FROM payrail.reports")
    lists += ["/ops/cases", "/ops/cases?state=closed&kind=contradiction", "/ops/rails", *cases]
    lists += ["/ops/modes", "/ops/modes/new"]
    lists += [f"/ops/modes/edit?rail={LONG[:32]}&mode=LONGEST_OF_MODES&currency=INR"]
    lists += ["/ops/reports", f"/ops/reports/{report['report_id']}"]
    query = "SELECT file_id FROM payrail.files WHERE rail = %s"
    files = desk.sql("payrail_operator", query, [rail_of(desk)])
    assert len(files) == 3
    lists += ["/ops/files", *(f"/ops/files/{row['file_id']}" for row in files)]
    for path in [*lists, merchant, *payouts, "/ops/audit", "/ops/nope", "/ops/sign-in"]:
        page.goto(path)
        if page.locator("details").count():
            page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        yield path
    for amount, reference in (("x", "y"), ("1", LONG)):
        page.goto(merchant)
        page.get_by_label("Amount").fill(amount)
        page.get_by_label("Reference").fill(reference)
        page.get_by_role("button", name="Check and confirm").click()
        page.locator("#amount-error, .narrow").first.wait_for()
        yield f"a credit of {amount}"
    (case, *_) = cases_of(desk, "outcome_unknown")
    for action in ("Settle", "Fail"):
        page.goto(f"/ops/cases/{case}")
        page.get_by_label(f"{action}:").check()
        page.get_by_label("How do you know?").fill(LONG)
        page.get_by_role("button", name="Propose").click()
        page.get_by_text("Nothing was proposed.").wait_for()
        yield f"{action} without a code"
    page.get_by_label("Why the bank did not pay").select_option("not_executed")
    page.get_by_role("button", name="Propose").click()
    page.get_by_text("Another operator has to confirm it.").wait_for()
    yield "proposed"
    page.goto(f"/ops/merchants/{desk.merchant_id}/credit?amount=1&reference={LONG}")
    page.get_by_role("button", name="Credit ₹1.00").click()
    page.locator(".notice.settled").wait_for()
    yield "credited"


def cases_of(desk: Desk, kind: str) -> list[str]:
    return [str(row["case_id"]) for row in desk.table("cases") if row["kind"] == kind]


def fill(desk: Desk) -> None:
    """Let banks fail, say much and report what nobody knows of."""
    payout_id, _ = stuck(desk)
    for number in range(2, 9):
        desk.make_due(payout_id)
        desk.claim()
        desk.record((payout_id, "unknown", None, None, LONG, {"said": LONG}, number))
    worker, operator = desk.connection("payrail_worker"), desk.connection("payrail_operator")
    worker.execute(
        "SELECT payrail.receive_notices('sandbox',"
        " ARRAY[ROW(%s, %s, 'paid', %s, %s, %s)::payrail.notice])",
        [LONG, payout_id.hex, LONG, LONG, json.dumps({"said": LONG})],
    )
    # a bank of its own: to one whose breaker is open nothing is sent, by other tests either
    worker.execute("SELECT payrail.declare_rail('down', TRUE, TRUE, 1, '1 hour')")
    worker.execute("SELECT payrail.report_calls('down', 'submit', 9, 9, 9, '1 second', %s)", [LONG])
    worker.execute("SELECT payrail.declare_rail(%s, TRUE, TRUE, 1, '1 hour')", [LONG[:32]])
    operator.execute(
        "SELECT payrail.set_mode(%s, 'LONGEST_OF_MODES', 'INR', '{account_number,vpa,iban}', 1000,"
        " 100000000000000, 999999999999999, '08:00:01', '18:30', '{1,3,5}', 'Asia/Kolkata', %s)",
        [LONG[:32], LONG[:64]],
    )
    most = "SELECT payrail.set_fee(%s, 'LONGEST_OF_MODES', 'INR', %s, 999999999999, 9999)"
    for amount in (1, 10**15 - 1):
        operator.execute(most, [LONG[:32], amount])
    operator.execute(
        "SELECT payrail.set_holiday(%s, current_date + 9, %s)", [LONG[:64], LONG[:200]]
    )
    declare(desk)
    (filed_one,) = sent(on_files(desk, rail_of(desk)))
    filed(desk, filed_one)
    receive(desk, paid(filed_one, LONG[:200]), (LONG, LONG, "unknown", None, "{}"))
    receive(desk, content=b"x", error=LONG)
    operator.execute(
        "SELECT payrail.import_report('sandbox', %s, %s, now(), now() + INTERVAL '1 second', ARRAY["
        "ROW('e', %s, 'payment', 999999999999999, 'INR', %s, NULL, NULL)::payrail.report_line])"
        " WHERE NOT EXISTS (SELECT FROM payrail.reports)",
        [LONG, bytes(32), LONG, LONG],
    )


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESKTOP), ("dark", PHONE)])
def test_everybody_can_use_every_page(
    office: Windows, desk: Desk, scheme: Scheme, viewport: ViewportSize
) -> None:
    """Axe finds nothing serious, and no page scrolls sideways."""
    for status in STATUSES:
        desk.payout(status, 100)
    desk.create("wide", 1, reference=LONG, metadata={"order": LONG})
    contradicted = desk.payout("settled", 100)
    desk.fail_batch((contradicted, "account_closed", LONG, {"said": LONG}))
    fill(desk)
    page = entered(office, desk, color_scheme=scheme, viewport=viewport)
    inside = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    found: list[object] = []
    for path in visit(page, desk):
        found += [(path, *fault) for fault in serious(page)]
        for width in (320, 390, 820, viewport["width"]):
            page.set_viewport_size({"width": width, "height": viewport["height"]})
            if not page.evaluate(inside):
                found.append((path, width))
    assert found == []
