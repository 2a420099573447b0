"""What operators see of the files that go to banks and come from them."""

from __future__ import annotations

import pytest

from tests.desk import Desk
from tests.sql.test_files import (
    cut,
    declare,
    filed,
    on_files,
    paid,
    queue,
    rail_of,
    receive,
    sent,
)
from tests.web.test_console import Operator
from tests.web.test_console import asha as asha  # noqa: PLC0414
from tests.web.test_console import desk as desk  # noqa: PLC0414
from tests.web.test_console import new_operator as new_operator  # noqa: PLC0414
from tests.web.test_dashboard import EVIL, NOBODY


@pytest.fixture
def filing(desk: Desk) -> Desk:
    """A merchant at a bank that is paid by files."""
    declare(desk)
    return on_files(desk, rail_of(desk))


def test_a_file_is_shown_with_its_payouts_and_what_became_of_it(
    asha: Operator, filing: Desk
) -> None:
    one, other = sent(filing, 2)
    order = filed(filing, one)
    name = f"{order['message_id']}.xml"
    page = asha.get("/ops/files")
    assert f"{name} Sent 1 ₹10.00 To the bank {rail_of(filing)} pain.001" in page.text
    path = f"/ops/files/{order['file_id']}"
    assert path in page.values("href")
    assert f"{one.hex} ₹10.00 Processing" in asha.get(path).text
    queue(filing, other)
    waiting = cut(filing)[0]
    assert "Not sent yet" in asha.get(f"/ops/files/{waiting['file_id']}").text


def test_what_a_bank_says_in_a_file_is_shown_as_text(asha: Operator, filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    said = receive(filing, paid(one, EVIL[:35]), ("e", EVIL[:40], "unknown", None, "{}"))
    page = asha.get(f"/ops/files/{said['file_id']}")
    assert f"{one.hex} Paid {EVIL[:35].strip()} ₹10.00" in page.text
    assert "No payout of ours" in page.text
    refused = receive(filing, content=b"x", error=f"line 3: {EVIL}")
    shown = asha.get(f"/ops/files/{refused['file_id']}")
    assert f"line 3: {EVIL}" in shown.text
    assert "Refused" in asha.get("/ops/files").text
    assert page.values("onerror") == shown.values("onerror") == []


def test_long_lists_of_files_and_payments_have_pages(asha: Operator, filing: Desk) -> None:
    payouts = sent(filing, 3)
    order = filed(filing, *payouts)
    receive(filing, paid(payouts[0]))
    for path, expected in (("/ops/files", 2), (f"/ops/files/{order['file_id']}", 3)):
        seen = 0
        following = f"{path}?limit=1"
        for _ in range(expected):
            page = asha.get(following)
            seen += page.text.count("₹10.00") if "files/" in path else 1
            following = next(
                (str(each["href"]) for _, each in page.elements if each.get("rel") == "next"), ""
            )
        assert seen >= expected
        assert path == "/ops/files" or not following


def test_files_that_are_not_there_and_bad_queries_are_pages(asha: Operator) -> None:
    for path in ("/ops/files/x", f"/ops/files/{NOBODY}"):
        assert asha.get(path).status == 404
    for query in ("cursor=x", "limit=0"):
        assert asha.get(f"/ops/files?{query}").status == 422
    assert asha.get("/ops/files?q=1").status == 200  # what others add to an address is passed over
