import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code
from runcap.vendors import strict_json
from runcap.vendors.base import Ending, Quote, Response
from runcap.vendors.resend.emails import read_batch, read_email
from tests.vendors.resend.helpers import EMAIL, post, quote, refusal, resend


@pytest.mark.parametrize(
    ("fields", "recipients"),
    [
        ({"to": "a@b.com"}, 1),
        ({"to": ["a@b.com"]}, 1),
        ({"to": ["a@b.com", "c@d.com"]}, 2),
        ({"to": "a@b.com", "cc": "c@d.com", "bcc": ["e@f.com", "g@h.com"]}, 4),
        ({"to": "a@b.com", "cc": [], "bcc": None}, 1),
        ({"to": ["a@b.com", "a@b.com"]}, 2),
        ({"to": [f"a{n}@b.com" for n in range(50)]}, 50),
        ({"to": "Jane Doe <a@b.com>"}, 1),
        ({"to": '"Doe, Jane" <a@b.com>'}, 1),
        ({"to": "<a@b.com>"}, 1),
        ({"to": "Jörg O'Brien (Sales) <a+tag@b.co.uk>"}, 1),
    ],
)
def test_every_recipient_costs(fields: dict[str, Any], recipients: int) -> None:
    """To, Cc and Bcc alike: 900 micros each."""
    priced = quote(post("/emails", EMAIL | fields))
    assert (recipients * 900, recipients) == (priced.micros, priced.amount_minor)


@pytest.mark.parametrize(
    "address",
    [
        "a@b.com,c@d.com",
        "a@b.com, c@d.com",
        "a@b.com;c@d.com",
        "a@b.com c@d.com",
        "a@b.com\nc@d.com",
        "Doe, Jane <a@b.com>",
        "<a@b.com><c@d.com>",
        "Jane <a@b.com>, Joe <c@d.com>",
        '"x" <a@b.com>, "y" <c@d.com>',
        '"x\\" <a@b.com>, "y" <c@d.com>',
        "group: a@b.com, c@d.com;",
        "group: a@b.com;",
        "c@d.com <a@b.com>",
        "a@b@c.com",
        "a(c@d.com)@b.com",
        "nobody",
        "",
        " ",
    ],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_a_string_that_may_be_several_addresses(field: str, address: str) -> None:
    """Counting must not depend on how Resend splits a string."""
    assert Code.MALFORMED == refusal(post("/emails", EMAIL | {field: address}))[0]
    assert Code.MALFORMED == refusal(post("/emails", EMAIL | {field: [address]}))[0]


@pytest.mark.parametrize(
    "to", [[], None, 1, True, {"email": "a@b.com"}, [["a@b.com"]], [f"a{n}@b.com" for n in range(51)]]
)
def test_to_must_be_one_to_fifty_addresses(to: Any) -> None:
    """Nothing, other types, nested lists and the 51st are refused."""
    assert Code.MALFORMED == refusal(post("/emails", EMAIL | {"to": to}))[0]


@pytest.mark.parametrize("field", ["TO", "To", "recipients", "replyTo", "audience_id"])
def test_unknown_fields_are_refused_by_name(field: str) -> None:
    """What it does to the price is not known."""
    code, message = refusal(post("/emails", EMAIL | {field: "x@y.com"}))
    assert Code.UNPRICED == code
    assert field in message


@pytest.mark.parametrize("name", ["To", "cc", "BCC", "Resent-To", "Bcc ", "X\r\nBcc", ""])
def test_headers_that_could_add_recipients(name: str) -> None:
    """By name, by a blank, by a line break."""
    assert Code.MALFORMED == refusal(post("/emails", EMAIL | {"headers": {name: "x@y.com"}}))[0]


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nBcc: x@y.com"}, {"X-A": 1}, ["Bcc: x@y.com"], "Bcc: x@y.com"])
def test_headers_in_another_form(headers: Any) -> None:
    """Only names with one line of text each."""
    assert Code.MALFORMED == refusal(post("/emails", EMAIL | {"headers": headers}))[0]


def test_other_headers_pass() -> None:
    """A list's unsubscribe link adds nobody."""
    headers = {"List-Unsubscribe": "<https://example.com/u>"}
    assert 900 == quote(post("/emails", EMAIL | {"headers": headers})).micros


@pytest.mark.parametrize("count", [1, 100])
def test_a_batch_costs_the_sum(count: int) -> None:
    """Each email's recipients, all together."""
    batch = [EMAIL | {"to": ["a@b.com", "c@d.com"], "cc": "e@f.com"}] * count
    priced = quote(post("/emails/batch", batch))
    assert (3 * count * 900, 3 * count) == (priced.micros, priced.amount_minor)


@pytest.mark.parametrize("batch", [[], [EMAIL] * 101, EMAIL, [[EMAIL]], ["a@b.com"], None])
def test_a_batch_is_an_array_of_1_to_100_emails(batch: Any) -> None:
    """Anything else is refused."""
    assert Code.MALFORMED == refusal(post("/emails/batch", batch))[0]


@pytest.mark.parametrize("email", [[EMAIL], "x", None, 1])
def test_an_email_is_an_object(email: Any) -> None:
    """An array on /emails is refused."""
    assert Code.MALFORMED == refusal(post("/emails", email))[0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"to": "a@b.com", "to": ["a@b.com", "c@d.com"], "from": "x@y.com"}',
        b'{"to": "a@b.com"',
        b'{"to": "a@b.com", "tags": NaN}',
        b'{"to": "\xff@b.com"}',
        b"to=a@b.com",
        b"",
    ],
)
def test_ambiguous_json_is_malformed(body: bytes) -> None:
    """Equal keys, cut text, NaN, no UTF-8, a form, nothing."""
    assert Code.MALFORMED == refusal(post("/emails", body=body))[0]


ADDRESSES = st.lists(st.from_regex(r"\A[a-z]{1,9}@[a-z]{1,9}\.com\Z"), max_size=5)


@given(ADDRESSES, ADDRESSES, st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_what_is_forwarded_is_what_was_priced(cc: list[str], bcc: list[str], text: str) -> None:
    """Reading the forwarded bytes again gives the very model that was priced."""
    email = EMAIL | {"cc": cc, "bcc": bcc, "text": text}
    plan = resend.plan(post("/emails", email))
    assert email == json.loads(plan.upstream.body)
    assert plan.detail == read_email(strict_json.loads(plan.upstream.body))
    batch = resend.plan(post("/emails/batch", [email, email]))
    assert batch.detail == read_batch(strict_json.loads(batch.upstream.body))
    assert 2 * (1 + len(cc) + len(bcc)) == batch.detail.recipients


BATCH = post("/emails/batch", [{**EMAIL, "to": ["a@b.com", "c@d.com"]}, EMAIL, {**EMAIL, "cc": ["e@f.com"]}])


def taken(*indices: int) -> list[dict[str, str]]:
    return [{"id": f"id-{index}"} for index in indices]


@pytest.mark.parametrize(
    ("answer", "micros"),
    [
        ({"data": taken(0, 2), "errors": [{"index": 1, "message": "x"}]}, 4 * 900),
        ({"data": taken(1), "errors": [{"index": 0, "message": "x"}, {"index": 2, "message": "x"}]}, 900),
        ({"data": [], "errors": [{"index": index} for index in range(3)]}, 0),
        ({"data": taken(0, 1, 2)}, None),
        ({"data": taken(0, 1, 2), "errors": []}, None),
        ({"data": taken(0), "errors": [{"index": 1}]}, None),
        ({"data": taken(0), "errors": [{"index": 1}, {"index": 1}]}, None),
        ({"data": taken(0, 1), "errors": [{"index": 3}]}, None),
        ({"data": taken(0, 1), "errors": [{"index": -1}]}, None),
        ({"data": taken(0, 1), "errors": [{"index": True}]}, None),
        ({"data": taken(0, 1), "errors": [{}]}, None),
        ({"data": taken(0, 1), "errors": ["x"]}, None),
        ({"data": 2, "errors": [{"index": 1}]}, None),
        ({}, None),
    ],
)
def test_a_batch_costs_what_was_taken(answer: dict[str, Any], micros: int | None) -> None:
    """In permissive mode Resend names those that it left out; an answer that does not add up settles at the quote."""
    outcome = resend.outcome(resend.plan(BATCH), Quote(5 * 900), Response(200, (), json.dumps(answer).encode()))
    assert (Ending.SETTLED, micros) == (outcome.ending, outcome.micros)
