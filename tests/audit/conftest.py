"""An audit file of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runcap.audit.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    store.open()
    yield store
    store.close()
