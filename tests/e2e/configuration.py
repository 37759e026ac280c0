"""The configuration of a runcap whose vendors are the fake ones."""

import json
from pathlib import Path

from tests.fakes import FakeVendors
from tests.fakes.vendors import ACCOUNT_SID, SECRETS

SECRET_VARIABLES = {
    "REAL_STRIPE_SECRET": SECRETS["stripe"],
    "REAL_TWILIO_SECRET": SECRETS["twilio"],
    "REAL_RESEND_SECRET": SECRETS["resend"],
}
"""What runcap's own environment holds, and an agent's never."""


def configuration(home: Path, fakes: FakeVendors, vendor_timeout_seconds: int) -> str:
    """The text of a runcap.toml: free ports, and upstreams that lead to the fakes."""
    return f"""\
home = {json.dumps(str(home))}
[proxy]
listen = "127.0.0.1:0"
gateway = "127.0.0.1:0"
vendor_timeout_seconds = {vendor_timeout_seconds}
drain_seconds = 10
[ledger]
grace_seconds = 3
[vendors.stripe]
secret = "env:REAL_STRIPE_SECRET"
upstream = "{fakes.url("stripe")}"
upstream_ca = {json.dumps(str(fakes.ca_file))}
[vendors.twilio]
account_sid = "{ACCOUNT_SID}"
secret = "env:REAL_TWILIO_SECRET"
upstream = "{fakes.url("twilio")}"
upstream_ca = {json.dumps(str(fakes.ca_file))}
[vendors.resend]
secret = "env:REAL_RESEND_SECRET"
upstream = "{fakes.url("resend")}"
upstream_ca = {json.dumps(str(fakes.ca_file))}
"""
