"""Which operation a method and a path mean: exact templates in a tree, shared by all vendors.

A vendor's catalogue is data; this turns it into something that is looked up in a few dict accesses a call.
There is no pattern matching but a template's own braces: what does not match exactly is unknown, and refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from runcap.vendors.base import Operation

_SEGMENT = re.compile(r"[A-Za-z0-9_.@:+-]{1,255}", re.ASCII)
_PARAMETER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}([A-Za-z0-9_.-]*)", re.ASCII)


@dataclass(slots=True)
class _Node:
    """What may follow after the segments read so far."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameters: dict[str, "_Node"] = field(default_factory=dict)
    """By the literal suffix behind the braces (``.json`` in ``{Sid}.json``), the longest first."""
    operation: Operation | None = None
    names: tuple[str, ...] = ()


class Catalogue:
    """All operations of one vendor, found by method and path.

    A literal segment beats a parameter (``/v1/invoices/create_preview`` is not an ``{invoice}``), and a
    longer suffix beats a shorter one. A trailing slash, an empty segment or a segment with any character
    but ``A-Z a-z 0-9 _ . @ : + -`` matches nothing.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._roots: dict[str, _Node] = {}
        for operation in self.operations:
            self._add(operation)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation, and what stands in its braces by name; None if the catalogue does not have it."""
        root = self._roots.get(method)
        if root is None or not path.startswith("/"):
            return None
        found = _walk(root, path[1:].split("/"), 0, ())
        if found is None:
            return None
        operation, names, values = found
        return operation, dict(zip(names, values, strict=True))

    def _add(self, operation: Operation) -> None:
        node = self._roots.setdefault(operation.method, _Node())
        names: list[str] = []
        for segment in operation.template[1:].split("/"):
            parameter = _PARAMETER.fullmatch(segment)
            if parameter is not None:
                name, suffix = parameter.groups()
                names.append(name)
                node.parameters.setdefault(suffix, _Node())
                node.parameters = dict(sorted(node.parameters.items(), key=lambda item: -len(item[0])))
                node = node.parameters[suffix]
            elif _SEGMENT.fullmatch(segment) is not None:
                node = node.literals.setdefault(segment, _Node())
            else:
                raise ValueError(f"{operation.name}: {segment!r} is neither a literal nor a parameter")
        if node.operation is not None:
            raise ValueError(f"{operation.name} matches the same paths as {node.operation.name}")
        if len(set(names)) != len(names):
            raise ValueError(f"{operation.name} names a parameter twice")
        node.operation, node.names = operation, tuple(names)


def _walk(
    node: _Node, segments: list[str], at: int, values: tuple[str, ...]
) -> tuple[Operation, tuple[str, ...], tuple[str, ...]] | None:
    if at == len(segments):
        return None if node.operation is None else (node.operation, node.names, values)
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, at + 1, values)
        if found is not None:
            return found
    for suffix, child in node.parameters.items():
        value = segment.removesuffix(suffix) if segment.endswith(suffix) else ""
        if is_segment(value):
            found = _walk(child, segments, at + 1, (*values, value))
            if found is not None:
                return found
    return None


def is_segment(text: str) -> bool:
    """Whether a path's segment may be a parameter: one to 255 safe characters, not ``.`` or ``..``."""
    return _SEGMENT.fullmatch(text) is not None and text not in {".", ".."}
