"""500 calls at once from four processes, room for exactly ten: exactly ten reach the vendor."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.agents_running import Race, Racers
from tests.e2e.harness import RuncapUp
from tests.e2e.mitmdump import Mitmdump
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

_CENTS = 700
_MICROS = _CENTS * 10_000
_ROOM = 10
_RACERS = 4
_CALLS = 500

ENGINES = ("up", "mitmdump")


class Entrances:
    """Where racers may enter: the one port of `runcap up`'s two workers, or the ports of two mitmdumps."""

    def __init__(self, proxies: list[RuncapUp]) -> None:
        self.up = proxies[0]
        self.proxies = [each.proxy for each in proxies]

    def environments(self, *labels: str, **caps: str) -> list[dict[str, str]]:
        """One environment for each racer; labels take turns, each with a run of its own."""
        runs = [self.up.issue(label, **caps) for label in labels]
        return [
            self.up.agent_env(runs[turn % len(runs)], proxy=self.proxies[turn % len(self.proxies)])
            for turn in range(_RACERS)
        ]


@pytest.fixture(scope="module", params=ENGINES)
def entrances(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors
) -> Iterator[Entrances]:
    folder = tmp_path_factory.mktemp("race")
    with ExitStack() as stack:
        if request.param == "up":
            proxies: list[RuncapUp] = [stack.enter_context(RuncapUp(folder, session_fakes, workers=2))]
        else:
            proxies = [
                stack.enter_context(Mitmdump(folder, session_fakes, name="one")),
                stack.enter_context(Mitmdump(folder, session_fakes, name="two", alone=False)),
            ]
        yield Entrances(proxies)


def test_run_cap(entrances: Entrances, fakes: FakeVendors) -> None:
    """One run's cap holds over two workers, and the run's counters are what the vendor charged."""
    mark = fakes.journal.mark()
    up = entrances.up
    environments = entrances.environments("race-run", daily_usd=str(_CENTS * _ROOM // 100))
    _assert_exactly_ten(_race(environments), fakes, mark)
    rows = _rows(up, "race-run")
    assert {"run"} == {row["cap_level"] for row in rows if row["decision"] == "blocked"}
    [run_id] = {row["run_id"] for row in rows}
    assert _ROOM * _MICROS == up.counted_micros("run", run_id)
    day = up.cli_json("keys", "show", run_id)["spend"]["day"]
    assert ("70.00", "0.00", "0.00") == tuple(day[f"{name}_usd"] for name in ("spent", "held", "remaining"))


def test_fleet_cap(entrances: Entrances, fakes: FakeVendors) -> None:
    """A fleet's cap holds over two runs that each have room for all their calls."""
    mark = fakes.journal.mark()
    up = entrances.up
    up.cli_json("caps", "set", "--fleet", "race-fleet-", "--daily-usd", str(_CENTS * _ROOM // 100))
    environments = entrances.environments("race-fleet-a", "race-fleet-b", daily_usd="10000")
    _assert_exactly_ten(_race(environments), fakes, mark)
    rows = _rows(up, "race-fleet-%")
    blocked = {(row["cap_level"], row["cap_selector"]) for row in rows if row["decision"] == "blocked"}
    assert {("fleet", "race-fleet-")} == blocked
    assert _ROOM * _MICROS == up.counted_micros("fleet", "race-fleet-")
    [cap] = [row for row in up.cli_json("caps", "list") if row["selector"] == "race-fleet-"]
    assert ("fleet", "day", "70.00", "70.00") == tuple(
        cap[name] for name in ("level", "window", "spent_usd", "cap_usd")
    )
    runs = {row["run_id"] for row in rows}
    assert _ROOM * _MICROS == sum(up.counted_micros("run", run_id) for run_id in runs)


def test_vendor_cap(entrances: Entrances, fakes: FakeVendors) -> None:
    """A vendor's cap holds over all runs, on top of what the vendor has been spent before."""
    mark = fakes.journal.mark()
    up = entrances.up
    before = up.counted_micros("vendor", "stripe")
    assert 0 == before % 1_000_000
    up.cli_json("caps", "set", "--vendor", "stripe", "--total-usd", str((before + _ROOM * _MICROS) // 1_000_000))
    try:
        _assert_exactly_ten(_race(entrances.environments("race-vendor", daily_usd="10000")), fakes, mark)
    finally:
        up.cli("caps", "remove", "--vendor", "stripe")
    rows = _rows(up, "race-vendor")
    assert {("vendor", "stripe")} == {
        (row["cap_level"], row["cap_selector"]) for row in rows if row["decision"] == "blocked"
    }
    assert before + _ROOM * _MICROS == up.counted_micros("vendor", "stripe")


def _race(environments: list[dict[str, str]]) -> Race:
    with Racers(environments, cents=_CENTS, calls=_CALLS // _RACERS, side_by_side=_CALLS) as racers:
        racers.go()
        return racers.finish()


def _assert_exactly_ten(race: Race, fakes: FakeVendors, mark: int) -> None:
    """The agents were told so, and the vendor saw so."""
    assert {"200": _ROOM, "429": _CALLS - _ROOM} == dict(race.statuses)
    assert {"cap_exhausted": _CALLS - _ROOM} == dict(race.codes)
    assert [_CENTS] * _ROOM == [entry.moved for entry in fakes.journal.entries(mark)]
    assert set(race.request_ids) == {entry.request_id for entry in fakes.journal.entries(mark)}


def _rows(up: RuncapUp, label: str) -> list[dict[str, Any]]:
    """All audit rows of a race: one for each call, of which ten are settled at their price."""

    def look() -> list[dict[str, Any]] | None:
        rows = up.audit("select * from calls where label like ?", label)
        return rows if len(rows) >= _CALLS else None

    rows = wait_until("500 audit rows", look)
    assert rows is not None
    settled = [row["settled_micros"] for row in rows if row["outcome"] == "settled"]
    assert (_CALLS, [_MICROS] * _ROOM) == (len(rows), settled)
    return rows
