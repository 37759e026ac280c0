import pytest

from runcap.decision import Code, Refused
from runcap.vendors.twilio.destinations import destination


@pytest.mark.parametrize(
    ("number", "region"),
    [
        ("+14155550100", "US"),
        ("+14165551234", "CA"),
        ("+17875551234", "PR"),
        ("+18765551234", "JM"),
        ("+442079460000", "GB"),
        ("+79161234567", "RU"),
        ("+77012345678", "KZ"),
        ("+18005551234", "US"),
    ],
)
def test_countries_that_share_a_code_are_told_apart(number: str, region: str) -> None:
    """+1 is 25 countries, +7 is two: each has its own prices."""
    assert region == destination(number).region
    assert number == destination(number).number


@pytest.mark.parametrize(
    "to",
    [
        "whatsapp:+14155550100",
        "rcs:+14155550100",
        "messenger:123456",
        "client:alice",
        "sip:alice@example.com",
        "wireless:DE123",
        "12345",
        "4155550100",
        "+1 415 555 0100",
        "+14155550100,+14155550101",
        "+14155550100\n",
        "+\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",
        "+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660",
        "++14155550100",
        "+0123456789",
        "+1415555010012345",
    ],
)
def test_anything_but_e164_is_unpriced(to: str) -> None:
    """Channels, short codes, lists, blanks and digits of other scripts have no price."""
    with pytest.raises(Refused) as refused:
        destination(to)
    assert Code.UNPRICED == refused.value.deny.code


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("+19005551234", "premium rate"),
        ("+447012345678", "personal number"),
        ("+15005550006", "personal number"),
        ("+4402079460000", "valid"),
        ("+11234567890", "valid"),
        ("+9991234567", "no country"),
        ("+443331234567", "uan"),
        ("+448001111111", "toll free"),
    ],
)
def test_numbers_with_prices_of_their_own_are_unpriced(number: str, why: str) -> None:
    """Only an ordinary number costs what its country costs; the message says what is wrong."""
    with pytest.raises(Refused) as refused:
        destination(number)
    assert Code.UNPRICED == refused.value.deny.code
    assert why in refused.value.deny.message


@pytest.mark.parametrize("to", [None, ""])
def test_missing(to: str | None) -> None:
    """No To at all is malformed."""
    with pytest.raises(Refused) as refused:
        destination(to)
    assert Code.MALFORMED == refused.value.deny.code


def test_the_message_does_not_repeat_the_number() -> None:
    """A person's number is not carried into messages."""
    with pytest.raises(Refused) as refused:
        destination("+19005551234")
    assert "5551234" not in refused.value.deny.message
