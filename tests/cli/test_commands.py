from __future__ import annotations

import os
import subprocess
import sys

import pytest
from psycopg.conninfo import make_conninfo

from pyapp.settings import ROOT
from tests.cli.conftest import Payrail
from tests.conftest import Address, Database


@pytest.fixture
def alone(database: Database, monkeypatch: pytest.MonkeyPatch, call: Payrail) -> Payrail:
    """`payrail …` on a database that this test may spoil."""
    monkeypatch.setenv("DATABASE_URL", database.conninfo("admin"))
    return call


@pytest.mark.usefixtures("merchant")
def test_the_audit_of_a_healthy_database_is_zero(payrail: Payrail) -> None:
    lines = payrail("audit").lines
    assert lines[0] == "violations invariant promise"
    assert lines[-1].endswith("invariants, none broken")
    findings = payrail("audit", "--json").json
    assert {"invariant", "promise", "violations", "sample"} == set(findings[0])
    assert not any(finding["violations"] for finding in findings)


def test_the_audit_names_what_is_broken(alone: Payrail, database: Database) -> None:
    merchant = alone("merchant", "create", "Acme", "--json").json["merchant_id"]
    alone("credit", merchant, 10_000, "--reference", "1")
    with database.connect("admin") as admin:
        admin.execute("ALTER TABLE ledger.entries DISABLE TRIGGER ALL")  # as a superuser can
        admin.execute("UPDATE ledger.entries SET amount = amount + 1")
    said = alone("audit")
    assert (said.code, said.err) == (1, "")
    assert "\nbroken_chain: {" in said.out
    assert alone("audit", "--json").code == 1


def test_psql_opens_as_a_role_and_passes_arguments_on(payrail: Payrail) -> None:
    ask = ("-At", "-c", "SELECT session_user, 'two words'")
    assert payrail("psql", *ask).out == "payrail_operator|two words\n"
    for role in ("auditor", "payrail_auditor"):
        assert payrail("psql", "--role", role, *ask).out == "payrail_auditor|two words\n"
    assert payrail("psql", "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0").code == 1
    assert "no role 'root'" in payrail("psql", "--role", "root").error


def test_migrate_may_be_repeated(payrail: Payrail) -> None:
    assert payrail("migrate").lines == []


def test_reset_restores_a_demo(alone: Payrail) -> None:
    alone("merchant", "create", "Somebody")
    assert alone("reset").code == 0
    assert [
        (row["name"], row["balances"][0]["available"])
        for row in alone("merchant", "list", "--json").json
    ] == [("Acme Agency", 10_000_00), ("Freelancer Fiaz", 5_000_00), ("Tiny Studio", 100_00)]
    assert alone("audit").code == 0


def test_who_could_not_finish_a_reset_does_not_begin_it(
    alone: Payrail, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone("merchant", "create", "Somebody")
    monkeypatch.setenv(
        "DATABASE_URL", make_conninfo(database.conninfo("admin"), user="payrail_migrator")
    )
    assert alone("reset").error.startswith("DATABASE_URL names one of PayRail's roles")
    monkeypatch.setenv("DATABASE_URL", database.conninfo("admin"))
    assert [row["name"] for row in alone("merchant", "list", "--json").json] == ["Somebody"]


@pytest.mark.parametrize("command", ["reset", "demo"])
def test_a_live_installation_is_never_reset_nor_given_the_demos_keys(
    alone: Payrail, database: Database, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("RESET_DATA", "1")
    monkeypatch.setenv("PORT", "0")
    alone("merchant", "create", "Somebody")
    with database.connect("admin") as admin:
        admin.execute("UPDATE merchant.instance SET environment = 'live'")
    assert alone(command).error == "this installation is live: only a demo can be reset"
    monkeypatch.delenv("RESET_DATA")
    if command == "demo":
        assert alone("demo").error.startswith("this installation is live, and the demo's keys")
    (only,) = alone("merchant", "list", "--json").json
    assert only["name"] == "Somebody"


def test_a_server_that_is_away_is_one_line(call: Payrail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/payrail")
    for command in (["merchant", "list"], ["audit"], ["migrate"], ["reset"]):
        error = call(*command).error
        assert error.startswith("the database does not answer: ")
        assert error.endswith("(unavailable)")


def test_a_database_that_is_not_migrated_is_one_line(
    call: Payrail, server: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_conninfo(host=server.host, user=server.user, dbname="postgres")
    monkeypatch.setenv("DATABASE_URL", url)
    for command in (["merchant", "list"], ["audit"]):
        assert call(*command).error == (
            "the database is not migrated: run payrail migrate (unavailable)"
        )
    assert call("reset").error == "this installation was never set up: only a demo can be reset"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("pay",),
        ("payout",),
        ("payout", "show", "Acme"),
        ("payout", "show", "Acme", "1"),
        ("merchant", "list", "everything"),
        ("audit", "--jso"),
    ],
)
def test_a_wrong_call_is_one_line(call: Payrail, arguments: tuple[str, ...]) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert said.error


@pytest.mark.parametrize("count", ["0", "65", "-1", "two", "1e1", "²"])
def test_a_number_of_processes_that_can_not_be_is_one_line(call: Payrail, count: str) -> None:
    said = call("serve", "--workers", count)
    assert said.code == 2
    assert said.error.startswith("argument --workers: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eight thousand"),
        ("LOG_LEVEL", "banana"),
        ("DATABASE_URL", "postgres//u:sekret@h/x"),
        ("DATABASE_URL", "postgresql://u:sek%ret@h/x"),
        ("DATABASE_URL", "postgresql://u:sek\udcffret@h/x"),
        ("SANDBOX_BANK_URL", "127.0.0.1:8002"),
        ("SANDBOX_BANK_URL", "http://u:sekret@h"),
        ("SANDBOX_BANK_URL", "http://h/sek"),
        ("SANDBOX_BANK_URL", "http://h:99999"),
        ("SANDBOX_BANK_KEY", "sek ret"),
        ("SANDBOX_BANK_SECRET", "whsec_sekret"),
        ("SANDBOX_BANK_PORT", "70000"),
        ("SANDBOX_DEDUPLICATES", "no"),
        ("SANDBOX_CALLBACK_URL", "ftp://h/sek"),
        ("SANDBOX_CALLBACK_URL", "http://[sek/"),
    ],
)
def test_a_setting_that_can_not_be_used_is_one_line(
    call: Payrail, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    error = call("serve").error
    assert error.startswith(f"{name} must be ")
    assert "sek" not in error


@pytest.mark.parametrize("command", ["serve", "work", "demo"])
def test_a_folder_that_can_not_be_written_to_is_one_line(
    call: Payrail, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PAYRAIL_HOME", "/proc/payrail")
    monkeypatch.setenv("PORT", "0")
    error = call(command).error
    assert error.startswith("/proc/payrail can't be written to")
    assert error.endswith("set PAYRAIL_HOME")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("merchant", "create", "\udcff"), "name"),
        (("credit", "Acme", "5", "--reference", "\udcff\udcfe"), "reference"),
        (("payout", "list", "a\udcff"), "merchant"),
    ],
)
def test_an_argument_that_is_no_text_is_named(
    call: Payrail, arguments: tuple[str, ...], name: str
) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert said.error.startswith(f"argument {name}: ")


def test_the_module_is_the_command_and_a_closed_pipe_is_no_news(
    shared_database: Database,
) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "pyapp", "merchant", "list"],
        env=shared_database.env,
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
