"""JSON that can be read in just one way.

The standard parser takes the last of two equal keys, ``NaN`` and ``1e400``, and dies of deep nesting. What
two parsers may read differently must not be priced, so all of that is refused here.
"""

import json
import math
import re
from typing import Any, NoReturn

from runcap.decision import Code, Refused, refuse

MAX_DEPTH = 32
MAX_DIGITS = 15
"""More digits than any amount has, and few enough for every JSON parser to hold the integer exactly."""
_MAX_FLOAT_CHARS = 32

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def loads(body: bytes) -> Any:
    """Decode JSON strictly.

    Raises:
        Refused: ``malformed`` for a key that stands twice in one object, ``NaN`` and ``Infinity``, a number
            that overflows, an integer of more than 15 digits, nesting deeper than 32, a lone surrogate, text
            that is not UTF-8, and for what is no JSON at all.
    """
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        decoded = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_constant,
        )
    except Refused:
        raise
    except (ValueError, RecursionError) as e:
        raise _malformed("it is no JSON") from e
    if "\\u" in text and not _is_encodable(decoded):
        raise _malformed("a string holds half a surrogate pair")
    return decoded


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(body):
        token = match.group()
        if token in {b"[", b"{"}:
            depth += 1
            if depth > MAX_DEPTH:
                raise _malformed(f"it is nested deeper than {MAX_DEPTH} levels")
        elif token in {b"]", b"}"}:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _malformed(f"the key {twice[:40]!r} stands twice in one object")
    return decoded


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _malformed(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits) if len(digits) <= _MAX_FLOAT_CHARS else math.inf
    if not math.isfinite(value):
        raise _malformed("a number is too large or too long")
    return value


def _constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is no JSON")


def _is_encodable(decoded: Any) -> bool:
    try:
        json.dumps(decoded, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(why: str) -> Refused:
    return refuse(Code.MALFORMED, f"The JSON body is refused: {why}.")
