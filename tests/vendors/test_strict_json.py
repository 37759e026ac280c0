"""JSON is read in one way or refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code, Refused
from runcap.vendors import strict_json

_LEAVES = st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text(max_size=8)
_JSON = st.recursive(
    _LEAVES,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 1, "amount": 100000}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"amount": NaN}',
        b'{"amount": -Infinity}',
        b'{"amount": 1e400}',
        b'{"amount": 1.' + b"0" * 40 + b"}",
        b'{"amount": 1000000000000000}',
        b'{"amount": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"[" * 33 + b"]" * 33,
        b'{"a": ["' + b"[" * 40,
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": "\x01"}',
        '{"a": \uff11}'.encode(),
        b"{'a': 1}",
        b'{"a": 1} {"b": 2}',
        b"",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """Duplicate keys, overflow, depth, half surrogates and what is no JSON are malformed."""
    with pytest.raises(Refused) as caught:
        strict_json.loads(body)

    assert Code.MALFORMED == caught.value.deny.code


def test_brackets_in_strings_are_no_nesting() -> None:
    """Only structure counts towards the depth."""
    text = '[{"\\"' * 200

    assert {"a": text} == strict_json.loads(json.dumps({"a": text}).encode())


@given(_JSON)
def test_reads_what_the_standard_library_writes(value: Any) -> None:
    """Everything else comes back as it was."""
    assert value == strict_json.loads(json.dumps(value).encode())
