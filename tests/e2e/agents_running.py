"""Runs the agents of this folder as processes of their own, in nothing but the environment that they are given."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

AGENTS = Path(__file__).parent / "agents"
_AGENT_SECONDS = 60


def run_agent(name: str, *arguments: int, env: dict[str, str]) -> list[dict[str, Any]]:
    """Run an SDK agent to its end; its report, a line a call."""
    command = [sys.executable, str(AGENTS / f"{name}.py"), *map(str, arguments)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_AGENT_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@dataclass(frozen=True, slots=True)
class Race:
    """How the calls of all racers ended."""

    statuses: Counter[str]
    codes: Counter[str]
    request_ids: list[str]
    """The vendor's, of all calls that were answered by it."""


class Racers:
    """Racers at the start line: `go`, then `finish`. A context manager that leaves none behind."""

    def __init__(self, environments: list[dict[str, str]], *, cents: int, calls: int, side_by_side: int) -> None:
        """One racer for each environment; `calls` is each one's own share."""
        arguments = [str(number) for number in (cents, calls, side_by_side)]
        self._racers = [
            subprocess.Popen(
                [sys.executable, str(AGENTS / "racer.py"), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            )
            for env in environments
        ]  # fmt: skip

    def __enter__(self) -> Self:
        for racer in self._racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_error: object) -> None:
        for racer in self._racers:
            racer.kill()
            racer.wait()
            for pipe in (racer.stdin, racer.stdout):
                assert pipe is not None
                pipe.close()

    def go(self) -> None:
        """Start them all."""
        for racer in self._racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()

    def finish(self) -> Race:
        """Wait for all and add up."""
        race = Race(Counter(), Counter(), [])
        for racer in self._racers:
            assert racer.stdout is not None
            report = json.loads(racer.stdout.readline())
            race.statuses.update(report["statuses"])
            race.codes.update(report["codes"])
            race.request_ids.extend(report["request_ids"])
        return race
