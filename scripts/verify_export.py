"""Verify what `runcap audit export` has written, without runcap: only Python's standard library, 3.9 or newer.

    python verify_export.py audit.jsonl                 JSON Lines
    python verify_export.py calls.csv admin.csv         CSV: both tables, since one chain goes through both
    python verify_export.py audit.jsonl SEQ:HASH …      compared with anchors that were kept elsewhere

The rule: `hash` is the SHA-256 of a compact JSON array of the table's name and all columns but `hash`; `prev_hash` is
the hash of the row before, 64 zeros before row 1. In the CSV text is quoted, numbers are not, and null is nothing.
"""

import hashlib
import heapq
import json
import re
import sys
from typing import Any, Iterator  # noqa: UP035 (older Pythons too)

FIELD = re.compile(r'("(?:[^"]|"")*")?([^",\n]*)(,|\n|$)')


def fields(text: str) -> Iterator["list[Any]"]:  # noqa: D103 (short on purpose)
    record: list[Any] = []
    for quoted, bare, end in FIELD.findall(text):
        record.append(quoted[1:-1].replace('""', '"') if quoted else int(bare) if bare else None)
        if end != ",":
            yield record
            record = []


def rows(path: str) -> Iterator["list[Any]"]:  # noqa: D103
    with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123
        if path.endswith(".csv"):
            records = fields(file.read())
            next(records, None)  # the columns' names
            yield from (record for record in records if len(record) > 1)
        else:
            yield from (list(json.loads(line).values()) for line in file)


anchors = [anchor for anchor in sys.argv[1:] if re.fullmatch("[0-9]+:[0-9a-f]{64}", anchor)]
count, last, seen = 0, "0:" + "0" * 64, set()
for row in heapq.merge(*map(rows, set(sys.argv[1:]) - set(anchors)), key=lambda row: row[1]):
    line = json.dumps(row[:-1], separators=(",", ":"), ensure_ascii=False)
    last = f"{row[1] - 1}:{row[-2]}" if count == 0 and row[1] > 1 else last
    if f"{row[1] - 1}:{row[-2]}" != last or hashlib.sha256(line.encode()).hexdigest() != row[-1]:
        sys.exit(f"WRONG: row {row[1]} of {row[0]} was changed, or does not follow {last}")
    count, last = count + 1, f"{row[1]}:{row[-1]}"
    seen |= {last} & set(anchors)
for anchor in set(anchors) - seen:
    sys.exit(f"WRONG: no row is {anchor}")
print(f"{count} rows, one unbroken chain, the last of them {last}")
