"""`FakeVendors`: starts the fake vendors in a process of their own, and ends them."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.certificates import FakeAuthority
from tests.fakes.journal import Journal
from tests.fakes.model import Fault

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = {"stripe": "api.stripe.com", "twilio": "api.twilio.com", "resend": "api.resend.com"}

SECRETS = {
    "stripe": "sk_live_CANARY51realStripeSecretThatNoAgentSees",
    "twilio": "canary0c0ffee0c0ffee0c0ffee0c0ff",
    "resend": "re_CANARYrealResendSecretThatNoAgentSees",
}
"""The vendors' real secrets, in tests: found anywhere but at the vendors, they tell on a leak."""

ACCOUNT_SID = "AC" + "c0ffee" * 5 + "c0"


class FakeVendors:
    """Stripe, Twilio and Resend on loopback, over TLS with certificates of a CA of their own.

    Use it as a context manager. Files go into the directory it is given: ``ca.pem``, leaves and ``journal.jsonl``.
    """

    def __init__(self, directory: Path, *, latency_seconds: float = 0.0) -> None:
        """Prepare; `latency_seconds` is what every executed call takes."""
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self.journal = Journal(directory / "journal.jsonl")
        self.ports: dict[str, int] = {}
        self._latency_seconds = latency_seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until all three accept connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        authority = FakeAuthority.create()
        authority.write_certificate(self.ca_file)
        for host in HOSTS.values():
            authority.write_leaf(self.directory / f"{host}.pem", host)
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.fakes.server", "--directory", str(self.directory),
                "--latency-seconds", str(self._latency_seconds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        try:
            self.ports = self._tell({**SECRETS, "account_sid": ACCOUNT_SID})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        process = self._process
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def url(self, vendor: str) -> str:
        """Where a vendor really listens, for runcap's ``upstream``."""
        return f"https://127.0.0.1:{self.ports[vendor]}"

    def fault(self, fault: Fault) -> None:
        """Let something go wrong with the next matching requests."""
        self._tell({"command": "fault", "fault": asdict(fault)})

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._tell({"command": "clear"})

    def pending_faults(self) -> int:
        """How many faults have not been used up."""
        pending: int = self._tell({"command": "count"})["pending"]
        return pending

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fake vendors ended; the reason is on stderr")
        answer: dict[str, Any] = json.loads(line)
        return answer
