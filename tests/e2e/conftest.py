"""One set of fake vendors for all end-to-end tests; each module starts its own runcap before them."""

from collections.abc import Iterator

import pytest

from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors


@pytest.fixture(scope="session")
def session_fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVendors]:
    with FakeVendors(tmp_path_factory.mktemp("fakes")) as running:
        yield running


@pytest.fixture
def fakes(session_fakes: FakeVendors) -> Iterator[FakeVendors]:
    """The fake vendors, with no fault left over from the test before."""
    session_fakes.clear_faults()
    yield session_fakes
    session_fakes.clear_faults()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors) -> Iterator[RuncapUp]:
    """`runcap up` with two workers, shared by a module's tests."""
    with RuncapUp(tmp_path_factory.mktemp("up"), session_fakes) as running:
        yield running
