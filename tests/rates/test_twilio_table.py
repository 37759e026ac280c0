from typing import Any

from runcap.rates import twilio_table
from runcap.rates.twilio_csv import Voice, read_voice
from runcap.rates.twilio_table import Draft
from runcap.vendors.twilio.destinations import ChannelAddress, Destination
from runcap.vendors.twilio.prices import Prices
from tests.rates.test_twilio_csv import VOICE

US = Destination("+14155550100", "US")


def draft(base: dict[str, Any] | None = None) -> Draft:
    return Draft(base or twilio_table.bundled(), "new", "test prices", "nowhere, 2026-11-24")


def test_sms_replaces_all_countries_and_leaves_the_rest() -> None:
    """A country that is not in the new list has no price; carrier fees, MMS, voice and numbers stay."""
    made = draft()
    made.sms({"US": 7_000, "AT": 90_000})
    prices = Prices.from_dict(made.finish())
    assert {"US", "AT"} == {region for region, price in prices.countries.items() if price.sms is not None}
    assert (13_200, 42_000, 14_000, 1_150_000) == (
        prices.sms_segment(US),
        prices.mms_message(US),
        prices.voice_minute(US),
        prices.number_month("US", "local"),
    )
    assert set(Prices.bundled().fees) == set(prices.fees)


def test_canada_has_its_carrier_fee_once_it_has_a_price() -> None:
    """No list of Twilio's has them, and the bundled table has no more than the fee."""
    made = draft()
    made.sms({"CA": 8_300})
    assert 8_300 + 11_000 == Prices.from_dict(made.finish()).sms_segment(Destination("+14165551234", "CA"))


def test_voice_replaces_prefixes_and_keeps_them_together_by_price() -> None:
    """A known prefix has its price, an unknown one the country's dearest; satellites count for whoever they match."""
    made = draft()
    made.voice(read_voice(VOICE).prices)
    table = made.finish()
    prices = Prices.from_dict(table)
    assert [["43", "431"], ["43664", "4367"]] == [row["prefixes"] for row in table["countries"]["AT"]["voice_prefixes"]]
    assert 155_000 == prices.voice_minute(Destination("+4312345678", "AT"))
    assert 240_000 == prices.voice_minute(Destination("+436641234567", "AT"))
    assert 240_000 == prices.voice_minute(Destination("+995555", "AT"))
    assert 9_000_000 == prices.voice_minute(Destination("+870123456", "AT"))
    assert prices.countries["US"].voice_minute is None


def test_only_some_countries_can_be_replaced() -> None:
    """What is not asked for stays, even where nothing new has come."""
    made = draft()
    only = frozenset({"US", "AT"})
    made.sms({"US": 7_000}, only)
    made.voice(Voice(), only)
    made.numbers({"AT": {"local": 1_000_000}}, only)
    prices = Prices.from_dict(made.finish())
    assert (7_000, None, Prices.bundled().countries["GB"].sms) == tuple(
        prices.countries[region].sms if region in prices.countries else None for region in ("US", "AT", "GB")
    )
    assert (None, {}, {"local": 1_000_000}) == (
        prices.countries["US"].voice_minute,
        prices.countries["US"].number_month,
        prices.countries["AT"].number_month,
    )
    assert prices.countries["JP"].voice_minute == Prices.bundled().countries["JP"].voice_minute


def test_channels_are_replaced_one_by_one() -> None:
    """A second list leaves the other channels."""
    first = draft()
    first.channels({"whatsapp": {"*": 100_000}, "rcs": {"US": 20_000}})
    second = draft(first.finish())
    second.channels({"whatsapp": {"US": 30_000}})
    prices = Prices.from_dict(second.finish())
    assert 20_000 == prices.channel_message(ChannelAddress("rcs", "US"))
    assert prices.channel_message_or_none("whatsapp", "AT") is None


def test_sources_that_no_price_names_are_dropped() -> None:
    """The others stay, and the new one has no margin."""
    made = draft()
    made.sms({"US": 7_000})
    sources = made.finish()["sources"]
    assert {"what": "test prices", "from": "nowhere, 2026-11-24", "margin_percent": 0} == sources["new"]
    assert "table-2023" not in sources
    assert "us-carrier-sms" in sources
