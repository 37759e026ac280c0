"""What the fake vendors saw: one JSON line a request, written before the answer, so it outlives any crash of runcap."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PRICED_LATER = re.compile(r"/(?:Messages|Calls|Participants)/[A-Z]{2}[0-9a-f]+\.json$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as a vendor saw it, and what it did about it."""

    vendor: str
    method: str
    path: str
    query: str
    headers: list[list[str]]
    body: str
    """Latin-1, so that every byte is one character."""
    params: dict[str, Any]
    """The parameters as the vendor merged and understood them."""
    status: int
    """What the vendor meant to answer; the agent may have got less (see `ending`)."""
    request_id: str
    moved: int
    unit: str
    replayed: bool
    ending: str

    @property
    def text(self) -> str:
        """Everything that came over the wire, for searching."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return f"{self.method} {self.path}?{self.query}\n{head}\n{self.body}"

    def header(self, name: str) -> str | None:
        """The first value of a header (lower-case name), or None."""
        return next((value for key, value in self.headers if key == name), None)


class Journal:
    """An append-only file of entries. One process writes, any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def append(self, entry: Entry) -> None:
        """Write one entry; whole lines only, since it is a single write to a file in append mode."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(self._fd, json.dumps(asdict(entry)).encode() + b"\n")

    def close(self) -> None:
        """Close the writer's file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def mark(self) -> int:
        """A position: `entries` given it returns what came after."""
        return self.path.stat().st_size if self.path.exists() else 0

    def entries(self, since: int = 0, *, vendor: str | None = None, path: str = "", late: bool = False) -> list[Entry]:
        """What was seen after a mark, in order; only of one vendor or path (a substring), if given.

        Without `late` what runcap itself asks a minute after a message or a call, for its price, is left out: it comes
        whenever it comes, also in the midst of a test about something else.
        """
        return [
            entry
            for entry in self._read(since)
            if (vendor is None or entry.vendor == vendor)
            and path in entry.path
            and (late or not _asks_for_a_price(entry))
        ]

    def moved(self, since: int = 0, *, unit: str = "usd") -> int:
        """The sum of what was moved in one unit after a mark."""
        return sum(entry.moved for entry in self._read(since) if entry.unit == unit)

    def _read(self, since: int) -> Iterator[Entry]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(since)
            for line in file:
                if line.endswith(b"\n"):
                    yield Entry(**json.loads(line))


def _asks_for_a_price(entry: Entry) -> bool:
    asked = entry.vendor == "twilio" and entry.method == "GET" and _PRICED_LATER.search(entry.path) is not None
    return asked and entry.header("user-agent") is None
