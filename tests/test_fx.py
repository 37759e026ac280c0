"""Amounts become dollars by exact fractions, rounded up."""

import json
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap import fx
from runcap.decision import Code, Refused
from runcap.fx import Rates

RATES = Rates(date(2026, 11, 2), {"EUR": Fraction("1.0712"), "JPY": Fraction("0.0066")}, "test")


@pytest.mark.parametrize(
    ("minor", "exponent", "currency", "micros"),
    [
        (2000, 2, "USD", 20_000_000),
        (0, 2, "USD", 0),
        (1, 7, "USD", 1),
        (10_000, 2, "EUR", 109_262_400),
        (1, 0, "JPY", 6_732),
        (1, 3, "JPY", 7),
    ],
)
def test_rounds_up_and_adds_the_margin(minor: int, exponent: int, currency: str, micros: int) -> None:
    """Dollars are exact; others are two percent dearer."""
    assert micros == RATES.usd_micros(minor, exponent, currency)


@given(st.integers(0, 10**15), st.integers(0, 4), st.sampled_from(["EUR", "JPY"]))
def test_never_below_the_exact_value(minor: int, exponent: int, currency: str) -> None:
    """The result is the exact amount with its margin, at most a micro above."""
    exact = Fraction(minor, 10**exponent) * RATES.usd_per_unit[currency] * 1_000_000 * Fraction(1020, 1000)
    micros = RATES.usd_micros(minor, exponent, currency)

    assert exact <= micros < exact + 1


def test_a_currency_without_a_rate_has_no_price() -> None:
    """It is refused, with the currency in the message."""
    with pytest.raises(Refused, match="KWD") as caught:
        RATES.usd_micros(1, 3, "KWD")

    assert Code.UNPRICED == caught.value.deny.code


def test_rates_know_their_age() -> None:
    """In whole days; rates that are dated ahead are not old."""
    ages = [RATES.age_days(day) for day in (date(2026, 11, 2), date(2026, 11, 10), date(2026, 11, 1))]

    assert [0, 8, 0] == ages


def test_old_rates_are_warned_of_when_they_are_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A week is fine; after it the log tells source, date and age, once for each time of loading."""
    today = datetime.now(UTC).date()
    for days in (0, 7, 8):
        path = tmp_path / f"{days}.json"
        path.write_text(json.dumps({"date": str(today - timedelta(days=days)), "usd_per_unit": {"EUR": "1.07"}}))
        Rates.from_file(path)

    [record] = caplog.records
    assert ("WARNING", True) == (record.levelname, "8 days old" in record.getMessage())
    assert str(tmp_path / "8.json") in record.getMessage()


def test_the_bundled_rates_are_the_ecbs() -> None:
    """Each is one exact division of two published numbers; quoted no more means no rate."""
    rates = Rates.bundled()

    assert {"EUR", "GBP", "JPY", "CHF", "BRL"} <= set(rates.usd_per_unit)
    assert {"USD", "HRK", "RUB", "EEK", ""}.isdisjoint(rates.usd_per_unit)
    assert rates.date >= date(2025, 1, 1)
    assert Fraction(1, 2) < rates.usd_per_unit["EUR"] < 2


def test_an_old_rate_is_no_rate() -> None:
    """A gap of days takes the newest before it; one of more than 90 days takes none."""
    lines = iter(
        [
            "Date,USD,JPY,ISK,HRK,",
            "2026-10-30,1.25,N/A,N/A,N/A,",
            "2026-10-29,1.20,160,N/A,N/A,",
            "2026-08-01,1.10,170,125,N/A,",
            "2026-07-31,1.10,170,125,7.5,",
        ]
    )

    assert (
        date(2026, 10, 30),
        {"EUR": Fraction("1.25"), "JPY": Fraction("1.25") / 160, "ISK": Fraction("1.25") / 125},
    ) == fx._ecb(lines)


def test_a_rates_file(tmp_path: Path) -> None:
    """The operator's own rates, as decimal strings."""
    path = tmp_path / "rates.json"
    path.write_text(json.dumps({"date": "2026-11-02", "usd_per_unit": {"KWD": "3.25", "USD": "1"}}))
    rates = Rates.from_file(path)

    assert (date(2026, 11, 2), 3_315_000) == (rates.date, rates.usd_micros(1000, 3, "KWD"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("[]", "usd_per_unit"),
        ('{"date": "2026-11-02", "usd_per_unit": []}', "usd_per_unit"),
        ('{"date": "soon", "usd_per_unit": {}}', "date"),
        ('{"usd_per_unit": {}}', "date"),
        ('{"date": "2026-11-02", "usd_per_unit": {"eur": "1"}}', "eur"),
        ('{"date": "2026-11-02", "usd_per_unit": {"EUR": 1.07}}', "EUR"),
        ('{"date": "2026-11-02", "usd_per_unit": {"EUR": "1e3"}}', "EUR"),
        ('{"date": "2026-11-02", "usd_per_unit": {"EUR": "-1"}}', "EUR"),
        ('{"date": "2026-11-02", "usd_per_unit": {"EUR": "0.00"}}', "EUR"),
        ('{"date": "2026-11-02", "usd_per_unit": {"EUR": "1", "EUR": "2"}}', "EUR"),
        ('{"date": "2026-11-02", "usd_per_unit": {"USD": "0.5"}}', "USD"),
    ],
)
def test_a_broken_rates_file_stops_the_start(tmp_path: Path, text: str, named: str) -> None:
    """The message names the file and what is wrong."""
    path = tmp_path / "rates.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=f"rates.json.*{named}"):
        Rates.from_file(path)
