"""A crowd per test in a database of its own, and an empty audit after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Database
from tests.crowd import Crowd


@pytest.fixture
def crowd(database: Database, record_property: Callable[[str, object], None]) -> Iterator[Crowd]:
    with Crowd(database) as crowd:
        yield crowd
        record_property("races", crowd.races)
        assert crowd.violations() == {}
