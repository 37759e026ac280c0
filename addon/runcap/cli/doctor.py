"""`runcap doctor`: what works for an agent, what does not, and the one line that mends it."""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from runcap.cli._agent import agent_spot, proxy_option
from runcap.cli._options import config_option, json_option
from runcap.config import Config

_TTL_MS = 10 * 60_000
_COLOURS = {"ok": "green", "fault": "red", "skipped": "yellow"}


@click.command()
@click.option("--python", "interpreter", metavar="PATH", help="The agent's Python; default the one on PATH.")
@click.option(
    "--node", "folder", metavar="DIR", default=".", show_default=True, type=click.Path(path_type=Path),
    help="The folder of the agent's scripts, from which its packages are found.",
)  # fmt: skip
@click.option("--sdk", "only", metavar="NAME", multiple=True, help="Try only this SDK. Repeatable; default all found.")
@click.option("--no-sdk", is_flag=True, help="Try none.")
@proxy_option
@json_option
@config_option
def doctor(
    *,
    interpreter: str | None,
    folder: Path,
    only: tuple[str, ...],
    no_sdk: bool,
    proxy: str | None,
    as_json: bool,
    config_path: Path | None,
) -> int:
    """Check CA files, variables, proxy, vault key, clock, ledger, secrets, and every SDK by a free call.

    With RUNCAP_VAULT_KEY in the environment (after `runcap env`, or under `runcap exec`) that environment is checked;
    without, the one that `runcap exec` would make, with a run of its own that may spend nothing. Exits with 1 if
    something is wrong. An SDK that does not come here asks the vendor itself for a path that is not there, with the
    vault key, which is worth nothing to the vendor.
    """
    from runcap.doctor import sdks
    from runcap.doctor.examine import Patient, examine
    from runcap.doctor.finding import Mends, State

    languages = []
    if not no_sdk:
        languages.append(sdks.python(interpreter or shutil.which("python3") or "python3"))
        if shutil.which("node") is not None:
            languages.append(sdks.node(folder))
    config, where = _config(config_path, proxy)
    with _environment(config, proxy) as (environment, expected):
        patient = Patient(environment, expected, config, where, languages, only)
        found = examine(patient, Mends(config_path, proxy))
    if as_json:
        rows = [{name: getattr(each, name) for name in each.__slots__} for each in found]
        click.echo(json.dumps(rows, indent=2))
    else:
        for each in found:
            click.echo(f"{click.style(f'{each.state:<8}', fg=_COLOURS[each.state])}{each.check:<19}{each.what}")
            for line in filter(None, (each.mend, each.hint)):
                click.echo(f"{'':<27}{line}")
    return 1 if any(each.state is State.FAULT for each in found) else 0


def _config(config_path: Path | None, proxy: str | None) -> tuple[Config | None, str | None]:
    """The configuration, if there is one here, and the proxy's URL as far as anybody says it."""
    from runcap.config import load

    config = load(config_path)
    if config.source is None and not (config.home / "ca" / "ca.pem").exists():
        return None, proxy
    if proxy is None and config.proxy.listen.port:
        return config, agent_spot(config, None, os.environ.get("RUNCAP_VAULT_KEY", "")).proxy
    return config, proxy


@contextmanager
def _environment(config: Config | None, proxy: str | None) -> Iterator[tuple[dict[str, str], dict[str, str] | None]]:
    """The environment to examine, and what it should hold; None for the latter without a configuration."""
    from runcap.agents.environment import agent_variables
    from runcap.cli._agent import agent_environment, own_environment, place_below
    from runcap.runs import parse_vault_key

    key = os.environ.get("RUNCAP_VAULT_KEY")
    if key is not None or config is None:
        bare, expected = parse_vault_key(key or ""), None
        if config is not None and bare is not None and (proxy is not None or config.proxy.listen.port):
            # Nothing is written: a file that is missing is to be found missing.
            place = place_below(config.home)
            expected = agent_variables(agent_spot(config, proxy, bare), place, bare, os.environ, shim=True)
        yield dict(os.environ), expected
        return
    with _own_run(config) as vault_key:
        variables = agent_environment(config, vault_key, proxy)
        yield own_environment(config, variables), variables


@contextmanager
def _own_run(config: Config) -> Iterator[str]:
    """A run that may spend nothing, for as long as it takes."""
    from runcap.cli._context import actor, open_ledger
    from runcap.cli.keys import issue_run, new_run
    from runcap.ledger.model import Caps

    vault_key, run = new_run("runcap-doctor", Caps(total=0), vendors=())

    async def issue() -> None:
        async with open_ledger(config) as ledger:
            await issue_run(ledger, run, _TTL_MS)

    async def revoke() -> None:
        async with open_ledger(config) as ledger:
            await ledger.revoke(run.run_id, actor())

    asyncio.run(issue())
    try:
        yield vault_key
    finally:
        asyncio.run(revoke())
