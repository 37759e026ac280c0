"""What the processes behind the proxy get to see."""

from pathlib import Path

import pytest

from runcap.config import load
from runcap.proxy.backstage import reconciler_environment

SECRETS = {"STRIPE_S": "sk_live_x", "TWILIO_S": "token", "RESEND_S": "re_x", "RUNCAP_MASTER_KEY": "master"}


def test_the_reconciler_gets_one_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio's, and what it takes to open a sealed one; neither Stripe's nor Resend's."""
    monkeypatch.delenv("RUNCAP_HOME", raising=False)
    file = tmp_path / "runcap.toml"
    lines = [f'home = "{tmp_path / "home"}"']
    for vendor in ("stripe", "twilio", "resend"):
        lines += [f"[vendors.{vendor}]", f'secret = "env:{vendor.upper()}_S"']
    file.write_text("\n".join(lines))
    seen = reconciler_environment({"PATH": "/bin", **SECRETS}, load(file))
    assert {"PATH": "/bin", "TWILIO_S": "token", "RUNCAP_MASTER_KEY": "master"} == seen
