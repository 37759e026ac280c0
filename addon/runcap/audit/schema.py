"""What the audit file consists of: made from schema.sql and views.sql, and compared with them."""

import sqlite3
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from runcap.audit.chain import COLUMNS

_FORMAT = 1
"""`user_version` of the file: the format of the tables."""


class AuditFileError(RuntimeError):
    """The file is not the audit that it should be; nothing is appended to it. The message says what is wrong."""


class Part(NamedTuple):
    """One table, index, trigger or view that the audit consists of."""

    kind: str
    name: str
    table: str
    sql: str


@cache
def parts() -> tuple[Part, ...]:
    """Everything that the audit consists of, as SQLite itself keeps it, in the order in which it is made."""
    db = sqlite3.connect(":memory:")
    try:
        folder = resources.files("runcap.audit")
        db.executescript(folder.joinpath("schema.sql").read_text("utf-8"))
        db.executescript(folder.joinpath("views.sql").read_text("utf-8"))
        return _found_parts(db)
    finally:
        db.close()


def schema_problems(db: sqlite3.Connection) -> list[str]:
    """What of the audit's tables, triggers and views is missing, altered or added, one sentence each."""
    wanted = {(part.kind, part.name): part for part in parts()}
    found = {(part.kind, part.name): part for part in _found_parts(db)}
    problems = []
    for key, part in wanted.items():
        if key not in found:
            problems.append(f"The {part.kind} {part.name} is missing.")
        elif found[key].sql != part.sql:
            problems.append(f"The {part.kind} {part.name} was altered.")
    problems += [
        f"The trigger {part.name} on {part.table} is not one of ours."
        for key, part in found.items()
        if part.kind == "trigger" and part.table in COLUMNS and key not in wanted
    ]
    return problems


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, and put the views right in an old one.

    Missing triggers are not put back: that they are missing is evidence, and `runcap audit verify` reports it.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        found = {part.name: part for part in _found_parts(db)}
        missing = set(COLUMNS) - found.keys()
        if missing and found:
            raise AuditFileError(  # noqa: TRY301 (inside, so that it rolls back)
                f"{path} is not an audit: it has no table {' or '.join(sorted(missing))}."
            )
        for part in parts():
            if part.kind == "view" and part.name in found and found[part.name].sql != part.sql:
                db.execute(f"DROP VIEW {part.name}")
            elif not (missing or (part.kind == "view" and part.name not in found)):
                continue
            db.execute(part.sql)
        if missing:
            db.execute(f"PRAGMA user_version={_FORMAT}")
        elif db.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            raise AuditFileError(  # noqa: TRY301
                f"{path} was written by another version of runcap, in another format."
            )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _found_parts(db: sqlite3.Connection) -> tuple[Part, ...]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    return tuple(Part(*row) for row in db.execute(query))
