"""`runcap rates`."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runcap.fx import WARN_AGE_DAYS
from runcap.vendors import NAMES
from tests.cli.conftest import Runcap
from tests.rates.conftest import FakePricing

SMS = "ISO,Country,Description,Price / msg\nAT,Austria,A1,0.0979\nUS,United States,x,0.0083\n"
VOICE = (
    "ISO,Country,Description,Price / min,Origination Prefixes,Destination Prefixes\n"
    'AT,Austria,Austria,0.155,,"43, 431"\nAT,Austria,Mobile,0.24,,"43664"\nDE,Germany,x,free,,49\n'
)
SID = "AC" + "0" * 32


@pytest.fixture
def pricing(tmp_path: Path) -> Iterator[FakePricing]:
    with FakePricing(tmp_path) as running:
        yield running


def shown(runcap: Runcap, *args: str) -> Any:
    """What ``rates show --json`` prints; the age of the exchange rates is told on stderr."""
    result = runcap("rates", "show", "--json", *args)
    assert 0 == result.code
    return json.loads(result.out)


def price(rows: list[dict[str, Any]], what: str, country: str) -> str | None:
    found = [row["price_usd"] for row in rows if (row["what"], row["country"]) == (what, country)]
    return found[0] if found else None


def test_show_has_prices_with_source_and_date(runcap: Runcap) -> None:
    """Twilio's, Resend's, and the exchange rates with their age."""
    found = shown(runcap)
    assert {"twilio", "resend"} == {row["vendor"] for row in found["prices"]}
    assert all(row["source"] and row["from"] for row in found["prices"])
    assert ("0.0083", "0.0009") == (
        price(found["prices"], "an SMS segment", "US"),
        price(found["prices"], "an email, each recipient", "*"),
    )
    euro = next(row for row in found["exchange_rates"] if row["currency"] == "EUR")
    assert {"currency", "usd_per_unit", "date", "age_days", "margin_percent", "source"} == set(euro)


def test_show_one_vendor_or_country(runcap: Runcap) -> None:
    """Stripe has exchange rates and no prices; a country has all its prefixes."""
    stripe = shown(runcap, "--vendor", "stripe")
    assert ([], True) == (stripe["prices"], bool(stripe["exchange_rates"]))
    assert 1 == len(shown(runcap, "--vendor", "resend")["prices"])
    alone = shown(runcap, "--country", "us")["prices"]
    assert {"US"} == {row["country"] for row in alone}
    assert "0.09" == price(alone, "a minute of a call to +1907", "US")
    assert "no price for ZZ" in runcap("rates", "show", "--country", "ZZ").out
    assert 2 == runcap("rates", "show", "--country", "USA").code


def test_old_exchange_rates_are_warned_of(runcap: Runcap, tmp_path: Path) -> None:
    """After a week, with what to do; the log does not say it a second time, and its level is as before."""
    for date, warned in (("2020-01-01", True), ("2999-01-01", False)):
        (tmp_path / "fx.json").write_text(json.dumps({"date": date, "usd_per_unit": {"EUR": "1.1"}}))
        assert 0 == runcap("rates", "import", "fx", "fx.json").code
        result = runcap("rates", "show", "--vendor", "stripe")
        assert warned == ("rates import fx" in result.err)
        assert 0 == result.code
    assert WARN_AGE_DAYS == 7
    assert logging.NOTSET == logging.getLogger("runcap.fx").level


def test_operations_of_all_vendors(runcap: Runcap) -> None:
    """Each with its kind, and a pricer or a reason."""
    rows = runcap("rates", "show", "--operations", "--json").json
    assert list(NAMES) == list(dict.fromkeys(row["vendor"] for row in rows))
    assert {"free", "priced", "denied"} == {row["kind"] for row in rows}
    assert all(row["reason"] for row in rows if row["kind"] == "denied")
    assert all(row["pricer"] for row in rows if row["kind"] == "priced")
    resend = runcap("rates", "show", "--operations", "--vendor", "resend", "--json").json
    assert {"resend"} == {row["vendor"] for row in resend}
    assert "POST /emails" in {row["operation"] for row in resend if row["pricer"] == "email"}
    assert "POST /emails/batch" in runcap("rates", "show", "--operations", "--vendor", "resend").out


def test_import_puts_lists_in_force(runcap: Runcap, tmp_path: Path) -> None:
    """One after the other; countries that cannot be read are named, and each change is noted twice."""
    (tmp_path / "sms.csv").write_text(SMS)
    (tmp_path / "voice.csv").write_text(VOICE)
    (tmp_path / "channels.csv").write_text("Channel,ISO,Price / message\nwhatsapp,*,0.15\n")
    assert "2 sms countries" in runcap("rates", "import", "twilio-sms", "sms.csv").out
    voice = runcap("rates", "import", "twilio-voice", "voice.csv")
    assert ("1 voice countries, 3 voice prefixes" in voice.out, "refused from now on: DE" in voice.err) == (True, True)
    assert 0 == runcap("rates", "import", "twilio-channels", "channels.csv").code
    rows = shown(runcap)["prices"]
    assert "0.0979" == price(rows, "an SMS segment", "AT")
    assert "0.24" == price(rows, "a minute of a call, the dearest of 3 prefixes", "AT")
    assert "0.15" == price(rows, "a message by whatsapp", "*")
    assert price(rows, "an SMS segment", "GB") is None
    history = runcap("rates", "show", "--history", "--json").json
    assert ["import twilio-sms", "import twilio-voice", "import twilio-channels"] == [row["action"] for row in history]
    assert "voice.csv" in runcap("rates", "show", "--history").out


@pytest.mark.parametrize("what", ["twilio-sms", "twilio-voice", "twilio-channels", "fx"])
def test_a_file_that_is_none_changes_nothing(runcap: Runcap, tmp_path: Path, what: str) -> None:
    """Nor one that is not there; the message names it."""
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    for name in ("list.csv", "nothing.csv"):
        result = runcap("rates", "import", what, name)
        assert (1, "") == (result.code, result.out)
        assert name in result.err
    assert not (tmp_path / "home" / "rates").exists()
    assert [] == runcap("rates", "show", "--history", "--json").json


def test_rates_in_the_configuration_beat_imported_ones(runcap: Runcap, tmp_path: Path) -> None:
    """And the command says so."""
    (tmp_path / "fx.json").write_text('{"date": "2026-11-23", "usd_per_unit": {"EUR": "1.1"}}')
    (tmp_path / "runcap.toml").write_text('[fx]\nrates_file = "fx.json"\n')
    assert "They are not in use: fx.rates_file" in runcap("rates", "import", "fx", "fx.json").err


def test_sync_asks_for_the_accounts_prices(
    runcap: Runcap, tmp_path: Path, pricing: FakePricing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real secret; one country, or all. A failure leaves the table in force."""
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "canary-real-token")
    (tmp_path / "runcap.toml").write_text(
        f'[vendors.twilio]\naccount_sid = "{SID}"\npricing_upstream = "https://127.0.0.1:{pricing.port}"\n'
        f'upstream_ca = "{pricing.ca_file}"\n'
    )
    result = runcap("rates", "sync", "twilio", "--country", "at")
    assert (0, "") == (result.code, result.err)
    assert "sync twilio: 1 sms countries, 1 voice countries, 2 voice prefixes" in result.out
    rows = shown(runcap)["prices"]
    assert ("0.09", "0.0083") == tuple(price(rows, "an SMS segment", country) for country in ("AT", "US"))
    assert 0 == runcap("rates", "sync", "twilio").code
    assert "0.007501" == price(shown(runcap)["prices"], "an SMS segment", "US")
    pricing.answers["/v1/Messaging/Countries"] = 401
    failed = runcap("rates", "sync", "twilio")
    assert (1, True) == (failed.code, "The prices in force are the old ones" in failed.err)
    assert "0.007501" == price(shown(runcap)["prices"], "an SMS segment", "US")
    assert "canary" not in (tmp_path / "home" / "rates" / "history.jsonl").read_text()


def test_sync_needs_an_account(runcap: Runcap) -> None:
    """There is nobody to ask for."""
    result = runcap("rates", "sync", "twilio")
    assert (1, True) == (result.code, "vendors.twilio.account_sid" in result.err)
