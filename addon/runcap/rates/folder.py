"""``rates/`` below the home folder: the tables in force, and a history of what changed them.

A table is replaced as a whole (a file beside it, then a rename), so a proxy that reads meanwhile sees the old one or
the new one. Each change is a line of ``history.jsonl``: who, when, from what, how many prices, and the digests before
and after. That file is written before the table is: a change without its line does not happen. The command line writes
the same into the audit, before that.
"""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runcap.home import PRIVATE_FILE, PRIVATE_FOLDER, locked, prepare, read_private, write_file

TWILIO = "twilio"
FX = "fx"


@dataclass(frozen=True, slots=True)
class Change:
    """A table that is to take another's place."""

    table: str
    """`TWILIO` or `FX`."""
    document: Mapping[str, Any]
    """All of it."""
    action: str
    """``import twilio-sms``."""
    source: str
    """The file's name, or the API."""
    counts: Mapping[str, int]
    """How many countries, prefixes, currencies."""
    left_out: tuple[str, ...] = ()
    """Countries whose prices could not be read: they have none now."""

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return (json.dumps(self.document, indent=1, ensure_ascii=False) + "\n").encode()


class RatesFolder:
    """The tables of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "rates"
        self.history_path = self._folder / "history.jsonl"

    def path(self, table: str) -> Path:
        """Where a table is, if it is there: `TWILIO` or `FX`."""
        return self._folder / f"{table}.json"

    def read(self, table: str) -> dict[str, Any] | None:
        """A table as it stands in its file; None if there is none.

        Raises:
            HomeError: others may read or write the file.
            ValueError: it is no JSON object.
        """
        try:
            content = read_private(self.path(table))
        except FileNotFoundError:
            return None
        try:
            decoded = json.loads(content)
        except ValueError as e:
            raise ValueError(f"{self.path(table)} is damaged: {e}") from e
        if not isinstance(decoded, dict):
            raise ValueError(f"{self.path(table)} is damaged: it is no object")  # noqa: TRY004 (of a file)
        return decoded

    def describe(self, change: Change) -> dict[str, Any]:
        """What the history and the audit say of a change: what, from where, how much, the digests before and after.

        Raises:
            HomeError: others may read or write the table that is there.
        """
        try:
            old_digest = _digest(read_private(self.path(change.table)))
        except FileNotFoundError:
            old_digest = None
        return {
            "table": change.table,
            "action": change.action,
            "source": change.source,
            "counts": dict(change.counts),
            "old_digest": old_digest,
            "new_digest": _digest(change.content),
        }

    def apply(self, change: Change, actor: str) -> None:
        """Put a table in the place of the one before, and note who did it.

        Raises:
            HomeError: the home folder is not fit.
            OSError: it cannot be written; the table is then the old one.
        """
        prepare(self._home)
        self._folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        with locked(self._folder / ".lock"):
            at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._note({"at": at, "actor": actor, **self.describe(change)})
            write_file(self.path(change.table), change.content)

    def history(self) -> list[dict[str, Any]]:
        """All changes, oldest first.

        Raises:
            HomeError: others may read or write the file.
        """
        try:
            lines = read_private(self.history_path).splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def _note(self, line: dict[str, Any]) -> None:
        descriptor = os.open(self.history_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
        try:
            os.write(descriptor, json.dumps(line, ensure_ascii=False).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
