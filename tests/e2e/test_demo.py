"""The demo is a promise of the README: it holds."""

import subprocess
import sys

from tests.fakes.vendors import REPOSITORY


def test_the_demo_stops_at_the_cent() -> None:
    """Exit code 0: exactly 25 of the charges, $500.00, reached the vendor, and the audit is whole."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "25 charges, $500.00 in all" in done.stdout
    assert "✗" not in done.stdout
