import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Kind
from runcap.vendors.catalogue import data, known


def test_a_file_becomes_operations() -> None:
    """Method, template, kind, reason and pricer of each row."""
    catalogue = known("resend_catalogue.json")
    operation, path_params = catalogue.find("POST", "/emails/batch")
    assert ("POST /emails/batch", Kind.PRICED, "batch", {}) == (
        operation.name,
        operation.kind,
        operation.pricer,
        path_params,
    )
    assert "metrics" in catalogue.repeatable


def test_what_is_not_in_it_is_unknown() -> None:
    """The refusal names what was attempted."""
    with pytest.raises(Refused) as refused:
        known("resend_catalogue.json").find("POST", "/nothing")
    assert Code.OPERATION_UNKNOWN == refused.value.deny.code
    assert "POST /nothing" == refused.value.deny.attempted


@pytest.mark.parametrize("name", ["resend_catalogue.json", "twilio_catalogue.json"])
def test_each_file_names_its_source(name: str) -> None:
    """A list without a source could not be checked."""
    assert "github.com/" in data(name)["source"]
