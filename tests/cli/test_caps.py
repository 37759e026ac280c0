"""`runcap caps`."""

from tests.cli.conftest import Runcap


def test_set_and_list(runcap: Runcap) -> None:
    """Caps of fleets and vendors are listed with what they have counted; a window not named stays."""
    assert [] == runcap("caps", "list", "--json").json
    assert "No fleet or vendor has a cap.\n" == runcap("caps", "list").out
    first = runcap("caps", "set", "--fleet", "billing-", "--daily-usd", "50000", "--json").json
    caps = {"daily_usd": "50000.00", "monthly_usd": None, "total_usd": None}
    assert {"level": "fleet", "selector": "billing-", "caps": caps, "changed": True} == first
    assert 0 == runcap("caps", "set", "--fleet", "billing-", "--total-usd", "0.5").code
    assert 0 == runcap("caps", "set", "--vendor", "twilio", "--monthly-usd", "2000").code
    rows = runcap("caps", "list", "--json").json
    assert [
        ("fleet", "billing-", "day", "50000.00"),
        ("fleet", "billing-", "total", "0.50"),
        ("vendor", "twilio", "month", "2000.00"),
    ] == [(row["level"], row["selector"], row["window"], row["cap_usd"]) for row in rows]
    assert {("0.00", "0.00")} == {(row["spent_usd"], row["held_usd"]) for row in rows}
    assert "2000.00" in runcap("caps", "list").out


def test_setting_the_same_again(runcap: Runcap) -> None:
    """It says that nothing has changed."""
    args = ("caps", "set", "--vendor", "stripe", "--daily-usd", "1")
    assert "vendor 'stripe': daily_usd 1.00\n" == runcap(*args).out
    assert "vendor 'stripe': daily_usd 1.00 (as before)\n" == runcap(*args).out


def test_remove(runcap: Runcap) -> None:
    """One window or all of them; what is not there is a failure."""
    runcap("caps", "set", "--fleet", "", "--daily-usd", "1", "--monthly-usd", "2", "--total-usd", "3")
    assert "fleet '': removed\n" == runcap("caps", "remove", "--fleet", "", "--window", "month").out
    assert ["day", "total"] == [row["window"] for row in runcap("caps", "list", "--json").json]
    assert 0 == runcap("caps", "remove", "--fleet", "").code
    assert [] == runcap("caps", "list", "--json").json
    again = runcap("caps", "remove", "--fleet", "")
    assert (1, "Error: fleet '' has no such cap.\n") == (again.code, again.err)


def test_a_runs_own_caps(runcap: Runcap) -> None:
    """They can be changed while it runs; those of no run cannot."""
    run_id = runcap("keys", "issue", "--label", "l", "--total-usd", "1", "--json").json["run_id"]
    assert 0 == runcap("caps", "set", "--run", run_id, "--total-usd", "2").code
    assert "2.00" == runcap("keys", "show", run_id, "--json").json["caps"]["total_usd"]
    missing = runcap("caps", "set", "--run", "01NOPE", "--total-usd", "2")
    assert (1, "Error: there is no run 01NOPE.\n") == (missing.code, missing.err)


def test_wrong_usage(runcap: Runcap) -> None:
    """Exactly one level, and at least one amount."""
    for args, expected in (
        (("--daily-usd", "1"), "name exactly one of --fleet, --vendor, --run"),
        (("--fleet", "a", "--vendor", "stripe", "--daily-usd", "1"), "name exactly one of --fleet, --vendor, --run"),
        (("--fleet", "a"), "set at least one of --daily-usd, --monthly-usd and --total-usd"),
        (("--vendor", "paypal", "--daily-usd", "1"), "'paypal' is not one of"),
    ):
        result = runcap("caps", "set", *args)
        assert 2 == result.code
        assert expected in result.err
