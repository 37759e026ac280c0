import pytest

from runcap.rates.amounts import price_micros
from runcap.rates.twilio_csv import NOWHERE, read_channels, read_sms, read_voice

SMS = """\
ISO,Country,Description,Price / msg
AT,Austria,A1,0.09000
AT,Austria,"Drei, Hutchison",0.09790
us,United States,,$0.0083
ZZZ,Nowhere,,9.0

"""
VOICE = """\
ISO,Country,Description,Price / min,Origination Prefixes,Destination Prefixes
AT,Austria,Programmable Outbound Minute - Austria,0.15500,,"43, 431"
AT,Austria,Programmable Outbound Minute - Austria - Mobile,0.24000,,"43664, 4367"
AT,Austria,Programmable Outbound Minute - Austria - Mobile - from EEA,0.04500,"30, 31","43664, 4367"
,Inmarsat,Satellite,9.0,,"870"
"""
CHANNELS = "Channel,ISO,Price / message\nwhatsapp,US,0.0300\nwhatsapp,*,0.15\nwhatsapp,US,0.02\nmessenger,*,0.005\n"


@pytest.mark.parametrize(
    ("text", "micros"),
    [("0.0083", 8_300), ("$1.15", 1_150_000), (" 2 ", 2_000_000), ("0.0000001", 1), ("0.00000000", 0)],
)
def test_a_price_is_rounded_up(text: str, micros: int) -> None:
    """To a whole micro-USD, whatever its length."""
    assert micros == price_micros(text)


@pytest.mark.parametrize("text", ["", "N/A", "-1", "1e-3", "0,05", "1.", ".5", "\u0661", "12345678", "1_0", "$$1"])
def test_what_is_no_price(text: str) -> None:
    """None, not zero."""
    assert price_micros(text) is None


def test_a_countrys_dearest_network_counts() -> None:
    """Rows without a country are left out; blank lines are no rows."""
    read = read_sms(SMS)
    assert ({"AT": 97_900, "US": 8_300}, []) == (read.prices, read.left_out)


@pytest.mark.parametrize("mangle", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_files_as_spreadsheets_write_them(mangle: object) -> None:
    """A byte order mark, and lines that end in CRLF."""
    assert callable(mangle)
    assert {"AT": 97_900, "US": 8_300} == read_sms(mangle(SMS)).prices


def test_a_price_that_cannot_be_read_takes_its_country_out() -> None:
    """Nobody can tell that the other rows are dearer."""
    read = read_sms(SMS + "AT,Austria,T-Mobile,on request\n")
    assert ({"US": 8_300}, ["AT"]) == (read.prices, read.left_out)
    voice = read_voice(VOICE + 'AT,Austria,Premium,0.1,,"43900x"\nDE,Germany,,0.01,,49\n')
    assert (["AT"], ["AT"]) == (voice.left_out, sorted({"AT", "DE"} - set(voice.prices.by_prefix)))


def test_the_dearest_origin_counts() -> None:
    """For each prefix, and for the country; prefixes of no country are kept too."""
    voice = read_voice(VOICE).prices
    assert {"43": 155_000, "431": 155_000, "43664": 240_000, "4367": 240_000} == voice.by_prefix["AT"]
    assert {"AT": 240_000, NOWHERE: 9_000_000} == voice.dearest
    assert {"870": 9_000_000} == voice.by_prefix[NOWHERE]


def test_channels_by_country_or_anywhere() -> None:
    """Again the dearest of what is said twice."""
    assert {"whatsapp": {"US": 30_000, "*": 150_000}, "messenger": {"*": 5_000}} == read_channels(CHANNELS).prices


@pytest.mark.parametrize("row", ["whatsapp,USA,1", "Whats App,US,1", "whatsapp,US,free", "whatsapp,,1"])
def test_a_channels_row_that_cannot_be_read_ends_it(row: str) -> None:
    """The operator wrote it, so it is said which one."""
    with pytest.raises(ValueError, match="line 6"):
        read_channels(CHANNELS + row + "\n")


@pytest.mark.parametrize(
    "text",
    ["", "ISO,Country\nAT,Austria\n", "ISO,Price / msg,Price / msg\n", "ISO,Price / msg\n", "ISO,Price / msg\nAT,x\n",
     "ISO,Country,Price / msg\nAT\n", 'ISO,Price / msg\n"AT,1\n'],
)  # fmt: skip
def test_what_is_no_list(text: str) -> None:
    """Missing or doubled columns, short rows, broken quotes, nothing in it."""
    for read in (read_sms, read_voice, read_channels):
        with pytest.raises(ValueError, match=r"."):
            read(text)
