"""Whether the proxy is runcap's, and knows the run: asked before a command starts, whose own errors would not say."""

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runcap.agents.asking import Answer, ask_canary, ask_runcap
from runcap.agents.budget import BUDGET_PATH
from runcap.decision import Code
from runcap.hosts import KNOWN_VENDORS


def what_hinders(environment: Mapping[str, str], home: Path) -> str | None:
    """Why a run's calls would not come through; None if nothing is known to stand in their way.

    A proxy that is spoken to over TLS is not asked: that takes the agent's own certificate.

    Args:
        environment: the command's, with the vault key of a run that has been issued.
        home: of the configuration by which it was.
    """
    proxy, vault_key = environment["RUNCAP_PROXY"], environment["RUNCAP_VAULT_KEY"]
    url = urlsplit(proxy)
    if url.scheme != "http":
        return None
    where = f"{url.hostname}:{url.port}"
    try:
        problem = _problem(ask_runcap(proxy, BUDGET_PATH, vault_key), where, home)
        if problem is None:
            ask_canary(proxy, environment["RUNCAP_CA_BUNDLE"], KNOWN_VENDORS["stripe"].host, vault_key, "")
    except ssl.SSLError as error:
        return (
            f"The proxy at {where} has another root certificate than {home / 'ca' / 'ca.pem'} ({error.reason}): "
            "copy the one from its own home there."
        )
    except (OSError, http.client.HTTPException) as error:
        return f"What listens at {where} does not answer as runcap's proxy does ({type(error).__name__}: {error})."
    return problem


def _problem(answer: Answer, where: str, home: Path) -> str | None:
    code = answer.fields.get("code")
    if answer.status == http.client.OK and answer.from_runcap:
        return None
    if code == Code.HOST_DENIED:
        return f"{where} is runcap's gateway: --proxy takes what `runcap up` prints as proxy=."
    if code == Code.KEY_UNKNOWN:
        return (
            f"The proxy at {where} does not know the run that was just issued in {home}: it runs by another "
            "configuration. Name that one with --config or RUNCAP_CONFIG."
        )
    if answer.from_runcap:
        return f"The proxy at {where} refuses this run ({code}): {answer.fields.get('message', 'no words')}"
    return f"Something else than runcap answers at {where}."
