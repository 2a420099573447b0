"""The merchant's pages of webhooks and events, without JavaScript."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.web.conftest import Connection, NewClient
from tests.web.test_dashboard import EVIL, signed_in
from tests.web.test_webhooks import SCOPES, deliver, url
from tests.web.visitor import Page, Visitor


@pytest.fixture
def visitor(new_client: NewClient) -> Visitor:
    return signed_in(new_client(scopes=SCOPES))


def add(visitor: Visitor, **fields: str) -> Page:
    """Send the form that adds an endpoint."""
    given = {"url": url(), "event_types": "*", "description": "", **fields}
    return visitor.post("/webhooks", {"token": visitor.token(), **given})


def added(visitor: Visitor, **fields: str) -> dict[str, Any]:
    page = add(visitor, **fields)
    assert page.status == 200, page.text
    found: dict[str, Any] = visitor.client.get("/webhook_endpoints/").json["data"][0]
    return found


def test_the_secret_is_shown_once(visitor: Visitor) -> None:
    address = url()
    page = add(visitor, url=address, description="web shop")
    assert page.status == 200
    secret = re.search(r"whsec_[A-Za-z0-9+/]{43}=", page.html)
    assert secret
    (endpoint,) = visitor.client.get("/webhook_endpoints/").json["data"]
    assert (endpoint["url"], endpoint["description"]) == (address, "web shop")
    again = visitor.get(f"/webhooks/{endpoint['id']}")
    assert address in again.text
    assert secret[0] not in again.html
    assert address in visitor.get("/webhooks").text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("url", "ftp://shop.example/", "https address"),
        ("event_types", "payout.unknown", "Choose types"),
        ("description", "x" * 201, "200 characters"),
    ],
)
def test_a_field_that_is_wrong_says_so(
    visitor: Visitor, field: str, value: str, words: str
) -> None:
    page = add(visitor, **{field: value})
    assert page.status == 422
    assert words in page.text
    assert f"{field}-error" in page.values("id")
    assert visitor.client.get("/webhook_endpoints/").json["data"] == []


def test_an_address_that_is_there_says_so(visitor: Visitor) -> None:
    endpoint = added(visitor)
    page = add(visitor, url=endpoint["url"])
    assert (page.status, "You have an endpoint" in page.text) == (422, True)


def test_an_endpoint_is_changed_turned_off_and_archived(visitor: Visitor) -> None:
    endpoint = added(visitor)
    path = f"/webhooks/{endpoint['id']}"
    token = visitor.token()

    def now() -> dict[str, Any]:
        found: dict[str, Any] = visitor.client.get(f"/webhook_endpoints/{endpoint['id']}/").json
        return found

    address = url()
    changed = {"token": token, "url": address, "event_types": "payout.* balance.credited"}
    assert visitor.post(path, changed).location == path
    assert (now()["url"], now()["event_types"]) == (address, ["payout.*", "balance.credited"])
    assert visitor.post(path, {"token": token, "turn": "off"}).location == path
    assert now()["status"] == "disabled"
    assert "You have turned it off" in visitor.get(path).text
    visitor.post(path, {"token": token, "turn": "on"})
    assert now()["status"] == "enabled"
    wrong = visitor.post(path, {"token": token, "url": "x", "event_types": "*"})
    assert (wrong.status, "https address" in wrong.text) == (422, True)
    rolled = visitor.post(f"{path}/roll", {"token": token, "hours": "24"})
    assert "whsec_" in rolled.text
    assert now()["previous_secret_until"]
    assert visitor.post(f"{path}/roll", {"token": token, "hours": "7"}).status == 422
    assert visitor.post(f"{path}/archive", {"token": token}).location == "/webhooks"
    assert address not in visitor.get("/webhooks").text
    assert visitor.get(path).actions == {"/sign-out"}


def test_what_was_sent_is_shown_and_sent_again(visitor: Visitor, worker: Connection) -> None:
    endpoint = added(visitor)
    path, token = f"/webhooks/{endpoint['id']}", visitor.token()
    assert visitor.post(f"{path}/test", {"token": token}).location == f"{path}#log"
    visitor.client.payout(100, reference=EVIL)
    assert len(deliver(worker, visitor.client, endpoint["id"], 500)) == 2
    page = visitor.get(path)
    assert {"endpoint.test", "payout.created"} <= set(page.text.split())
    number = visitor.client.get(f"/webhook_endpoints/{endpoint['id']}/deliveries/").json["data"][0][
        "number"
    ]
    one = visitor.get(f"{path}/deliveries/{number}")
    assert EVIL not in one.html
    assert "500" in one.text
    assert visitor.get(f"{path}?status=failed").text.count("payout.created") == 0
    again = visitor.post(f"{path}/replay", {"token": token, "first": str(number)})
    assert again.location == f"{path}#log"
    (sent,) = [
        each
        for each in deliver(worker, visitor.client, endpoint["id"], 200)
        if each["seq"] == number
    ]
    assert sent["event_id"].endswith(f"_{number}")
    for first, last in (("x", ""), ("2", "1"), ("1", "20000")):
        refused = visitor.post(f"{path}/replay", {"token": token, "first": first, "last": last})
        assert (refused.status, "10,000 at most" in refused.text) == (422, True)
    assert visitor.get(f"{path}/deliveries/99").status == 404


def test_events_are_listed_newest_first(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.client.payout(100)
    page = visitor.get("/events?limit=2")
    assert page.text.index("payout.created") < page.text.index("Older events")
    (older,) = [link for link in page.values("href") if link.startswith("/events?")]
    assert "balance.credited" in visitor.get(older).text


def test_who_may_not_change_sees_no_form_and_sends_none(
    visitor: Visitor, new_client: NewClient
) -> None:
    endpoint = added(visitor)
    reader = signed_in(new_client(beside=visitor.client, scopes=["read"]))
    path = f"/webhooks/{endpoint['id']}"
    assert reader.get("/webhooks").actions == {"/sign-out"}
    assert reader.get(path).actions == {"/sign-out"}
    token = reader.token()
    for rest in ("", "/roll", "/archive", "/test", "/replay"):
        assert reader.post(f"{path}{rest}", {"token": token}).status == 403
    assert reader.post("/webhooks", {"token": token, "url": url()}).status == 403


def test_a_form_needs_its_token(visitor: Visitor) -> None:
    endpoint = added(visitor)
    for rest in ("", "/roll", "/archive", "/test", "/replay"):
        assert visitor.post(f"/webhooks/{endpoint['id']}{rest}", {}).status == 403


def test_anothers_endpoint_is_not_there(visitor: Visitor, new_client: NewClient) -> None:
    endpoint = added(visitor)
    other = signed_in(new_client(scopes=SCOPES))
    token = other.token()
    for identifier in (endpoint["id"], str(uuid.UUID(int=7)), "x"):
        path = f"/webhooks/{identifier}"
        assert other.get(path).status == 404
        assert other.get(f"{path}/deliveries/1").status == 404
        for rest in ("", "/archive", "/test"):
            assert other.post(f"{path}{rest}", {"token": token}).status == 404
        given = {"token": token, "first": "1"}
        assert other.post(f"{path}/replay", given).status == 404
        assert other.post(f"{path}/roll", {"token": token, "hours": "1"}).status == 404
