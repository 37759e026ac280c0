"""`runcap freeze` and `runcap unfreeze`."""

import pytest

from tests.cli.conftest import Runcap


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("--all",), "everything"),
        (("--vendor", "stripe"), "vendor 'stripe'"),
        (("--fleet", "billing-"), "fleet 'billing-'"),
    ],
)
def test_freeze_and_unfreeze(runcap: Runcap, args: tuple[str, ...], what: str) -> None:
    """Both say what is so now, and whether it was before."""
    assert f"{what}: frozen\n" == runcap("freeze", *args).out
    assert f"{what}: frozen (as before)\n" == runcap("freeze", *args).out
    assert f"{what}: not frozen\n" == runcap("unfreeze", *args).out
    assert f"{what}: not frozen (as before)\n" == runcap("unfreeze", *args).out


def test_a_frozen_run_says_so(runcap: Runcap) -> None:
    """Its state is seen in the list, until it is undone."""
    run_id = runcap("keys", "issue", "--label", "l", "--total-usd", "1", "--json").json["run_id"]
    assert 0 == runcap("freeze", "--run", run_id).code
    assert ["frozen"] == [row["state"] for row in runcap("keys", "list", "--json").json]
    assert 0 == runcap("unfreeze", "--run", run_id).code
    assert ["active"] == [row["state"] for row in runcap("keys", "list", "--json").json]


def test_an_unknown_run(runcap: Runcap) -> None:
    """It is a failure: the caller must not believe that something is frozen."""
    result = runcap("freeze", "--run", "01NOPE")
    assert (1, "Error: there is no run 01NOPE.\n") == (result.code, result.err)


@pytest.mark.parametrize("args", [(), ("--all", "--vendor", "stripe"), ("--run", "x", "--fleet", "y")])
def test_wrong_usage(runcap: Runcap, args: tuple[str, ...]) -> None:
    """Exactly one of the four."""
    result = runcap("freeze", *args)
    assert 2 == result.code
    assert "name exactly one of --run, --fleet, --vendor, --all" in result.err
