"""The variables that put an agent behind the proxy, one list for every kind of client. Pure: no file is touched.

Which client reads which is said beside each. What the user has in a variable already is kept, unless it would lead a
vendor's call past the proxy.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from runcap.agents.javastore import PASSWORD
from runcap.hosts import KNOWN_VENDORS
from runcap.pki.trust import ADDS, OUTER, REPLACES
from runcap.shims import shim_variables, without_shims

OWN_HOST = "runcap.local"
"""Answered by the proxy itself, over plain HTTP: an agent asks it for its budget."""

_ELSEWHERE = ("TWILIO_EDGE", "TWILIO_REGION")
"""Twilio's SDKs make another host of these, such as api.sydney.au1.twilio.com. Empty is the same as not set."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OUR_JAVA_OPTION = re.compile(r"-D(https\.proxy(Host|Port)|http\.nonProxyHosts|javax\.net\.ssl\.trustStore\w*)=")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where runcap is, seen from the agent."""

    proxy: str
    """URL."""
    gateway: str
    """URL; empty if there is none or its port is not known."""
    twilio_account_sid: str
    """Empty if none is configured."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agent's files are, in its own file system."""

    root: str
    """Our root alone, PEM."""
    bundle: str
    """Our root and the system's, PEM."""
    java_store: str
    """The same as PKCS #12."""
    python_folder: str
    node_preload: str


def agent_variables(
    spot: Spot, place: Place, vault_key: str, environment: Mapping[str, str], *, shim: bool
) -> dict[str, str]:
    """All variables by name, for an agent that would have `environment` without them."""
    variables = _proxy_variables(spot.proxy, environment) | _trust_variables(place, environment) | _keys(vault_key)
    variables |= {name: "" for name in _ELSEWHERE if environment.get(name)}
    variables |= {
        "RUNCAP_PROXY": spot.proxy,
        "RUNCAP_VAULT_KEY": vault_key,
        "RUNCAP_CA_BUNDLE": place.bundle,
        "RUNCAP_HOSTS": ",".join(vendor.host for vendor in KNOWN_VENDORS.values()),
        "JAVA_TOOL_OPTIONS": _java_options(spot.proxy, place.java_store, environment.get("JAVA_TOOL_OPTIONS", "")),
    }
    if spot.gateway:
        variables["RUNCAP_GATEWAY"] = spot.gateway
    if spot.twilio_account_sid:
        variables["TWILIO_ACCOUNT_SID"] = spot.twilio_account_sid
    if shim:
        return variables | shim_variables(
            environment, python_folder=place.python_folder, node_preload=place.node_preload
        )
    return variables | without_shims(environment)


def _proxy_variables(proxy: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Clients disagree about case: curl reads http_proxy in lower case only, twilio-node HTTP_PROXY and no other."""
    named = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), proxy)
    direct = ",".join(_not_proxied(environment))
    # Node 22.21 and 24, and later: fetch and the global agents take the variables above.
    return {**named, "NO_PROXY": direct, "no_proxy": direct, "NODE_USE_ENV_PROXY": "1"}


def _not_proxied(environment: Mapping[str, str]) -> list[str]:
    """Loopback, and what the user has there but for what would match a vendor's host, or ours."""
    given = [*environment.get("NO_PROXY", "").split(","), *environment.get("no_proxy", "").split(",")]
    kept = [entry.strip() for entry in given if entry.strip() and not _covers_ours(entry.strip())]
    return list(dict.fromkeys([*_LOOPBACK, *kept]))


def _covers_ours(entry: str) -> bool:
    name = entry.lower().lstrip("*.").partition(":")[0]
    ours = (*(vendor.host for vendor in KNOWN_VENDORS.values()), OWN_HOST)
    return (entry.startswith("*") and not name) or any(f".{host}".endswith(f".{name}") for host in ours if name)


def _trust_variables(place: Place, environment: Mapping[str, str]) -> dict[str, str]:
    outer = _outer_files(place, environment)

    def added(name: str) -> str:
        """Node and Deno add the file to their own lists, and read it at each start: the root alone, if it may be."""
        return place.bundle if f"{OUTER}{name}" in outer else place.root

    return {
        "SSL_CERT_FILE": place.bundle,  # OpenSSL and with it httpx, aiohttp and Ruby; Go; Rust
        "REQUESTS_CA_BUNDLE": place.bundle,  # requests, and with it twilio and resend for Python
        "CURL_CA_BUNDLE": place.bundle,
        "GIT_SSL_CAINFO": place.bundle,
        "TWILIO_CA_BUNDLE": place.bundle,  # twilio-node where it makes its own agent
        "NODE_EXTRA_CA_CERTS": added("NODE_EXTRA_CA_CERTS"),
        "DENO_CERT": added("DENO_CERT"),
        **outer,
    }


def _outer_files(place: Place, environment: Mapping[str, str]) -> dict[str, str]:
    """The files that the user's own tools trust: the bundle has what is in them, and has to find them again."""
    found: dict[str, str] = {}
    for name in (REPLACES, *ADDS):
        value = environment.get(name, "")
        if value in (place.bundle, place.root):
            value = environment.get(f"{OUTER}{name}", "")
        if value:
            found[f"{OUTER}{name}"] = value
    return found


def _keys(vault_key: str) -> dict[str, str]:
    """The names under which the vendors' own documentation keeps the secret."""
    return dict.fromkeys(("STRIPE_API_KEY", "STRIPE_SECRET_KEY", "TWILIO_AUTH_TOKEN", "RESEND_API_KEY"), vault_key)


def _java_options(proxy: str, store: str, given: str) -> str:
    """Java's launcher reads JAVA_TOOL_OPTIONS in every JVM; of an option that stands twice the last one holds."""
    url = urlsplit(proxy)
    kept = [option for option in given.split() if _OUR_JAVA_OPTION.match(option.strip("\"'")) is None]
    ours = (
        f"-Dhttps.proxyHost={url.hostname}",
        f"-Dhttps.proxyPort={url.port}",
        "-Dhttp.nonProxyHosts=localhost|127.*|[::1]",
        f"-Djavax.net.ssl.trustStore={store}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={PASSWORD}",
    )
    return " ".join([*kept, *(shlex.quote(option) if " " in option else option for option in ours)])
