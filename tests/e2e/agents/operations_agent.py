"""An agent that does what Twilio's and Resend's APIs can do, with their unmodified SDKs; prints a JSON line a step."""

import json
import os
from collections.abc import Callable
from typing import Any

import resend
from resend.exceptions import ResendError
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

TO, FROM = "+14155552671", "+14155552672"
SAY = "<Response><Say>Hello</Say></Response>"
CALLBACK = "https://example.com/events"
made: dict[str, Any] = {}


def step(name: str, work: Callable[[], Any]) -> None:
    """Do one thing, keep what it made, and report."""
    try:
        made[name] = work()
    except TwilioRestException as error:
        report = {"step": name, "status": error.status, "code": error.code}
    except ResendError as error:
        report = {"step": name, "status": error.code, "code": error.error_type}
    else:
        report = {"step": name, "status": 200, "code": None}
    print(json.dumps(report), flush=True)  # noqa: T201 (its report)


def twilio_steps(client: Client) -> None:
    """Messages, calls, conferences, payments, numbers."""
    account = client.api.v2010.account
    step("sms", lambda: client.messages.create(to=TO, from_=FROM, body="Hello"))
    step("long sms", lambda: client.messages.create(to=TO, from_=FROM, body="é€" * 120))
    step("emoji sms", lambda: client.messages.create(to=TO, from_=FROM, body="\N{PARTY POPPER}" * 50))
    step("mms", lambda: client.messages.create(to=TO, from_=FROM, body="Look", media_url=["https://example.com/a.png"]))
    step("fetch message", lambda: client.messages(made["sms"].sid).fetch())
    step("list messages", lambda: client.messages.list(limit=20))
    step("redact message", lambda: client.messages(made["sms"].sid).update(body=""))
    step("feedback", lambda: client.messages(made["sms"].sid).feedback.create(outcome="confirmed"))
    step("whatsapp", lambda: client.messages.create(to=f"whatsapp:{TO}", from_=f"whatsapp:{FROM}", body="Hello"))
    step("call", lambda: client.calls.create(to=TO, from_=FROM, twiml=SAY, time_limit=90))
    step("call without a limit", lambda: client.calls.create(to=TO, from_=FROM, twiml=SAY))
    step("call with detection", lambda: client.calls.create(
        to=TO, from_=FROM, twiml=SAY, time_limit=60, machine_detection="Enable"))  # fmt: skip
    step("call with a url", lambda: client.calls.create(to=TO, from_=FROM, url=CALLBACK))
    step("list calls", lambda: client.calls.list(limit=20))
    step("redirect call", lambda: client.calls(made["call"].sid).update(twiml=SAY))
    step("end call", lambda: client.calls(made["call"].sid).update(status="completed"))
    step("fetch call", lambda: client.calls(made["call"].sid).fetch())
    step("pay", lambda: client.calls(made["call"].sid).payments.create(
        idempotency_key="k1", status_callback=CALLBACK, charge_amount="19.99", currency="USD"))  # fmt: skip
    step("complete payment", lambda: client.calls(made["call"].sid).payments(made["pay"].sid).update(
        idempotency_key="k2", status_callback=CALLBACK, status="complete"))  # fmt: skip
    step("participant", lambda: client.conferences("room").participants.create(to=TO, from_=FROM, time_limit=120))
    participant = "CA" + "0" * 31 + "1"
    step("mute participant", lambda: client.conferences("room").participants(participant).update(muted=True))
    step("list conferences", lambda: client.conferences.list(limit=20))
    step("end conference", lambda: client.conferences("CF" + "0" * 32).update(status="completed"))
    step("available numbers", lambda: client.available_phone_numbers("US").local.list(limit=5))
    step("buy number", lambda: client.incoming_phone_numbers.local.create(phone_number=TO))
    step("buy toll-free number", lambda: client.incoming_phone_numbers.toll_free.create(phone_number="+18005552671"))
    step("list numbers", lambda: client.incoming_phone_numbers.list(limit=20))
    step("list recordings", lambda: client.recordings.list(limit=20))
    step("balance", account.balance.fetch)
    step("usage", lambda: client.usage.records.list(limit=20))
    step("new key", lambda: client.new_keys.create(friendly_name="mine"))
    step("record", lambda: client.calls(made["call"].sid).recordings.create(recording_channels="dual"))


def resend_steps() -> None:
    """Emails, batches, broadcasts."""
    email = {"from": "agent@example.com", "to": ["a@example.com"], "subject": "Hello", "text": "Hello"}
    several = {**email, "to": ["a@example.com", "b@example.com"], "cc": "c@example.com", "bcc": ["d@example.com"]}
    nameless = {name: value for name, value in several.items() if name != "subject"}
    step("email", lambda: resend.Emails.send(email))  # type: ignore[arg-type]
    step("email to four", lambda: resend.Emails.send(several))  # type: ignore[arg-type]
    step("batch", lambda: resend.Batch.send([email, several]))  # type: ignore[list-item]
    step("permissive batch", lambda: resend.Batch.send(
        [email, nameless], {"batch_validation": "permissive"}))  # type: ignore[list-item]  # fmt: skip
    step("get email", lambda: resend.Emails.get(made["email"]["id"]))
    step("list emails", resend.Emails.list)
    draft: Any = {"segment_id": "segment-small", "from": "agent@example.com", "subject": "News", "html": "<p>x</p>"}
    step("draft broadcast", lambda: resend.Broadcasts.create(draft))
    step("get broadcast", lambda: resend.Broadcasts.get(made["draft broadcast"]["id"]))
    step("send broadcast", lambda: resend.Broadcasts.send({"broadcast_id": made["draft broadcast"]["id"]}))
    sent: Any = {**draft, "segment_id": "segment-paged", "send": True}
    step("broadcast at once", lambda: resend.Broadcasts.create(sent))
    step("list broadcasts", resend.Broadcasts.list)
    step("list segments", resend.Segments.list)
    step("list contacts", resend.Contacts.list)
    step("list domains", resend.Domains.list)
    step("new contact", lambda: resend.Contacts.create({"email": "x@example.com"}))
    step("new api key", lambda: resend.ApiKeys.create({"name": "mine"}))


resend.api_key = os.environ["RESEND_API_KEY"]
twilio_steps(Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]))
resend_steps()
