from __future__ import annotations

import hashlib
import secrets
import uuid

from tests.cli.conftest import Payrail
from tests.conftest import Database, Merchant, new_merchant


def test_a_merchant_is_created_and_listed_with_its_balance(
    payrail: Payrail, merchant: Merchant
) -> None:
    made = payrail("merchant", "create", "Acme Agency", "--json").json
    assert made["name"] == "Acme Agency"

    assert payrail("merchant", "list").lines[0] == "merchant id name available held created"
    (line,) = [
        line for line in payrail("merchant", "list").lines if str(merchant.merchant_id) in line
    ]
    assert " INR 100.00 INR 0.00 " in line
    (row,) = [
        row
        for row in payrail("merchant", "list", "--json").json
        if row["merchant_id"] == str(merchant.merchant_id)
    ]
    assert row["balances"] == [{"currency": "INR", "available": 10_000, "held": 0}]


def test_creating_a_merchant_under_an_id_may_be_repeated(payrail: Payrail) -> None:
    merchant_id = uuid.uuid4()
    first = payrail("merchant", "create", "Acme", "--id", merchant_id, "--json").json
    assert payrail("merchant", "create", "Acme", "--id", merchant_id, "--json").json == first
    assert payrail("merchant", "create", "Other", "--id", merchant_id).error == (
        f"this id is another merchant's (merchant id {merchant_id}): "
        "Use another id, or the merchant that is there. (merchant_exists)"
    )


def test_a_merchant_is_named_by_id_or_exact_name(payrail: Payrail, merchant: Merchant) -> None:
    (named,) = [
        row["name"]
        for row in payrail("merchant", "list", "--json").json
        if row["merchant_id"] == str(merchant.merchant_id)
    ]
    by_name = payrail("bank-account", "list", named, "--json").json
    assert by_name == payrail("bank-account", "list", merchant.merchant_id, "--json").json
    assert [account["id"] for account in by_name] == [merchant.bank_account_id]


def test_a_merchant_that_is_not_there_or_not_clear_is_an_error(
    payrail: Payrail, shared_database: Database
) -> None:
    for name in ("Nobody", uuid.uuid4()):
        assert payrail("payout", "list", name).error == (
            f"no merchant '{name}': Check the merchant's id. (merchant_not_found)"
        )
    twins = {str(new_merchant(shared_database, name="Twin").merchant_id) for _ in range(2)}
    error = payrail("payout", "list", "Twin").error
    assert error.startswith("several merchants are called 'Twin'")
    assert all(twin in error for twin in twins)


def test_a_key_is_shown_once_and_works(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    options = ("--scope", "read", "--owner", "reporting")
    made = payrail("key", "create", merchant.merchant_id, *options, "--json").json
    assert made["secret"].startswith("pr_test_")
    assert made["owner"] == "reporting"
    assert made["prefix"] == made["secret"][:12]
    with shared_database.connect("payrail_api") as api:
        caller = api.execute(
            "SELECT * FROM payrail.authenticate(p_key_hash => %s)",
            [hashlib.sha256(made["secret"].encode()).digest()],
        ).fetchone()
    assert caller is not None
    assert (caller["merchant_id"], caller["scopes"]) == (merchant.merchant_id, ["read"])

    listed = payrail("key", "list", merchant.merchant_id)
    assert made["prefix"] in listed.out
    assert made["secret"] not in listed.out
    assert made["secret"] not in payrail("key", "list", merchant.merchant_id, "--json").out


def test_a_key_is_rolled_with_overlap(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    made = payrail("key", "create", merchant.merchant_id, "--name", "shop", "--json").json
    rolled = payrail("key", "roll", merchant.merchant_id, made["api_key_id"], "--json").json
    assert (rolled["name"], rolled["secret"] != made["secret"]) == ("shop", True)
    (old,) = [
        key
        for key in payrail("key", "list", merchant.merchant_id, "--json").json
        if key["api_key_id"] == made["api_key_id"]
    ]
    assert old["replaced_by"] == rolled["api_key_id"]
    assert old["expires_at"]
    assert "(api_key_ended)" in payrail("key", "roll", merchant.merchant_id, old["prefix"]).error
    with shared_database.connect("payrail_api") as api:
        for key in (made, rolled):
            digest = hashlib.sha256(key["secret"].encode()).digest()
            query = "SELECT * FROM payrail.authenticate(p_key_hash => %s)"
            assert api.execute(query, [digest]).fetchone()


def test_how_often_a_key_may_be_used_can_be_set(payrail: Payrail, merchant: Merchant) -> None:
    options = ("--reads", 50, "--json")
    made = payrail("key", "create", merchant.merchant_id, *options).json
    assert (made["reads_per_second"], made["writes_per_second"]) == (50, 1000)
    options = ("--writes", 5, "--json")
    limited = payrail("key", "limit", merchant.merchant_id, made["api_key_id"], *options).json
    assert (limited["reads_per_second"], limited["writes_per_second"]) == (50, 5)


def test_a_key_of_a_live_installation_says_so(
    payrail: Payrail, merchant: Merchant, shared_database: Database
) -> None:
    with shared_database.connect("admin") as admin:
        admin.execute("UPDATE merchant.instance SET environment = 'live'")
        try:
            text = payrail("key", "create", merchant.merchant_id).lines
        finally:
            admin.execute("UPDATE merchant.instance SET environment = 'demo'")
    assert any(line.startswith("secret pr_live_") for line in text)
    assert text[-1] == "The secret is shown this once: it is not kept anywhere."


def test_a_key_expires_and_is_revoked_by_id_or_prefix(payrail: Payrail, merchant: Merchant) -> None:
    create = ("key", "create", merchant.merchant_id)
    made = payrail(*create, "--expires", "2100-12-31", "--name", "till", "--json").json
    assert made["expires_at"] == "2100-12-31T00:00:00Z"
    revoked = payrail("key", "revoke", merchant.merchant_id, made["prefix"], "--json").json
    assert revoked["revoked_at"]
    again = payrail("key", "revoke", merchant.merchant_id, made["api_key_id"], "--json").json
    assert again == revoked
    assert "api_key_not_found" in payrail("key", "revoke", merchant.merchant_id, "pr_x").error
    assert "It must be in the future" in payrail(*create, "--expires", "2000-01-01").error
    assert "is not an ISO 8601" in payrail(*create, "--expires", "soon").error


def test_a_bank_account_is_added_listed_masked_and_archived(
    payrail: Payrail, merchant: Merchant
) -> None:
    number = f"50100{secrets.randbelow(10**7):07}"
    add = ("bank-account", "add", merchant.merchant_id, "savings", "--holder", "Asha Rao")
    made = payrail(*add, "--number", number, "--ifsc", "HDFC0000001", "--json").json
    assert made["account_number"] == "XXXXXXXX" + number[-4:]
    assert any(
        line.startswith("savings Asha Rao XXXXXXXX")
        for line in payrail("bank-account", "list", merchant.merchant_id).lines
    )
    assert payrail(*add, "--number", number, "--ifsc", "nonsense").error == (
        "malformed bank account: It must be four letters, a zero, and six letters or digits."
        " (bank_account_invalid)"
    )
    assert (
        "bank_account_exists" in payrail(*add, "--number", "99999", "--ifsc", "HDFC0000001").error
    )

    for way, masked in (("--vpa", "XXXXXXao@okbank"), ("--iban", "DEXXXXXXXXXXXXXXXX3000")):
        full = {"--vpa": "asha.rao@okbank", "--iban": "DE89 3704 0044 0532 0130 00"}[way]
        made = payrail(
            *("bank-account", "add", merchant.merchant_id, f"by{way}", "--holder", "Asha"),
            *(way, full, "--json"),
        ).json
        assert made[made["kind"]] == masked
    wrong = ("--iban", "DE88 3704 0044 0532 0130 00")
    assert "Its check digits do not fit" in payrail(*add, *wrong).error
    assert "an account number and IFSC, a UPI address, an IBAN" in payrail(*add).error

    archive = ("bank-account", "archive", merchant.merchant_id)
    assert payrail(*archive, "savings", "--json").json["archived_at"]
    assert "bank_account_not_found" in payrail(*archive, "nothing").error
