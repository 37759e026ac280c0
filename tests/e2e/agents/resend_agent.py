"""An agent that mails with the unmodified Resend SDK until it has had enough or is refused; prints JSON lines."""

import json
import os
import sys

import resend
from resend.exceptions import ResendError

resend.api_key = os.environ["RESEND_API_KEY"]
for number in range(int(sys.argv[1])):
    try:
        email = resend.Emails.send(
            {"from": "agent@example.com", "to": ["a@example.com"], "subject": f"Invoice {number}", "text": "Hello"}
        )
    except ResendError as error:
        print(json.dumps({  # noqa: T201 (its report)
            "error": type(error).__name__, "status": error.code, "code": error.error_type, "message": str(error),
        }), flush=True)  # fmt: skip
        break
    print(json.dumps({"ok": email["id"]}), flush=True)  # noqa: T201
