"""A path on every vendor's host that runcap answers itself: it proves that a client's calls come here.

``GET https://api.stripe.com/runcap/canary`` with the vault key where the secret would be. It costs nothing and is never
forwarded; `runcap doctor` lets each SDK ask for it.
"""

import json

from runcap.agents.budget import Desk, utc
from runcap.decision import Code, refuse
from runcap.entrance.admission import admit
from runcap.entrance.wire import Message
from runcap.reply import Reply
from runcap.vendors.base import Vendor

CANARY_PATH = "/runcap/canary"


def is_canary(message: Message) -> bool:
    """Whether a call to a vendor is for us."""
    return message.target.partition("?")[0] == CANARY_PATH


async def answer_canary(desk: Desk, vendor: Vendor, message: Message, *, gateway: bool) -> Reply:
    """Say whose key it is, whether there is a secret to put in its place, and what the time is.

    Raises:
        Refused: as any call would be, for how it is written or for its key.
    """
    request = admit(message, vendor, gateway=gateway)
    if request.method != "GET":
        raise refuse(Code.OPERATION_UNKNOWN, f"{CANARY_PATH} is for GET, not {request.method}.")
    run, now_ms = await desk.run_of(vendor.credential(request))
    if vendor.name not in run.vendors:
        raise refuse(
            Code.VENDOR_NOT_ALLOWED,
            f"This run may not use {vendor.name}, only {', '.join(run.vendors)}.",
            run_id=run.run_id,
            label=run.label,
        )
    body = {
        "object": "runcap.canary",
        "vendor": vendor.name,
        "entrance": "gateway" if gateway else "tunnel",
        "run_id": run.run_id,
        "label": run.label,
        "secret": desk.has_secret(vendor.name),
        "now": utc(now_ms),
    }
    headers = (("content-type", "application/json"), ("cache-control", "no-store"), ("Runcap-Run", run.run_id))
    return Reply(200, headers, json.dumps(body).encode())
