"""What a check has found: one line for people, and the one line that mends it."""

import datetime as dt
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """How it stands."""

    OK = "ok"
    FAULT = "fault"
    SKIPPED = "skipped"
    """It could not be looked at, for the reason given; that is no fault by itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    """Such as ``proxy`` or ``stripe (node)``."""
    state: State
    what: str
    mend: str | None = None
    """A line for a shell; only a fault has one."""
    hint: str | None = None
    """Another way to mend it, for people."""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, what)


def fault(check: str, what: str, mend: str, hint: str | None = None) -> Finding:
    """Something is wrong, and this line mends it."""
    return Finding(check, State.FAULT, what, mend, hint)


def skipped(check: str, what: str) -> Finding:
    """It was not looked at."""
    return Finding(check, State.SKIPPED, what)


@dataclass(frozen=True, slots=True)
class Mends:
    """The lines that mend things, with the options that the doctor was called with."""

    config: Path | None
    proxy: str | None
    """The proxy's URL, where it is not as configured."""

    def environment(self) -> str:
        """Sets all variables anew, and writes the files that they name."""
        return f'eval "$(runcap env{self._config()}{self._proxy()})"'

    def start(self) -> str:
        """Runs the proxy."""
        return f"runcap up{self._config()}"

    def key(self, label: str) -> str:
        """Gets another key and puts it everywhere."""
        issue = f"runcap keys issue --label {shlex.quote(label)} --daily-usd 5 --json{self._config()}"
        cut = """sed -n 's/.*"vault_key": "\\(.*\\)".*/\\1/p'"""
        return f'export RUNCAP_VAULT_KEY="$({issue} | {cut})"; {self.environment()}'

    def clock(self, now: str) -> str:
        """Sets this machine's clock, in the one form that GNU's, BSD's and macOS' ``date`` share with BusyBox'.

        Args:
            now: UTC in ISO 8601, as the ledger has it.
        """
        return f"sudo date -u {dt.datetime.fromisoformat(now):%m%d%H%M%Y.%S}"

    def ledger(self) -> str:
        """Looks at the ledger; its own words say what to do about what it finds."""
        return f"runcap ledger check{self._config()}"

    def secret(self, vendor: str) -> str:
        """Stores a vendor's real secret."""
        return f"runcap secrets set {vendor}{self._config()}"

    def _config(self) -> str:
        return f" --config {shlex.quote(str(self.config))}" if self.config is not None else ""

    def _proxy(self) -> str:
        return f" --proxy {shlex.quote(self.proxy)}" if self.proxy is not None else ""
