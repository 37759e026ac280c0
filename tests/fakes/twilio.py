"""Twilio's rules for messages and calls of one account.

Kept to twilio.com/docs/messaging/api/message-resource and voice/api/call-resource: a message is
answered 201 with a null price, which a later GET fills in. What it moves is counted in segments and minutes.
"""

import base64
import re
from typing import Any
from urllib.parse import parse_qs

from tests.fakes import twilio_resources as resources
from tests.fakes.model import Answer, Seen

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_ESCAPED = frozenset("^{}\\[~]|€\f")
_SHORT_CALL_SECONDS = 60
"""A call of at most this long is over when somebody asks; a longer one is in progress until it is ended."""
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
        params = _form(seen)
        kind = re.fullmatch(re.escape(account) + r"/(Messages|Calls)(?:/((?:SM|CA)[0-9a-f]{32}))?\.json", seen.path)
        if seen.method == "GET" and seen.path == f"{account}.json":
            return Answer(200, {"sid": self._account_sid, "auth_token": self._secret, "status": "active"})
        if kind is None:
            other = self._other(seen.method, seen.path.removeprefix(account), params)
            return other or _error(404, 20404, f"The requested resource {seen.path} was not found")
        noun, sid = kind.groups()
        if sid is None:
            return self._make(noun, params) if seen.method == "POST" else self._list(noun)
        if sid not in self._resources or seen.method not in {"GET", "POST"}:
            return _error(404, 20404, f"The requested resource {seen.path} was not found")
        resource = self._resources[sid]
        return Answer(200, self._billed(resource)) if seen.method == "GET" else self._change(resource, params)

    def keep(self, seen: Seen, answer: Answer) -> None:
        """Nothing to keep: see `admit`."""

    def failure(self) -> Any:
        """Twilio's 500."""
        return {"code": 20500, "message": "Internal Server Error", "more_info": "", "status": 500}

    def _make(self, noun: str, params: dict[str, str]) -> Answer:
        return self._message(params) if noun == "Messages" else self._call(params)

    def _list(self, noun: str) -> Answer:
        prefix = "SM" if noun == "Messages" else "CA"
        found = [self._billed(each) for each in self._resources.values() if each["sid"].startswith(prefix)]
        return resources.page(noun.lower(), found)

    def _other(self, method: str, path: str, params: dict[str, str]) -> Answer | None:
        """What is neither a message nor a call; None if there is no such thing."""
        if method == "GET":
            fixed = resources.fixed_reads(self._account_sid)
            return fixed[path]() if path in fixed else None
        if match := re.fullmatch(r"/Conferences/(\w+)/Participants\.json", path):
            call = self._call({"Twiml": "<Response/>", **params})
            return call if call.status != 201 else resources.participant(call.body, match[1], params)
        if match := re.fullmatch(r"/Calls/(\w+)/Payments\.json", path):
            return resources.payment(self._sid("PK"), self._account_sid, match[1], params)
        if match := re.fullmatch(r"/IncomingPhoneNumbers(?:/(Local|TollFree))?\.json", path):
            return resources.number(self._sid("PN"), self._account_sid, match[1] or "", params)
        return resources.changed(path, params)

    def _change(self, resource: dict[str, Any], params: dict[str, str]) -> Answer:
        if resource["sid"].startswith("CA"):
            return resources.change_call(resource, params)
        resource.update({name.lower(): value for name, value in params.items()})
        return Answer(200, resource, params=dict(params))

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
        return self._created(
            "CA", params, moved=resources.minutes(params), unit="minute",
            duration=None, direction="outbound-api", time_limit=resources.time_limit_seconds(params),
        )  # fmt: skip

    def _created(self, prefix: str, params: dict[str, str], *, moved: int, unit: str, **fields: Any) -> Answer:
        resource = {
            "sid": self._sid(prefix), "account_sid": self._account_sid, "to": params["To"],
            "from": params.get("From"), "status": "queued", "price": None, "price_unit": "USD", "error_code": None,
            **fields,
        }  # fmt: skip
        self._resources[resource["sid"]] = resource
        return Answer(201, resource, moved=moved, unit=unit, params=dict(params))

    def _sid(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count:032x}"

    def _billed(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource a while later: delivered, and with its price."""
        if resource["sid"].startswith("SM"):
            ten_thousandths = int(_SMS_PRICE.partition(".")[2]) * int(resource["num_segments"])
            whole, fraction = divmod(ten_thousandths, 10_000)
            return {**resource, "status": "delivered", "price": f"-{whole}.{fraction:04d}0"}
        if resource["status"] == "queued" and resource["time_limit"] > _SHORT_CALL_SECONDS:
            return {**resource, "status": "in-progress"}
        return {**resource, "status": "completed", "duration": "30", "price": "-0.01400"}


def _form(seen: Seen) -> dict[str, str]:
    text = seen.body.decode("utf-8", "replace")
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}


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
