"""docs/threats.md: each threat has its tests, and each test that it names is there."""

import ast
import re
from functools import cache

from tests.fakes.vendors import REPOSITORY

_ROW = re.compile(r"^\| ([0-9]+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
NUMBERS = [*range(1, 99), 100, 101]
THREATS = REPOSITORY / "tests" / "e2e" / "threats"


def table() -> dict[int, list[tuple[str, str]]]:
    """The tests of each number, as the document names them."""
    text = (REPOSITORY / "docs" / "threats.md").read_text(encoding="utf-8")
    return {int(number): _TEST.findall(tests) for number, _, tests in _ROW.findall(text)}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's test functions."""
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_threat_is_listed_once() -> None:
    """All numbers of the catalogue, in order, each with at least one test."""
    found = table()
    assert NUMBERS == list(found)
    assert [] == [number for number, tests in found.items() if not tests]


def test_every_test_exists() -> None:
    """A test that was renamed or removed is missed here."""
    named = [test for tests in table().values() for test in tests]
    assert [] == [(path, name) for path, name in named if name not in names_in(path)]


def test_every_numbered_test_is_listed_at_its_number() -> None:
    """A test called `test_07_…` stands in the row of 7."""
    found = table()
    missing = [
        (path.name, name)
        for path in THREATS.glob("test_*.py")
        for name in names_in(str(path.relative_to(REPOSITORY)))
        if (str(path.relative_to(REPOSITORY)), name) not in found[int(name.split("_")[1])]
    ]
    assert [] == missing
