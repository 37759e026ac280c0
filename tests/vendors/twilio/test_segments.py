import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.money import ceil_div
from runcap.vendors.twilio.segments import MAX_BODY_SEGMENTS, is_gsm7, segments

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("é" * 70, 1),
        ("é" * 71, 1),
        ("ê" * 70, 1),
        ("ê" * 71, 2),
        ("ê" * 134, 2),
        ("ê" * 135, 3),
    ],
)
def test_borders(text: str, expected: int) -> None:
    """A segment holds 160 GSM-7 or 70 UCS-2 units, 153 and 67 if there are more; é is in GSM-7, ê is not."""
    assert expected == segments(text)


@pytest.mark.parametrize("char", list("^{}\\[~]|€\f"))
def test_extension_characters_take_two_units(char: str) -> None:
    """80 of them fill a segment, 81 do not fit."""
    assert (1, 2) == (segments(char * 80), segments(char * 81))


def test_an_extension_character_is_not_torn_apart() -> None:
    """The unit that is left at the end of a part stays empty: 306 units need three parts here, not two."""
    assert 2 == segments("a" * 151 + "€" + "a" * 153)
    assert 3 == segments("a" * 152 + "€" + "a" * 152)


def test_one_character_outside_gsm7_makes_all_of_it_ucs2() -> None:
    """160 letters are one segment; with one curly apostrophe they are three."""
    assert 1 == segments("a" * 160)
    assert 3 == segments("a" * 159 + "\u2019")


def test_backtick_and_tab_are_not_gsm7() -> None:
    """Two characters of every keyboard that are dearer than they look."""
    assert not is_gsm7("`")
    assert not is_gsm7("\t")


def test_line_breaks_count_as_sent() -> None:
    """CRLF is two units."""
    assert (1, 2) == (segments("\r\n" * 80), segments("\r\n" * 80 + "a"))


def test_an_emoji_takes_two_units_and_is_not_torn_apart() -> None:
    """35 fill a segment; of a part's 67 units one stays empty."""
    assert (1, 2, 2, 3) == tuple(segments("\U0001f600" * count) for count in (35, 36, 66, 67))


def test_an_emoji_sequence_is_not_torn_apart() -> None:
    """A family of three is 8 units in one piece: eight of them fill a part of 67 units, not eight and a bit."""
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    assert 2 == segments(family * 16)
    assert 3 == segments(family * 17)


def test_a_flag_is_one_piece() -> None:
    """Two halves of two units each: sixteen flags to a part."""
    flag = "\U0001f1e9\U0001f1ea"
    assert (2, 3) == (segments(flag * 32), segments(flag * 33))


def test_a_piece_larger_than_a_segment_spills_over() -> None:
    """A letter with a hundred accents is billed by its units."""
    assert 2 == segments("z" + "\u0363" * 100)


@given(st.text(max_size=400))
def test_never_fewer_than_the_units_need(text: str) -> None:
    """Whatever the text, its units fit into the segments that are billed."""
    units = len(text.encode("utf-16-le")) // 2
    count = segments(text)
    if is_gsm7(text):
        units = sum(2 if char in "^{}\\[~]|€\f" else 1 for char in text)
        assert (1 if units <= 160 else ceil_div(units, 153)) <= count
    else:
        assert (1 if units <= 70 else ceil_div(units, 67)) <= count


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_never_costs_less(text: str, more: str) -> None:
    """Appending cannot lower the count."""
    assert segments(text) <= segments(text + more)


@given(st.text(alphabet="a€ê\U0001f600", max_size=1600))
def test_no_text_that_twilio_takes_is_above_the_worst_case(text: str) -> None:
    """What is assumed for a text that is not seen covers all texts of 1,600 UTF-16 units."""
    units = text.encode("utf-16-le")[: 2 * 1600].decode("utf-16-le", "ignore")
    assert MAX_BODY_SEGMENTS >= segments(units)


def test_twilios_own_calculator_counts_the_same() -> None:
    """On 3,600 texts: singles of all alphabets, borders, pieces that must not be torn apart, and mixtures.

    Where a newer Unicode joins more than the calculator knows, ours may count more, on purpose; here it never does.
    """
    stored = json.loads((DATA / "sms_segments.json").read_text("utf-8"))
    assert len(stored["cases"]) >= 2_000
    for expected, *pieces in stored["cases"]:
        text = "".join(piece * times for piece, times in pieces)
        assert expected == segments(text), pieces
