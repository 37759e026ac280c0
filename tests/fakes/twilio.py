"""Twilio's rules for messages and calls of one account.

Kept to twilio.com/docs/messaging/api/message-resource and voice/api/call-resource: a message is
answered 201 with a null price, which a later GET fills in. What it moves is counted in segments and minutes.
"""

import base64
import re
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.model import Answer, Seen

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_ESCAPED = frozenset("^{}\\[~]|€\f")
_DEFAULT_TIME_LIMIT_SECONDS = 14_400
"""Twilio's own limit for a call without TimeLimit: four hours."""
_SMS_PRICE = "0.0083"
"""US list price of a segment, twilio.com/en-us/sms/pricing/us."""


class FakeTwilio:
    """One Twilio account."""

    name = "twilio"
    host = "api.twilio.com"
    request_id_header = "twilio-request-id"

    def __init__(self, account_sid: str, secret: str) -> None:
        self._account_sid = account_sid
        self._secret = secret
        self._resources: dict[str, dict[str, Any]] = {}
        self._count = 0

    def admit(self, seen: Seen) -> Answer | None:
        """Check Basic account:token. Twilio has no idempotency keys."""
        expected = base64.b64encode(f"{self._account_sid}:{self._secret}".encode()).decode()
        if seen.header("authorization") != f"Basic {expected}":
            return _error(401, 20003, "Authenticate")
        return None

    def execute(self, seen: Seen) -> Answer:
        """Run the operation."""
        account = f"/2010-04-01/Accounts/{self._account_sid}"
        params = {name: values[-1] for name, values in parse_qs(seen.body.decode("utf-8", "replace")).items()}
        kind = re.fullmatch(re.escape(account) + r"/(Messages|Calls)(?:/((?:SM|CA)[0-9a-f]{32}))?\.json", seen.path)
        if seen.method == "GET" and seen.path == f"{account}.json":
            return Answer(200, {"sid": self._account_sid, "auth_token": self._secret, "status": "active"})
        if kind is None:
            return _error(404, 20404, f"The requested resource {seen.path} was not found")
        noun, sid = kind.groups()
        if seen.method == "POST" and sid is None:
            return self._message(params) if noun == "Messages" else self._call(params)
        if seen.method == "GET" and sid in self._resources:
            return Answer(200, self._billed(self._resources[sid]))
        return _error(404, 20404, f"The requested resource {seen.path} was not found")

    def keep(self, seen: Seen, answer: Answer) -> None:
        """Nothing to keep: see `admit`."""

    def failure(self) -> Any:
        """Twilio's 500."""
        return {"code": 20500, "message": "Internal Server Error", "more_info": "", "status": 500}

    def _message(self, params: dict[str, str]) -> Answer:
        if not params.get("To"):
            return _error(400, 21604, "A 'To' phone number is required.")
        if not (params.get("From") or params.get("MessagingServiceSid")):
            return _error(400, 21603, "A 'From' phone number is required.")
        if not (params.get("Body") or params.get("MediaUrl") or params.get("ContentSid")):
            return _error(400, 21602, "Message body is required.")
        count = segments(params.get("Body", ""))
        return self._created(
            "SM", params, moved=count, unit="segment",
            body=params.get("Body", ""), num_segments=str(count), num_media="1" if "MediaUrl" in params else "0",
        )  # fmt: skip

    def _call(self, params: dict[str, str]) -> Answer:
        if not params.get("To"):
            return _error(400, 21201, "No 'To' number is specified")
        if not (params.get("Url") or params.get("Twiml") or params.get("ApplicationSid")):
            return _error(400, 21205, "Url parameter is required.")
        minutes = -(-int(params.get("TimeLimit", str(_DEFAULT_TIME_LIMIT_SECONDS))) // 60)
        return self._created("CA", params, moved=minutes, unit="minute", duration=None, direction="outbound-api")

    def _created(self, prefix: str, params: dict[str, str], *, moved: int, unit: str, **fields: Any) -> Answer:
        self._count += 1
        resource = {
            "sid": f"{prefix}{self._count:032x}", "account_sid": self._account_sid, "to": params["To"],
            "from": params.get("From"), "status": "queued", "price": None, "price_unit": "USD", "error_code": None,
            **fields,
        }  # fmt: skip
        self._resources[resource["sid"]] = resource
        return Answer(201, resource, moved=moved, unit=unit, params=dict(params))

    def _billed(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource a while later: delivered, and with its price."""
        if resource["sid"].startswith("SM"):
            ten_thousandths = int(_SMS_PRICE.partition(".")[2]) * int(resource["num_segments"])
            whole, fraction = divmod(ten_thousandths, 10_000)
            return {**resource, "status": "delivered", "price": f"-{whole}.{fraction:04d}0"}
        return {**resource, "status": "completed", "duration": "30", "price": "-0.01400"}


def segments(body: str) -> int:
    """How many segments a body is sent in: 160 or 153 GSM-7 septets, 70 or 67 UTF-16 units."""
    if all(character in _GSM7 or character in _GSM7_ESCAPED for character in body):
        units, single, several = [2 if character in _GSM7_ESCAPED else 1 for character in body], 160, 153
    else:
        units, single, several = [len(character.encode("utf-16-le")) // 2 for character in body], 70, 67
    if sum(units) <= single:
        return 1
    count, room = 1, several
    for unit in units:
        if unit > room:
            count, room = count + 1, several
        room -= unit
    return count


def _error(status: int, code: int, message: str) -> Answer:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return Answer(status, {"code": code, "message": message, "more_info": more_info, "status": status})
