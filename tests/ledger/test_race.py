"""Proof by racing: 4 processes of 125 parallel calls, and room for exactly 10."""

import subprocess
import sys
from pathlib import Path

import pytest

from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Level
from tests.ledger.support import ACTOR, call_rows, counted, issue, spent

_RACER = Path(__file__).with_name("racer.py")


@pytest.mark.parametrize("level", ["run", "fleet", "vendor"])
async def test_exactly_as_many_as_fit_are_granted(
    ledger: Ledger, server_url: str, namespace: str, level: Level
) -> None:
    """At each level of caps, wherever the calls come from; the counters of all levels agree."""
    runs = [await issue(ledger, label=f"billing-{number}") for number in range(4 if level != "run" else 1)]
    selector = {"run": runs[0].run_id, "fleet": "billing-", "vendor": "stripe"}[level]
    await ledger.set_cap("fleet", "billing-", Caps(day=1_000_000), ACTOR)
    await ledger.set_cap(level, selector, Caps(day=1_099), ACTOR)

    racers = [
        _start(server_url, namespace, runs[number % len(runs)].key_digest, str(number), "125") for number in range(4)
    ]
    granted = [int(racer.communicate(timeout=60)[0]) for racer in racers]

    assert 10 == sum(granted)
    assert 10 * 100 == sum([(await counted(ledger, run))[0] for run in runs])
    assert (1_000, 0) == await spent(ledger, "fleet", "billing-", "day")
    assert (1_000, 0) == await spent(ledger, "vendor", "stripe", "day")
    assert 490 == sum(row["code"] == "cap_exhausted" for row in await call_rows(ledger))


def _start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, _RACER, *args], stdout=subprocess.PIPE, text=True)
