"""Stripe's own SDK, unmodified, through the proxy: what runcap counts against what the fake Stripe says was moved.

Each story is the life of some objects. At every moment as much is counted as was moved, or more; at its end the two
are equal, but for the margin that the story states.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest
import stripe

from tests.e2e.harness import RuncapUp
from tests.e2e.stripe_billing_stories import BILLING_STORIES
from tests.e2e.stripe_stories import MONEY_STORIES, Agent
from tests.fakes import FakeVendors
from tests.fakes.journal import Entry

MICROS_PER_CENT = 10_000
STORIES = MONEY_STORIES + BILLING_STORIES


@dataclass(frozen=True, slots=True)
class Told:
    """How a story went: runcap's audit rows and the vendor's journal of its writes, in the same order."""

    rows: list[dict[str, Any]]
    entries: list[Entry]


@pytest.fixture(scope="module")
def told(up: RuncapUp, session_fakes: FakeVendors) -> Iterator[dict[str, Told]]:
    """All stories, each by a run of its own."""
    http_client = stripe.RequestsClient(proxy=up.proxy)
    bundle, stripe.ca_bundle_path = stripe.ca_bundle_path, str(up.ca_bundle())
    try:
        yield {story.__name__: _tell(story, up, session_fakes, http_client) for story, _ in STORIES}
    finally:
        stripe.ca_bundle_path = bundle
        http_client.close()  # type: ignore[no-untyped-call]  # stripe's own


def _tell(story: Callable[[Agent], None], up: RuncapUp, fakes: FakeVendors, http_client: stripe.RequestsClient) -> Told:
    run = up.issue(f"story-{story.__name__}", total_usd="1000000")
    mark = fakes.journal.mark()
    story(Agent(stripe.StripeClient(run.vault_key, http_client=http_client), run.run_id))
    entries = [entry for entry in fakes.journal.entries(mark, vendor="stripe") if _is_a_write(entry)]
    rows = up.calls(run, len(entries))
    return Told(sorted(rows, key=lambda row: (row["at"], row["seq"])), entries)


def _is_a_write(entry: Entry) -> bool:
    """Whether the agent sent it: lookups are reads, or Stripe's preview."""
    return entry.method != "GET" and not entry.path.endswith("/create_preview")


@pytest.mark.parametrize(("story", "margin_cents"), [(story.__name__, margin) for story, margin in STORIES])
def test_what_is_counted_covers_what_is_moved(told: dict[str, Told], story: str, margin_cents: int) -> None:
    """After each call no less than that, and at the end no more than the margin above it."""
    rows, entries = told[story].rows, told[story].entries
    paths = [(row["method"], row["path"]) for row in rows]
    assert [(entry.method, entry.path) for entry in entries] == paths
    assert {("allowed", "settled", 200)} == {(row["decision"], row["outcome"], row["status"]) for row in rows}

    counted = list(accumulate(row["settled_micros"] for row in rows))
    moved = list(accumulate(entry.moved * MICROS_PER_CENT for entry in entries))
    assert [] == [path for path, have, need in zip(paths, counted, moved, strict=True) if have < need]
    assert margin_cents * MICROS_PER_CENT == counted[-1] - moved[-1]


def test_more_than_forty_operations_were_used(told: dict[str, Told]) -> None:
    """Different ones, that the catalogue prices."""
    priced = {row["operation"] for story in told.values() for row in story.rows if row["cost_micros"]}

    assert len(priced) > 40


def test_the_ledger_agrees(told: dict[str, Told], up: RuncapUp) -> None:
    """Each run's total is the sum of its rows."""
    for story in told.values():
        run_id = story.rows[0]["run_id"]
        [spend] = up.audit("select sum(settled_micros) as micros from calls where run_id = ?", run_id)
        assert sum(row["settled_micros"] for row in story.rows) == spend["micros"]
