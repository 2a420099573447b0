"""A key is a promise: one request, one payout, one answer (docs/api.md)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.desk import ACCOUNT, OPENING, Answer, Desk

NEW = (None, None)  # no reference, no metadata


def test_the_same_request_gets_the_same_bytes(desk: Desk) -> None:
    first = desk.create("k", 6000, reference="INV-1", metadata={"b": "2", "a": "1"})
    with desk.unchanged():
        again = desk.create("k", 6000, reference="INV-1", metadata={"a": "1", "b": "2"})
    assert (first.status, first.replayed) == (201, False)
    assert (again.status, again.body, again.replayed) == (201, first.body, True)
    assert desk.balance() == (4000, 6000)


@pytest.mark.parametrize("end", ["processing", "settled", "failed", "cancelled", "returned"])
def test_the_first_answer_stays_when_the_payout_moves_on(desk: Desk, end: str) -> None:
    payout_id = desk.payout(end)
    with desk.unchanged():
        replay = desk.create("payout-1", 1000)
    assert replay.replayed
    assert (replay.payout_id, replay.json["status"]) == (payout_id, "pending")


def check_reuse(desk: Desk, change: dict[str, Any]) -> None:
    first = desk.create("k", 1000)
    with desk.unchanged():
        other = desk.create("k", **{"amount": 1000, **change})
    assert (other.status, other.code, other.replayed) == (422, "idempotency_key_reused", False)
    # and that answer isn't stored: the first request is still the one the key stands for
    assert desk.create("k", 1000).body == first.body


def test_another_amount_under_the_key_is_refused(desk: Desk) -> None:
    check_reuse(desk, {"amount": 1001})


def test_another_reference_under_the_key_is_refused(desk: Desk) -> None:
    check_reuse(desk, {"reference": "INV-1"})


def test_other_metadata_under_the_key_are_refused(desk: Desk) -> None:
    check_reuse(desk, {"metadata": {"a": "1"}})


def test_another_bank_account_under_the_key_is_refused(desk: Desk) -> None:
    check_reuse(desk, {"bank_account_id": "another"})


def test_fields_can_not_be_shifted_into_each_other(desk: Desk) -> None:
    desk.create("k", 1000, reference='a","b', metadata={})
    other = desk.create("k", 1000, reference="a", metadata={"b": ""})
    assert other.code == "idempotency_key_reused"


def test_no_metadata_and_empty_metadata_are_the_same_request(desk: Desk) -> None:
    first = desk.create("k", 1000)
    assert desk.create("k", 1000, metadata={}).body == first.body


def test_a_reused_key_of_a_rejection_is_refused_too(desk: Desk) -> None:
    assert desk.create("k", OPENING + 1).code == "insufficient_funds"
    with desk.unchanged():
        assert desk.create("k", 1).code == "idempotency_key_reused"


def test_a_rejection_for_lack_of_money_is_stored(desk: Desk) -> None:
    first = desk.create("k", OPENING + 1)
    assert (first.status, first.code) == (422, "insufficient_funds")
    desk.credit(OPENING, "more")
    with desk.unchanged():  # there is money now, but a retry can't turn into a surprise payment
        again = desk.create("k", OPENING + 1)
    assert (again.status, again.body, again.replayed) == (422, first.body, True)
    assert desk.create("k2", OPENING + 1).status == 201


def test_a_rejection_for_an_unknown_bank_account_is_stored(desk: Desk) -> None:
    first = desk.create("k", 1000, bank_account_id="later")
    assert (first.status, first.code) == (422, "bank_account_not_found")
    desk.call(
        "payrail_operator",
        "add_bank_account",
        bank_account_id="later",
        holder_name="Asha Rao",
        account_number="000000000001",
        ifsc="HDFC0000001",
    )
    with desk.unchanged():
        again = desk.create("k", 1000, bank_account_id="later")
    assert (again.body, again.replayed) == (first.body, True)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"amount": 0}, 422, "amount_invalid"),
        ({"amount": -1}, 422, "amount_invalid"),
        ({"amount": 10**15 + 1}, 422, "amount_invalid"),
        ({"amount": 2**63 - 1}, 422, "amount_invalid"),
        ({"amount": -(2**63)}, 422, "amount_invalid"),
        ({"amount": None}, 422, "amount_invalid"),
        ({"currency": "inr"}, 422, "currency_unknown"),
        ({"currency": "XXX"}, 422, "currency_unknown"),
        ({"currency": ""}, 422, "currency_unknown"),
        ({"currency": None}, 422, "currency_unknown"),
        ({"bank_account_id": None}, 422, "bank_account_invalid"),
        ({"reference": ""}, 422, "reference_invalid"),
        ({"reference": "r" * 256}, 422, "reference_invalid"),
        ({"reference": "a\nb"}, 422, "reference_invalid"),
        ({"metadata": {"a": ""} | {str(n): "" for n in range(20)}}, 422, "metadata_invalid"),
        ({"metadata": {"": "v"}}, 422, "metadata_invalid"),
        ({"metadata": {"k" * 41: "v"}}, 422, "metadata_invalid"),
        ({"metadata": {"k": "v" * 501}}, 422, "metadata_invalid"),
        ({"metadata": {"k": 1}}, 422, "metadata_invalid"),
        ({"metadata": {"k": None}}, 422, "metadata_invalid"),
        ({"metadata": {"k": {"l": "v"}}}, 422, "metadata_invalid"),
        ({"metadata": "[]"}, 422, "metadata_invalid"),
        ({"metadata": '"v"'}, 422, "metadata_invalid"),
        ({"metadata": "null"}, 422, "metadata_invalid"),
    ],
)
def test_an_invalid_request_is_answered_and_not_stored(
    desk: Desk, fields: dict[str, Any], status: int, code: str
) -> None:
    with desk.unchanged():
        answer = desk.create("k", **fields)
    (error,) = answer.json["errors"]
    assert (answer.status, answer.code, answer.replayed) == (status, code, False)
    assert error["code"] == code
    assert error["pointer"] == "/" + next(iter(fields))
    assert desk.create("k").status == 201  # the key is still free


@pytest.mark.parametrize("key", [None, "", " ", "a b", "a\tb", "a\n", "ä", "k" * 256, "\x7f"])
def test_a_malformed_key_is_refused(desk: Desk, key: str | None) -> None:
    with desk.unchanged():
        answer = desk.create(key)
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("key", ["k", "k" * 255, "!~", '"quoted"', "{}", "a,b", "\\", "'"])
def test_any_visible_ascii_is_a_key(desk: Desk, key: str) -> None:
    first = desk.create(key)
    assert first.status == 201
    assert desk.create(key).body == first.body


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 10**15, "reference": "r" * 255},
        {"amount": 1, "reference": "ऑर्डर 🪙"},
        {"metadata": {str(n).zfill(40): "v" * 500 for n in range(20)}},
        {"metadata": {'"\\': "\u0001\n"}},
    ],
)
def test_the_bounds_themselves_are_allowed(desk: Desk, fields: dict[str, Any]) -> None:
    desk.credit(10**15, "a lot")
    answer = desk.create("k", **fields)
    assert answer.status == 201
    assert {name: answer.json[name] for name in fields} == fields
    assert desk.create("k", **fields).body == answer.body


def test_keys_belong_to_a_merchant(desk: Desk) -> None:
    other = desk.beside()
    mine, theirs = desk.create("k"), other.create("k")
    assert (mine.status, theirs.status, theirs.replayed) == (201, 201, False)
    assert mine.payout_id != theirs.payout_id


def test_keys_are_told_apart_by_case(desk: Desk) -> None:
    assert desk.create("k").payout_id != desk.create("K").payout_id


def test_a_batch_answers_in_order_and_no_rejection_touches_a_neighbour(desk: Desk) -> None:
    before = desk.create("old", 1)
    answers = desk.create_batch(
        ("a", 1000, "INR", ACCOUNT, *NEW),
        ("bad", -5, "INR", ACCOUNT, *NEW),
        ("b", 999_999, "INR", ACCOUNT, *NEW),
        ("old", 1, "INR", ACCOUNT, *NEW),
        ("old", 2, "INR", ACCOUNT, *NEW),
        (None, None, None, None, *NEW),
        ("c", 1000, "INR", "unknown", *NEW),
        ("d", 2000, "INR", ACCOUNT, "INV-7", {"a": "1"}),
    )
    assert [a.status for a in answers] == [201, 422, 422, 201, 422, 400, 422, 201]
    assert [a.replayed for a in answers] == [False, False, False, True, *[False] * 4]
    assert [answers[n].code for n in (1, 2, 4, 5, 6)] == [
        "amount_invalid",
        "insufficient_funds",
        "idempotency_key_reused",
        "idempotency_key_invalid",
        "bank_account_not_found",
    ]
    assert answers[3].body == before.body
    assert answers[7].json["reference"] == "INV-7"
    assert desk.balance() == (OPENING - 3001, 3001)
    stored = {row["payout_id"] for row in desk.table("payouts")}
    assert stored == {before.payout_id, answers[0].payout_id, answers[7].payout_id}


def test_duplicates_within_a_batch_are_one_payout(desk: Desk) -> None:
    one = ("k", 1000, "INR", ACCOUNT, *NEW)
    first, again, other = desk.create_batch(one, one, ("k", 2000, "INR", ACCOUNT, *NEW))
    assert (first.status, first.replayed) == (201, False)
    assert (again.body, again.replayed) == (first.body, True)
    assert other.code == "idempotency_key_reused"
    assert len(desk.table("payouts")) == 1


def test_a_batch_spends_the_balance_once(desk: Desk) -> None:
    answers = desk.create_batch(*[(f"k{n}", 3000, "INR", ACCOUNT, *NEW) for n in range(5)])
    assert [a.status for a in answers] == [201, 201, 201, 422, 422]
    assert desk.balance() == (1000, 9000)


def test_a_batch_replays_and_agrees_with_single_calls(desk: Desk) -> None:
    requests = [(f"k{n}", 3000, "INR", ACCOUNT, None, {"n": str(n)}) for n in range(5)]
    first = desk.create_batch(*requests)
    with desk.unchanged():
        again = desk.create_batch(*requests)
        single = [desk.create(f"k{n}", 3000, metadata={"n": str(n)}) for n in range(5)]
    assert [a.body for a in again] == [a.body for a in first] == [a.body for a in single]
    assert all(a.replayed for a in [*again, *single])


def test_an_empty_batch_is_no_answer(desk: Desk) -> None:
    with desk.unchanged():
        assert desk.create_batch() == []


def test_a_rolled_back_create_never_happened(desk: Desk) -> None:
    connection = desk.connection("payrail_api")
    with desk.unchanged(), connection.transaction(force_rollback=True):
        first = desk.create("k")
    with connection.transaction():
        second = desk.create("k")
    assert not second.replayed
    assert first.payout_id != second.payout_id


def test_an_unknown_merchant_has_no_keys(desk: Desk) -> None:
    with pytest.raises(psycopg.Error) as caught:
        desk.call(
            "payrail_api",
            "create_payout",
            merchant_id="00000000-0000-7000-8000-000000000000",
            idempotency_key="k",
            amount=1,
            bank_account_id=ACCOUNT,
        )
    assert caught.value.diag.sqlstate == "PR401"


# ------------------------------------------------------------------------ of many merchants in one


def test_a_call_for_many_answers_each_as_a_call_of_its_own(own_desk: Desk) -> None:
    mixed = [own_desk, own_desk.beside(500), own_desk.beside()]
    apart = [own_desk.beside(), own_desk.beside(500), own_desk.beside()]
    requests = [
        ("k1", 1000, "INR", ACCOUNT, *NEW),
        ("k2", 0, "INR", ACCOUNT, *NEW),
        ("k1", 1000, "INR", ACCOUNT, *NEW),
        ("k1", 2000, "INR", ACCOUNT, *NEW),
        ("k3", 100, "XXX", ACCOUNT, *NEW),
        ("k4", 100, "INR", "another", *NEW),
        ("k5", 9500, "INR", ACCOUNT, *NEW),
    ]

    def seen(answer: Answer | None) -> tuple[int, bool, str | None]:
        assert answer is not None
        return answer.status, answer.replayed, answer.json.get("code")

    asked = [(desk, f"asha-{n}", one) for one in requests for n, desk in enumerate(mixed)]
    found = [seen(answer) for answer in own_desk.create_for_many(*asked)]
    assert found == [seen(desk.create_batch(one)[0]) for one in requests for desk in apart]
    assert {status for status, *_ in found} == {201, 422}
    for one, other in zip(mixed, apart, strict=True):
        assert one.balance() == other.balance()
    assert [desk.table("payouts")[0]["created_by"] for desk in mixed[::2]] == ["asha-0", "asha-2"]


def test_a_call_for_many_waits_for_no_lock(own_desk: Desk) -> None:
    other = own_desk.beside()
    request = ("k", 1000, "INR", ACCOUNT, *NEW)
    with own_desk.connection("admin").transaction():
        own_desk.sql(
            "admin",
            "SELECT FROM merchant.merchants WHERE merchant_id = %(merchant_id)s FOR NO KEY UPDATE",
        )
        stuck, made = other.create_for_many((own_desk, "asha", request), (other, "asha", request))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.create_for_many((other, "asha", request), (own_desk, "asha", request), wait=True)
    assert stuck is None
    assert made is not None
    assert (made.status, made.replayed) == (201, False)
    assert (own_desk.balance(), other.balance()) == ((OPENING, 0), (9000, 1000))
    now, again = other.create_for_many(
        (own_desk, "asha", request), (other, "asha", request), wait=True
    )
    assert now is not None
    assert again is not None
    assert (now.status, now.replayed, again.replayed) == (201, False, True)


def test_a_call_for_many_has_no_answer_for_a_merchant_who_is_not_there(own_desk: Desk) -> None:
    stranger = own_desk.beside()
    stranger.merchant_id = uuid4()
    request = ("k", 1000, "INR", ACCOUNT, *NEW)
    found = own_desk.create_for_many((stranger, "asha", request), (own_desk, "asha", request))
    assert [answer and answer.status for answer in found] == [None, 201]
    with pytest.raises(psycopg.ProgrammingError, match="no such merchant"):
        own_desk.create_for_many((stranger, "asha", request), wait=True)


def test_a_call_for_many_holds_its_locks_until_it_is_committed(own_desk: Desk) -> None:
    free = (
        "SELECT name FROM merchant.merchants WHERE merchant_id = %(merchant_id)s"
        " FOR NO KEY UPDATE SKIP LOCKED"
    )
    with own_desk.connection("payrail_api").transaction():
        own_desk.create_for_many((own_desk, "asha", ("k", 1000, "INR", ACCOUNT, *NEW)))
        assert own_desk.sql("admin", free) == []
    assert len(own_desk.sql("admin", free)) == 1
