"""What is compared: no proxy, stock mitmdump, mitmdump with a naive counter, and runcap in its three ways to run.

All are up at the same time, so that each round can visit them in turn.
"""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runcap.ledger.embedded import EmbeddedLedger
from scripts.bench.processes import descendants, read_line, running, usage, wait_until
from tests.fakes.certificates import FakeAuthority

REPOSITORY = Path(__file__).resolve().parents[2]
VENDOR_HOST = "api.stripe.com"
BIN = Path(sys.executable).parent
_ROLES = {"worker": ("runcap.proxy.worker", "mitmdump"), "auditor": ("runcap.audit",), "ledger": ("valkey-server",)}


@dataclass(slots=True)
class Candidate:
    """One way from the agent to the vendor."""

    name: str
    authority: str
    """What the client CONNECTs to, or dials where there is no proxy."""
    ca: Path
    proxy: str = ""
    key: str = "sk_test_none"
    pid: int | None = None
    cpu_before: dict[int, float] = field(default_factory=dict)

    def load_arguments(self) -> list[str]:
        """For load.py."""
        return ["--authority", self.authority, "--ca", str(self.ca), "--proxy", self.proxy, "--key", self.key]

    def roles(self) -> dict[int, str]:
        """The processes that are measured: pid → role."""
        found = {}
        for pid, command in descendants(self.pid).items() if self.pid else ():
            for role, marks in _ROLES.items():
                if any(mark in command for mark in marks):
                    found[pid] = role
                    break
        return found

    def start_measuring(self) -> None:
        """Remember what each process has used so far."""
        self.cpu_before = {pid: usage(pid).cpu_seconds for pid in self.roles()}

    def cpu_by_role(self) -> dict[str, float]:
        """CPU seconds by role since `start_measuring`."""
        used: dict[str, float] = {}
        for pid, role in self.roles().items():
            used[role] = used.get(role, 0.0) + usage(pid).cpu_seconds - self.cpu_before.get(pid, 0.0)
        return used

    def rss_mb(self) -> float:
        """Of the largest worker."""
        return max((usage(pid).rss_mb for pid, role in self.roles().items() if role == "worker"), default=0.0)


class Field:
    """The fake vendor and all candidates, while they run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        authority = FakeAuthority.create()
        self.ca = folder / "fake-ca.pem"
        authority.write_certificate(self.ca)
        certificates = []
        for host in (VENDOR_HOST, "localhost"):
            authority.write_leaf(folder / f"{host}.pem", host)
            certificates += ["--certificate", f"{host}={folder / f'{host}.pem'}"]
        script = str(Path(__file__).with_name("vendor.py"))
        vendor = stack.enter_context(running([sys.executable, script, *certificates]))
        self.vendor_port, self.far_port = (int(port) for port in read_line(vendor).split())

    def direct(self) -> Candidate:
        """No proxy at all."""
        return Candidate("direct", f"localhost:{self.vendor_port}", self.ca)

    def stock_mitmdump(self) -> Candidate:
        """mitmdump as it comes."""
        return self._mitmdump("mitmdump, stock", [])

    def naive_counter(self) -> Candidate:
        """mitmdump with the addon that people write first."""
        redis = EmbeddedLedger(self._folder / "naive")
        redis.acquire()
        self._stack.callback(redis.release)
        script = str(Path(__file__).with_name("naive_counter.py"))
        return self._mitmdump("mitmdump + naive counter", ["-s", script], NAIVE_REDIS_URL=redis.url)

    def runcap_up(self, workers: int) -> Candidate:
        """`runcap up`, everything on."""
        home = self._home(f"up{workers}", self.vendor_port)
        return self._start_runcap(f"runcap up, {workers} worker{'s' * (workers > 1)}", home, workers)

    def runcap_mitmdump(self) -> Candidate:
        """The same addon in stock mitmdump."""
        home = self._home("mitmdump", self.vendor_port)
        script = str(REPOSITORY / "addon" / "runcap" / "addon.py")
        port, pid = self._start_mitmdump("runcap", ["-s", script], RUNCAP_CONFIG=str(home / "runcap.toml"))
        return self._candidate("mitmdump -s addon.py", home, port, pid)

    def far_runcap(self) -> Candidate:
        """`runcap up` with a vendor that is 40 ms away."""
        home = self._home("far", self.far_port)
        return self._start_runcap("runcap up, vendor 40 ms away", home, 1)

    def far_direct(self) -> Candidate:
        """The vendor that is 40 ms away, without a proxy."""
        return Candidate("direct, vendor 40 ms away", f"localhost:{self.far_port}", self.ca)

    def _start_runcap(self, name: str, home: Path, workers: int) -> Candidate:
        config = str(home / "runcap.toml")
        command = [sys.executable, "-m", "runcap", "up", "--config", config, "--workers", str(workers)]
        process = self._stack.enter_context(running(command, env=environment(), log=home / "log.txt"))
        match = re.search(r"runcap ready proxy=http://127\.0\.0\.1:(\d+)", read_line(process))
        assert match is not None
        return self._candidate(name, home, match[1], process.pid)

    def _candidate(self, name: str, home: Path, port: str, pid: int) -> Candidate:
        wait_until("the proxy to take keys", (home / "home" / "ca" / "ca.pem").exists)
        return Candidate(name, f"{VENDOR_HOST}:443", home / "home" / "ca" / "ca.pem", port, _issue_key(home), pid)

    def _home(self, name: str, vendor_port: int) -> Path:
        home = self._folder / name
        home.mkdir()
        (home / "runcap.toml").write_text(
            'home = "home"\n[proxy]\nlisten = "127.0.0.1:0"\ngateway = ""\n'
            '[vendors.stripe]\nsecret = "env:BENCH_SECRET"\n'
            f'upstream = "https://127.0.0.1:{vendor_port}"\nupstream_ca = "{self.ca}"\n'
        )
        return home

    def _mitmdump(self, name: str, arguments: list[str], **extra: str) -> Candidate:
        port, pid = self._start_mitmdump(re.sub(r"\W", "", name), arguments, **extra)
        ca = self._folder / f"confdir-{re.sub(r'\W', '', name)}" / "mitmproxy-ca-cert.pem"
        wait_until("mitmproxy's CA", ca.exists)
        return Candidate(name, f"localhost:{self.vendor_port}", ca, port, pid=pid)

    def _start_mitmdump(self, name: str, arguments: list[str], **extra: str) -> tuple[str, int]:
        log = self._folder / f"{name}.log"
        command = [
            str(BIN / "mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", "0",
            "--set", f"confdir={self._folder / f'confdir-{name}'}", "--set", "flow_detail=0",
            "--set", f"ssl_verify_upstream_trusted_ca={self.ca}", *arguments,
        ]  # fmt: skip
        env = environment() | extra
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=env, start_new_session=True)
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)
        pattern = re.compile(r"listening at (?:http://)?127\.0\.0\.1:(\d+)")
        wait_until("mitmdump to listen", lambda: pattern.search(log.read_text()) is not None)
        found = pattern.search(log.read_text())
        assert found is not None
        return found[1], process.pid


def environment() -> dict[str, str]:
    """For runcap's own processes: they find the package, and a secret."""
    return os.environ | {"BENCH_SECRET": "sk_test_bench", "PYTHONPATH": os.pathsep.join(sys.path)}


def _issue_key(home: Path) -> str:
    command = [sys.executable, "-m", "runcap", "keys", "issue", "--config", str(home / "runcap.toml"),
               "--label", "bench", "--daily-usd", "1000000000", "--json"]  # fmt: skip
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    return str(json.loads(answer.stdout)["vault_key"])
