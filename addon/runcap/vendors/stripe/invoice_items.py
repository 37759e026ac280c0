"""Items and lines of invoices.

A pending item, one without an invoice, is swept into the next invoice of a subscription with no further call. So it
counts at once if the customer has a subscription, or a schedule that will make one; without either it is free, since
the invoice that takes it in is priced itself. An item of an armed invoice raises that invoice's total.

An item that was counted as pending and that the run then sweeps into an invoice of its own counts twice: the two have
different ids, and too much is the safe side.
"""

from collections.abc import Callable
from fractions import Fraction

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan, Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.invoices import Invoices, armed_invoice, tax_of
from runcap.vendors.stripe.lines import Line, Lines, tax_percent
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, linked, named, page, unpriced
from runcap.vendors.stripe.totals import Total

_PATH = "/v1/invoiceitems"
_PRICING = frozenset({
    "amount", "price", "price_data", "pricing", "quantity", "quantity_decimal", "tax_amounts", "tax_rates",
    "unit_amount", "unit_amount_decimal", "discounts", "discountable", "tax_behavior", "tax_code", "invoice",
})  # fmt: skip


class InvoiceItems:
    """Prices what is put on invoices."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._lines = Lines(rates)
        self._invoices = Invoices(rates)

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "invoice_item_create": self._create,
            "invoice_item_update": self._update,
            "invoice_item_delete": self._delete,
            "invoice_lines": self._add_lines,
            "invoice_line": self._change_line,
        }

    def _create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        currency = amounts.currency(form)
        if form.get("invoice") is not None:
            invoice = yield from armed_invoice(named(form, "invoice"))
            return FREE if invoice is None else (yield from self._on_invoice(invoice, [form]))
        owners = yield from _sweepers(form)
        if not owners:
            return FREE
        line = yield from self._item(form, currency)
        total = Total(self._rates)
        total.add(line.minor * (100 + tax_of(owners)) / 100, line.currency)
        return total.quote()

    def _update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        if not form.names & _PRICING:
            return FREE
        item = plan.path_params["invoiceitem"]
        found = yield from by_id(_PATH, item)
        merged = _with_quantity(form, found)
        invoice_id = linked(found, "invoice")
        if invoice_id is not None:
            invoice = yield from armed_invoice(invoice_id)
            return FREE if invoice is None else (yield from self._on_invoice(invoice, [merged]))
        owners = yield from _sweepers(_of_customer(found))
        if not owners:
            return FREE
        line = yield from self._item(merged, amounts.looked_up_currency(found), found)
        total = Total(self._rates)
        total.add(line.minor * (100 + tax_of(owners)) / 100, line.currency)
        return total.quote(item)

    def _delete(self, plan: Plan) -> Steps:
        """Gives an item back that was counted; one below zero that goes away raises what is due."""
        item = plan.path_params["invoiceitem"]
        found = yield from by_id(_PATH, item)
        amount = amounts.looked_up_signed(found, "amount")
        if amount >= 0:
            return Quote(0, object_id=item)
        total = Total(self._rates)
        total.add(-amount, amounts.looked_up_currency(found))
        return total.quote()

    def _add_lines(self, plan: Plan) -> Steps:
        """Adding or changing lines: the new ones on top of what is due, whatever they replace."""
        form: Form = plan.detail
        invoice = yield from armed_invoice(plan.path_params["invoice"])
        if invoice is None:
            return FREE
        return (yield from self._on_invoice(invoice, [line for _, line in params.entries(form, "lines")]))

    def _change_line(self, plan: Plan) -> Steps:
        invoice = yield from armed_invoice(plan.path_params["invoice"])
        if invoice is None or not plan.detail.names & _PRICING:
            return FREE
        return (yield from self._on_invoice(invoice, [plan.detail]))

    def _on_invoice(self, invoice: Found, forms: list[Form]) -> Steps:
        """An armed invoice with more on it."""
        currency = amounts.looked_up_currency(invoice)
        percent = tax_of([invoice])
        total = Total(self._rates)
        for form in forms:
            line = yield from self._item(form, currency)
            total.add(line.minor * (100 + percent) / 100, line.currency)
        return self._invoices.total(invoice, more=total)

    def _item(self, form: Form, currency: str | None, found: Found | None = None) -> Looking[Line]:
        """What one item adds, tax amounts and tax rates of its own included."""
        own_tax = sum(
            (amounts.decimal(tax, "amount") or Fraction(0) for _, tax in params.entries(form, "tax_amounts")),
            Fraction(0),
        )
        if form.get("invoice_item") is not None:
            known = yield from by_id(_PATH, named(form, "invoice_item"))
            return Line(
                Fraction(amounts.looked_up_signed(known, "amount")) + own_tax, amounts.looked_up_currency(known)
            )
        minor = _told(form)
        if minor is None and found is not None and not form.names & {"price", "price_data", "pricing"}:
            minor = Fraction(amounts.looked_up_signed(found, "amount"))
        if minor is None:
            line = yield from self._lines.cost(form, currency)
            if line is None:
                raise unpriced("An invoice's item cannot be of metered usage.")
            return Line(line.minor + own_tax, line.currency)
        if currency is None:
            raise unpriced("An item with an amount has a price only if it gives the currency.")
        percent = yield from tax_percent(params.values(form, "tax_rates"))
        return Line(minor * (100 + percent) / 100 + own_tax, currency)


def _told(form: Form) -> Fraction | None:
    """An item's amount, where the call tells it itself."""
    amount = amounts.decimal(form, "amount")
    if amount is not None:
        return amount
    for name in ("unit_amount_decimal", "unit_amount"):
        unit = amounts.decimal(form, name)
        if unit is not None:
            quantities = [amounts.decimal(form, key) for key in ("quantity", "quantity_decimal")]
            return unit * max((quantity for quantity in quantities if quantity is not None), default=Fraction(1))
    return None


def _with_quantity(form: Form, found: Found) -> Form:
    """A change of a price alone keeps the quantity; one of the quantity alone needs the price too."""
    names = form.names
    if names & {"quantity", "quantity_decimal"} and not names & {
        "amount", "unit_amount", "unit_amount_decimal", "price", "price_data", "pricing",
    }:  # fmt: skip
        raise unpriced("A new quantity has a price only together with unit_amount_decimal, price_data or pricing.")
    known = found.get("quantity")
    if names & {"quantity", "quantity_decimal", "amount"} or not amounts.is_amount(known):
        return form
    return Form((*form.pairs, ("quantity", str(known))))


def _of_customer(item: Found) -> Form:
    customer = linked(item, "customer")
    return Form((("customer", customer),)) if customer is not None else Form()


def _sweepers(form: Form) -> Looking[list[Found]]:
    """The subscriptions, or schedules that will make one, whose next invoice takes in a customer's pending items."""
    if form.get("customer") is None:
        raise unpriced("An item has a price only if it names the customer.")
    customer = named(form, "customer")
    subscriptions = yield from page("/v1/subscriptions", f"customer={customer}")
    if subscriptions:
        return subscriptions
    return (yield from page("/v1/subscription_schedules", f"customer={customer}&scheduled=true"))
