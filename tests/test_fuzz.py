"""What the fuzzer starts from, and what it has found, holds; and the fuzzer can tell when something does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runcap.entrance.wire import MessageReader
from runcap.vendors import form
from scripts.fuzz.targets import TARGETS

REPOSITORY = Path(__file__).resolve().parents[1]
CORPUS = REPOSITORY / "tests" / "data" / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_holds(path: Path) -> None:
    """Each input is refused or keeps what its target promises."""
    TARGETS[path.parent.name](path.read_bytes())


def test_each_target_has_a_corpus() -> None:
    """And the other way round: none is forgotten by `make fuzz`."""
    assert sorted(TARGETS) == sorted({path.parent.name for path in INPUTS})


def test_a_form_that_is_written_differently_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were `encode` to lose a parameter, the target would say so."""
    monkeypatch.setattr(form.Form, "encode", lambda self: form.encode(self.pairs[1:]))
    with pytest.raises(AssertionError):
        TARGETS["forms"](b"amount=1&currency=usd")


def test_a_reader_that_depends_on_the_pieces_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a byte lost between two reads, the target would say so."""
    feed: Callable[[MessageReader, bytes], None] = MessageReader.feed
    monkeypatch.setattr(MessageReader, "feed", lambda self, data: feed(self, data[:-1] if len(data) == 20 else data))
    with pytest.raises(AssertionError):
        TARGETS["wire"]((CORPUS / "wire" / "call").read_bytes())  # which is cut every 20 bytes


def test_the_script_without_atheris() -> None:
    """Hypothesis takes its place, within the time that is given."""
    done = subprocess.run(
        [sys.executable, "scripts/fuzz", "--engine", "hypothesis", "--target", "documents", "--seconds", "1"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "addon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, True) == (done.returncode, "documents: " in done.stdout and "no findings" in done.stdout), done.stderr
