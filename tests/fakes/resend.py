"""Resend's rules for sending emails.

Kept to resend.com/docs/api-reference (emails, batch, errors, idempotency keys). What a call moves is
counted in recipients: every To, Cc and Bcc is one email.
"""

import hashlib
import json
import re
import uuid
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.idempotency import IdempotencyStore
from tests.fakes.model import Answer, Seen

_MAX_TO = 50
_MAX_BATCH = 100
SEGMENTS = {"segment-small": 3, "segment-paged": 250}
"""The account's segments, with how many contacts each has."""


class FakeResend:
    """One Resend account."""

    name = "resend"
    host = "api.resend.com"
    request_id_header = "x-request-id"

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._idempotency = IdempotencyStore()
        self._sent: dict[str, dict[str, Any]] = {}
        self._broadcasts: dict[str, dict[str, Any]] = {}

    def admit(self, seen: Seen) -> Answer | None:
        """Check the secret, then the idempotency key, which only sending knows."""
        authorization = seen.header("authorization")
        if authorization is None:
            return _error(401, "missing_api_key", "Missing API Key")
        if authorization != f"Bearer {self._secret}":
            return _error(403, "invalid_api_key", "API key is invalid")
        key = _idempotency_key(seen)
        return None if key is None else self._take_up(key, seen)

    def execute(self, seen: Seen) -> Answer:
        """Run the operation."""
        if seen.method == "GET":
            return self._read(seen)
        if seen.method != "POST" or not re.fullmatch(r"/emails(?:/batch)?|/broadcasts(?:/[\w-]+/send)?", seen.path):
            return _error(404, "not_found", "The requested endpoint does not exist.")
        try:
            model = json.loads(seen.body)
        except ValueError:
            return _error(422, "validation_error", "The body is not JSON.")
        if seen.path.startswith("/broadcasts"):
            return self._broadcast(seen.path.removesuffix("/send").rpartition("/")[2], model)
        return self._emails(model, seen)

    def keep(self, seen: Seen, answer: Answer) -> None:
        """Keep an answer that was executed."""
        key = _idempotency_key(seen)
        if key is not None and not answer.replayed and answer.status != 409:
            self._idempotency.finish(key, answer if answer.status in (200, 500) else None)

    def failure(self) -> Any:
        """Resend's 500."""
        return {"statusCode": 500, "name": "application_error", "message": "An unexpected error occurred."}

    def _take_up(self, key: str, seen: Seen) -> Answer | None:
        match self._idempotency.begin(key, (seen.path, hashlib.sha256(seen.body).hexdigest())):
            case "new":
                return None
            case "mismatch":
                return _error(409, "invalid_idempotent_request", "Same idempotency key used with a different request.")
            case "busy":
                return _error(409, "concurrent_idempotent_requests", "Same idempotency key used while in progress.")
            case stored:
                return stored

    def _emails(self, model: Any, seen: Seen) -> Answer:
        """Send one email, or a batch of them."""
        batch = seen.path == "/emails/batch"
        emails = model if batch else [model]
        if not isinstance(emails, list) or not 1 <= len(emails) <= _MAX_BATCH:
            return _error(422, "validation_error", "A batch holds 1 to 100 emails.")
        counts = [_recipients(email) for email in emails]
        if batch and seen.header("x-batch-validation") == "permissive":
            return self._permissive(emails, counts)
        if not all(counts):
            return _error(422, "validation_error", "Missing or invalid `from`, `to` or `subject` field.")
        made = [self._send(email) for email in emails]
        body = {"data": made} if batch else made[0]
        return Answer(200, body, moved=sum(counts), unit="email", params={"emails": emails})

    def _permissive(self, emails: list[Any], counts: list[int]) -> Answer:
        """Send what is valid of a batch, and name the rest."""
        made = [self._send(email) for email, count in zip(emails, counts, strict=True) if count]
        errors = [{"index": index, "message": "not valid"} for index, count in enumerate(counts) if not count]
        body = {"data": made, "errors": errors}
        return Answer(200, body, moved=sum(counts), unit="email", params={"emails": emails})

    def _read(self, seen: Seen) -> Answer:
        query = {name: values[-1] for name, values in parse_qs(seen.query).items()}
        noun, _, name = seen.path.removeprefix("/").partition("/")
        match noun:
            case "contacts":
                return _contacts(query)
            case "segments":
                found: dict[str, Any] = {each: {"id": each, "object": "segment"} for each in SEGMENTS}
            case "emails":
                found = self._sent
            case "broadcasts":
                found = self._broadcasts
            case "domains":
                found = {}
            case _:
                return _error(404, "not_found", "The requested endpoint does not exist.")
        if not name:
            return Answer(200, {"object": "list", "has_more": False, "data": list(found.values())})
        return Answer(200, found[name]) if name in found else _error(404, "not_found", f"{noun} not found")

    def _broadcast(self, name: str, model: dict[str, Any]) -> Answer:
        """Make a broadcast, or send one that is there; in the end it is sent or it is a draft."""
        sends = name != "broadcasts" or model.get("send") is True
        if name == "broadcasts":
            name = str(uuid.uuid4())
            self._broadcasts[name] = {"id": name, "segment_id": model.get("segment_id"), "status": "draft"}
        broadcast = self._broadcasts.get(name)
        count = SEGMENTS.get(broadcast["segment_id"]) if broadcast is not None else None
        if broadcast is None or count is None or broadcast["status"] != "draft":
            return _error(404, "not_found", "Broadcast or segment not found")
        if not sends:
            return Answer(201, {"id": name, "object": "broadcast"}, params=model)
        broadcast["status"] = "sent"
        return Answer(200, {"id": name, "object": "broadcast"}, moved=count, unit="email", params=model)

    def _send(self, email: dict[str, Any]) -> dict[str, str]:
        sent = str(uuid.uuid4())
        self._sent[sent] = {"object": "email", "id": sent, "to": _addresses(email.get("to")), "last_event": "sent"}
        return {"id": sent}


def _idempotency_key(seen: Seen) -> str | None:
    sends = seen.method == "POST" and seen.path in ("/emails", "/emails/batch")
    return seen.header("idempotency-key") if sends else None


def _recipients(email: Any) -> int:
    """How many emails one is, 0 if it is not valid."""
    if not isinstance(email, dict) or not email.get("from") or "subject" not in email:
        return 0
    to = _addresses(email.get("to"))
    if not 1 <= len(to) <= _MAX_TO:
        return 0
    return len(to) + len(_addresses(email.get("cc"))) + len(_addresses(email.get("bcc")))


def _contacts(query: dict[str, str]) -> Answer:
    """A page of a segment's contacts."""
    count, limit = SEGMENTS.get(query.get("segment_id", ""), 0), int(query.get("limit", "20"))
    start = int(query["after"].removeprefix("contact-")) + 1 if "after" in query else 0
    data = [{"id": f"contact-{number}"} for number in range(start, min(start + limit, count))]
    return Answer(200, {"object": "list", "has_more": start + limit < count, "data": data})


def _addresses(field: Any) -> list[str]:
    return [field] if isinstance(field, str) else list(field or [])


def _error(status: int, name: str, message: str) -> Answer:
    return Answer(status, {"statusCode": status, "name": name, "message": message})
