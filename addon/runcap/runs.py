"""Names of a run: its id, its vault key, its label.

A vault key is ``vk_`` and 40 base62 characters: 34 random ones (202 bits) and a checksum over them, so that secret
scanners can tell a key from noise without asking anyone. It is shown once; only its SHA-256 is stored.
"""

import hashlib
import re
import secrets
import string
import time
import zlib

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 34
_CHECKSUM_LENGTH = 6

_VAULT_KEY = re.compile(r"(?:[a-z]{2,8}_(?:live_|test_)?)?(vk_([0-9A-Za-z]{34})([0-9A-Za-z]{6}))", re.ASCII)
"""Also inside a vendor's own prefix, for tools that look at it: ``sk_live_vk_…``, ``re_vk_…``."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

LABEL = re.compile(r"[ -{}~]{1,100}", re.ASCII)
"""Printable ASCII without ``|``."""


def new_vault_key() -> str:
    """Make a key that nobody has."""
    random = "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_LENGTH))
    return f"vk_{random}{_checksum(random)}"


def parse_vault_key(text: str) -> str | None:
    """The bare ``vk_…`` key in what an agent sent, or None if it is none or its checksum is wrong."""
    match = _VAULT_KEY.fullmatch(text)
    if match is None:
        return None
    key, random, checksum = match.groups()
    return key if checksum == _checksum(random) else None


def key_digest(vault_key: str) -> str:
    """SHA-256 of a bare key, hex: what the ledger knows it by."""
    return hashlib.sha256(vault_key.encode()).hexdigest()


def new_run_id() -> str:
    """A ULID: 48 bits of ms since 1970 and 80 random bits in Crockford's base32, so ids sort by age."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def check_label(text: str) -> str:
    """Return a label that may be used.

    Raises:
        ValueError: it is empty, longer than 100 characters, or has others than printable ASCII without ``|``.
    """
    if LABEL.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no label: use 1 to 100 printable ASCII characters other than '|'")
    return text


def _checksum(random: str) -> str:
    number = zlib.crc32(random.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
