"""What Prometheus scrapes is true, and tells no secret."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import timedelta

import psycopg
from psycopg.rows import DictRow

from pyapp.settings import ROOT
from tests.web.client import Client
from tests.web.conftest import NewClient, wait_until

Connection = psycopg.Connection[DictRow]


def scrape(client: Client) -> dict[str, float]:
    answer = client.get("//metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def requests(client: Client, method: str, route: str, status: int) -> float:
    labels = f'method="{method}",route="{route}",status="{status}"'
    return scrape(client).get(f"payrail_http_request_seconds_count{{{labels}}}", 0)


def test_requests_are_counted_by_route_and_status(client: Client) -> None:
    route = "/api/v1/payouts/{payout_id}"
    before = requests(client, "GET", route, 404)
    for number in range(3):
        client.get(f"/payouts/01990000-0000-7000-8000-00000000000{number}/")
    # a request is counted when its answer has been sent
    wait_until(lambda: requests(client, "GET", route, 404) >= before + 3)


def test_nothing_that_is_typed_becomes_a_label(client: Client) -> None:
    client.get("//nowhere/at-all?secret=hidden")
    client("BREW", "/me/")
    wait_until(lambda: requests(client, "GET", "none", 404) > 0)
    text = client.get("//metrics").body.decode()
    for word in ("nowhere", "hidden", "BREW", str(client.merchant_id)):
        assert word not in text


def test_open_payouts_are_counted(
    new_client: NewClient, claim: Callable[[Client], None], worker: Connection
) -> None:
    client = new_client()
    before = scrape(client)
    made = [client.payout()["id"] for _ in range(3)]
    assert scrape(client)['payrail_open_payouts{status="pending"}'] >= 3
    assert scrape(client)["payrail_overdue_seconds"] > 0
    claim(client)
    worker.execute(
        "SELECT payrail.record_answers(%s, ARRAY(SELECT ROW(p, 'unknown', NULL, NULL, NULL, NULL,"
        " 1)::payrail.bank_answer FROM unnest(%s::uuid[]) p))",
        [client.merchant_id, made],
    )
    after = scrape(client)
    assert after['payrail_open_payouts{status="processing"}'] >= 3
    assert after["payrail_unanswered_payouts"] >= before["payrail_unanswered_payouts"] + 3


def test_calls_to_banks_are_those_of_the_last_whole_minute(
    client: Client, worker: Connection, owner: Connection
) -> None:
    bank = f"b{secrets.token_hex(4)}"
    label = f'rail="{bank}"'
    worker.execute("SELECT payrail.declare_rail(%s, TRUE, TRUE, 1, '1 hour')", [bank])
    worker.execute("SELECT payrail.report_calls(%s, 'submit', 5, 5, 40, '1 second')", [bank])
    found = scrape(client)
    assert found[f"payrail_rail_breaker_open{{{label}}}"] == 1
    assert found[f'payrail_rail_calls{{action="submit",{label}}}'] == 0
    owner.execute(
        "UPDATE rail.calls SET minute = date_trunc('minute', now()) - INTERVAL '1 minute'"
        " WHERE rail = %s",
        [bank],
    )
    found = scrape(client)
    assert found[f'payrail_rail_calls{{action="submit",{label}}}'] == 5
    assert found[f'payrail_rail_failed_calls{{action="submit",{label}}}'] == 5
    assert found[f'payrail_rail_instructions{{action="submit",{label}}}'] == 40
    assert found[f'payrail_rail_seconds{{action="submit",{label}}}'] == 1
    assert found[f'payrail_rail_calls{{action="enquire",{label}}}'] == 0
    worker.execute("SELECT payrail.report_calls(%s, 'submit', 1, 0, 1, '1 second')", [bank])
    assert scrape(client)[f"payrail_rail_breaker_open{{{label}}}"] == 0


def test_open_cases_are_counted_by_kind(client: Client, owner: Connection) -> None:
    name = 'payrail_open_cases{kind="unknown_to_us"}'
    before = scrape(client)[name]
    owner.execute(
        "SELECT rail.open_case('unknown_to_us', 'sandbox', %s, NULL, NULL, 5, 'INR',"
        " 'What is it?')",
        [secrets.token_hex(16)],
    )
    assert scrape(client)[name] == before + 1
    owner.execute(
        "UPDATE rail.cases SET closed_at = now(), closed_by = 'x', resolution = 'y'"
        " WHERE detail = 'What is it?'"
    )
    assert scrape(client)[name] <= before


def test_what_breaks_an_invariant_is_counted_when_the_audit_is_run(
    client: Client, owner: Connection, operator: Connection
) -> None:
    name = 'payrail_audit_violations{invariant="overdue_work"}'
    operator.execute("SELECT payrail.run_audit('before')")
    before = scrape(client)
    payout_id = client.payout()["id"]
    late = "UPDATE payout.payouts SET next_action_at = now() - %s WHERE payout_id = %s"
    owner.execute(late, [timedelta(hours=1), payout_id])
    try:
        assert scrape(client)[name] == before[name]  # a scrape audits nothing
        operator.execute("SELECT payrail.run_audit('after')")
        found = scrape(client)
        assert found[name] == before[name] + 1
        times = [one["payrail_audit_timestamp_seconds"] for one in (before, found)]
        assert 0 < times[0] < times[1]
    finally:
        owner.execute(late, [timedelta(0), payout_id])


def test_it_is_what_prometheus_reads(client: Client) -> None:
    names = set(re.findall(r"^# TYPE (\w+)", client.get("//metrics").body.decode(), re.MULTILINE))
    assert {
        "payrail_http_request_seconds",
        "payrail_live_pages",
        "payrail_open_payouts",
        "payrail_open_batches",
        "payrail_batch_lines_waiting",
        "payrail_unanswered_payouts",
        "payrail_overdue_seconds",
        "payrail_rail_calls",
        "payrail_rail_failed_calls",
        "payrail_rail_instructions",
        "payrail_rail_seconds",
        "payrail_gathered_requests",
        "payrail_rail_breaker_open",
        "payrail_open_cases",
        "payrail_audit_violations",
        "payrail_audit_timestamp_seconds",
    } <= names


def test_grafanas_dashboard_asks_for_what_there_is(client: Client) -> None:
    asked = set(re.findall(r"payrail_\w+", (ROOT / "docs" / "grafana.json").read_text()))
    text = client.get("//metrics").body.decode()
    assert asked
    assert {re.sub("_(count|sum|bucket)$", "", name) for name in asked} <= set(
        re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    )
