"""How many segments a text is billed as, counted as Twilio counts, and never fewer.

The rules are those of Twilio's own calculator (npm `sms-segments-calculator` 1.3.0, read and run against this on
2026-11-24) and of GSM 03.38:

- If every character is in the GSM-7 alphabet the message is sent as that: one unit a character, two for one of
  the extension table. A segment holds 160 units, or 153 each if there are more than one; the two units of an
  extension character are never torn apart.
- Otherwise all of it is UCS-2: 70 UTF-16 units, or 67 each. The calculator does not tear a grapheme (an emoji
  with its modifiers, a letter with its accents) apart. Filling segments with larger pieces never takes fewer of them,
  so pieces that are at least as large as the graphemes of any Unicode version give a count that is safe.

Twilio's ``SmartEncoded`` can only lower the count; it is left out.
"""

import unicodedata

from runcap.money import ceil_div

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")

_JOINER = "\u200d"
_EXTENDING = "\u200c\u200d\u0e33\u0eb3\uff9e\uff9f"
_EMOJI_MODIFIERS = (("\U0001f3fb", "\U0001f3ff"),)
_TAGS = (("\U000e0000", "\U000e0fff"),)
_HANGUL_LEADING = (("\u1100", "\u115f"), ("\ua960", "\ua97c"))
_HANGUL_FOLLOWING = (("\u1160", "\u11ff"), ("\ud7b0", "\ud7fb"))
_PREPENDED = (
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
    "\U0001193f\U00011941\U00011a3a\U00011a84\U00011a85\U00011a86\U00011a87\U00011a88\U00011a89\U00011d46\U00011f02"
)
"""Unicode's Grapheme_Cluster_Break=Prepend: these belong to the character behind them."""

_GSM7_SINGLE, _GSM7_PART = 160, 153
_UCS2_SINGLE, _UCS2_PART = 70, 67

MAX_BODY_SEGMENTS = ceil_div(1600, _UCS2_PART - 1)
"""The most that a text which runcap cannot see is billed as: Twilio refuses more than 1,600 characters (its error
21617), and in the worst case each part of UCS-2 has one unit left over, where a surrogate pair did not fit."""


def segments(text: str) -> int:
    """The number of segments that a message's text is billed as; 1 for an empty text."""
    if is_gsm7(text):
        return _packed([2 if char in _EXTENSION else 1 for char in text], _GSM7_SINGLE, _GSM7_PART)
    # Only a piece that is larger than a segment makes the first of these the larger one.
    return max(
        _packed([_units(char) for char in text], _UCS2_SINGLE, _UCS2_PART),
        _packed(_clusters(text), _UCS2_SINGLE, _UCS2_PART),
    )


def is_gsm7(text: str) -> bool:
    """Whether all of a text is in the GSM-7 alphabet, its extension table included."""
    return all(char in _BASIC or char in _EXTENSION for char in text)


def _packed(sizes: list[int], single: int, part: int) -> int:
    """How many segments indivisible pieces of these sizes, in units, fill one after the other."""
    if sum(sizes) <= single:
        return 1
    count, used = 0, part
    for size in sizes:
        used += size
        if used > part:
            # A piece that is larger than a segment fills several; the last of them has room left.
            more = ceil_div(size, part)
            count, used = count + more, size - (more - 1) * part
    return count


def _clusters(text: str) -> list[int]:
    """The sizes, in UTF-16 units, of the pieces that a reader may call one character, or larger ones."""
    sizes: list[int] = []
    joins_next = False
    lone_flag_half = False
    for char in text:
        flag_half = "\U0001f1e6" <= char <= "\U0001f1ff"
        pairs_up = flag_half and lone_flag_half
        if sizes and (joins_next or pairs_up or _extends(char)):
            sizes[-1] += _units(char)
        else:
            sizes.append(_units(char))
        lone_flag_half = flag_half and not pairs_up
        joins_next = char == _JOINER or char in _PREPENDED or _is_in(char, _HANGUL_LEADING)
    return sizes


def _extends(char: str) -> bool:
    """Whether a character may belong to the one before it: marks, joiners, emoji modifiers, flag tags, jamo."""
    return (
        unicodedata.category(char) in {"Mn", "Me", "Mc"}
        or char in _EXTENDING
        or _is_in(char, _EMOJI_MODIFIERS)
        or _is_in(char, _TAGS)
        or _is_in(char, _HANGUL_FOLLOWING)
    )


def _is_in(char: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(first <= char <= last for first, last in ranges)


def _units(char: str) -> int:
    """UTF-16 units of a character: two for a surrogate pair."""
    return 2 if char > "\uffff" else 1
