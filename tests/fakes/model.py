"""What passes between the server and the fake vendors: a request, an answer, a fault."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, wholly read."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    """Lower-case names, in the order of arrival, duplicates kept."""
    body: bytes

    def header(self, name: str) -> str | None:
        """The last value of a header, or None."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fake vendor answers, and what it did."""

    status: int
    body: Any
    """Becomes JSON."""
    headers: tuple[tuple[str, str], ...] = ()
    moved: int = 0
    """How much this call moved, in `unit`: negative if it gave an authorization back."""
    unit: str = ""
    """``usd`` (in cents; likewise for other currencies), ``segment``, ``minute`` or ``email``."""
    replayed: bool = False
    """Answered from the idempotency store: nothing was executed."""
    params: dict[str, Any] = field(default_factory=dict)
    """The parameters as the vendor understood them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with the next matching requests. Whatever is set applies together."""

    vendor: str
    path: str = ""
    """The request's path contains this."""
    times: int = 1
    delay_seconds: float = 0.0
    """Wait before executing."""
    ending: Literal["answer", "error_500", "hang", "cut", "truncate"] = "answer"
    """After executing: answer; say 500; say nothing; close the connection; close it half-way through the body."""
    early_hints: bool = False
    """A 103 before the answer."""
    trailers: bool = False
    """Answer chunked, with trailer fields."""
    gzip: bool = False
    echo_authorization: bool = False
    """Put the Authorization header that was received into the answer's body, and into a header."""
    redirect: str = ""
    """Answer 302 to this URL, without executing."""


class FakeVendor(Protocol):
    """One vendor's rules. Plain synchronous code: the server calls it between two awaits."""

    name: str
    host: str
    request_id_header: str

    def admit(self, seen: Seen) -> Answer | None:
        """Check the credential and the idempotency key; an answer if that already ends the call."""

    def execute(self, seen: Seen) -> Answer:
        """Do what the call asks for."""

    def keep(self, seen: Seen, answer: Answer) -> None:
        """Remember the answer for the call's idempotency key."""

    def failure(self) -> Any:
        """The body of a 500."""
