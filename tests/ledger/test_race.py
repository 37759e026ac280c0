"""Proof by racing: many processes, and room for exactly 10 calls; two processes, and one idempotency key."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Level
from tests.ledger.support import ACTOR, call_rows, counted, issue, spent

_RACER = Path(__file__).with_name("racer.py")
_KEY_RACER = Path(__file__).with_name("idempotent_racer.py")


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
        _start(_RACER, server_url, namespace, runs[number % len(runs)].key_digest, str(number), "125")
        for number in range(4)
    ]
    granted = [int(racer.communicate(timeout=60)[0]) for racer in racers]

    assert 10 == sum(granted)
    assert 10 * 100 == sum([(await counted(ledger, run))[0] for run in runs])
    assert (1_000, 0) == await spent(ledger, "fleet", "billing-", "day")
    assert (1_000, 0) == await spent(ledger, "vendor", "stripe", "day")
    assert 490 == sum(row["code"] == "cap_exhausted" for row in await call_rows(ledger))


@pytest.mark.parametrize("fingerprints", [("f", "f"), ("f", "g")], ids=["same_request", "other_request"])
async def test_one_idempotency_key_counts_once(
    ledger: Ledger, server_url: str, namespace: str, fingerprints: tuple[str, str]
) -> None:
    """Two processes, 100 calls each: one is held, and all others wait, are retries of it, or are another request."""
    run = await issue(ledger, caps=Caps(day=1_000))
    racers = [
        _start(_KEY_RACER, server_url, namespace, run.key_digest, str(number), fingerprint)
        for number, fingerprint in enumerate(fingerprints)
    ]
    told = [Counter[str](json.loads(racer.communicate(timeout=60)[0])) for racer in racers]

    both = told[0] + told[1]
    assert 200 == both.total()
    assert 1 == both["held_100"]
    assert {"held_100", "held_0", "idempotency_in_progress", "idempotency_mismatch"} >= both.keys()
    if fingerprints[0] == fingerprints[1]:
        assert 0 == both["idempotency_mismatch"]
    else:
        loser = next(answers for answers in told if not answers["held_100"])
        assert {"idempotency_mismatch": 100} == loser
    assert (0, 100) == await counted(ledger, run)
    settled = [row["settled_micros"] for row in await call_rows(ledger) if row["decision"] == "allowed"]
    assert (both["held_100"] + both["held_0"], 100) == (len(settled), sum(map(int, settled)))


def _start(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *args], stdout=subprocess.PIPE, text=True)
