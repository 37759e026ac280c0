"""The catalogue finds exactly the operation that a path names, or nothing."""

import pytest

from runcap.vendors.base import Kind, Operation
from runcap.vendors.paths import Catalogue, is_segment


def _operation(method: str, template: str) -> Operation:
    return Operation(method, template, Kind.FREE)


CATALOGUE = Catalogue(
    [
        _operation("POST", "/v1/invoices"),
        _operation("POST", "/v1/invoices/{invoice}"),
        _operation("POST", "/v1/invoices/create_preview"),
        _operation("POST", "/v1/invoices/{invoice}/pay"),
        _operation("DELETE", "/v1/invoices/{other}"),
        _operation("POST", "/v1/invoices/{renamed}/lines/{line}"),
        _operation("POST", "/2010/{Account}/Messages/{Sid}.json"),
        _operation("POST", "/2010/{Account}/Messages/{Sid}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/v1/invoices", "/v1/invoices", {}),
        ("/v1/invoices/in_1", "/v1/invoices/{invoice}", {"invoice": "in_1"}),
        ("/v1/invoices/create_preview", "/v1/invoices/create_preview", {}),
        ("/v1/invoices/create_preview/pay", "/v1/invoices/{invoice}/pay", {"invoice": "create_preview"}),
        ("/v1/invoices/a/lines/b", "/v1/invoices/{renamed}/lines/{line}", {"renamed": "a", "line": "b"}),
        (
            "/2010/AC1/Messages/SM1.json",
            "/2010/{Account}/Messages/{Sid}.json",
            {"Account": "AC1", "Sid": "SM1"},
        ),
        ("/2010/AC1/Messages/SM1", "/2010/{Account}/Messages/{Sid}", {"Account": "AC1", "Sid": "SM1"}),
    ],
)
def test_finds_the_closest_template(path: str, template: str, values: dict[str, str]) -> None:
    """A literal beats a parameter, a suffix beats none, and values are named as that template names them."""
    found = CATALOGUE.find("POST", path)

    assert found is not None
    assert (template, values) == (found[0].template, found[1])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1/invoices",
        "/v1/invoices/",
        "//v1/invoices",
        "/v1//invoices",
        "/v1/invoices/..",
        "/v1/invoices/.",
        "/v1/invoices/in_1;x/pay",
        "/v1/invoices/in%5f1",
        "/v1/%69nvoices",
        "/V1/invoices",
        "/v1/Invoices",
        "/v1/invoices/in_1/pay/now",
        "/v1/invoices/in 1",
        "/v1/invoices/in_1\n",
        "/v1/invoices/\uff11",
        "/v1/invoices/" + "a" * 256,
        "/2010/AC1/Messages/",
    ],
)
def test_anything_else_is_unknown(path: str) -> None:
    """Slashes, dots, escapes, other cases and other characters never match."""
    assert CATALOGUE.find("POST", path) is None


def test_the_method_counts() -> None:
    """A method that the path does not have is unknown, in any other case too."""
    assert CATALOGUE.find("DELETE", "/v1/invoices") is None
    assert CATALOGUE.find("post", "/v1/invoices") is None


@pytest.mark.parametrize(
    "templates",
    [
        ("/v1/{a}", "/v1/{b}"),
        ("/v1/{a}/{a}",),
        ("/v1/{a",),
        ("/v1//x",),
    ],
)
def test_an_ambiguous_catalogue_is_refused(templates: tuple[str, ...]) -> None:
    """Two templates of one shape, or one that is not well-formed, stop the start."""
    with pytest.raises(ValueError, match="POST"):
        Catalogue([_operation("POST", template) for template in templates])


def test_is_segment() -> None:
    """Dots alone are navigation, not a name."""
    assert [True, True, False, False, False] == [is_segment(text) for text in ("a.b", "+1@x:y", ".", "..", "")]
