"""Chaos: parts of a running runcap are killed and stopped at random, under load, and then the books are checked.

No test framework in here: `make chaos` runs it for minutes, the suite for seconds.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runcap.ledger import keys
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.e2e.agents_running import AGENTS
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.servers import free_port
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

ROUND_SECONDS = 20
POUNDERS = 4
_SIDE_BY_SIDE = 4
_RUN_CAP_USD = 700
_FLEET_CAP_USD = 1500
_VENDOR_CAP_USD = 1800
_PARTS = ("worker", "auditor", "ledger")


class ChaosUp(RuncapUp):
    """A `runcap up` that comes back on the same ports, and that gives up on a call soon."""

    def __init__(self, folder: Path, fakes: FakeVendors) -> None:
        super().__init__(folder, fakes, workers=2, vendor_timeout_seconds=2)
        text = self.config_file.read_text(encoding="utf-8").replace("grace_seconds = 5", "grace_seconds = 2")
        for _ in range(2):
            text = text.replace("127.0.0.1:0", f"127.0.0.1:{free_port()}", 1)
        self.config_file.write_text(text, encoding="utf-8")

    @property
    def supervisor(self) -> int:
        """The process id of `runcap up` itself."""
        assert self._process is not None
        return self._process.pid


@dataclass(frozen=True, slots=True)
class Books:
    """What a round came to."""

    acts: Counter[str]
    """What was done to which part."""
    statuses: Counter[str]
    """How the agents' calls ended."""
    vendor_calls: int
    vendor_usd: int
    problems: list[str]
    """What is wrong, one sentence each."""


class Round:
    """One round: new runs with new caps, load, chaos, calm, and the books."""

    def __init__(self, up: ChaosUp, fakes: FakeVendors, seed: int) -> None:
        self._up = up
        self._fakes = fakes
        self._random = random.Random(seed)  # noqa: S311 (not a secret)
        self._fleet = f"chaos-{seed}-"
        self._acts: Counter[str] = Counter()

    def play(self, seconds: float) -> Books:
        """Play it; `seconds` is how long there is chaos."""
        mark = self._fakes.journal.mark()
        before = self._up.counted_micros("vendor", "stripe")
        self._up.cli_json("caps", "set", "--fleet", self._fleet, "--total-usd", str(_FLEET_CAP_USD))
        ceiling = -(-before // 1_000_000) + _VENDOR_CAP_USD
        self._up.cli_json("caps", "set", "--vendor", "stripe", "--total-usd", str(ceiling))
        runs = [self._up.issue(f"{self._fleet}{name}", total_usd=str(_RUN_CAP_USD)) for name in "ab"]
        runs.append(self._up.issue(f"elsewhere-{self._fleet}c", total_usd=str(_RUN_CAP_USD)))
        with _pounding(self._up, runs) as report:
            self._disturb(time.monotonic() + seconds)
        self._await_calm(runs)
        entries = [entry for entry in self._fakes.journal.entries(mark) if entry.method == "POST"]
        moved: Counter[str] = Counter()
        for entry in entries:
            moved[entry.params["metadata"]["run"]] += entry.moved
        problems = [
            *self._caps_passed(runs, moved, ceiling * 1_000_000 - before),
            *self._not_once_in_audit(runs, entries, report["request_ids"]),
            *self._counters_astray(runs, moved),
            *self._commands_unhappy(),
        ]
        return Books(self._acts, report["statuses"], len(entries), sum(moved.values()) // 100, problems)

    def _disturb(self, until: float) -> None:
        acts: tuple[Callable[[], None], ...] = (
            self._kill_some,
            self._stop_one,
            self._kill_supervisor,
            self._stop_supervisor,
        )
        while time.monotonic() < until:
            time.sleep(self._random.uniform(0.1, 0.8))
            [act] = self._random.choices(acts, weights=(6, 4, 1, 1))
            act()

    def _kill_some(self) -> None:
        """One part, or two at the same moment."""
        for part in self._random.sample(_PARTS, self._random.choice((1, 1, 2))):
            self._signal(part, signal.SIGKILL, "kill")

    def _stop_one(self) -> None:
        """For longer than the ledger's and the vendor's timeouts, or for less."""
        part = self._random.choice(_PARTS)
        stopped = self._signal(part, signal.SIGSTOP, "stop")
        time.sleep(self._random.choice((0.2, 0.7, 2.5)))
        for pid in stopped:
            _send(pid, signal.SIGCONT)

    def _kill_supervisor(self) -> None:
        self._acts["kill supervisor"] += 1
        self._up.kill()
        time.sleep(self._random.uniform(0.0, 0.5))
        self._up.start()

    def _stop_supervisor(self) -> None:
        """A part dies meanwhile, which nobody notices until it goes on."""
        self._acts["stop supervisor"] += 1
        _send(self._up.supervisor, signal.SIGSTOP)
        self._signal(self._random.choice(_PARTS), signal.SIGKILL, "kill")
        time.sleep(self._random.uniform(0.2, 1.0))
        _send(self._up.supervisor, signal.SIGCONT)

    def _signal(self, part: str, signum: signal.Signals, verb: str) -> list[int]:
        found = self._up.processes
        pids = {
            "worker": found.workers(),
            "auditor": found.alive("runcap.audit.auditor"),
            "ledger": found.alive("-server"),
        }
        chosen = self._random.sample(pids[part], min(1, len(pids[part])))
        for pid in chosen:
            self._acts[f"{verb} {part}"] += 1
            _send(pid, signum)
        return chosen

    def _await_calm(self, runs: list[IssuedRun]) -> None:
        """Until everything answers, nothing is open any more, and the audit has caught up."""
        wait_until("both workers to answer", lambda: all(self._answers() for _ in range(6)), seconds=40)
        wait_until("the sweeper and the auditor to be done", lambda: asyncio.run(self._is_quiet()), seconds=40)

    def _answers(self) -> bool:
        try:
            run = self._up.issue("probe", daily_usd="1")
            with Caller(self._up, run) as caller:
                return caller.get("/v1/balance").status == 200
        except (OSError, AssertionError):
            return False

    async def _is_quiet(self) -> bool:
        ledger = Ledger.connect(EmbeddedLedger(self._up.home).url)
        try:
            still_open = await ledger._client.command("ZCARD", keys.open_reservations(keys.prefix("default")))
            return still_open == 0 and await ledger.audit_backlog() == 0
        finally:
            await ledger.close()

    def _caps_passed(self, runs: list[IssuedRun], moved: Counter[str], vendor_room_micros: int) -> list[str]:
        """What the vendor has moved, against the cap of each level."""
        fleet = sum(moved[run.run_id] for run in runs if run.label.startswith(self._fleet)) * 10_000
        levels = [(f"run {run.label}", moved[run.run_id] * 10_000, _RUN_CAP_USD * 1_000_000) for run in runs]
        levels.append((f"fleet {self._fleet}", fleet, _FLEET_CAP_USD * 1_000_000))
        levels.append(("vendor stripe", sum(moved.values()) * 10_000, vendor_room_micros))
        return [f"The vendor moved {at} micros for {name}, capped at {cap}." for name, at, cap in levels if at > cap]

    def _not_once_in_audit(self, runs: list[IssuedRun], entries: list[Any], answered: list[str]) -> list[str]:
        """Each call that the vendor saw, and each that an agent was answered, against the rows of the audit.

        A row is `unknown` and lacks the vendor's name for it if its worker was killed before the ledger had the ending.
        That may be after the answer, which does not wait where the quote is what was spent (docs/durability.md): so
        each killed worker may leave as many answered calls without their names as were under way, and no more.
        """
        problems, nameless, strange = [], set(answered), set(answered)
        for run in runs:
            seen = {entry.request_id for entry in entries if entry.params["metadata"]["run"] == run.run_id}
            rows = [row for row in self._up.calls(run) if row["outcome"]]
            known = Counter(row["vendor_request_id"] for row in rows if row["vendor_request_id"])
            unknown = sum(row["outcome"] == "unknown" and not row["vendor_request_id"] for row in rows)
            problems += [f"{request_id} has {count} rows." for request_id, count in known.items() if count > 1]
            problems += [
                f"The audit has {request_id}, which the vendor never saw." for request_id in known.keys() - seen
            ]
            if len(seen) > len(known) + unknown:
                problems.append(
                    f"{run.label}: the vendor saw {len(seen)} calls, the audit {len(known)} and {unknown} unknown."
                )
            nameless -= known.keys()
            strange -= seen
        if len(nameless) > self._acts["kill worker"] * POUNDERS * _SIDE_BY_SIDE:
            problems.append(f"Agents were answered with {sorted(nameless)}, which no row names.")
        return problems + [f"An agent was answered with {request_id}, which nobody did." for request_id in strange]

    def _counters_astray(self, runs: list[IssuedRun], moved: Counter[str]) -> list[str]:
        """The ledger's counters, against the audit's rows and against what the vendor moved."""
        problems = []
        for run in runs:
            counted = self._up.spent_micros(run)
            audited = sum(row["settled_micros"] or 0 for row in self._up.calls(run))
            if counted != audited:
                problems.append(f"{run.label}: the ledger counts {counted} micros, the audit {audited}.")
            if counted < moved[run.run_id] * 10_000:
                problems.append(
                    f"{run.label}: the ledger counts {counted} micros, the vendor moved {moved[run.run_id]} cents."
                )
        return problems

    def _commands_unhappy(self) -> list[str]:
        commands = (("audit", "verify"), ("ledger", "check"))
        ended = [(command, *self._up.cli(*command)) for command in commands]
        return [f"runcap {' '.join(command)} ended with {code}: {printed}" for command, code, printed in ended if code]


@contextlib.contextmanager
def _pounding(up: ChaosUp, runs: list[IssuedRun]) -> Iterator[dict[str, Any]]:
    """Load from processes that share the runs; the report is filled in at the end."""
    report: dict[str, Any] = {"statuses": Counter(), "request_ids": []}
    pounders = []
    for number in range(POUNDERS):
        run = runs[number % len(runs)]
        command = [sys.executable, str(AGENTS / "pounder.py"), str(number), str(_SIDE_BY_SIDE)]
        env = {**up.agent_env(run), "RUN_ID": run.run_id}
        pounders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env))
    try:
        yield report
        for pounder in pounders:
            printed, _ = pounder.communicate(timeout=60)
            found = json.loads(printed)
            report["statuses"].update(found["statuses"])
            report["request_ids"] += found["request_ids"]
    finally:
        for pounder in pounders:
            pounder.kill()
            pounder.wait()
            for pipe in (pounder.stdin, pounder.stdout):
                assert pipe is not None
                pipe.close()


def _send(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)
