"""Where a CONNECT may go."""

from types import SimpleNamespace
from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.entrance.destinations import Destinations, Intercept, Tunnel, choose_public, is_public

STRIPE: Any = SimpleNamespace(name="stripe", host="api.stripe.com", sibling_domain="stripe.com")


def destinations(other_hosts: Any = "tunnel") -> Destinations:
    return Destinations({STRIPE.host: STRIPE}, other_hosts)


async def test_a_vendor_is_intercepted() -> None:
    """The exact host at port 443 is the vendor's."""
    assert Intercept(STRIPE) == await destinations().decide("api.stripe.com:443")


async def test_a_public_address_is_tunnelled() -> None:
    """Another host is dialled at the very address that was checked."""
    assert Tunnel(("1.1.1.1", 443)) == await destinations().decide("1.1.1.1:443")


@pytest.mark.parametrize(
    "authority",
    [
        "api.stripe.com:8443", "api.stripe.com:80", "api.stripe.com", "api.stripe.com.:443", "API.stripe.com:443",
        "files.stripe.com:443", "stripe.com:443", "user@api.stripe.com:443", "api.stripe.com:443@evil.example:443",
        "xn--api-strpe-3za.com:443", "1.1.1.1:22", "1.1.1.1:53", "127.0.0.1:443", "[::1]:443", "localhost:443",
        "169.254.169.254:443", "100.64.0.1:443", "10.0.0.1:443", "0.0.0.0:443", "[::ffff:127.0.0.1]:443",
        "[64:ff9b::7f00:1]:443", "2130706433:443", "0x7f.1:443", "1.1.1.1:0443", "1.1.1.1:65536", "", ":443",
        "a\u0661:443", "/:443", "1.1.1.1:\uff1443",
    ],
)  # fmt: skip
async def test_all_else_is_denied(authority: str) -> None:
    """Other spellings of a vendor, its sibling hosts, other ports, and addresses that are not public are refused."""
    with pytest.raises(Refused) as caught:
        await destinations().decide(authority)

    assert caught.value.deny.code is Code.HOST_DENIED


async def test_deny_policy() -> None:
    """With ``other_hosts = "deny"`` a public address is refused too."""
    with pytest.raises(Refused, match="is not one"):
        await destinations("deny").decide("1.1.1.1:443")


def test_one_private_address_is_enough_to_refuse() -> None:
    """A name that resolves to a public and a private address is not dialled at all."""
    with pytest.raises(Refused, match="not public"):
        choose_public("rebind.example", ["1.1.1.1", "127.0.0.1"])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
    ],
)
def test_is_public(address: str, public: bool) -> None:
    """Addresses that lead back inside by another notation are not public."""
    assert is_public(address) is public


def listed(other_hosts: Any = "tunnel", *, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> Destinations:
    return Destinations({STRIPE.host: STRIPE}, other_hosts, allow_hosts=allow, deny_hosts=deny)


@pytest.mark.parametrize(
    ("lists", "name"),
    [
        (listed(deny=("evil.example",)), "Evil.example."),
        (listed(deny=("*.evil.example",)), "a.b.evil.example"),
        (listed("deny", allow=("*.good.example",)), "good.example"),
        (listed("deny", allow=("*.good.example",), deny=("x.good.example",)), "x.good.example"),
        (listed("deny", allow=("good.example",)), "www.good.example"),
        (listed(), "api.stripe.com"),
        (listed(), "API.stripe.com."),
        (listed("deny", allow=("*.stripe.com", "*.com")), "files.stripe.com"),
    ],
)
def test_names_that_are_refused(lists: Destinations, name: str) -> None:
    """A deny list wins over an allow list, and no list lets a vendor's hosts through."""
    with pytest.raises(Refused) as caught:
        lists.check_name(name)
    assert Code.HOST_DENIED is caught.value.deny.code


@pytest.mark.parametrize(
    ("lists", "name"),
    [
        (listed(), "good.example"),
        (listed(deny=("*.evil.example",)), "evil.example"),
        (listed(deny=("evil.example",)), "notevil.example"),
        (listed("deny", allow=("*.good.example",)), "a.b.good.example"),
        (listed("deny", allow=("good.example",)), "GOOD.example"),
    ],
)
def test_names_that_pass(lists: Destinations, name: str) -> None:
    """A pattern is the host itself, or with ``*.`` all that is below it."""
    assert lists.check_name(name) is None  # type: ignore[func-returns-value]


async def test_an_allowed_host_is_tunnelled_all_the_same() -> None:
    """With ``other_hosts = "deny"`` the allow list has the exceptions; addresses must be public still."""
    assert Tunnel(("1.1.1.1", 443)) == await listed("deny", allow=("1.1.1.1",)).decide("1.1.1.1:443")
    with pytest.raises(Refused, match="not public"):
        await listed("deny", allow=("127.0.0.1",)).decide("127.0.0.1:443")
