"""Lives of Stripe's objects, told by the vendor's own SDK, and how much more than was moved runcap counts for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Agent:
    """One that uses the SDK, and helpers for what every story needs."""

    api: Any
    """`stripe.StripeClient`; Any, since its parameters are typed more strictly than what it takes."""
    name: str
    """Unlike any other's."""

    def price(self, cents: int | None = 1000, **fields: Any) -> str:
        """Make a price of so many cents."""
        amount = {} if cents is None else {"unit_amount": cents}
        product = self.api.v1.products.create({"name": "Hat"})
        return str(self.api.v1.prices.create({"currency": "usd", "product": product.id, **amount, **fields}).id)

    def monthly(self, cents: int = 1000) -> str:
        """Make a price that recurs."""
        return self.price(cents, recurring={"interval": "month"})

    def customer(self) -> str:
        """Make a customer."""
        return str(self.api.v1.customers.create({"name": "A"}).id)

    def intent(self, cents: int = 2000, **fields: Any) -> Any:
        """Charge a card."""
        body = {"amount": cents, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **fields}
        return self.api.v1.payment_intents.create(body)


def life_of_an_intent(agent: Agent) -> None:
    intents = agent.api.v1.payment_intents
    intent = agent.intent(confirm=False, capture_method="manual")
    intents.update(intent.id, {"amount": 3000})
    intents.confirm(intent.id)
    intents.increment_authorization(intent.id, {"amount": 3500})
    intents.capture(intent.id, {"amount_to_capture": 1200, "final_capture": False})
    intents.capture(intent.id, {"amount_to_capture": 800, "final_capture": False})
    intents.capture(intent.id, {"amount_to_capture": 500})


def intent_that_is_cancelled(agent: Agent) -> None:
    intent = agent.intent(capture_method="manual")
    agent.api.v1.payment_intents.cancel(intent.id)


def intent_at_a_reader(agent: Agent) -> None:
    intent = agent.api.v1.payment_intents.create({"amount": 700, "currency": "usd"})
    body = {"payment_intent": intent.id, "process_config": {"skip_tipping": True}}
    agent.api.v1.terminal.readers.process_payment_intent("tmr_Fake", body)


def refunds(agent: Agent) -> None:
    refunds = agent.api.v1.refunds
    intent = agent.intent()
    refunds.create({"payment_intent": intent.id, "amount": 500})
    refunds.create({"charge": intent.latest_charge, "amount": 300})
    last = refunds.create({"payment_intent": intent.id})
    refunds.cancel(last.id)


def charges(agent: Agent) -> None:
    charges = agent.api.v1.charges
    charge = charges.create({"amount": 900, "currency": "usd", "source": "tok_visa", "capture": False})
    charges.capture(charge.id, {"amount": 800})
    charges.create({"amount": 100, "currency": "usd", "source": "tok_visa"})


def application_fees(agent: Agent) -> None:
    intent = agent.intent(application_fee_amount=150, expand=["latest_charge"])
    fees = agent.api.v1.application_fees.refunds
    fees.create(intent.latest_charge.application_fee, {"amount": 50})
    fees.create(intent.latest_charge.application_fee)


def transfers(agent: Agent) -> None:
    transfer = agent.api.v1.transfers.create({"amount": 900, "currency": "usd", "destination": "acct_1Fake"})
    agent.api.v1.transfers.reversals.create(transfer.id, {"amount": 200})
    agent.api.v1.transfers.reversals.create(transfer.id)


def payouts_and_topups(agent: Agent) -> None:
    payouts = agent.api.v1.payouts
    payouts.cancel(payouts.create({"amount": 900, "currency": "usd"}).id)
    payouts.reverse(payouts.create({"amount": 300, "currency": "usd"}).id)
    topups = agent.api.v1.topups
    topups.create({"amount": 500, "currency": "usd"})
    topups.cancel(topups.create({"amount": 700, "currency": "usd"}).id)


def treasury(agent: Agent) -> None:
    treasury = agent.api.v1.treasury
    body = {"amount": 400, "currency": "usd", "financial_account": "fa_Fake"}
    treasury.outbound_payments.cancel(treasury.outbound_payments.create(body).id)
    treasury.outbound_payments.create(body)
    treasury.outbound_transfers.cancel(treasury.outbound_transfers.create(body).id)
    source = {"origin_payment_method": "pm_1"}
    treasury.inbound_transfers.cancel(treasury.inbound_transfers.create(body | source).id)
    treasury.credit_reversals.create({"received_credit": "rc_Fake"})
    treasury.debit_reversals.create({"received_debit": "rd_Fake"})


def v2_money(agent: Agent) -> None:
    money = agent.api.v2.money_management
    body = {"amount": {"value": 600, "currency": "usd"}, "from": {"financial_account": "fa"}, "to": {"recipient": "a"}}
    money.outbound_payments.cancel(money.outbound_payments.create(body).id)
    money.outbound_payments.create(body)
    money.inbound_transfers.create(body)
    money.payout_intents.confirm(money.payout_intents.create(body).id)


def climate_and_disputes(agent: Agent) -> None:
    orders = agent.api.v1.climate.orders
    orders.cancel(orders.create({"product": "climsku_Fake", "metric_tons": "0.5", "currency": "usd"}).id)
    agent.api.v1.disputes.close("dp_Fake")


def credit_for_customers(agent: Agent) -> None:
    customer = agent.customer()
    agent.api.v1.customers.balance_transactions.create(customer, {"amount": -500, "currency": "usd"})
    agent.api.v1.customers.update(customer, {"balance": -800, "name": "B"})
    money = {"type": "monetary", "monetary": {"value": 700, "currency": "usd"}}
    agent.api.v1.billing.credit_grants.create(
        {"amount": money, "applicability_config": {"scope": {"price_type": "metered"}}, "customer": customer}
    )


MONEY_STORIES: tuple[tuple[Callable[[Agent], None], int], ...] = (
    (life_of_an_intent, 0),
    (intent_that_is_cancelled, 0),
    (intent_at_a_reader, 0),
    (refunds, 0),
    (charges, 0),
    (application_fees, 0),
    (transfers, 0),
    (payouts_and_topups, 0),
    (treasury, 0),
    (v2_money, 0),
    (climate_and_disputes, 0),
    (credit_for_customers, 0),
)
"""Each story, and the margin in cents at its end."""
