"""What is removed in the course of time, and what never is."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from uuid import UUID

import pytest

from tests.desk import OPENING, Desk
from tests.sql.test_webhooks import claim, endpoint, say

KEYS = "payout.idempotency_keys"


@pytest.fixture(autouse=True)
def _nothing_old(desk: Desk) -> None:
    """What earlier tests have let age is gone."""
    while prune(desk):
        pass


def prune(desk: Desk, limit: int = 1000, role: str = "payrail_worker") -> int:
    (row,) = desk.sql(role, "SELECT payrail.prune(%s) AS gone", [limit])
    gone: int = row["gone"]
    return gone


def age(desk: Desk, table: str, column: str, by: str, where: str = "TRUE") -> None:
    """Let it be so much longer ago, which only a superuser can by switching the guard off."""
    desk.sql(
        "admin",
        f"ALTER TABLE {table} DISABLE TRIGGER refuse_rewriting;"
        f" UPDATE {table} SET {column} = {column} - INTERVAL '{by}'"
        f" WHERE merchant_id = '{desk.merchant_id}' AND {where};"
        f" ALTER TABLE {table} ENABLE ALWAYS TRIGGER refuse_rewriting",
        [],
    )


def keys(desk: Desk) -> set[str]:
    rows = desk.sql(
        "admin", f"SELECT idempotency_key FROM {KEYS} WHERE merchant_id = %(merchant_id)s"
    )
    return {row["idempotency_key"] for row in rows}


# ------------------------------------------------------------------------------------------- keys


def test_the_answer_of_a_rejected_request_goes_after_a_day(desk: Desk) -> None:
    for key in ("old", "young"):
        assert desk.create(key, OPENING + 1).code == "insufficient_funds"
    age(desk, KEYS, "created_at", "24 hours", "idempotency_key = 'old'")
    age(desk, KEYS, "created_at", "23:59", "idempotency_key = 'young'")
    assert prune(desk) == 1
    assert keys(desk) == {"young"}


def test_a_key_that_was_freed_is_a_new_one(desk: Desk) -> None:
    rejected = desk.create("again", OPENING + 1)
    age(desk, KEYS, "created_at", "25 hours")
    assert desk.create("again", OPENING + 1).body == rejected.body  # while it is there
    prune(desk)
    assert desk.create("again", OPENING).status == 201
    assert desk.balance() == (0, OPENING)


@pytest.mark.parametrize("status", ["settled", "failed", "cancelled", "rejected", "expired"])
def test_the_key_of_a_payout_is_never_freed(desk: Desk, status: str) -> None:
    desk.payout(status)
    before = keys(desk)
    age(desk, KEYS, "created_at", "20 years")
    assert prune(desk) == 0
    assert keys(desk) == before


@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
def test_nobody_frees_the_key_of_a_payout_or_one_too_soon(desk: Desk, role: str) -> None:
    """Whatever payrail.prune may become."""
    desk.create("accepted", 1)
    age(desk, KEYS, "created_at", "20 years")
    desk.create("rejected", OPENING + 1)
    age(desk, KEYS, "created_at", "23:59", "idempotency_key = 'rejected'")
    for key in ("accepted", "rejected"):
        with desk.refused("PR501"):
            desk.sql(
                role,
                f"DELETE FROM {KEYS} WHERE merchant_id = %s AND idempotency_key = %s",
                [desk.merchant_id, key],
            )


# --------------------------------------------------------------------------------------- webhooks


def told(desk: Desk, endpoint_id: UUID, status: int = 200) -> None:
    """Send an event, and what waits, to a webhook endpoint, which answers so."""
    desk.call("payrail_api", "send_test_event", endpoint_id=endpoint_id)
    say(desk, endpoint_id, claim(desk, endpoint_id), status)


def replay(desk: Desk, endpoint_id: UUID) -> None:
    """Send all events to it again."""
    desk.call("payrail_api", "replay_events", endpoint_id=endpoint_id, **{"from": 1, "to": 1000})


def age_webhooks(desk: Desk, by: str) -> None:
    age(desk, "webhook.attempts", "attempted_at", by)
    for column in ("first_attempt_at", "delivered_at"):
        age(desk, "webhook.deliveries", column, by)


def make_due(desk: Desk) -> None:
    """Let the time come to send what waits."""
    desk.sql(
        "payrail_owner",
        "UPDATE webhook.deliveries SET next_attempt_at = now()"
        " WHERE merchant_id = %(merchant_id)s AND status = 'pending'",
    )


def shown(desk: Desk) -> list[tuple[str, int]]:
    """Return the status of each delivery, and how many attempts are on record."""
    attempts = [row["seq"] for row in desk.table("webhook_attempts")]
    rows = sorted(desk.table("webhook_deliveries"), key=lambda row: int(row["seq"]))
    return [(row["status"], attempts.count(row["seq"])) for row in rows]


def test_what_was_delivered_is_shown_for_thirty_days(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    told(desk, endpoint_id)
    age_webhooks(desk, "30 days")
    told(desk, endpoint_id)
    age(
        desk,
        "webhook.attempts",
        "attempted_at",
        "29 days 23:59",
        "attempted_at > now() - INTERVAL '1 day'",
    )
    events = desk.table("events")
    assert prune(desk) == 2
    assert shown(desk) == [("delivered", 1)]
    assert desk.table("events") == events
    assert claim(desk, endpoint_id) == []


def test_what_is_still_to_be_sent_stays(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    told(desk, endpoint_id, 500)
    age_webhooks(desk, "31 days")
    assert prune(desk) == 1
    assert shown(desk) == [("pending", 0)]
    make_due(desk)
    say(desk, endpoint_id, claim(desk, endpoint_id), 200)
    assert shown(desk) == [("delivered", 1)]


def test_a_delivery_goes_with_its_last_attempt(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    told(desk, endpoint_id, 500)
    age(desk, "webhook.attempts", "attempted_at", "31 days")
    make_due(desk)
    say(desk, endpoint_id, claim(desk, endpoint_id), 200)
    age(desk, "webhook.deliveries", "first_attempt_at", "31 days")
    assert prune(desk) == 1
    assert shown(desk) == [("delivered", 1)]
    age_webhooks(desk, "30 days")
    assert prune(desk) == 2
    assert shown(desk) == []


def test_what_was_removed_can_be_sent_again(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    payout_id = desk.payout()
    (sent,) = claim(desk, endpoint_id)
    assert sent["payout_id"] == payout_id
    say(desk, endpoint_id, [sent], 200)
    age_webhooks(desk, "31 days")
    assert prune(desk) == 2
    replay(desk, endpoint_id)
    again = {one["event_id"]: one["payout_id"] for one in claim(desk, endpoint_id)}
    assert again[sent["event_id"]] == payout_id


@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
def test_nobody_removes_what_was_told_too_soon(desk: Desk, role: str) -> None:
    told(desk, endpoint(desk))
    age(desk, "webhook.attempts", "attempted_at", "29 days 23:59")
    age(desk, "webhook.deliveries", "first_attempt_at", "28 days 23:59")
    for table in ("webhook.attempts", "webhook.deliveries"):
        with desk.refused("PR501"):
            desk.sql(role, f"DELETE FROM {table} WHERE merchant_id = %(merchant_id)s")


# --------------------------------------------------------------------------------------- sessions


def test_a_session_that_is_over_goes(desk: Desk) -> None:
    hashes = [secrets.token_bytes(32) for _ in range(2)]
    for found in hashes:
        key_hash = hashlib.sha256(desk.secret.encode()).digest()
        desk.sql("payrail_api", "SELECT payrail.open_session(%s, %s)", [key_hash, found])
    desk.sql(
        "payrail_owner",
        "UPDATE merchant.sessions SET expires_at = now() WHERE session_hash = %s",
        [hashes[0]],
    )
    assert prune(desk) == 1
    left = desk.sql(
        "admin", "SELECT session_hash FROM merchant.sessions WHERE merchant_id = %(merchant_id)s"
    )
    assert [row["session_hash"] for row in left] == [hashes[1]]


def test_tries_and_sessions_of_the_console_go_when_they_count_no_more(desk: Desk) -> None:
    names = [f"asha-{secrets.token_hex(4)}" for _ in range(2)]
    for name in names:
        operator = "SELECT FROM payrail.add_operator(%s, %s, 'root')"
        password_hash = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaA"
        desk.sql("payrail_operator", operator, [name, password_hash])
        opened = "SELECT payrail.open_operator_session(%s, %s, %s)"
        desk.sql("payrail_operator", opened, [name, password_hash, secrets.token_bytes(32)])
        desk.sql("payrail_operator", "SELECT payrail.try_operator(%s)", [name])
    for table, column, by in (
        ("merchant.operator_sessions", "seen_at", "30 minutes"),
        ("merchant.operator_tries", "since", "10 minutes"),
    ):
        desk.sql(
            "payrail_owner",
            f"UPDATE {table} SET {column} = {column} - %s::interval WHERE name = %s",
            [by, names[0]],
        )
        assert prune(desk) == 1
        left = desk.sql("admin", f"SELECT name FROM {table} WHERE name = ANY (%s)", [names])
        assert [row["name"] for row in left] == [names[1]]


# -------------------------------------------------------------------------------------- the steps


def test_a_step_is_small_and_takes_the_oldest(desk: Desk) -> None:
    for number in range(5):
        desk.create(f"rejected-{number}", OPENING + 1)
    age(desk, KEYS, "created_at", "25 hours")
    assert prune(desk, 2) == 2
    assert keys(desk) == {"rejected-2", "rejected-3", "rejected-4"}
    assert [prune(desk, 2) for _ in range(3)] == [2, 1, 0]


def test_two_workers_do_not_wait_for_each_other_nor_for_a_merchant(desk: Desk) -> None:
    for number in range(4):
        desk.create(f"rejected-{number}", OPENING + 1)
    age(desk, KEYS, "created_at", "25 hours")
    other = desk.connection("payrail_operator")
    one, two = (desk.database.connect("payrail_worker") for _ in range(2))
    with other.transaction(), one, two:
        other.execute("SELECT payrail.cancel_payout(%s, %s)", [desk.merchant_id, desk.payout()])
        gone: list[Any] = []
        one.execute("SET lock_timeout = '1ms'")
        two.execute("SET lock_timeout = '1ms'")
        with one.transaction(), two.transaction():
            for connection in (one, two, two):
                gone += connection.execute("SELECT payrail.prune(2) AS gone").fetchall()
    assert [row["gone"] for row in gone] == [2, 2, 0]
    assert prune(desk) == 0


def test_a_delivery_that_is_being_replayed_is_left_alone(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    told(desk, endpoint_id)
    age_webhooks(desk, "31 days")
    with desk.connection("payrail_api").transaction():
        replay(desk, endpoint_id)
        assert prune(desk) == 0
    assert prune(desk) == 1
    assert {*shown(desk)} == {("pending", 0)}


@pytest.mark.parametrize("limit", [None, 0, -1, 10_001])
def test_a_step_has_bounds(desk: Desk, limit: int | None) -> None:
    with desk.refused("PR111"):
        desk.sql("payrail_worker", "SELECT payrail.prune(%s)", [limit])


@pytest.mark.parametrize("role", ["payrail_api", "payrail_operator", "payrail_auditor"])
def test_it_is_the_workers(desk: Desk, role: str) -> None:
    with desk.refused("42501"):
        prune(desk, role=role)
