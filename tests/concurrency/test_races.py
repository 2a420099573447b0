"""Whoever comes at the same moment: nothing twice, no overdraft, no deadlock.

Real threads on real connections. A deadlock, a duplicate key or a broken CHECK is an error of
PostgreSQL's and fails the test; only what a door answers is an answer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import DictRow

from tests.crowd import MOST, ROUNDS, SIZE, Connection, Crowd
from tests.desk import ACCOUNT, OPENING, Answer, Desk, ask
from tests.sql.test_rails import CLOCK

API, WORKER, OPERATOR = "payrail_api", "payrail_worker", "payrail_operator"


def create(
    merchant_id: UUID, key: str, amount: int, connection: Connection, **fields: object
) -> Answer:
    return ask(connection, merchant_id, key, amount, **fields)


def run(query: str, *parameters: object) -> Callable[[Connection], list[DictRow]]:
    """Return a call that runs one statement and returns its rows."""
    return lambda connection: connection.execute(query.encode(), parameters).fetchall()


def states(results: list[Any]) -> Counter[str]:
    """Count the SQLSTATEs among the results; an answer that is no error counts as ok."""
    return Counter(str(r.diag.sqlstate) if isinstance(r, psycopg.Error) else "ok" for r in results)


def test_one_key_is_one_payout(crowd: Crowd) -> None:
    desk = crowd.desk(OPENING * ROUNDS)
    for number in range(ROUNDS):
        key = f"k{number}"
        answers = crowd.all_of(API, [partial(create, desk.merchant_id, key, 6000)] * SIZE)
        assert len({a.body for a in answers if isinstance(a, Answer)}) == 1
        assert [a.status for a in answers if isinstance(a, Answer)] == [201] * SIZE
        assert sum(not a.replayed for a in answers if isinstance(a, Answer)) == 1
    assert len(desk.table("payouts")) == ROUNDS
    assert desk.balance() == (4000 * ROUNDS, 6000 * ROUNDS)


def test_the_balance_is_spent_exactly_once(crowd: Crowd) -> None:
    dice = random.Random(2)
    for desk in crowd.desks():
        amount = dice.randrange(OPENING // SIZE + 1, OPENING + 2000)
        calls = [partial(create, desk.merchant_id, f"k{n}", amount) for n in range(SIZE)]
        answers = [a for a in crowd.all_of(API, calls) if isinstance(a, Answer)]
        fit = OPENING // amount
        assert Counter(a.status for a in answers) == Counter({201: fit, 422: SIZE - fit})
        assert {a.code for a in answers if a.status == 422} == {"insufficient_funds"}
        assert desk.balance() == (OPENING - fit * amount, fit * amount)


def test_two_payouts_of_sixty_from_a_hundred(crowd: Crowd) -> None:
    for desk in crowd.desks():
        calls = [partial(create, desk.merchant_id, key, 6000) for key in "ab"]
        answers = [a for a in crowd.all_of(API, calls) if isinstance(a, Answer)]
        assert sorted(a.status for a in answers) == [201, 422]
        assert desk.balance() == (4000, 6000)


def test_a_payout_is_cancelled_or_claimed(crowd: Crowd) -> None:
    desk = crowd.desk(100 * ROUNDS)
    for number in range(ROUNDS):
        payout_id = desk.create(f"k{number}", 100).payout_id
        cancel = run("SELECT * FROM payrail.cancel_payout(%s, %s)", desk.merchant_id, payout_id)
        claim = run("SELECT * FROM payrail.claim_payouts(%s)", desk.merchant_id)
        cancelled, claimed = crowd.race((API, cancel), (WORKER, claim))
        if isinstance(cancelled, psycopg.Error):
            assert cancelled.diag.sqlstate == "PR201"
            assert desk.see(payout_id)["status"] == "processing"
            assert isinstance(claimed, list)
            assert [row["payout_id"] for row in claimed] == [payout_id]
            desk.settle(payout_id)
        else:
            assert desk.see(payout_id)["status"] == "cancelled"
            assert claimed == []


def test_a_payout_is_settled_or_failed(crowd: Crowd) -> None:
    desk = crowd.desk(100 * ROUNDS)
    for _ in range(ROUNDS):
        payout_id = desk.payout("processing", 100)
        settle = run(
            "SELECT * FROM payrail.record_answers(%s,"
            " ARRAY[ROW(%s, 'paid', NULL, 'UTR1', NULL, NULL, 1)::payrail.bank_answer])",
            desk.merchant_id,
            payout_id,
        )
        fail = run(
            "SELECT * FROM payrail.record_answers(%s, ARRAY[ROW(%s, 'refused', 'account_closed',"
            " NULL, NULL, NULL, 1)::payrail.bank_answer])",
            desk.merchant_id,
            payout_id,
        )
        before = desk.balance()
        results = crowd.all_of(WORKER, [settle, fail] * 4)
        effects = Counter(row["effect"] for r in results if isinstance(r, list) for row in r)
        assert effects == {"applied": 1, "repeated": 3, "contradicted": 4}
        settled = desk.see(payout_id)["status"] == "settled"
        assert desk.balance() == (before[0] + (0 if settled else 100), before[1] - 100)


def test_a_payout_comes_back_once(crowd: Crowd) -> None:
    desk = crowd.desk()
    for _ in range(ROUNDS):
        payout_id = desk.payout("settled", 100)
        back = run(
            "SELECT * FROM payrail.return_payout(%s, %s, 'R01')", desk.merchant_id, payout_id
        )
        assert states(crowd.all_of(OPERATOR, [back] * 8)) == {"ok": 8}
        assert desk.balance() == (OPENING, 0)


def test_a_payout_has_one_claimer(crowd: Crowd) -> None:
    for desk in crowd.desks():
        made = {
            a.payout_id
            for a in desk.create_batch(
                *[(f"k{n}", 1, "INR", ACCOUNT, None, None) for n in range(16)]
            )
        }
        claim = run("SELECT * FROM payrail.claim_payouts(%s, 5)", desk.merchant_id)
        results = crowd.all_of(WORKER, [claim] * 6)
        claimed = [row["payout_id"] for r in results if isinstance(r, list) for row in r]
        assert len(claimed) == 16
        assert {*claimed} == made


def test_money_that_arrives_is_spent_once(crowd: Crowd) -> None:
    for desk in crowd.desks(0):
        credit = [
            run(
                "SELECT * FROM payrail.credit_merchant(%s, 300, 'INR', %s)",
                desk.merchant_id,
                f"r{n}",
            )
            for n in range(8)
        ]
        spend = [partial(create, desk.merchant_id, f"k{n}", 200) for n in range(16)]
        results = crowd.race(*[(OPERATOR, c) for c in credit], *[(API, s) for s in spend])
        accepted = sum(isinstance(r, Answer) and r.status == 201 for r in results)
        assert desk.balance() == (2400 - 200 * accepted, 200 * accepted)


def test_a_credit_counts_once(crowd: Crowd) -> None:
    desk = crowd.desk(0)
    for number in range(ROUNDS):
        credit = run(
            "SELECT * FROM payrail.credit_merchant(%s, 300, 'INR', %s)",
            desk.merchant_id,
            f"r{number}",
        )
        results = crowd.all_of(OPERATOR, [credit] * SIZE)
        assert len({row["seq"] for r in results if isinstance(r, list) for row in r}) == 1
    assert desk.balance() == (300 * ROUNDS, 0)


def test_what_is_made_once_is_made_once(crowd: Crowd) -> None:
    """The same merchant, bank account or key, from everywhere at once."""
    desk = crowd.desk()
    for number in range(ROUNDS):
        merchant = run("SELECT * FROM payrail.create_merchant('Acme', %s)", uuid4())
        assert states(crowd.all_of(OPERATOR, [merchant] * 8)) == {"ok": 8}
        account = run(
            "SELECT * FROM payrail.add_bank_account(%s, %s, 'Asha', '12345678', 'HDFC0000001')",
            desk.merchant_id,
            f"account-{number}",
        )
        assert states(crowd.all_of(OPERATOR, [account] * 8)) == {"ok": 8}
        key = run(
            "SELECT * FROM payrail.create_api_key(%s, sha256(%s::text::bytea), 'pr')",
            desk.merchant_id,
            f"{desk.merchant_id}-{number}",
        )
        assert states(crowd.all_of(OPERATOR, [key] * 8)) == {"ok": 1, "PR207": 7}


def test_a_key_that_many_roll_is_rolled_once(crowd: Crowd) -> None:
    """Nobody is given a secret that another one has already replaced."""
    desk = crowd.desk()
    (old,) = desk.table("api_keys")
    for number in range(ROUNDS):
        calls = [
            run(
                "SELECT * FROM payrail.roll_api_key(%s, %s, sha256(%s::text::bytea), 'pr')",
                *(desk.merchant_id, old["api_key_id"], f"{desk.merchant_id}-{number}-{n}"),
            )
            for n in range(8)
        ]
        results = crowd.all_of(OPERATOR, calls)
        assert states(results) == {"ok": 1, "PR212": 7}
        ((new,),) = (rows for rows in results if isinstance(rows, list))
        replaced = {row["api_key_id"]: row["replaced_by"] for row in desk.table("api_keys")}
        assert replaced[old["api_key_id"]] == new["api_key_id"]
        old = new


def test_a_daily_limit_is_used_up_exactly(crowd: Crowd) -> None:
    for desk in crowd.desks(10 * OPENING):
        desk.rule(daily_limit=1000)
        calls = [partial(create, desk.merchant_id, f"k{n}", 100) for n in range(MOST)]
        answers = [a for a in crowd.all_of(API, calls) if isinstance(a, Answer)]
        assert Counter(answer.status for answer in answers) == {201: 10, 422: 54}
        assert desk.balance() == (10 * OPENING - 1000, 1000)
        assert desk.violations() == {}


def test_a_limit_holds_while_payouts_come_and_go(crowd: Crowd) -> None:
    """Some are asked for, some are given back, and some have waited for the money that comes."""
    for desk in crowd.desks(2000):
        desk.rule(daily_limit=1000)
        made = [desk.create(f"made-{n}", 100).payout_id for n in range(8)]
        first, *_ = [
            desk.create(f"waits-{n}", amount, queue_if_low_balance=True).payout_id
            for n, amount in enumerate((2000, 300, 200))
        ]
        assert desk.see(first)["status"] == "queued"
        credit = "SELECT * FROM payrail.credit_merchant(%s, 100, 'INR', %s)"
        cancel = "SELECT * FROM payrail.cancel_payout(%s, %s)"
        results = crowd.race(
            *((API, partial(create, desk.merchant_id, f"k{n}", 100)) for n in range(16)),
            *((API, run(cancel, desk.merchant_id, one)) for one in (*made[:4], first)),
            *((OPERATOR, run(credit, desk.merchant_id, f"r{n}")) for n in range(4)),
            (WORKER, run("SELECT payrail.advance_payouts(%s)", desk.merchant_id)),
        )
        assert {*states(results)} == {"ok"}
        held = [row["amount"] for row in desk.table("payouts") if row["status"] == "pending"]
        assert sum(held) == desk.balance()[1] <= 1000
        assert desk.violations() == {}


def test_approved_cancelled_rejected_or_expired_is_one_of_them(crowd: Crowd) -> None:
    with crowd.database.connect("payrail_owner") as owner:
        owner.execute(CLOCK.encode())
    for number, desk in enumerate(crowd.desks()):
        desk.rule(approve_from=1)
        payout_id = desk.create("k", 1000).payout_id
        arguments = (desk.merchant_id, payout_id)
        late = run(
            "SELECT set_config('test.later', %s, FALSE)", "8 days" if number % 2 else "6 days"
        )
        for role in (API, WORKER):
            crowd.all_of(role, [late] * 4)
        results = crowd.race(
            (API, run("SELECT * FROM payrail.approve_payout(%s, %s, 'asha')", *arguments)),
            (API, run("SELECT * FROM payrail.approve_payout(%s, %s, 'asha')", *arguments)),
            (API, run("SELECT * FROM payrail.cancel_payout(%s, %s)", *arguments)),
            (API, run("SELECT * FROM payrail.reject_payout(%s, %s, 'bala', 'no')", *arguments)),
            (WORKER, run("SELECT * FROM payrail.advance_payouts(%s)", desk.merchant_id)),
        )
        assert {*states(results)} <= {"ok", "PR201", "PR251"}
        assert desk.see(payout_id)["status"] in {"pending", "cancelled", "rejected", "expired"}
        assert {*desk.violations()} <= {"changed_definitions"}
    for role in (API, WORKER):
        crowd.all_of(role, [run("SELECT set_config('test.later', '', FALSE)")] * 4)
    with crowd.database.connect("payrail_owner") as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
            " RETURN clock_timestamp()"
        )


def test_money_that_comes_and_payouts_that_queue_find_each_other(crowd: Crowd) -> None:
    for number, desk in enumerate(crowd.desks(0)):
        queueing = [
            partial(create, desk.merchant_id, f"k{n}", 100, queue_if_low_balance=True)
            for n in range(SIZE // 2)
        ]
        arrivals = [
            run(
                "SELECT * FROM payrail.credit_merchant(%s, 100, 'INR', %s)",
                desk.merchant_id,
                f"r{number}-{n}",
            )
            for n in range(SIZE // 2)
        ]
        crowd.race(*[(API, call) for call in queueing], *[(OPERATOR, call) for call in arrivals])
        assert {row["status"] for row in desk.table("payouts")} == {"pending"}
        assert desk.balance() == (0, 100 * (SIZE // 2))
        assert desk.violations() == {}


def test_nobody_jumps_the_queue(crowd: Crowd) -> None:
    """Money comes, who waits first goes, a worker looks, and another one comes to wait."""
    dice = random.Random(3)
    for desk in crowd.desks(0):
        first, second = (
            desk.create(key, amount, queue_if_low_balance=True).payout_id
            for key, amount in (("first", 500), ("second", 100))
        )
        money = dice.choice([99, 100, 199, 200, 499, 500, 599, 600, 699, 700])
        results = crowd.race(
            (
                OPERATOR,
                run(
                    "SELECT * FROM payrail.credit_merchant(%s, %s, 'INR', 'r')",
                    desk.merchant_id,
                    money,
                ),
            ),
            (API, run("SELECT * FROM payrail.cancel_payout(%s, %s)", desk.merchant_id, first)),
            (API, partial(create, desk.merchant_id, "third", 100, queue_if_low_balance=True)),
            (WORKER, run("SELECT payrail.advance_payouts(%s)", desk.merchant_id)),
        )
        assert states(results) == {"ok": 4}
        (third,) = (result.payout_id for result in results if isinstance(result, Answer))
        assert desk.see(first)["status"] == "cancelled"
        pending = [one for one in (second, third) if desk.see(one)["status"] == "pending"]
        assert pending == [second, third][: money // 100]
        held = {
            row["seq"]: row["payout_id"]
            for row in desk.table("ledger_entries")
            if row["kind"] == "hold"
        }
        assert [held[seq] for seq in sorted(held) if held[seq] != first] == pending
        assert desk.balance() == (money - 100 * len(pending), 100 * len(pending))
        assert desk.violations() == {}


def test_many_merchants_at_once_never_deadlock(crowd: Crowd) -> None:
    """Every door at once, several merchants, batches in any order."""
    dice = random.Random(7)
    desks = [crowd.desk(10_000 * ROUNDS) for _ in range(6)]
    for number in range(ROUNDS):
        calls = [call for desk in desks for call in work(desk, number, dice)]
        dice.shuffle(calls)
        for start in range(0, len(calls), SIZE):
            results = crowd.race(*calls[start : start + SIZE])
            assert {*states(results)} <= {"ok", "PR201", "PR202"}


def work(desk: Desk, number: int, dice: random.Random) -> list[tuple[str, Callable[..., Any]]]:
    """Return what may come in for one merchant in a moment."""
    batch = [(f"{number}-{n}", dice.randrange(1, 900)) for n in range(4)]
    dice.shuffle(batch)
    requests = ", ".join(
        f"ROW('{key}', {amount}, 'INR', '{ACCOUNT}', NULL, NULL, NULL, NULL, NULL,"
        " NULL, NULL)"
        "::payrail.payout_request"
        for key, amount in batch
    )
    pending = desk.create(f"{number}-pending", 10).payout_id
    processing = desk.payout("processing", 10)
    desk.let_bank_be_final(processing)
    arguments = (desk.merchant_id, processing)
    return [
        (
            API,
            run(f"SELECT * FROM payrail.create_payouts(%s, ARRAY[{requests}])", desk.merchant_id),
        ),
        (API, partial(create, desk.merchant_id, *batch[0])),
        (API, run("SELECT * FROM payrail.cancel_payout(%s, %s)", desk.merchant_id, pending)),
        (API, run("SELECT * FROM payrail.balances WHERE merchant_id = %s", desk.merchant_id)),
        (WORKER, run("SELECT * FROM payrail.claim_payouts(%s, 3)", desk.merchant_id)),
        (
            WORKER,
            run(
                "SELECT * FROM payrail.record_answers(%s, ARRAY[ROW(%s, 'unknown', NULL, NULL,"
                " NULL, NULL, 1)::payrail.bank_answer])",
                *arguments,
            ),
        ),
        (OPERATOR, run("SELECT * FROM payrail.settle_payout(%s, %s, 'U')", *arguments)),
        (OPERATOR, run("SELECT * FROM payrail.fail_payout(%s, %s, 'account_closed')", *arguments)),
        (
            OPERATOR,
            run(
                "SELECT * FROM payrail.credit_merchant(%s, 10, 'INR', %s)",
                desk.merchant_id,
                f"r{number}",
            ),
        ),
    ]
