"""Events over HTTP: a list to follow from a cursor, and a stream that goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import IO, Any

import pytest

from pyapp.web import types
from tests.web.client import Client
from tests.web.conftest import NewClient
from tests.web.test_contract import fits


def follow(client: Client, cursor: str | None = None, limit: int = 2) -> tuple[list[Any], str]:
    """Read events from a cursor to the end; return them, and where to go on."""
    found: list[Any] = []
    while True:
        rest = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"/events/?limit={limit}{rest}").json
        found += page["data"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return found, cursor


def test_events_are_followed_from_a_cursor(client: Client) -> None:
    first = client.payout(100)
    found, cursor = follow(client)
    assert [event["type"] for event in found] == ["balance.credited", "payout.created"]
    assert [event["number"] for event in found] == [1, 2]
    assert found[1]["data"] == first
    assert follow(client, cursor) == ([], cursor)
    client("POST", f"/payouts/{first['id']}/cancel/")
    (cancelled,), after = follow(client, cursor)
    assert (cancelled["type"], cancelled["sequence"]) == ("payout.cancelled", 2)
    assert after != cursor


def test_a_list_of_events_is_as_described(client: Client) -> None:
    client.payout(100)
    page = client.get("/events/?limit=1")
    assert fits(page.body, types.Events).has_more
    assert 'rel="next"' in page.headers["link"]
    assert fits(client.get("/events/").body, types.Events).data[1].data["status"] == "pending"


def test_nobody_sees_anothers_events(client: Client, new_client: NewClient) -> None:
    client.payout(100)
    assert [event["number"] for event in follow(new_client())[0]] == [1]


@contextmanager
def stream(client: Client, path: str = "/events/stream", **headers: str) -> Iterator[IO[bytes]]:
    connection = HTTPConnection(client.host, client.port, timeout=60)
    given = {"Authorization": f"Api-Key {client.key}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", f"/api/v1{path}", headers=given)
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    yield response
    connection.close()


def events(lines: IO[bytes], number: int) -> list[tuple[int, Any]]:
    """Read so many events from a stream."""
    found: list[tuple[int, Any]] = []
    last = 0
    while len(found) < number:
        name, _, value = lines.readline().decode().rstrip("\n").partition(": ")
        if name == "id":
            last = int(value)
        if name == "data":
            found.append((last, json.loads(value)))
    return found


def test_a_stream_tells_what_happens_from_now_on(client: Client) -> None:
    client.payout(100)
    with stream(client) as lines:
        made = client.payout(200)
        ((number, event),) = events(lines, 1)
        assert (number, event["number"], event["type"]) == (3, 3, "payout.created")
        assert event["data"] == made
        client("POST", f"/payouts/{made['id']}/cancel/")
        ((number, event),) = events(lines, 1)
        assert (number, event["type"]) == (4, "payout.cancelled")


def test_a_stream_goes_on_after_what_was_seen_last(client: Client) -> None:
    for _ in range(3):
        client.payout(100)
    with stream(client, last_event_id="1") as lines:
        assert [number for number, _ in events(lines, 3)] == [2, 3, 4]
    cursor = client.get("/events/?limit=2").json["next_cursor"]
    with stream(client, f"/events/stream/?cursor={cursor}") as lines:
        assert [number for number, _ in events(lines, 2)] == [3, 4]
        client.payout(100)
        assert [number for number, _ in events(lines, 1)] == [5]


def test_a_stream_ends_with_its_key(client: Client, new_client: NewClient) -> None:
    """What happens once it is revoked is not told to it any more."""
    manager = new_client(beside=client, scopes=["keys:write", "payouts:create"])
    key = client.get("/api_keys/").json["data"][-1]
    assert client.key
    assert client.key.startswith(key["prefix"])
    with stream(client) as lines:
        told = client.payout(100)
        ((_, event),) = events(lines, 1)
        assert event["data"] == told
        assert manager("POST", f"/api_keys/{key['id']}/revoke/").status == 200
        manager.payout(200)
        assert b"data" not in lines.read()


def test_many_events_at_once_are_all_told(client: Client) -> None:
    with stream(client) as lines:
        for _ in range(150):
            client.payout(1)
        assert [number for number, _ in events(lines, 150)] == [*range(2, 152)]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30, ""])
def test_a_number_that_is_none(client: Client, last: str) -> None:
    answer = client("GET", "/events/stream", headers=[("Last-Event-ID", last)])
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_a_stream_needs_a_key(client: Client, new_client: NewClient) -> None:
    stranger = Client(client.host, client.port)
    assert stranger.get("/events/stream").code == "unauthorized"
    assert new_client(scopes=["payouts:create"]).get("/events/stream").code == "forbidden"
    stranger.close()
