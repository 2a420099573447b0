"""Every way of the state machine has a door, and the table of docs/architecture.md names it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest

from pyapp.settings import ROOT, Settings
from pyapp.web.app import _paths
from pyapp.web.route import PREFIX
from tests.web.client import Client
from tests.web.conftest import Connection, NewClient

ROW: Final = re.compile(r"\| ([a-z_, ]+) \| ([a-z_, ]+) \| [^|]+ \| (.*?) ?\| `(\w+)` \|")
# (from, to), over HTTP, in psql
WAYS: Final = [
    (edge, found[3].strip("`"), found[4])
    for found in ROW.finditer((ROOT / "docs" / "architecture.md").read_text())
    for edge in product(found[1].split(", "), found[2].split(", "))
]
SCOPES: Final = ["read", "payouts:create", "payouts:approve"]
OPENING: Final = 10_000
BODY: Final[dict[str, Any]] = {"amount_paise": 1000, "bank_account_id": "demo-bank-account"}


def test_the_table_has_every_way_once_and_every_door_is_there(owner: Connection) -> None:
    edges = owner.execute("SELECT from_status, to_status FROM payout.transitions").fetchall()
    assert sorted(edge for edge, _, _ in WAYS) == sorted(
        (edge["from_status"], edge["to_status"]) for edge in edges
    )
    doors = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'payrail'::regnamespace"
    ).fetchall()
    assert {door for _, _, door in WAYS} <= {row["proname"] for row in doors}
    served = {
        f"{method} {path}".replace(PREFIX, "")
        for path, handlers in _paths(Settings(console=True)).items()
        for method in handlers
    }
    assert {route.removesuffix("/") for _, route, _ in WAYS if route} <= served


@pytest.mark.parametrize(
    ("edge", "route"), [(edge, route) for edge, route, _ in WAYS if route.startswith("POST /pay")]
)
def test_a_merchant_goes_its_ways_over_http(
    new_client: NewClient, operator: Connection, edge: tuple[str, str], route: str
) -> None:
    before, after = edge
    asha = new_client(balance=OPENING, scopes=SCOPES, owner="asha")
    bala = new_client(beside=asha, scopes=SCOPES, owner="bala")
    first = after if before == "new" else before
    if first == "awaiting_approval":
        operator.execute(
            "SELECT payrail.set_rules(p_merchant_id => %s, p_approve_from => 1)",
            [asha.merchant_id],
        )
    body = dict(BODY)
    if "scheduled" in {first, after}:
        body["scheduled_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    if first == "queued":
        body |= {"amount_paise": OPENING + 1, "queue_if_low_balance": True}
    payout = asha.payout(**{"amount": body.pop("amount_paise"), **body})
    assert payout["status"] == first
    if before == "new":
        return
    path = route.removeprefix("POST ").format(payout_id=payout["id"])
    answer = bala.post(path, {"reason": "as it should be"})
    assert (answer.status, answer.json["status"]) == (200, after)
    assert history(asha, payout["id"]) == [first, after]


def history(client: Client, payout_id: str) -> list[str]:
    return [change["to"] for change in client.get(f"/payouts/{payout_id}/").json["history"]]


def test_money_that_is_given_back_lets_the_queue_go_on_over_http(new_client: NewClient) -> None:
    client = new_client(balance=OPENING)
    held = client.payout(OPENING)
    queued = client.payout(1, queue_if_low_balance=True)
    assert queued["status"] == "queued"
    client.post(f"/payouts/{held['id']}/cancel/", {})
    assert history(client, queued["id"]) == ["queued", "pending"]
