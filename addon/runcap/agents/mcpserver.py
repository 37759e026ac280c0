"""An MCP server for the agent itself: what it may still spend, and why its last call was refused.

It runs in the agent's environment and holds nothing but the vault key; what it tells, it asks of the proxy
(`runcap.agents.budget`). It needs the official SDK: ``pip install 'runcap[mcp]'``.
"""

import http.client
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from runcap import __version__
from runcap.agents.advice import advice
from runcap.agents.asking import ask_runcap
from runcap.agents.budget import BUDGET_PATH, LAST_REFUSAL_PATH

_INSTRUCTIONS = (
    "This run's calls to Stripe, Twilio and Resend go through runcap, which refuses what would pass a spending cap. "
    "Ask for the remaining budget before a plan that costs money, and for the last refusal after a 429 or 403."
)


def build_server(proxy: str, vault_key: str) -> MCPServer:
    """Make the server; run it with ``.run()`` (stdio).

    Args:
        proxy: the proxy's URL.
        vault_key: of the run whose budget it tells.
    """
    server = MCPServer("runcap", version=__version__, instructions=_INSTRUCTIONS)

    @server.tool()
    def remaining_budget() -> dict[str, Any]:
        """Tell what this run may still spend, in USD.

        ``remaining_usd`` has the tightest limit for each vendor (null: no cap applies); ``levels`` has each cap with
        what is spent, held and left, and when it resets.
        """
        return _ask(proxy, BUDGET_PATH, vault_key)

    @server.tool()
    def explain_last_refusal() -> dict[str, Any]:
        """Tell why this run's last refused call was refused, what it would have cost, and what to do about it."""
        found = _ask(proxy, LAST_REFUSAL_PATH, vault_key)
        refusal = found.get("last_refusal")
        if refusal is None:
            return {**found, "explanation": "No call of this run has been refused."}
        return {**found, "explanation": explain(refusal), "advice": advice(str(refusal["code"]))}

    return server


def explain(refusal: dict[str, Any]) -> str:
    """One sentence about a refused call, from its fields in the audit."""
    call = refusal.get("operation") or " ".join(filter(None, (refusal.get("method"), refusal.get("path")))) or "A call"
    said = f"{call} was refused at {refusal['at']} with {refusal['code']}"
    if refusal.get("requested_usd") is not None:
        said += f": it would have cost up to ${refusal['requested_usd']}"
    if refusal.get("cap_usd") is not None and refusal["code"] == "cap_exhausted":
        said += (
            f", and the cap of ${refusal['cap_usd']} a {refusal['cap_window']} of the {refusal['cap_level']} "
            f"{refusal['cap_selector']} has not that much left"
        ).replace(" a total of", " in total of")
    return f"{said}."


def _ask(proxy: str, path: str, vault_key: str) -> dict[str, Any]:
    try:
        answer = ask_runcap(proxy, path, vault_key)
    except (OSError, http.client.HTTPException) as error:
        raise ToolError(f"runcap does not answer at {proxy.rpartition('@')[2]}: {error}") from error
    if answer.status != 200:
        raise ToolError(f"{answer.fields.get('code', answer.status)}: {answer.fields.get('message', 'no words')}")
    return answer.fields
