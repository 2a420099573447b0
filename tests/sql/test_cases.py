"""What people decide takes two of them; and what banks say by themselves decides nothing."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Database
from tests.desk import OPENING, Desk

PASSWORD = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


def sign_in(desk: Desk, name: str) -> bytes:
    """Return the hash of a session of this operator."""
    session = hashlib.sha256(secrets.token_bytes(16)).digest()
    desk.sql("payrail_operator", "SELECT payrail.add_operator(%s, %s)", [name, PASSWORD])
    desk.sql(
        "payrail_operator",
        "SELECT payrail.open_operator_session(%s, %s, %s)",
        [name, PASSWORD, session],
    )
    return session


def open_case(
    desk: Desk, status: str = "processing", kind: str = "outcome_unknown"
) -> tuple[UUID, UUID]:
    """Return a payout and a case about it."""
    payout_id = desk.payout(status, 6000)
    return payout_id, open_case_of(desk, payout_id, kind=kind)


def open_case_of(
    desk: Desk, payout_id: UUID, rail: str = "sandbox", kind: str = "outcome_unknown"
) -> UUID:
    """Return a case about this payout."""
    desk.sql(
        "payrail_owner",
        "SELECT rail.open_case(%s, %s, %s, %s, %s, 6000, 'INR', 'a test')",
        [kind, rail, payout_id.hex, desk.merchant_id, payout_id],
    )
    (case,) = desk.sql(
        "payrail_operator", "SELECT case_id FROM payrail.cases WHERE payout_id = %s", [payout_id]
    )
    case_id: UUID = case["case_id"]
    return case_id


def propose(  # noqa: PLR0913, PLR0917  # the door's
    desk: Desk,
    session: bytes,
    case_id: UUID,
    action: str = "close",
    code: str | None = None,
    note: str | None = "the bank said so on the phone",
) -> UUID:
    (row,) = desk.sql(
        "payrail_operator",
        "SELECT * FROM payrail.propose_resolution(%s, %s, %s, %s, %s)",
        [session, case_id, action, code, note],
    )
    proposal_id: UUID = row["proposal_id"]
    return proposal_id


def decide(desk: Desk, session: bytes, proposal_id: UUID, *, confirm: bool = True) -> Any:
    (row,) = desk.sql(
        "payrail_operator",
        "SELECT * FROM payrail.decide_resolution(%s, %s, %s)",
        [session, proposal_id, confirm],
    )
    return row


@pytest.mark.parametrize(
    ("action", "code", "status", "money"),
    [
        ("settle", "UTR-BY-PHONE", "settled", (OPENING - 6000, 0)),
        ("fail", "not_executed", "failed", (OPENING, 0)),
        ("close", None, "processing", (OPENING - 6000, 6000)),
    ],
)
def test_a_resolution_happens_when_a_second_operator_agrees(
    desk: Desk, action: str, code: str | None, status: str, money: tuple[int, int]
) -> None:
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    payout_id, case_id = open_case(desk, kind="different_amount")
    proposal_id = propose(desk, asha, case_id, action, code)
    assert desk.see(payout_id)["status"] == "processing"
    if action == "fail":
        desk.let_bank_be_final(payout_id)
    case = decide(desk, ravi, proposal_id)
    assert case["closed_by"] == "payrail_operator:asha+ravi"
    assert desk.see(payout_id)["status"] == status
    assert desk.balance() == money
    if action != "close":
        (proof,) = desk.table("evidence")
        assert (proof["source"], proof["actor"]) == ("operator", "payrail_operator:asha+ravi")
        assert proof["answer"]["note"] == "the bank said so on the phone"
    log = desk.sql(
        "payrail_auditor",
        "SELECT action, actor FROM payrail.operator_actions WHERE object = %s ORDER BY action_id",
        [str(case_id)],
    )
    assert [(row["action"], row["actor"]) for row in log] == [
        ("resolution_proposed", "payrail_operator:asha"),
        ("resolution_confirmed", "payrail_operator:ravi"),
    ]


def check_two_operators(desk: Desk) -> None:
    asha = sign_in(desk, f"asha-{secrets.token_hex(4)}")
    _, case_id = open_case(desk)
    proposal_id = propose(desk, asha, case_id, "settle", "U1")
    with desk.refused("PR504"):
        decide(desk, asha, proposal_id)
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.sql(
            "payrail_owner",
            "UPDATE rail.proposals SET decided_at = now(), decided_by = proposed_by,"
            " decision = 'confirmed' WHERE proposal_id = %s",
            [proposal_id],
        )


def test_nobody_resolves_a_case_alone(desk: Desk) -> None:
    check_two_operators(desk)


def test_nobody_alone_says_that_the_bank_never_executed_it(desk: Desk) -> None:
    payout_id, other = desk.payout("processing"), desk.payout("processing")
    with desk.refused("PR504"):
        desk.fail(payout_id, "not_executed")
    desk.let_bank_be_final(other)
    rows = desk.sql(
        "payrail_operator",
        "SELECT effect, detail FROM payrail.fail_payouts(%s, ARRAY["
        "ROW(%s, 'not_executed', NULL, NULL), ROW(%s, 'account_closed', NULL, NULL)]"
        "::payrail.refusal[])",
        [desk.merchant_id, payout_id, other],
    )
    assert {(row["effect"], row["detail"]) for row in rows} == {
        ("applied", None),
        ("refused", "second_operator_needed"),
    }
    assert desk.see(payout_id)["status"] == "processing"


def test_a_rejected_proposal_changes_nothing_and_leaves_room_for_another(desk: Desk) -> None:
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    payout_id, case_id = open_case(desk)
    first = propose(desk, asha, case_id, "fail", "not_executed")
    with desk.refused("PR210"):
        propose(desk, ravi, case_id, "settle", "U1")
    assert decide(desk, asha, first, confirm=False)["closed_at"] is None
    with desk.refused("PR407"):
        decide(desk, ravi, first)
    assert desk.see(payout_id)["status"] == "processing"
    second = propose(desk, ravi, case_id, "settle", "U1")
    assert decide(desk, asha, second)["resolution"].startswith("settle U1: ")
    with desk.refused("PR209"):
        propose(desk, asha, case_id)


@pytest.mark.parametrize(
    ("action", "code", "note", "state"),
    [
        ("pay", None, "why", "PR111"),
        ("close", None, "", "PR111"),
        ("close", None, "n" * 1001, "PR111"),
        ("close", None, "\x07", "PR111"),
        ("close", None, None, "PR111"),
        ("close", "U1", "why", "PR111"),
        ("settle", None, "why", "PR109"),
        ("settle", "U" * 36, "why", "PR109"),
        ("fail", "timeout", "why", "PR110"),
        ("fail", None, "why", "PR110"),
    ],
)
def test_a_proposal_says_what_and_why(
    desk: Desk, action: str, code: str | None, note: str | None, state: str
) -> None:
    asha = sign_in(desk, "asha")
    _, case_id = open_case(desk)
    with desk.refused(state):
        propose(desk, asha, case_id, action, code, note)


def test_money_moves_only_while_the_payout_is_processing(desk: Desk) -> None:
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    _, ended = open_case(desk, "failed", "money_to_recover")
    with desk.refused("PR201"):
        propose(desk, asha, ended, "settle", "U1")
    payout_id, case_id = open_case(desk)
    proposal_id = propose(desk, asha, case_id, "fail", "not_executed")
    desk.record((payout_id, "paid", None, "U1", None, None, 1))  # the bank was quicker
    with desk.refused("PR202"):
        decide(desk, ravi, proposal_id)
    assert desk.see(payout_id)["status"] == "settled"


def test_nothing_is_failed_that_the_bank_may_still_execute(desk: Desk) -> None:
    """Two who are right about what was sent before do not know what a worker is just sending."""
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    payout_id, case_id = open_case(desk)
    desk.let_bank_be_final(payout_id)
    proposal_id = propose(desk, asha, case_id, "fail", "not_executed")
    desk.make_due(payout_id)
    desk.claim()
    desk.say(payout_id, "not_found")
    (sending,) = desk.claim()
    assert sending["action"] == "submit"
    with desk.refused("PR211"):
        decide(desk, ravi, proposal_id)
    desk.record((payout_id, "paid", None, "U1", None, None, sending["attempt"]))
    assert desk.see(payout_id)["status"] == "settled"
    assert desk.balance() == (OPENING - 6000, 0)


def test_nobody_closes_a_case_whose_outcome_is_unknown(desk: Desk) -> None:
    """It would be opened again as soon as the bank is asked, and until then nobody would look."""
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    payout_id, case_id = open_case(desk)
    with desk.refused("PR241"):
        propose(desk, asha, case_id)
    proposed = "INSERT INTO rail.proposals (case_id, action, note, proposed_by)"
    (row,) = desk.sql(
        "payrail_owner",
        f"{proposed} VALUES (%s, 'close', 'a note', 'asha') RETURNING proposal_id",
        [case_id],
    )
    with desk.refused("PR241"):  # one that was made before this was refused
        decide(desk, ravi, row["proposal_id"])
    decide(desk, asha, row["proposal_id"], confirm=False)
    desk.settle(payout_id, "U1")
    proposal_id = propose(desk, asha, case_id)
    assert decide(desk, ravi, proposal_id)["closed_at"] is not None


def test_one_operator_fails_nothing_that_is_under_way(desk: Desk) -> None:
    payout_id, other = desk.payout("processing", 6000), desk.payout("failed")
    with desk.refused("PR211"):
        desk.fail(payout_id, "account_closed")
    rows = desk.sql(
        "payrail_operator",
        "SELECT payout_id, effect, status, detail FROM payrail.fail_payouts(%s, ARRAY["
        "ROW(%s, 'account_closed', NULL, NULL), ROW(%s, 'account_closed', NULL, NULL)]"
        "::payrail.refusal[])",
        [desk.merchant_id, payout_id, other],
    )
    assert [tuple(row.values()) for row in rows] == [
        (other, "repeated", "failed", None),
        (payout_id, "refused", "processing", "resolution_too_early"),
    ]
    desk.let_bank_be_final(payout_id)
    desk.fail(payout_id, "account_closed")
    assert desk.balance() == (OPENING, 0)


def test_one_operator_fails_nothing_of_which_the_bank_has_told_nothing(desk: Desk) -> None:
    payout_id, _ = open_case(desk)
    desk.let_bank_be_final(payout_id)
    with desk.refused("PR504"):
        desk.fail(payout_id, "account_closed")


def test_only_who_is_signed_in_proposes_and_decides(desk: Desk) -> None:
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    _, case_id = open_case(desk, kind="contradiction")
    with desk.refused("PR503"):
        propose(desk, b"x" * 32, case_id)
    proposal_id = propose(desk, asha, case_id)
    desk.sql("payrail_operator", "SELECT payrail.disable_operator('ravi')", [])
    with desk.refused("PR503"):
        decide(desk, ravi, proposal_id)
    with desk.refused("PR406"):
        propose(desk, asha, uuid4())
    with desk.refused("PR407"):
        decide(desk, asha, uuid4())


def test_two_who_confirm_at_once_do_it_once(desk: Desk) -> None:
    asha = sign_in(desk, "asha")
    others = [sign_in(desk, f"o{number}") for number in range(4)]
    payout_id, case_id = open_case(desk)
    proposal_id = propose(desk, asha, case_id, "settle", "U1")
    start = threading.Barrier(len(others))

    def confirm(session: bytes) -> str:
        with desk.database.connect("payrail_operator") as operator:
            start.wait()
            try:
                operator.execute(
                    "SELECT payrail.decide_resolution(%s, %s, TRUE)", [session, proposal_id]
                )
            except psycopg.Error as exc:
                return str(exc.sqlstate)
        return "done"

    with ThreadPoolExecutor(len(others)) as pool:
        assert sorted(pool.map(confirm, others)) == ["PR407"] * 3 + ["done"]
    assert desk.see(payout_id)["status"] == "settled"


@pytest.mark.parametrize("table", ["cases", "proposals"])
def test_what_was_decided_is_never_altered(desk: Desk, table: str) -> None:
    asha, ravi = sign_in(desk, "asha"), sign_in(desk, "ravi")
    _, case_id = open_case(desk, kind="contradiction")
    decide(desk, ravi, propose(desk, asha, case_id))
    for statement in (
        f"DELETE FROM rail.{table}",
        f"UPDATE rail.{table} SET case_id = case_id",
        f"TRUNCATE rail.{table} CASCADE",
    ):
        with desk.refused("PR501"):
            desk.sql("payrail_owner", statement, [])


# ---------------------------------------------------------------------------------------- notices


def notify(
    desk: Desk, ref: str, outcome: str = "paid", code: str | None = "U1", event_id: str = "e1"
) -> str:
    (row,) = desk.sql(
        "payrail_api",
        "SELECT * FROM payrail.receive_notices('sandbox',"
        " ARRAY[ROW(%s, %s, %s, %s, NULL, '{\"a\": 1}')::payrail.notice])",
        [event_id, ref, outcome, code],
    )
    return str(row["effect"])


@pytest.mark.parametrize("outcome", ["paid", "refused", "returned", "pending", "unknown"])
@pytest.mark.parametrize("status", ["pending", "processing", "settled", "failed", "returned"])
def test_whatever_a_notice_says_it_changes_no_status_and_no_money(
    desk: Desk, status: str, outcome: str
) -> None:
    payout_id = desk.payout(status)
    before, money = desk.see(payout_id), desk.balance()
    notify(desk, payout_id.hex, outcome, "account_closed")
    assert {**desk.see(payout_id), "next_action_at": None} == {**before, "next_action_at": None}
    assert desk.balance() == money


def test_a_notice_is_kept_once_and_makes_the_bank_be_asked(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    assert desk.claim() == []
    assert notify(desk, payout_id.hex) == "stored"
    (row,) = desk.claim()
    assert row["action"] == "enquire"
    assert notify(desk, payout_id.hex, "refused", "account_closed") == "repeated"
    (kept,) = desk.sql(
        "payrail_auditor", "SELECT * FROM payrail.notices WHERE rail_ref = %s", [payout_id.hex]
    )
    assert (kept["outcome"], kept["code"], kept["raw"]) == ("paid", "U1", {"a": 1})
    assert desk.claim() == []


@pytest.mark.parametrize("outcome", ["paid", "refused", "returned", "pending", "unknown"])
def test_what_was_thought_unsent_and_the_bank_tells_of_is_asked_about_and_not_sent(
    desk: Desk, outcome: str
) -> None:
    payout_id = desk.payout("processing")
    assert desk.say(payout_id, "not_sent")["status"] == "pending"
    notify(desk, payout_id.hex, outcome, "account_closed", payout_id.hex)
    with desk.refused("PR201"):
        desk.cancel(payout_id)
    (claimed,) = desk.claim()
    assert (claimed["payout_id"], claimed["action"]) == (payout_id, "enquire")
    assert desk.violations() == {}


def test_a_notice_that_tells_nothing_new_costs_no_enquiry(desk: Desk) -> None:
    settled, failed = desk.payout("settled"), desk.payout("failed")
    notify(desk, settled.hex, "paid", desk.see(settled)["utr"], "e1")
    notify(desk, failed.hex, "refused", "account_closed", "e2")
    assert desk.claim() == []
    notify(desk, failed.hex, "paid", "LATE", "e3")
    assert [row["payout_id"] for row in desk.claim()] == [failed]


def test_a_notice_about_nothing_of_ours_is_kept_and_said_to_be(desk: Desk) -> None:
    assert notify(desk, "somebody-elses", event_id="e9") == "unmatched"
    unsent = desk.payout()
    assert notify(desk, unsent.hex, event_id="e10") == "unmatched"
    assert desk.see(unsent)["status"] == "pending"


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ("event_id", "ROW('', 'r', 'paid', 'U', NULL, '{}')"),
        ("rail_ref", "ROW('e', NULL, 'paid', 'U', NULL, '{}')"),
        ("outcome", "ROW('e', 'r', 'not_found', 'U', NULL, '{}')"),
        ("raw", "ROW('e', 'r', 'paid', 'U', NULL, NULL)"),
    ],
)
def test_a_malformed_notice_is_refused_by_its_field(desk: Desk, field: str, row: str) -> None:
    with desk.refused("PR111") as caught:
        desk.sql(
            "payrail_worker",
            f"SELECT payrail.receive_notices('sandbox', ARRAY[{row}::payrail.notice])",
            [],
        )
    assert field in str(caught.value.diag.message_detail)


def test_notices_of_many_merchants_and_claims_do_not_block_each_other(desk: Desk) -> None:
    desks = [desk, *(desk.beside() for _ in range(5))]
    payouts = [(each, each.payout("processing").hex) for each in desks for _ in range(3)]

    def tell(number: int) -> None:
        rows = ", ".join(
            f"ROW('{number}-{ref}', '{ref}', 'paid', 'U', NULL, '{{}}')::payrail.notice"
            for _, ref in (payouts if number % 2 else reversed(payouts))
        )
        with desk.database.connect("payrail_api", options="-c lock_timeout=0") as api:
            api.execute(f"SELECT payrail.receive_notices('sandbox', ARRAY[{rows}])".encode())

    def work(number: int) -> None:
        with desk.database.connect("payrail_worker", options="-c lock_timeout=0") as worker:
            for each in desks[number:] + desks[:number]:
                worker.execute("SELECT payrail.claim_payouts(%s)", [each.merchant_id])

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(tell, n) for n in range(8)] + [pool.submit(work, n) for n in range(6)]
        for job in jobs:
            job.result()
