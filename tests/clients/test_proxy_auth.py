"""A proxy that asks for the key (`proxy.auth = "vault_key"`): every client takes it from the proxy's URL."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import SCRIPTS
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY


@pytest.fixture
def strict(tmp_path: Path, session_fakes: FakeVendors) -> Iterator[RuncapUp]:
    """`runcap up` that lets nobody in without a key."""
    running = RuncapUp(tmp_path / "strict", session_fakes, workers=1)
    settings = running.config_file.read_text(encoding="utf-8")
    running.config_file.write_text(settings.replace("[proxy]\n", '[proxy]\nauth = "vault_key"\n'), encoding="utf-8")
    with running:
        yield running


def test_clients_bring_the_key(
    strict: RuncapUp, fakes: FakeVendors, node_scripts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Under `runcap exec`, with the same scripts as ever; and the doctor comes through."""
    python = shlex.quote(sys.executable)
    script = "; ".join([
        *(f"{python} {SCRIPTS / name}" for name in ("stripe_async.py aiohttp", "resend_sync.py")),
        *(f"node {node_scripts / name}" for name in ("stripe.cjs", "twilio.cjs", "resend.cjs")),
        str(REPOSITORY / "examples" / "curl.sh"),
    ])  # fmt: skip
    capfd.readouterr()
    options = ("--label", "strict", "--daily-usd", "1000", "--proxy", strict.proxy)
    code, _ = strict.cli("exec", *options, "--", "sh", "-c", script)
    captured = capfd.readouterr()
    assert 0 == code, captured.err
    lines = captured.out.splitlines()
    assert (2, 1, 2) == tuple(lines.count(word) for word in ("succeeded", "queued", "sent")), captured.out
    assert '"spent_usd"' in lines[-1]
    assert ", no calls refused, " in captured.err
    assert 0 == strict.cli("doctor", "--no-sdk", "--proxy", strict.proxy)[0]
