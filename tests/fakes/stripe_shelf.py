"""What all of the fake Stripe's objects have in common: where they are kept, and how parameters are read."""

import re
from typing import Any

Result = tuple[dict[str, Any], int, str]

MAX_AMOUNT = 99_999_999


class Problem(Exception):
    """An error answer in Stripe's terms."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.details = details or {}


class Shelf:
    """All objects of one account, by id."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Any]] = {}
        self._count = 0

    def new(self, prefix: str, kind: str, **fields: Any) -> dict[str, Any]:
        self._count += 1
        made = {"id": f"{prefix}3Fake{self._count:019d}", "object": kind, "livemode": False, **fields}
        self._objects[made["id"]] = made
        return made

    def find(self, object_id: str) -> dict[str, Any]:
        found = self._objects.get(object_id)
        if found is None:
            raise Problem(404, f"No such object: '{object_id}'", code="resource_missing")
        return found

    def shown(self, found: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """A copy, with what `expand` asks for put in place of its id."""
        shown = dict(found)
        for name in values(params.get("expand")):
            target = shown.get(name)
            if isinstance(target, str) and target in self._objects:
                shown[name] = dict(self._objects[target])
        return shown

    def all(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """All objects of a kind whose fields have these values."""
        return [
            found
            for found in self._objects.values()
            if found["object"] == kind and all(found.get(name) == value for name, value in fields.items())
        ]

    def put(self, made: dict[str, Any]) -> dict[str, Any]:
        """Keep an object that brings its own id."""
        self._objects[made["id"]] = made
        return made

    def drop(self, object_id: str) -> None:
        """Forget an object."""
        del self._objects[object_id]


def listed(url: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    """A list as Stripe answers it."""
    return {"object": "list", "url": url, "has_more": False, "data": [dict(found) for found in data]}


def values(listed: Any) -> list[Any]:
    """The members of a list parameter, whether it came as ``a[]`` or as ``a[0]``."""
    return list(listed.values()) if isinstance(listed, dict) else [] if listed is None else [listed]


def amount_of(params: dict[str, Any], name: str = "amount") -> int:
    text = params.get(name)
    if text is None:
        raise Problem(400, f"Missing required param: {name}.", code="parameter_missing", details={"param": name})
    if not isinstance(text, str) or re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) is None:
        raise Problem(400, f"Invalid integer: {text}", code="parameter_invalid_integer", details={"param": name})
    if not 0 < int(text) <= MAX_AMOUNT:
        raise Problem(400, "Amount must be between 1 and 99999999.", code="amount_too_large", details={"param": name})
    return int(text)


def currency_of(params: dict[str, Any]) -> str:
    currency = params.get("currency")
    if not isinstance(currency, str) or re.fullmatch(r"[a-zA-Z]{3}", currency) is None:
        raise Problem(400, "Missing required param: currency.", code="parameter_missing", details={"param": "currency"})
    return currency.lower()
