"""Bank accounts: by number and IFSC, by UPI address, by IBAN; seen in full by their bank only."""

from __future__ import annotations

import json
import random

import pytest
from psycopg.rows import DictRow

from tests.desk import Desk

IBAN = "DE89370400440532013000"
VPA = "asha.rao@okbank"


def add(desk: Desk, bank_account_id: str = "new", **account: object) -> DictRow:
    given = {"bank_account_id": bank_account_id, "holder_name": "Asha Rao", **account}
    (row,) = desk.call("payrail_api", "add_bank_account", **given)
    return row


@pytest.mark.parametrize(
    ("given", "kind", "full", "masked"),
    [
        ({"vpa": VPA}, "vpa", VPA, "XXXXXXao@okbank"),
        ({"vpa": "Asha.Rao@OkBank"}, "vpa", VPA, "XXXXXXao@okbank"),
        ({"vpa": "9876543210@ybl"}, "vpa", "9876543210@ybl", "XXXXXXXX10@ybl"),
        ({"vpa": "asha@ybl"}, "vpa", "asha@ybl", "XXXX@ybl"),
        ({"vpa": "a@b"}, "vpa", "a@b", "X@b"),
        ({"iban": IBAN}, "iban", IBAN, "DEXXXXXXXXXXXXXXXX3000"),
        ({"iban": "de89 3704 0044 0532 0130 00"}, "iban", IBAN, "DEXXXXXXXXXXXXXXXX3000"),
        ({"iban": "NO9386011117947"}, "iban", "NO9386011117947", "NOXXXXXXXXX7947"),
    ],
)
def test_only_the_bank_gets_an_account_in_full(
    desk: Desk, given: dict[str, str], kind: str, full: str, masked: str
) -> None:
    row = add(desk, **given)
    shown = {name: row[f"{name}_masked"] for name in ("account_number", "vpa", "iban")}
    assert (row["kind"], shown) == (
        kind,
        {"account_number": None, "vpa": None, "iban": None, kind: masked},
    )
    desk.create("k", bank_account_id="new")
    (claim,) = desk.claim()
    accounts = {name: claim[name] for name in ("account_number", "ifsc", "vpa", "iban")}
    assert accounts == {**dict.fromkeys(accounts), kind: full}
    for view in ("bank_accounts", "payouts", "events", "attempts", "payout_history"):
        assert full not in json.dumps(desk.table(view), default=str)
    assert desk.violations() == {}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"vpa": VPA}, {"vpa": VPA.upper()}),
        ({"iban": IBAN}, {"iban": "de89 3704 0044 0532 0130 00"}),
        ({"iban": IBAN}, {"iban": IBAN, "rail": "sandbox"}),
    ],
)
def test_the_same_account_in_other_letters_is_the_same(
    desk: Desk, first: dict[str, str], again: dict[str, str]
) -> None:
    row = add(desk, **first)
    with desk.unchanged():
        assert add(desk, **again) == row


@pytest.mark.parametrize(
    "other",
    [
        {"vpa": "asha.rao@other"},
        {"iban": IBAN},
        {"account_number": "12345678", "ifsc": "HDFC0000001"},
        {"vpa": VPA, "holder_name": "Ravi"},
    ],
)
def test_an_id_stands_for_one_account_of_any_kind(desk: Desk, other: dict[str, str]) -> None:
    add(desk, vpa=VPA)
    with desk.refused("PR204"):
        add(desk, **other)


@pytest.mark.parametrize(
    ("account", "field"),
    [
        ({}, "account_number"),
        ({"vpa": VPA, "iban": IBAN}, "account_number"),
        ({"vpa": VPA, "account_number": "12345678", "ifsc": "HDFC0000001"}, "account_number"),
        ({"iban": IBAN, "ifsc": "HDFC0000001"}, "account_number"),
        ({"ifsc": "HDFC0000001"}, "account_number"),
        ({"account_number": "12345678"}, "ifsc"),
        ({"vpa": ""}, "vpa"),
        ({"vpa": "asha"}, "vpa"),
        ({"vpa": "@bank"}, "vpa"),
        ({"vpa": "asha@"}, "vpa"),
        ({"vpa": "asha@bank@bank"}, "vpa"),
        ({"vpa": "asha rao@bank"}, "vpa"),
        ({"vpa": "asha@bank\n"}, "vpa"),
        ({"vpa": f"{'a' * 96}@bank"}, "vpa"),
        ({"iban": ""}, "iban"),
        ({"iban": "DE88370400440532013000"}, "iban"),
        ({"iban": "DE89370400440532013001"}, "iban"),
        ({"iban": "DE89370400440532010300"}, "iban"),
        ({"iban": "DE89-3704-0044-0532-0130-00"}, "iban"),
        ({"iban": f"{IBAN}\n"}, "iban"),
        ({"vpa": VPA, "rail": "swift"}, "rail"),
    ],
)
def test_what_is_no_account_is_refused_by_field(
    desk: Desk, account: dict[str, str], field: str
) -> None:
    with desk.refused("PR107") as caught:
        add(desk, **account)
    assert json.loads(caught.value.diag.message_detail or "{}") == {"field": field}
    assert caught.value.diag.message_hint


def numbers(iban: str) -> int:
    """Return an IBAN as ISO 7064 reads it: its first four characters last, letters as 10 … 35."""
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4]))


def test_check_digits_are_those_of_iso_7064(desk: Desk) -> None:
    dice = random.Random(7064)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    right, wrong = [], []
    for _ in range(300):
        country = "".join(dice.choices(letters, k=2))
        own = "".join(dice.choices(letters + "0123456789", k=dice.randint(11, 30)))
        digits = f"{98 - numbers(f'{country}00{own}') % 97:02}"
        right.append(f"{country}{digits}{own}")
        place = dice.randrange(len(own))
        typo = dice.choice([one for one in "0123456789" if one != own[place]])
        wrong.append(f"{country}{digits}{own[:place]}{typo}{own[place + 1 :]}")
    said = desk.sql(
        "payrail_owner",
        "SELECT merchant.is_iban(i.iban) AS said"
        " FROM unnest(%s::text[]) WITH ORDINALITY i (iban, n) ORDER BY i.n",
        [right + wrong],
    )
    assert [row["said"] for row in said] == [numbers(iban) % 97 == 1 for iban in right + wrong]
    assert all(row["said"] for row in said[:300])


def test_a_bank_is_only_given_accounts_that_it_can_pay(desk: Desk) -> None:
    rail = f"numbers-{desk.merchant_id.hex[-12:]}"
    declare = "SELECT payrail.declare_rail(%s, TRUE, TRUE, 1, '1 hour', %s)"
    desk.sql("payrail_worker", declare, [rail, ["account_number", "iban"]])
    with desk.refused("PR107") as caught:
        add(desk, vpa=VPA, rail=rail)
    assert '"rail"' in (caught.value.diag.message_detail or "")
    assert add(desk, iban=IBAN, rail=rail)["rail"] == rail
    with desk.refused("PR111"):
        desk.sql("payrail_worker", declare, [rail, ["cheque"]])
    with desk.refused("PR111"):
        desk.sql("payrail_worker", declare, [rail, []])


def test_an_account_is_paid_by_the_bank_of_the_newest_one_unless_it_says(desk: Desk) -> None:
    rail = f"own-{desk.merchant_id.hex[-12:]}"
    desk.sql("payrail_worker", "SELECT payrail.declare_rail(%s, TRUE, TRUE, 1, '1 hour')", [rail])
    number = {"account_number": "12345678", "ifsc": "HDFC0000001"}
    assert add(desk, "first", vpa=VPA)["rail"] == "sandbox"  # as demo-bank-account
    assert add(desk, "second", **number, rail=rail)["rail"] == rail
    assert add(desk, "third", **number)["rail"] == rail
    assert add(desk, "first", vpa=VPA)["rail"] == "sandbox"


def test_the_first_account_of_a_merchant_says_its_bank_if_there_are_several(desk: Desk) -> None:
    desk.sql(
        "payrail_worker", "SELECT payrail.declare_rail('another', TRUE, TRUE, 1, '1 hour')", []
    )
    (merchant,) = desk.sql("payrail_operator", "SELECT * FROM payrail.create_merchant('New')", [])
    with desk.refused("PR107"):
        add(desk, vpa=VPA, merchant_id=merchant["merchant_id"])
    row = add(desk, vpa=VPA, merchant_id=merchant["merchant_id"], rail="sandbox")
    assert row["rail"] == "sandbox"


def test_an_archived_account_is_paid_no_more_but_what_is_under_way_is(desk: Desk) -> None:
    add(desk, vpa=VPA)
    under_way = desk.create("before", bank_account_id="new").payout_id
    desk.call("payrail_api", "archive_bank_account", bank_account_id="new")
    assert desk.create("after", bank_account_id="new").code == "bank_account_not_found"
    (claim,) = desk.claim()
    assert (claim["payout_id"], claim["vpa"]) == (under_way, VPA)
