"""`runcap mcp`, asked by the official SDK's own client over stdio."""

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes.vendors import REPOSITORY

mcp = pytest.importorskip("mcp", reason="beside mitmproxy it needs Python 3.13")
mcpserver = pytest.importorskip("runcap.agents.mcpserver")

_TOTAL = (
    "POST /x was refused at T with cap_exhausted: it would have cost up to $2.00, "
    "and the cap of $1.00 in total of the fleet b- has not that much left."
)

pytestmark = pytest.mark.usefixtures("fakes")


def test_an_agent_asks(up: RuncapUp) -> None:
    """Its budget before and after a charge, and why the next one was refused."""
    run = up.issue("mcp", daily_usd="50")
    environment = {**up.agent_env(run), "PYTHONPATH": str(REPOSITORY / "addon")}
    asyncio.run(_dialogue(up, run, environment))


async def _dialogue(up: RuncapUp, run: IssuedRun, environment: dict[str, str]) -> None:
    command = mcp.StdioServerParameters(command=sys.executable, args=["-m", "runcap", "mcp"], env=environment)
    async with mcp.Client(mcp.stdio_client(command)) as client:
        tools = await client.list_tools()
        assert ["explain_last_refusal", "remaining_budget"] == sorted(tool.name for tool in tools.tools)
        assert "50.00" == (await _call(client, "remaining_budget"))["remaining_usd"]["stripe"]
        assert "No call of this run has been refused." == (await _call(client, "explain_last_refusal"))["explanation"]
        with Caller(up, run) as caller:
            assert [200, 429] == [caller.charge(cents).status for cents in (2000, 9000)]
        up.calls(run, 2)
        assert "30.00" == (await _call(client, "remaining_budget"))["remaining_usd"]["stripe"]
        found = await _call(client, "explain_last_refusal")
    assert "POST /v1/payment_intents was refused at " in found["explanation"]
    assert "it would have cost up to $90.00, and the cap of $50.00 a day of the run" in found["explanation"]
    assert found["advice"].startswith("Do something cheaper")


def test_a_revoked_key_is_an_error(up: RuncapUp) -> None:
    """The tool fails with the code and its sentence."""
    run = up.issue("mcp-revoked", daily_usd="50")
    assert 0 == up.cli("keys", "revoke", run.run_id)[0]

    async def ask() -> Any:
        async with mcp.Client(mcpserver.build_server(up.proxy, run.vault_key)) as client:
            return await client.call_tool("remaining_budget", {})

    result = asyncio.run(ask())
    assert result.is_error
    assert "key_revoked: This run's vault key has been revoked" in result.content[0].text


def test_outside_an_agents_environment(up: RuncapUp) -> None:
    """It is wrong usage."""
    assert 2 == up.cli("mcp")[0]


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (
            {"at": "T", "operation": "POST /emails", "code": "frozen", "requested_usd": None},
            "POST /emails was refused at T with frozen.",
        ),
        (
            {
                "at": "T", "operation": None, "method": "POST", "path": "/x", "code": "cap_exhausted",
                "requested_usd": "2.00", "cap_usd": "1.00", "cap_window": "total", "cap_level": "fleet",
                "cap_selector": "b-",
            },
            _TOTAL,
        ),
    ],
)  # fmt: skip
def test_the_sentence(refusal: dict[str, Any], expected: str) -> None:
    """From whatever the audit has of the call."""
    assert expected == mcpserver.explain(refusal)


async def _call(client: Any, tool: str) -> Any:
    result = await client.call_tool(tool, {})
    assert not result.is_error
    return json.loads(result.content[0].text)
