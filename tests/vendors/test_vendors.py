import subprocess
import sys
from datetime import date

from runcap import vendors
from runcap.fx import Rates
from runcap.hosts import KNOWN_VENDORS


def test_the_list_is_in_one_order() -> None:
    """Names, hosts and built vendors agree with each other and with the shared list."""
    built = vendors.build(twilio_account_sid="AC1", rates=Rates(date(2026, 11, 2), {}, "test"))
    assert ("stripe", "twilio", "resend") == vendors.NAMES
    assert list(vendors.HOSTS.values()) == list(built)
    assert vendors.NAMES == tuple(vendor.name for vendor in built.values())
    assert {name: known.host for name, known in KNOWN_VENDORS.items()} == vendors.HOSTS
    assert all(host == vendor.host and host.endswith(vendor.sibling_domain) for host, vendor in built.items())


def test_importing_the_list_is_cheap() -> None:
    """The command line needs the names alone: no numbering plans, no vendor code."""
    probe = "import sys, runcap.vendors; print([m for m in sys.modules if m.startswith(('phonenumbers', 'runcap.fx'))])"
    output = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert "[]" == output.stdout.strip()
