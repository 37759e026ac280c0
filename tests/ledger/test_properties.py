"""Random histories against a model of a dozen lines: the ledger counts what the model counts, and passes no cap."""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runcap.decision import Code
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, End, Held, Run
from runcap.vendors.base import Ending
from tests.ledger.support import ACTOR, ask, counted, denied_code, expire, issue, spent

_CAPS = {"run": 1_000, "fleet": 1_500, "vendor": 1_800}
_LABELS = ("billing-a", "billing-b", "ops")

_reserve = st.tuples(
    st.just("reserve"), st.integers(0, 2), st.integers(0, 500), st.sampled_from([None, "pi_1", "pi_2"])
)
_finish = st.tuples(
    st.just("finish"), st.integers(0, 9), st.sampled_from(list(Ending)), st.integers(0, 100), st.booleans()
)
_sweep = st.tuples(st.just("sweep"), st.integers(0, 9))


@dataclass
class Model:
    """What each selector holds, has spent, and has counted for each object."""

    held: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    objects: dict[tuple[str, str], int] = field(default_factory=dict)

    def used(self, selector: str) -> int:
        """Held and spent."""
        return self.held.get(selector, 0) + self.spent.get(selector, 0)

    def deltas(self, selectors: list[str], micros: int, object_id: str | None) -> dict[str, int]:
        """What a call adds to each selector."""
        return {
            selector: max(0, micros - self.objects.get((selector, object_id), 0)) if object_id else micros
            for selector in selectors
        }

    def end(self, held: dict[str, int], total: int | None, object_id: str | None, final: bool) -> None:
        """Count an end; `total` None: released."""
        for selector, amount in held.items():
            self.held[selector] = self.held.get(selector, 0) - amount
            if total is None:
                continue
            known = self.objects.get((selector, object_id), 0) if object_id else 0
            difference = total - known
            if difference < 0 and not final:
                continue
            self.spent[selector] = self.spent.get(selector, 0) + difference
            if object_id:
                self.objects[selector, object_id] = total


@dataclass
class Open:
    """A reservation that is open in both."""

    held: Held
    micros: int
    object_id: str | None
    amounts: dict[str, int]


def _selectors(run: Run) -> list[str]:
    fleets = ["fleet:billing-"] if run.label.startswith("billing-") else []
    return [f"run:{run.run_id}", *fleets, "vendor:stripe"]


async def _play(url: str, steps: list[tuple[Any, ...]]) -> None:
    ledger = Ledger.connect(url, namespace=secrets.token_hex(8))
    try:
        await ledger.initialise("epoch", ACTOR)
        runs = [await issue(ledger, label=label, caps=Caps(day=_CAPS["run"])) for label in _LABELS]
        await ledger.set_cap("fleet", "billing-", Caps(month=_CAPS["fleet"]), ACTOR)
        await ledger.set_cap("vendor", "stripe", Caps(total=_CAPS["vendor"]), ACTOR)
        model, open_calls = Model(), list[Open]()
        for kind, *values in steps:
            if kind == "reserve":
                await _step_reserve(ledger, model, open_calls, runs[values[0]], *values[1:])
            elif open_calls:
                await _step_end(ledger, model, open_calls.pop(values[0] % len(open_calls)), *values[1:])
        for run in runs:
            name = f"run:{run.run_id}"
            assert (model.held.get(name, 0), model.spent.get(name, 0)) == await counted(ledger, run)
        for level, selector in (("fleet", "billing-"), ("vendor", "stripe")):
            name = f"{level}:{selector}"
            expected = (model.held.get(name, 0), model.spent.get(name, 0))
            assert expected == await spent(ledger, level, selector, "day")  # type: ignore[arg-type]
            assert expected == await spent(ledger, level, selector)  # type: ignore[arg-type]
        assert [] == await ledger.check()
    finally:
        await ledger.close()


async def _step_reserve(ledger: Ledger, model: Model, open_calls: list[Open], run: Run, *call: Any) -> None:
    micros, object_id = call
    deltas = model.deltas(_selectors(run), micros, object_id)
    caps = {selector: _CAPS[selector.partition(":")[0]] for selector in deltas}
    fits = all(delta == 0 or model.used(name) + delta <= caps[name] for name, delta in deltas.items())
    asked = ask(run, micros, object_id=object_id)
    if not fits:
        assert Code.CAP_EXHAUSTED == await denied_code(ledger, asked)
        return
    held = await ledger.reserve(asked)
    assert deltas[f"run:{run.run_id}"] == held.held_micros
    for name, delta in deltas.items():
        model.held[name] = model.held.get(name, 0) + delta
        assert delta == 0 or model.used(name) <= caps[name]
    open_calls.append(Open(held, micros, object_id, deltas))


async def _step_end(ledger: Ledger, model: Model, call: Open, *how: Any) -> None:
    if not how:
        await expire(ledger, call.held)
        assert 1 == await ledger.sweep()
        model.end(call.amounts, call.micros, call.object_id, final=False)
        return
    ending, percent, final = how
    actual = call.micros * percent // 100
    await ledger.finish(End(call.held.reservation_id, ending, actual, final=final))
    total = {Ending.SETTLED: actual, Ending.UNKNOWN: call.micros, Ending.RELEASED: None}[ending]
    model.end(call.amounts, total, call.object_id, final=final and ending is Ending.SETTLED)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_reserve | _finish | _sweep, max_size=40))
def test_any_history_adds_up(server_url: str, steps: list[tuple[Any, ...]]) -> None:
    """Reserve, finish and sweep in any order and of any amount."""
    asyncio.run(_play(server_url, steps))
