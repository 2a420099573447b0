"""The command line, called in this process; one database, and each test brings its merchant."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pyapp import cli
from tests.conftest import Database, Merchant, new_merchant


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, after success."""
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What was printed, after success, without the spaces that only align."""
        assert (self.code, self.err) == (0, "")
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one line that says why it failed."""
        assert self.code in {1, 2}
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("error: ").rstrip()


Payrail = Callable[..., Said]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Payrail:
    """`payrail …` in the environment as it is."""

    def run(*arguments: object) -> Said:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exc:  # argparse
            code = exc.code if isinstance(exc.code, int) else 1
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture
def payrail(shared_database: Database, monkeypatch: pytest.MonkeyPatch, call: Payrail) -> Payrail:
    """`payrail …` on the database that the tests of a module share."""
    monkeypatch.setenv("DATABASE_URL", shared_database.conninfo("admin"))
    return call


@pytest.fixture
def merchant(shared_database: Database) -> Merchant:
    return new_merchant(shared_database, name=f"Studio {secrets.token_hex(4)}")
