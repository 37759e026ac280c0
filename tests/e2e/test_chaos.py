"""A short round of chaos; `make chaos` plays many."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.chaos import ChaosUp, Round
from tests.fakes import FakeVendors

_SECONDS = 6


@pytest.mark.timeout(180)
def test_a_round_of_chaos(tmp_path: Path) -> None:
    """Parts die and stand still under load: no cap is passed, and each call of the vendor's is in the audit once."""
    seed = secrets.randbelow(1_000_000)
    with FakeVendors(tmp_path / "vendors", latency_seconds=0.02) as fakes, ChaosUp(tmp_path / "up", fakes) as up:
        books = Round(up, fakes, seed).play(_SECONDS)
    assert [] == books.problems, f"seed {seed}, {books}"
    assert books.vendor_calls > 0
    assert sum(books.acts.values()) > 0
