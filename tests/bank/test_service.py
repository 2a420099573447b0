"""The sandbox bank keeps a bank's promises, and breaks what it is asked to break."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, get_args
from uuid import uuid4

import httpx
import pytest

from pyapp.bank import behaviour, wire
from pyapp.settings import ROOT
from tests import banks, servers
from tests.bank.conftest import crowd, enquire, is_lost, order, send, submit
from tests.banks import Bank
from tests.workers import until

COMMAND = (sys.executable, "-m", "pyapp", "sandbox-bank", "--until-eof")
REFUSALS = {
    "0101": "account_closed",
    "0102": "account_invalid",
    "0103": "account_frozen",
    "0199": "sandbox_says_no",
    "0201": "beneficiary_bank_offline",
}


def state(bank: Bank, rail_ref: str) -> str:
    return str(enquire(bank, rail_ref)["state"])


@pytest.mark.parametrize("ending", ["0001", "7777"])
def test_pays(bank: Bank, ending: str) -> None:
    one = order(ending)
    answer = send(bank, one)
    assert (answer["state"], answer["code"]) == ("paid", None)
    assert 1 <= len(answer["utr"]) <= 35
    assert answer["booked_at"]
    assert enquire(bank, one["rail_ref"]) == answer
    assert bank.instructions()[one["rail_ref"]]["executions"] == 1


@pytest.mark.parametrize(("ending", "code"), REFUSALS.items())
def test_refuses(bank: Bank, ending: str, code: str) -> None:
    one = order(ending)
    answer = send(bank, one)
    assert (answer["state"], answer["code"], answer["utr"]) == ("refused", code, None)
    assert enquire(bank, one["rail_ref"]) == answer
    assert bank.instructions()[one["rail_ref"]]["executions"] == 0


TO_NOBODY: Final[dict[str, Any]] = {"account_number": None, "ifsc": None}


@pytest.mark.parametrize(
    ("vpa", "state", "code"),
    [
        ("success@test", "paid", None),
        ("failure@test", "refused", "vpa_invalid"),
        ("somebody@else", "paid", None),
    ],
)
def test_pays_a_upi_address(bank: Bank, vpa: str, state: str, code: str | None) -> None:
    answer = send(bank, order(vpa=vpa, **TO_NOBODY))
    assert (answer["state"], answer["code"]) == (state, code)


def test_a_upi_address_may_time_out_or_send_back(bank: Bank) -> None:
    lost, returned = (order(vpa=vpa, **TO_NOBODY) for vpa in ("timeout@test", "returned@test"))
    assert is_lost(bank, lost)
    assert state(bank, lost["rail_ref"]) == "paid"
    bank.script("return", account_number="returned@test", seconds=0.3)
    assert send(bank, returned)["state"] == "paid"
    until(lambda: state(bank, returned["rail_ref"]) == "returned")


@pytest.mark.parametrize(
    ("iban", "state"), [("DE89370400440532013000", "paid"), ("DE83370400440532010101", "refused")]
)
def test_an_iban_has_endings_too(bank: Bank, iban: str, state: str) -> None:
    one = order(iban=iban, **TO_NOBODY)
    assert send(bank, one)["state"] == state
    assert bank.instructions()[one["rail_ref"]]["account_number"] == iban


@pytest.mark.parametrize(
    "account",
    [
        TO_NOBODY,
        {"ifsc": None},
        {"account_number": None},
        {"vpa": "asha@bank"},
        {**TO_NOBODY, "vpa": "asha@bank", "iban": "DE89370400440532013000"},
    ],
    ids=str,
)
def test_an_order_says_one_thing_of_where_the_money_goes(
    bank: Bank, account: dict[str, Any]
) -> None:
    response = bank.client.post("/v1/instructions", json={"instructions": [order(**account)]})
    assert response.status_code == 400
    assert response.json() == {
        "error": "invalid",
        "field": "instructions[0]",
        "detail": "Expected one of account_number and ifsc, vpa, iban",
    }


def test_is_slow(bank: Bank) -> None:
    bank.script("slow", account_number="slow0002", seconds=0.3)
    one = order(account_number="slow0002")
    assert send(bank, one)["state"] == "pending"
    until(lambda: state(bank, one["rail_ref"]) == "paid")


@pytest.mark.parametrize(("ending", "after"), [("0301", "paid"), ("0302", "refused")])
def test_loses_its_answer_but_knows_when_asked(bank: Bank, ending: str, after: str) -> None:
    one, other = order(ending), order("0001")
    assert is_lost(bank, one, other)
    assert (state(bank, one["rail_ref"]), state(bank, other["rail_ref"])) == (after, "paid")
    assert send(bank, one)["state"] == after
    assert bank.instructions()[one["rail_ref"]]["submissions"] == 2


def test_never_says_what_became_of_it(bank: Bank) -> None:
    one, other = order("0303"), order("0001")
    for path, body in (
        ("/v1/instructions", {"instructions": [one, other]}),
        ("/v1/enquiries", {"rail_refs": [one["rail_ref"], other["rail_ref"]]}),
    ):
        (said,) = bank.ask("POST", path, body)["answers"]
        assert said["rail_ref"] == other["rail_ref"]
    assert bank.decide(one["rail_ref"], "settle")["state"] == "paid"
    assert state(bank, one["rail_ref"]) == "paid"


def test_hangs_but_has_executed(bank: Bank) -> None:
    one = order("0304")
    with pytest.raises(httpx.ReadTimeout):
        bank.client.post("/v1/instructions", json={"instructions": [one]}, timeout=0.5)
    assert state(bank, one["rail_ref"]) == "paid"


def test_answers_garbage_but_has_executed(bank: Bank) -> None:
    one = order("0305")
    response = bank.client.post("/v1/instructions", json={"instructions": [one]})
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"decode|JSON"):
        response.json()
    assert state(bank, one["rail_ref"]) == "paid"


@pytest.mark.parametrize(("ending", "status"), [("0306", 500), ("0307", 429)])
def test_turns_a_whole_call_away_the_first_time(bank: Bank, ending: str, status: int) -> None:
    one, other = order(ending), order("0001")
    response = bank.client.post("/v1/instructions", json={"instructions": [other, one]})
    assert response.status_code == status
    assert ("retry-after" in response.headers) == (status == 429)
    for ref in (one["rail_ref"], other["rail_ref"]):
        assert state(bank, ref) == "not_found"
    assert {item["state"] for item in submit(bank, other, one).values()} == {"paid"}


def test_is_not_found_and_then_appears(bank: Bank) -> None:
    one = order("0308")
    assert is_lost(bank, one)
    assert bank.instructions()[one["rail_ref"]]["executions"] == 1
    states = [state(bank, one["rail_ref"]) for _ in range(3)]
    assert states == ["not_found", "not_found", "paid"]


def test_sends_money_back_after_it_has_paid(bank: Bank) -> None:
    bank.script("return", account_number="back0401", seconds=0.3, code="account_dormant")
    one = order(account_number="back0401")
    paid = send(bank, one)
    assert paid["state"] == "paid"
    until(lambda: state(bank, one["rail_ref"]) == "returned")
    returned = enquire(bank, one["rail_ref"])
    assert (returned["utr"], returned["code"]) == (paid["utr"], "account_dormant")


def test_pays_what_it_has_refused(bank: Bank) -> None:
    bank.script("flip", account_number="flip0601", seconds=0.3)
    one = order(account_number="flip0601")
    assert send(bank, one)["state"] == "refused"
    until(lambda: state(bank, one["rail_ref"]) == "paid")
    assert bank.instructions()[one["rail_ref"]]["executions"] == 1


def test_the_lively_account_is_a_mix_that_a_seed_decides() -> None:
    def outcomes(bank: Bank) -> list[tuple[str, str]]:
        said = submit(bank, *(order("0000", rail_ref=f"mix{n}") for n in range(1000)))
        return [(said[f"mix{n}"]["state"], said[f"mix{n}"]["code"]) for n in range(1000)]

    with banks.bank(SANDBOX_SEED="1") as bank:
        first = outcomes(bank)
        bank.ask("DELETE", "/admin/instructions")
        assert outcomes(bank) == first
    with banks.bank(SANDBOX_SEED="2") as bank:
        assert outcomes(bank) != first
    mix = Counter(state for state, _ in first)
    assert 640 <= mix["paid"] <= 760
    assert 140 <= mix["refused"] <= 260
    assert 60 <= mix["pending"] <= 140
    assert len({code for _, code in first if code}) >= 4


def test_does_not_know_what_it_never_got(bank: Bank) -> None:
    assert state(bank, uuid4().hex) == "not_found"


def test_drops_what_arrives_too_late(bank: Bank) -> None:
    late = order(valid_until="2020-01-01T00:00:00+05:30")
    assert send(bank, late)["state"] == "expired"
    assert state(bank, late["rail_ref"]) == "not_found"
    assert late["rail_ref"] not in bank.instructions()


def test_what_was_executed_in_time_is_told_also_when_it_comes_again_too_late(bank: Bank) -> None:
    one = order()
    paid = send(bank, one)
    assert send(bank, {**one, "valid_until": "2020-01-01T00:00:00Z"}) == paid


def test_executes_a_reference_once_and_notes_another_content(bank: Bank) -> None:
    one = order()
    first = send(bank, one)
    assert send(bank, {**one, "amount": 999}) == first
    assert send(bank, {**one, "account_number": "501002340101"}) == first
    assert submit(bank, one, one) == {one["rail_ref"]: first}
    known = bank.instructions()[one["rail_ref"]]
    assert (known["executions"], known["submissions"], known["conflicts"]) == (1, 5, 2)
    assert known["amount"] == one["amount"]


def test_executes_once_whoever_sends_at_the_same_time(bank: Bank) -> None:
    orders = [order() for _ in range(40)]
    first, *others = crowd(bank, orders, times=16)
    assert all(said == first for said in others)
    truth = bank.instructions()
    counts = {
        (truth[one["rail_ref"]]["executions"], truth[one["rail_ref"]]["submissions"])
        for one in orders
    }
    assert counts == {(1, 16)}
    assert len({item["utr"] for item in first.values()}) == 40


def test_a_script_for_a_reference_comes_before_one_for_its_account(bank: Bank) -> None:
    one, other = order(account_number="scripted1"), order(account_number="scripted1")
    bank.script("refuse", account_number="scripted1", code="name_mismatch")
    bank.script("pending", rail_ref=one["rail_ref"])
    said = submit(bank, one, other)
    assert said[one["rail_ref"]]["state"] == "pending"
    assert said[other["rail_ref"]]["code"] == "name_mismatch"


def test_is_turned_away_as_often_as_the_script_says(bank: Bank) -> None:
    one = order()
    bank.script("error", rail_ref=one["rail_ref"], times=3)
    body = {"instructions": [one]}
    statuses = [bank.client.post("/v1/instructions", json=body).status_code for _ in range(4)]
    assert statuses == [500, 500, 500, 200]
    assert bank.instructions()[one["rail_ref"]]["submissions"] == 1


def test_an_administrator_decides(bank: Bank) -> None:
    one, other = order(), order()
    for item in (one, other):
        bank.script("slow", rail_ref=item["rail_ref"], seconds=3600)
        assert send(bank, item)["state"] == "pending"
    paid = bank.decide(one["rail_ref"], "settle")
    assert paid["state"] == "paid"
    assert bank.decide(one["rail_ref"], "settle") == paid
    returned = bank.decide(one["rail_ref"], "return", code="account_frozen")
    assert (returned["state"], returned["utr"]) == ("returned", paid["utr"])
    assert bank.decide(other["rail_ref"], "refuse", code="name_mismatch")["code"] == "name_mismatch"
    assert bank.decide(other["rail_ref"], "settle")["state"] == "paid"  # a late success
    for ref, decision, status in (
        (one["rail_ref"], "settle", 409),
        (other["rail_ref"], "refuse", 409),
        (uuid4().hex, "settle", 404),
        ("not a ref", "settle", 404),
    ):
        response = bank.client.post(f"/admin/instructions/{ref}/{decision}")
        assert (response.status_code, response.json()["field"]) == (status, "rail_ref")


def test_faults_drop_calls_before_and_after_they_are_executed() -> None:
    with banks.bank() as bank:
        bank.faults(drop=1, seed=7)
        orders = [order() for _ in range(40)]
        assert all(is_lost(bank, one) for one in orders)
        assert 5 <= len(bank.instructions()) <= 35
        bank.kill()
        bank.start()  # and still
        assert is_lost(bank, order())
        bank.faults()
        assert len(submit(bank, *orders)) == 40
        assert {item["executions"] for item in bank.instructions().values()} == {1}


def test_what_was_answered_survives_being_killed() -> None:
    with banks.bank() as bank:
        bank.script("pending", account_number="pending1")
        orders = (order(), order("0101"), order(account_number="pending1"))
        before = submit(bank, *orders)
        truth = bank.instructions()
        bank.kill()
        with pytest.raises(httpx.ConnectError):
            bank.client.get("/healthz")
        bank.start()
        assert {ref: state(bank, ref) for ref in before} == {
            ref: item["state"] for ref, item in before.items()
        }
        assert {ref: item["submissions"] for ref, item in bank.instructions().items()} == {
            ref: item["submissions"] for ref, item in truth.items()
        }


def test_being_killed_in_the_middle_executes_everything_at_most_once() -> None:
    """Customers go on sending, as they do after an outage, until each has its answer."""
    with banks.bank() as bank:
        utrs: dict[str, set[str]] = {}
        stop = threading.Event()

        def customer(number: int) -> None:
            orders = [order(rail_ref=f"{number}-{n}") for n in range(20)]
            while not stop.is_set():
                try:
                    said = submit(bank, *orders)
                except httpx.TransportError:
                    continue
                for ref, item in said.items():
                    utrs.setdefault(ref, set()).add(item["utr"])

        threads = [threading.Thread(target=customer, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for n in range(3):
            until(lambda n=n: len(utrs) > 10 * n)  # type: ignore[misc]
            bank.kill()
            bank.start()
        until(lambda: len(utrs) == 80)
        stop.set()
        for thread in threads:
            thread.join()
        truth = bank.instructions()
        assert {ref: {item["utr"]} for ref, item in truth.items()} == utrs
        assert {item["executions"] for item in truth.values()} == {1}
        assert any(item["submissions"] > 1 for item in truth.values())


def test_forgets_everything_but_never_uses_a_utr_again() -> None:
    with banks.bank() as bank:
        one = order()
        bank.script("refuse", rail_ref="scripted")
        before = send(bank, one)
        assert bank.client.delete("/admin/instructions").status_code == 204
        assert bank.instructions() == {}
        after = send(bank, one)
        assert after["utr"] != before["utr"]
        assert send(bank, order(rail_ref="scripted"))["state"] == "paid"


# ----------------------------------------------------------------------------------------- input

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"amount": 0}, "amount"),
    ({"amount": 1.5}, "amount"),
    ({"amount": "100"}, "amount"),
    ({"amount": 10**30}, "amount"),
    ({"currency": "inr"}, "currency"),
    ({"account_number": "12"}, "account_number"),
    ({"account_number": "1234 5678"}, "account_number"),
    ({"ifsc": "HDFC1000001"}, "ifsc"),
    ({"vpa": "no address"}, "vpa"),
    ({"iban": "DE00"}, "iban"),
    ({"holder_name": ""}, "holder_name"),
    ({"holder_name": None}, "holder_name"),
    ({"mode": "neft"}, "mode"),
    ({"narration": ""}, "narration"),
    ({"narration": "x" * 31}, "narration"),
    ({"valid_until": "2099-01-01T00:00:00"}, "valid_until"),
    ({"valid_until": "tomorrow"}, "valid_until"),
    ({"rail_ref": "../../x"}, "rail_ref"),
    ({"rail_ref": "a" * 65}, "rail_ref"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=str)
def test_names_the_field_that_is_wrong(bank: Bank, wrong: dict[str, Any], field: str) -> None:
    body = {"instructions": [order(), {**order(), **wrong}]}
    response = bank.client.post("/v1/instructions", json=body)
    assert response.status_code == 400, response.text
    said = response.json()
    assert (said["error"], said["field"]) == ("invalid", f"instructions[1].{field}") or (
        field == "colour"
        and said["field"] in {"instructions[1].colour", "instructions[...].colour"}
    )
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/instructions", b"{", 400, None),
        ("/v1/instructions", b"\xff", 400, None),
        ("/v1/instructions", b"[" * 100_000, 400, None),
        ("/v1/instructions", b"", 400, "instructions"),
        ("/v1/instructions", b"[]", 400, None),
        ("/v1/instructions", b'{"instructions": []}', 400, "instructions"),
        ("/v1/instructions", b'{"instructions": [' + b" " * 2**20 + b"]}", 413, None),
        ("/v1/enquiries", b'{"rail_refs": [1]}', 400, "rail_refs[0]"),
        ("/admin/scripts", b'{"behaviour": "accept"}', 400, "rail_ref"),
        ("/admin/scripts", b'{"behaviour": "x", "rail_ref": "a"}', 400, "behaviour"),
        ("/admin/faults", b'{"drop": 2}', 400, "drop"),
        ("/admin/faults", b'{"dorp": 0.5}', 400, "dorp"),
    ],
)
def test_refuses_what_it_does_not_understand(
    bank: Bank, path: str, body: bytes, status: int, field: str | None
) -> None:
    response = bank.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["field"]) == (status, field), response.text


def test_one_call_has_a_thousand_instructions_at_most(bank: Bank) -> None:
    assert len(submit(bank, *(order() for _ in range(1000)))) == 1000
    too_many = {"instructions": [order() for _ in range(1001)]}
    response = bank.client.post("/v1/instructions", json=too_many)
    assert (response.status_code, response.json()["field"]) == (400, "instructions")


def test_a_body_has_to_say_that_it_is_json(bank: Bank) -> None:
    assert bank.client.post("/v1/enquiries", content=b"{}").status_code == 415


@pytest.mark.parametrize("path", ["/nowhere", "/v1/instructions/", "/admin"])
def test_there_is_nothing_elsewhere(bank: Bank, path: str) -> None:
    response = bank.client.get(path)
    assert (response.status_code, response.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/instructions"),
        ("POST", "/v1/enquiries"),
        ("GET", "/v1/reports/2026-01-31"),
        ("POST", "/admin/scripts"),
        ("POST", "/admin/faults"),
        ("GET", "/admin/instructions"),
        ("DELETE", "/admin/instructions"),
        ("POST", "/admin/instructions/x/settle"),
    ],
)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic eDp5", "Bearer \xe9"])
def test_nothing_is_said_without_the_key(bank: Bank, method: str, path: str, header: str) -> None:
    headers = {b"Authorization": header.encode("latin-1")}
    response = bank.client.request(method, path, headers=headers)
    assert (response.status_code, response.json()["error"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_log_has_no_account_number_and_no_secret(bank: Bank) -> None:
    one = order()
    send(bank, one)
    send(bank, {**one, "amount": 1})
    text = bank.log.read_text()
    assert "another content" in text
    for secret in (one["account_number"], one["holder_name"], banks.KEY, banks.SECRET):
        assert secret not in text


# ------------------------------------------------------------------------------------- the process


def test_it_may_be_set_to_execute_all_it_is_sent() -> None:
    with banks.bank(SANDBOX_DEDUPLICATES="0") as own:
        one, late = order("0001"), {"valid_until": "2020-01-01T00:00:00Z"}
        answers = [send(own, one), send(own, one)]
        assert [answer["state"] for answer in answers] == ["paid", "paid"]
        utrs = [answer["utr"] for answer in answers]
        assert utrs[0] != utrs[1]
        own.ask("POST", "/v1/instructions", {"instructions": [{**one, **late}]})
        known = own.instructions()[one["rail_ref"]]
        assert (known["executions"], known["submissions"], known["utr"]) == (2, 3, utrs[1])
        report = own.ask("GET", f"/v1/reports/{datetime.now(UTC).date()}")
        assert [entry["utr"] for entry in report["entries"]] == utrs
        returned = own.decide(one["rail_ref"], "return")
        assert returned["utr"] == utrs[1]

        own.kill()
        own.start()
        assert own.instructions()[one["rail_ref"]]["executions"] == 2
        own.kill()
        own.settings["SANDBOX_DEDUPLICATES"] = "1"
        with pytest.raises(AssertionError, match="SANDBOX_BANK_FILE"):
            own.start()


def test_serves_on_a_socket_that_it_inherits() -> None:
    with servers.folder() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with subprocess.Popen(
            [*COMMAND, "--fd", str(listener.fileno())],
            env={"SANDBOX_BANK_FILE": str(folder / "new" / "bank.sqlite"), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        ) as process:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
            assert (folder / "new" / "bank.sqlite").exists()
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == -signal.SIGTERM


def test_what_it_can_not_use_is_one_line() -> None:
    with servers.folder() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        file, port = str(folder / "bank.sqlite"), str(taken.getsockname()[1])
        for environment, words in (
            ({"SANDBOX_BANK_FILE": file, "SANDBOX_BANK_PORT": port}, "SANDBOX_BANK_PORT"),
            ({"SANDBOX_BANK_FILE": str(folder), "SANDBOX_BANK_PORT": "0"}, "SANDBOX_BANK_FILE"),
        ):
            done = subprocess.run(
                COMMAND[:-1],
                env={**environment, "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert words in done.stderr


def test_a_behaviour_is_named_wherever_it_can_be_asked_for() -> None:
    assert set(get_args(wire.Name)) == set(behaviour.NAMED)
    page = (ROOT / "docs" / "sandbox.md").read_text()
    for name in (*behaviour.NAMED, *behaviour.ENDINGS, *behaviour.VPAS):
        assert f"`{name}`" in page, name
    for mix in behaviour.ENDINGS.values():
        assert mix[-1][0] == 100
        for _, way in mix:
            for step in way.steps:
                assert step.code is None or f"`{step.code}`" in page
