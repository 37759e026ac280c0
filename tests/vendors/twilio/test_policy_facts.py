"""What a run's policy asks of a Twilio call: which country it reaches, and whether it sends something."""

import pytest

from tests.vendors.twilio.helpers import CALLS, MESSAGES, SID, US, get, post, quote, twilio

TWIML = ("Twiml", "<Response><Say>hi</Say></Response>")


@pytest.mark.parametrize(
    ("path", "pairs", "country"),
    [
        (MESSAGES, (("To", US), ("From", US), ("Body", "hi")), "US"),
        (MESSAGES, (("To", "+17875550100"), ("From", US), ("Body", "hi")), "PR"),
        (CALLS, (("To", US), ("From", US), TWIML), "US"),
    ],
)
def test_what_is_sent_names_its_country(path: str, pairs: tuple[tuple[str, str], ...], country: str) -> None:
    """ISO alpha-2 as the numbering plans tell it; and the vendor has no key that would tell a retry."""
    request = post(path, *pairs)
    assert country == quote(request).country
    assert twilio.plan(request).sends


def test_a_changed_call_reaches_the_country_of_the_call() -> None:
    """The country is in what is looked up."""
    request = post(f"/2010-04-01/Accounts/{SID}/Calls/CA{'0' * 32}.json", TWIML, ("TimeLimit", "60"))
    found = {"status": "in-progress", "direction": "outbound-api", "to": US}
    assert "US" == quote(request, found).country
    assert not twilio.plan(request).sends


def test_what_reaches_nobody_has_no_country() -> None:
    """A read sends nothing."""
    request = get(MESSAGES)
    assert None is quote(request).country
    assert not twilio.plan(request).sends
