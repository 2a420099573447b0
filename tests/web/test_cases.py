"""What operators see of banks and decide about cases, and what merchants are told meanwhile."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.desk import Desk
from tests.web.conftest import Connection
from tests.web.test_console import NewOperator, Operator, at
from tests.web.test_console import asha as asha  # noqa: PLC0414
from tests.web.test_console import desk as desk  # noqa: PLC0414
from tests.web.test_console import new_operator as new_operator  # noqa: PLC0414
from tests.web.test_dashboard import EVIL, NOBODY
from tests.web.visitor import Page, Visitor

NOTE = "Ravi at the bank has it on his screen"


@pytest.fixture
def bala(new_operator: NewOperator) -> Operator:
    """Another operator who is signed in."""
    bala = new_operator()
    bala.enter()
    return bala


@pytest.fixture
def merchant(asha: Operator, desk: Desk) -> Visitor:
    """The merchant's own browser."""
    merchant = Visitor(asha.client)
    merchant.sign_in(desk.secret)
    return merchant


def stuck(desk: Desk) -> tuple[UUID, str]:
    """Return a processing payout of which nobody knows the outcome, and its case."""
    payout_id = desk.payout("processing", 4000)
    desk.say(payout_id, "unknown", "no answer")
    return payout_id, case_of(desk, payout_id, "outcome_unknown")


def case_of(desk: Desk, payout_id: UUID, kind: str) -> str:
    """Open a case as the doors do, and return its id."""
    desk.sql(
        "payrail_owner",
        "SELECT rail.open_case(%s, 'sandbox', %s, %s, %s, 4000, 'INR', 'What became of it?')",
        [kind, payout_id.hex, desk.merchant_id, payout_id],
    )
    (row,) = desk.sql(
        "payrail_operator",
        "SELECT case_id FROM payrail.cases WHERE payout_id = %s AND kind = %s",
        [payout_id, kind],
    )
    return str(row["case_id"])


def place(case_id: str, *rest: str) -> str:
    return "/".join(["/ops/cases", case_id, *rest])


def propose(who: Operator, case_id: str, action: str = "settle", **fields: str) -> Page:
    given = {"utr": "UTR77"} if action == "settle" else {}
    form = {"token": who.token(), "action": action, "note": NOTE} | given | fields
    return who.post(place(case_id, "propose"), form)


def decide(who: Operator, case_id: str, decision: str, **fields: str) -> Page:
    page = who.get(place(case_id))
    form = {"token": who.token(), "proposal_id": page.fields.get("proposal_id", NOBODY)}
    return who.post(place(case_id, "decide"), form | {"decision": decision} | fields)


# ------------------------------------------------------------------------------------- deciding


def test_two_operators_settle_a_payout(
    asha: Operator, bala: Operator, desk: Desk, operator: Connection
) -> None:
    payout_id, case_id = stuck(desk)
    assert propose(asha, case_id).location == place(case_id)
    assert desk.see(payout_id)["status"] == "processing"
    page = bala.get(place(case_id))
    for text in ("Settle with UTR UTR77", NOTE, f"By {asha.name}", "₹40.00"):
        assert text in page.text
    assert decide(bala, case_id, "confirm").location == place(case_id)
    assert (desk.see(payout_id)["status"], desk.see(payout_id)["utr"]) == ("settled", "UTR77")
    page = asha.get(place(case_id))
    for text in ("Closed", f"{asha.name}+{bala.name}", f"settle UTR77: {NOTE}", "Paid out ₹40.00"):
        assert text in page.text
    assert page.actions == {"/ops/sign-out"}
    assert "Said by an operator" in asha.get(at(desk, "payouts", payout_id)).text
    done = [row["action"] for row in actions(operator, case_id)]
    assert done == ["resolution_proposed", "resolution_confirmed"]
    assert f"/ops/cases/{case_id}" in asha.get("/ops/actions").values("href")


def test_two_operators_fail_a_payout_and_its_money_is_back(
    asha: Operator, bala: Operator, desk: Desk
) -> None:
    payout_id, case_id = stuck(desk)
    propose(asha, case_id, "fail", failure_code="not_executed")
    page = decide(bala, case_id, "confirm")
    assert "The bank may still execute what was sent last." in page.text
    assert desk.see(payout_id)["status"] == "processing"
    desk.let_bank_be_final(payout_id)
    decide(bala, case_id, "confirm")
    assert desk.see(payout_id)["failure_code"] == "not_executed"
    assert desk.balance() == (10_000, 0)


def test_closing_moves_no_money(asha: Operator, bala: Operator, desk: Desk) -> None:
    payout_id = desk.payout("failed", 4000)
    case_id = case_of(desk, payout_id, "money_to_recover")
    page = asha.get(place(case_id))
    assert page.values("value", "input").count("close") == 1
    assert not {"settle", "fail"} & {*page.values("value", "input")}
    propose(asha, case_id, "close")
    with desk.unchanged():
        assert decide(bala, case_id, "confirm").location
    assert "Closed" in asha.get(place(case_id)).text


def actions(operator: Connection, case_id: str) -> list[dict[str, Any]]:
    return operator.execute(
        "SELECT action, actor FROM payrail.operator_actions WHERE object = %s ORDER BY action_id",
        [case_id],
    ).fetchall()


def test_nobody_confirms_alone(asha: Operator, desk: Desk) -> None:
    _, case_id = stuck(desk)
    propose(asha, case_id)
    page = asha.get(place(case_id))
    assert "Another operator has to confirm it." in page.text
    assert page.values("value", "input").count("confirm") == 0
    with desk.unchanged():
        page = decide(asha, case_id, "confirm")
    assert page.status == 403
    assert "Nothing was changed. Another operator than the one who proposed it" in page.text
    assert decide(asha, case_id, "reject").location == place(case_id)
    assert "Propose a resolution" in asha.get(place(case_id)).text


def test_a_rejected_proposal_leaves_the_case_open(
    asha: Operator, bala: Operator, desk: Desk
) -> None:
    _, case_id = stuck(desk)
    propose(asha, case_id)
    with desk.unchanged():
        assert decide(bala, case_id, "reject").location == place(case_id)
    page = bala.get(place(case_id))
    assert "Resolution rejected" in page.text
    assert propose(bala, case_id, "fail", failure_code="not_executed").status == 303


def test_one_proposal_waits_at_a_time(asha: Operator, bala: Operator, desk: Desk) -> None:
    _, case_id = stuck(desk)
    propose(asha, case_id)
    page = propose(bala, case_id, utr="UTR78")
    assert page.status == 409
    assert "Another proposal is waiting" in page.text
    assert "UTR77" in page.text


def test_what_was_decided_meanwhile_is_not_decided_again(
    asha: Operator, bala: Operator, desk: Desk
) -> None:
    _, case_id = stuck(desk)
    propose(asha, case_id)
    form = {"proposal_id": bala.get(place(case_id)).fields["proposal_id"], "decision": "confirm"}
    decide(bala, case_id, "confirm")
    with desk.unchanged():
        page = bala.post(place(case_id, "decide"), form | {"token": bala.token()})
        assert page.status == 404
        assert "decided already" in page.text
        page = propose(asha, case_id)
    assert page.status == 409
    assert "The case was closed meanwhile." in page.text


def test_a_bank_that_answers_first_wins(asha: Operator, bala: Operator, desk: Desk) -> None:
    payout_id, case_id = stuck(desk)
    propose(asha, case_id)
    desk.settle_batch((payout_id, "OTHER", None))
    with desk.unchanged():
        page = decide(bala, case_id, "confirm")
    assert page.status == 409
    assert "Nothing was changed." in page.text
    assert desk.see(payout_id)["utr"] == "OTHER"


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("action", {"action": ""}),
        ("action", {"action": "pay"}),
        ("note", {"note": ""}),
        ("note", {"note": " \n"}),
        ("note", {"note": "x" * 1001}),
        ("note", {"note": "a\x07b"}),
        ("utr", {"utr": ""}),
        ("utr", {"utr": "x" * 36}),
        ("utr", {"utr": "a\nb"}),
        ("failure_code", {"action": "fail", "failure_code": ""}),
        ("failure_code", {"action": "fail", "failure_code": "UTR1"}),
    ],
)
def test_what_is_wrong_with_a_proposal_is_said_at_its_field(
    asha: Operator, desk: Desk, operator: Connection, field: str, fields: dict[str, str]
) -> None:
    _, case_id = stuck(desk)
    page = propose(asha, case_id, **{"action": "settle", **fields})
    assert page.status == 422
    assert f"{field}-error" in page.values("aria-describedby")
    assert f"{field}-error" in page.values("id")
    if field != "note":
        assert NOTE in page.text
    assert actions(operator, case_id) == []


def test_a_payout_that_has_ended_can_only_be_closed(asha: Operator, desk: Desk) -> None:
    case_id = case_of(desk, desk.payout("failed"), "money_to_recover")
    page = propose(asha, case_id)
    assert page.status == 409
    assert "action-error" in page.values("aria-describedby", "fieldset")


def test_a_proposal_needs_the_sessions_token(
    asha: Operator, bala: Operator, desk: Desk, operator: Connection
) -> None:
    _, case_id = stuck(desk)
    for token in ("", bala.token()):
        assert propose(asha, case_id, token=token).status == 403
    assert actions(operator, case_id) == []
    propose(asha, case_id)
    for token in ("", asha.token()):
        assert decide(bala, case_id, "confirm", token=token).status == 403
    for decision in ("", "CONFIRM"):
        assert decide(bala, case_id, decision).status == 422
    assert len(actions(operator, case_id)) == 1


def test_cases_that_are_not_there_are_pages(asha: Operator) -> None:
    for path in ("/ops/cases/x", place(NOBODY), "/ops/reports/x", f"/ops/reports/{NOBODY}"):
        assert asha.get(path).status == 404, path
    assert propose(asha, NOBODY).status == 404
    assert decide(asha, NOBODY, "reject").status == 404


@pytest.mark.parametrize(
    "query", ["state=x", "kind=x", "cursor=x", "limit=0", "state=open&state=closed"]
)
def test_a_bad_query_for_cases_is_a_page(asha: Operator, query: str) -> None:
    assert asha.get(f"/ops/cases?{query}").status == 422


# --------------------------------------------------------------------------------------- looking


def test_cases_are_listed_by_state_and_kind(asha: Operator, bala: Operator, desk: Desk) -> None:
    made = [case_of(desk, desk.payout("failed", 100), "money_to_recover") for _ in range(3)]
    _, other = stuck(desk)
    propose(asha, made[0], "close")
    decide(bala, made[0], "confirm")
    path, shown = "/ops/cases?kind=money_to_recover&limit=1", []
    for _ in range(2):
        page = asha.get(path)
        shown += cases_on(page)
        (path,) = [str(each["href"]) for _, each in page.elements if each.get("rel") == "next"] or [
            ""
        ]
    assert shown == made[:0:-1]
    assert other in cases_on(asha.get("/ops/cases?limit=100"))
    closed = asha.get("/ops/cases?state=closed&kind=money_to_recover&kind=contradiction")
    assert cases_on(closed)[0] == made[0]


def cases_on(page: Page) -> list[str]:
    return [
        one[11:] for one in page.values("href") if re.fullmatch(r"/ops/cases/[-0-9a-f]{36}", one)
    ]


def test_the_overview_counts_open_cases(asha: Operator, desk: Desk) -> None:
    before = int(re.findall(r"payouts (\d+) cases", asha.get("/ops").text)[0])
    stuck(desk)
    assert f"payouts {before + 1} cases" in asha.get("/ops").text


def test_what_a_bank_says_is_shown_as_text_with_its_hash(asha: Operator, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    raw = {"said": EVIL, "amount": 1.5}
    desk.record((payout_id, "unknown", None, None, EVIL, raw, 1))
    event = secrets.token_hex(8)
    desk.sql(
        "payrail_worker",
        "SELECT * FROM payrail.receive_notices('sandbox',"
        " ARRAY[ROW(%s, %s, 'paid', 'UTR1', %s, %s)::payrail.notice])",
        [f"{EVIL}{event}", payout_id.hex, EVIL, json.dumps(raw)],
    )
    case_id = case_of(desk, payout_id, "outcome_unknown")
    (kept,) = desk.sql(
        "payrail_auditor",
        "SELECT answer::text AS text FROM payrail.evidence WHERE payout_id = %s",
        [payout_id],
    )
    for path in (place(case_id), at(desk, "payouts", payout_id)):
        page = asha.get(path)
        assert page.text.count(EVIL) >= 3
        assert page.text.count(json.dumps(EVIL)) == 2
        assert "No clear answer" in page.text
        assert f"{EVIL}{event}" in page.text
        assert hashlib.sha256(kept["text"].encode()).hexdigest() in page.text
        assert page.values("onerror") == []
        assert not {"x"} & set(page.values("src"))
    assert f"/ops/cases/{case_id}" in asha.get(at(desk, "payouts", payout_id)).values("href")


def test_what_operators_write_is_shown_as_text(asha: Operator, bala: Operator, desk: Desk) -> None:
    _, case_id = stuck(desk)
    propose(asha, case_id, note=EVIL, utr=EVIL[:35])
    for path in (place(case_id), "/ops/actions", "/ops/cases"):
        page = bala.get(path)
        assert page.values("onerror") == []
        assert not {"x"} & set(page.values("src"))
    assert bala.get(place(case_id)).text.count(EVIL) == 2


def test_a_banks_page_tells_how_it_is_doing(asha: Operator, desk: Desk) -> None:
    def report(action: str, calls: int, failed: int, error: str | None = None) -> None:
        desk.sql(
            "payrail_worker",
            "SELECT payrail.report_calls(%s, %s, %s, %s, %s, '2 seconds', %s)",
            [bank, action, calls, failed, calls, error],
        )

    bank = f"b{secrets.token_hex(4)}"
    desk.sql(
        "payrail_worker",
        "SELECT payrail.declare_rail(%s, FALSE, TRUE, 7, '2 hours')",
        [bank],
    )
    part = asha.get("/ops/rails").text.partition(f"{bank} Breaker closed")[2]
    assert "Failures in a row 0 Last success" in part
    for text in ("7 at most", "2.0 h", "waits for people", "0 calls, 0 failed, mean -"):
        assert text in part
    report("enquire", 3, 0)
    report("submit", 5, 5, EVIL)
    page = asha.get("/ops/rails")
    part = page.text.partition(f"{bank} Breaker open")[2]
    for text in ("Nothing new is sent to it", "Failures in a row 5", EVIL, "8 calls, 5 failed"):
        assert text in part
    assert "mean 500 ms" in part
    assert "8 5 500 ms" in part
    assert page.values("onerror") == []
    assert f"{bank} is not answering." in asha.get("/ops").text
    report("submit", 1, 0)
    assert f"{bank} is not answering." not in asha.get("/ops").text


def test_a_report_is_shown_beside_our_books_differences_first(asha: Operator, desk: Desk) -> None:
    paid, other = desk.payout("settled", 4000), desk.payout("settled", 3000)
    strange = secrets.token_hex(16)
    now = datetime.now(UTC)
    lines = [
        (paid.hex, 4000, f"UTR-{paid.hex[-20:]}"),
        (other.hex, 3100, f"UTR-{other.hex[-20:]}"),
        (strange, 5, EVIL[:35]),
    ]
    (row,) = desk.sql(
        "payrail_operator",
        "SELECT report_id FROM payrail.import_report('sandbox', %s, %s, %s, %s, ARRAY["
        + ", ".join(["ROW('e', %s, 'payment', %s, 'INR', %s, NULL, NULL)::payrail.report_line"] * 3)
        + "])",
        [
            *(f"books {EVIL}", secrets.token_bytes(32)),
            *(now - timedelta(days=3), now - timedelta(days=2)),
            *(value for line in lines for value in line),
        ],
    )
    path = f"/ops/reports/{row['report_id']}"
    assert path in asha.get("/ops/reports").values("href")
    page = asha.get(path)
    for text in ("Another amount 1", "Unknown to us 1", "Matched 1", f"books {EVIL}"):
        assert text in page.text
    assert page.values("onerror") == []
    order = re.findall(r"(Another amount|Unknown to us|Matched) (?:Case )?\d Payment", page.text)
    assert order == ["Another amount", "Unknown to us", "Matched"]
    cases = cases_on(page)
    assert len(cases) == 2
    first = asha.get(place(cases[0]))
    assert "The bank's amount ₹31.00" in first.text
    assert "minor units" not in first.text
    assert path in first.values("href")
    assert strange in asha.get(place(cases[1])).text
    shown = asha.get(f"{path}?limit=2")
    assert "Matched 1" in shown.text
    (more,) = [str(each["href"]) for _, each in shown.elements if each.get("rel") == "next"]
    assert re.search(r"Matched 1 Payment", asha.get(more).text)
    for cursor in ("LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"):
        assert asha.get(f"{path}?cursor={cursor}").status == 422


# ------------------------------------------------------------------------------ what merchants see


def timeline(page: Page) -> str:
    return page.text.partition("What happened ")[2].partition(" In the ledger")[0]


def test_a_merchant_is_told_plainly_what_happens(merchant: Visitor, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    path = f"/payouts/{payout_id}"
    assert [*steps(merchant, path)] == ["Requested", "Sent to the bank"]
    raw = {"their": "own words"}
    desk.record((payout_id, "unknown", None, None, "read timeout", raw, 1))
    asked = desk.see(payout_id)["next_action_at"].astimezone(UTC)
    assert steps(merchant, path)["The bank has not answered"] == (
        f"We ask again at {asked:%-d %b %Y, %H:%M:%S} UTC."
    )
    desk.make_due(payout_id)
    desk.claim()
    assert steps(merchant, path)["The bank has not answered"] == ""
    desk.record((payout_id, "pending", None, None, "queued", raw, 2))
    assert [*steps(merchant, path)][3:] == ["The bank has it and is working on it"]
    desk.make_due(payout_id)
    desk.claim()
    desk.record((payout_id, "paid", None, "UTR9", None, raw, 3))
    page = merchant.get(path)
    assert "Paid, UTR UTR9" in timeline(page)
    assert "We ask again" not in page.text
    desk.record((payout_id, "returned", "R01", "UTR9", "account closed", raw, None))
    page = merchant.get(path)
    assert "Sent back by the beneficiary's bank: account closed" in timeline(page)
    for secret in ("own words", "payrail_worker", "queued"):
        assert secret not in page.html


def steps(merchant: Visitor, path: str) -> dict[str, str]:
    """Return the titles of a timeline's steps, and what is noted with each."""
    html = merchant.get(path).html.partition('<ol class="timeline">')[2].partition("</ol>")[0]
    found = re.findall(r"<strong>(.*?)</strong>.*?</time>(?:<br><span.*?>(.*?)</span>)?</li>", html)
    return dict(found)


def test_answers_that_repeat_are_one_step(merchant: Visitor, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    for _ in range(3):
        desk.say(payout_id, "unknown")
        desk.make_due(payout_id)
        desk.claim()
    assert "The bank has not answered (3 times)" in timeline(merchant.get(f"/payouts/{payout_id}"))


def test_what_never_left_is_not_said_to_be_sent(merchant: Visitor, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    desk.say(payout_id, "not_sent", "connection refused")
    assert desk.see(payout_id)["status"] == "pending"
    text = timeline(merchant.get(f"/payouts/{payout_id}"))
    assert "Sent to the bank" not in text
    assert "The bank could not be reached, nothing was sent" in text
    assert "We send at" in text


def test_what_waits_for_a_file_is_not_said_to_be_at_the_bank(merchant: Visitor, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    path = f"/payouts/{payout_id}"
    desk.record((payout_id, "pending", None, None, "it waits", {"queue": "queued"}, 1))
    assert [*steps(merchant, path)] == ["Requested", "Put in line for the next payment file"]
    places = [
        ({"file": None, "sent_at": None}, "It waits for the next payment file"),
        ({"file": "PR1", "sent_at": None}, "In the payment file PR1, which has not left yet"),
        (
            {"file": "PR1", "sent_at": "…"},
            "Sent in the payment file PR1, the bank has not answered",
        ),
        ({"status": "ACSP"}, "The bank has it and is working on it"),
    ]
    for attempt, (raw, title) in enumerate(places, 2):
        desk.make_due(payout_id)
        desk.claim()
        desk.record((payout_id, "pending", None, None, "…", raw, attempt))
        assert [*steps(merchant, path)][-1] == title


def test_what_is_sent_again_has_the_same_reference(merchant: Visitor, desk: Desk) -> None:
    payout_id = desk.payout("processing", 4000)
    desk.say(payout_id, "unknown")
    desk.make_due(payout_id)
    desk.claim()
    desk.say(payout_id, "not_found")
    desk.claim()
    text = timeline(merchant.get(f"/payouts/{payout_id}"))
    assert "The bank has not seen it so far" in text
    assert "Sent to the bank again" in text


def test_a_merchant_is_told_of_a_case_only_that_the_bank_is_asked(
    merchant: Visitor, desk: Desk
) -> None:
    payout_id, _ = stuck(desk)
    page = merchant.get(f"/payouts/{payout_id}")
    assert "We are checking with the bank." in page.text
    assert "What became of it?" not in page.text
    desk.settle_batch((payout_id, "UTR1", None))
    desk.fail_batch((payout_id, "account_closed", "contradiction", {"a": "raw"}))
    page = merchant.get(f"/payouts/{payout_id}")
    for text in ("We are checking", "contradiction", "account_closed", "raw"):
        assert text not in page.text
