"""An open page shows what happens, and the reader keeps their place in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import servers
from tests.browser.conftest import Window, Windows
from tests.browser.test_pages import key_of_all
from tests.desk import Desk
from tests.jobs.test_worker import SLOW_BANK
from tests.web.client import Client
from tests.web.conftest import Web, start, wait_until
from tests.workers import working

# The browser moves the page when a row above grows; what it must not do is to jump to the top.
WHERE = "[window.scrollY > 0, window.loaded, document.activeElement.textContent]"


def settle_in(page: Page, focus: str) -> list[object]:
    """Put the focus somewhere and scroll; return the place that the reader is to keep."""
    page.set_viewport_size({"width": 900, "height": 420})
    page.locator(focus).first.focus()
    page.evaluate("() => { window.scrollTo(0, 60); window.loaded = 'once'; }")
    place: list[object] = page.evaluate(WHERE)
    assert place[:2] == [True, "once"]
    return place


def test_approvals_are_counted_live_and_what_is_being_typed_stays(
    window: Window, desk: Desk
) -> None:
    desk.rule(approve_from=1)
    desk.secret = key_of_all(desk)
    first = desk.create("first", 1000).payout_id
    page = window.signed_in("/approvals")
    count = page.locator("[data-awaiting]")
    expect(count).to_have_text("1")
    page.get_by_text("Reject ₹10.00 to").first.click()
    reason = page.get_by_label("Why it is rejected")
    reason.fill("not ou")
    desk.create("second", 2000)
    expect(count).to_have_text("2")
    reason.press_sequentially("rs")
    expect(reason).to_have_value("not ours")
    reason.press("Enter")
    expect(page.get_by_role("button", name="Approve")).to_have_count(1)
    expect(count).to_have_text("1")
    assert desk.see(first)["status"] == "rejected"
    page.get_by_role("button", name="Approve ₹20.00").click()
    expect(page.get_by_text("Nothing awaits approval.")).to_be_visible()
    expect(count).to_be_hidden()


def test_what_is_about_to_be_pressed_stays_where_it_is(window: Window, desk: Desk) -> None:
    """Nobody approves another payout than the one under their pointer."""
    desk.rule(approve_from=1)
    desk.secret = key_of_all(desk)
    first, second = (desk.create(key, 1000).payout_id for key in ("first", "second"))
    page = window.signed_in("/approvals")
    count = page.locator("[data-awaiting]")
    button = page.locator(f"[data-row='{second}']").get_by_role("button", name="Approve")
    button.hover()
    page.clock.install()
    desk.cancel(first)
    expect(count).to_have_text("1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)  # longer than until a page is replaced
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    assert [url for url in asked if url.endswith("/approvals")] == []
    expect(page.locator("[data-row]")).to_have_count(2)
    page.get_by_role("heading", level=1).hover()
    page.clock.run_for(10_000)
    expect(page.locator("[data-row]")).to_have_count(1)
    button.click()
    expect(page.get_by_text("Nothing awaits approval.")).to_be_visible()
    assert desk.see(second)["status"] in {"pending", "processing"}


@pytest.mark.usefixtures("bank")
def test_a_payout_is_seen_to_settle(window: Window, desk: Desk, tmp_path: Path) -> None:
    for _ in range(12):
        desk.payout("cancelled", 100)
    payout_id = desk.payout()
    one, many = window.signed_in(f"/payouts/{payout_id}"), window.tab("/payouts")
    row = many.locator(f"tr[data-payout='{payout_id}']")
    places = {
        one: settle_in(one, "[data-copy]"),
        many: settle_in(many, f"tr[data-payout='{payout_id}'] a"),
    }
    heading = one.get_by_role("heading", level=1)
    expect(heading).to_have_text("₹10.00 Pending")
    expect(row).to_contain_text("Pending")
    with working(desk.database.env, tmp_path / "log", "-c", SLOW_BANK) as worker:
        expect(heading).to_have_text("₹10.00 Processing")
        expect(row).to_contain_text("Processing")
        expect(one.get_by_role("button", name="Cancel payout")).to_have_count(0)
        assert worker.stdin
        worker.stdin.close()  # now the bank answers, also what other tests have left
        expect(heading).to_have_text("₹10.00 Settled")
        expect(row).to_contain_text("Settled")
    steps = ("Requested", "Sent to the bank", re.compile("^Paid, UTR "))
    expect(one.locator(".timeline strong")).to_have_text(steps)
    expect(one.get_by_text("Paid out")).to_be_visible()
    for page, place in places.items():
        assert page.evaluate(WHERE) == place


def test_what_a_bank_says_meanwhile_is_seen(window: Window, desk: Desk) -> None:
    """It changes no status, so there is no event: the page looks when the bank has been asked."""
    payout_id = desk.payout("processing")
    desk.say(payout_id, "unknown")
    page = window.signed_in(f"/payouts/{payout_id}")
    place = settle_in(page, "[data-copy]")
    expect(page.locator(".timeline")).to_contain_text("We ask again at")
    desk.make_due(payout_id)
    desk.claim()
    desk.say(payout_id, "pending")
    expect(page.get_by_text("The bank has it and is working on it")).to_be_visible()
    assert page.evaluate(WHERE) == place


def test_a_new_payout_and_the_balance_appear(window: Window, desk: Desk) -> None:
    overview, many, form = (
        window.signed_in("/"),
        window.tab("/payouts"),
        window.tab("/payouts/new"),
    )
    expect(overview.get_by_text("No payouts yet.")).to_be_visible()
    for number in (1, 2):
        payout_id = desk.payout(amount=4000)
        for page in (overview, many):
            rows = page.locator("tr[data-payout]")
            expect(rows).to_have_count(number)
            expect(rows.first).to_have_attribute("data-payout", str(payout_id))
            expect(page.get_by_text("No payouts yet.")).to_have_count(0)
    for page in (overview, form):
        expect(page.locator("[data-balance=available]")).to_have_text("₹20.00")
    expect(overview.locator("[data-balance=held]")).to_have_text("₹80.00")


def test_a_filtered_list_is_only_kept_up_to_date(window: Window, desk: Desk) -> None:
    first = desk.payout()
    page = window.signed_in("/payouts")
    page.get_by_role("checkbox", name="Pending").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**status=pending*")
    desk.payout()
    desk.cancel(first)
    expect(page.locator("tr[data-payout]")).to_contain_text(["Cancelled"])
    expect(page.locator("tr[data-payout]")).to_have_count(1)


def test_more_than_can_be_told_is_shown_anyway(window: Window, desk: Desk) -> None:
    page = window.signed_in("/payouts")
    batch = [(f"k{n}", 100, "INR", "demo-bank-account", None, None) for n in range(40)]
    newest = desk.create_batch(*batch)[-1].payout_id
    rows = page.locator("tr[data-payout]")
    expect(rows.first).to_have_attribute("data-payout", str(newest))
    expect(rows).to_have_count(25)


def test_a_page_says_that_it_is_cut_off_and_catches_up(
    browser: Browser, desk: Desk, tmp_path: Path
) -> None:
    with servers.port() as port, (tmp_path / "log").open("w") as log, ExitStack() as closing:
        windows = Windows(browser, Web("127.0.0.1", port, tmp_path / "log"))
        closing.enter_context(windows.closing)
        with serving(desk, port, log):
            page = windows.open(desk).signed_in("/payouts")
            expect(page.locator("#offline")).to_be_hidden()
        expect(page.locator("#offline")).to_contain_text("Not connected")
        payout_id = desk.payout()
        with serving(desk, port, log):
            expect(page.locator(f"tr[data-payout='{payout_id}']")).to_be_visible()
            expect(page.locator("#offline")).to_be_hidden()


def test_a_page_that_was_signed_out_says_so(window: Window, desk: Desk) -> None:
    page, other = window.signed_in("/payouts"), window.tab("/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/sign-in")
    desk.payout()  # its stream ends with what it would be told
    expect(page.locator("#ended")).to_contain_text("You have been signed out")
    expect(page.locator("#offline")).to_be_hidden()
    page.get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/sign-in?next=/payouts")


def test_a_page_of_another_merchant_is_loaded_again(window: Window, desk: Desk) -> None:
    """Somebody signs in as another merchant in another tab, and then looks at this one again."""
    page = window.signed_in("/payouts")
    look_away(page)
    window.desk = desk.beside()
    theirs = window.desk.payout()
    desk.payout()
    window.signed_in("/")
    look(page)
    expect(page.locator("tr[data-payout]")).to_have_attribute("data-payout", str(theirs))
    expect(page.locator("tr[data-payout]")).to_have_count(1)


def test_a_change_is_told_to_whoever_can_not_see_it(window: Window, desk: Desk) -> None:
    many, one = window.signed_in("/payouts"), window.tab("/")
    payout_id = desk.payout()
    for page in (many, one):
        expect(page.locator("#said")).to_have_text("₹10.00 Pending")
    one.goto(f"/payouts/{payout_id}")
    desk.cancel(payout_id)
    for page in (many, one):
        expect(page.locator("#said")).to_have_text("₹10.00 Cancelled")


def test_the_ledger_is_live(window: Window, desk: Desk) -> None:
    page = window.signed_in("/ledger")
    page.evaluate("window.loaded = 'once'")
    desk.payout()
    expect(page.get_by_text("Held for a payout").last).to_be_visible()
    expect(page.locator("#entries tbody tr")).to_have_count(2)
    assert page.evaluate("window.loaded") == "once"


def test_more_tabs_than_a_browser_has_connections(window: Window, desk: Desk) -> None:
    page = window.signed_in("/payouts")
    first = page
    for _ in range(8):
        look_away(page)
        page = window.tab("/payouts")
    payout_id = desk.payout()
    expect(page.locator(f"tr[data-payout='{payout_id}']")).to_be_visible()
    look(first)  # it is told what it missed
    expect(first.locator(f"tr[data-payout='{payout_id}']")).to_be_visible()


def look_away(page: Page) -> None:
    """Tell a page that it is not seen, as a browser does when another tab is in front of it."""
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def look(page: Page) -> None:
    page.evaluate("delete document.hidden")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_an_answer_that_fails_does_not_freeze_a_payouts_page(window: Window, desk: Desk) -> None:
    payout_id = desk.payout()
    page = window.signed_in(f"/payouts/{payout_id}")
    page.evaluate("window.loaded = 'once'")
    page.route(page.url, lambda route: route.fulfill(status=429), times=1)
    desk.cancel(payout_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("₹10.00 Cancelled")
    assert page.evaluate("window.loaded") == "once"


@contextmanager
def serving(desk: Desk, port: int, log: IO[str]) -> Iterator[None]:
    """Run a server at this port."""
    with start(desk.database.conninfo("admin"), port, log) as process:
        client = Client("127.0.0.1", port)
        wait_until(lambda: client.get("//readyz").status == 200)
        client.close()
        yield
        process.terminate()


def test_a_batch_is_seen_to_advance(window: Window, desk: Desk) -> None:
    lines = [
        (None, 1000, "INR", "demo-bank-account" if n else "nowhere", None, None) for n in range(5)
    ]
    batch = desk.upload(*lines, name="Wages").json["id"]
    page = window.signed_in(f"/batches/{batch}")
    progress, heading = page.get_by_role("progressbar"), page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Wages Waiting")
    place = settle_in(page, "a[href$='result.csv']")
    for limit, done in ((1, "1"), (3, "4")):
        desk.advance(batch, limit)
        expect(progress).to_have_attribute("value", done)
        expect(heading).to_have_text("Wages Under way")
    desk.advance(batch)
    expect(progress).to_have_attribute("value", "5")
    expect(heading).to_have_text("Wages Done")
    expect(page.get_by_text("There is no such bank account")).to_be_visible()
    assert page.evaluate(WHERE) == place
