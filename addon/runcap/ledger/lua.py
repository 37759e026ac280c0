"""Reads the scripts: each `.lua` file names in its first line the shared files that stand before it."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """One script as the server gets it."""

    name: str
    text: str
    sha: str
    """SHA-1 of the text, hex: the name by which the server caches it."""


@cache
def script(name: str) -> Script:
    """Read ``scripts/<name>.lua`` with what it includes."""
    own = _read(name)
    first, _, _ = own.partition("\n")
    includes = first.removeprefix("-- include:").split() if first.startswith("-- include:") else []
    text = "\n".join([*map(_read, includes), own])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (resources.files("runcap.ledger") / "scripts" / f"{name}.lua").read_text("utf-8")
