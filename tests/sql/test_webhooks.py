"""What the doors of webhooks promise; the worker that calls them is in tests/jobs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.desk import Desk

SECRETS = ("whsec_" + "A" * 43 + "=", "whsec_" + "B" * 43 + "=")


def endpoint(desk: Desk, *types: str) -> UUID:
    (row,) = desk.call(
        *("payrail_api", "create_webhook_endpoint"),
        url="https://shop.example/",
        secret=SECRETS[0],
        event_types=list(types or ("*",)),
    )
    found: UUID = row["endpoint_id"]
    return found


def claim(desk: Desk, endpoint_id: UUID, **more: object) -> list[dict[str, Any]]:
    return desk.call("payrail_worker", "claim_deliveries", endpoint_id=endpoint_id, **more)


def say(desk: Desk, endpoint_id: UUID, claimed: list[dict[str, Any]], status: int) -> None:
    """Record that the endpoint answered all that was claimed with this status."""
    desk.sql(
        "payrail_worker",
        "SELECT payrail.record_deliveries(%s, %s, %s, ARRAY(SELECT ROW(s, now(), %s, %s, '1 ms',"
        " NULL, NULL, NULL)::payrail.delivery_result FROM unnest(%s::bigint[]) s))",
        [
            *(desk.merchant_id, endpoint_id, claimed[0]["claim"], status < 300, status),
            [one["seq"] for one in claimed],
        ],
    )


def state(desk: Desk) -> dict[str, Any]:
    (found,) = desk.table("webhook_endpoints")
    return found


def test_what_is_handed_out_is_nobody_elses_until_the_lease_is_over(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    desk.payout()
    assert len(claim(desk, endpoint_id)) == 1
    assert claim(desk, endpoint_id) == []


def test_a_claim_is_recorded_once(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    desk.payout()
    claimed = claim(desk, endpoint_id, lease="0 seconds")
    again = claim(desk, endpoint_id, lease="0 seconds")
    say(desk, endpoint_id, claimed, 500)
    assert desk.table("webhook_attempts") == []
    for _ in range(2):
        say(desk, endpoint_id, again, 200)
    assert len(desk.table("webhook_attempts")) == 1


def test_an_endpoint_gets_its_types_and_no_others(desk: Desk) -> None:
    endpoint_id = endpoint(desk, "payout.cancelled", "balance.*")
    desk.payout("cancelled")
    desk.credit(1, "more")
    types = [row["body"]["type"] for row in claim(desk, endpoint_id)]
    assert types == ["payout.cancelled", "balance.credited"]


def test_a_test_is_of_one_endpoint(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    (other,) = desk.call(
        *("payrail_api", "create_webhook_endpoint"),
        url="https://shop.example/other",
        secret=SECRETS[1],
    )
    desk.call("payrail_api", "send_test_event", endpoint_id=other["endpoint_id"])
    assert claim(desk, endpoint_id) == []
    assert len(claim(desk, other["endpoint_id"])) == 1


def test_five_failures_leave_one_attempt_a_minute(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    for _ in range(7):
        desk.payout(amount=10)
    say(desk, endpoint_id, claim(desk, endpoint_id, limit=5), 500)
    assert state(desk)["status"] == "failing"
    assert claim(desk, endpoint_id) == []
    desk.sql("payrail_owner", "UPDATE webhook.endpoints SET not_before = NULL")
    (trial,) = claim(desk, endpoint_id)
    say(desk, endpoint_id, [trial], 200)
    assert state(desk)["status"] == "enabled"
    assert len(claim(desk, endpoint_id)) == 6


def test_410_turns_it_off_and_an_event_says_so(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    desk.payout()
    say(desk, endpoint_id, claim(desk, endpoint_id), 410)
    assert (state(desk)["status"], state(desk)["disabled_reason"]) == ("disabled", "gone")
    assert max(desk.table("events"), key=lambda event: int(event["seq"]))["type"] == (
        "endpoint.disabled"
    )
    assert claim(desk, endpoint_id) == []


def test_a_secret_that_was_rolled_signs_until_the_overlap_is_over(desk: Desk) -> None:
    endpoint_id = endpoint(desk)
    for overlap, signing in (("1 hour", 2), ("0 hours", 1)):
        secret = SECRETS[1] if signing == 2 else SECRETS[0]
        desk.call(
            *("payrail_api", "roll_webhook_secret"),
            endpoint_id=endpoint_id,
            secret=secret,
            overlap=overlap,
        )
        desk.payout(amount=10)
        claimed = claim(desk, endpoint_id)
        assert claimed[0]["secrets"][0] == secret
        assert len(claimed[0]["secrets"]) == signing
        say(desk, endpoint_id, claimed, 200)
