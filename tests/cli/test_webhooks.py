from __future__ import annotations

import uuid

from tests.cli.conftest import Payrail
from tests.conftest import Merchant


def made(payrail: Payrail, merchant: Merchant, *more: str) -> tuple[str, str]:
    """Add an endpoint; return its id and its address."""
    url = f"https://shop.example/{uuid.uuid4()}"
    found = payrail("webhook", "create", merchant.merchant_id, url, *more, "--json").json
    assert found["secret"].startswith("whsec_")
    return found["id"], url


def test_events_are_listed_from_a_number_on(payrail: Payrail, merchant: Merchant) -> None:
    payrail("payout", "create", merchant.merchant_id, "100", "demo-bank-account")
    found = payrail("event", "list", merchant.merchant_id, "--json").json
    assert [event["type"] for event in found] == ["balance.credited", "payout.created"]
    later = payrail("event", "list", merchant.merchant_id, "--after", 1, "--json").json
    assert later == found[1:]
    assert payrail("event", "list", merchant.merchant_id, "--after", 2).lines == ["(none)"]


def test_an_endpoint_is_made_and_its_secret_shown_once(
    payrail: Payrail, merchant: Merchant
) -> None:
    endpoint, url = made(payrail, merchant, "--event", "payout.*", "--description", "web shop")
    (listed,) = payrail("webhook", "list", merchant.merchant_id, "--json").json
    assert (listed["id"], listed["url"], listed["event_types"]) == (endpoint, url, ["payout.*"])
    assert "secret" not in listed
    again = payrail("webhook", "create", merchant.merchant_id, url).error
    assert again.endswith("(webhook_endpoint_exists)")
    wrong = payrail("webhook", "create", merchant.merchant_id, "ftp://shop.example/").error
    assert wrong.endswith("(webhook_endpoint_invalid)")
    assert "https address" in wrong


def test_an_endpoint_is_changed_rolled_and_archived(payrail: Payrail, merchant: Merchant) -> None:
    endpoint, _ = made(payrail, merchant)
    named = (merchant.merchant_id, endpoint)
    off = payrail("webhook", "update", *named, "--turn", "disable", "--json").json
    assert (off["status"], off["disabled_reason"]) == ("disabled", "by_merchant")
    on = payrail("webhook", "update", *named, "--turn", "enable", "--event", "payout.failed")
    assert "status enabled" in on.lines
    assert "event types payout.failed" in on.lines
    rolled = payrail("webhook", "roll", *named, "--overlap", 60, "--json").json
    assert rolled["previous_secret_until"]
    assert payrail("webhook", "archive", *named, "--json").json["status"] == "archived"
    gone = payrail("webhook", "test", *named).error
    assert gone.endswith("(webhook_endpoint_not_found)")


def test_what_was_sent_is_listed_and_sent_again(payrail: Payrail, merchant: Merchant) -> None:
    endpoint, _ = made(payrail, merchant)
    named = (merchant.merchant_id, endpoint)
    event = payrail("webhook", "test", *named, "--json").json
    assert event["type"] == "endpoint.test"
    assert payrail("webhook", "deliveries", *named).lines == ["(none)"]
    assert payrail("webhook", "replay", *named, 1, "--json").json == {"events": 1}
    (sent,) = payrail("webhook", "deliveries", *named, "--json").json
    assert (sent["number"], sent["status"]) == (1, "pending")
    assert payrail("webhook", "deliveries", *named, "--status", "failed").lines == ["(none)"]
    assert "balance.credited" in payrail("webhook", "deliveries", *named).out
