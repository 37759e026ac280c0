"""An agent that texts with the unmodified Twilio SDK until it has had enough or is refused; prints JSON lines."""

import json
import os
import sys

from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
for number in range(int(sys.argv[1])):
    try:
        message = client.messages.create(to="+14155552671", from_="+14155552672", body=f"Reminder {number}")
    except TwilioRestException as error:
        print(json.dumps({  # noqa: T201 (its report)
            "error": type(error).__name__, "status": error.status, "code": error.code, "message": error.msg,
        }), flush=True)  # fmt: skip
        break
    print(json.dumps({"ok": message.sid}), flush=True)  # noqa: T201
