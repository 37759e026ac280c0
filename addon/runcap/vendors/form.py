"""``application/x-www-form-urlencoded``, with Stripe's brackets, read in just one way.

Stripe merges query and body (a comment in stripe/stripe-mock says so), and the last of two equal keys seems
to win; other servers take the first, or split at ``;`` too. A call whose amount depends on such a choice must
not be priced: whatever two parsers could read differently is refused, and what is forwarded is encoded anew
from what was read.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote_plus, unquote_to_bytes

from runcap.decision import Code, Refused, refuse

MAX_PAIRS = 2000
MAX_DEPTH = 8
"""Brackets in one key. Stripe's own deepest parameter has six."""

Pair = tuple[str, str]

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RAW = re.compile(r"[^\x00-\x1f\x7f;#]*")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,99}[<>]?)((?:\[[^\[\]\x00-\x1f\x7f]{0,100}\])*)")
_BRACKET = re.compile(r"\[([^\]]*)\]")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII)
"""What `urllib.parse.quote_plus` leaves as it is."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}", re.ASCII)
_SHAPES = {"value": "a value", "append": "name[]", "index": "name[0]", "key": "name[key]"}


# No slots: cached_property needs the instance's dict.
@dataclass(frozen=True)
class Form:
    """A form as it was read: decoded pairs in their order."""

    pairs: tuple[Pair, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """The top-level names: ``metadata`` for ``metadata[order]``."""
        return frozenset(key.partition("[")[0] for key, _ in self.pairs)

    @cached_property
    def _by_key(self) -> dict[str, str]:
        return dict(self.pairs)

    def get(self, key: str) -> str | None:
        """The one value of a key such as ``amount`` or ``transfer_data[amount]``; None if it is not there.

        Raises:
            Refused: ``malformed`` if the key is there as a list or an object (``amount[]``, ``amount[0]``).
        """
        value = self._by_key.get(key)
        if value is None and self.below(key):
            raise refuse(Code.MALFORMED, f"The parameter {key} must be one plain value.")
        return value

    def all(self, key: str) -> tuple[str, ...]:
        """All values of a key: of ``expand[]``, of a repeatable one, or the one value."""
        return tuple(value for other, value in self.pairs if other == key)

    def below(self, name: str) -> tuple[Pair, ...]:
        """The pairs whose key is ``name`` or anything in its brackets."""
        if name.partition("[")[0] not in self.names:
            return ()
        return tuple(pair for pair in self.pairs if pair[0] == name or pair[0].startswith(f"{name}["))

    def encode(self) -> bytes:
        """The canonical bytes of this form."""
        return encode(self.pairs)


EMPTY = Form()


def parse(text: bytes | str, repeatable: Collection[str] = frozenset()) -> Form:
    """Read a form, or a query string, strictly.

    Args:
        text: the body, or the query without ``?``. Raw UTF-8 is taken as well as percent-encoded.
        repeatable: keys that may stand more than once, such as Twilio's ``MediaUrl``. A key that ends in
            ``[]`` always may.

    Raises:
        Refused: ``malformed`` for an empty pair, a pair without ``=``, ``;``, ``#``, a bad percent sequence,
            text that is no UTF-8, a control character in a key, NUL in a value, a key that is not canonical
            or stands twice, brackets that are not closed or that are empty before others, and a name in two
            shapes (``a``, ``a[]``, ``a[0]``, ``a[b]``).
    """
    try:
        raw = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as e:
        raise _malformed("it is not UTF-8") from e
    if not raw:
        return EMPTY
    if _RAW.fullmatch(raw) is None:
        raise _malformed("it has a control character, ';' or '#' that is not percent-encoded")
    if _BAD_PERCENT.search(raw) is not None:
        raise _malformed("a '%' is not followed by two hexadecimal digits")
    pieces = raw.split("&")
    if len(pieces) > MAX_PAIRS:
        raise _malformed(f"it has more than {MAX_PAIRS} parameters")
    return from_pairs([_pair(piece) for piece in pieces], repeatable)


def from_pairs(pairs: Iterable[Pair], repeatable: Collection[str] = frozenset()) -> Form:
    """Make a form of decoded pairs, by the same rules for keys as `parse`.

    Raises:
        Refused: ``malformed``, as `parse` does.
    """
    form = Form(tuple(pairs))
    seen: set[str] = set()
    shapes: dict[str, str] = {}
    for key, value in form.pairs:
        if "\0" in value:
            raise _malformed(f"the value of {key[:60]!r} has a NUL")
        if key in seen and not key.endswith("[]") and key not in repeatable:
            raise _malformed(f"the parameter {key[:60]!r} stands twice")
        if key not in seen:
            seen.add(key)
            _check_key(key, shapes)
    return form


def from_json(decoded: Mapping[str, object]) -> Form:
    """Make a form of a decoded JSON object, as Stripe's SDKs make theirs of their parameters.

    Raises:
        Refused: ``malformed`` for a key with brackets, and as `flatten` and `from_pairs` do.
    """
    return from_pairs(pair for name, value in decoded.items() for pair in flatten(_plain(name), value))


def encode(pairs: Iterable[Pair]) -> bytes:
    """Write pairs canonically: as `parse` reads them, the brackets of keys plain, as Stripe's own SDKs do."""
    return "&".join([f"{_quoted(key, safe='[]')}={_quoted(value)}" for key, value in pairs]).encode("ascii")


_IN_JSON = {"NoneType": "null", "float": "no integer", "dict": "an empty object", "list": "an empty array"}


def flatten(name: str, value: object) -> list[Pair]:
    """Write decoded JSON as Stripe's form does: ``a[b]`` for objects, ``a[0]`` for arrays, ``true``.

    Raises:
        Refused: ``malformed`` for a float or null, and for an empty object or array, which a form cannot tell
            from an absent one.
    """
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, bool):
        return [(name, "true" if value else "false")]
    if isinstance(value, int):
        return [(name, str(value))]
    if isinstance(value, dict) and value:
        return [pair for key, child in value.items() for pair in flatten(f"{name}[{_plain(key)}]", child)]
    if isinstance(value, list) and value:
        return [pair for index, child in enumerate(value) for pair in flatten(f"{name}[{index}]", child)]
    called = _IN_JSON.get(type(value).__name__, type(value).__name__)
    raise _malformed(
        f"the value of {name[:60]!r} is {called}, which a form cannot carry: leave it out, or send what it means"
    )


def _quoted(text: str, safe: str = "") -> str:
    """Most texts have nothing to quote, and finding that out is cheaper than quoting."""
    return text if _UNRESERVED.fullmatch(text) is not None else quote_plus(text, safe=safe)


def _pair(piece: str) -> Pair:
    key, equals, value = piece.partition("=")
    if not equals or not key:
        raise _malformed("every parameter must be written name=value")
    return _decoded(key), _decoded(value)


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as e:
        raise _malformed("a percent-encoded text is not UTF-8") from e


def _check_key(key: str, shapes: dict[str, str]) -> None:
    """Refuse a key that is not canonical, or a name that was used in another shape before."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise _malformed(f"the parameter name {key[:60]!r} is not canonical")
    path, brackets = match.groups()
    if not brackets:
        _note_shape(shapes, key, "value")
        return
    inner = _BRACKET.findall(brackets)
    if len(inner) > MAX_DEPTH:
        raise _malformed(f"the parameter name {key[:60]!r} has more than {MAX_DEPTH} brackets")
    for at, part in enumerate(inner):
        last = at == len(inner) - 1
        _note_shape(shapes, path, _shape(part, last=last, key=key))
        path = f"{path}[{part}]"
    if not path.endswith("[]"):
        _note_shape(shapes, path, "value")


def _shape(part: str, *, last: bool, key: str) -> str:
    if not part:
        if last:
            return "append"
        raise _malformed(f"give the lists in {key[:60]!r} an index, such as [0], in place of []")
    if _INDEX.fullmatch(part) is not None:
        return "index"
    if part.isdigit() or part != part.strip():
        raise _malformed(f"the parameter name {key[:60]!r} is not canonical")
    return "key"


def _note_shape(shapes: dict[str, str], path: str, shape: str) -> None:
    other = shapes.setdefault(path, shape)
    if other != shape:
        raise _malformed(f"the parameter {path[:60]!r} is given both as {_SHAPES[other]} and as {_SHAPES[shape]}")


def _plain(key: object) -> str:
    """A JSON key as a form's; one with brackets would fall apart into two."""
    if not isinstance(key, str) or not key or "[" in key or "]" in key:
        raise _malformed("a JSON key is empty or has brackets")
    return key


def _malformed(why: str) -> Refused:
    return refuse(Code.MALFORMED, f"The form is refused: {why}.")
