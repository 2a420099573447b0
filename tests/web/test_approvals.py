"""What awaits approval is seen by those who may approve, and decided where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.web.client import Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_dashboard import signed_in
from tests.web.visitor import Page, Visitor

BOTH = ["read", "payouts:create", "payouts:approve"]


@dataclass
class Team:
    """Three people of one merchant: others approve what each asks for, two of them from ₹100 on."""

    asha: Visitor
    bala: Visitor
    clerk: Visitor  # may not approve


@pytest.fixture
def team(new_client: NewClient, operator: Connection) -> Team:
    first = new_client(scopes=BOTH, owner="asha")
    operator.execute(
        "SELECT payrail.set_rules(%s, p_approve_from => 1, p_second_approval_from => 10000)",
        [first.merchant_id],
    )
    return Team(
        signed_in(first),
        signed_in(new_client(scopes=BOTH, owner="bala", beside=first)),
        signed_in(new_client(scopes=["read", "payouts:create"], owner="chitra", beside=first)),
    )


def decide(visitor: Visitor, what: str, payout_id: str, **fields: str) -> Page:
    form = {"token": visitor.token(), "from": "approvals", **fields}
    return visitor.post(f"/payouts/{payout_id}/{what}", form)


def ask(client: Client, amount: int = 6000) -> str:
    return str(client.payout(amount)["id"])


def test_what_awaits_approval_is_decided_in_the_list_of_it(team: Team) -> None:
    good, bad = (ask(team.asha.client) for _ in range(2))
    page = team.bala.get("/approvals")
    assert "Approvals 2 " in page.text
    assert page.actions >= {f"/payouts/{good}/approve", f"/payouts/{bad}/reject"}
    assert "₹60.00" in page.text
    assert "asha" in page.text
    assert decide(team.bala, "approve", good).location == "/approvals"
    assert decide(team.bala, "reject", bad, reason="not ours").location == "/approvals"
    page = team.bala.get("/approvals")
    assert "Nothing awaits approval." in page.text
    assert "Approvals 2" not in page.text
    assert "Pending" in team.asha.get(f"/payouts/{good}").text
    assert "Rejected by bala: not ours" in " ".join(team.asha.get(f"/payouts/{bad}").text.split())


def test_a_fee_is_shown_beside_the_amount_where_there_is_one(
    team: Team, operator: Connection
) -> None:
    operator.execute("SELECT payrail.set_fee('sandbox', 'IMPS', 'INR', 7000, 590)")
    costs, free = ask(team.asha.client, 7000), ask(team.asha.client, 6999)
    operator.execute("SELECT payrail.remove_fee('sandbox', 'IMPS', 'INR', 7000)")
    for path in ("/approvals", "/payouts", "/"):
        assert team.bala.get(path).text.count("+ ₹5.90 fee") == 1
    assert "Fee ₹5.90" in " ".join(team.bala.get(f"/payouts/{costs}").text.split())
    assert "Fee" not in team.bala.get(f"/payouts/{free}").text


def test_who_asked_is_told_that_somebody_else_approves_and_has_no_form(team: Team) -> None:
    payout_id = ask(team.asha.client)
    page = team.asha.get("/approvals")
    assert "You asked for it, so somebody else has to approve it." in page.text
    assert page.actions == {"/sign-out"}
    assert decide(team.asha, "approve", payout_id).status == 403
    assert "Approvals 1 " in team.bala.get("/").text


def test_of_two_who_have_to_approve_the_first_is_told_to_wait_for_the_second(team: Team) -> None:
    payout_id = ask(team.clerk.client, 10_000)
    assert "It takes 2 people." in team.asha.get("/approvals").text
    decide(team.asha, "approve", payout_id)
    page = team.asha.get("/approvals")
    assert "You have approved it; somebody else has to, as well." in page.text
    assert page.actions == {"/sign-out"}
    assert "asha approved it; it takes 2." in team.bala.get("/approvals").text
    decide(team.bala, "approve", payout_id)
    assert "Nothing awaits approval." in team.bala.get("/approvals").text


def test_who_may_not_approve_has_no_such_page(team: Team) -> None:
    ask(team.clerk.client)
    page = team.clerk.get("/")
    assert "/approvals" not in page.values("href")
    assert team.clerk.get("/approvals").status == 403
