"""The store that the tests of exports read."""

from __future__ import annotations

import pytest

from tests.exports import stores
from undergrowth.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Not to be written to."""
    return stores.make(tmp_path_factory.mktemp("exports") / "store")
