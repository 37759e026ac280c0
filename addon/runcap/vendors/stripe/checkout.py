"""What a customer is asked to pay at a link: checkout sessions, payment links, quotes.

Nothing moves until somebody pays, past runcap, so it counts when the link is made: every line at the most that the
customer can choose, the dearest shipping, every optional item, and the tax. In mode ``subscription`` a recurring line
counts its first period and one renewal more, as in `subscriptions`. Letting a session expire gives it back.

A payment link can be used again and again: it has a price only with ``restrictions[completed_sessions][limit]``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lines import AUTOMATIC_TAX_PERCENT, Line, Lines, tax_percent
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, named, page, unpriced
from runcap.vendors.stripe.totals import Total

_MOST_BY_DEFAULT = Fraction(99)
"""What adjustable_quantity[maximum] is if it is not given (stripe-python 16.1.0)."""

_LEGACY = frozenset({"amount", "dynamic_tax_rates"})
"""What old versions of the API took in a line."""
_LINK_CHANGES = frozenset({
    "line_items", "optional_items", "shipping_options", "restrictions", "automatic_tax", "active", "subscription_data",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bill:
    """What one payment of a link adds up to."""

    once: list[Line]
    tax_percent: int

    def add_to(self, total: Total, times: int = 1) -> None:
        """Add it, with one renewal more of what recurs."""
        for line in self.once:
            periods = 2 if line.recurring else 1
            total.add(line.minor * periods * times * (100 + self.tax_percent) / 100, line.currency)


class Checkout:
    """Prices what customers are asked to pay."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._lines = Lines(rates)

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "checkout_create": self._create,
            "checkout_update": self._update,
            "payment_link_create": self._link_create,
            "payment_link_update": self._link_update,
            "quote_accept": self._quote_accept,
            "price_update": _price_update,
        }

    def _create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        if form.get("mode") == "setup" and not form.below("line_items"):
            return FREE
        total = Total(self._rates)
        (yield from self._bill(form)).add_to(total)
        return total.quote()

    def _update(self, plan: Plan) -> Steps:
        """What the session asked for before, and whatever is added or changed."""
        form: Form = plan.detail
        if not form.below("line_items") and not form.below("shipping_options"):
            return FREE
        session = plan.path_params["session"]
        found = yield from by_id("/v1/checkout/sessions", session)
        known = yield from page(f"/v1/checkout/sessions/{session}/line_items", "expand[]=data.price")
        bill = yield from self._bill(form, known, amounts.looked_up_currency(found))
        automatic = found.get("automatic_tax")
        taxed = isinstance(automatic, dict) and automatic.get("enabled") is True
        total = Total(self._rates)
        total.add(amounts.looked_up_amount(found, "amount_total"), amounts.looked_up_currency(found))
        _Bill(bill.once, AUTOMATIC_TAX_PERCENT if taxed else 0).add_to(total)
        return total.quote(session)

    def _link_create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        total = Total(self._rates)
        (yield from self._bill(form)).add_to(total, _limit(form))
        return total.quote()

    def _link_update(self, plan: Plan) -> Steps:
        """Free while it only describes; switching off is free too. Else all its lines, as often as it may be used."""
        form: Form = plan.detail
        changes = form.names & _LINK_CHANGES
        if not changes or (changes == {"active"} and form.get("active") == "false"):
            return FREE
        link = plan.path_params["payment_link"]
        found = yield from by_id("/v1/payment_links", link)
        known = yield from page(f"/v1/payment_links/{link}/line_items", "expand[]=data.price")
        if changes - {"active", "restrictions", "line_items"} or found.get("optional_items"):
            raise unpriced("What this changes about a payment link is not priced: make a new one.")
        changed = {item.get("id"): item for _, item in params.entries(form, "line_items")}
        once = []
        for line in known:
            item = changed.get(str(line.get("id"))) or Form()
            cost = yield from self._lines.cost(_of_line(line), None, quantity=_quantity(item, line))
            once += [] if cost is None else [cost]
        if "restrictions" in form.names:
            limit = _limit(form)
        else:
            restrictions = found.get("restrictions")
            limit = _found_limit(restrictions if isinstance(restrictions, dict) else {})
        total = Total(self._rates)
        _Bill(once, AUTOMATIC_TAX_PERCENT).add_to(total, limit)
        return total.quote(link)

    def _quote_accept(self, plan: Plan) -> Steps:
        """Makes an invoice, a subscription or a schedule: all that is due upfront, and one renewal."""
        found = yield from by_id("/v1/quotes", plan.path_params["quote"])
        currency = amounts.looked_up_currency(found)
        computed = found.get("computed")
        parts = computed if isinstance(computed, dict) else {}
        upfront, recurring = parts.get("upfront"), parts.get("recurring")
        due = amounts.looked_up_amount(found, "amount_total")
        if isinstance(upfront, dict):
            due = max(due, amounts.looked_up_amount(upfront, "amount_total"))
        total = Total(self._rates)
        total.add(due, currency)
        if isinstance(recurring, dict):
            total.add(amounts.looked_up_amount(recurring, "amount_total"), currency)
        return total.quote()

    def _bill(self, form: Form, known: list[Found] | None = None, currency: str | None = None) -> Looking[_Bill]:
        items = params.entries(form, "line_items")
        if form.below("subscription_data[items]") or any(item.names & _LEGACY for _, item in items):
            raise unpriced("What a link asks for is priced by line_items with price or price_data only.")
        if params.is_true(form, "after_expiration[recovery][enabled]"):
            raise unpriced("A session that can be recovered after it has expired has no end: leave the recovery out.")
        if not items and known is None:
            raise unpriced("Without line_items the call has no price.")
        currency = currency or _one_currency(form)
        once = []
        for _, item in (*items, *params.entries(form, "optional_items")):
            line = _known_line(item, known)
            priced = item if line is None else _of_line(line)
            cost = yield from self._lines.cost(priced, currency, quantity=_quantity(item, line or {}))
            once += [] if cost is None else [cost]
        shipping = []
        for _, option in params.entries(form, "shipping_options"):
            shipping.append((yield from self._shipping(option, currency)))
        if shipping:
            once.append(max(shipping, key=lambda line: self._lines.micros(line.minor, line.currency)))
        return _Bill(once, (yield from _tax_of(form)))

    def _shipping(self, option: Form, currency: str | None) -> Looking[Line]:
        if option.get("shipping_rate") is not None:
            rate = yield from by_id(
                "/v1/shipping_rates", named(option, "shipping_rate"), "expand[]=fixed_amount.currency_options"
            )
            fixed = rate.get("fixed_amount")
            return self._lines.fixed(fixed if isinstance(fixed, dict) else {}, currency)
        prefix = "shipping_rate_data[fixed_amount]"
        if option.below(f"{prefix}[currency_options]"):
            raise unpriced("Shipping with currency_options is not priced: name a shipping_rate.")
        amount, code = amounts.amount(option, f"{prefix}[amount]"), amounts.currency(option, f"{prefix}[currency]")
        if amount is None or code is None:
            raise unpriced("A shipping option has a price only if it names a rate, or a fixed amount and currency.")
        return Line(Fraction(amount), code)


def _tax_of(form: Form) -> Looking[int]:
    """What tax comes on top, in whole percent. Where Stripe sells in its own name, it works out the tax too."""
    percent = yield from tax_percent(params.values(form, "subscription_data[default_tax_rates]"))
    automatic = ("automatic_tax[enabled]", "managed_payments[enabled]")
    return percent + (AUTOMATIC_TAX_PERCENT if any(params.is_true(form, name) for name in automatic) else 0)


def _known_line(item: Form, known: list[Found] | None) -> Found | None:
    """The line that an update changes; None if it is a new one."""
    line_id = item.get("id")
    if line_id is None or known is None or item.get("price") is not None or item.below("price_data"):
        return None
    found = next((line for line in known if line.get("id") == line_id), None)
    if found is None:
        raise unpriced("The price depends on a line that Stripe does not list.")
    return found


def _of_line(line: Found) -> Form:
    """A line that exists already, as the form that would make it."""
    price = line.get("price")
    price_id = price.get("id") if isinstance(price, dict) else price
    return Form((("price", str(price_id)),))


def _quantity(item: Form, line: Found) -> Fraction:
    """The most that the customer may take."""
    quantity = amounts.decimal(item, "quantity")
    if quantity is None:
        known = line.get("quantity")
        quantity = Fraction(known) if amounts.is_amount(known) else Fraction(1)
    if not params.is_true(item, "adjustable_quantity[enabled]") and line.get("adjustable_quantity") is None:
        return max(quantity, Fraction(0))
    most = amounts.decimal(item, "adjustable_quantity[maximum]")
    return max(quantity, _MOST_BY_DEFAULT if most is None else most)


def _limit(form: Form) -> int:
    limit = amounts.amount(form, "restrictions[completed_sessions][limit]")
    if limit is None:
        raise unpriced("A payment link can be paid any number of times: give restrictions[completed_sessions][limit].")
    return limit


def _found_limit(restrictions: Found) -> int:
    sessions = restrictions.get("completed_sessions")
    if not isinstance(sessions, dict):
        raise unpriced("The payment link can be paid any number of times.")
    return amounts.looked_up_amount(sessions, "limit")


def _one_currency(form: Form) -> str | None:
    """The currency that the call itself fixes; Stripe takes no bill in two.

    Raises:
        Refused: ``unpriced`` if it names several.
    """
    named = [amounts.currency(form)]
    for name in ("line_items", "optional_items"):
        named += [amounts.currency(item, "price_data[currency]") for _, item in params.entries(form, name)]
    currencies = {currency for currency in named if currency is not None}
    if len(currencies) > 1:
        raise unpriced(f"A bill has one currency, and the call names {', '.join(sorted(currencies))}.")
    return next(iter(currencies), None)


def _price_update(plan: Plan) -> Steps:
    """Free, unless it changes amounts that payment links and sessions were counted with."""
    yield from ()
    form: Form = plan.detail
    changed = form.names & {"currency_options", "fixed_amount"}
    if changed:
        raise unpriced(f"{', '.join(sorted(changed))} would change what is armed already: make a new one.")
    return FREE
