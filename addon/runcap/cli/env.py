"""`runcap env`: the variables that put an agent behind the proxy, for whatever starts it."""

import json
import re
from pathlib import Path

import click

from runcap.agents.files import MOUNT
from runcap.cli._agent import proxy_option, shim_option
from runcap.cli._options import config_option, json_option
from runcap.config import Config

_FORMATS = ("sh", "fish", "powershell", "docker", "github", "kubernetes")
_LOOPBACK = re.compile(r"http://(?:[^@/]*@)?(?:localhost|127\.|\[::1\])")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?", re.ASCII)


@click.command()
@click.option("--key", metavar="vk_...", envvar="RUNCAP_VAULT_KEY", required=True, help="The run's vault key.")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="sh", show_default=True, help="What reads it.")
@click.option(
    "--mount", metavar="DIR", default=MOUNT, show_default=True,
    help="Where the agent's container has its files; for docker and kubernetes.",
)  # fmt: skip
@click.option("--name", metavar="NAME", default="runcap", show_default=True, help="Prefix of Kubernetes' objects.")
@proxy_option
@shim_option
@json_option
@config_option
def env(
    *,
    key: str,
    form: str,
    mount: str,
    name: str,
    proxy: str | None,
    shim: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Print an agent's variables: eval "$(runcap env --key vk_...)".

    They set the proxy, our root beside the system's, and the vault key in place of each vendor's secret. fish:
    `… | source`; PowerShell: `… | Out-String | Invoke-Expression`; GitHub Actions: `… >> "$GITHUB_ENV"`; Docker:
    `… > agent.env`, then `docker run --env-file agent.env -v HOME/agent:/etc/runcap:ro`; Kubernetes: `… | kubectl
    apply -f -`.
    """
    from runcap.agents import formats as envformats
    from runcap.cli._agent import agent_environment
    from runcap.config import load
    from runcap.runs import parse_vault_key

    vault_key = parse_vault_key(key)
    if vault_key is None:
        raise click.BadParameter(
            "that is no vault key: vk_ and 40 letters and digits, copied whole.", param_hint="--key"
        )
    if _NAME.fullmatch(name) is None:
        raise click.BadParameter("use lower-case letters, digits and dashes.", param_hint="--name")
    config = load(config_path)
    if form in envformats.HERE:
        variables = agent_environment(config, vault_key, proxy, shim=shim)
        if form == "github":
            # The runner takes commands from stderr too; in the environment's file this would be no variable.
            click.echo(f"::add-mask::{vault_key}", err=True)
        text = envformats.HERE[form](variables)
    else:
        variables, text = _elsewhere(config, form, vault_key, proxy, mount=mount, name=name, shim=shim)
    click.echo(json.dumps(variables, indent=2) if as_json else text, nl=as_json)


def _elsewhere(
    config: Config, form: str, vault_key: str, proxy: str | None, *, mount: str, name: str, shim: bool
) -> tuple[dict[str, str], str]:
    """For an agent in a container of its own: nothing of this machine's environment is in its."""
    from runcap.agents import formats as envformats
    from runcap.agents.environment import agent_variables
    from runcap.agents.files import agent_files, mounted_place, write_agent_files
    from runcap.cli._agent import agent_spot
    from runcap.home import prepare
    from runcap.pki.ca import Authority

    spot = agent_spot(config, proxy, vault_key)
    if _LOOPBACK.match(spot.proxy):
        click.echo(
            f"runcap: {spot.proxy.rpartition('@')[2]} is the container's own loopback, unless it shares this machine's "
            "network: say with --proxy URL how it reaches the proxy.",
            err=True,
        )
    files = agent_files(Authority.load_or_create(prepare(config.home) / "ca"))
    variables = agent_variables(spot, mounted_place(mount), vault_key, {}, shim=shim)
    if form == "kubernetes":
        return variables, envformats.kubernetes(variables, vault_key, files, name)
    folder = write_agent_files(config.home, files)
    click.echo(f"runcap: mount {folder.absolute()} at {mount}, read-only", err=True)
    return variables, envformats.docker(variables)
