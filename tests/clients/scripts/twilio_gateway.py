"""Texts through the gateway, with the recipe's client. The argument is the folder of the recipes."""

import importlib
import json
import sys

from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

sys.path.insert(0, sys.argv[1])

client = importlib.import_module("twilio_gateway").twilio_client()
print(client.messages.create(to="+14155552671", from_="+14155552672", body="Hello").status)  # noqa: T201
try:
    client.messages.create(to="+14155552671", from_="+14155552672", body="Hello " * 200)
except TwilioRestException as error:
    print(json.dumps({"type": "TwilioRestException", "status": error.status, "code": error.code, "message": error.msg}))  # noqa: T201
