"""The chain's rule, checked against the standard library alone."""

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runcap.audit.chain import EMPTY, GENESIS, Anchor, Row, link, row_hash, walk

VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"])))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.lists(VALUES, max_size=8))
def test_hash_is_of_compact_json(values: list[str | int | None]) -> None:
    """A row's hash can be made with nothing but json and hashlib, whatever its text."""
    row: Row = ("calls", 1, *values, GENESIS)

    line = json.dumps(row, separators=(",", ":"), ensure_ascii=False)

    assert hashlib.sha256(line.encode()).hexdigest() == row_hash(row)


def test_first_row_follows_the_genesis() -> None:
    """The first row has seq 1 and 64 zeros before it."""
    row, anchor = link("admin", ("at", "act"), EMPTY)

    assert ("admin", 1, "at", "act", "0" * 64, anchor.hash) == row
    assert Anchor(1, row_hash(row[:-1])) == anchor


def test_a_row_cannot_change_tables() -> None:
    """The table's name is part of what is hashed."""
    assert link("admin", ("x",), EMPTY)[1] != link("calls", ("x",), EMPTY)[1]


def test_walk_ends_at_the_last_row() -> None:
    """A whole chain has no problem, and gives the hashes that were asked for."""
    first, one = link("calls", ("a",), EMPTY)
    second, two = link("admin", ("b",), one)

    found = walk([first, second], {1, 7})

    assert found.problem is None
    assert two == found.last
    assert {0: GENESIS, 1: one.hash} == found.hashes


def test_walk_stops_at_the_first_problem() -> None:
    """A row that was swapped in from another chain does not follow."""
    first, one = link("calls", ("a",), EMPTY)
    foreign, _ = link("calls", ("b",), Anchor(1, "f" * 64))

    found = walk([first, foreign])

    assert one == found.last
    assert "Rewritten or reordered: row 2 of calls" in str(found.problem)


def test_anchor_is_written_and_read() -> None:
    """What is printed can be read back."""
    anchor = Anchor(12, "a" * 64)

    assert anchor == Anchor.parse(f" {anchor}\n")


@pytest.mark.parametrize(
    "text", ["", "1", "1:abc", f"-1:{GENESIS}", f"01:{GENESIS}", f"1:{'A' * 64}", f"\u0661:{GENESIS}"]
)
def test_what_is_no_anchor_is_refused(text: str) -> None:
    """Only SEQ:HASH in ASCII digits and lower-case hex is an anchor."""
    with pytest.raises(ValueError, match="SEQ:HASH"):
        Anchor.parse(text)
