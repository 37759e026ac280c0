from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.catalogue import data
from runcap.vendors.twilio.destinations import Destination
from runcap.vendors.twilio.prices import Prices

BUNDLED = Prices.bundled()
US = Destination("+14155550100", "US")


def table(**us: Any) -> dict[str, Any]:
    return {
        "sources": {"exact": {"margin_percent": 0}, "weak": {"margin_percent": 50}},
        "countries": {"US": us},
    }


def test_the_us_is_complete() -> None:
    """List price and the dearest carrier fee: 0.0083 + 0.0062 a segment, 0.022 + 0.02 an MMS, 0.014 a minute."""
    assert 14_500 == BUNDLED.sms_segment(US)
    assert 42_000 == BUNDLED.mms_message(US)
    assert 14_000 == BUNDLED.voice_minute(US)


def test_the_longest_prefix_wins() -> None:
    """Alaska is in the US and costs more."""
    assert 90_000 == BUNDLED.voice_minute(Destination("+19075551234", "US"))


def test_a_weak_source_has_a_margin_rounded_up() -> None:
    """0.0473 from a table of 2023 counts as 0.07095."""
    assert 70_950 == BUNDLED.sms_segment(Destination("+12685551234", "AG"))
    odd = Prices.from_dict(table(sms={"usd": "0.000001", "source": "weak"}))
    assert 2 == odd.sms_segment(US)


@pytest.mark.parametrize("region", ["CA", "GB", "001", ""])
def test_a_country_without_a_price_is_refused(region: str) -> None:
    """Unknown is never free; the message says how to get prices."""
    to = Destination("+14165551234", region)
    for price in (BUNDLED.sms_segment, BUNDLED.voice_minute):
        with pytest.raises(Refused) as refused:
            price(to)
        assert Code.UNPRICED == refused.value.deny.code
        assert "runcap rates import" in refused.value.deny.message


def test_a_country_can_have_one_price_and_not_another() -> None:
    """Japan has a voice price and no SMS price here; no MMS price is None."""
    japan = Destination("+819012345678", "JP")
    assert 277_500 == BUNDLED.voice_minute(japan)
    assert BUNDLED.mms_message(japan) is None
    with pytest.raises(Refused):
        BUNDLED.sms_segment(japan)


@pytest.mark.parametrize(
    "us",
    [
        {"sms": {"usd": 0.0083, "source": "exact"}},
        {"sms": {"usd": "8.3e-3", "source": "exact"}},
        {"sms": {"usd": "-1", "source": "exact"}},
        {"sms": {"usd": "1", "source": "nowhere"}},
        {"sms": "1"},
        {"letters": {"usd": "1", "source": "exact"}},
        {"voice_minute_by_prefix": {"1": {"usd": "", "source": "exact"}}},
    ],
)
def test_a_table_in_another_form_is_an_error(us: dict[str, Any]) -> None:
    """A price that cannot be read stops the start and names the country."""
    with pytest.raises(ValueError, match="US"):
        Prices.from_dict(table(**us))


def test_a_margin_must_be_a_whole_number() -> None:
    """No float touches money."""
    bad = table(sms={"usd": "1", "source": "exact"})
    bad["sources"]["exact"]["margin_percent"] = 12.5
    with pytest.raises(ValueError, match="margin_percent"):
        Prices.from_dict(bad)


def test_every_bundled_source_says_what_and_from() -> None:
    """A price without a source could not be checked."""
    for source in data("twilio_prices.json")["sources"].values():
        assert {"what", "from", "margin_percent"} == set(source)
