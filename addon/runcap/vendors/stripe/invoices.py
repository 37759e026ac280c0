"""Invoices: counted once, under the invoice's id, from when they are armed.

An invoice is armed by what makes Stripe collect it without a further call: finalizing or sending it, or
``auto_advance`` or ``automatically_finalizes_at`` on a draft. Whatever changes an armed one is quoted as its new total,
and paying it adds nothing. Voiding it or deleting the draft gives it back: see `outcome`. A draft that is not armed
costs nothing, whatever stands on it: it is looked up when it is finalized.

Without ``auto_advance`` a new invoice is taken to be armed, since the default was not always the same.
The first invoice of a subscription was counted with the subscription, and is paid under the subscription's id.
Confirming the PaymentIntent of an invoice, in place of paying the invoice, counts it again under the intent's id: the
intent does not say whose it is. Voiding a credit note counts what it makes due again.
"""

from collections.abc import Callable
from fractions import Fraction

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan, Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lines import AUTOMATIC_TAX_PERCENT, percentage
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, linked, named, page, unpriced
from runcap.vendors.stripe.totals import Total

_PATH = "/v1/invoices"
_RAISING = frozenset({"automatic_tax", "default_tax_rates", "discounts", "shipping_cost"})
"""What changes the total of a draft in a way that only Stripe can work out."""


class Invoices:
    """Prices invoices, and the credit notes for them."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "invoice_create": self._create,
            "invoice_update": self._update,
            "invoice_arm": self._arm,
            "invoice_pay": self._pay,
            "invoice_remove_lines": self._remove_lines,
            "credit_note": self._credit_note,
        }

    def total(self, invoice: Found, *, more: Total | None = None) -> Quote:
        """What an invoice demands over its life, under its id."""
        due = Total(self._rates) if more is None else more
        due.add(demanded(invoice), amounts.looked_up_currency(invoice))
        return due.quote(str(invoice["id"]))

    def _create(self, plan: Plan) -> Steps:
        """A new draft: what it sweeps in of the customer's pending items, if it is armed."""
        form: Form = plan.detail
        if form.get("auto_advance") == "false" and "automatically_finalizes_at" not in form.names:
            return FREE
        if form.names & (_RAISING - {"discounts"}):
            raise unpriced(
                "What tax or shipping add to an invoice that advances by itself is not known before: send "
                "auto_advance=false, and finalize it in a second call."
            )
        total = Total(self._rates)
        revised = form.get("from_invoice[invoice]")
        if revised is not None:
            invoice = yield from by_id(_PATH, named(form, "from_invoice[invoice]"))
            total.add(demanded(invoice), amounts.looked_up_currency(invoice))
        if form.get("pending_invoice_items_behavior") != "exclude":
            if form.get("customer") is None:
                raise unpriced("An invoice has a price only if it names the customer.")
            customer = named(form, "customer")
            for item in (yield from page("/v1/invoiceitems", f"customer={customer}&pending=true")):
                total.add(amounts.looked_up_signed(item, "amount"), amounts.looked_up_currency(item))
        return total.quote()

    def _update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        found = yield from by_id(_PATH, plan.path_params["invoice"])
        arms = params.is_true(form, "auto_advance") or form.get("automatically_finalizes_at") not in {None, ""}
        if not arms and not is_armed(found):
            return FREE
        if form.names & _RAISING:
            raise unpriced(
                "What this adds to an invoice that advances by itself is not known before: set auto_advance=false "
                "with it, and arm the invoice in a second call."
            )
        return self.total(found)

    def _arm(self, plan: Plan) -> Steps:
        """Finalizing or sending."""
        found = yield from by_id(_PATH, plan.path_params["invoice"])
        return self._counted_where(found)

    def _pay(self, plan: Plan) -> Steps:
        if plan.detail.get("paid_out_of_band") == "true":
            return FREE
        found = yield from by_id(_PATH, plan.path_params["invoice"])
        return self._counted_where(found)

    def _counted_where(self, invoice: Found) -> Quote:
        """The invoice's total, under the id where it may have been counted already."""
        quote = self.total(invoice)
        if invoice.get("billing_reason") != "subscription_create":
            return quote
        subscription = _subscription_of(invoice)
        if subscription is None:
            return quote
        return Quote(quote.micros, quote.amount_minor, quote.currency, subscription)

    def _remove_lines(self, plan: Plan) -> Steps:
        """A line below zero that is removed raises the total, by what only Stripe can work out."""
        found = yield from by_id(_PATH, plan.path_params["invoice"])
        if is_armed(found):
            raise unpriced("Set auto_advance=false on the invoice before lines are removed.")
        return FREE

    def _credit_note(self, plan: Plan) -> Steps:
        """What it refunds, and what it credits to the customer; on an unpaid invoice it only lowers what is due."""
        form: Form = plan.detail
        invoice = yield from by_id(_PATH, named(form, "invoice"))
        given = [amounts.amount(form, name) for name in ("refund_amount", "credit_amount")]
        given += [amounts.amount(refund, "amount_refunded") for _, refund in params.entries(form, "refunds")]
        told = [amount for amount in given if amount is not None]
        total = Total(self._rates)
        amount = sum(told)
        if not told and form.get("out_of_band_amount") is None and amounts.looked_up_amount(invoice, "amount_paid"):
            # Nothing says where it goes, and the invoice has been paid: all of it may go back.
            amount = amounts.looked_up_amount(invoice, "amount_paid")
        total.add(amount, amounts.looked_up_currency(invoice))
        return total.quote()


def demanded(invoice: Found) -> Fraction:
    """What an invoice demands over its life: what is due, or what has been paid and is left."""
    due = amounts.looked_up_signed(invoice, "amount_due")
    paid, left = (amounts.looked_up_signed(invoice, name) for name in ("amount_paid", "amount_remaining"))
    return Fraction(max(due, paid + left))


def is_armed(invoice: Found) -> bool:
    """Whether Stripe may collect it without a further call."""
    if invoice.get("status") != "draft":
        return True
    return invoice.get("auto_advance") is not False or invoice.get("automatically_finalizes_at") is not None


def tax_of(owners: list[Found]) -> int:
    """What tax invoices or subscriptions may add to an item of theirs, in whole percent."""
    percents = [0]
    for owner in owners:
        automatic, rates = owner.get("automatic_tax"), owner.get("default_tax_rates")
        enabled = isinstance(automatic, dict) and automatic.get("enabled") is True
        listed = sum(percentage(rate) for rate in rates) if isinstance(rates, list) else 0
        percents.append(listed + (AUTOMATIC_TAX_PERCENT if enabled else 0))
    return max(percents)


def armed_invoice(invoice: str) -> Looking[Found | None]:
    """The invoice if it is armed, else None."""
    found = yield from by_id(_PATH, invoice)
    return found if is_armed(found) else None


def _subscription_of(invoice: Found) -> str | None:
    parent = invoice.get("parent")
    details = parent.get("subscription_details") if isinstance(parent, dict) else None
    return linked(details if isinstance(details, dict) else invoice, "subscription")
