"""The variables of an agent's environment, and what becomes of those that the user has already."""

import pytest

from runcap.agents.environment import Place, Spot, agent_variables
from runcap.shims import shim_variables

SPOT = Spot("http://127.0.0.1:8080", "http://127.0.0.1:8081", "")
PLACE = Place("/ca/ca.pem", "/ca/bundle.pem", "/ca/truststore.p12", "/shims/python", "/shims/preload.cjs")
JAVA = (
    "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.nonProxyHosts=localhost|127.*|[::1] "
    "-Djavax.net.ssl.trustStore=/ca/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 "
    "-Djavax.net.ssl.trustStorePassword=changeit"
)


def variables(environment: dict[str, str], *, shim: bool = True) -> dict[str, str]:
    return agent_variables(SPOT, PLACE, "vk_x", environment, shim=shim)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("ollama, .internal,localhost", "localhost,127.0.0.1,::1,ollama,.internal"),
        ("*", "localhost,127.0.0.1,::1"),
        (".stripe.com,api.twilio.com:443,*.resend.com,com,stripe.example", "localhost,127.0.0.1,::1,stripe.example"),
        (".local,10.0.0.0/8", "localhost,127.0.0.1,::1,10.0.0.0/8"),
    ],
)
def test_no_proxy_keeps_all_but_the_vendors(given: str, expected: str) -> None:
    """What would lead a vendor's call, or a question to runcap, past the proxy is dropped."""
    found = variables({"no_proxy": given})
    assert (expected, expected) == (found["NO_PROXY"], found["no_proxy"])


def test_java_options_are_added_once() -> None:
    """The user's own stay, but for those that say what ours say."""
    first = variables({"JAVA_TOOL_OPTIONS": "-Xmx1g -Dhttps.proxyHost=old.example"})["JAVA_TOOL_OPTIONS"]
    assert f"-Xmx1g {JAVA}" == first
    assert first == variables({"JAVA_TOOL_OPTIONS": first})["JAVA_TOOL_OPTIONS"]


def test_without_the_shim_of_whoever_started_us() -> None:
    """Under another `runcap exec` the shim is in the environment: it is taken out, and nothing else."""
    outer = {"PYTHONPATH": "/mine", "NODE_OPTIONS": "--trace-warnings"}
    inner = variables({**outer, **shim_variables(outer)}, shim=False)
    assert outer == {name: inner[name] for name in outer}


def test_without_the_shim() -> None:
    """PYTHONPATH and NODE_OPTIONS are then nobody's business; all else is the same."""
    with_shim, without = variables({}), variables({}, shim=False)
    assert {"PYTHONPATH", "NODE_OPTIONS"} == set(with_shim) - set(without)
    assert without == {name: with_shim[name] for name in without}


def test_a_companys_roots_are_kept() -> None:
    """The bundle has them, so Node is given it where Node had any; where they were is remembered, and only once."""
    given = {"SSL_CERT_FILE": "/company/ca.pem", "NODE_EXTRA_CA_CERTS": "/company/node.pem"}
    first = variables(given)
    remembered = {f"RUNCAP_OUTER_{name}": path for name, path in given.items()}
    assert remembered.items() <= first.items()
    assert ("/ca/bundle.pem", "/ca/ca.pem") == (first["NODE_EXTRA_CA_CERTS"], first["DENO_CERT"])
    assert first == variables(first)
    assert "/ca/ca.pem" == variables({})["NODE_EXTRA_CA_CERTS"]


def test_twilios_other_hosts() -> None:
    """Its SDKs would make api.sydney.au1.twilio.com of an edge and a region, which no vendor's call may go to."""
    found = variables({"TWILIO_EDGE": "sydney", "TWILIO_REGION": ""})
    assert ("", False) == (found["TWILIO_EDGE"], "TWILIO_REGION" in found)
