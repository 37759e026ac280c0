import json
from pathlib import Path

import pytest

from runcap.home import HomeError
from runcap.rates.folder import FX, TWILIO, Change, RatesFolder


def change(value: int) -> Change:
    return Change(TWILIO, {"value": value, "é": "ü"}, "import twilio-sms", "sms.csv", {"sms_countries": value})


def test_a_table_is_private_and_read_back(tmp_path: Path) -> None:
    """Folder 0700, files 0600; another table is another file."""
    folder = RatesFolder(tmp_path / "home")
    assert folder.read(TWILIO) is None
    folder.apply(change(1), "ann@host")
    assert {"value": 1, "é": "ü"} == folder.read(TWILIO)
    assert folder.read(FX) is None
    assert 0o700 == folder.path(TWILIO).parent.stat().st_mode & 0o777
    assert [0o600] * 3 == [path.stat().st_mode & 0o777 for path in folder.path(TWILIO).parent.iterdir()]


def test_each_change_is_a_line(tmp_path: Path) -> None:
    """Who, when, from what, how much; each begins with the digest that the one before ended with."""
    folder = RatesFolder(tmp_path / "home")
    assert [] == folder.history()
    for value in (1, 2):
        expected = folder.describe(change(value))
        folder.apply(change(value), "ann@host")
        line = folder.history()[-1]
        assert expected.items() <= line.items()
        assert ("ann@host", "import twilio-sms", "sms.csv", {"sms_countries": value}) == (
            line["actor"],
            line["action"],
            line["source"],
            line["counts"],
        )
        assert line["at"].endswith("Z")
    first, second = folder.history()
    assert first["old_digest"] is None
    assert first["new_digest"] == second["old_digest"] != second["new_digest"]


def test_a_history_that_cannot_be_written_stops_the_change(tmp_path: Path) -> None:
    """A change without its line does not happen."""
    folder = RatesFolder(tmp_path / "home")
    folder.apply(change(1), "ann@host")
    folder.history_path.unlink()
    folder.history_path.mkdir()
    with pytest.raises(OSError, match=r"."):
        folder.apply(change(2), "ann@host")
    assert {"value": 1, "é": "ü"} == folder.read(TWILIO)


def test_what_others_may_write_is_not_believed(tmp_path: Path) -> None:
    """Nor what is no table."""
    folder = RatesFolder(tmp_path / "home")
    folder.apply(change(1), "ann@host")
    folder.path(TWILIO).chmod(0o666)
    with pytest.raises(HomeError, match="open to other users"):
        folder.read(TWILIO)
    folder.path(TWILIO).chmod(0o600)
    for content in ("[1]", "{", json.dumps("x")):
        folder.path(TWILIO).write_text(content)
        with pytest.raises(ValueError, match="damaged"):
            folder.read(TWILIO)
