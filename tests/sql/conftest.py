"""Desks: a merchant per test in a database per module. Every test leaves the audit empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Database
from tests.desk import Desk


@pytest.fixture
def desk(shared_database: Database) -> Iterator[Desk]:
    """A merchant among the others; whatever the test did, no invariant is broken after it."""
    with Desk(shared_database) as desk:
        yield desk
        assert desk.violations() == {}


@pytest.fixture
def own_desk(database: Database) -> Iterator[Desk]:
    """A merchant in a database of its own, for tests that damage it."""
    with Desk(database) as desk:
        yield desk
