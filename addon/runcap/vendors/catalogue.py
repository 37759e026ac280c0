"""A vendor's catalogue of operations, read from its JSON file.

The file holds ``source`` (where the list comes from, with its date), ``repeatable`` (parameters that may stand
more than once) and ``operations``: one object for each method and path with its kind, and a reason or a pricer.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors.base import Kind, Operation
from runcap.vendors.paths import Catalogue


@dataclass(frozen=True, slots=True)
class Known:
    """All that a vendor's catalogue file says."""

    operations: Catalogue
    repeatable: frozenset[str]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation that a call means, and what stands in its template's braces.

        Raises:
            Refused: ``operation_unknown`` if the file does not have it.
        """
        found = self.operations.find(method, path)
        if found is None:
            raise refuse(
                Code.OPERATION_UNKNOWN,
                f"runcap does not know {method} on this path, so it cannot tell what it would cost.",
                attempted=f"{method} {path[:200]}",
            )
        return found


def data(name: str) -> dict[str, Any]:
    """Decode one of the JSON files in ``vendors/data``."""
    text = resources.files("runcap.vendors").joinpath("data", name).read_text("utf-8")
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def known(name: str) -> Known:
    """Read a catalogue file.

    Raises:
        ValueError: if two rows match the same paths, or a row is not one.
    """
    decoded = data(name)
    operations = [
        Operation(row["method"], row["template"], Kind(row["kind"]), row.get("reason", ""), row.get("pricer", ""))
        for row in decoded["operations"]
    ]
    return Known(Catalogue(operations), frozenset(decoded["repeatable"]))
