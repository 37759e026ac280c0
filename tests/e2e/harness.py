"""The real thing, end to end: `runcap up` (or mitmdump) as a process, agents as processes, fake vendors behind.

No test framework in here: the demo and the benchmark use it as well.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from runcap.cli import main
from runcap.home import prepare
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Level
from runcap.pki.ca import Authority
from runcap.pki.trust import write_bundle
from tests.e2e.configuration import SECRET_VARIABLES, configuration
from tests.e2e.processes import Processes
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_ADDON = REPOSITORY / "addon"


@dataclass(frozen=True, slots=True)
class IssuedRun:
    """What `runcap keys issue --json` printed."""

    vault_key: str
    run_id: str
    label: str


class RuncapUp:
    """`runcap up` with a home of its own. A context manager; may be killed and started again inside."""

    def __init__(self, folder: Path, fakes: FakeVendors, *, workers: int = 2, vendor_timeout_seconds: int = 5) -> None:
        """Write the configuration; nothing runs yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.config_file = folder / "runcap.toml"
        self.log_file = folder / "log.txt"
        self.workers = workers
        self.alone = True
        """Nobody else runs in this folder: what is found there is ours to end."""
        self.proxy = ""
        self.gateway = ""
        self._log_start = 0
        self.processes = Processes(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.config_file.write_text(configuration(self.home, fakes, vendor_timeout_seconds), encoding="utf-8")

    def __enter__(self) -> Self:
        """Start and wait for the ready line."""
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and see to it that nothing is left.

        Raises:
            AssertionError: a process outlived its orderly end; it is killed all the same.
        """
        try:
            self.stop()
            if kind is None and self.alone:
                wait_until("all processes to end", lambda: not self.processes.alive(), seconds=5.0)
        finally:
            self._end()

    def start(self) -> None:
        """Start it, again if need be.

        Raises:
            RuntimeError: it did not become ready; with its log.
        """
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.config_file.parent,
                env=self._environment(),
                start_new_session=True,
            )
        self._await_ready(self._process)

    def stop(self) -> None:
        """SIGTERM, and wait for its orderly end."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"SIGTERM did not end it within {STOP_SECONDS} s:\n{self.log()}") from None

    def kill(self) -> None:
        """`kill -9` of the supervisor alone; what it started has to notice by itself."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _end(self) -> None:
        """``kill -9`` whatever is left."""
        if self.alone:
            self.processes.kill_all()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """What it has written since its last start."""
        return self.log_file.read_bytes()[self._log_start :].decode("utf-8", "replace")

    def cli(self, *arguments: str) -> tuple[int, str]:
        """Run a ``runcap`` command in this process; its exit code, and what it printed on stdout."""
        printed = io.StringIO()
        with (
            mock.patch.dict(os.environ, {**SECRET_VARIABLES, "RUNCAP_CONFIG": str(self.config_file)}),
            contextlib.redirect_stdout(printed),
        ):
            try:
                code = main(list(arguments))
            except SystemExit as ended:
                code = int(ended.code or 0)
        return int(code or 0), printed.getvalue()

    def cli_json(self, *arguments: str) -> Any:
        """Run a ``runcap`` command that must succeed, and decode what it printed."""
        code, printed = self.cli(*arguments, "--json")
        assert code == 0, f"runcap {' '.join(arguments)} ended with {code}: {printed}"
        return json.loads(printed)

    def issue(self, label: str = "test", **options: str | list[str]) -> IssuedRun:
        """Issue a run: ``issue("billing", daily_usd="500", only=["POST /v1/refunds"])``."""
        arguments = ["keys", "issue", "--label", label]
        for name, value in options.items():
            for each in [value] if isinstance(value, str) else value:
                arguments += [f"--{name.replace('_', '-')}", each]
        issued = self.cli_json(*arguments)
        return IssuedRun(issued["vault_key"], issued["run_id"], issued["label"])

    def agent_env(self, run: IssuedRun, *, proxy: str | None = None) -> dict[str, str]:
        """The environment of an agent: the proxy, the CA bundle, and the vault key where the secrets were."""
        variables = self.cli_json("env", "--key", run.vault_key, "--proxy", proxy or self.proxy)
        return {"PATH": os.environ.get("PATH", ""), **variables}

    def ca_bundle(self) -> Path:
        """What agents have to trust; written by whatever command first needs it."""
        prepare(self.home)
        return write_bundle(Authority.load_or_create(self.home / "ca"))

    def audit(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Read the audit database, as any tool may; empty while there is none."""
        if not (self.home / "audit.db").exists():
            return []
        connection = sqlite3.connect(f"file:{self.home / 'audit.db'}?mode=ro", uri=True, timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]
        finally:
            connection.close()

    def calls(self, run: IssuedRun, at_least: int = 0) -> list[dict[str, Any]]:
        """A run's audit rows in order; waits until there are as many as expected."""

        def look() -> list[dict[str, Any]] | None:
            rows = self.audit("select * from calls where run_id = ? order by seq", run.run_id)
            return rows if len(rows) >= at_least else None

        if at_least == 0:
            return look() or []
        found = wait_until(f"{at_least} audit rows", look)
        assert found is not None
        return found

    def spent_micros(self, run: IssuedRun) -> int:
        """What the ledger has counted for a run in all, held amounts included."""
        return self.counted_micros("run", run.run_id)

    def counted_micros(self, level: Level, selector: str) -> int:
        """What the ledger itself has counted for a run, a fleet or a vendor in all, held amounts included."""

        async def ask() -> int:
            ledger = Ledger.connect(EmbeddedLedger(self.home).url, namespace="default")
            try:
                spend = (await ledger.spend(level, selector))["total"]
            finally:
                await ledger.close()
            return spend.held_micros + spend.spent_micros

        return asyncio.run(ask())

    def _command(self) -> list[str]:
        return [
            sys.executable, "-m", "runcap", "up", "--config", str(self.config_file), "--workers", str(self.workers),
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **SECRET_VARIABLES,
            "PYTHONPATH": str(_ADDON),
            "RUNCAP_CONFIG": str(self.config_file),
        }

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._find_addresses(self.log()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"runcap did not become ready (exit code {process.poll()}):\n{self.log()}")
            time.sleep(0.02)

    def _find_addresses(self, log: str) -> bool:
        for line in log.splitlines():
            if line.startswith("runcap ready "):
                found = dict(part.split("=", 1) for part in line.split()[2:])
                self.proxy, self.gateway = found["proxy"], found["gateway"]
                return True
        return False
