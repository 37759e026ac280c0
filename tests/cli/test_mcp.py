"""`runcap mcp`, where it cannot serve; `tests/clients` has it at work."""

import sys

import pytest

from tests.cli.conftest import Runcap


@pytest.mark.parametrize(
    ("version", "expected"),
    [((3, 12), "needs Python 3.13; `GET http://runcap.local/budget`"), ((3, 13), "runcap[mcp]")],
)
def test_without_its_sdk(
    runcap: Runcap, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], expected: str
) -> None:
    """One sentence says how to get it, or what there is instead."""
    monkeypatch.setenv("RUNCAP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNCAP_VAULT_KEY", "vk_x")
    for name in [name for name in sys.modules if name == "mcp" or name.startswith("mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "runcap.agents.mcpserver", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setattr(sys, "version_info", version)
    result = runcap("mcp")
    assert (1, "") == (result.code, result.out)
    assert expected in result.err
