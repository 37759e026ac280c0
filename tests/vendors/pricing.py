"""Driving a vendor's pricing from bytes to a quote, as the guard does, with answers of the test's own."""

from typing import Any

from runcap.vendors.base import Quote, Request, Vendor


def quote_of(vendor: Vendor, request: Request, *answers: dict[str, Any]) -> Quote:
    """Price a call from its bytes; each lookup is answered with the next of these, and all of them are asked for."""
    steps = vendor.quote(vendor.plan(request))
    waiting = [None, *answers]
    while waiting:
        try:
            steps.send(waiting.pop(0))  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as done:
            assert [] == waiting
            priced: Quote = done.value
            return priced
    raise AssertionError("it asks for more than it was told")
