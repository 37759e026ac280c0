"""No change of a valid request makes Stripe move more than was quoted, and what is forwarded is what was priced.

The reading that counts is the fake vendor's own: it merges query and body, and the last duplicate wins. The variable
``RUNCAP_MUTATIONS`` sets how many changed requests are tried; a full run takes 20,000 and more.
"""

import os
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runcap.decision import Refused
from runcap.entrance.admission import admit
from runcap.entrance.wire import Message
from runcap.vendors.base import Plan, Quote
from tests.fakes.stripe import read_params
from tests.vendors.stripe.helpers import RATES, VENDOR
from tests.vendors.stripe.world import VALID, World, again, forwarded, media_type, world

MUTATIONS = int(os.environ.get("RUNCAP_MUTATIONS", "2000"))

_EXPONENTS = {"usd": 2, "eur": 2, "jpy": 0, "kwd": 3, "ugx": 2}

_VALUES = (
    "100000", "00100000", "+100000", "-100000", " 100000", "100000 ", "1e6", "0x186A0", "1_00000", "100000.0",
    "\u0661\u0660\u0660\u0660\u0660\u0660", "\uff11\uff10\uff10\uff10\uff10\uff10",
    "1000000000000000", "99999999999999999999", "0", "", "true", "false", "null", "EUR", "jpy", "kwd", "ugx",
    "xyz", "usd", "USD", "now", "always_invoice", "instant", "pm_card_chargeDeclined", "price_1", "../1", "2.5",
)  # fmt: skip
_NAMES = (
    "amount", "AMOUNT", "amount[]", "amount[0]", "amount[value]", "a%6Dount", "amount%00", "amount%5B%5D", " amount",
    "currency", "currency[]", "quantity", "items[0][quantity]", "items[1][price]", "items[][quantity]", "items[0]",
    "items[00][quantity]", "line_items[0][quantity]", "line_items[1][price_data][unit_amount]", "line_items[2][price]",
    "line_items[0][adjustable_quantity][enabled]", "add_invoice_items[0][price]", "payload[value]", "payload[value][]",
    "restrictions[completed_sessions][limit]", "lines[0][amount]", "lines[2][amount]", "refund_amount", "charge",
    "confirm", "capture_method", "amount_to_capture", "final_capture", "method", "_method", "key", "balance", "invoice",
    "expand[]", "expand[0]", "metadata[amount]", "trial_end", "auto_advance", "invoice_now", "refund_application_fee",
)  # fmt: skip
_PIECES = (
    "&", "=", ";", "[", "]", "%", "%00", "%26", "%3D", "+", "#", "\x00", "\n", "\xff", "\xe9", "0", "9", "-", "{", '"',
)  # fmt: skip
_HEADERS = (
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded; charset=utf-16"),
    ("content-type", "multipart/form-data; boundary=x"),
    ("content-encoding", "gzip"),
    ("x-http-method-override", "DELETE"),
    ("stripe-version", "2014-01-31"),
    ("stripe-account", "acct_1"),
    ("idempotency-key", "k"),
)
_PATHS = ("/", "//", "/..", "/capture", "/confirm", "/cancel", "%2e", ";x", "?amount=100000", "?amount[]=1", "?", "#x")
_METHODS = ("GET", "POST", "DELETE", "PUT", "post")


@pytest.fixture(scope="module")
def ids() -> dict[str, str]:
    return world().ids


_CHANGES = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(_NAMES), st.sampled_from(_VALUES), st.booleans()),
    st.tuples(st.just("set"), st.integers(0, 5), st.sampled_from(_VALUES), st.booleans()),
    st.tuples(st.just("rename"), st.integers(0, 5), st.sampled_from(_NAMES), st.booleans()),
    st.tuples(st.just("repeat"), st.integers(0, 5), st.sampled_from(_VALUES), st.booleans()),
    st.tuples(st.just("drop"), st.integers(0, 5), st.just(""), st.booleans()),
    st.tuples(st.just("splice"), st.integers(0, 120), st.sampled_from(_PIECES), st.booleans()),
    st.tuples(st.just("path"), st.sampled_from(_PATHS), st.just(""), st.booleans()),
    st.tuples(st.just("header"), st.sampled_from(_HEADERS), st.just(""), st.booleans()),
    st.tuples(st.just("method"), st.sampled_from(_METHODS), st.just(""), st.booleans()),
)


class _Draft:
    """A request while it is being changed: texts, as an attacker would write them."""

    def __init__(self, method: str, target: str, body: str) -> None:
        self.method, self.target, self.body = method, target, body
        self.headers = [("host", VENDOR.host), ("authorization", "Bearer vk_x")]
        if body:
            self.headers.append(("content-type", media_type(target)))

    def change(self, kind: str, where: object, what: str, *, elsewhere: bool) -> None:
        """One mutation; `elsewhere` puts it in front, or in place of what is there."""
        if kind == "splice" and isinstance(where, int):
            at = where % (len(self.body) + 1)
            self.body = self.body[:at] + what + self.body[at + (1 if elsewhere else 0) :]
        elif kind == "path":
            self.target += str(where)
        elif kind == "header" and isinstance(where, tuple):
            if elsewhere:
                self.headers = [header for header in self.headers if header[0] != where[0]]
            self.headers.append(where)
        elif kind == "method":
            self.method = str(where)
        elif self.target.startswith("/v2/"):
            self._change_json(kind, where, what)
        else:
            self._change_form(kind, where, what, in_front=elsewhere)

    def _change_json(self, kind: str, where: object, what: str) -> None:
        if kind == "add":
            self.body = self.body.replace("{", f'{{"{where}": "{what}", ', 1)
        else:
            self.body = self.body.replace("600", what or "600", 1).replace("}}", f', "value": {what or 7}}}}}', 1)

    def _change_form(self, kind: str, where: object, what: str, *, in_front: bool) -> None:
        pairs = self.body.split("&") if self.body else []
        if kind == "add":
            pairs.insert(0 if in_front else len(pairs), f"{where}={what}")
        elif pairs and isinstance(where, int):
            at = where % len(pairs)
            name, _, value = pairs[at].partition("=")
            changed = {
                "set": [f"{name}={what}"],
                "rename": [f"{what}={value}"],
                "repeat": [f"{name}={what}", pairs[at]] if in_front else [pairs[at], f"{name}={what}"],
                "drop": [],
            }
            pairs[at : at + 1] = changed[kind]
        self.body = "&".join(pairs)

    def message(self) -> Message:
        """The message as the wire would hand it over."""
        return Message(self.method, self.target, tuple(self.headers), self.body.encode("utf-8"), keep_alive=True)


def _priced(message: Message, account: World) -> tuple[Plan, Quote] | None:
    """The plan and its quote; None if it is refused anywhere on the way."""
    try:
        plan = VENDOR.plan(admit(message, VENDOR, gateway=False))
        return plan, account.quote(plan)
    except Refused:
        return None


def _check(draft: _Draft) -> bool:
    """Hold a request against the fake's reading of it; False if it was refused."""
    account = world()
    message = draft.message()
    priced = _priced(message, account)
    if priced is None:
        return False
    plan, quote = priced
    repeated = again(plan)
    assert (plan.params, plan.upstream) == (repeated.params, repeated.upstream)
    assert quote == account.quote(repeated)
    moved, unit = account.execute(plan)
    assert _floor_micros(moved, unit) <= quote.micros, (message, plan, quote, moved, unit)
    return True


def _floor_micros(moved: int, unit: str) -> int:
    """What was moved, at the plain rate: without the margin, and rounded down."""
    if moved <= 0:
        return 0
    rate = Fraction(1) if unit == "usd" else RATES.usd_per_unit[unit.upper()]
    return int(moved * rate * 1_000_000 / 10 ** _EXPONENTS[unit])


def test_valid_requests_are_priced(ids: dict[str, str]) -> None:
    """What is mutated is good to begin with: nothing of it is refused."""
    for method, path, body in VALID:
        body_of = body if path.startswith("/v2/") else body.format(**ids)
        assert _check(_Draft(method, path.format(**ids), body_of)), (method, path, body)


@settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=MUTATIONS <= 2000)
@given(which=st.integers(0, len(VALID) - 1), changes=st.lists(_CHANGES, min_size=1, max_size=4))
def test_no_mutation_moves_more_than_was_quoted(
    which: int, changes: list[tuple[str, object, str, bool]], ids: dict[str, str]
) -> None:
    """Refused, or covered by its quote; and what is forwarded reads as what was priced."""
    method, path, body = VALID[which]
    draft = _Draft(method, path.format(**ids), body if path.startswith("/v2/") else body.format(**ids))
    for kind, where, what, elsewhere in changes:
        draft.change(kind, where, what, elsewhere=elsewhere)
    _check(draft)


def test_the_vendor_reads_what_the_agent_sent_as_it_reads_what_is_forwarded(ids: dict[str, str]) -> None:
    """Building a request anew does not change its meaning: only the case of a currency is the vendor's own."""
    for method, path, body in VALID:
        draft = _Draft(method, path.format(**ids), body if path.startswith("/v2/") else body.format(**ids))
        plan = VENDOR.plan(admit(draft.message(), VENDOR, gateway=False))
        sent = forwarded(plan)
        original = type(sent)(method, sent.path, "", (("content-type", media_type(path)),), draft.body.encode())
        assert read_params(original) == read_params(sent)
