"""Forms are read in one way or refused, and written back so that they read the same."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code, Refused
from runcap.vendors import form

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_TREE = st.recursive(
    _TEXT | st.integers(0, 10**6) | st.booleans(),
    lambda children: (
        st.lists(children, min_size=1, max_size=3) | st.dictionaries(_NAME, children, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        b"amount=1&amount=100000",
        b"amount=1&%61mount=100000",
        b"amount=1&amount[]=2",
        b"amount[0]=1&amount=2",
        b"amount[]=1&amount[0]=2",
        b"a[0]=1&a[b]=2",
        b"a[b]=1&a[b][c]=2",
        b"a[b][c]=2&a[b]=1",
        b"a%00mount=1",
        b"amount=1%00",
        b"amount=1\x00",
        b"amount\n=1",
        b"amount=1;amount=2",
        b"a;b=1",
        b"amount[=1",
        b"amount]=1",
        b"amount[a=1",
        b"amount[a]]=1",
        b"amount[[a]]=1",
        b"amount[a]b=1",
        b"items[][price]=1",
        b"[a]=1",
        b"=1",
        b"a",
        b"a=1&",
        b"&a=1",
        b"a=1&&b=2",
        b"amount=%",
        b"amount=%1",
        b"amount=%zz",
        b"amount=%u0031",
        b"amount=%ff",
        b"amount=\xff",
        b"amount%20=1",
        b"+amount=1",
        b"a[01]=1",
        b"a[ b]=1",
        b"a[" + "\u0661".encode() + b"]=1",
        b"amo\xc2\xb5nt=1",
        b"a" + b"[b]" * 9 + b"=1",
        b"a=1#b",
        b"&".join(b"a%d=1" % at for at in range(2001)),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: bytes) -> None:
    """Duplicates, mixed shapes, other separators, bad escapes and odd keys are malformed."""
    with pytest.raises(Refused) as caught:
        form.parse(text)

    assert Code.MALFORMED == caught.value.deny.code


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (b"", ()),
        (b"a=", (("a", ""),)),
        (b"a=b=c", (("a", "b=c"),)),
        (b"description=Hello world+again%21", (("description", "Hello world again!"),)),
        ("name=Zoë".encode(), (("name", "Zoë"),)),
        (b"a%5Bb%5D=1&a[c]=2", (("a[b]", "1"), ("a[c]", "2"))),
        (b"expand[]=x&expand[]=y", (("expand[]", "x"), ("expand[]", "y"))),
        (b"a[0][b]=1&a[1][b]=2", (("a[0][b]", "1"), ("a[1][b]", "2"))),
        (b"metadata[a b]=%0A", (("metadata[a b]", "\n"),)),
        ("StartTime>=2026-01-01", (("StartTime>", "2026-01-01"),)),
    ],
)
def test_reads(text: bytes | str, pairs: tuple[form.Pair, ...]) -> None:
    """Percent and plus are decoded, brackets are read wherever they are encoded, order is kept."""
    assert pairs == form.parse(text).pairs


def test_only_named_keys_may_repeat() -> None:
    """Twilio's MediaUrl stands once for each picture."""
    text = b"MediaUrl=https://a&MediaUrl=https://b"

    assert ("https://a", "https://b") == form.parse(text, {"MediaUrl"}).all("MediaUrl")
    with pytest.raises(Refused):
        form.parse(text)


def test_get_wants_one_plain_value() -> None:
    """An amount that is a list is not an absent amount."""
    read = form.parse(b"amount[]=1&currency=usd&transfer_data[amount]=5&empty=")

    assert ("usd", None, "5", "") == tuple(
        read.get(key) for key in ("currency", "capture", "transfer_data[amount]", "empty")
    )
    with pytest.raises(Refused):
        read.get("amount")


def test_names_and_below() -> None:
    """Names are the keys without brackets."""
    read = form.parse(b"metadata[a]=1&metadata[b]=2&meta=3")

    assert {"metadata", "meta"} == read.names
    assert (("metadata[a]", "1"), ("metadata[b]", "2")) == read.below("metadata")


@given(st.dictionaries(_NAME, _TREE, max_size=4))
def test_what_is_forwarded_reads_as_what_was_priced(tree: dict[str, Any]) -> None:
    """Encoding a form and reading it again gives the same pairs, and the same bytes the second time."""
    pairs = [pair for name, value in tree.items() for pair in form.flatten(name, value)]
    read = form.parse(form.encode(pairs))

    assert tuple(pairs) == read.pairs
    assert form.encode(pairs) == read.encode()


@given(st.binary(max_size=40) | st.text("ab01[]=&%+;\0 5BD", max_size=24).map(str.encode))
def test_any_bytes_are_refused_or_read_for_good(text: bytes) -> None:
    """No input crashes the parser, and no accepted one reads differently after it was encoded anew."""
    read = form.EMPTY
    with contextlib.suppress(Refused):
        read = form.parse(text)

    assert read == form.parse(read.encode())


def test_json_keys_have_no_brackets() -> None:
    """``{"amount[]": 1}`` is no second way to write a list."""
    assert (("a[b][0]", "1"),) == form.from_json({"a": {"b": [1]}}).pairs
    with pytest.raises(Refused):
        form.from_json({"amount[]": 1})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "'name' is no integer"),
        (None, "'name' is null"),
        ({}, "'name' is an empty object"),
        ({"a": []}, "'name[a]' is an empty array"),
        ({"a[b": 1}, "a JSON key is empty or has brackets"),
        ({"": 1}, "a JSON key is empty or has brackets"),
    ],
)
def test_json_that_a_form_cannot_carry_is_refused(value: Any, said: str) -> None:
    """Floats, null, empty containers and keys with brackets have no form, and are named as JSON names them."""
    with pytest.raises(Refused) as refused:
        form.flatten("name", value)
    assert said in refused.value.deny.message
