"""Banks that are paid by files: an instruction is in one file, and an answer counts once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.desk import Desk, detail
from tests.sql import test_cases as cases

ACCOUNT = "at-a-bank-with-files"
AT_ONCE = timedelta(0)


def rail_of(desk: Desk) -> str:
    """Return the name of a bank of its own: other tests are in the same database."""
    return f"f{desk.merchant_id.hex[-30:]}"


def on_files(desk: Desk, rail: str) -> Desk:
    """Give a merchant a bank account at a bank that is paid by files."""
    desk.call("payrail_operator", "add_bank_account", rail=rail, **THEIRS)
    return desk


THEIRS = {
    "bank_account_id": ACCOUNT,
    "holder_name": "Asha Rao",
    "account_number": "000405012345",
    "ifsc": "HDFC0000001",
}


@pytest.fixture
def filing(desk: Desk) -> Iterator[Desk]:
    declare(desk)
    yield on_files(desk, rail_of(desk))
    assert desk.violations() == {}


def declare(desk: Desk) -> None:
    desk.sql(
        "payrail_worker",
        "SELECT payrail.declare_rail(%s, TRUE, FALSE, 100, '72 hours')",
        [rail_of(desk)],
    )


def sent(desk: Desk, number: int = 1, amount: int = 1000) -> list[UUID]:
    """Return payouts that a worker has claimed."""
    made = [
        desk.create(f"file-{UUID(int=i)}-{amount}", amount, bank_account_id=ACCOUNT).payout_id
        for i in range(number)
    ]
    desk.claim(limit=1000)
    return made


def queue(desk: Desk, *payout_ids: UUID) -> list[str]:
    rows = worker(desk, "queue_instructions", [one.hex for one in payout_ids])
    return [row["effect"] for row in rows]


def worker(desk: Desk, door: str, *arguments: object) -> list[DictRow]:
    places = ", ".join(["%s"] * (len(arguments) + 1))
    return desk.sql(
        "payrail_worker", f"SELECT * FROM payrail.{door}({places})", [rail_of(desk), *arguments]
    )


def cut(desk: Desk, limit: int = 100, every: timedelta = AT_ONCE) -> list[DictRow]:
    return worker(desk, "cut_file", limit, every)


def store(desk: Desk, file_id: UUID, content: bytes = b"<x/>") -> None:
    desk.sql("payrail_worker", "SELECT payrail.store_file(%s, %s)", [file_id, content])


def claim_files(desk: Desk) -> list[DictRow]:
    return worker(desk, "claim_file", timedelta(seconds=60))


def mark_sent(desk: Desk, file_id: UUID) -> None:
    desk.sql("payrail_worker", "SELECT payrail.mark_file_sent(%s)", [file_id])


def filed(desk: Desk, *payout_ids: UUID) -> DictRow:
    """Put payouts into one file that leaves; return its first order."""
    queue(desk, *payout_ids)
    first = cut(desk)[0]
    store(desk, first["file_id"])
    claim_files(desk)
    mark_sent(desk, first["file_id"])
    return first


def receive(
    desk: Desk,
    *notices: Sequence[object],
    whole: Sequence[object] | None = None,
    content: bytes | None = None,
    error: str | None = None,
) -> DictRow:
    """Take a file of the bank; a notice is (event_id, rail_ref, outcome, code, raw)."""
    content = content or repr((notices, whole)).encode()
    arrays = []
    values: list[object] = []
    for group in (notices, [whole] if whole else []):
        rows = ", ".join(["ROW(%s, %s, %s, %s, NULL, %s::jsonb)::payrail.notice"] * len(group))
        arrays.append(f"ARRAY[{rows}]::payrail.notice[]")
        values += [value for one in group for value in one]
    (row,) = desk.sql(
        "payrail_worker",
        "SELECT * FROM payrail.receive_file(%s, 'a.xml', %s, 'camt.054', 'MSG1',"
        f" {arrays[0]}, {arrays[1]}, %s)",
        [rail_of(desk), hashlib.sha256(content).digest(), *values, error],
    )
    return row


def paid(
    payout: UUID, utr: str = "UTR1", amount: int = 1000, currency: str = "INR"
) -> tuple[object, ...]:
    raw = json.dumps({"amount": amount, "currency": currency, "utr": utr})
    return (f"paid-{payout.hex}-{utr}-{amount}", payout.hex, "paid", utr, raw)


def refused(payout: UUID) -> tuple[object, ...]:
    return (f"no-{payout.hex}", payout.hex, "refused", "account_closed", "{}")


def returned(payout: UUID, amount: int = 1000) -> tuple[object, ...]:
    raw = f'{{"amount": {amount}, "currency": "INR", "utr": "OTHER"}}'
    return (f"back-{payout.hex}-{amount}", payout.hex, "returned", "AC04", raw)


def asked(desk: Desk, payout: UUID) -> DictRow:
    (row,) = worker(desk, "ask_files", [payout.hex])
    return row


# ------------------------------------------------------------------------------------------- out


def test_an_instruction_is_in_one_file_for_ever(filing: Desk) -> None:
    payouts = sent(filing, 3)
    assert queue(filing, *payouts) == ["queued"] * 3
    assert queue(filing, *payouts) == ["repeated"] * 3
    orders = cut(filing)
    assert {row["rail_ref"] for row in orders} == {one.hex for one in payouts}
    store(filing, orders[0]["file_id"])
    assert queue(filing, *payouts) == ["repeated"] * 3
    assert cut(filing) == []


def test_a_file_says_what_it_is_and_what_it_comes_to(filing: Desk) -> None:
    payouts = sent(filing, 3, amount=1234)
    queue(filing, *payouts)
    orders = cut(filing)
    assert {row["total"] for row in orders} == {3702}
    assert len({row["message_id"] for row in orders}) == 1
    assert len(orders[0]["message_id"]) <= 35
    assert {(row["amount"], row["currency"], row["account_number"]) for row in orders} == {
        (1234, "INR", "000405012345")
    }


def test_a_file_that_was_cut_is_finished_before_the_next_one(filing: Desk) -> None:
    first, second = sent(filing, 2)
    queue(filing, first)
    orders = cut(filing)
    queue(filing, second)
    assert cut(filing) == orders
    store(filing, orders[0]["file_id"])
    assert [row["rail_ref"] for row in cut(filing)] == [second.hex]


def test_the_bytes_of_a_file_are_those_that_were_stored_first(filing: Desk) -> None:
    queue(filing, *sent(filing))
    file_id = cut(filing)[0]["file_id"]
    store(filing, file_id, b"<first/>")
    store(filing, file_id, b"<second/>")
    (row,) = claim_files(filing)
    assert bytes(row["content"]) == b"<first/>"


def test_a_file_is_written_by_one_worker_and_again_when_that_one_is_gone(filing: Desk) -> None:
    queue(filing, *sent(filing))
    file_id = cut(filing)[0]["file_id"]
    assert claim_files(filing) == []  # nothing is stored
    store(filing, file_id)
    assert [row["file_id"] for row in claim_files(filing)] == [file_id]
    assert claim_files(filing) == []
    filing.sql(
        "payrail_owner",
        "UPDATE rail.payment_files SET claimed_until = clock_timestamp() WHERE file_id = %s",
        [file_id],
    )
    assert [row["file_id"] for row in claim_files(filing)] == [file_id]
    mark_sent(filing, file_id)
    assert claim_files(filing) == []


def test_files_are_cut_no_more_often_than_asked_unless_they_are_full(filing: Desk) -> None:
    first, *more = sent(filing, 4)
    queue(filing, first)
    store(filing, cut(filing)[0]["file_id"])
    queue(filing, *more)
    assert cut(filing, limit=10, every=timedelta(hours=1)) == []
    assert len(cut(filing, limit=3, every=timedelta(hours=1))) == 3


def test_a_file_comes_to_no_more_than_a_control_sum_can_say(filing: Desk) -> None:
    most = 10**15
    for desk in (filing, on_files(filing.beside(), rail_of(filing))):  # a balance has a limit, too
        for number in range(501):
            desk.credit(most, f"credit-{number}")
        queue(filing, *sent(desk, 501, amount=most))
    orders = cut(filing, limit=5000)
    assert len(orders) == 999
    assert {row["total"] for row in orders} == {999 * most}
    store(filing, orders[0]["file_id"])
    assert len(cut(filing, limit=5000)) == 3


def test_of_what_ended_while_it_waited_nothing_leaves(filing: Desk) -> None:
    one, other = sent(filing, 2)
    queue(filing, one, other)
    filing.fail(one, "account_closed")
    assert [row["rail_ref"] for row in cut(filing)] == [other.hex]
    assert queue(filing, one) == ["repeated"]
    assert filing.balance() == (9000, 1000)


@pytest.mark.parametrize("step", ["cut", "stored", "sent"])
def test_nobody_fails_a_payout_while_its_file_can_leave_or_the_bank_can_still_execute_it(
    filing: Desk, step: str
) -> None:
    """That the worker had it three months ago says nothing: it counts from when the file left."""
    (one,) = sent(filing)
    queue(filing, one)
    file_id = cut(filing)[0]["file_id"]
    filing.let_bank_be_final(one)
    if step != "cut":
        store(filing, file_id)
    if step == "sent":
        mark_sent(filing, file_id)
    with filing.refused("PR211"):
        filing.fail(one, "account_closed")
    case_id = cases.open_case_of(filing, one, rail_of(filing))
    asha, ravi = (cases.sign_in(filing, f"{name}-{one.hex[-6:]}") for name in ("asha", "ravi"))
    proposal_id = cases.propose(filing, asha, case_id, "fail", "not_executed")
    with filing.refused("PR211") as caught:
        cases.decide(filing, ravi, proposal_id)
    assert (detail(caught.value)["final_at"] is None) == (step != "sent")
    assert filing.see(one)["status"] == "processing"


def test_what_waits_for_a_file_can_be_failed_and_never_leaves(filing: Desk) -> None:
    one, other = sent(filing, 2)
    queue(filing, one, other)
    case_id = cases.open_case_of(filing, one, rail_of(filing))
    asha, ravi = (cases.sign_in(filing, f"{name}-{one.hex[-6:]}") for name in ("asha", "ravi"))
    cases.decide(filing, ravi, cases.propose(filing, asha, case_id, "fail", "not_executed"))
    assert filing.see(one)["status"] == "failed"
    assert [row["rail_ref"] for row in cut(filing)] == [other.hex]


def test_a_bank_that_refuses_what_has_not_left_is_not_believed(filing: Desk) -> None:
    (one,) = sent(filing)
    queue(filing, one)
    receive(filing, refused(one))
    assert asked(filing, one)["outcome"] == "unknown"
    file_id = cut(filing)[0]["file_id"]
    store(filing, file_id)
    assert asked(filing, one)["outcome"] == "unknown"
    mark_sent(filing, file_id)
    assert asked(filing, one)["outcome"] == "refused"


def test_a_file_that_left_late_is_no_case_before_the_bank_is_final(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    filing.sql("admin", "ALTER TABLE rail.attempts DISABLE TRIGGER refuse_change", [])
    long_ago = "UPDATE rail.attempts SET send_before = send_before - INTERVAL '9 days'"
    filing.sql("admin", f"{long_ago} WHERE payout_id = %s", [one])
    filing.sql("admin", "ALTER TABLE rail.attempts ENABLE ALWAYS TRIGGER refuse_change", [])
    filing.let_bank_be_final(one)
    filing.say(one, "pending")
    open_ones = "SELECT kind FROM payrail.cases WHERE payout_id = %s"
    assert filing.sql("payrail_operator", open_ones, [one]) == []


def test_a_bank_that_is_asked_seldom_is_no_false_alarm(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    filing.sql(
        "payrail_owner",
        "UPDATE payout.payouts SET send_before = now() - INTERVAL '72 hours 20 minutes',"
        " next_action_at = now() + INTERVAL '1 hour' WHERE payout_id = %s",
        [one],
    )
    assert "unescalated" not in filing.violations()


def test_when_all_that_waited_has_ended_there_is_no_file(filing: Desk) -> None:
    (one,) = sent(filing)
    queue(filing, one)
    filing.fail(one, "account_closed")
    assert cut(filing) == []
    query = "SELECT rail FROM payrail.files WHERE rail = %s"
    assert filing.sql("payrail_auditor", query, [rail_of(filing)]) == []


@pytest.mark.parametrize("status", ["pending", "settled", "failed", "cancelled", "returned"])
def test_only_a_processing_payout_is_put_in_line(filing: Desk, status: str) -> None:
    payout_id = filing.create("one", 1000, bank_account_id=ACCOUNT).payout_id
    if status == "cancelled":
        filing.cancel(payout_id)
    elif status != "pending":
        filing.claim()
    if status == "failed":
        filing.fail_batch((payout_id, "account_closed", None, None))
    if status in {"settled", "returned"}:
        filing.settle(payout_id)
    if status == "returned":
        filing.give_back(payout_id)
    assert filing.see(payout_id)["status"] == status
    assert queue(filing, payout_id) == ["refused"]


def test_another_banks_instruction_is_not_put_in_line(filing: Desk) -> None:
    assert queue(filing, filing.payout("processing")) == ["refused"]


def test_two_workers_cut_two_files_and_no_instruction_is_in_both(filing: Desk) -> None:
    payouts = sent(filing, 8, amount=100)
    queue(filing, *payouts)

    def work(_: int) -> list[str]:
        found = []
        with filing.database.connect("payrail_worker", options="-c lock_timeout=0") as own:
            while rows := own.execute(
                "SELECT * FROM payrail.cut_file(%s, 2, '0')", [rail_of(filing)]
            ).fetchall():
                own.execute("SELECT payrail.store_file(%s, 'x')", [rows[0]["file_id"]])
                found += [(str(row["file_id"]), row["rail_ref"]) for row in rows]
        return [f"{file}/{ref}" for file, ref in found]

    with ThreadPoolExecutor(4) as pool:
        found = {one for rows in pool.map(work, range(4)) for one in rows}
    assert sorted(one.split("/")[1] for one in found) == sorted(one.hex for one in payouts)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rail.payment_files SET content = '<forged/>'",
        "UPDATE rail.payment_files SET amount = 1",
        "UPDATE rail.payment_files SET sent_at = NULL",
        "DELETE FROM rail.payment_files",
        "TRUNCATE rail.payment_files CASCADE",
        "UPDATE rail.filed_instructions SET file_id = NULL",
        "DELETE FROM rail.filed_instructions",
        "UPDATE rail.bank_files SET name = 'x'",
        "DELETE FROM rail.bank_files",
    ],
)
def test_what_left_and_what_came_is_not_altered_even_by_the_owner(
    filing: Desk, statement: str
) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    receive(filing, paid(one))
    with pytest.raises(psycopg.Error) as caught:
        filing.sql("payrail_owner", statement, [])
    assert caught.value.diag.sqlstate == "PR501"


# -------------------------------------------------------------------------------------------- in


def test_a_file_of_the_bank_has_its_effect_once(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    first = receive(filing, paid(one))
    assert (first["effect"], first["notices"], first["unmatched"]) == ("received", 1, 0)
    again = receive(filing, paid(one))
    assert (again["effect"], again["file_id"]) == ("repeated", first["file_id"])
    query = "SELECT rail FROM payrail.notices WHERE rail = %s"
    assert len(filing.sql("payrail_auditor", query, [rail_of(filing)])) == 1


def test_a_file_that_makes_no_sense_is_noted_and_may_come_again(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    bad = receive(filing, content=b"x", error="line 3: not XML")
    assert bad["effect"] == "refused"
    assert receive(filing, paid(one), content=b"x")["effect"] == "received"


def test_what_a_file_says_makes_the_bank_be_asked_and_the_answer_ends_the_payout(
    filing: Desk,
) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    filing.postpone(one)
    assert filing.claim() == []
    receive(filing, paid(one))
    (claimed,) = filing.claim()
    assert claimed["action"] == "enquire"
    said = asked(filing, one)
    filing.record(
        (one, said["outcome"], said["code"], said["utr"], None, said["raw"], claimed["attempt"])
    )
    assert (filing.see(one)["status"], filing.see(one)["utr"]) == ("settled", "UTR1")
    assert filing.balance() == (9000, 0)


def test_a_payout_that_waits_or_has_left_is_pending_and_says_where(filing: Desk) -> None:
    (one,) = sent(filing)
    assert asked(filing, one)["outcome"] == "not_found"
    queue(filing, one)
    assert (asked(filing, one)["outcome"], asked(filing, one)["reason"]) == (
        "pending",
        "it waits for the next file",
    )
    order = cut(filing)[0]
    assert "has not left" in asked(filing, one)["reason"]
    store(filing, order["file_id"])
    mark_sent(filing, order["file_id"])
    assert order["message_id"] in asked(filing, one)["reason"]
    assert asked(filing, one)["outcome"] == "pending"


def accepted(payout: UUID) -> tuple[object, ...]:
    return (f"ok-{payout.hex}", payout.hex, "pending", None, "{}")


@pytest.mark.parametrize(
    ("said", "outcome", "utr"),
    [
        ([accepted], "pending", None),
        ([refused], "refused", None),
        ([paid], "paid", "UTR1"),
        ([accepted, paid], "paid", "UTR1"),
        ([refused, paid], "paid", "UTR1"),
        ([paid, refused], "paid", "UTR1"),
        ([paid, returned], "returned", "UTR1"),
        ([returned, paid], "returned", "UTR1"),
        ([returned], "returned", "OTHER"),
        ([lambda one: paid(one, amount=999)], "unknown", None),
        ([lambda one: paid(one, currency="EUR")], "unknown", None),
        ([refused, lambda one: paid(one, amount=999)], "unknown", None),
        ([paid, lambda one: returned(one, amount=999)], "paid", "UTR1"),
        ([lambda one: paid(one, "UTR1"), lambda one: paid(one, "UTR2")], "paid", "UTR1"),
    ],
)
def test_money_that_was_booked_counts_for_more_than_a_word(
    filing: Desk, said: list[Any], outcome: str, utr: str | None
) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    for say in said:
        receive(filing, say(one))
    answer = asked(filing, one)
    assert answer["outcome"] == outcome
    assert outcome == "unknown" or answer["utr"] == utr


def recorded(desk: Desk, payout: UUID) -> None:
    """Ask what the files say, as the worker does with what is due, and record it."""
    for claim in desk.claim():
        said = asked(desk, claim["payout_id"])
        desk.record(
            (
                claim["payout_id"],
                *(said[name] for name in ("outcome", "code", "utr", "reason", "raw")),
                claim["attempt"],
            )
        )
    assert desk.see(payout)["next_action_at"] is None


@pytest.mark.parametrize(
    ("first", "then", "kind"),
    [
        (paid, lambda one: returned(one, 990), "different_amount"),
        (paid, lambda one: paid(one, "UTR2"), "booked_twice"),
        (paid, lambda one: paid(one, "UTR2", amount=999), "different_amount"),
        (refused, lambda one: paid(one, amount=999), "money_to_recover"),
        (refused, paid, "money_to_recover"),
        (paid, refused, "contradiction"),
    ],
)
def test_what_is_booked_otherwise_after_the_end_is_a_case_and_moves_no_money(
    filing: Desk, first: Any, then: Any, kind: str
) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    receive(filing, first(one))
    recorded(filing, one)
    seen, money = filing.see(one)["status"], filing.balance()
    receive(filing, then(one))
    recorded(filing, one)
    open_ones = "SELECT kind FROM payrail.cases WHERE payout_id = %s AND closed_at IS NULL"
    assert [row["kind"] for row in filing.sql("payrail_operator", open_ones, [one])] == [kind]
    assert (filing.see(one)["status"], filing.balance()) == (seen, money)


def test_a_payment_of_another_sum_is_a_case_at_once(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    receive(filing, paid(one, amount=999))
    (case,) = filing.sql(
        "payrail_operator", "SELECT * FROM payrail.cases WHERE payout_id = %s", [one]
    )
    assert (case["kind"], case["amount"], case["booking"]) == ("different_amount", 999, "payment")
    assert filing.see(one)["status"] == "processing"


def test_what_two_operators_have_decided_of_a_booking_is_not_asked_again(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    receive(filing, paid(one))
    recorded(filing, one)
    receive(filing, returned(one, 990))
    query = "SELECT case_id FROM payrail.cases WHERE payout_id = %s AND closed_at IS NULL"
    (case,) = filing.sql("payrail_operator", query, [one])
    asha, ravi = (cases.sign_in(filing, f"{name}-{one.hex[-6:]}") for name in ("asha", "ravi"))
    cases.decide(filing, ravi, cases.propose(filing, asha, case["case_id"]))
    again = ("another-event", *returned(one, 990)[1:])
    receive(filing, again)
    assert filing.sql("payrail_operator", query, [one]) == []
    receive(filing, returned(one, 980))
    assert len(filing.sql("payrail_operator", query, [one])) == 1


def test_a_callback_is_no_evidence_for_a_bank_that_answers_by_files(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    filing.sql(
        "payrail_api",
        "SELECT payrail.receive_notices(%s, ARRAY[ROW('e', %s, 'refused', 'account_closed', NULL,"
        " '{}')::payrail.notice])",
        [rail_of(filing), one.hex],
    )
    assert asked(filing, one)["outcome"] == "pending"


def test_what_is_said_of_a_whole_file_is_said_of_each_that_is_not_named(filing: Desk) -> None:
    named, *others = sent(filing, 3)
    order = filed(filing, named, *others)
    whole = ("MSG/RJCT", order["message_id"], "refused", "not_executed", "{}")
    assert receive(filing, accepted(named), whole=whole)["notices"] == 3
    assert asked(filing, named)["outcome"] == "pending"
    assert {asked(filing, one)["outcome"] for one in others} == {"refused"}
    assert {asked(filing, one)["code"] for one in others} == {"not_executed"}


def test_what_is_said_of_a_file_that_is_not_ours_is_nothing(filing: Desk) -> None:
    (one,) = sent(filing)
    filed(filing, one)
    whole = ("MSG/RJCT", "PR-somebody-elses", "refused", "not_executed", "{}")
    assert receive(filing, whole=whole)["notices"] == 0
    assert asked(filing, one)["outcome"] == "pending"


@pytest.mark.parametrize(
    ("door", "arguments", "field"),
    [
        ("cut_file", (0, AT_ONCE), "limit"),
        ("cut_file", (1, timedelta(days=2)), "every"),
        ("claim_file", (timedelta(0),), "lease"),
        ("queue_instructions", (None,), "rail_refs"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_field(
    filing: Desk, door: str, arguments: tuple[object, ...], field: str
) -> None:
    with filing.refused("PR111") as caught:
        worker(filing, door, *arguments)
    assert f'"{field}"' in str(caught.value.diag.message_detail)


def test_files_of_many_merchants_and_their_other_work_do_not_block_each_other(
    filing: Desk,
) -> None:
    desks = [filing, *(on_files(filing.beside(), rail_of(filing)) for _ in range(3))]
    payouts = [(each, one) for each in desks for one in sent(each, 6, amount=100)]

    def file(number: int) -> None:
        part = payouts if number % 2 else payouts[::-1]
        with filing.database.connect("payrail_worker", options="-c lock_timeout=0") as own:
            own.execute(
                "SELECT payrail.queue_instructions(%s, %s)",
                [rail_of(filing), [p.hex for _, p in part]],
            )
            for _ in range(6):
                rows = own.execute(
                    "SELECT * FROM payrail.cut_file(%s, 3, '0')", [rail_of(filing)]
                ).fetchall()
                if rows:
                    own.execute("SELECT payrail.store_file(%s, 'x')", [rows[0]["file_id"]])

    def work(number: int) -> None:
        with filing.database.connect("payrail_worker", options="-c lock_timeout=0") as own:
            for each in desks[number:] + desks[:number]:
                own.execute("SELECT payrail.claim_payouts(%s)", [each.merchant_id])

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(file, n) for n in range(4)] + [pool.submit(work, n) for n in range(4)]
        for job in jobs:
            job.result()
    query = (
        "SELECT i.rail_ref FROM payrail.file_items i"
        " JOIN payrail.files f USING (file_id) WHERE f.rail = %s"
    )
    rows = filing.sql("payrail_auditor", query, [rail_of(filing)])
    assert sorted(row["rail_ref"] for row in rows) == sorted(one.hex for _, one in payouts)
