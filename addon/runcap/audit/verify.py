"""Is the audit what was written? Reads every row once and says everything that is wrong."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from runcap.audit.chain import EMPTY, Anchor, compare
from runcap.audit.files import begins_after, closed_files, is_attested
from runcap.audit.reading import last_row, open_readonly
from runcap.audit.schema import schema_problems
from runcap.audit.stretch import follow


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` has found."""

    last: Anchor
    """The last row that is in order."""
    after: Anchor
    """The row before the first: its seq is 0, or the file goes on where another was closed."""
    problems: tuple[str, ...]
    """One sentence each; empty if the audit is whole."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def verify(path: Path, anchors: Mapping[str, Anchor] | None = None) -> Report:
    """Check chain, tables, triggers and views of one file of an audit, and its rows against anchors.

    The auditor may be writing meanwhile: what is checked is the file as it is at the start.

    Args:
        path: the SQLite file.
        anchors: by who kept them, such as ``{"the ledger": …}``. They must be older than this call.

    Raises:
        AuditFileError: there is no file, or it cannot be opened.
    """
    anchors = anchors or {}
    db = open_readonly(path, alone=True)
    try:
        db.execute("BEGIN")
        problems = schema_problems(db)
        start = begins_after(db)
        start = start if is_attested(db, start) else EMPTY
        found = follow(db, path, start, last_row(db).seq, {anchor.seq for anchor in anchors.values()})
    except sqlite3.Error as error:
        # A table that is missing, a damaged page, text that is no UTF-8: the walk cannot go on.
        return Report(Anchor(0, ""), EMPTY, (*_so_far(db), f"The file cannot be read to its end: {error}."))
    finally:
        db.close()
    if found.problem is not None:
        problems.append(found.problem)
    else:
        compared = (compare(found, anchor, keeper) for keeper, anchor in anchors.items())
        problems += [problem for problem in compared if problem is not None]
    return Report(found.last, start, tuple(problems))


def verify_all(path: Path, anchors: Mapping[str, Anchor] | None = None) -> Report:
    """Check the current file and the closed ones beside it, and that each begins where the one before it ends.

    Args:
        path: the current file.
        anchors: as in `verify`, of rows in any of the files.

    Returns:
        One report on all of them; `after` is of the oldest.

    Raises:
        AuditFileError: there is no current file, or one cannot be opened.
    """
    problems: list[str] = []
    start: Anchor | None = None
    end: Anchor | None = None
    for each in [*closed_files(path), path]:
        floor, ceiling = _ends(each)
        low = 0 if end is None else floor
        own = {
            who: kept
            for who, kept in (anchors or {}).items()
            if low < kept.seq and (each == path or kept.seq <= ceiling)
        }
        report = verify(each, own)
        problems += report.problems if each == path else [f"{each.name}: {problem}" for problem in report.problems]
        if end is not None and report.ok and report.after != end:
            problems.append(
                f"{each.name} begins behind row {report.after}, and the file before it ends with row {end}."
            )
        start, end = start or report.after, report.last
    assert start is not None
    assert end is not None
    return Report(end, start, tuple(problems))


def _ends(path: Path) -> tuple[int, int]:
    """The seq before the first row, and of the last; 0 where they cannot be read."""
    with closing(open_readonly(path, alone=True)) as db, suppress(sqlite3.Error):
        return begins_after(db).seq, last_row(db).seq
    return 0, 0


def _so_far(db: sqlite3.Connection) -> list[str]:
    try:
        return schema_problems(db)
    except sqlite3.Error:
        return []
