"""Mails with the Resend SDK as its documentation shows it."""

import json
import os

import resend
from resend.exceptions import RateLimitError

resend.api_key = os.environ["RESEND_API_KEY"]
resend.Emails.send({"from": "agent@example.com", "to": "a@example.com", "subject": "Hi", "text": "x"})
print("sent")  # noqa: T201
try:
    resend.Emails.send({
        "from": "agent@example.com", "to": [f"a{n}@example.com" for n in range(9)], "subject": "Hi", "text": "x"
    })  # fmt: skip
except RateLimitError as error:
    said = {"type": type(error).__name__, "status": error.code, "code": error.error_type}
    print(json.dumps({**said, "message": str(error)}))  # noqa: T201
