"""The catalogues against the vendors' own OpenAPI documents: each operation is classified, and no other is known."""

import json
import re
from pathlib import Path

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Kind
from runcap.vendors.catalogue import known

DATA = Path(__file__).parents[1] / "data"
VENDORS = ("twilio", "resend")
BESIDE_THE_SPECIFICATION = {"GET /audiences/{audience_id}/contacts", "GET /segments/{segment_id}/contacts"}
"""What resend-python 2.52.0 calls and Resend's document v1.5.0 does not have."""


def specified(vendor: str) -> list[str]:
    """``METHOD /path/{template}`` of each operation in the vendor's document."""
    operations: list[str] = json.loads((DATA / f"{vendor}_operations.json").read_text("utf-8"))["operations"]
    return operations


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_operation_is_classified(vendor: str) -> None:
    """The catalogue has all of them by their very templates, and none that is not there."""
    ours = {operation.name for operation in known(f"{vendor}_catalogue.json").operations.operations}
    assert set(specified(vendor)) == ours - BESIDE_THE_SPECIFICATION
    assert len(specified(vendor)) > 100


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_class_has_its_reason_or_pricer(vendor: str) -> None:
    """What is denied says why, what is priced says by what."""
    for operation in known(f"{vendor}_catalogue.json").operations.operations:
        assert bool(operation.reason) == (operation.kind is Kind.DENIED), operation.name
        assert operation.pricer or operation.kind is not Kind.PRICED, operation.name


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_is_found_by_a_path_of_its_own(vendor: str) -> None:
    """A real path leads to the template that it was made from, not to a neighbour."""
    catalogue = known(f"{vendor}_catalogue.json")
    for name in specified(vendor):
        method, template = name.split(" ")
        operation, _ = catalogue.find(method, re.sub(r"\{\w+\}", "XX0123456789", template))
        assert name == operation.name


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_an_unknown_one_is_refused(vendor: str, method: str) -> None:
    """A path one segment too long, a method that a path does not have: unknown, not free."""
    catalogue = known(f"{vendor}_catalogue.json")
    templates = {name.split(" ")[1] for name in specified(vendor)}
    for template in templates:
        path = re.sub(r"\{\w+\}", "XX0123456789", template)
        unknown = (
            [f"{path}/unheard-of"] if f"{method} {template}" in specified(vendor) else [path, f"{path}/unheard-of"]
        )
        for each in unknown:
            if (found := catalogue.operations.find(method, each)) is not None:
                # Some templates match others' paths with a word where an id stands: those must be real ones.
                assert found[0].name in specified(vendor)
                continue
            with pytest.raises(Refused) as refused:
                catalogue.find(method, each)
            assert Code.OPERATION_UNKNOWN == refused.value.deny.code
