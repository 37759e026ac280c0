"""Random lives of a ledger on a real server, against a model: calls, operators, midnights, restarts, rebuilds.

No cap is ever passed, what is held is what the open reservations hold, what is spent is what the audit says, and each
reservation ends once.
"""

import asyncio
import json
import os
import secrets
import signal
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from runcap.audit.reading import open_readonly
from runcap.decision import Code
from runcap.ledger.checking import check_against_audit
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import WINDOWS, Caps, End, Level, Run
from runcap.ledger.rebuild import rebuild
from runcap.vendors.base import Ending
from tests.ledger.clock import set_offset, settable_clock
from tests.ledger.model import Model, Open, periods
from tests.ledger.support import ACTOR, ask, denied_code, expire, issue
from tests.ledger.test_rebuild import audit

_LABELS = ("billing-a", "billing-b", "ops")
_SELECTORS = ("run:0", "run:1", "fleet:", "fleet:billing-", "fleet:ops", "vendor:stripe")
_FROZEN = ("run:0", "fleet:billing-", "vendor:stripe", "all")
_NEVER_MS = 400 * 86_400_000
_picks = st.integers(0, 99)
_amounts = st.integers(0, 8)
"""So small that caps are met exactly, and passed by one, again and again."""
_caps = st.integers(0, 24)


class Life(RuleBasedStateMachine):
    """One ledger's life."""

    server: EmbeddedLedger

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "audit.db"
        self.ledger = Ledger.connect(self.server.url, namespace=secrets.token_hex(8))
        self.model = Model()
        self.ended: list[str] = []
        self.frozen: set[str] = set()
        self.revoked: set[int] = set()
        self.restarts = self.rebuilds = self.days_passed = 0
        self.now = datetime.now(UTC)
        self.runs: list[Run] = []
        self.run(self._begin())

    async def _begin(self) -> None:
        await self.ledger.initialise("epoch", ACTOR)
        await self._go_to(self.now + timedelta(days=1))
        self.runs = [await issue(self.ledger, label=label) for label in _LABELS]

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the ledger."""
        return self.runner.run(work)

    @property
    def day(self) -> str:
        """The ledger's day."""
        return f"{self.now:%Y-%m-%d}"

    @rule(pick=_picks, micros=_amounts, object_id=st.sampled_from([None, "pi_1"]))
    def reserve(self, pick: int, micros: int, object_id: str | None) -> None:
        """A call is let through exactly if its key is good, nothing is frozen and it fits under every cap."""
        number = pick % len(self.runs)
        run = self.runs[number]
        deltas = self.model.deltas(self.model.selectors(f"run:{run.run_id}", run.label), micros, object_id)
        asked = ask(run, micros, object_id=object_id, deadline_ms=_NEVER_MS)
        if refused := self._refusal(number, deltas):
            assert refused == self.run(denied_code(self.ledger, asked))
            return
        held = self.run(self.ledger.reserve(asked))
        assert deltas[f"run:{run.run_id}"] == held.held_micros
        self.model.hold(held.reservation_id, Open(number, run.label, micros, self.day, object_id, deltas))

    def _refusal(self, number: int, deltas: dict[str, int]) -> Code | None:
        label = self.runs[number].label
        stops = {f"run:{number}", "vendor:stripe", "all", *(f"fleet:{label[:end]}" for end in range(len(label) + 1))}
        if number in self.revoked:
            return Code.KEY_REVOKED
        if stops & self.frozen:
            return Code.FROZEN
        return None if self.model.fits(deltas, self.day) else Code.CAP_EXHAUSTED

    @precondition(lambda self: self.model.open)
    @rule(pick=_picks, ending=st.sampled_from(list(Ending)), less=_amounts, final=st.booleans())
    def end(self, pick: int, ending: Ending, less: int, final: bool) -> None:
        """Settled at or below the quote, released, or unknown."""
        name, call = self._pick_open(pick)
        actual = max(0, call.micros - less)
        ended = self.run(self.ledger.finish(End(name, ending, actual, final=final)))
        assert not ended.already
        total = {Ending.SETTLED: actual, Ending.UNKNOWN: call.micros, Ending.RELEASED: None}[ending]
        self._ended(name, total, final=final and ending is Ending.SETTLED)

    @precondition(lambda self: self.model.open)
    @rule(pick=_picks)
    def sweep(self, pick: int) -> None:
        """What is past its deadline is spent."""
        name, call = self._pick_open(pick)
        self.run(self._sweep(name))
        self._ended(name, call.micros, final=False)

    async def _sweep(self, name: str) -> None:
        await expire(self.ledger, name)
        assert 1 == await self.ledger.sweep()

    @precondition(lambda self: self.ended)
    @rule(pick=_picks, ending=st.sampled_from(list(Ending)))
    def end_again(self, pick: int, ending: Ending) -> None:
        """Nothing happens."""
        assert self.run(self.ledger.finish(End(self.ended[pick % len(self.ended)], ending, 1))).already

    @rule(selector=st.sampled_from(_SELECTORS), window=st.sampled_from(WINDOWS), micros=_caps)
    def set_cap(self, selector: str, window: str, micros: int) -> None:
        """For the very next call, also below what is counted already."""
        level, name = self._named(selector)
        known = f"{level}:{name}"
        if level == "fleet" and known not in self.model.caps:
            self.model.begin_fleet(known, {f"run:{run.run_id}": run.label for run in self.runs})
        caps = self.model.caps.get(known, Caps())
        kept = {each: getattr(caps, each) for each in WINDOWS}
        self.model.caps[known] = Caps(**kept | {window: micros})
        self.run(self.ledger.set_cap(level, name, Caps(**{window: micros}), ACTOR))

    @rule(selector=st.sampled_from(_SELECTORS))
    def remove_caps(self, selector: str) -> None:
        """What has been counted stays counted."""
        level, name = self._named(selector)
        if f"{level}:{name}" in self.model.caps:
            self.model.caps[f"{level}:{name}"] = Caps()
            self.run(self.ledger.remove_cap(level, name, None, ACTOR))

    @rule(what=st.sampled_from(_FROZEN))
    def freeze_or_thaw(self, what: str) -> None:
        """By turns."""
        level, name = ("all", "") if what == "all" else self._named(what)
        change = self.ledger.unfreeze if what in self.frozen else self.ledger.freeze
        assert self.run(change(level, name, ACTOR))
        self.frozen ^= {what}

    @precondition(lambda self: not self.revoked)
    @rule(number=st.integers(0, 2))
    def revoke(self, number: int) -> None:
        """What is under way may still end."""
        self.run(self.ledger.revoke(self.runs[number].run_id, ACTOR))
        self.revoked.add(number)

    @precondition(lambda self: self.days_passed < 6)
    @rule(months=st.booleans())
    def later(self, months: bool) -> None:
        """The next day, or the first of the next month; never so late that objects are forgotten."""
        self.days_passed += 1
        first = (self.now.replace(day=1) + timedelta(days=32)).replace(day=1)
        self.run(self._go_to(first if months else self.now + timedelta(days=1)))

    async def _go_to(self, day: datetime) -> None:
        """To noon: far from where the real midnight could come between."""
        self.now = day.replace(hour=12, minute=0, second=0, microsecond=0)
        await set_offset(self.ledger, (self.now - datetime.now(UTC)) // timedelta(milliseconds=1))

    @precondition(lambda self: self.restarts < 1)
    @rule()
    def restart(self) -> None:
        """kill -9 of the server: all that was acknowledged is still there."""
        self.restarts += 1
        self.run(self._restart())

    async def _restart(self) -> None:
        os.kill(int((await self.ledger._client.redis.info("server"))["process_id"]), signal.SIGKILL)
        while not await asyncio.to_thread(self.server.ensure_running):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
        assert await self.ledger.vouch(await self.ledger.state())

    @precondition(lambda self: self.rebuilds < 2)
    @rule()
    def rebuild(self) -> None:
        """From the audit, as if the ledger were not to be trusted: it comes back as it was."""
        self.rebuilds += 1
        self.run(rebuild(self.ledger, self.path, ACTOR))

    @invariant()
    def counts_what_the_model_counts(self) -> None:
        """Held and spent of everybody, in all windows that are open."""
        names = [f"run:{run.run_id}" for run in self.runs]
        names += ["vendor:stripe", *(known for known in self.model.caps if known.startswith("fleet:"))]
        for name, found in self.run(self.ledger._spends(names)).items():
            for window, period in zip(WINDOWS, periods(self.day), strict=True):
                expected = (self.model.held[name, period], self.model.spent[name, period])
                assert expected == (found[window].held_micros, found[window].spent_micros), (name, period)

    def teardown(self) -> None:
        """Ledger and audit agree, and each reservation that has ended is in the audit once."""
        try:
            self.run(self._compare_with_audit())
            self.run(self.ledger.close())
        finally:
            self.runner.close()
            self.folder.cleanup()

    async def _compare_with_audit(self) -> None:
        assert () == (await check_against_audit(self.ledger, self.path)).differences
        await audit(self.ledger, self.path)
        assert () == (await check_against_audit(self.ledger, self.path)).differences
        db = open_readonly(self.path)
        extras = [text for (text,) in db.execute("SELECT extra FROM calls WHERE decision = 'allowed'")]
        db.close()
        assert Counter(self.ended) == Counter(json.loads(text)["reservation"] for text in extras)

    def _named(self, selector: str) -> tuple[Level, str]:
        level, _, name = selector.partition(":")
        return level, self.runs[int(name)].run_id if level == "run" else name  # type: ignore[return-value]

    def _pick_open(self, pick: int) -> tuple[str, Open]:
        names = list(self.model.open)
        name = names[pick % len(names)]
        return name, self.model.open[name]

    def _ended(self, name: str, total: int | None, *, final: bool) -> None:
        self.model.end(name, total, final=final)
        self.ended.append(name)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLedger]:
    """A server that may be killed."""
    with EmbeddedLedger(tmp_path_factory.mktemp("mortal")) as server:
        yield server


def test_any_life_adds_up(mortal: EmbeddedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, in whatever order."""
    monkeypatch.setattr(Life, "server", mortal, raising=False)
    with settable_clock(monkeypatch):
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=15,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
                print_blob=False,
            ),
        )
