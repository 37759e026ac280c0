"""A minute of chaos; `make chaos` plays ten."""

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.chaos import ROUND_SECONDS, ChaosUp, Round
from tests.fakes import FakeVendors

_ROUNDS = 3


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVendors]:
    with FakeVendors(tmp_path_factory.mktemp("vendors"), latency_seconds=0.02) as running:
        yield running


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, vendors: FakeVendors) -> Iterator[ChaosUp]:
    """The same for all rounds: each begins with what the one before has left."""
    with ChaosUp(tmp_path_factory.mktemp("chaos"), vendors) as running:
        yield running


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", range(_ROUNDS))
def test_a_round_of_chaos(vendors: FakeVendors, up: ChaosUp, number: int) -> None:
    """Parts die and stand still under load: no cap is passed, and each call of the vendor's is in the audit once."""
    seed = secrets.randbelow(1_000_000)
    books = Round(up, vendors, seed).play(ROUND_SECONDS)
    assert [] == books.problems, f"seed {seed}, {books}"
    assert books.vendor_calls > 0
    assert sum(books.acts.values()) > 0
