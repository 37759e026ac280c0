"""Is the audit what was written? Reads the whole file once and says everything that is wrong with it."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runcap.audit.chain import Anchor, compare, walk
from runcap.audit.schema import schema_problems
from runcap.audit.store import open_readonly, read_rows


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` has found."""

    last: Anchor
    """The last row that is in order; its seq is their number."""
    problems: tuple[str, ...]
    """One sentence each; empty if the audit is whole."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def verify(path: Path, anchors: Mapping[str, Anchor] | None = None) -> Report:
    """Check chain, tables, triggers and views of an audit, and its end against anchors.

    The auditor may be writing meanwhile: what is checked is the file as it is at the start.

    Args:
        path: the SQLite file.
        anchors: by who kept them, such as ``{"the ledger": …}``. They must be older than this call.

    Raises:
        AuditFileError: there is no file, or it cannot be opened.
    """
    anchors = anchors or {}
    db = open_readonly(path)
    try:
        db.execute("BEGIN")
        problems = schema_problems(db)
        found = walk(read_rows(db), frozenset(anchor.seq for anchor in anchors.values()))
    except sqlite3.Error as error:
        # A table that is missing, a damaged page, text that is no UTF-8: the walk cannot go on.
        return Report(Anchor(0, ""), (*_so_far(db), f"The file cannot be read to its end: {error}."))
    finally:
        db.close()
    if found.problem is not None:
        problems.append(found.problem)
    else:
        compared = (compare(found, anchor, keeper) for keeper, anchor in anchors.items())
        problems += [problem for problem in compared if problem is not None]
    return Report(found.last, tuple(problems))


def _so_far(db: sqlite3.Connection) -> list[str]:
    try:
        return schema_problems(db)
    except sqlite3.Error:
        return []
