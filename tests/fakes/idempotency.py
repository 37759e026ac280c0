"""The idempotency store of a fake vendor: first answer kept, replayed for the same request, refused for another."""

from dataclasses import dataclass, replace
from typing import Literal

from tests.fakes.model import Answer


@dataclass(slots=True)
class _Record:
    fingerprint: tuple[object, ...]
    answer: Answer | None


class IdempotencyStore:
    """Keys never expire here: no test lives for 24 hours."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def begin(self, key: str, fingerprint: tuple[object, ...]) -> Answer | Literal["new", "mismatch", "busy"]:
        """Take up a key: an answer to replay, or what the key is to this request."""
        record = self._records.get(key)
        if record is None:
            self._records[key] = _Record(fingerprint, None)
            return "new"
        if record.fingerprint != fingerprint:
            return "mismatch"
        if record.answer is None:
            return "busy"
        return replace(record.answer, moved=0, replayed=True)

    def finish(self, key: str, answer: Answer | None) -> None:
        """Keep the answer; None forgets the key, as after a request that was not valid."""
        if answer is None:
            self._records.pop(key, None)
        elif key in self._records:
            self._records[key].answer = answer
