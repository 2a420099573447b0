"""Merchants, API keys and bank accounts: what operators keep, and what stays secret."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.rows import DictRow

from pyapp.keys import SCOPES
from tests.desk import ACCOUNT, Desk

BANK_ACCOUNT = {
    "bank_account_id": "salary.1",
    "holder_name": "Asha Rao",
    "account_number": "1234567890",
    "ifsc": "HDFC0ABC123",
}


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def authenticate(desk: Desk, secret: str) -> list[DictRow]:
    return desk.sql("payrail_api", "SELECT * FROM payrail.authenticate(%s)", [digest(secret)])


def new_key(desk: Desk, secret: str, **arguments: object) -> DictRow:
    given = {"key_hash": digest(secret), "prefix": secret[:12], **arguments}
    (row,) = desk.call("payrail_operator", "create_api_key", **given)
    return row


def fresh() -> str:
    return f"pr_test_{secrets.token_urlsafe(32)}"


def api_key(desk: Desk) -> DictRow:
    (row,) = desk.table("api_keys")
    return row


# -------------------------------------------------------------------------------------- API keys


def test_a_key_names_its_merchant(desk: Desk) -> None:
    (row,) = authenticate(desk, desk.secret)
    assert row == {
        "merchant_id": desk.merchant_id,
        "merchant_name": "Tiny Studio",
        "api_key_id": api_key(desk)["api_key_id"],
        "key_prefix": desk.secret[:12],
        "owner": None,
        "scopes": ["read", "payouts:create"],
        "reads_per_second": 1000,
        "writes_per_second": 1000,
    }


def test_an_unknown_key_names_nobody(desk: Desk) -> None:
    with desk.unchanged():
        assert authenticate(desk, fresh()) == []
        assert authenticate(desk, desk.secret + "x") == []
        assert desk.sql("payrail_api", "SELECT * FROM payrail.authenticate(NULL)", []) == []


def test_the_database_never_sees_the_secret(desk: Desk) -> None:
    stored = "".join(content for _, content in desk.rows())
    assert desk.secret not in stored
    assert desk.secret[:12] in stored
    assert "key_hash" not in api_key(desk)


def test_a_revoked_key_names_nobody_at_once(desk: Desk) -> None:
    api_key_id = api_key(desk)["api_key_id"]
    (row,) = desk.call("payrail_operator", "revoke_api_key", api_key_id=api_key_id)
    assert row["revoked_at"] is not None
    with desk.unchanged():
        assert authenticate(desk, desk.secret) == []
        (again,) = desk.call("payrail_operator", "revoke_api_key", api_key_id=api_key_id)
    assert again == row


def test_an_expired_key_names_nobody(desk: Desk) -> None:
    secret = fresh()
    row = new_key(desk, secret, expires_at="tomorrow")
    assert len(authenticate(desk, secret)) == 1
    desk.sql(
        "payrail_owner",
        "UPDATE merchant.api_keys SET expires_at = now() WHERE api_key_id = %s",
        [row["api_key_id"]],
    )
    assert authenticate(desk, secret) == []


def test_an_expired_key_is_not_used(desk: Desk) -> None:
    """What is refused doesn't count as a use."""
    desk.sql(
        "payrail_owner",
        "UPDATE merchant.api_keys SET expires_at = now() WHERE merchant_id = %(merchant_id)s",
    )
    with desk.unchanged():
        assert authenticate(desk, desk.secret) == []


def test_keys_roll_with_overlap(desk: Desk) -> None:
    secret = fresh()
    new_key(desk, secret)
    assert len(authenticate(desk, desk.secret)) == len(authenticate(desk, secret)) == 1


def test_last_use_is_kept_to_the_minute(desk: Desk) -> None:
    assert api_key(desk)["last_used_at"] is None
    authenticate(desk, desk.secret)
    first = api_key(desk)["last_used_at"]
    assert first is not None
    with desk.unchanged():
        authenticate(desk, desk.secret)  # within the minute: no write
    desk.sql(
        "payrail_owner",
        "UPDATE merchant.api_keys SET last_used_at = now() - INTERVAL '61 seconds'"
        " WHERE merchant_id = %(merchant_id)s",
    )
    authenticate(desk, desk.secret)
    assert api_key(desk)["last_used_at"] >= first


def test_scopes_are_what_was_given(desk: Desk) -> None:
    secret = fresh()
    new_key(desk, secret, scopes=["read"], name="reporting")
    (row,) = authenticate(desk, secret)
    assert row["scopes"] == ["read"]


def test_a_key_says_whose_it_is(desk: Desk) -> None:
    secret = fresh()
    new_key(desk, secret, owner="asha@acme.example", scopes=[*SCOPES])
    (row,) = authenticate(desk, secret)
    assert (row["owner"], row["scopes"]) == ("asha@acme.example", [*SCOPES])
    session = secrets.token_bytes(32)
    opened = desk.sql(
        "payrail_api", "SELECT * FROM payrail.open_session(%s, %s)", [digest(secret), session]
    )
    resumed = desk.sql("payrail_api", "SELECT * FROM payrail.resume_session(%s)", [session])
    assert opened == resumed == [row]


def test_a_key_has_its_limits(desk: Desk) -> None:
    secret = fresh()
    new_key(desk, secret, reads_per_second=7, writes_per_second=3)
    (row,) = authenticate(desk, secret)
    assert (row["reads_per_second"], row["writes_per_second"]) == (7, 3)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"key_hash": b"short"}, "key_hash"),
        ({"key_hash": None}, "key_hash"),
        ({"prefix": "pr_test_12345"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": None}, "prefix"),
        ({"prefix": "a b"}, "prefix"),
        ({"name": ""}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": ["read", None]}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"expires_at": "yesterday"}, "expires_at"),
        ({"expires_at": "-infinity"}, "expires_at"),
        ({"expires_at": "infinity"}, "expires_at"),
        ({"expires_at": "9999-12-31 UTC"}, "expires_at"),
        ({"owner": ""}, "owner"),
        ({"owner": "Asha"}, "owner"),
        ({"owner": "asha rao"}, "owner"),
        ({"owner": "a" * 65}, "owner"),
        ({"scopes": ["payouts:approve"]}, "owner"),  # whoever approves is somebody
        ({"reads_per_second": 0}, "reads_per_second"),
        ({"reads_per_second": None}, "reads_per_second"),
        ({"writes_per_second": 1_000_001}, "writes_per_second"),
    ],
)
def test_a_malformed_key_is_refused(desk: Desk, arguments: dict[str, object], field: str) -> None:
    with desk.refused("PR108") as caught:
        new_key(desk, fresh(), **arguments)
    assert f'"{field}"' in (caught.value.diag.message_detail or "")
    assert caught.value.diag.message_hint


def test_a_secret_is_one_merchants(desk: Desk) -> None:
    with desk.refused("PR207"):
        new_key(desk, desk.secret)
    with desk.refused("PR207"):
        new_key(desk.beside(), desk.secret)


def test_a_key_is_revoked_by_its_own_merchant_only(desk: Desk) -> None:
    other = desk.beside()
    with other.unchanged(), desk.refused("PR404"):
        desk.call("payrail_operator", "revoke_api_key", api_key_id=api_key(other)["api_key_id"])
    with desk.refused("PR404"):
        desk.call("payrail_operator", "revoke_api_key", api_key_id=uuid4())


# ----------------------------------------------------------------------------- keys made with keys


def manager(desk: Desk, **arguments: object) -> UUID:
    """Return a key that manages keys."""
    given = {"scopes": ["read", "keys:write"], "owner": "asha", **arguments}
    key: UUID = new_key(desk, fresh(), **given)["api_key_id"]
    return key


def by_key(
    desk: Desk, by: UUID, secret: str, scopes: Sequence[str] = ("read",), **more: Any
) -> DictRow:
    (row,) = desk.call(
        "payrail_api",
        "create_api_key_by_key",
        by=by,
        key_hash=digest(secret),
        prefix=secret[:12],
        scopes=[*scopes],
        **more,
    )
    return row


def roll(desk: Desk, key: UUID, by: UUID | None = None, **more: Any) -> DictRow:
    secret = fresh()
    given = {"api_key_id": key, "key_hash": digest(secret), "prefix": secret[:12], **more}
    if by is None:
        (row,) = desk.call("payrail_operator", "roll_api_key", **given)
    else:
        (row,) = desk.call("payrail_api", "roll_api_key_by_key", by=by, **given)
    return row


def test_a_key_made_with_a_key_is_its_owners_and_as_limited(desk: Desk) -> None:
    by = manager(desk, reads_per_second=5, writes_per_second=6, expires_at="2099-01-01 UTC")
    secret = fresh()
    made = by_key(desk, by, secret, name="shop")
    assert (made["owner"], made["reads_per_second"], made["writes_per_second"]) == ("asha", 5, 6)
    (own,) = [row for row in desk.table("api_keys") if row["api_key_id"] == by]
    assert made["expires_at"] == own["expires_at"]
    (row,) = authenticate(desk, secret)
    assert row["scopes"] == ["read"]


def test_a_key_makes_none_that_may_more_or_lasts_longer(desk: Desk) -> None:
    by = manager(desk, expires_at="2099-01-01 UTC")
    with desk.refused("PR505"):
        by_key(desk, by, fresh(), ["read", "payouts:create"])
    with desk.refused("PR505"):
        by_key(desk, by, fresh(), expires_at="2099-01-02 UTC")
    with desk.refused("PR505"):
        by_key(desk, by, fresh(), expires_at="infinity")
    with desk.refused("PR108"):
        by_key(desk, by, fresh(), [])


def test_only_a_valid_key_of_the_merchant_with_the_scope_manages_keys(desk: Desk) -> None:
    other = desk.beside()
    revoked, expired = manager(desk), manager(desk)
    desk.call("payrail_operator", "revoke_api_key", api_key_id=revoked)
    desk.sql(
        "payrail_owner",
        "UPDATE merchant.api_keys SET expires_at = now() WHERE api_key_id = %s",
        [expired],
    )
    victim = manager(desk)
    for by in (revoked, expired, manager(other), new_key(desk, fresh())["api_key_id"], uuid4()):
        with desk.refused("PR505"):
            by_key(desk, by, fresh())
        with desk.refused("PR505"):
            roll(desk, victim, by)
        with desk.refused("PR505"):
            desk.call("payrail_api", "revoke_api_key_by_key", by=by, api_key_id=victim)


def test_a_key_is_rolled_once(desk: Desk) -> None:
    secret = fresh()
    old = new_key(desk, secret, name="shop", owner="asha", writes_per_second=9)
    new = roll(desk, old["api_key_id"])
    same = ("name", "owner", "scopes", "writes_per_second", "expires_at")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert len(authenticate(desk, secret)) == 1
    with desk.refused("PR212"):
        roll(desk, old["api_key_id"])
    roll(desk, new["api_key_id"])


def test_rolling_never_makes_a_key_last_longer(desk: Desk) -> None:
    secret = fresh()
    old = new_key(desk, secret, expires_at="2099-01-01 UTC")
    assert roll(desk, old["api_key_id"])["expires_at"] == old["expires_at"]
    soon = new_key(desk, fresh(), expires_at="tomorrow")
    roll(desk, soon["api_key_id"], overlap="30 days")
    (row,) = [row for row in desk.table("api_keys") if row["api_key_id"] == soon["api_key_id"]]
    assert row["expires_at"] == soon["expires_at"]


def test_a_key_that_has_ended_is_not_rolled(desk: Desk) -> None:
    key = api_key(desk)["api_key_id"]
    desk.call("payrail_operator", "revoke_api_key", api_key_id=key)
    with desk.refused("PR212"):
        roll(desk, key)


@pytest.mark.parametrize("overlap", ["-1 second", "30 days 1 second", None])
def test_an_overlap_is_bounded(desk: Desk, overlap: str | None) -> None:
    with desk.refused("PR108"):
        roll(desk, api_key(desk)["api_key_id"], overlap=overlap)


@pytest.mark.parametrize(
    "greater",
    [
        {"owner": "ravi"},
        {"owner": None},
        {"scopes": ["read", "payouts:create"]},
        {"expires_at": None},
    ],
)
def test_nobody_gets_to_know_the_secret_of_a_greater_key(
    desk: Desk, greater: dict[str, object]
) -> None:
    by = manager(desk, expires_at="2099-01-01 UTC")
    same = {"owner": "asha", "scopes": ["read"], "expires_at": "2098-01-01 UTC"}
    roll(desk, new_key(desk, fresh(), **same)["api_key_id"], by)
    key = new_key(desk, fresh(), **{**same, **greater})["api_key_id"]
    with desk.refused("PR505"):
        roll(desk, key, by)


def test_which_key_replaced_another_is_never_rewritten(desk: Desk) -> None:
    roll(desk, api_key(desk)["api_key_id"])
    with desk.refused("PR501"):
        desk.sql(
            "payrail_owner",
            "UPDATE merchant.api_keys SET replaced_by = NULL WHERE merchant_id = %(merchant_id)s",
        )


def test_limits_are_an_operators_to_set(desk: Desk) -> None:
    key = api_key(desk)["api_key_id"]
    (row,) = desk.call(
        *("payrail_operator", "limit_api_key"),
        api_key_id=key,
        reads_per_second=2,
        writes_per_second=3,
    )
    assert (row["reads_per_second"], row["writes_per_second"]) == (2, 3)
    for reads, writes in ((0, 1), (1, 0), (None, 1), (1, 1_000_001)):
        with desk.refused("PR108"):
            desk.call(
                *("payrail_operator", "limit_api_key"),
                api_key_id=key,
                reads_per_second=reads,
                writes_per_second=writes,
            )
    with desk.refused("PR404"):
        desk.call(
            *("payrail_operator", "limit_api_key"),
            api_key_id=uuid4(),
            reads_per_second=1,
            writes_per_second=1,
        )


# ------------------------------------------------------------------------------------- merchants


def test_a_merchant_is_created_once_per_id(desk: Desk) -> None:
    merchant_id = uuid4()
    create = "SELECT * FROM payrail.create_merchant(%s, %s)"
    (first,) = desk.sql("payrail_operator", create, ["Acme", merchant_id])
    assert (first["merchant_id"], first["name"]) == (merchant_id, "Acme")
    assert desk.sql("payrail_operator", create, ["Acme", merchant_id]) == [first]
    with desk.refused("PR206"):
        desk.sql("payrail_operator", create, ["Other", merchant_id])


def test_merchants_may_share_a_name(desk: Desk) -> None:
    create = "SELECT * FROM payrail.create_merchant('Acme')"
    ((one,), (two,)) = (desk.sql("payrail_operator", create, []) for _ in range(2))
    assert one["merchant_id"] != two["merchant_id"]
    assert UUID(str(one["merchant_id"])).version == 7


@pytest.mark.parametrize("name", ["", "n" * 201, "a\nb", None])
def test_a_malformed_name_is_refused(desk: Desk, name: str | None) -> None:
    with desk.refused("PR106"):
        desk.sql("payrail_operator", "SELECT * FROM payrail.create_merchant(%s)", [name])


def test_every_door_knows_only_merchants_that_exist(desk: Desk) -> None:
    nobody = {"merchant_id": uuid4()}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("payrail_api", "cancel_payout", {"payout_id": uuid4()}),
        ("payrail_worker", "claim_payouts", {}),
        ("payrail_operator", "settle_payout", {"payout_id": uuid4(), "utr": "U"}),
        (
            "payrail_operator",
            "fail_payout",
            {"payout_id": uuid4(), "failure_code": "account_closed"},
        ),
        ("payrail_operator", "return_payout", {"payout_id": uuid4(), "return_code": "R"}),
        ("payrail_operator", "credit_merchant", {"amount": 1, "currency": "INR", "reference": "r"}),
        ("payrail_operator", "add_bank_account", BANK_ACCOUNT),
        ("payrail_operator", "archive_bank_account", {"bank_account_id": ACCOUNT}),
        ("payrail_operator", "create_api_key", {"key_hash": digest(fresh()), "prefix": "p"}),
        ("payrail_operator", "revoke_api_key", {"api_key_id": uuid4()}),
        (
            *("payrail_operator", "roll_api_key"),
            {"api_key_id": uuid4(), "key_hash": digest(fresh()), "prefix": "p"},
        ),
        (
            *("payrail_operator", "limit_api_key"),
            {"api_key_id": uuid4(), "reads_per_second": 1, "writes_per_second": 1},
        ),
        (
            *("payrail_api", "revoke_api_key_by_key"),
            {"api_key_id": uuid4(), "by": uuid4()},
        ),
    ]
    for role, door, arguments in calls:
        with desk.refused("PR401"):
            desk.call(role, door, **nobody, **arguments)


# --------------------------------------------------------------------------------- bank accounts


def add(desk: Desk, **arguments: object) -> DictRow:
    (row,) = desk.call("payrail_operator", "add_bank_account", **{**BANK_ACCOUNT, **arguments})
    return row


def test_a_bank_account_is_masked(desk: Desk) -> None:
    row = add(desk)
    assert row["account_number_masked"] == "XXXXXX7890"
    assert "account_number" not in row
    assert row["archived_at"] is None
    assert desk.create("k", bank_account_id="salary.1").status == 201


def test_a_bank_account_is_added_once(desk: Desk) -> None:
    row = add(desk)
    with desk.unchanged():
        assert add(desk) == row


@pytest.mark.parametrize(
    "change",
    [{"holder_name": "Ravi"}, {"account_number": "1234567891"}, {"ifsc": "HDFC0ABC124"}],
)
def test_an_id_stands_for_one_bank_account(desk: Desk, change: dict[str, object]) -> None:
    add(desk)
    with desk.refused("PR204"):
        add(desk, **change)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"bank_account_id": ""}, "bank_account_id"),
        ({"bank_account_id": "a" * 65}, "bank_account_id"),
        ({"bank_account_id": "-a"}, "bank_account_id"),
        ({"bank_account_id": "a/b"}, "bank_account_id"),
        ({"bank_account_id": "a\n"}, "bank_account_id"),
        ({"bank_account_id": None}, "bank_account_id"),
        ({"holder_name": ""}, "holder_name"),
        ({"holder_name": "n" * 201}, "holder_name"),
        ({"holder_name": "a\tb"}, "holder_name"),
        ({"holder_name": None}, "holder_name"),
        ({"account_number": "1234"}, "account_number"),
        ({"account_number": "1" * 36}, "account_number"),
        ({"account_number": "12 34567"}, "account_number"),
        ({"account_number": None}, "account_number"),
        ({"ifsc": "hdfc0abc123"}, "ifsc"),
        ({"ifsc": "HDFC1ABC123"}, "ifsc"),
        ({"ifsc": "HDFC0ABC1234"}, "ifsc"),
        ({"ifsc": None}, "ifsc"),
        ({"rail": "swift"}, "rail"),
    ],
)
def test_a_malformed_bank_account_is_refused(
    desk: Desk, arguments: dict[str, object], field: str
) -> None:
    with desk.refused("PR107") as caught:
        add(desk, **arguments)
    assert f'"{field}"' in (caught.value.diag.message_detail or "")
    assert caught.value.diag.message_hint


def test_archiving_twice_changes_nothing(desk: Desk) -> None:
    (row,) = desk.call("payrail_operator", "archive_bank_account", bank_account_id=ACCOUNT)
    assert row["archived_at"] is not None
    with desk.unchanged():
        again = desk.call("payrail_operator", "archive_bank_account", bank_account_id=ACCOUNT)
    assert again == [row]


def test_an_unknown_bank_account_can_not_be_archived(desk: Desk) -> None:
    with desk.refused("PR403"):
        desk.call("payrail_operator", "archive_bank_account", bank_account_id="unknown")


def test_me_shows_the_balances(desk: Desk) -> None:
    desk.create("k", 6000)
    (row,) = desk.sql("payrail_api", "SELECT payrail.me_json(%(merchant_id)s)::json AS me")
    me = row["me"]
    assert (me["id"], me["name"]) == (str(desk.merchant_id), "Tiny Studio")
    assert (me["available_paise"], me["held_paise"]) == (4000, 6000)
    assert me["balances"] == [{"currency": "INR", "available": 4000, "held": 6000}]
    (nobody,) = desk.sql("payrail_api", "SELECT payrail.me_json(%s) AS me", [uuid4()])
    assert nobody["me"] is None


# --------------------------------------------------------------- a key that asks for many payouts

REQUEST = ("k", 1000, "INR", ACCOUNT, None, None)


@pytest.mark.parametrize("wait", [False, True])
def test_a_key_that_has_ended_pays_nothing_however_it_was_known_before(
    desk: Desk,
    wait: bool,  # noqa: FBT001
) -> None:
    stranger = desk.beside()
    revoked, expired = fresh(), fresh()
    key = new_key(desk, revoked, scopes=["payouts:create"])
    desk.call("payrail_operator", "revoke_api_key", api_key_id=key["api_key_id"])
    new_key(desk, expired, scopes=["payouts:create"])
    desk.sql(
        "admin",
        "UPDATE merchant.api_keys SET expires_at = now() WHERE key_hash = %s",
        [digest(expired)],
    )
    for secret in (revoked, expired, stranger.secret, "nobody's"):
        with desk.unchanged():
            (answer,) = desk.create_for_many(
                (desk, "asha", REQUEST), wait=wait, key_hash=digest(secret)
            )
        assert answer is not None
        assert (answer.status, answer.replayed) == (401, False)
        assert not answer.body
    (answer,) = desk.create_for_many(
        (desk, "asha", REQUEST), wait=wait, key_hash=digest(desk.secret)
    )
    assert answer is not None
    assert answer.status == 201
    # not even what was answered before is told
    (answer,) = desk.create_for_many((desk, "asha", REQUEST), wait=wait, key_hash=digest(revoked))
    assert answer is not None
    assert answer.status == 401
    assert not answer.body


def test_a_key_that_has_ended_delays_none_of_the_others(desk: Desk) -> None:
    other = desk.beside()
    secret = other.secret
    mine, theirs = desk.create_for_many(
        (desk, "asha", REQUEST), (other, "asha", REQUEST), key_hash=digest(secret)
    )
    assert mine is not None
    assert theirs is not None
    assert (mine.status, theirs.status) == (401, 201)


def test_a_refused_keys_request_is_not_done_wherever_an_array_begins(desk: Desk) -> None:
    asked = (
        "ROW(%s::uuid, 'o', 'o', %s, ROW(%s, 10, 'INR', %s, NULL, NULL, NULL, FALSE, NULL, NULL,"
        " NULL)::payrail.payout_request)::payrail.addressed_request"
    )
    refused = (desk.merchant_id, digest(fresh()), "refused", ACCOUNT)
    taken = (desk.merchant_id, digest(desk.secret), "taken", ACCOUNT)
    found = desk.sql(
        "payrail_api",
        "SELECT status FROM payrail.create_payouts_for_many(("
        f"'[0:1]=' || (ARRAY[{asked}, {asked}])::text)::payrail.addressed_request[])",
        [*refused, *taken],
    )
    assert [row["status"] for row in found] == [401, 201]
    keys = desk.sql("admin", "SELECT idempotency_key FROM payout.idempotency_keys", [])
    assert "refused" not in {row["idempotency_key"] for row in keys}
