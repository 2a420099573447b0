from __future__ import annotations

import getpass
import io
import secrets
import sys
from collections.abc import Callable

import pytest

from pyapp import cli, passwords
from tests.cli.conftest import Payrail
from tests.conftest import Database

PASSWORD = "correct horse battery"

Pipe = Callable[[str], None]


@pytest.fixture
def name() -> str:
    return f"asha-{secrets.token_hex(4)}"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Nobody is there to be asked: the password comes from a pipe."""

    def pipe(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return pipe


def stored(database: Database, name: str) -> str:
    """Return the hash that is kept."""
    with database.connect("payrail_operator") as operator:
        row = operator.execute("SELECT payrail.try_operator(%s) AS hash", [name]).fetchone()
    return str(row["hash"]) if row else ""


def test_an_operator_is_added_listed_and_disabled(
    payrail: Payrail, shared_database: Database, name: str, typed: Pipe
) -> None:
    typed(f"{PASSWORD}\n")
    made = payrail("operator", "add", name, "--json").json
    assert (made["name"], made["disabled_at"]) == (name, None)
    assert passwords.matches(stored(shared_database, name), PASSWORD)
    assert made in payrail("operator", "list", "--json").json
    assert any(line.startswith(f"{name} 20") for line in payrail("operator", "list").lines)
    disabled = payrail("operator", "disable", name, "--json").json
    assert disabled["disabled_at"]
    assert payrail("operator", "disable", name, "--json").json == disabled
    assert stored(shared_database, name) == ""


def test_a_new_password_is_the_only_one(
    payrail: Payrail, shared_database: Database, name: str, typed: Pipe
) -> None:
    typed(PASSWORD)
    payrail("operator", "add", name)
    typed("another one, also long\r\n")
    assert payrail("operator", "password", name).lines[0] == f"name {name}"
    known = stored(shared_database, name)
    assert passwords.matches(known, "another one, also long")
    assert not passwords.matches(known, PASSWORD)


def test_what_is_wrong_with_an_operator_is_said(payrail: Payrail, name: str, typed: Pipe) -> None:
    for short in ("", "x" * 11, "x" * 11 + "\n"):
        typed(short)
        assert payrail("operator", "add", name).error == (
            "the password is too short: use 12 characters or more"
        )
    typed("\udc80" * 12)  # bytes that are not UTF-8, as Python reads them
    assert payrail("operator", "add", name).error == (
        "the password could not be read: type it, or pipe it in as UTF-8"
    )
    typed(PASSWORD)
    assert payrail("operator", "add", "Asha Rao").error.endswith("(name_invalid)")
    for command in ("password", "disable"):
        typed(PASSWORD)
        assert payrail("operator", command, name).error == (
            "there is no operator of this name:"
            " Check the name; payrail operator list shows them. (operator_not_found)"
        )
    typed(PASSWORD)
    assert payrail("operator", "add", name).code == 0
    typed(PASSWORD)
    assert payrail("operator", "add", name).error.endswith("(operator_exists)")


def test_on_a_terminal_the_password_is_asked_for_twice(
    payrail: Payrail, shared_database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    answers = [PASSWORD, PASSWORD + "x", PASSWORD, PASSWORD]
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda *_: answers.pop(0))
    assert payrail("operator", "add", name).error == "the two passwords differ"
    assert stored(shared_database, name) == ""
    assert payrail("operator", "add", name).code == 0
    assert passwords.matches(stored(shared_database, name), PASSWORD)


def test_who_did_it_is_on_record(
    payrail: Payrail, shared_database: Database, name: str, typed: Pipe
) -> None:
    for command in ("add", "password", "disable"):
        typed(PASSWORD)
        payrail("operator", command, name)
    with shared_database.connect("payrail_auditor") as auditor:
        rows = auditor.execute(
            "SELECT actor, action FROM payrail.operator_actions WHERE object = %s ORDER BY 1, 2",
            [name],
        ).fetchall()
    who = f"payrail_operator:{cli._actor()}"
    actions = ("operator_added", "operator_disabled", "operator_password_set")
    assert [(row["actor"], row["action"]) for row in rows] == [(who, one) for one in actions]
