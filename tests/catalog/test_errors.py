"""The codes in sql/, errors.py and docs/errors.md are the same."""

from __future__ import annotations

import re
from pathlib import Path

from pyapp.errors import CATALOG, SQLSTATES

ROOT = Path(__file__).parents[2]
SQL = {path: path.read_text() for path in sorted((ROOT / "sql").rglob("*.sql"))}


def test_every_sqlstate_raised_is_catalogued() -> None:
    raised = {state for text in SQL.values() for state in re.findall(r"ERRCODE = '(PR\w+)'", text)}
    assert raised
    assert raised <= set(SQLSTATES)


def test_every_sqlstate_mentioned_is_catalogued() -> None:
    mentioned = {state for text in SQL.values() for state in re.findall(r"\bPR\d{3}\b", text)}
    assert mentioned <= set(SQLSTATES)


def test_every_catalogued_sqlstate_is_used() -> None:
    mentioned = {state for text in SQL.values() for state in re.findall(r"\bPR\d{3}\b", text)}
    rejected = {code for text in SQL.values() for code in re.findall(r"'([a-z]+_[a-z_]+)'", text)}
    unused = {row.code for state, row in SQLSTATES.items() if state not in mentioned} - rejected
    assert not unused


def test_each_band_has_its_status() -> None:
    bands = {"PR1": 422, "PR2": 409, "PR3": 422, "PR4": 404, "PR5": 403, "PR9": 500}
    others = {"idempotency_key_invalid": 400, "idempotency_key_reused": 422}
    for state, row in SQLSTATES.items():
        assert row.status == others.get(row.code, bands[state[:3]]), row.code


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w*) ?\|", page, re.MULTILINE)
    expected = [(row.code, str(row.status), row.sqlstate or "") for row in CATALOG.values()]
    assert documented == expected
