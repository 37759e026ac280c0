"""Texts with the Twilio SDK as its documentation shows it."""

import json
import os

from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
print(client.messages.create(to="+14155552671", from_="+14155552672", body="Hello").status)  # noqa: T201
try:
    client.messages.create(to="+14155552671", from_="+14155552672", body="Hello " * 200)
except TwilioRestException as error:
    print(json.dumps({"status": error.status, "code": error.code, "message": error.msg}))  # noqa: T201
