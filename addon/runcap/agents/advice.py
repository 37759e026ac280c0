"""What an agent can do about a refusal, by its code: one sentence each, for an agent that plans."""

from runcap.decision import Code

ADVICE: dict[Code, str] = {
    Code.CAP_EXHAUSTED: "Do something cheaper, or stop: repeating the call is refused until the window resets.",
    Code.KEY_MISSING: "Send the vault key where the vendor's secret would be.",
    Code.KEY_UNKNOWN: "Use the vault key that this run was given, unchanged.",
    Code.KEY_EXPIRED: "Stop: the run is over, and only its operator can issue another key.",
    Code.KEY_REVOKED: "Stop: the operator has ended this run.",
    Code.VENDOR_NOT_ALLOWED: "Use one of the vendors that this run may use; its budget lists them.",
    Code.OPERATION_NOT_ALLOWED: "Use an operation that the run's policy allows; the refusal lists them.",
    Code.OPERATION_UNKNOWN: "Check method and path: this is no operation that can be priced.",
    Code.FROZEN: "Stop, and tell the operator: nothing is let through until it is unfrozen.",
    Code.HOST_DENIED: "Call the vendor's API host itself.",
    Code.UNPRICED: "Name everything that the price depends on (amount, currency, destination), or ask the operator.",
    Code.MALFORMED: "Send the call as the vendor's own SDK would: each parameter once, and nothing twice.",
    Code.TOO_LARGE: "Send a smaller request.",
    Code.IDEMPOTENCY_MISMATCH: "Use a new idempotency key for a new call.",
    Code.IDEMPOTENCY_IN_PROGRESS: "Wait for the first call with this idempotency key to end.",
    Code.RATE_LIMITED: "Wait as long as the refusal says, and make fewer calls at once.",
    Code.UPSTREAM_UNREACHABLE: "Try again later: nothing was sent, and nothing was spent.",
    Code.UPSTREAM_UNKNOWN: "Look at the vendor whether it happened before doing it again: it counts as spent.",
}
"""A code that is not here is a fault of runcap's own, or newer than this table: `OTHERWISE` is for those."""

OTHERWISE = "Try again later; if it stays so, tell the operator."


def advice(code: str) -> str:
    """What to do about a refusal.

    Args:
        code: as in a refusal's JSON; one that is not known gets `OTHERWISE`.
    """
    known = {str(each): text for each, text in ADVICE.items()}
    return known.get(code, OTHERWISE)
