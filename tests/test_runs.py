"""Vault keys, run ids and labels."""

import hashlib
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.runs import check_label, key_digest, new_run_id, new_vault_key, parse_vault_key

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def test_a_key_carries_the_crc32_of_its_random_part() -> None:
    """`vk_`, 34 random characters, 6 of checksum, zero-padded: a scanner needs nothing else to know one."""
    key = new_vault_key()
    random, checksum = key[3:37], key[37:]
    number = 0
    for digit in checksum:
        number = number * 62 + _BASE62.index(digit)
    assert ("vk_", 43, 6) == (key[:3], len(key), len(checksum))
    assert zlib.crc32(random.encode()) == number
    assert key == parse_vault_key(key)


def test_keys_differ() -> None:
    """No two alike."""
    assert 200 == len({new_vault_key() for _ in range(200)})


@pytest.mark.parametrize("prefix", ["sk_live_", "sk_test_", "rk_live_", "re_", "pk_"])
def test_a_key_is_found_inside_a_vendors_prefix(prefix: str) -> None:
    """For tools that look at the first characters."""
    key = new_vault_key()
    assert key == parse_vault_key(prefix + key)


@given(st.integers(0, 42), st.sampled_from(_BASE62))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    """A mistyped key is no key."""
    key = new_vault_key()
    changed = key[:position] + character + key[position + 1 :]
    assert (key if changed == key else None) == parse_vault_key(changed)


@pytest.mark.parametrize(
    "shape", ["{}\n", " {}", "{}0", "sk_live_test_{}", "SK_{}", "s_{}", "verylongone_{}", "sk_live_", ""]
)
def test_anything_else_is_no_key(shape: str) -> None:
    """Neither blanks around it nor other prefixes."""
    assert None is parse_vault_key(shape.format(new_vault_key()))


def test_only_the_digest_is_stored() -> None:
    """SHA-256 of the bare key, hex."""
    assert hashlib.sha256(b"vk_x").hexdigest() == key_digest("vk_x")


def test_run_ids_are_ulids() -> None:
    """26 characters of Crockford's base32 that sort by time."""
    ids = [new_run_id() for _ in range(50)]
    assert 50 == len(set(ids))
    assert {26} == {len(run_id) for run_id in ids}
    assert set("".join(ids)) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert sorted(run_id[:10] for run_id in ids) == [run_id[:10] for run_id in ids]


@pytest.mark.parametrize("label", ["a", "billing-nightly", "two words", "~" * 100, "{}[]\"'\\%*"])
def test_labels_are_printable(label: str) -> None:
    """Any printable ASCII but the bar."""
    assert label == check_label(label)


@pytest.mark.parametrize("label", ["", "a|b", "a\n", "tab\t", "é", "x" * 101, "\x7f", "\0"])
def test_other_labels_are_refused(label: str) -> None:
    """With a sentence that says what may be used."""
    with pytest.raises(ValueError, match="is no label"):
        check_label(label)
