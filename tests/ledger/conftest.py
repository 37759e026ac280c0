"""A real Valkey for all tests of the ledger, and a namespace of its own for each."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server."""
    with EmbeddedLedger(tmp_path_factory.mktemp("home")) as embedded:
        yield embedded.url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return secrets.token_hex(8)


@pytest.fixture
async def blank(server_url: str, namespace: str) -> AsyncIterator[Ledger]:
    """A ledger that nobody has initialised."""
    ledger = Ledger.connect(server_url, namespace=namespace)
    yield ledger
    await ledger.close()


@pytest.fixture
async def ledger(blank: Ledger) -> AsyncIterator[Ledger]:
    """A ledger that is ready; whatever a test did, what is held has to add up at its end."""
    await blank.initialise("epoch", "test")
    yield blank
    if await blank.is_initialised():
        assert [] == await blank.check()
