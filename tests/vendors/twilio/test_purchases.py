import pytest

from runcap.decision import Code
from tests.vendors.twilio.helpers import SID, post, quote, refusal

NUMBERS = f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers"
LOCAL, TOLL_FREE = "+14155552671", "+18005552671"
LOCAL_MONTH, TOLL_FREE_MONTH = 1_150_000, 2_150_000


@pytest.mark.parametrize(
    ("kind", "number", "micros"),
    [
        ("/Local", LOCAL, LOCAL_MONTH),
        ("/TollFree", TOLL_FREE, TOLL_FREE_MONTH),
        ("", TOLL_FREE, TOLL_FREE_MONTH),
        ("", LOCAL, TOLL_FREE_MONTH),
    ],
)
def test_a_number_costs_a_month(kind: str, number: str, micros: int) -> None:
    """The path or the number says which kind; where neither does, the dearest counts."""
    priced = quote(post(f"{NUMBERS}{kind}.json", ("PhoneNumber", number), ("FriendlyName", "x")))
    assert (micros, 1) == (priced.micros, priced.amount_minor)


def test_an_area_code_may_bring_any_kind() -> None:
    """Of the country that the code is in; Canada has no price here."""
    assert TOLL_FREE_MONTH == quote(post(f"{NUMBERS}.json", ("AreaCode", "415"))).micros
    code, message = refusal(post(f"{NUMBERS}.json", ("AreaCode", "416")))
    assert (Code.UNPRICED, True) == (code, "CA" in message)


@pytest.mark.parametrize(
    ("kind", "pairs", "code"),
    [
        ("", (), Code.MALFORMED),
        ("", (("AreaCode", "415"), ("PhoneNumber", LOCAL)), Code.MALFORMED),
        ("", (("AreaCode", "115"),), Code.MALFORMED),
        ("", (("AreaCode", "4155"),), Code.MALFORMED),
        ("/Local", (("PhoneNumber", TOLL_FREE),), Code.MALFORMED),
        ("/TollFree", (("PhoneNumber", LOCAL),), Code.MALFORMED),
        ("/Mobile", (("PhoneNumber", LOCAL),), Code.UNPRICED),
        ("/Local", (("PhoneNumber", "+431234567"),), Code.UNPRICED),
        ("/Local", (("PhoneNumber", "anything"),), Code.UNPRICED),
        ("/Local", (("PhoneNumber", "+99999999999"),), Code.UNPRICED),
        ("/Local", (("PhoneNumber", LOCAL), ("VoiceUrl", "https://example.com")), Code.UNPRICED),
        ("/Local", (("PhoneNumber", LOCAL), ("SmsApplicationSid", "AP1")), Code.UNPRICED),
        ("/Local", (("PhoneNumber", LOCAL), ("EmergencyAddressSid", "AD1")), Code.UNPRICED),
    ],
)
def test_what_has_no_price(kind: str, pairs: tuple[tuple[str, str], ...], code: Code) -> None:
    """Other countries, other kinds, and what would let calls and messages in."""
    assert code == refusal(post(f"{NUMBERS}{kind}.json", *pairs))[0]
