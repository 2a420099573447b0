"""Operators see how banks move money, and change it: by the doors, and on record."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.desk import Desk
from tests.web.conftest import Connection
from tests.web.test_console import NewOperator, Operator
from tests.web.test_console import asha as asha  # noqa: PLC0414
from tests.web.test_console import desk as desk  # noqa: PLC0414
from tests.web.test_console import new_operator as new_operator  # noqa: PLC0414
from tests.web.visitor import Page

TODAY = datetime.now(UTC).date()
FORM = {
    "mode": "NEFT",
    "currency": "INR",
    "account-account_number": "on",
    "amount_min": "2,00,000",
    "rank": "3",
    "time_zone": "UTC",
    "day-1": "on",
}


@pytest.fixture
def bank(desk: Desk) -> str:
    """A bank without modes, and the calendar of that name."""
    name = f"b{secrets.token_hex(8)}"
    door = "SELECT payrail.declare_rail(%s, TRUE, TRUE, 100, '1 hour')"
    desk.sql("payrail_worker", door, [name])
    return name


def save(asha: Operator, bank: str, **fields: str) -> Page:
    return asha.post("/ops/modes", {"token": asha.token(), "rail": bank} | FORM | fields)


def saved(operator: Connection, bank: str) -> list[dict[str, Any]]:
    query = "SELECT * FROM payrail.modes WHERE rail = %s"
    return operator.execute(query, [bank]).fetchall()


def log(operator: Connection, bank: str) -> list[tuple[str, str, str]]:
    found = operator.execute(
        "SELECT actor, action, object FROM payrail.operator_actions"
        " WHERE object LIKE %s ORDER BY action_id",
        [f"{bank} %"],
    )
    return [(row["actor"], row["action"], row["object"]) for row in found]


def test_a_mode_is_added_shown_changed_and_removed_and_each_is_on_record(
    asha: Operator, operator: Connection, bank: str
) -> None:
    assert save(asha, bank).location == "/ops/modes"
    page = asha.get("/ops/modes")
    assert "₹2,00,000.00" in page.text
    assert "All day, Mon UTC" in page.text
    where = urlencode({"rail": bank, "mode": "NEFT", "currency": "INR"})
    form = asha.get(f"/ops/modes/edit?{where}")
    before = saved(operator, bank)
    assert save(asha, bank, known="yes", amount_max=form.fields["amount_max"]).status == 303
    assert saved(operator, bank) == before
    changed = {"opens": "08:00", "closes": "18:30", "calendar": bank, "day-2": "on", "day-3": "on"}
    save(asha, bank, **changed)
    assert f", not on holidays of {bank}" in asha.get("/ops/modes").text
    key = {"rail": bank, "mode": "NEFT", "currency": "INR"}
    for _ in range(2):
        assert asha.post("/ops/modes/remove", {"token": asha.token()} | key).status == 303
    assert saved(operator, bank) == []
    assert asha.get(f"/ops/modes/edit?{where}").status == 404
    who = f"payrail_operator:{asha.name}"
    assert log(operator, bank) == [
        (who, action, f"{bank} NEFT INR") for action in ("mode_set", "mode_set", "mode_removed")
    ]
    assert "Mode removed" in asha.get("/ops/actions").text


def test_a_form_with_everything_ticked_is_read(
    asha: Operator, operator: Connection, bank: str
) -> None:
    all_of_it = {f"account-{kind}": "on" for kind in ("account_number", "vpa", "iban")}
    all_of_it |= {f"day-{day}": "on" for day in range(1, 8)}
    hours = {"opens": "08:00", "closes": "18:30", "calendar": bank, "amount_max": "5,00,000"}
    for known in ({}, {"known": "yes"}):
        assert save(asha, bank, **all_of_it, **hours, **known).status == 303
    (mode,) = saved(operator, bank)
    assert (len(mode["accounts"]), mode["days"]) == (3, None)


def test_a_rank_of_any_length_is_answered(asha: Operator, bank: str) -> None:
    for rank in ("9" * 5000, "-1", "1001", "x", "٣"):
        page = save(asha, bank, rank=rank)
        assert page.status == 422
        assert "Enter a whole number from 0 to 1000." in page.text


def test_a_mode_is_open_now_or_says_when_it_opens(asha: Operator, bank: str) -> None:
    save(asha, bank, **{f"day-{day}": "on" for day in range(1, 8)})
    assert "Open" in of(asha, bank)
    tomorrow = TODAY + timedelta(days=1)
    holiday(asha, bank, TODAY.isoformat())
    save(asha, bank, calendar=bank, **{f"day-{day}": "on" for day in range(1, 8)})
    assert f"Closed opens {tomorrow:%-d %b %Y}, 00:00:00 UTC" in of(asha, bank)


def of(asha: Operator, bank: str) -> str:
    """Return what the page says of one bank."""
    text = asha.get("/ops/modes").text
    return text.partition(f"Add mode to {bank}")[2].partition("Add mode")[0]


def holiday(asha: Operator, bank: str, day: str, **more: str) -> Page:
    form = {"token": asha.token(), "calendar": bank, "day": day, "name": "Republic Day"}
    return asha.post("/ops/holidays", form | more)


def test_a_holiday_is_added_and_taken_out_and_both_are_on_record(
    asha: Operator, operator: Connection, bank: str
) -> None:
    day = (TODAY + timedelta(days=30)).isoformat()
    for _ in range(2):
        assert holiday(asha, bank, day).location == "/ops/modes#holidays"
    assert "Remove Republic Day" in asha.get("/ops/modes").text
    for _ in range(2):
        assert holiday(asha, bank, day, remove="yes").status == 303
    who = f"payrail_operator:{asha.name}"
    assert log(operator, bank) == [
        (who, action, f"{bank} {day}") for action in ("holiday_set", "holiday_removed")
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rail": "nobody"}, "rail"),
        ({"mode": "neft"}, "mode"),
        ({"currency": "XYZ"}, "currency"),
        ({"account-account_number": ""}, "accounts"),
        ({"amount_min": "much"}, "amount_min"),
        ({"amount_max": "1"}, "amount_max"),
        ({"opens": "8"}, "opens"),
        ({"opens": "08:00"}, "closes"),
        ({"opens": "08:00", "closes": "07:00"}, "closes"),
        ({"day-1": ""}, "days"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"calendar": "x" * 65}, "calendar"),
        ({"rank": "first"}, "rank"),
        ({"rank": "9" * 30}, "rank"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_mode_is_said_at_its_field(
    asha: Operator, operator: Connection, bank: str, wrong: dict[str, str], field: str
) -> None:
    page = save(asha, bank, **wrong)
    assert page.status == 422
    assert "Nothing was changed." in page.text
    assert page.values("aria-describedby") == [f"{field}-error"]
    assert f"{field}-error" in page.values("id")
    assert saved(operator, bank) == []


@pytest.mark.parametrize(
    ("day", "more", "field"),
    [
        ("soon", {}, "day"),
        (TODAY.isoformat(), {"name": ""}, "name"),
        (TODAY.isoformat(), {"calendar": ""}, "calendar"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_holiday_is_said_at_its_field(
    asha: Operator, bank: str, day: str, more: dict[str, str], field: str
) -> None:
    page = holiday(asha, bank, day, **more)
    assert page.status == 422
    assert page.values("aria-describedby") == [f"{field}-error"]


def test_who_is_disabled_changes_no_mode(
    asha: Operator, new_operator: NewOperator, operator: Connection, bank: str
) -> None:
    """The door looks at the session again: a page is no proof of who asks."""
    gone = new_operator()
    gone.enter()
    form = {"token": gone.token(), "rail": bank} | FORM
    operator.execute("SELECT payrail.disable_operator(%s)", [gone.name])
    assert gone.post("/ops/modes", form).location.startswith("/ops/sign-in")
    assert saved(operator, bank) == []
    assert save(asha, bank).status == 303


def charge(asha: Operator, bank: str, **fields: str) -> Page:
    form = {"token": asha.token(), "rail": bank, "mode": "NEFT", "currency": "INR"}
    return asha.post("/ops/fees", form | fields)


def charged(operator: Connection, bank: str) -> list[tuple[int, int, int]]:
    query = "SELECT * FROM payrail.fees WHERE rail = %s ORDER BY amount_from"
    rows = operator.execute(query, [bank]).fetchall()
    return [(row["amount_from"], row["fixed"], row["basis_points"]) for row in rows]


def test_fees_are_set_shown_and_taken_away_and_each_is_on_record(
    asha: Operator, operator: Connection, bank: str
) -> None:
    save(asha, bank, amount_min="")
    where = f"/ops/modes/edit?{urlencode({'rail': bank, 'mode': 'NEFT', 'currency': 'INR'})}"
    assert "Payouts by this mode cost nothing." in asha.get(where).text
    assert charge(asha, bank, fixed="5").location == f"{where}#fees"
    charge(asha, bank, amount_from="1,000", fixed="5.50", basis_points="0.25")
    charge(asha, bank, amount_from="10,000", basis_points="2%")
    charge(asha, bank, amount_from="20,000", fixed="0")
    assert charged(operator, bank) == [
        *((1, 500, 0), (100_000, 550, 25), (1_000_000, 0, 200), (2_000_000, 0, 0))
    ]
    assert "₹5.00 and 3 more" in of(asha, bank)
    page = asha.get(where)
    for text in ("₹0.01 ₹5.00", "₹1,000.00 ₹5.50 + 0.25%", "₹10,000.00 2%", "₹20,000.00 nothing"):
        assert text in page.text
    assert "Remove the fee from ₹10,000.00 on" in page.text
    for _ in range(2):
        charge(asha, bank, amount_from="10000.00", remove="yes")
    assert [row[0] for row in charged(operator, bank)] == [1, 100_000, 2_000_000]
    who = f"payrail_operator:{asha.name}"
    assert log(operator, bank)[1:] == [
        (who, action, f"{bank} NEFT INR") for action in [*["fee_set"] * 4, "fee_removed"]
    ]
    asha.post("/ops/modes/remove", {"token": asha.token(), "rail": bank} | FORM)
    assert charged(operator, bank) == []
    assert charge(asha, bank, fixed="5").status == 404


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("amount_from", wrong) for wrong in ("0", "much", "-1")),
        *(("fixed", wrong) for wrong in ("much", "-1", "10000000000.01")),
        *(("basis_points", wrong) for wrong in ("much", "-1", "100.01", "0.001", "999")),
    ],
)
def test_what_is_wrong_with_a_fee_is_said_at_its_field(
    asha: Operator, operator: Connection, bank: str, field: str, wrong: str
) -> None:
    save(asha, bank)
    page = charge(asha, bank, **{"fixed": "5", field: wrong})
    assert page.status == 422
    assert page.text.count("Nothing was changed.") == 1
    assert page.values("aria-describedby") == [f"{field}-error"]
    assert page.fields[field] == wrong
    assert charged(operator, bank) == []
