"""The files and variables that an agent's environment has to have."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from runcap.doctor.finding import Finding, Mends, fault, ok, skipped

_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_SHIM = ("PYTHONPATH", "NODE_OPTIONS")
"""What sets these is left to the checks of the SDKs: without them, most work all the same."""
_FOR_PEOPLE = ("NO_PROXY", "no_proxy", "JAVA_TOOL_OPTIONS")
"""The user's own additions are welcome."""


def check_files(environment: Mapping[str, str], root_pem: bytes | None, mends: Mends) -> Finding:
    """The CA files that the environment names are there, and hold runcap's root.

    Args:
        environment: the agent's.
        root_pem: our root; None if it cannot be read here (in a container, say), so that only the files are looked at.
        mends: the lines that mend.
    """
    named = {name: environment[name] for name in _FILES if environment.get(name)}
    if not named:
        return fault("CA files", "the environment names none", mends.environment())
    for name, path in named.items():
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            return fault("CA files", f"{name} is {path}: {error.strerror}", mends.environment())
        if b"BEGIN CERTIFICATE" not in content:
            return fault("CA files", f"{name} is {path}, which holds no certificate", mends.environment())
        if root_pem is not None and root_pem.strip() not in content:
            return fault("CA files", f"{name} is {path}, which does not hold runcap's root", mends.environment())
    return ok("CA files", f"{', '.join(sorted(set(named.values())))}")


def check_variables(environment: Mapping[str, str], expected: Mapping[str, str], mends: Mends) -> Finding:
    """Every variable is there, and the proxy variables agree.

    Args:
        environment: the agent's.
        expected: all that `runcap env` would set for the key that the environment has.
        mends: the lines that mend.
    """
    names = [name for name in expected if name not in (*_SHIM, *_FOR_PEOPLE)]
    missing = [name for name in names if expected[name] and not environment.get(name)]
    if missing:
        return fault("variables", f"not set: {_listed(missing)}", mends.environment())
    other = [name for name in names if environment.get(name, "") != expected[name]]
    if other:
        return fault("variables", f"not as `runcap env` sets them: {_listed(other)}", mends.environment())
    open_ways = [name for name in ("NO_PROXY", "no_proxy") if environment.get(name, "") != expected[name]]
    if open_ways:
        return fault("variables", f"{_listed(open_ways)} would lead calls past the proxy", mends.environment())
    return ok("variables", f"{len(names)} set")


def check_presence(environment: Mapping[str, str], mends: Mends) -> Finding | None:
    """There is something to examine; None if so."""
    if environment.get("RUNCAP_VAULT_KEY"):
        return None
    what = "there is no configuration of runcap's here, and this is no agent's environment"
    return fault(
        "environment", what, mends.start(), "or, where it runs already: runcap doctor --config ITS_RUNCAP.TOML"
    )


def check_nothing() -> Finding:
    """There is no configuration here to compare with."""
    return skipped("variables", "there is no configuration here that says what they should be")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
