"""Lists: every row once, newest first, and only what was asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.web.client import Client


def test_pages_hold_every_payout_once(client: Client) -> None:
    made = [client.payout(n + 1)["id"] for n in range(7)]
    for limit in (1, 2, 3, 7, 100):
        assert [item["id"] for item in walk(client, "/payouts/", limit)] == made[::-1]


def test_pages_hold_every_entry_once(client: Client) -> None:
    for n in range(5):
        client.payout(n + 1)
    for limit in (1, 4, 6, 7):
        assert [entry["seq"] for entry in walk(client, "/ledger/", limit)] == [6, 5, 4, 3, 2, 1]


def test_a_new_payout_does_not_shift_the_pages(client: Client) -> None:
    made = [client.payout(n + 1)["id"] for n in range(4)]
    first = client.get("/payouts/?limit=2").json
    client.payout()
    second = client.get(f"/payouts/?limit=2&cursor={first['next_cursor']}").json
    assert [item["id"] for item in first["data"] + second["data"]] == made[::-1]


def test_the_link_leads_to_the_next_page(client: Client) -> None:
    for _ in range(3):
        client.payout(reference="a&b=c")
    query = urlencode({"limit": 2, "status": "pending", "reference": "a&b=c"})
    first = client.get(f"/payouts/?{query}")
    link = re.fullmatch(r'<(/api/v1.*)>; rel="next"', first.headers["link"])
    assert link
    last = client("GET", f"/{link[1]}")
    assert len(last.json["data"]) == 1
    assert last.json["has_more"] is False
    assert last.json["next_cursor"] is None
    assert "link" not in last.headers


def test_an_empty_list(client: Client) -> None:
    assert client.get("/payouts/").json == {"data": [], "has_more": False, "next_cursor": None}


def test_filters(client: Client) -> None:
    small = client.payout(100, reference="r-1")
    large = client.payout(5000, reference="r-2")
    client("POST", f"/payouts/{small['id']}/cancel/")
    cases: list[tuple[dict[str, Any] | list[tuple[str, Any]], list[dict[str, Any]]]] = [
        ({"status": "cancelled"}, [small]),
        ([("status", "cancelled"), ("status", "pending")], [large, small]),
        ({"status": "settled"}, []),
        ({"reference": "r-2"}, [large]),
        ({"reference": "r"}, []),
        ({"amount_min": 101}, [large]),
        ({"amount_min": 100, "amount_max": 100}, [small]),
        ({"currency": "INR"}, [large, small]),
        ({"currency": "USD"}, []),
        ({"utr": "none"}, []),
        ({"bank_account_id": "demo-bank-account"}, [large, small]),
        ({"bank_account_id": "another"}, []),
        ({"created_after": small["created_at"]}, [large, small]),
        ({"created_before": small["created_at"]}, []),
        ({"created_after": large["created_at"], "amount_min": 1}, [large]),
        ({"created_after": datetime.now(UTC) + timedelta(hours=1)}, []),
        ({"created_before": "2026-01-01T00:00:00+05:30"}, []),
    ]
    for query, expected in cases:
        found = client.get(f"/payouts/?{urlencode(query)}").json["data"]
        assert [item["id"] for item in found] == [item["id"] for item in expected], query


@pytest.mark.parametrize("path", ["/payouts/", "/ledger/"])
@pytest.mark.parametrize("cursor", ["x", "0", "%00", "MTI", "eA", "null", "'; --"])
def test_bad_cursors(client: Client, path: str, cursor: str) -> None:
    if path == "/ledger/" and cursor == "MTI":
        return  # that is entry 12
    answer = client.get(f"{path}?cursor={cursor.replace(' ', '%20')}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["parameter"] == "cursor"


def test_a_cursor_of_another_list(client: Client) -> None:
    client.payout()
    client.payout()
    cursor = client.get("/payouts/?limit=1").json["next_cursor"]
    assert client.get(f"/ledger/?cursor={cursor}").code == "invalid_request"
    cursor = client.get("/ledger/?limit=1").json["next_cursor"]
    assert client.get(f"/payouts/?cursor={cursor}").code == "invalid_request"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "offset=1"]
)
@pytest.mark.parametrize("path", ["/payouts/", "/ledger/", "/bank_accounts/"])
def test_bad_parameters(client: Client, path: str, query: str) -> None:
    answer = client.get(f"{path}?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["parameter"] == query.partition("=")[0]


def walk(client: Client, path: str, limit: int) -> list[dict[str, Any]]:
    """Follow a list to its end."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.get(f"{path}?limit={limit}{cursor}").json
        found += page["data"]
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"
