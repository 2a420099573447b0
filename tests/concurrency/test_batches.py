"""A batch, whoever else asks for the same or does the same: each line once, each key one payout."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from tests.crowd import Connection, Crowd
from tests.desk import ACCOUNT, OPENING, Answer, Desk, ask

API, WORKER = "payrail_api", "payrail_worker"
LINES = 6


def line(key: str | None = None, amount: int = 100) -> tuple[Any, ...]:
    return (key, amount, "INR", ACCOUNT, None, None)


def batch_id(answer: Answer) -> UUID:
    return UUID(answer.json["id"])


def advance(desk: Desk, batch: UUID, limit: int, connection: Connection) -> Any:
    query = "SELECT * FROM payrail.advance_batch(%s, %s, %s)"
    return connection.execute(query, [desk.merchant_id, batch, limit]).fetchone()


def create(desk: Desk, key: str, amount: int, connection: Connection) -> Answer:
    return ask(connection, desk.merchant_id, key, amount)


def test_workers_that_advance_one_batch_make_each_line_once(crowd: Crowd) -> None:
    for desk in crowd.desks():
        batch = batch_id(desk.upload(*[line() for _ in range(LINES)]))
        crowd.all_of(WORKER, [partial(advance, desk, batch, 2)] * 8)
        lines = desk.lines(batch)
        assert [one["outcome"] for one in lines] == ["accepted"] * LINES
        assert len({one["payout_id"] for one in lines}) == LINES
        assert desk.balance() == (OPENING - 100 * LINES, 100 * LINES)
    assert crowd.violations() == {}


def test_a_batch_and_single_requests_with_its_keys_are_one_payout_each(crowd: Crowd) -> None:
    for desk in crowd.desks():
        keys = [f"k{n}" for n in range(LINES)]
        batch = batch_id(desk.upload(*[line(key) for key in keys]))
        singles = [(API, partial(create, desk, key, 100)) for key in keys]
        steps = [(WORKER, partial(advance, desk, batch, 2)) for _ in range(3)]
        results = crowd.race(*singles, *steps)
        answers = [one for one in results if isinstance(one, Answer)]
        assert [one.status for one in answers] == [201] * LINES
        lines = desk.lines(batch)
        assert [one["payout_id"] for one in lines] == [one.payout_id for one in answers]
        assert len(desk.table("payouts")) == LINES
        assert desk.balance() == (OPENING - 100 * LINES, 100 * LINES)
    assert crowd.violations() == {}


def test_all_or_nothing_beside_others_who_spend(crowd: Crowd) -> None:
    for desk in crowd.desks():
        batch = batch_id(desk.upload(*[line(None, 1500)] * LINES, mode="all_or_nothing"))
        singles = [(API, partial(create, desk, f"k{n}", 600)) for n in range(4)]
        crowd.race(*singles, (WORKER, partial(advance, desk, batch, 1)))
        made = [one["outcome"] for one in desk.lines(batch)].count("accepted")
        assert made in {0, LINES}
        assert len(desk.table("payouts")) == made + (4 if made == 0 else 1)
    assert crowd.violations() == {}


def test_a_batch_is_cancelled_or_made(crowd: Crowd) -> None:
    for desk in crowd.desks():
        batch = batch_id(desk.upload(*[line() for _ in range(LINES)]))

        def cancel(connection: Connection, desk: Desk = desk, batch: UUID = batch) -> Any:
            query = "SELECT * FROM payrail.cancel_batch(%s, %s)"
            return connection.execute(query, [desk.merchant_id, batch]).fetchone()

        cancelled, advanced = crowd.race((API, cancel), (WORKER, partial(advance, desk, batch, 10)))
        if isinstance(cancelled, psycopg.Error):
            assert cancelled.diag.sqlstate == "PR221"
            assert not isinstance(advanced, psycopg.Error)
            assert advanced["accepted"] == LINES
        else:
            assert desk.table("payouts") == []
    assert crowd.violations() == {}


def test_one_key_is_one_batch(crowd: Crowd) -> None:
    def upload(desk: Desk, connection: Connection) -> Any:
        return connection.execute(
            "SELECT (payrail.create_batch(%s, 'key', ARRAY[ROW('k', 1, 'INR', %s, NULL, NULL, NULL,"
            " NULL, NULL, NULL, NULL)::payrail.payout_request])).body ->> 'id' AS id",
            [desk.merchant_id, ACCOUNT],
        ).fetchone()

    desk = crowd.desk()
    answers = crowd.all_of(API, [partial(upload, desk)] * 16)
    assert len({row["id"] for row in answers if isinstance(row, dict)}) == 1
    assert len(desk.table("batches")) == 1
    desk.advance(desk.table("batches")[0]["batch_id"])
