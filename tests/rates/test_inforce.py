from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from runcap.config import Config, ConfigError, load
from runcap.config.values import Address
from runcap.rates.folder import FX, TWILIO, Change, RatesFolder
from runcap.rates.inforce import exchange_rates, twilio_prices
from runcap.vendors.twilio.destinations import Destination


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("RUNCAP_CONFIG", raising=False)
    monkeypatch.setenv("RUNCAP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load()


def test_what_an_operator_has_imported_is_in_force(config: Config, tmp_path: Path) -> None:
    """Else what comes with runcap; a rates file in the configuration beats both. The margin is the configuration's."""
    assert "European Central Bank" in exchange_rates(config).source
    folder = RatesFolder(config.home)
    folder.apply(Change(FX, {"date": "2026-11-23", "usd_per_unit": {"EUR": "2"}}, "import fx", "x", {}), "ann@host")
    assert (Fraction(2), 20) == (exchange_rates(config).usd_per_unit["EUR"], exchange_rates(config).margin_permille)
    file = tmp_path / "rates.json"
    file.write_text('{"date": "2026-11-23", "usd_per_unit": {"EUR": "3"}}')
    configured = replace(config, fx=replace(config.fx, rates_file=file, margin_permille=35))
    assert (Fraction(3), 35) == (
        exchange_rates(configured).usd_per_unit["EUR"],
        exchange_rates(configured).margin_permille,
    )


def test_twilios_table_is_the_homes(config: Config) -> None:
    """As soon as there is one."""
    us = Destination("+14155550100", "US")
    live = twilio_prices(config)
    assert 14_500 == live().sms_segment(us)
    table = {"sources": {"x": {"margin_percent": 0}}, "countries": {"US": {"sms": {"usd": "1", "source": "x"}}}}
    RatesFolder(config.home).apply(Change(TWILIO, table, "import twilio-sms", "x", {}), "ann@host")
    assert 1_000_000 == live().sms_segment(us)


def test_where_prices_are_synced_from(config: Config, tmp_path: Path) -> None:
    """Twilio's own host, unless the configuration says otherwise; no other vendor has such a thing."""
    assert Address("pricing.twilio.com", 443) == config.vendors["twilio"].pricing_upstream
    assert config.vendors["stripe"].pricing_upstream is None
    file = tmp_path / "runcap.toml"
    file.write_text('[vendors.twilio]\npricing_upstream = "https://127.0.0.1:8443"\n')
    assert Address("127.0.0.1", 8443) == load(file).vendors["twilio"].pricing_upstream
    for wrong in (
        '[vendors.stripe]\npricing_upstream = "https://x"',
        '[vendors.twilio]\npricing_upstream = "http://x"',
    ):
        file.write_text(wrong)
        with pytest.raises(ConfigError, match="pricing_upstream"):
            load(file)
