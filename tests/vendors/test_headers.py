import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Request
from runcap.vendors.headers import passed, require_media_type


def request(*headers: tuple[str, str]) -> Request:
    return Request("POST", "/", "", headers, b"")


def test_only_the_allow_list_passes() -> None:
    """Whatever else an agent sends stays here."""
    sent = request(("cookie", "a=b"), ("accept", "*/*"), ("x-mode", "strict"), ("user-agent", "sdk/1"))
    assert (("accept", "*/*"), ("user-agent", "sdk/1")) == passed(sent)
    assert ("x-mode", "strict") in passed(sent, "x-mode")


@pytest.mark.parametrize("value", ["", "caf\xe9", "a" * 501])
def test_a_value_that_is_not_plain_is_left_out(value: str) -> None:
    """It carries nothing that a vendor needs."""
    assert () == passed(request(("user-agent", value)))


def test_a_header_that_stands_twice_is_malformed() -> None:
    """Even a harmless one."""
    with pytest.raises(Refused):
        passed(request(("accept", "a/b"), ("accept", "c/d")))


@pytest.mark.parametrize(
    "value", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_media_types_that_are_read(value: str) -> None:
    """The type in any case, with UTF-8 or no charset."""
    require_media_type(request(("content-type", value)), "application/json")


@pytest.mark.parametrize(
    "value", ["application/json; charset=latin-1", "application/jsonx", "text/plain", "", "application/json; a=b"]
)
def test_media_types_that_are_not(value: str) -> None:
    """Another type, charset or parameter is refused."""
    with pytest.raises(Refused) as refused:
        require_media_type(request(("content-type", value)), "application/json")
    assert Code.MALFORMED == refused.value.deny.code
