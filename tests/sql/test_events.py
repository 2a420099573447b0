"""Events: one for everything that happens, in commit order without gaps, the same for ever."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.desk import OPENING, STATUSES, Desk

RENDER = (
    "SELECT payrail.event_json(e)::text AS event FROM payrail.events e"
    " WHERE e.merchant_id = %(merchant_id)s ORDER BY e.seq"
)


def texts(desk: Desk) -> list[str]:
    return [row["event"] for row in desk.sql("payrail_api", RENDER)]


def events(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts(desk)]


def test_money_that_arrives_is_an_event(desk: Desk) -> None:
    desk.credit(500, "bank-1")
    desk.credit(500, "bank-1")
    opening, credited = events(desk)
    assert (opening["type"], opening["number"]) == ("balance.credited", 1)
    assert (credited["type"], credited["number"], credited["sequence"]) == (
        "balance.credited",
        2,
        None,
    )
    assert credited["data"]["amount"] == 500
    assert credited["data"]["reference"] == "bank-1"


@pytest.mark.parametrize("status", STATUSES)
def test_an_event_shows_the_payout_as_it_was_whenever_it_is_read(desk: Desk, status: str) -> None:
    """What a client was shown at the time is what the event says later, byte for byte."""
    shown: list[str] = []
    make = (
        "SELECT payrail.payout_json(p)::text AS body FROM payrail.payouts p WHERE p.payout_id = %s"
    )

    def look(payout_id: object) -> None:
        (row,) = desk.sql("payrail_api", make, [payout_id])
        shown.append(row["body"])

    payout_id = desk.create("one", 1000, reference="r", metadata={"a": "b"}).payout_id
    look(payout_id)
    if status not in {"pending", "cancelled"}:
        desk.claim()
        look(payout_id)
    if status in {"settled", "returned"}:
        desk.settle(payout_id)
        look(payout_id)
    if status == "failed":
        desk.let_bank_be_final(payout_id)
        desk.fail(payout_id, reason="no such luck")
        look(payout_id)
    if status == "cancelled":
        desk.cancel(payout_id, reason="ordered twice")
        look(payout_id)
    if status == "returned":
        desk.give_back(payout_id)
        look(payout_id)
    told = [json.dumps(event["data"]) for event in events(desk)[1:]]
    assert told == [json.dumps(json.loads(body)) for body in shown]
    assert [event["sequence"] for event in events(desk)[1:]] == [*range(1, len(shown) + 1)]


def test_a_question_that_is_open_does_not_change_what_was_told(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    before = texts(desk)
    desk.postpone(payout_id, reason="silence")
    assert texts(desk) == before


def test_events_are_numbered_without_gaps_and_named_by_it(desk: Desk) -> None:
    for status in STATUSES:
        desk.payout(status, 100)
    desk.credit(1, "more")
    found = events(desk)
    assert [event["number"] for event in found] == [*range(1, len(found) + 1)]
    for event in found:
        assert event["id"] == f"evt_{desk.merchant_id.hex}_{event['number']}"


def test_every_type_that_happens_is_listed(desk: Desk) -> None:
    for status in STATUSES:
        desk.payout(status, 100)
    listed = {row["type"] for row in desk.sql("payrail_api", "SELECT * FROM payrail.event_types")}
    assert {event["type"] for event in events(desk)} <= listed
    query = "SELECT prosrc FROM pg_proc WHERE prosrc ~ 'webhook.add_event'"
    sources = "".join(row["prosrc"] for row in desk.sql("admin", query))
    assert set(re.findall(r"add_event\(\s*p_merchant_id,\s*'([a-z._]+)'", sources)) <= listed


def test_an_approval_that_turns_out_to_be_needed_changes_nothing_that_was_told(desk: Desk) -> None:
    desk.rule(daily_limit=500, over_limit="approve")
    payout_id = desk.create("late", 2 * OPENING, queue_if_low_balance=True).payout_id
    assert desk.see(payout_id)["status"] == "queued"
    told = texts(desk)
    desk.credit(5 * OPENING, "more")
    assert desk.see(payout_id)["status"] == "awaiting_approval"
    assert texts(desk)[: len(told)] == told
    told = texts(desk)
    desk.approve(payout_id)
    assert desk.see(payout_id)["status"] == "pending"
    assert texts(desk)[: len(told)] == told
    assert [event["type"] for event in events(desk) if event["sequence"]] == [
        "payout.queued",
        "payout.awaiting_approval",
        "payout.approved",
    ]
