"""docs/durability.md: every promise names tests that are there."""

from tests.fakes.vendors import REPOSITORY
from tests.test_threats_doc import _TEST, names_in


def _promises() -> list[str]:
    text = (REPOSITORY / "docs" / "durability.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what happens")]


def test_every_promise_has_its_tests() -> None:
    """At least one in each line of the table."""
    promises = _promises()
    assert len(promises) >= 15
    assert [] == [line for line in promises if not _TEST.search(line)]


def test_every_test_exists() -> None:
    """A test that was renamed or removed is missed here."""
    named = [test for line in _promises() for test in _TEST.findall(line)]
    assert [] == [(path, name) for path, name in named if name not in names_in(path)]
