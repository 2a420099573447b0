"""People adding bank accounts: only the fields of the chosen kind are there, and archiving asks."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Windows
from tests.browser.test_pages import key_of_all
from tests.desk import Desk


def test_the_form_shows_what_its_kind_needs(windows: Windows, desk: Desk) -> None:
    desk.secret = key_of_all(desk)
    page = windows.open(desk).signed_in("/bank-accounts")
    page.get_by_role("link", name="Add bank account").click()
    page.get_by_label("Holder's name").fill("Asha Rao")
    page.get_by_label("Your id for it").fill("asha")
    for kind, there in (("UPI address", "UPI address"), ("IBAN", "IBAN")):
        page.get_by_role("radio", name=kind).check()
        expect(page.get_by_role("textbox", name=there)).to_be_visible()
        expect(page.get_by_role("textbox", name="Account number")).to_be_hidden()
        expect(page.get_by_role("textbox", name="IFSC")).to_be_hidden()
    page.get_by_role("textbox", name="IBAN").fill("DE88 3704 0044 0532 0130 00")
    page.get_by_role("button", name="Add bank account").click()
    expect(page.get_by_text("Its check digits do not fit")).to_be_visible()
    page.get_by_role("textbox", name="IBAN").fill("DE89 3704 0044 0532 0130 00")
    page.get_by_role("button", name="Add bank account").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bank accounts")
    expect(page.get_by_text("DEXXXXXXXXXXXXXXXX3000")).to_be_visible()
    assert [row["kind"] for row in desk.table("bank_accounts")].count("iban") == 1


def test_archiving_asks_first_and_needs_no_javascript(windows: Windows, desk: Desk) -> None:
    desk.secret = key_of_all(desk)
    page = windows.open(desk, java_script_enabled=False).signed_in("/bank-accounts")
    archive = page.get_by_role("button", name="No new payouts to it, for good")
    expect(archive).to_be_hidden()
    page.get_by_text("Archive").first.click()
    archive.click()
    expect(page.get_by_text("Archived")).to_be_visible()
    (row,) = desk.table("bank_accounts")
    assert row["archived_at"]
