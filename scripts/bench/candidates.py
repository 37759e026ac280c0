"""What is compared: no proxy, stock mitmdump, mitmdump with a naive counter, and runcap in its three ways to run.

All are up at the same time, so that each round can visit them in turn. `others` has the proxies that are not ours.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from runcap.ledger.embedded import EmbeddedLedger
from scripts.bench.processes import descendants, read_line, running, usage, wait_until
from tests.fakes.certificates import FakeAuthority

REPOSITORY = Path(__file__).resolve().parents[2]
VENDOR_HOST = "api.stripe.com"
ONE_WAY_MS = 20.0
"""To the vendor that is 40 ms away, there and back."""
BIN = Path(sys.executable).parent

DIRECT, STOCK, NAIVE = "direct", "mitmdump, stock", "mitmdump + naive counter"
ONE_WORKER, TWO_WORKERS, SCRIPT = "runcap up, 1 worker", "runcap up, 2 workers", "mitmdump -s addon.py"

_ROLES = {"worker": ("runcap.proxy.worker", "mitmdump"), "auditor": ("runcap.audit",), "ledger": ("valkey-server",)}
EVERYTHING: dict[str, tuple[str, ...]] = {"worker": ("",)}
"""Of a proxy that is not ours all processes count."""
_IDLE_CPU_SECONDS, _IDLE_LOOK_SECONDS, _IDLE_WAIT_SECONDS = 0.011, 0.1, 20.0


@dataclass(slots=True)
class Candidate:
    """One way from the agent to the vendor."""

    name: str
    authority: str
    """What the client CONNECTs to, or dials where there is no proxy."""
    ca: Path
    proxy: str = ""
    """Its port."""
    key: str = "sk_test_none"
    pid: int | None = None
    marks: dict[str, tuple[str, ...]] = field(default_factory=lambda: _ROLES)
    """Role → what is found in the command lines of the processes that have it."""
    beside: dict[int, str] = field(default_factory=dict)
    """Processes that are measured too, and were not started by this one: pid → role."""
    audit: Path | None = None

    def load_arguments(self) -> list[str]:
        """For load.py."""
        return ["--authority", self.authority, "--ca", str(self.ca), "--proxy", self.proxy, "--key", self.key]

    def roles(self) -> dict[int, str]:
        """The processes that are measured: pid → role."""
        found = dict(self.beside)
        for pid, command in descendants(self.pid).items() if self.pid else ():
            for role, marks in self.marks.items():
                if any(mark in command for mark in marks):
                    found[pid] = role
                    break
        return found

    def cpu_by_role(self) -> dict[str, float]:
        """CPU seconds by role so far."""
        used: dict[str, float] = {}
        for pid, role in self.roles().items():
            used[role] = used.get(role, 0.0) + usage(pid).cpu_seconds
        return used

    def settle(self) -> None:
        """Wait until nothing is left to do: the auditor, say, may be behind."""
        deadline, before = time.monotonic() + _IDLE_WAIT_SECONDS, -1.0
        while (now := sum(self.cpu_by_role().values())) - before > _IDLE_CPU_SECONDS and time.monotonic() < deadline:
            before = now
            time.sleep(_IDLE_LOOK_SECONDS)

    def rss_mb(self) -> float:
        """Of the largest worker."""
        return max((usage(pid).rss_mb for pid, role in self.roles().items() if role == "worker"), default=0.0)


class Field:
    """The fake vendor and all candidates, while they run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        authority = FakeAuthority.create()
        self.ca = folder / "fake-ca.pem"
        authority.write_certificate(self.ca)
        certificates = []
        for host in (VENDOR_HOST, "localhost"):
            authority.write_leaf(folder / f"{host}.pem", host)
            certificates += ["--certificate", f"{host}={folder / f'{host}.pem'}"]
        self.vendor = self.start("scripts.bench.vendor", *certificates)
        self.vendor_port = int(read_line(self.vendor))
        far = self.start("scripts.bench.distance", "--port", str(self.vendor_port), "--one-way-ms", str(ONE_WAY_MS))
        self._far_port = int(read_line(far))

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Run one of our own modules while the field is there."""
        command = [sys.executable, "-m", module, *arguments]
        log = self.folder / f"{module}.log"
        return self.stack.enter_context(running(command, env=environment(), cwd=REPOSITORY, log=log))

    def direct(self) -> Candidate:
        """No proxy at all."""
        return Candidate(DIRECT, f"localhost:{self.vendor_port}", self.ca)

    def stock_mitmdump(self) -> Candidate:
        """mitmdump as it comes."""
        return self._mitmdump(STOCK, [])

    def naive_counter(self) -> Candidate:
        """mitmdump with the addon that people write first; its counter is as durable as our ledger."""
        redis = EmbeddedLedger(self.folder / "naive")
        redis.acquire()
        self.stack.callback(redis.release)
        with Redis.from_url(redis.url) as connection:
            pid = int(connection.info("server")["process_id"])
        script = str(Path(__file__).with_name("naive_counter.py"))
        candidate = self._mitmdump(NAIVE, ["-s", script], NAIVE_REDIS_URL=redis.url)
        candidate.beside = {pid: "ledger"}
        return candidate

    def runcap_up(self, workers: int) -> Candidate:
        """`runcap up`, everything on."""
        home = self.home(f"up{workers}", self.vendor_port)
        return self._start_runcap(ONE_WORKER if workers == 1 else TWO_WORKERS, home, workers)

    def runcap_mitmdump(self) -> Candidate:
        """The same addon in stock mitmdump."""
        home = self.home("script", self.vendor_port)
        script = str(REPOSITORY / "addon" / "runcap" / "addon.py")
        port, pid = self._start_mitmdump("script-log", ["-s", script], RUNCAP_CONFIG=str(home / "runcap.toml"))
        return self._candidate(SCRIPT, home, port, pid)

    def far_runcap(self) -> Candidate:
        """`runcap up` with a vendor that is 40 ms away."""
        return self._start_runcap("runcap up, vendor 40 ms away", self.home("far", self._far_port), 1)

    def far_direct(self) -> Candidate:
        """The vendor that is 40 ms away, without a proxy."""
        return Candidate("direct, vendor 40 ms away", f"localhost:{self._far_port}", self.ca)

    def home(self, name: str, vendor_port: int) -> Path:
        """A folder with a runcap.toml; runcap's own home is below it."""
        home = self.folder / name
        home.mkdir()
        (home / "runcap.toml").write_text(
            'home = "home"\n[proxy]\nlisten = "127.0.0.1:0"\ngateway = ""\n'
            '[vendors.stripe]\nsecret = "env:BENCH_SECRET"\n'
            f'upstream = "https://127.0.0.1:{vendor_port}"\nupstream_ca = "{self.ca}"\n'
        )
        return home

    def _start_runcap(self, name: str, home: Path, workers: int) -> Candidate:
        config = str(home / "runcap.toml")
        command = [sys.executable, "-m", "runcap", "up", "--config", config, "--workers", str(workers)]
        process = self.stack.enter_context(running(command, env=environment(), log=home / "log.txt"))
        match = re.search(r"runcap ready proxy=http://127\.0\.0\.1:(\d+)", read_line(process))
        assert match is not None
        return self._candidate(name, home, match[1], process.pid)

    def _candidate(self, name: str, home: Path, port: str, pid: int) -> Candidate:
        ca, audit = home / "home" / "ca" / "ca.pem", home / "home" / "audit.db"
        wait_until("the proxy to take keys", ca.exists)
        return Candidate(name, f"{VENDOR_HOST}:443", ca, port, _issue_key(home), pid, audit=audit)

    def _mitmdump(self, name: str, arguments: list[str], **extra: str) -> Candidate:
        short = re.sub(r"\W", "", name)
        port, pid = self._start_mitmdump(short, arguments, **extra)
        ca = self.folder / f"confdir-{short}" / "mitmproxy-ca-cert.pem"
        wait_until("mitmproxy's CA", ca.exists)
        return Candidate(name, f"localhost:{self.vendor_port}", ca, port, pid=pid)

    def _start_mitmdump(self, name: str, arguments: list[str], **extra: str) -> tuple[str, int]:
        log = self.folder / f"{name}.log"
        command = [
            str(BIN / "mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", "0",
            "--set", f"confdir={self.folder / f'confdir-{name}'}", "--set", "flow_detail=0",
            "--set", f"ssl_verify_upstream_trusted_ca={self.ca}", *arguments,
        ]  # fmt: skip
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment() | extra, start_new_session=True
            )
        self.stack.callback(process.wait, 30)
        self.stack.callback(process.terminate)
        pattern = re.compile(r"listening at (?:http://)?127\.0\.0\.1:(\d+)")
        wait_until("mitmdump to listen", lambda: pattern.search(log.read_text()) is not None)
        found = pattern.search(log.read_text())
        assert found is not None
        return found[1], process.pid


def environment() -> dict[str, str]:
    """For runcap's own processes: they find the package, and a secret."""
    return os.environ | {"BENCH_SECRET": "sk_test_bench", "PYTHONPATH": os.pathsep.join(sys.path)}


def issue_command(home: Path, usd: str) -> list[str]:
    """`runcap keys issue` for a home."""
    return [sys.executable, "-m", "runcap", "keys", "issue", "--config", str(home / "runcap.toml"),
            "--label", "bench", "--daily-usd", usd, "--json"]  # fmt: skip


def _issue_key(home: Path) -> str:
    answer = subprocess.run(
        issue_command(home, "1000000000"), check=True, capture_output=True, text=True, env=environment()
    )
    return str(json.loads(answer.stdout)["vault_key"])
