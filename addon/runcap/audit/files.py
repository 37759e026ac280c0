"""An audit is one file that is written, and perhaps others that were closed: one chain through all of them.

`runcap audit rotate` closes ``audit.db``: it becomes ``audit-1-20000.db``, named for its first and last row, and the
next ``audit.db`` goes on with row 20001, whose `prev_hash` is the hash of row 20000. No row is ever deleted; a closed
file is complete in itself and can be moved to where it is kept, but the ledger can only be rebuilt with all files that
hold rows of windows that are still open.

A file that does not begin with row 1 holds an admin row `audit_begun` that names the row which it begins behind.
Without it, whoever deletes the first rows of a file could say that they are in another.
"""

import json
import re
import sqlite3
from pathlib import Path

from runcap.audit.chain import COLUMNS, EMPTY, Anchor

BEGUN = "audit_begun"
"""Action of the admin row by which a file says where it begins; its detail holds ``after``, an anchor."""

ROTATION = "audit_rotation"
"""Action of the admin row by which an operator asks for the next file."""


def closed_name(path: Path, first: int, last: int) -> Path:
    """What a file is called once it is closed."""
    return path.with_name(f"{path.stem}-{first}-{last}{path.suffix}")


def closed_files(path: Path) -> list[Path]:
    """The files that were closed before the one at `path` and are still beside it, oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}-([1-9][0-9]*)-[1-9][0-9]*{re.escape(path.suffix)}", re.ASCII)
    if not path.parent.is_dir():
        return []
    found = [(int(match[1]), each) for each in path.parent.iterdir() if (match := name.fullmatch(each.name))]
    return [each for _, each in sorted(found)]


def begins_after(db: sqlite3.Connection) -> Anchor:
    """The row that the first row of a file names as the one before it; whether that is true is for others to say."""
    first = "SELECT * FROM (SELECT seq, prev_hash FROM {} ORDER BY seq LIMIT 1)"
    query = " UNION ALL ".join(first.format(table) for table in COLUMNS)
    row = db.execute(f"{query} ORDER BY 1 LIMIT 1").fetchone()
    return EMPTY if row is None else Anchor(row[0] - 1, row[1])


def is_attested(db: sqlite3.Connection, start: Anchor) -> bool:
    """Whether a row of the file itself says that it begins behind `start`."""
    rows = db.execute("SELECT detail FROM admin WHERE action = ?", (BEGUN,))
    return start == EMPTY or any(_after(detail) == str(start) for (detail,) in rows)


def _after(detail: str | None) -> object:
    try:
        found = json.loads(detail or "null")
    except ValueError:
        return None
    return found.get("after") if isinstance(found, dict) else None
