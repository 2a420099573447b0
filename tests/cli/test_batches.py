from __future__ import annotations

import csv
import io
import json
import uuid
from pathlib import Path

import pytest

from tests.cli.conftest import Payrail
from tests.conftest import Database, Merchant

SHEET = "amount,bank_account_id,reference\n60.00,{0},wage-1\n30.50,{0},=2+3\n20,{0},wage-3\n"


@pytest.fixture
def sheet(merchant: Merchant, tmp_path: Path) -> Path:
    """A list of INR 110.50, where the merchant has INR 100."""
    path = tmp_path / "wages.csv"
    path.write_text(SHEET.format(merchant.bank_account_id))
    return path


def advance(database: Database, merchant: Merchant, batch: str) -> None:
    with database.connect("payrail_worker") as worker:
        worker.execute("SELECT payrail.advance_batch(%s, %s)", [merchant.merchant_id, batch])


def test_a_check_tells_what_would_be_refused(
    payrail: Payrail, merchant: Merchant, sheet: Path
) -> None:
    said = payrail("batch", "check", merchant.merchant_id, sheet)
    assert said.code == 1
    assert "insufficient_funds" in said.out
    assert " ".join(said.out.split()).startswith("lines 3 accepted 2 rejected 1 replayed 0")
    said = payrail("batch", "check", merchant.merchant_id, sheet, "--json")
    assert [error["line"] for error in json.loads(said.out)["errors"]] == [3]
    assert payrail("batch", "list", merchant.merchant_id, "--json").json == []


def test_a_batch_from_a_file_to_its_result(
    payrail: Payrail, merchant: Merchant, sheet: Path, shared_database: Database
) -> None:
    key = str(uuid.uuid4())
    create = ("batch", "create", merchant.merchant_id, sheet, "--name", "wages")
    made = payrail(*create, "--idempotency-key", key, "--json").json
    assert payrail(*create, "--idempotency-key", key, "--json").json == made
    assert (made["status"], made["lines"], made["name"]) == ("pending", 3, "wages")
    (listed,) = payrail("batch", "list", merchant.merchant_id).lines[2:]
    assert listed.startswith(f"{made['id']} pending best_effort wages 3 0 0")
    advance(shared_database, merchant, made["id"])
    shown = payrail("batch", "show", merchant.merchant_id, made["id"])
    assert "status completed" in shown.lines
    assert any(line.startswith("3 INR 20.00") for line in shown.lines)
    result = payrail("batch", "result", merchant.merchant_id, made["id"])
    rows = [*csv.DictReader(io.StringIO(result.out))]
    assert [row["outcome"] for row in rows] == ["accepted", "accepted", "rejected"]
    assert [row["amount"] for row in rows] == ["60.00", "30.50", "20.00"]
    assert rows[1]["reference"] == "'=2+3"
    lines = payrail("batch", "result", merchant.merchant_id, made["id"], "--json").json
    assert [line["reference"] for line in lines] == ["wage-1", "=2+3", "wage-3"]


def test_all_or_nothing(
    payrail: Payrail, merchant: Merchant, sheet: Path, shared_database: Database
) -> None:
    create = ("batch", "create", merchant.merchant_id, sheet, "--all-or-nothing", "--json")
    made = payrail(*create).json
    advance(shared_database, merchant, made["id"])
    shown = payrail("batch", "show", merchant.merchant_id, made["id"], "--json").json
    assert (shown["status"], shown["accepted"], shown["rejected"]) == ("rejected", 0, 1)


def test_a_batch_is_cancelled(payrail: Payrail, merchant: Merchant, sheet: Path) -> None:
    made = payrail("batch", "create", merchant.merchant_id, sheet, "--json").json
    cancel = ("batch", "cancel", merchant.merchant_id, made["id"])
    assert "status cancelled" in payrail(*cancel).lines
    assert payrail(*cancel, "--json").json["status"] == "cancelled"


def test_json_is_a_list_too(payrail: Payrail, merchant: Merchant, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    line = {"amount_paise": 100, "bank_account_id": merchant.bank_account_id}
    path.write_text(json.dumps({"payouts": [line]}))
    made = payrail("batch", "create", merchant.merchant_id, path, "--json").json
    assert made["totals"] == [{"currency": "INR", "lines": 1, "amount": 100}]
    payrail("batch", "cancel", merchant.merchant_id, made["id"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "There is no payout in it"),
        ("{", "line 1"),
        ("sum\n1\n", "'sum'"),
        (
            "amount,bank_account_id\nx,a\n1,\n",
            "2 things are wrong in the file, and nothing was kept; line 1: 'x' can not be paid",
        ),
    ],
)
def test_a_file_that_can_not_be_used_says_why(
    payrail: Payrail, merchant: Merchant, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "list"
    path.write_text(content)
    assert said in payrail("batch", "create", merchant.merchant_id, path).error


def test_what_is_not_there(payrail: Payrail, merchant: Merchant, tmp_path: Path) -> None:
    for command in ("show", "result", "cancel"):
        said = payrail("batch", command, merchant.merchant_id, uuid.uuid4())
        assert "(batch_not_found)" in said.error
    missing = payrail("batch", "check", merchant.merchant_id, tmp_path / "none.csv")
    assert "can not be read" in missing.error


def test_a_key_of_another_batch_is_refused(
    payrail: Payrail, merchant: Merchant, sheet: Path
) -> None:
    create = ("batch", "create", merchant.merchant_id, sheet, "--idempotency-key", "k")
    made = payrail(*create, "--json").json
    assert "(idempotency_key_reused)" in payrail(*create, "--all-or-nothing").error
    payrail("batch", "cancel", merchant.merchant_id, made["id"])
