"""Webhook endpoints over HTTP: made, changed, rolled, tested, replayed, and nobody else's."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.web import types
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_contract import fits
from tests.web.test_fuzz import FUZZ, JSON, TARGETS

SCOPES = ["read", "payouts:create", "webhooks:write"]


@pytest.fixture
def client(new_client: NewClient) -> Client:
    return new_client(scopes=SCOPES)


def url() -> str:
    return f"http://127.0.0.1:1/{uuid.uuid4()}"


def made(client: Client, **more: object) -> dict[str, Any]:
    answer = client.post("/webhook_endpoints/", {"url": url(), **more})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def deliver(worker: Connection, client: Client, endpoint_id: str, status: int) -> list[Any]:
    """Claim as a worker, and say that the endpoint answered with this status."""
    claimed = worker.execute(
        "SELECT * FROM payrail.claim_deliveries(%s, %s)", [client.merchant_id, endpoint_id]
    ).fetchall()
    if claimed:
        worker.execute(
            "SELECT payrail.record_deliveries(%s, %s, %s, ARRAY(SELECT ROW(s, now(), %s, %s,"
            " '31 ms', NULL, 'body', NULL)::payrail.delivery_result FROM unnest(%s::bigint[]) s))",
            [
                *(client.merchant_id, endpoint_id, claimed[0]["claim"], status < 300, status),
                [one["seq"] for one in claimed],
            ],
        )
    return claimed


def test_the_secret_is_shown_once(client: Client) -> None:
    address = url()
    answer = client.post("/webhook_endpoints/", {"url": address, "description": "web shop"})
    assert answer.status == 201
    new = fits(answer.body, types.NewWebhookEndpoint)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", new.secret)
    assert (new.url, new.event_types, new.status) == (address, ["*"], "enabled")
    assert answer.headers["location"] == f"/api/v1/webhook_endpoints/{new.id}/"
    one = client("GET", f"/{answer.headers['location']}")
    assert fits(one.body, types.WebhookEndpoint).description == "web shop"
    listed = client.get("/webhook_endpoints/")
    assert [item.id for item in fits(listed.body, types.Listing[types.WebhookEndpoint]).data] == [
        new.id
    ]
    assert new.secret not in (one.body + listed.body).decode()


def test_an_address_is_told_once(client: Client) -> None:
    endpoint = made(client)
    again = client.post("/webhook_endpoints/", {"url": endpoint["url"]})
    assert (again.status, again.code) == (409, "webhook_endpoint_exists")
    other = made(client)
    moved = client.post(f"/webhook_endpoints/{other['id']}/", {"url": endpoint["url"]})
    assert (moved.status, moved.code) == (409, "webhook_endpoint_exists")
    client.post(f"/webhook_endpoints/{endpoint['id']}/archive/", {})
    assert client.post("/webhook_endpoints/", {"url": endpoint["url"]}).status == 201


def test_there_are_at_most_sixteen(client: Client) -> None:
    for _ in range(16):
        made(client)
    answer = client.post("/webhook_endpoints/", {"url": url()})
    assert (answer.status, answer.code) == (409, "webhook_endpoints_full")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://shop.example/"),
        ("url", "https://user@shop.example/"),
        ("url", "https://user:password@shop.example/"),
        ("url", "https://shop.example/#part"),
        ("url", "https://shop.example\\@evil.example/"),
        ("url", "https://Shop.example/"),
        ("url", "https://shop.example:443x/"),
        ("url", "https://shop.example:65536/"),
        ("url", "https://[::1]:0/"),
        ("url", "https://[0]/"),
        ("url", "https://[127.0.0.1]/"),
        ("url", "https://[1:2]/"),
        ("url", "https:///hook"),
        ("url", "//shop.example/"),
        ("url", "https://shop.example/\n"),
        ("url", "https://shop.example/é"),
        ("url", "https://shop.example/" + "x" * 2048),
        ("url", 7),
        ("event_types", []),
        ("event_types", ["payout.unknown"]),
        ("event_types", ["payout"]),
        ("event_types", ["nothing.*"]),
        ("event_types", ["*"] * 51),
        ("event_types", "payout.*"),
        ("description", ""),
        ("description", "x" * 201),
        ("description", "a\nb"),
    ],
)
def test_what_an_endpoint_can_not_be(client: Client, field: str, value: object) -> None:
    answer = client.post("/webhook_endpoints/", {"url": url(), field: value})
    assert (answer.status, answer.code) == (422, "webhook_endpoint_invalid"), answer.body
    assert answer.json["errors"][0]["pointer"].startswith(f"/{field}")
    endpoint = made(client)
    changed = client.post(f"/webhook_endpoints/{endpoint['id']}/", {field: value})
    assert (changed.status, changed.code) == (422, "webhook_endpoint_invalid"), changed.body


@pytest.mark.parametrize(
    "address",
    ["https://shop.example:65535/?a[0]=:0", "https://[2606:4700::1111]:8443", "https://a?b:99999"],
)
def test_what_an_endpoint_can_be(client: Client, address: str) -> None:
    assert made(client, url=address)["url"] == address


def test_what_is_live_is_told_by_https(client: Client, owner: Connection) -> None:
    live = "UPDATE merchant.instance SET environment = %s"
    owner.execute(live, ["live"])
    try:
        answer = client.post("/webhook_endpoints/", {"url": url()})
        assert (answer.status, answer.code) == (422, "webhook_endpoint_invalid")
        assert client.post("/webhook_endpoints/", {"url": "https://shop.example/"}).status == 201
    finally:
        owner.execute(live, ["demo"])


def test_an_endpoint_is_changed_in_part(client: Client) -> None:
    endpoint = made(client, event_types=["payout.settled"], description="one")
    path = f"/webhook_endpoints/{endpoint['id']}/"
    changed = client.post(path, {"event_types": ["payout.*", "balance.credited"]}).json
    assert changed["event_types"] == ["payout.*", "balance.credited"]
    assert (changed["url"], changed["description"]) == (endpoint["url"], "one")
    disabled = client.post(path, {"enabled": False}).json
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "by_merchant")
    assert client("POST", f"{path}test/").status == 200  # it is sent once it is enabled
    assert client.post(path, {"description": "two"}).json["status"] == "disabled"
    assert client.post(path, {"enabled": True}).json["status"] == "enabled"
    assert client.post(path, {}).json["description"] == "two"


def test_a_secret_is_rolled(client: Client) -> None:
    endpoint = made(client)
    path = f"/webhook_endpoints/{endpoint['id']}/roll_secret/"
    rolled = client.post(path, {"overlap_seconds": 3600})
    assert rolled.status == 200
    new = fits(rolled.body, types.NewWebhookEndpoint)
    assert new.secret != endpoint["secret"]
    assert new.previous_secret_until
    assert client.post(path, {"overlap_seconds": 7 * 86400 + 1}).status == 422


def test_what_was_sent_can_be_looked_at_and_sent_again(client: Client, worker: Connection) -> None:
    endpoint = made(client, event_types=["payout.*"])
    path = f"/webhook_endpoints/{endpoint['id']}"
    payout = client.payout(100)
    (sent,) = deliver(worker, client, endpoint["id"], 500)
    page = fits(client.get(f"{path}/deliveries/").body, types.Listing[types.Delivery])
    (delivery,) = page.data
    assert (delivery.status, delivery.type) == ("pending", "payout.created")
    (attempt,) = delivery.attempts
    assert (attempt.response_status, attempt.milliseconds, attempt.body_head) == (500, 31, "body")
    one = client.get(f"{path}/deliveries/{delivery.number}/")
    assert fits(one.body, types.Delivery) == delivery
    assert client.get(f"{path}/deliveries/?status=delivered").json["data"] == []
    assert len(client.get(f"{path}/deliveries/?status=pending&status=failed").json["data"]) == 1

    assert client.post(f"{path}/replay/", {"first": delivery.number}).json == {"events": 1}
    (again,) = deliver(worker, client, endpoint["id"], 200)
    assert again["event_id"] == sent["event_id"]
    done = client.get(f"{path}/deliveries/{delivery.number}/").json
    assert (done["status"], len(done["attempts"])) == ("delivered", 2)
    assert client.get(f"/payouts/{payout['id']}/").json["status"] == "pending"
    everything = client.post(f"{path}/replay/", {"first": 1, "last": 10_000})
    assert everything.json == {"events": 1}


@pytest.mark.parametrize(
    "body",
    [{}, {"first": 0}, {"first": 2, "last": 1}, {"first": 1, "last": 10_001}, {"first": "1"}],
)
def test_a_replay_of_what_is_no_range(client: Client, body: dict[str, Any]) -> None:
    endpoint = made(client)
    answer = client.post(f"/webhook_endpoints/{endpoint['id']}/replay/", body)
    assert answer.status == 422


def test_a_test_event(client: Client, worker: Connection) -> None:
    endpoint = made(client, event_types=["payout.settled"])
    event = client.post(f"/webhook_endpoints/{endpoint['id']}/test/", {})
    assert fits(event.body, types.Event).type == "endpoint.test"
    (sent,) = deliver(worker, client, endpoint["id"], 200)
    assert sent["event_id"] == event.json["id"]


def test_what_is_archived_is_over(client: Client) -> None:
    endpoint = made(client)
    path = f"/webhook_endpoints/{endpoint['id']}"
    for _ in range(2):
        assert client("POST", f"{path}/archive/").json["status"] == "archived"
    assert client.get(f"{path}/").json["status"] == "archived"
    for change in ("", "/test", "/replay", "/roll_secret"):
        answer = client.post(f"{path}{change}/", {"first": 1} if change == "/replay" else {})
        assert (answer.status, answer.code) == (404, "webhook_endpoint_not_found"), change


def test_another_merchants_endpoints_are_not_there(client: Client, new_client: NewClient) -> None:
    endpoint = made(client)
    client.payout(100)
    other = new_client(scopes=SCOPES)
    assert other.get("/webhook_endpoints/").json["data"] == []
    for identifier in (endpoint["id"], str(uuid.UUID(int=7)), "1", "%00"):
        path = f"/webhook_endpoints/{identifier}"
        for rest in ("/", "/deliveries/"):
            assert other.get(f"{path}{rest}").code == "webhook_endpoint_not_found"
        assert other.get(f"{path}/deliveries/1/").status == 404
        for rest in ("/", "/archive/", "/test/", "/replay/", "/roll_secret/"):
            body = {"first": 1} if rest == "/replay/" else {}
            answer = other.post(f"{path}{rest}", body)
            assert (answer.status, answer.code) == (404, "webhook_endpoint_not_found"), rest
    assert client.get(f"/webhook_endpoints/{endpoint['id']}/").json["status"] == "enabled"


@pytest.mark.parametrize("number", ["0", "x", "-1", "1.0", "%00", "9" * 25, "99"])
def test_a_delivery_that_is_not_there(client: Client, number: str) -> None:
    endpoint = made(client)
    answer = client.get(f"/webhook_endpoints/{endpoint['id']}/deliveries/{number}/")
    assert (answer.status, answer.code) == (404, "delivery_not_found")


def test_webhooks_are_changed_by_keys_that_may(client: Client, new_client: NewClient) -> None:
    endpoint = made(client)
    reader = new_client(beside=client, scopes=["read", "payouts:create"])
    path = f"/webhook_endpoints/{endpoint['id']}"
    assert reader.get(f"{path}/").status == 200
    for rest in ("/webhook_endpoints/", f"{path}/", f"{path}/archive/", f"{path}/test/"):
        answer = reader.post(rest, {"url": url()} if rest == "/webhook_endpoints/" else {})
        assert (answer.status, answer.code) == (403, "forbidden"), rest
        assert "webhooks:write" in answer.json["detail"]


def test_metrics_of_webhooks(client: Client, worker: Connection) -> None:
    endpoint = made(client)
    client.payout(100)
    text = client.get("//metrics").body.decode()
    found = dict(re.findall(r"^(payrail_webhook\S*) (\S+)$", text, re.MULTILINE))
    assert float(found['payrail_webhook_endpoints{status="enabled"}']) >= 1
    assert float(found['payrail_webhook_waiting_events{status="enabled"}']) >= 1
    assert float(found['payrail_webhook_waiting_seconds{status="enabled"}']) > 0
    deliver(worker, client, endpoint["id"], 200)
    assert 'payrail_webhook_attempts{outcome="failed"}' in found
    assert "payrail_webhook_attempt_seconds" in found
    assert endpoint["url"] not in text


FIELDS = st.sampled_from(
    ["url", "event_types", "description", "enabled", "overlap_seconds", "first"]
)
BODIES = st.dictionaries(FIELDS, JSON, max_size=6).map(lambda body: json.dumps(body).encode())
TEXTS = st.fixed_dictionaries(
    {"url": TARGETS.map(lambda text: f"https://shop.example/{text}")},
    optional={
        "event_types": st.lists(st.sampled_from(["*", "payout.*", "payout.settled", "x.y"])),
        "description": st.text(max_size=210),
    },
).map(lambda body: json.dumps(body).encode())


@FUZZ
@given(body=BODIES | TEXTS | st.binary(max_size=200))
def test_any_body(client: Client, body: bytes) -> None:
    path = f"/webhook_endpoints/{uuid.UUID(int=7)}"
    for rest in ("/webhook_endpoints/", f"{path}/", f"{path}/replay/", f"{path}/roll_secret/"):
        answer = client.post(rest, body)
        assert answer.status < 500, (rest, body)
        if answer.status >= 400:
            assert answer.code
