"""Each vendor's SDK under `runcap exec`, unmodified: an allowed call, and a refused one as the SDK's own error."""

import operator
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import SCRIPTS, Exec
from tests.fakes import FakeVendors

STRIPE, TWILIO, RESEND = "50", "0.05", "0.005"
"""Caps under which the first call of each script fits, and the second does not."""


@pytest.mark.parametrize(
    ("cap", "script", "first"),
    [
        (STRIPE, ("stripe_sync.py",), "succeeded"),
        (STRIPE, ("stripe_async.py", "httpx"), "succeeded"),
        (STRIPE, ("stripe_async.py", "aiohttp"), "succeeded"),
        (TWILIO, ("twilio_sync.py",), "queued"),
        (RESEND, ("resend_sync.py",), "sent"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_python(run_under: Exec, fakes: FakeVendors, cap: str, script: tuple[str, ...], first: str) -> None:
    """The vendor saw one call, the SDK raised its own error for the other, and the last line tells both."""
    mark = fakes.journal.mark()
    ended = run_under(cap, sys.executable, str(SCRIPTS / script[0]), *script[1:])
    assert (0, first) == (ended.code, ended.lines[0]), ended.err
    assert "is left of" in ended.refusal["message"]
    assert ended.refusal["code"] in ("cap_exhausted", "daily_quota_exceeded")
    assert 1 == len(fakes.journal.entries(mark))
    assert ", 1 call refused, $" in ended.err


@pytest.mark.parametrize(
    "case",
    [
        (STRIPE, "stripe.cjs", "succeeded", "StripeRateLimitError"),
        (STRIPE, "stripe.mjs", "succeeded", "StripeRateLimitError"),
        (STRIPE, "axios.cjs", "succeeded", "AxiosError"),
        (TWILIO, "twilio.cjs", "queued", "RestException"),
        (RESEND, "resend.cjs", "sent", "daily_quota_exceeded"),
    ],
    ids=operator.itemgetter(1),
)
def test_node(run_under: Exec, fakes: FakeVendors, node_scripts: Path, case: tuple[str, str, str, str]) -> None:
    """The same for Node, where no SDK but twilio's takes any proxy variable."""
    cap, script, first, kind = case
    mark = fakes.journal.mark()
    ended = run_under(cap, "node", str(node_scripts / script))
    assert (0, first) == (ended.code, ended.lines[0]), ended.err
    assert (kind, 429, "cap_exhausted") == tuple(ended.refusal[name] for name in ("type", "status", "code"))
    assert "is left of" in ended.refusal["message"]
    assert 1 == len(fakes.journal.entries(mark))
    assert ", 1 call refused, $" in ended.err


def test_twilio_node_needs_no_shim(run_under: Exec, fakes: FakeVendors, node_scripts: Path) -> None:
    """It takes HTTP_PROXY, in upper case, so that the environment alone is enough."""
    mark = fakes.journal.mark()
    ended = run_under(TWILIO, "node", str(node_scripts / "twilio.cjs"), options=("--no-shim",))
    assert (0, "queued", "cap_exhausted") == (ended.code, ended.lines[0], ended.refusal["code"])
    assert 1 == len(fakes.journal.entries(mark))


def test_no_shim_is_no_shim(run_under: Exec, fakes: FakeVendors) -> None:
    """Stripe's SDK then trusts its own list alone and does not come through."""
    mark = fakes.journal.mark()
    ended = run_under(STRIPE, sys.executable, str(SCRIPTS / "stripe_sync.py"), options=("--no-shim",))
    assert 1 == ended.code
    assert "APIConnectionError" in ended.err
    assert "CERTIFICATE_VERIFY_FAILED" in ended.err
    assert [] == fakes.journal.entries(mark)


def test_java(run_under: Exec, fakes: FakeVendors) -> None:
    """Both of Java's own clients take JAVA_TOOL_OPTIONS: the proxy, and a store with the root."""
    if shutil.which("javac") is None:
        pytest.skip("no JDK is installed")
    mark = fakes.journal.mark()
    ended = run_under(STRIPE, "java", "-XX:TieredStopAtLevel=1", str(SCRIPTS / "Charge.java"))
    assert ["200", "429"] == ended.lines, ended.err
    assert 1 == len(fakes.journal.entries(mark))
