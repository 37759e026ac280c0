"""`runcap env`: the variables that put an agent behind the proxy."""

import json
import shlex
from pathlib import Path

import click

from runcap.cli._agent import proxy_option
from runcap.cli._options import config_option, json_option


@click.command()
@click.option("--key", metavar="vk_...", envvar="RUNCAP_VAULT_KEY", required=True, help="The run's vault key.")
@proxy_option
@json_option
@config_option
def env(*, key: str, proxy: str | None, as_json: bool, config_path: Path | None) -> None:
    """Print export lines for a shell: eval "$(runcap env --key vk_...)".

    They set the proxy, our root beside the system's, and the vault key in place of each vendor's secret.
    """
    from runcap.cli._agent import agent_environment
    from runcap.config import load
    from runcap.runs import parse_vault_key

    vault_key = parse_vault_key(key)
    if vault_key is None:
        raise click.BadParameter(
            "that is no vault key: vk_ and 40 letters and digits, copied whole.", param_hint="--key"
        )
    config = load(config_path)
    variables = agent_environment(config, vault_key, proxy)
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
