"""The figures that are no comparison of proxies: our own part of a call, the ledger, the auditor, starting up."""

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from runcap.audit.auditor import Auditor
from runcap.audit.store import Store
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, End, Run
from runcap.runs import key_digest, new_run_id, new_vault_key
from runcap.vendors.base import Ending
from scripts.bench.candidates import Candidate, Field, environment

_ROW = {
    "vendor": "stripe", "method": "POST", "path": "/v1/payment_intents", "operation": "POST /v1/payment_intents",
    "cost_micros": 1_000_000, "amount_minor": 100, "currency": "USD",
}  # fmt: skip
_MANY_RUNS, _MANY_CAPS = 1_000_000, 100_000
_CALLS_FOR_GROWTH = 200_000

Rows = dict[str, dict[str, Any]]


def measure_all(field: Field, candidates: list[Candidate], folder: Path, *, quick: bool) -> Rows:
    """All of them, with what is aimed at."""
    up = next(candidate for candidate in candidates if candidate.name == "runcap up, 1 worker")
    rows: Rows = {}

    def add(name: str, value: Any, shown: str, targets: tuple[str, str]) -> None:
        print(f"{name}: {shown}", file=sys.stderr, flush=True)
        rows[name] = {"value": value, "shown": shown, "must": targets[0], "aim": targets[1]}

    p50, p99 = (us / 1000 for us in _overhead_us(up, folder / "up1" / "home" / "audit.db"))
    name = "our own part of a call (`overhead_us`), p50 / p99 at 8 connections"
    add(name, [p50, p99], f"{p50:.2f} / {p99:.2f} ms", ("≤ 0.6 / 3 ms", "≤ 0.25 / 1 ms"))
    ratio = _p50_ms(field.far_runcap()) / _p50_ms(field.far_direct())
    add("first call of a fresh process, vendor 40 ms away, against direct", ratio, f"{ratio:.2f}", ("≤ 0.8", "≤ 0.6"))
    rate, large = uvloop.run(_ledger_pairs(folder / "pairs", quick=quick))
    add("reserve + finish pairs a second, 32 in flight", rate, f"{rate:,.0f}", ("≥ 6,000", "≥ 15,000"))
    if large:
        name = f"the same with {_MANY_RUNS:,} runs and {_MANY_CAPS:,} fleet caps, against an empty ledger"
        add(name, large / rate, f"{large / rate:.2f}", ("≥ 0.9", "1"))
    written = uvloop.run(_auditor_rate(folder / "auditor", 20_000 if quick else 200_000))
    add("auditor, rows a second", written, f"{written:,.0f}", ("≥ 20,000", "≥ 60,000"))
    ready, issue = _up_seconds(folder), _issue_seconds(folder)
    add("`runcap up` ready", ready, f"{ready:.2f} s", ("≤ 3 s", "≤ 1.5 s"))
    add("`runcap keys issue`", issue, f"{issue:.2f} s", ("≤ 0.4 s", "≤ 0.2 s"))
    _add_memory(up, add, quick=quick)
    return rows


def _add_memory(up: Candidate, add: Callable[[str, Any, str, tuple[str, str]], None], *, quick: bool) -> None:
    before = up.rss_mb()
    if quick:
        add("RSS of a worker", before, f"{before:.0f} MB", ("≤ 130 MB", "≤ 90 MB"))
        return
    calls = 0
    while calls < _CALLS_FOR_GROWTH:
        calls += _load(up, ["--connections", "8", "--seconds", "10"])["calls"]
    growth = up.rss_mb() / before - 1
    name = f"RSS of a worker; growth over {_CALLS_FOR_GROWTH:,} calls"
    add(name, [before, growth], f"{before:.0f} MB; {growth:.1%}", ("≤ 130 MB; ≤ 5 %", "≤ 90 MB; 0"))


def _load(candidate: Candidate, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("load.py")), *candidate.load_arguments(), *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(answer.stdout)
    return figures


def _overhead_us(candidate: Candidate, audit: Path) -> tuple[float, float]:
    """From the audit's own column, for the calls of one load."""
    with closing(sqlite3.connect(audit)) as db:
        (before,) = db.execute("SELECT coalesce(max(seq), 0) FROM calls").fetchone()
        calls = _load(candidate, ["--connections", "8", "--seconds", "3"])["calls"]
        deadline = time.monotonic() + 20
        while db.execute("SELECT count(*) FROM calls WHERE seq > ?", (before,)).fetchone()[0] < calls:
            if time.monotonic() > deadline:
                sys.exit("the auditor is more than 20 s behind")
            time.sleep(0.1)
        times = sorted(us for (us,) in db.execute("SELECT overhead_us FROM calls WHERE seq > ?", (before,)))
    return times[len(times) // 2], times[len(times) * 99 // 100]


def _p50_ms(candidate: Candidate) -> float:
    """Of calls each on a new connection, the first of which warms nothing but what stays warm."""
    return float(_load(candidate, ["--connections", "1", "--new-connections", "--seconds", "4"])["p50_ms"])


@contextmanager
def _embedded(home: Path) -> Iterator[str]:
    home.mkdir()
    with EmbeddedLedger(home) as embedded:
        yield embedded.url


async def _ledger_pairs(home: Path, *, quick: bool) -> tuple[float, float | None]:
    with _embedded(home) as url:
        ledger = Ledger.connect(url)
        await ledger.initialise("bench", "bench")
        digest = await _issue(ledger, "billing-nightly")
        await _pairs_per_second(ledger, digest, 1)
        rate = statistics.median([await _pairs_per_second(ledger, digest, 3) for _ in range(3)])
        large = None
        if not quick:
            await _fill(ledger)
            large = statistics.median([await _pairs_per_second(ledger, digest, 3) for _ in range(3)])
        await ledger.close()
    return rate, large


async def _issue(ledger: Ledger, label: str) -> str:
    digest = key_digest(new_vault_key())
    await ledger.issue(Run(new_run_id(), label, digest, Caps(day=10**15), ("stripe",)), "bench")
    return digest


async def _pairs_per_second(ledger: Ledger, digest: str, seconds: float) -> float:
    began = time.perf_counter()
    done = 0

    async def pairs(number: int) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            done += 1
            identity = f"{began}-{number}-{done}"
            await ledger.reserve(Ask(identity, digest, "stripe", "POST /v1/payment_intents", 1, 60_000, _ROW))
            await ledger.finish(End(identity, Ending.SETTLED, row={"status": 200}))

    await asyncio.gather(*(pairs(number) for number in range(32)))
    rate = done / (time.perf_counter() - began)
    await _forget_audit(ledger)
    return rate


async def _forget_audit(ledger: Ledger) -> None:
    while entries := await ledger.read_audit("0-0", 10_000, 0):
        await ledger.trim_audit(entries[-1][0])


async def _fill(ledger: Ledger) -> None:
    """A million runs and a hundred thousand fleet caps, by the scripts that make them in earnest."""
    queue = iter(range(_MANY_RUNS + _MANY_CAPS))

    async def work() -> None:
        for number in queue:
            if number < _MANY_CAPS:
                await ledger.set_cap("fleet", f"fleet-{number}-", Caps(day=10**15), "bench")
            else:
                await _issue(ledger, f"other-{number % 1000}")
            if number % 50_000 == 0:
                print(f"filling the ledger: {number:,}", file=sys.stderr, flush=True)
                await _forget_audit(ledger)

    await asyncio.gather(*(work() for _ in range(48)))
    await _forget_audit(ledger)


async def _auditor_rate(home: Path, rows: int) -> float:
    with _embedded(home) as url:
        ledger = Ledger.connect(url)
        await ledger.initialise("bench", "bench")
        digest = await _issue(ledger, "billing-nightly")
        began_id = 0

        async def call(number: int) -> None:
            nonlocal began_id
            while began_id < rows:
                began_id += 1
                identity = f"{number}-{began_id}"
                await ledger.reserve(Ask(identity, digest, "stripe", "POST /v1/payment_intents", 1, 60_000, _ROW))
                await ledger.finish(End(identity, Ending.SETTLED, row={"status": 200, "duration_ms": 3}))

        await asyncio.gather(*(call(number) for number in range(32)))
        auditor = Auditor(ledger, Store(home / "audit.db"))
        running = asyncio.create_task(auditor.run())
        await auditor.ready.wait()
        began = time.perf_counter()
        backlog = await ledger.audit_backlog()
        while await ledger.audit_backlog():  # noqa: ASYNC110 (there is no event for an empty stream)
            await asyncio.sleep(0.01)
        rate = backlog / (time.perf_counter() - began)
        auditor.stop()
        await running
        await ledger.close()
    return rate


def _up_seconds(folder: Path) -> float:
    """From the command to its ready line; the home is there already, as it is after the first start."""
    home = folder / "up1"
    config = (home / "runcap.toml").read_text()
    again = folder / "again"
    again.mkdir()
    (again / "runcap.toml").write_text(config)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        command = [sys.executable, "-m", "runcap", "up", "--config", str(again / "runcap.toml")]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        )
        assert process.stdout is not None
        process.stdout.readline()
        times.append(time.perf_counter() - began)
        process.terminate()
        process.wait(30)
    return min(times)


def _issue_seconds(folder: Path) -> float:
    command = [sys.executable, "-m", "runcap", "keys", "issue", "--config", str(folder / "up1" / "runcap.toml"),
               "--label", "bench", "--daily-usd", "1", "--json"]  # fmt: skip
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment())
        times.append(time.perf_counter() - began)
    return statistics.median(times)
