import json
import logging
from pathlib import Path
from typing import Any

import pytest

from runcap.home import HomeError, write_file
from runcap.rates.live import LivePrices
from runcap.vendors.twilio.destinations import Destination
from runcap.vendors.twilio.prices import Prices

US = Destination("+14155550100", "US")


def put(path: Path, usd: str) -> None:
    table: dict[str, Any] = {
        "sources": {"x": {"margin_percent": 0}},
        "countries": {"US": {"sms": {"usd": usd, "source": "x"}}},
    }
    write_file(path, json.dumps(table).encode())


def test_without_a_file_the_bundled_table_counts(tmp_path: Path) -> None:
    """And always the same object: nothing is read again."""
    live = LivePrices(tmp_path / "twilio.json")
    assert Prices.bundled().countries == live().countries
    assert live() is live()


def test_a_new_table_is_picked_up(tmp_path: Path) -> None:
    """Made, replaced, taken away: the very next call sees it."""
    path = tmp_path / "twilio.json"
    live = LivePrices(path)
    put(path, "0.01")
    assert 10_000 == live().sms_segment(US)
    put(path, "0.02")
    assert 20_000 == live().sms_segment(US)
    assert live() is live()
    path.unlink()
    assert 14_500 == live().sms_segment(US)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"countries": {"US": {"sms": "1"}}}'])
def test_a_broken_table_later_leaves_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """With one line in the log, not one a call; a good one after it counts."""
    path = tmp_path / "twilio.json"
    put(path, "0.01")
    live = LivePrices(path)
    write_file(path, content.encode())
    with caplog.at_level(logging.ERROR):
        assert [10_000, 10_000] == [live().sms_segment(US), live().sms_segment(US)]
    assert 1 == len(caplog.records)
    assert "twilio.json" in caplog.text
    put(path, "0.03")
    assert 30_000 == live().sms_segment(US)


def test_a_broken_table_stops_the_start(tmp_path: Path) -> None:
    """As does one that others may write."""
    path = tmp_path / "twilio.json"
    write_file(path, b'{"countries": []}')
    with pytest.raises(ValueError, match=r"twilio\.json"):
        LivePrices(path)
    put(path, "0.01")
    path.chmod(0o602)
    with pytest.raises(HomeError):
        LivePrices(path)
