"""What an agent's environment holds: the proxy, whom to trust, and the vault key where real secrets used to be."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from runcap.agents.environment import Place, Spot, agent_variables
from runcap.agents.javastore import STORE, write_java_store
from runcap.config import Config, Listen
from runcap.home import prepare
from runcap.pki.ca import Authority
from runcap.pki.trust import BUNDLE, write_bundle
from runcap.secretstore import SecretStore, hidden_variables
from runcap.shims import NODE_PRELOAD, PYTHON_FOLDER

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (what such an address means to a client on this machine)


def agent_environment(
    config: Config,
    vault_key: str,
    proxy: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    shim: bool = True,
) -> dict[str, str]:
    """The variables, by name, for an agent on this machine. Makes the CA and its bundle if they are not there yet.

    Args:
        config: says where the proxy listens, and which Twilio account is meant.
        vault_key: stands in for every vendor's secret.
        proxy: the proxy's URL, where it is not as configured.
        environment: holds what the agent would have without us: some variables are added to.
        shim: lead the SDKs to the proxy that take no notice of the environment.

    Raises:
        click.UsageError: as `proxy_address`.
        HomeError, AuthorityError: the CA cannot be used.
    """
    spot = agent_spot(config, proxy, vault_key)
    return agent_variables(spot, local_place(config), vault_key, environment, shim=shim)


def agent_spot(config: Config, proxy: str | None, vault_key: str) -> Spot:
    """Where an agent finds the proxy, by configuration or ``--proxy``; with its key, if the proxy asks for it."""
    address, gateway = proxy_address(config, proxy), config.proxy.gateway
    if gateway is not None and proxy is not None and address.host not in _LOOPBACK:
        gateway = gateway._replace(host=address.host)  # the same machine, as the agent reaches it
    scheme = "http" if config.proxy.tls is None else "https"
    user = f"run:{vault_key}@" if config.proxy.auth == "vault_key" else ""
    return Spot(
        proxy=f"{scheme}://{user}{address}",
        gateway=f"{scheme}://{_for_clients(gateway)}" if gateway is not None and gateway.port else "",
        twilio_account_sid=config.vendors["twilio"].account_sid,
    )


def local_place(config: Config) -> Place:
    """Where the files are that an agent on this machine needs; they are made if they are not there."""
    prepare(config.home)
    write_java_store(write_bundle(Authority.load_or_create(config.home / "ca")))
    return place_below(config.home)


def place_below(home: Path) -> Place:
    """The same without making anything."""
    folder = home / "ca"
    return Place(
        root=str(folder / "ca.pem"),
        bundle=str(folder / BUNDLE),
        java_store=str(folder / STORE),
        python_folder=str(PYTHON_FOLDER),
        node_preload=str(NODE_PRELOAD),
    )


def without_secrets(environment: Mapping[str, str], config: Config) -> dict[str, str]:
    """An environment for an agent: no real secret under any name, nor anything that leads to the ledger or to home.

    It keeps a secret from an agent that looks at its environment. One that runs as the same user can still read that
    user's files: where that matters, it has to be another user, or a container.
    """
    names = hidden_variables(config)
    store = SecretStore(config)
    found = (store.peek(vendor) for vendor in config.vendors)
    values = [secret.reveal() for secret in found if secret is not None]
    if config.ledger.url and urlsplit(config.ledger.url).password:
        values.append(config.ledger.url)
    return {
        name: value
        for name, value in environment.items()
        if name not in names and not name.startswith("RUNCAP_") and not any(hidden in value for hidden in values)
    }


def own_environment(config: Config, variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment as an agent may have it, with `variables` in it."""
    return {**without_secrets(os.environ, config), **variables}


def proxy_address(config: Config, proxy: str | None) -> Listen:
    """Where a client finds the proxy.

    Raises:
        click.UsageError: `proxy` is no such URL, or there is none and the configured port is 0.
    """
    if proxy is None:
        if not config.proxy.listen.port:
            raise click.UsageError("proxy.listen has port 0: say with --proxy URL what `runcap up` has printed")
        return _for_clients(config.proxy.listen)
    try:
        url = urlsplit(proxy)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise click.UsageError(f"--proxy is {proxy!r}: write it like http://127.0.0.1:8080")
    return Listen(host, port)


def proxy_option[F: Callable[..., Any]](command: F) -> F:
    """Add ``--proxy``."""
    text = "The proxy's URL, if it is not at proxy.listen of the configuration."
    return click.option("--proxy", metavar="URL", help=text)(command)


def shim_option[F: Callable[..., Any]](command: F) -> F:
    """Add ``--no-shim``."""
    text = "Lead the SDKs to the proxy that take no notice of the environment (PYTHONPATH, NODE_OPTIONS)."
    return click.option("--shim/--no-shim", default=True, show_default=True, help=text)(command)


def _for_clients(listen: Listen) -> Listen:
    return listen._replace(host=_ANY.get(listen.host, listen.host))
