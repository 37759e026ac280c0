"""The whole examination, each check after those that it depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runcap.config import Config
from runcap.doctor import environment as files
from runcap.doctor import network, sdks, state
from runcap.doctor.finding import Finding, Mends, State, skipped


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined."""

    environment: Mapping[str, str]
    """The agent's, whole."""
    expected: Mapping[str, str] | None
    """What `runcap env` would set; None without a configuration."""
    config: Config | None
    proxy: str | None
    """Where the proxy is by the configuration or by ``--proxy``; None if nobody says."""
    languages: Sequence[sdks.Language]
    only: Sequence[str]
    """SDKs to try; none: all."""


def examine(patient: Patient, mends: Mends) -> list[Finding]:
    """Look at everything, and say how it stands."""
    environment = patient.environment
    nothing = files.check_presence(environment, mends)
    if nothing is not None:
        return [nothing]
    found = [files.check_files(environment, _root(patient.config), mends)]
    if patient.expected is None:
        found.append(files.check_nothing())
    else:
        found.append(files.check_variables(environment, patient.expected, mends))
    found.append(state.check_ledger(patient.config, mends))
    proxy = network.check_proxy(environment, patient.proxy, mends)
    found.append(proxy)
    if proxy.state is not State.OK:
        return [*found, skipped("everything else", "the proxy has to be reached first")]
    return [*found, *_behind_the_proxy(patient, mends)]


def _behind_the_proxy(patient: Patient, mends: Mends) -> list[Finding]:
    environment = patient.environment
    url = environment.get("HTTPS_PROXY") or environment["https_proxy"]
    answer = network.ask(environment, url)
    if answer is None:
        return [skipped("vault key", "the proxy went away")]
    key = network.check_key(answer, mends)
    found = [key, network.check_clock(answer, mends)]
    if key.state is not State.OK:
        return [*found, skipped("vendors and SDKs", "a good vault key comes first")]
    found += network.check_vendors(environment, url, environment.get("RUNCAP_VAULT_KEY", ""), mends)
    for language in patient.languages:
        found += sdks.check_sdks(language, environment, patient.only, mends)
    return found


def _root(config: Config | None) -> bytes | None:
    if config is None:
        return None
    path: Path = config.home / "ca" / "ca.pem"
    try:
        return path.read_bytes()
    except OSError:
        return None
