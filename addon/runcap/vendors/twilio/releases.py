"""What Twilio's answer means for the ledger: the tables of ``data/twilio_releases.json``, with their sources."""

from dataclasses import dataclass
from typing import Any, Self

from runcap.vendors.base import Ending, Outcome, Quote, Response
from runcap.vendors.catalogue import data
from runcap.vendors.twilio.prices import Fee, Prices


@dataclass(frozen=True, slots=True)
class Releases:
    """Which answers cost nothing."""

    statuses: frozenset[int]
    free_failed_message_codes: frozenset[int]

    @classmethod
    def bundled(cls) -> Self:
        """Read the file that comes with runcap."""
        table = data("twilio_releases.json")
        return cls(frozenset(map(int, table["statuses"])), frozenset(map(int, table["free_failed_message_codes"])))

    def outcome(self, response: Response, quote: Quote, prices: Prices, *, message: bool) -> Outcome:
        """How a call has ended that was answered like this; pure, and never raises.

        Args:
            response: Twilio's answer.
            quote: what is held.
            prices: for the fee of a message that failed.
            message: whether the call was to send one.
        """
        request_id = response.header("twilio-request-id")
        if 200 <= response.status < 300:
            return Outcome(Ending.SETTLED, vendor_request_id=request_id)
        if response.status not in self.statuses:
            return Outcome(Ending.UNKNOWN, vendor_request_id=request_id)
        if message and response.status == 400 and not self.is_free_failure(response.json().get("code")):
            fee = min(quote.micros, prices.fees.get(Fee.FAILED_MESSAGE, quote.micros))
            return Outcome(Ending.SETTLED, micros=fee, vendor_request_id=request_id)
        return Outcome(Ending.RELEASED, vendor_request_id=request_id)

    def is_free_failure(self, code: Any) -> bool:
        """Whether a message that failed with this error code (an ``int`` in Twilio's JSON) costs not even the fee."""
        return type(code) is int and code in self.free_failed_message_codes
