from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.catalogue import data
from runcap.vendors.twilio.destinations import ChannelAddress, Destination
from runcap.vendors.twilio.prices import Fee, Prices

BUNDLED = Prices.bundled()
US = Destination("+14155550100", "US")


def table(**us: Any) -> dict[str, Any]:
    return {
        "sources": {"exact": {"margin_percent": 0}, "weak": {"margin_percent": 50}},
        "countries": {"US": us},
    }


def prefixes(**countries: dict[str, str]) -> Prices:
    """A table of voice prefixes alone; each country's dearest is 0.10."""
    rows = {
        region: {
            "voice_minute": {"usd": "0.10", "source": "exact"},
            "voice_minute_by_prefix": {prefix: {"usd": usd, "source": "exact"} for prefix, usd in row.items()},
        }
        for region, row in countries.items()
    }
    return Prices.from_dict({"sources": {"exact": {"margin_percent": 0}}, "countries": rows})


def test_the_us_is_complete() -> None:
    """List price and the dearest carrier fee: 0.0083 + 0.0062 a segment, 0.022 + 0.02 an MMS, 0.014 a minute."""
    assert 14_500 == BUNDLED.sms_segment(US)
    assert 42_000 == BUNDLED.mms_message(US)
    assert 14_000 == BUNDLED.voice_minute(US)


def test_the_dearest_prefix_wins() -> None:
    """Alaska is in the US and costs more; a longer prefix that is cheaper does not help."""
    assert 90_000 == BUNDLED.voice_minute(Destination("+19075551234", "US"))
    prices = prefixes(US={"1907": "0.09", "190755": "0.01"})
    assert 90_000 == prices.voice_minute(Destination("+19075551234", "US"))


def test_an_unknown_prefix_costs_the_countrys_dearest() -> None:
    """Nothing matches +1415, so the country's own price counts."""
    prices = prefixes(US={"1907": "0.09"})
    assert 100_000 == prices.voice_minute(US)


def test_a_prefix_in_another_countrys_rows_counts_too() -> None:
    """Numbering plans and price lists draw borders differently; of two readings the dearer one holds."""
    prices = prefixes(US={"1": "0.01"}, BS={"1242": "0.5", "1415": "0.7"})
    assert 700_000 == prices.voice_minute(US)
    assert 500_000 == prices.voice_minute(Destination("+12423591234", "BS"))


def test_prefixes_of_one_price_stand_in_one_row() -> None:
    """The form that an import writes."""
    row = {"usd": "0.02", "source": "exact", "prefixes": ["1", "1415"]}
    dearer = {"usd": "0.03", "source": "exact", "prefixes": ["1415"]}
    assert 30_000 == Prices.from_dict(table(voice_prefixes=[row, dearer])).voice_minute(US)


def test_numbers_cost_a_month() -> None:
    """By kind; the dearest where the kind is not known."""
    assert (1_150_000, 2_150_000, 2_150_000) == tuple(
        BUNDLED.number_month("US", k) for k in ("local", "toll_free", None)
    )
    for region, kind in (("US", "mobile"), ("CA", "local"), ("GB", None)):
        with pytest.raises(Refused) as refused:
            BUNDLED.number_month(region, kind)
        assert Code.UNPRICED == refused.value.deny.code


def test_every_fee_is_bundled() -> None:
    """What costs the same everywhere has a price."""
    assert set(Fee) == set(BUNDLED.fees)
    with pytest.raises(Refused):
        Prices({}).fee(Fee.PAYMENT)


def test_a_channels_price_is_by_country_or_anywhere() -> None:
    """Where an operator has imported one."""
    prices = Prices({}, channels={"whatsapp": {"US": 30_000, "*": 100_000}, "rcs": {"US": 20_000}})
    assert 30_000 == prices.channel_message(ChannelAddress("whatsapp", "US"))
    assert 100_000 == prices.channel_message(ChannelAddress("whatsapp", "AT"))
    assert 100_000 == prices.channel_message(ChannelAddress("whatsapp", None))
    for unknown in (ChannelAddress("rcs", "AT"), ChannelAddress("rcs", None), ChannelAddress("viber", "US")):
        with pytest.raises(Refused, match="twilio-channels"):
            prices.channel_message(unknown)


def test_a_weak_source_has_a_margin_rounded_up() -> None:
    """0.0473 from a table of 2023 counts as 0.07095."""
    assert 70_950 == BUNDLED.sms_segment(Destination("+12685551234", "AG"))
    odd = Prices.from_dict(table(sms={"usd": "0.000001", "source": "weak"}))
    assert 2 == odd.sms_segment(US)


@pytest.mark.parametrize("region", ["CA", "NG", "001", ""])
def test_a_country_without_a_price_is_refused(region: str) -> None:
    """Unknown is never free; the message says how to get prices."""
    to = Destination("+14165551234", region)
    for price in (BUNDLED.sms_segment, BUNDLED.voice_minute):
        with pytest.raises(Refused) as refused:
            price(to)
        assert Code.UNPRICED == refused.value.deny.code
        assert "runcap rates import" in refused.value.deny.message


def test_a_country_can_have_one_price_and_not_another() -> None:
    """Japan has prices for SMS and voice here, France none for voice; no MMS price is None."""
    japan = Destination("+819012345678", "JP")
    assert (97_900, 277_500) == (BUNDLED.sms_segment(japan), BUNDLED.voice_minute(japan))
    assert BUNDLED.mms_message(japan) is None
    with pytest.raises(Refused):
        BUNDLED.voice_minute(Destination("+33612345678", "FR"))


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
        {"voice_minute_by_prefix": {"0": {"usd": "1", "source": "exact"}}},
        {"voice_prefixes": [{"usd": "1", "source": "exact", "prefixes": [1]}]},
        {"voice_prefixes": ["1"]},
        {"number_month": {"local": "1"}},
        {"number_month": ["1"]},
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
