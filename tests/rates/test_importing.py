import base64
import datetime as dt
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from runcap.fx import Rates
from runcap.rates.folder import TWILIO, Change, RatesFolder
from runcap.rates.importing import read_account, read_fx, read_twilio
from runcap.rates.twilio_api import HOST, SyncError
from runcap.vendors.twilio import Twilio
from runcap.vendors.twilio.destinations import Destination
from runcap.vendors.twilio.prices import Prices
from tests.rates.conftest import FakePricing, listed
from tests.rates.test_twilio_csv import CHANNELS, SMS, VOICE

TODAY = dt.date(2026, 11, 24)
RATES = Rates(TODAY, {"EUR": Fraction("1.1")}, "test", margin_permille=20)
SIGNATURE = Twilio("AC1").lookup_headers("real-secret")
AUSTRIA = Destination("+436641234567", "AT")


def prices(change: Change) -> Prices:
    return Prices.from_dict(change.document)


@pytest.mark.parametrize(
    ("kind", "text", "counts"),
    [
        ("twilio-sms", SMS, {"sms_countries": 2}),
        ("twilio-voice", VOICE, {"voice_countries": 1, "voice_prefixes": 5}),
        ("twilio-channels", CHANNELS, {"channels": 2, "channel_prices": 3}),
    ],
)
def test_a_list_becomes_a_table(tmp_path: Path, kind: str, text: str, counts: dict[str, int]) -> None:
    """Its source names the file and the day."""
    file = tmp_path / "list.csv"
    file.write_text(text)
    change = read_twilio(RatesFolder(tmp_path), kind, file, TODAY)
    assert (TWILIO, f"import {kind}", "list.csv", counts) == (
        change.table,
        change.action,
        change.source,
        change.counts,
    )
    assert "list.csv, imported 2026-11-24" == change.document["sources"][kind]["from"]
    assert () == change.left_out


def test_lists_build_on_the_table_in_force(tmp_path: Path) -> None:
    """SMS first, then voice: both are in the table."""
    folder = RatesFolder(tmp_path / "home")
    for kind, text in (("twilio-sms", SMS), ("twilio-voice", VOICE)):
        (tmp_path / kind).write_text(text)
        folder.apply(read_twilio(folder, kind, tmp_path / kind, TODAY), "ann@host")
    found = Prices.from_dict(folder.read(TWILIO) or {})
    assert (97_900, 240_000) == (found.sms_segment(AUSTRIA), found.voice_minute(AUSTRIA))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"a,b\n1,2\n"])
def test_a_file_that_is_no_list(tmp_path: Path, content: bytes) -> None:
    """The message names it."""
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    for kind in ("twilio-sms", "twilio-voice", "twilio-channels"):
        with pytest.raises(ValueError, match=r"list\.csv"):
            read_twilio(RatesFolder(tmp_path), kind, file, TODAY)


def test_exchange_rates_are_kept_to_the_digit(tmp_path: Path) -> None:
    """What is stored reads as what was imported."""
    file = tmp_path / "rates.json"
    file.write_text('{"date": "2026-11-23", "usd_per_unit": {"EUR": "1.071234567891", "JPY": "0.0064", "KWD": "3"}}')
    change = read_fx(file)
    assert {"EUR": "1.071234567891", "JPY": "0.0064", "KWD": "3"} == change.document["usd_per_unit"]
    stored = tmp_path / "stored.json"
    stored.write_bytes(change.content)
    assert Rates.from_file(file).usd_per_unit == Rates.from_file(stored).usd_per_unit
    file.write_text('{"date": "2026-11-23", "usd_per_unit": {"EUR": 1.07}}')
    with pytest.raises(ValueError, match="EUR"):
        read_fx(file)


async def read(folder: Path, pricing: FakePricing, only: frozenset[str] | None = None) -> Change:
    return await read_account(
        RatesFolder(folder), pricing.route, SIGNATURE, RATES, today=TODAY, only=only, pause_seconds=0.0
    )


async def test_the_accounts_own_prices(tmp_path: Path, pricing: FakePricing) -> None:
    """The dearest current price of each country, prefix and kind, rounded up; the real secret asks."""
    change = await read(tmp_path, pricing)
    found = prices(change)
    us = Destination("+14155550100", "US")
    assert 7_501 + 6_200 == found.sms_segment(us)
    assert (90_000, 240_000) == (found.sms_segment(AUSTRIA), found.voice_minute(AUSTRIA))
    assert 155_000 == found.voice_minute(Destination("+4312345678", "AT"))
    assert (1_000_000, 2_000_000) == (found.number_month("US", "local"), found.number_month("US", "toll_free"))
    assert {"sms_countries": 2, "voice_countries": 1, "voice_prefixes": 2, "number_countries": 1} == change.counts
    assert (f"{HOST}, synced 2026-11-24", HOST) == (change.document["sources"]["twilio-account"]["from"], change.source)
    assert {"Basic " + base64.b64encode(b"AC1:real-secret").decode()} == {header for _, header in pricing.asked}


async def test_some_countries_only(tmp_path: Path, pricing: FakePricing) -> None:
    """The others keep their prices; one that Twilio does not list is an error."""
    found = prices(await read(tmp_path, pricing, frozenset({"AT"})))
    assert 90_000 == found.sms_segment(AUSTRIA)
    assert Prices.bundled().countries["US"] == found.countries["US"]
    assert "/v1/Messaging/Countries/US" not in {path for path, _ in pricing.asked}
    with pytest.raises(SyncError, match="lists no country ZZ"):
        await read(tmp_path, pricing, frozenset({"AT", "ZZ"}))


async def test_an_account_in_another_currency(tmp_path: Path, pricing: FakePricing) -> None:
    """Converted with the rates' margin: 0.09 EUR at 1.1 and 2 %."""
    pricing.answers["/v1/Messaging/Countries/AT"]["price_unit"] = "eur"
    assert 100_980 == prices(await read(tmp_path, pricing)).sms_segment(AUSTRIA)


async def test_a_passing_failure_is_asked_again(tmp_path: Path, pricing: FakePricing) -> None:
    """Too many requests, a server's error: the answer after them counts."""
    whole = pricing.answers["/v2/Voice/Countries/AT"]
    pricing.answers["/v2/Voice/Countries/AT"] = [429, 503, whole]
    assert 240_000 == prices(await read(tmp_path, pricing)).voice_minute(AUSTRIA)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/Messaging/Countries", 401),
        ("/v1/Messaging/Countries", 500),
        ("/v1/Messaging/Countries", {"countries": [{"iso_country": "../x"}]}),
        ("/v1/Messaging/Countries", {}),
        ("/v1/Messaging/Countries", "[]"),
        ("/v1/Messaging/Countries", "{"),
        ("/v1/Messaging/Countries", listed("US", following=f"https://{HOST}/v1/Messaging/Countries?PageSize=300")),
        ("/v1/Messaging/Countries/US", 404),
        ("/v1/Messaging/Countries/US", {"iso_country": "AT"}),
        ("/v1/Messaging/Countries/US", {"iso_country": "US", "outbound_sms_prices": ["x"]}),
        ("/v2/Voice/Countries/AT", {"iso_country": "AT", "price_unit": "USD", "outbound_prefix_prices": [{}]}),
        (
            "/v2/Voice/Countries/AT",
            {
                "iso_country": "AT",
                "price_unit": "USD",
                "outbound_prefix_prices": [{"current_price": "1", "destination_prefixes": ["x"]}],
            },
        ),
        (
            "/v1/PhoneNumbers/Countries/US",
            {"iso_country": "US", "price_unit": "XXX", "phone_number_prices": [{"current_price": "1"}]},
        ),
    ],
)
async def test_half_an_answer_is_none(tmp_path: Path, pricing: FakePricing, path: str, answer: Any) -> None:
    """A price that is missing or cannot be read ends it, and the message says where."""
    pricing.answers[path] = answer
    with pytest.raises(ValueError, match=r"."):
        await read(tmp_path, pricing)
    assert not (tmp_path / "rates").exists()


def test_the_fakes_answers_are_json(pricing: FakePricing) -> None:
    """As Twilio's are."""
    assert json.loads(json.dumps(pricing.answers)) == pricing.answers
