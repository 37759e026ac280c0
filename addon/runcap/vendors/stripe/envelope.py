"""A refusal as Stripe's own SDKs read errors.

stripe-python chooses the class by status (429 becomes RateLimitError, 401 AuthenticationError, 403
PermissionError), stripe-node by status and ``error.type``; node raises only if there is an ``error``
object. Both follow the header Stripe-Should-Retry before their own rules (stripe-python 16.1.0
``_http_client.py``), so that an agent at its cap fails at once in place of trying three times.
"""

from typing import Any

from runcap.decision import Code, Deny

_TYPES = {401: "authentication_error", 409: "idempotency_error", 429: "rate_limit_error"}

_RETRYABLE = frozenset({Code.IDEMPOTENCY_IN_PROGRESS, Code.LEDGER_UNAVAILABLE})
"""Nothing was sent, and a moment later it may work."""


def error(deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """The JSON body and the extra headers of a refusal."""
    body = deny.fields("stripe")
    body["error"] = {
        "type": _TYPES.get(deny.status, "api_error" if deny.status >= 500 else "invalid_request_error"),
        "code": str(deny.code),
        "message": deny.message,
    }
    should_retry = "true" if deny.code in _RETRYABLE else "false"
    return body, (("stripe-should-retry", should_retry),)
