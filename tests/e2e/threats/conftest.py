"""One runcap for all attacks, as they would meet it; one more inside the test's own process, to break it on purpose."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from unittest import mock

import pytest

from runcap.addon import Runcap
from runcap.ledger.embedded import EmbeddedLedger
from runcap.proxy.backstage import LEDGER_URL
from runcap.proxy.engine import Engine, bind
from runcap.service import Service, open_service
from tests.e2e.configuration import SECRET_VARIABLES
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.canned import Canned
from tests.e2e.threats.scene import Scene
from tests.fakes import FakeVendors


@pytest.fixture(scope="session")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canned]:
    with Canned(tmp_path_factory.mktemp("evil"), "api.resend.com") as server:
        yield server


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors, evil: Canned) -> Iterator[RuncapUp]:
    """`runcap up` with two workers, for the whole folder; Resend is the canned vendor."""
    running = RuncapUp(tmp_path_factory.mktemp("threats"), session_fakes, vendor_timeout_seconds=2)
    text = running.config_file.read_text(encoding="utf-8")
    text = text.replace(session_fakes.url("resend"), f"https://127.0.0.1:{evil.port}")
    start, mark, resend = text.partition("[vendors.resend]")
    resend = resend.replace(str(session_fakes.ca_file), str(evil.ca_file))
    running.config_file.write_text(start + mark + resend, encoding="utf-8")
    with running:
        yield running


@pytest.fixture(scope="session")
def session_scene(up: RuncapUp, session_fakes: FakeVendors, evil: Canned) -> Scene:
    return Scene(up, session_fakes, evil)


@pytest.fixture
def scene(session_scene: Scene, fakes: FakeVendors) -> Scene:
    """Everything, with no fault left over."""
    session_scene.evil.scripts.clear()
    return session_scene


@pytest.fixture(scope="session")
def run(up: RuncapUp) -> IssuedRun:
    """A run with room for all that the tests let through."""
    return up.issue("threats", daily_usd="100000")


@dataclass(slots=True)
class Inside:
    """A worker in the test's own process and loop, on the ledger and the audit of `up`."""

    service: Service
    addon: Runcap
    engine: Engine
    proxy: str
    gateway: str


@pytest.fixture
async def inside(up: RuncapUp) -> AsyncIterator[Inside]:
    """See `Inside`."""
    addon = Runcap()
    variables = {**SECRET_VARIABLES, LEDGER_URL: EmbeddedLedger(up.home).url}
    with mock.patch.dict(os.environ, variables):
        service = addon.service = await open_service(str(up.config_file))
        engine = Engine(addon)
        sockets = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        proxy, gateway = (f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets)
        await engine.listen(*sockets)
        yield Inside(service, addon, engine, proxy, gateway)
        engine.close()
        for handler in list(engine.connections.values()):
            await handler.on_timeout()
        while engine.connections:  # noqa: ASYNC110 (they end by themselves, one by one)
            await asyncio.sleep(0.01)
        await service.close()
