"""A key is a promise: one request, one payout, one answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from tests.web.client import Answer, Client
from tests.web.conftest import NewClient

BODY = {"amount_paise": 6000, "bank_account_id": "demo-bank-account"}


def test_the_same_request_gets_the_same_bytes(client: Client) -> None:
    first = client.create(BODY, "k")
    replay = client.create(BODY, "k")
    assert (first.status, replay.status) == (201, 201)
    assert replay.body == first.body
    assert replay.headers["idempotent-replayed"] == "true"
    assert replay.headers["location"] == first.headers["location"]
    assert replay.headers["content-type"] == first.headers["content-type"]
    assert client.balance() == (994_000, 6000)


def test_the_first_answer_stays_when_the_payout_moves_on(client: Client) -> None:
    first = client.create(BODY, "k")
    client("POST", f"/payouts/{first.json['id']}/cancel/")
    assert client.create(BODY, "k").body == first.body


def test_the_order_and_spelling_of_the_body_do_not_matter(client: Client) -> None:
    first = client.create('{"amount_paise":6000,"bank_account_id":"demo-bank-account"}', "k")
    same = client.create(
        '{ "bank_account_id": "demo\\u002dbank-account", "reference": null, "amount_paise": 6000}',
        "k",
    )
    assert same.body == first.body


@pytest.mark.parametrize("other", ['"k"', " k "])
def test_quoted_and_bare_keys_are_one(client: Client, other: str) -> None:
    assert client.create(BODY, "k").body == client.create(BODY, other).body


def test_a_key_in_other_letters_is_another_key(client: Client) -> None:
    first, second = client.create(BODY, "key-a"), client.create(BODY, "Key-A")
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]
    assert client.balance() == (988_000, 12_000)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_paise": 6001},
        {"bank_account_id": "another"},
        {"reference": "r"},
        {"metadata": {"a": "b"}},
    ],
)
def test_another_request_under_the_key(client: Client, change: dict[str, object]) -> None:
    first = client.create(BODY, "k")
    answer = client.create({**BODY, **change}, "k")
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")
    assert "idempotent-replayed" not in answer.headers
    assert client.create(BODY, "k").body == first.body
    assert client.balance() == (994_000, 6000)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount_paise": 1_000_001}, "insufficient_funds"),
        ({"bank_account_id": "nobody"}, "bank_account_not_found"),
    ],
)
def test_a_rejection_is_an_answer_too(
    client: Client, credit: Callable[[Client, int], None], change: dict[str, object], code: str
) -> None:
    body = {**BODY, **change}
    first = client.create(body, "k")
    assert (first.status, first.code) == (422, code)
    assert "idempotent-replayed" not in first.headers
    credit(client, 1_000_000)
    replay = client.create(body, "k")
    assert (replay.status, replay.body) == (422, first.body)
    assert replay.headers["idempotent-replayed"] == "true"
    assert replay.headers["content-type"] == "application/problem+json"
    assert client.balance() == (2_000_000, 0)


def test_invalid_requests_do_not_use_up_the_key(client: Client) -> None:
    assert client.create({**BODY, "amount_paise": 0}, "k").status == 422
    assert client.create("{", "k").status == 400
    assert client.create({**BODY, "currency": "INR"}, "k").status == 422
    headers = [("Idempotency-Key", "k"), ("Content-Type", "text/plain")]
    assert client("POST", "/payouts/", "x", headers).status == 415
    assert client.create("x" * 70_000, "k").status == 413
    stranger = replace(client, key="nobody", _connection=None)
    assert stranger.create(BODY, "k").status == 401
    stranger.close()
    assert client.create(BODY, "k").status == 201


def test_keys_belong_to_a_merchant(client: Client, new_client: NewClient) -> None:
    other = new_client()
    mine, theirs = client.create(BODY, "k"), other.create({**BODY, "amount_paise": 1}, "k")
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.json["id"] != theirs.json["id"]


def test_a_key_is_required(client: Client) -> None:
    raw = json.dumps(BODY)
    missing = client("POST", "/payouts/", raw, [("Content-Type", "application/json")])
    assert (missing.status, missing.code) == (400, "idempotency_key_missing")
    two = client.post("/payouts/", BODY, [("Idempotency-Key", "a"), ("idempotency-key", "b")])
    assert (two.status, two.code) == (400, "idempotency_key_invalid")
    for key in ("", "a b", "x" * 256, '"open', "caf\xe9"):
        answer = client.create(BODY, key or " ")
        assert (answer.status, answer.code) == (400, "idempotency_key_invalid")
    assert client.balance() == (1_000_000, 0)


def test_racing_retries_make_one_payout(client: Client) -> None:
    answers = race(client, 16, lambda racer, _: racer.create(BODY, "k"))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert client.balance() == (994_000, 6000)


def test_racing_payouts_never_overdraw(client: Client) -> None:
    answers = race(
        client, 16, lambda racer, n: racer.create({**BODY, "amount_paise": 100_000}, str(n))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [201] * 10 + [422] * 6
    assert client.balance() == (0, 1_000_000)


def test_two_payouts_of_sixty_from_a_hundred(new_client: NewClient) -> None:
    tiny = new_client(balance=10_000)
    answers = race(tiny, 2, lambda racer, n: racer.create(BODY, str(n)))
    assert sorted(answer.status for answer in answers) == [201, 422]
    assert tiny.balance() == (4000, 6000)


def test_a_key_in_flight(client: Client, locked: Callable[[Client], psycopg.Connection]) -> None:
    with locked(client):
        answer = client.create(BODY, "k")
        assert (answer.status, answer.code) == (409, "idempotency_key_in_flight")
        assert answer.json["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
    assert client.create(BODY, "k").status == 201


def race(client: Client, racers: int, run: Callable[[Client, int], Answer]) -> list[Answer]:
    """Let many clients do something at the same moment."""
    barrier = threading.Barrier(racers)

    def one(number: int) -> Answer:
        racer = replace(client, _connection=None)
        barrier.wait()
        try:
            return run(racer, number)
        finally:
            racer.close()

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(one, range(racers)))
