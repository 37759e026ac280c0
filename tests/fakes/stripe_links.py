"""What customers are asked to pay at a link: checkout sessions, payment links, quotes; and card readers.

Kept to docs.stripe.com/api/checkout/sessions, payment-link, quotes. A link has at stake what may be paid at it.
"""

from collections.abc import Callable
from typing import Any

from tests.fakes.stripe_billing import Billing
from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_prices import Params, Prices
from tests.fakes.stripe_recurring import Recurring
from tests.fakes.stripe_shelf import Problem, Result, listed, values


class Links:
    """What is paid past the API, by a customer or at a reader."""

    def __init__(self, book: Book, prices: Prices, billing: Billing, recurring: Recurring) -> None:
        self._book = book
        self._prices = prices
        self._billing = billing
        self._recurring = recurring

    def routes(self) -> list[tuple[str, str, Callable[..., Result]]]:
        """Method, path and handler of each operation."""
        return [
            ("POST", r"/v1/checkout/sessions", self._create_session),
            ("GET", r"/v1/checkout/sessions/(cs_\w+)", self._get),
            ("POST", r"/v1/checkout/sessions/(cs_\w+)/expire", self._expire),
            ("POST", r"/v1/payment_links", self._create_link),
            ("GET", r"/v1/payment_links/(plink_\w+)", self._get),
            ("GET", r"/v1/payment_links/(plink_\w+)/line_items", self._line_items),
            ("POST", r"/v1/payment_links/(plink_\w+)", self._update_link),
            ("POST", r"/v1/quotes", self._create_quote),
            ("GET", r"/v1/quotes/(qt_\w+)", self._get),
            ("POST", r"/v1/quotes/(qt_\w+)/finalize", self._finalize_quote),
            ("POST", r"/v1/quotes/(qt_\w+)/accept", self._accept_quote),
            ("POST", r"/v1/terminal/readers/(tmr_\w+)/process_payment_intent", self._process),
        ]

    def _create_session(self, params: Params) -> Result:
        lines = values(params["line_items"])
        currency = self._prices.lines_currency(lines)
        total = self._prices.lines_total(lines)
        total += max((self._prices.shipping_total(each) for each in values(params.get("shipping_options"))), default=0)
        made = self._book.new(
            "cs_", "checkout.session", status="open", amount_total=total, currency=currency,
            automatic_tax={"enabled": False}, url="https://checkout.example/pay",
        )  # fmt: skip
        return dict(made), total, currency

    def _get(self, object_id: str, params: Params) -> Result:
        return dict(self._book.find(object_id)), 0, ""

    def _expire(self, session_id: str, params: Params) -> Result:
        session = self._book.find(session_id)
        if session["status"] != "open":
            raise Problem(400, "Only an open session can be expired.")
        session["status"] = "expired"
        return dict(session), -session["amount_total"], session["currency"]

    def _create_link(self, params: Params) -> Result:
        lines = values(params["line_items"])
        restrictions = params.get("restrictions")
        if not isinstance(restrictions, dict):
            raise Problem(400, "This fake makes no link that can be paid without end.")
        limit = int(restrictions["completed_sessions"]["limit"])
        shown = {"completed_sessions": {"limit": limit, "count": 0}}
        made = self._book.new(
            "plink_", "payment_link", active=True, restrictions=shown, lines=lines, optional_items=None
        )
        return _link(made), limit * self._prices.lines_total(lines), self._prices.lines_currency(lines)

    def _line_items(self, link_id: str, params: Params) -> Result:
        lines = [
            {"id": f"li_{index}", "quantity": int(line.get("quantity", 1)), "price": dict(self._prices.price_of(line))}
            for index, line in enumerate(self._book.find(link_id)["lines"])
        ]
        return listed(f"/v1/payment_links/{link_id}/line_items", lines), 0, ""

    def _update_link(self, link_id: str, params: Params) -> Result:
        link = self._book.find(link_id)
        if "active" in params:
            link["active"] = params["active"] == "true"
        return _link(link), 0, "usd"

    def _create_quote(self, params: Params) -> Result:
        lines = values(params["line_items"])
        total = self._prices.lines_total(lines)
        period = self._prices.lines_total(lines, recurring_only=True)
        computed = {"upfront": {"amount_total": total}, "recurring": {"amount_total": period} if period else None}
        made = self._book.new(
            "qt_", "quote", status="draft", customer=params["customer"], amount_total=total, currency="usd",
            lines=lines, computed=computed,
        )  # fmt: skip
        return _link(made), 0, ""

    def _finalize_quote(self, quote_id: str, params: Params) -> Result:
        quote = self._book.find(quote_id)
        quote["status"] = "open"
        return _link(quote), 0, ""

    def _accept_quote(self, quote_id: str, params: Params) -> Result:
        quote = self._book.find(quote_id)
        if quote["status"] != "open":
            raise Problem(400, "Only an open quote can be accepted.")
        quote["status"] = "accepted"
        if quote["computed"]["recurring"] is not None:
            made, due = self._recurring.subscribe(quote["customer"], quote["lines"], [], trial=False)
            quote["subscription"] = made["id"]
            return _link(quote), due, "usd"
        quote["invoice"] = self._billing.bill("usd", quote["amount_total"], billing_reason="quote_accept")["id"]
        return _link(quote), quote["amount_total"], "usd"

    def _process(self, reader_id: str, params: Params) -> Result:
        intent = self._book.find(params["payment_intent"])
        intent["payment_method"] = "pm_card_visa"
        _, moved, currency = self._book.confirm_intent(intent["id"], {})
        return {"id": reader_id, "object": "terminal.reader", "action": {"status": "succeeded"}}, moved, currency


def _link(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "lines"}
