"""`payrail anchor` and `payrail verify`."""

from __future__ import annotations

import json
import resource
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Payrail
from tests.conftest import Database, Merchant, new_merchant
from tests.desk import Desk


@pytest.fixture
def key(payrail: Payrail, tmp_path: Path) -> Path:
    """A key, and its public half beside it."""
    path = tmp_path / "key"
    assert payrail("anchor", "new-key", path).lines == [
        f"{path} signs, {path}.pub verifies: keep them apart"
    ]
    return path


@pytest.fixture
def taken(payrail: Payrail, key: Path, merchant: Merchant) -> Path:
    """Anchors of a ledger that this merchant is in."""
    path = key.with_name("anchors")
    found = payrail("anchor", "take", key, path, "--json").json
    assert found == {"file": str(path), "anchors": path.read_text().count('"seq":')}
    assert str(merchant.merchant_id) in path.read_text()
    return path


def test_a_ledger_is_as_it_was(payrail: Payrail, key: Path, taken: Path) -> None:
    found = payrail("verify", "--public-key", f"{key}.pub", taken)
    assert found.lines[-1].endswith("entries are as anchored, 0 newer ones continue them")
    found = payrail("verify", "--public-key", f"{key}.pub", taken, "--json")
    assert (found.json["faults"], found.json["fault_count"]) == ([], 0)
    assert found.json["files"][0]["file"] == str(taken)
    assert found.json["entries"] == found.json["anchored"]
    assert found.json["entries"] >= found.json["chains"] == found.json["files"][0]["anchors"]


def test_what_is_newer_than_its_anchors_is_not_said_to_be_as_it_was(
    payrail: Payrail, key: Path, taken: Path, shared_database: Database
) -> None:
    before = payrail("verify", "--public-key", f"{key}.pub", taken, "--json").json
    new_merchant(shared_database)
    verdict = payrail("verify", "--public-key", f"{key}.pub", taken).lines[-1]
    anchored = before["entries"]
    assert verdict == f"{anchored} entries are as anchored, 1 newer ones continue them"


def test_without_anchors_the_hashes_are_checked(payrail: Payrail, merchant: Merchant) -> None:
    verdict = payrail("verify").lines[-1]
    assert "continue one another; only anchors tell" in verdict
    assert payrail("verify", "--json").json["anchored"] == 0
    assert merchant


def test_the_first_entry_that_was_altered_is_named(
    payrail: Payrail, key: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.conninfo("admin"))
    with Desk(database) as desk:
        desk.payout("settled")
        path = key.with_name("anchors")
        payrail("anchor", "take", key, path)
        desk.sql("admin", "ALTER TABLE ledger.entries DISABLE TRIGGER USER")
        desk.sql("admin", "UPDATE ledger.entries SET amount = 1 WHERE seq > 1")
        found = payrail("verify", "--public-key", f"{key}.pub", path)
        assert found.code == 1
        assert found.out.splitlines()[-1] == (
            "2 faults; the first entry that does not continue the one before it:"
            f" entry 2 of merchant {desk.merchant_id} in INR"
        )


def test_a_key_is_its_owners_alone_and_never_overwritten(payrail: Payrail, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert payrail("anchor", "new-key", key).error == f"{key}.pub: File exists"
    key.with_name("key.pub").unlink()
    assert payrail("anchor", "new-key", key).error == f"{key}: File exists"


def test_what_can_not_be_written_is_not_left_in_part(payrail: Payrail, key: Path) -> None:
    key.with_name("other.pub").symlink_to("/nowhere/at/all")  # is not there, and can't be made
    other = key.with_name("other")
    assert payrail("anchor", "new-key", other).error == f"{other}.pub: File exists"
    assert not other.exists()
    error = payrail("anchor", "take", key, "/dev/full/anchors").error
    assert error == "/dev/full/anchors: Not a directory"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limit[1]))
    try:
        error = payrail("anchor", "take", key, other).error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert error == f"{other}: File too large"
    assert not other.exists()


def test_anchors_are_never_overwritten(payrail: Payrail, key: Path, taken: Path) -> None:
    before = taken.read_bytes()
    assert payrail("anchor", "take", key, taken).error == f"{taken}: File exists"
    assert taken.read_bytes() == before


def test_anchors_go_to_stdout(payrail: Payrail, key: Path, taken: Path) -> None:
    printed = payrail("anchor", "take", key).out
    piped = taken.with_name("piped")
    piped.write_text(printed)
    assert payrail("verify", "--public-key", f"{key}.pub", piped).code == 0
    said, signature = printed.splitlines()
    assert json.loads(said)["format"] == "payrail-anchors-1"
    assert len(bytes.fromhex(json.loads(signature)["signature"])) == 64


def test_what_somebody_else_has_signed_is_refused(payrail: Payrail, key: Path, taken: Path) -> None:
    other = key.with_name("other")
    payrail("anchor", "new-key", other)
    error = payrail("verify", "--public-key", f"{other}.pub", taken).error
    assert error == f"{taken} was changed, or somebody else has signed it"


def test_anchors_that_were_changed_are_refused(payrail: Payrail, key: Path, taken: Path) -> None:
    whole = taken.read_bytes()
    for changed in (
        whole.replace(b'"seq":1', b'"seq":2', 1),
        whole.replace(b"{", b"{ ", 1),
        whole.replace(b"INR", b"USD", 1),
    ):
        assert changed != whole
        taken.write_bytes(changed)
        error = payrail("verify", "--public-key", f"{key}.pub", taken).error
        assert error == f"{taken} was changed, or somebody else has signed it"
    for changed in (b"", whole[: len(whole) // 2], whole.replace(b'"signature"', b'"s"'), b"\xff"):
        taken.write_bytes(changed)
        error = payrail("verify", "--public-key", f"{key}.pub", taken).error
        assert error == f"{taken} is no file of anchors, or not all of one"


def test_whose_signature_it_has_to_be_is_said(payrail: Payrail, taken: Path) -> None:
    error = payrail("verify", taken).error
    said = "give files of anchors, and by --public-key whose signature is to be on them"
    assert error == said
    assert payrail("verify", "--public-key", taken).error == said


def test_what_is_no_key_is_named(payrail: Payrail, key: Path, taken: Path) -> None:
    error = payrail("verify", "--public-key", taken, taken).error
    assert error == f"{taken} is no public Ed25519 key in PEM"
    error = payrail("anchor", "take", f"{key}.pub").error
    assert error == f"{key}.pub is no Ed25519 key without a password, in PEM"
    missing = key.with_name("missing")
    assert payrail("anchor", "take", missing).error == f"{missing}: No such file or directory"
    error = payrail("verify", "--public-key", f"{key}.pub", missing).error
    assert error == f"{missing}: No such file or directory"
