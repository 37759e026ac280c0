"""`runcap mcp`: the agent asks for its budget in its own protocol."""

import os
import sys

import click


@click.command()
def mcp() -> None:
    """Serve MCP on stdio to an agent: the tools `remaining_budget` and `explain_last_refusal`.

    It runs in the agent's environment, as `runcap exec` and `runcap env` set it. It needs runcap[mcp].
    """
    proxy, vault_key = os.environ.get("RUNCAP_PROXY"), os.environ.get("RUNCAP_VAULT_KEY")
    if not proxy or not vault_key:
        raise click.UsageError("RUNCAP_PROXY or RUNCAP_VAULT_KEY is not set: run it under `runcap exec`")
    try:
        from runcap.agents.mcpserver import build_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise click.ClickException(_how_to_get_it()) from error
    build_server(proxy, vault_key).run()


def _how_to_get_it() -> str:
    if sys.version_info < (3, 13):  # mitmproxy's pins and the SDK's do not meet below
        return "runcap mcp needs Python 3.13; `GET http://runcap.local/budget` through the proxy tells the same."
    return "The MCP SDK is not installed: pip install 'runcap[mcp]'."
