"""Invoices and their items, credit notes, and Stripe's preview.

Kept to docs.stripe.com/api/invoices. What an invoice has at stake is what it demands once it is armed: finalized, or
a draft that advances by itself. Every operation moves the difference that it makes to that.
"""

from collections.abc import Callable
from typing import Any

from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_prices import Params, Prices
from tests.fakes.stripe_shelf import Problem, Result, amount_of, currency_of, listed, values


class Billing:
    """What customers are billed."""

    def __init__(self, book: Book, prices: Prices) -> None:
        self._book = book
        self._prices = prices

    def routes(self) -> list[tuple[str, str, Callable[..., Result]]]:
        """Method, path and handler of each operation."""
        return [
            ("POST", r"/v1/invoiceitems", self._create_item),
            ("GET", r"/v1/invoiceitems", self._list_items),
            ("GET", r"/v1/invoiceitems/(ii_\w+)", self._get),
            ("POST", r"/v1/invoiceitems/(ii_\w+)", self._update_item),
            ("DELETE", r"/v1/invoiceitems/(ii_\w+)", self._delete_item),
            ("POST", r"/v1/invoices", self._create),
            ("GET", r"/v1/invoices/(in_\w+)", self._get_invoice),
            ("POST", r"/v1/invoices/(in_\w+)", self._update),
            ("POST", r"/v1/invoices/(in_\w+)/add_lines", self._add_lines),
            ("POST", r"/v1/invoices/(in_\w+)/finalize", self._finalize),
            ("POST", r"/v1/invoices/(in_\w+)/send", self._finalize),
            ("POST", r"/v1/invoices/(in_\w+)/pay", self._pay),
            ("POST", r"/v1/invoices/(in_\w+)/void", self._void),
            ("DELETE", r"/v1/invoices/(in_\w+)", self._delete),
            ("POST", r"/v1/credit_notes", self._credit),
        ]

    def bill(self, currency: str, amount: int, **fields: Any) -> dict[str, Any]:
        """Make an invoice that is finalized and paid at once."""
        return self._book.new(
            "in_", "invoice", status="paid", currency=currency, auto_advance=True, extra=amount, amount_paid=amount,
            automatically_finalizes_at=None, **fields,
        )  # fmt: skip

    def shown(self, invoice: dict[str, Any]) -> dict[str, Any]:
        """An invoice with the amounts that its lines come to."""
        due = invoice["extra"] + sum(item["amount"] for item in self._book.all("invoiceitem", invoice=invoice["id"]))
        paid = invoice["amount_paid"]
        return {**invoice, "amount_due": max(due, 0), "total": due, "amount_remaining": max(due, 0) - paid}

    def pending(self, customer: str) -> list[dict[str, Any]]:
        """A customer's items that are on no invoice."""
        return self._book.all("invoiceitem", customer=customer, invoice=None)

    def _at_stake(self, invoice: dict[str, Any]) -> int:
        armed = invoice["status"] in {"open", "paid"} or (invoice["status"] == "draft" and invoice["auto_advance"])
        return int(self.shown(invoice)["amount_due"]) if armed else int(invoice["amount_paid"])

    def _changed(self, invoice_id: str, change: Callable[[dict[str, Any]], object]) -> Result:
        invoice = self._book.find(invoice_id)
        before = self._at_stake(invoice)
        change(invoice)
        return self.shown(invoice), self._at_stake(invoice) - before, invoice["currency"]

    def _create_item(self, params: Params) -> Result:
        amount, currency = self._item_amount(params), params.get("currency", "usd").lower()
        made = self._book.new(
            "ii_", "invoiceitem", amount=0, quantity=1, currency=currency, customer=params["customer"],
            invoice=params.get("invoice"), subscription=params.get("subscription"),
        )  # fmt: skip
        if made["invoice"] is not None:
            _, moved, _ = self._changed(made["invoice"], lambda _invoice: made.update(amount=amount))
            return dict(made), moved, currency
        made["amount"] = amount
        # With a subscription it is billed with no further call.
        swept = bool(self._book.all("subscription", customer=params["customer"], status="active"))
        return dict(made), amount if swept else 0, currency

    def _item_amount(self, params: Params) -> int:
        if "amount" in params:
            return int(params["amount"])
        return self._prices.lines_total([params])

    def _list_items(self, params: Params) -> Result:
        return listed("/v1/invoiceitems", self.pending(params["customer"])), 0, ""

    def _get(self, object_id: str, params: Params) -> Result:
        return dict(self._book.find(object_id)), 0, ""

    def _update_item(self, item_id: str, params: Params) -> Result:
        item = self._book.find(item_id)
        before = item["amount"]
        if "amount" in params:
            item["amount"] = int(params["amount"])
        swept = item["invoice"] is None and self._book.all("subscription", customer=item["customer"], status="active")
        return dict(item), item["amount"] - before if swept else 0, item["currency"]

    def _delete_item(self, item_id: str, params: Params) -> Result:
        item = self._book.find(item_id)
        swept = item["invoice"] is None and self._book.all("subscription", customer=item["customer"], status="active")
        self._book.drop(item_id)
        gone = {"id": item_id, "object": "invoiceitem", "deleted": True}
        return gone, -item["amount"] if swept else 0, item["currency"]

    def _create(self, params: Params) -> Result:
        made = self._book.new(
            "in_", "invoice", status="draft", currency=params.get("currency", "usd").lower(), extra=0, amount_paid=0,
            auto_advance=params.get("auto_advance") == "true", automatically_finalizes_at=None,
            customer=params["customer"], billing_reason="manual",
        )  # fmt: skip
        if params.get("pending_invoice_items_behavior") == "include":
            for item in self.pending(params["customer"]):
                item["invoice"] = made["id"]
        return self.shown(made), self._at_stake(made), made["currency"]

    def _get_invoice(self, invoice_id: str, params: Params) -> Result:
        return self.shown(self._book.find(invoice_id)), 0, ""

    def _update(self, invoice_id: str, params: Params) -> Result:
        def change(invoice: dict[str, Any]) -> None:
            if "auto_advance" in params:
                invoice["auto_advance"] = params["auto_advance"] == "true"

        return self._changed(invoice_id, change)

    def _add_lines(self, invoice_id: str, params: Params) -> Result:
        added = sum(self._item_amount(line) for line in values(params["lines"]))
        return self._changed(invoice_id, lambda invoice: invoice.update(extra=invoice["extra"] + added))

    def _finalize(self, invoice_id: str, params: Params) -> Result:
        _require(self._book.find(invoice_id), "draft", "open")
        return self._changed(invoice_id, lambda invoice: invoice.update(status="open"))

    def _pay(self, invoice_id: str, params: Params) -> Result:
        _require(self._book.find(invoice_id), "draft", "open")

        def pay(invoice: dict[str, Any]) -> None:
            invoice.update(amount_paid=self.shown(invoice)["amount_due"], status="paid")

        return self._changed(invoice_id, pay)

    def _void(self, invoice_id: str, params: Params) -> Result:
        _require(self._book.find(invoice_id), "open")
        return self._changed(invoice_id, lambda invoice: invoice.update(status="void"))

    def _delete(self, invoice_id: str, params: Params) -> Result:
        invoice = self._book.find(invoice_id)
        _require(invoice, "draft")
        staked = self._at_stake(invoice)
        for item in self._book.all("invoiceitem", invoice=invoice_id):
            self._book.drop(item["id"])
        self._book.drop(invoice_id)
        return {"id": invoice_id, "object": "invoice", "deleted": True}, -staked, invoice["currency"]

    def _credit(self, params: Params) -> Result:
        invoice = self._book.find(params["invoice"])
        given = sum(amount_of(params, name) for name in ("refund_amount", "credit_amount") if name in params)
        made = self._book.new("cn_", "credit_note", amount=int(params.get("amount", 0)), currency=invoice["currency"])
        return dict(made), given, currency_of(invoice)


def _require(invoice: dict[str, Any], *statuses: str) -> None:
    if invoice["status"] not in statuses:
        raise Problem(400, f"The invoice is {invoice['status']}; it must be {' or '.join(statuses)}.")
