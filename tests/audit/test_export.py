"""What is exported can be verified by a short script that knows nothing of runcap."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from runcap.audit.chain import Anchor
from runcap.audit.store import Store
from runcap.cli import cli
from tests.audit.stream import admin, blocked, call

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify_export.py"
ODD = 'a "quoted", text\nof two lines; \\ ü \u2028 \x00\x1f'

EXPORTS = {"jsonl": (("--format", "jsonl"),), "csv": (("--format", "csv"), ("--format", "csv", "--table", "admin"))}


@pytest.fixture
def last(path: Path) -> Anchor:
    """An audit whose rows have odd text, empty text and nulls."""
    store = Store(path)
    store.open()
    row = {"method": "", "path": ODD, "amount_minor": 2**53 + 1}
    last = store.append([admin(1, detail=ODD), call(2, row=row), blocked(3), admin(4), call(5, label="")])
    store.close()
    return last


def _export(path: Path, form: str) -> list[Path]:
    files = []
    for number, options in enumerate(EXPORTS[form]):
        ended = CliRunner().invoke(cli, ["audit", "export", "--db", str(path), *options])
        assert ended.exit_code == 0, ended.output
        files.append(path.with_name(f"{number}.{form}"))
        files[-1].write_bytes(ended.stdout_bytes)
    return files


def _verify(*arguments: object) -> tuple[int, str]:
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("form", EXPORTS)
def test_an_export_is_whole(path: Path, last: Anchor, form: str) -> None:
    """Every hash can be made again from what was exported."""
    ended = _verify(*_export(path, form), last)
    assert (0, f"5 rows, one unbroken chain, the last of them {last}\n") == ended


CHANGES: dict[str, Callable[[str], str]] = {
    "changed": lambda text: text.replace("490000000", "490000001", 1),
    "deleted": lambda text: "".join(line for line in text.splitlines(keepends=True) if "cap_exhausted" not in line),
}


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_is_found(path: Path, last: Anchor, form: str, change: str) -> None:
    """A figure that was changed, a row that is gone."""
    files = _export(path, form)
    text = files[0].read_text("utf-8")
    changed = CHANGES[change](text)
    assert text != changed
    files[0].write_text(changed, "utf-8")
    code, said = _verify(*files, last)
    assert 1 == code
    assert "WRONG: row" in said


def test_a_cut_export_is_found_by_an_anchor(path: Path, last: Anchor) -> None:
    """Only who kept the last row's anchor can tell that the end is missing."""
    [file] = _export(path, "jsonl")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert 0 == _verify(file)[0]
    assert (1, f"WRONG: no row is {last}\n") == _verify(file, last)
