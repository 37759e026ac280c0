"""`runcap keys`."""

import datetime as dt

import pytest

from runcap.runs import parse_vault_key
from tests.cli.conftest import Runcap


def test_issue_prints_the_key_once(runcap: Runcap) -> None:
    """The JSON has exactly the contract's fields; a key is good for 24 hours unless it is told otherwise."""
    issued = runcap("keys", "issue", "--label", "billing-nightly", "--daily-usd", "500", "--json").json
    assert ["vault_key", "run_id", "label", "caps", "expires_at"] == list(issued)
    assert issued["vault_key"] == parse_vault_key(issued["vault_key"])
    assert {"daily_usd": "500.00", "monthly_usd": None, "total_usd": None} == issued["caps"]
    assert "billing-nightly" == issued["label"]
    left = dt.datetime.fromisoformat(issued["expires_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=23, minutes=58) < left <= dt.timedelta(hours=24)
    shown = runcap("keys", "show", issued["run_id"])
    assert issued["vault_key"] not in shown.out


def test_issue_for_people(runcap: Runcap) -> None:
    """Without --json the same is said in four lines."""
    args = ("--label", "l", "--daily-usd", "500", "--total-usd", "0.0083", "--ttl", "2h")
    lines = runcap("keys", "issue", *args).out.splitlines()
    assert ["vault key", "run", "caps", "expires"] == [line[:11].strip() for line in lines]
    assert "caps       $500.00 a day, $0.0083 in total" == lines[2]


def test_a_run_needs_a_cap(runcap: Runcap) -> None:
    """Forgetting the cap is wrong usage; having none has to be said."""
    result = runcap("keys", "issue", "--label", "l")
    assert 2 == result.code
    assert "set at least one of --daily-usd, --monthly-usd and --total-usd" in result.err
    issued = runcap("keys", "issue", "--label", "l", "--no-cap", "--json").json
    assert {"daily_usd": None, "monthly_usd": None, "total_usd": None} == issued["caps"]


def test_show_says_all_of_a_run(runcap: Runcap) -> None:
    """Policy, state, and what each window has counted, with a window's cap."""
    policy = ("--vendor", "twilio", "--vendor", "stripe", "--only", "POST /v1/refunds", "--allow", "GET /v1/x/{id}")
    issued = runcap("keys", "issue", "--label", "l", "--monthly-usd", "20", *policy, "--json").json
    shown = runcap("keys", "show", issued["run_id"], "--json").json
    nothing = {"spent_usd": "0.00", "held_usd": "0.00", "cap_usd": None, "remaining_usd": None}
    created_at = shown.pop("created_at")
    assert created_at < issued["expires_at"]
    assert {
        "run_id": issued["run_id"],
        "label": "l",
        "state": "active",
        "vendors": ["stripe", "twilio"],
        "only": ["POST /v1/refunds"],
        "allow": ["GET /v1/x/{id}"],
        "policy": {
            "only": ["POST /v1/refunds"],
            "allow": ["GET /v1/x/{id}"],
            "stripe_accounts": [],
            "max_call_usd": None,
            "count_refunds": True,
            "countries": [],
            "currencies": [],
            "dedupe_ms": None,
            "max_concurrency": None,
            "max_calls_per_minute": None,
        },
        "caps": {"daily_usd": None, "monthly_usd": "20.00", "total_usd": None},
        "expires_at": issued["expires_at"],
        "revoked_at": None,
        "spend": {"day": nothing, "month": {**nothing, "cap_usd": "20.00", "remaining_usd": "20.00"}, "total": nothing},
    } == shown
    people = runcap("keys", "show", issued["run_id"]).out
    assert "vendors         stripe, twilio\n" in people
    assert "month" in people


def test_show_prints_the_whole_policy(runcap: Runcap) -> None:
    """One JSON document with every rule under its own name; for people, the rules that restrict something."""
    rules = (
        "--stripe-account", "acct_1", "--stripe-account", "acct_2", "--stripe-account", "acct_1",
        "--max-call-usd", "12.5", "--no-count-refunds", "--country", "de", "--currency", "usd", "--dedupe", "60s",
        "--max-concurrency", "4", "--max-calls-per-minute", "120",
    )  # fmt: skip
    issued = runcap("keys", "issue", "--label", "l", "--total-usd", "1", *rules, "--json").json
    shown = runcap("keys", "show", issued["run_id"], "--json").json
    assert {
        "only": [],
        "allow": [],
        "stripe_accounts": ["acct_1", "acct_2"],
        "max_call_usd": "12.50",
        "count_refunds": False,
        "countries": ["DE"],
        "currencies": ["USD"],
        "dedupe_ms": 60_000,
        "max_concurrency": 4,
        "max_calls_per_minute": 120,
    } == shown["policy"]
    people = runcap("keys", "show", issued["run_id"]).out
    assert "stripe_accounts acct_1, acct_2\n" in people
    assert "count_refunds   False\n" in people


def test_list_by_label(runcap: Runcap) -> None:
    """A prefix narrows it; an empty list is JSON too, and a sentence for people."""
    assert [] == runcap("keys", "list", "--json").json
    assert "No runs have been issued.\n" == runcap("keys", "list").out
    for label in ("billing-a", "billing-b", "support-a"):
        assert 0 == runcap("keys", "issue", "--label", label, "--total-usd", "1").code
    rows = runcap("keys", "list", "--label", "billing-", "--json").json
    assert ["billing-a", "billing-b"] == [row["label"] for row in rows]
    assert {"active"} == {row["state"] for row in rows}
    assert "support-a" in runcap("keys", "list").out


def test_revoke(runcap: Runcap) -> None:
    """A revoked run says so; doing it again keeps the first time."""
    run_id = runcap("keys", "issue", "--label", "l", "--total-usd", "1", "--json").json["run_id"]
    first = runcap("keys", "revoke", run_id, "--json").json
    assert first["revoked_at"] is not None
    assert first == runcap("keys", "revoke", run_id, "--json").json
    assert "revoked" == runcap("keys", "show", run_id, "--json").json["state"]


@pytest.mark.parametrize("command", ["show", "revoke"])
def test_an_unknown_run(runcap: Runcap, command: str) -> None:
    """It is a failure with one sentence."""
    result = runcap("keys", command, "01NOPE")
    assert (1, "", "Error: there is no run 01NOPE.\n") == (result.code, result.out, result.err)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--total-usd", "1e3"), "'1e3' is not an amount in dollars"),
        (("--total-usd", "-1"), "'-1' is not an amount in dollars"),
        (("--total-usd", "1", "--ttl", "2 hours"), "'2 hours' is no duration"),
        (("--total-usd", "1", "--ttl", "367d"), "'367d' is no duration of up to 366d"),
        (("--total-usd", "1", "--ttl", "0s"), "'0s' is no duration"),
        (("--total-usd", "1", "--vendor", "paypal"), "'paypal' is not one of"),
        (("--total-usd", "1", "--only", "/v1/refunds"), "'/v1/refunds' is no operation"),
        (("--total-usd", "1", "--allow", "post /v1/refunds"), "'post /v1/refunds' is no operation"),
        (("--total-usd", "1", "--label", "a|b"), "'a|b' is no label"),
        (("--total-usd", "1", "--stripe-account", "acct-1"), "'acct-1' is no connected account"),
        (("--total-usd", "1", "--country", "UK"), "'UK' is no country"),
        (("--total-usd", "1", "--currency", "dollar"), "'dollar' is no currency"),
        (("--total-usd", "1", "--dedupe", "25h"), "told apart for a day at the most"),
        (("--total-usd", "1", "--max-call-usd", "1000001"), "a call may cost up to"),
    ],
)
def test_wrong_usage(runcap: Runcap, args: tuple[str, ...], expected: str) -> None:
    """Each exits with 2 and says what was wrong; nothing is issued."""
    result = runcap("keys", "issue", "--label", "l", *args)
    assert 2 == result.code
    assert expected in result.err
    assert [] == runcap("keys", "list", "--json").json
