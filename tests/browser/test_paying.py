"""People at the dashboard: they click twice, open two tabs, change their mind, or have no mouse."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Window
from tests.desk import OPENING, Desk

SUBMIT = "form => setTimeout(() => form.requestSubmit(form.querySelector('button')))"


def fill(page: Page, amount: str, reference: str = "") -> None:
    page.get_by_label("Amount").fill(amount)
    page.get_by_label("Reference").fill(reference)


def test_signing_in_and_out(window: Window) -> None:
    page = window.tab("/payouts")
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This API key is unknown, expired or revoked.")
    page.get_by_label("API key").fill(window.desk.secret)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Payouts")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto("/payouts")
    page.wait_for_url("**/sign-in?next=/payouts")


def test_a_double_click_is_one_payout(window: Window, desk: Desk) -> None:
    page = window.signed_in("/payouts/new")
    sent = window.posts()
    fill(page, "60", "rent")
    page.get_by_role("button", name="Request payout").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("₹60.00 Pending")
    assert len(sent) == 1
    assert desk.balance() == (OPENING - 6000, 6000)


def test_going_back_and_loading_again_pays_nothing(window: Window, desk: Desk) -> None:
    page = window.signed_in("/payouts/new")
    fill(page, "30")
    page.get_by_role("button", name="Request payout").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("₹30.00 Pending")
    page.reload()
    page.go_back()
    expect(heading).to_have_text("New payout")
    page.reload()
    page.go_forward()
    expect(heading).to_have_text("₹30.00 Pending")
    assert len(desk.table("payouts")) == 1


def test_two_tabs_can_not_spend_the_same_money(window: Window, desk: Desk) -> None:
    tabs = [window.signed_in("/payouts/new"), window.tab("/payouts/new")]
    for tab in tabs:
        fill(tab, "60", "rent")
    for tab in tabs:
        tab.locator("form.card").evaluate(SUBMIT)
    for tab in tabs:
        expect(tab.locator("#payout, [role=alert]")).to_be_visible()
    (paid,) = [tab for tab in tabs if tab.locator("#payout").count()]
    (refused,) = [tab for tab in tabs if tab is not paid]
    expect(paid.get_by_role("heading", level=1)).to_have_text("₹60.00 Pending")
    expect(refused.locator("#amount-error")).to_contain_text(
        "There is not enough money available for ₹60.00."
    )
    expect(refused.get_by_label("Reference")).to_have_value("rent")
    assert desk.balance() == (OPENING - 6000, 6000)
    fill(refused, "40")
    refused.get_by_role("button", name="Request payout").click()
    expect(refused.get_by_role("heading", level=1)).to_have_text("₹40.00 Pending")
    assert desk.balance() == (0, OPENING)


def test_only_modes_are_offered_that_can_pay_the_chosen_account(window: Window, desk: Desk) -> None:
    desk.call(
        *("payrail_operator", "add_bank_account"),
        bank_account_id="upi",
        holder_name="Asha Rao",
        vpa="asha@bank",
    )
    page = window.signed_in("/payouts/new")
    modes = page.locator("#mode option:enabled")
    page.get_by_label("Bank account").select_option("demo-bank-account")
    expect(modes).to_contain_text(["Automatic", "IMPS", "RTGS", "NEFT"])
    page.get_by_label("Mode").select_option("NEFT")
    page.get_by_label("Bank account").select_option("upi")
    expect(modes).to_contain_text(["Automatic", "UPI"])
    expect(page.get_by_label("Mode")).to_have_value("")
    page.get_by_label("Mode").select_option("UPI")
    fill(page, "60")
    page.get_by_label("Narration").fill("Invoice 17")
    page.get_by_role("button", name="Request payout").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("₹60.00 Pending")
    expect(page.get_by_text("asked for")).to_be_visible()
    (payout,) = desk.table("payouts")
    assert (payout["mode"], payout["narration"]) == ("UPI", "Invoice 17")


def test_a_pending_payout_is_cancelled(window: Window, desk: Desk) -> None:
    payout_id = desk.payout()
    page = window.signed_in(f"/payouts/{payout_id}")
    page.get_by_role("button", name="Cancel payout").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("₹10.00 Cancelled")
    expect(page.get_by_role("button", name="Cancel payout")).to_have_count(0)
    assert desk.balance() == (OPENING, 0)


def test_filter_and_search(window: Window, desk: Desk) -> None:
    paid, failed = desk.payout("settled"), desk.payout("failed")
    named = desk.create("named", 500, reference="invoice 17").payout_id
    page = window.signed_in("/payouts")

    def shown(*payouts: object) -> None:
        expect(page.locator("tbody tr")).to_have_count(len(payouts))
        for row, payout in enumerate(payouts):
            expect(page.locator("tbody tr").nth(row)).to_have_attribute("data-payout", str(payout))

    shown(named, failed, paid)
    page.get_by_role("checkbox", name="Settled").check()
    page.get_by_role("checkbox", name="Failed").check()
    page.get_by_role("button", name="Apply").click()
    shown(failed, paid)
    expect(page.get_by_role("checkbox", name="Settled")).to_be_checked()
    page.get_by_role("link", name="Clear").click()
    shown(named, failed, paid)
    page.get_by_role("searchbox").fill("invoice 17")
    page.keyboard.press("Enter")
    shown(named)
    page.get_by_role("searchbox").fill("nothing like it")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No payout matches.")).to_be_visible()
    page.get_by_role("searchbox").fill(str(paid))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("₹10.00 Settled")


def test_all_of_it_with_the_keyboard(window: Window, desk: Desk) -> None:
    page = window.tab("/sign-in")
    page.keyboard.type(desk.secret)  # its field has the focus
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    tab_to(page, lambda: focused(page) == "New payout")
    page.keyboard.press("Enter")
    page.wait_for_url("**/payouts/new")
    tab_to(page, lambda: focused(page, "e.id") == "amount")
    page.keyboard.type("12.50")
    page.keyboard.press("Tab")
    assert focused(page, "e.id") == "bank_account_id"
    page.keyboard.press("Tab")
    assert focused(page, "e.id") == "mode"
    page.keyboard.press("Tab")
    page.keyboard.type("typed")
    tab_to(page, lambda: focused(page) == "Request payout")
    assert focused(page, "getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(page.get_by_role("heading", level=1)).to_have_text("₹12.50 Pending")
    (payout,) = desk.table("payouts")
    assert (payout["amount"], payout["reference"]) == (1250, "typed")


def focused(page: Page, of: str = "e.textContent") -> str:
    """Return something of the element that has the focus."""
    return str(page.evaluate(f"(() => {{ const e = document.activeElement; return {of}; }})()"))


def tab_to(page: Page, there: Callable[[], bool]) -> None:
    """Press Tab until it is there."""
    for _ in range(30):
        if there():
            return
        page.keyboard.press("Tab")
    assert there()
