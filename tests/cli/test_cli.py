"""The frame of the command line: help without imports, and errors in one sentence."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from runcap import __version__
from runcap.cli import COMMANDS, cli
from tests.cli.conftest import Runcap


def test_help_lists_every_command(runcap: Runcap) -> None:
    """Each with one line."""
    result = runcap("--help")
    assert (0, "") == (result.code, result.err)
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in result.out
        assert text in result.out


def test_help_imports_no_command() -> None:
    """It is quick: none of the modules that it tells of, and nothing heavy, is loaded for it."""
    script = (
        "import sys; from runcap.cli import COMMANDS, main; main(['--help']);"
        "heavy = {'mitmproxy', 'redis', 'cryptography', 'uvloop', *(m for m, _ in COMMANDS.values())};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (0, "") == (ended.returncode, ended.stderr)


def test_version(runcap: Runcap) -> None:
    """``--version`` says it."""
    assert f"runcap, version {__version__}\n" == runcap("--version").out


def test_an_unknown_command(runcap: Runcap) -> None:
    """Wrong usage exits with 2 and names what was meant."""
    result = runcap("keyz")
    assert 2 == result.code
    assert "there is no command 'keyz': did you mean 'keys'?" in result.err


@pytest.mark.parametrize("name", ["keys", "caps", "freeze", "unfreeze", "env", "secrets", "ca", "exec"])
def test_the_table_is_true(name: str) -> None:
    """The module has a command of that name, with help of its own."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert name == command.name
    assert command.help


def test_a_wrong_configuration(runcap: Runcap, tmp_path: Path) -> None:
    """It exits with 2 and one sentence, without a traceback."""
    (tmp_path / "runcap.toml").write_text("[proxy]\nworkrs = 2\n")
    result = runcap("keys", "list")
    expected = f"Error: {tmp_path}/runcap.toml: there is no option proxy.workrs: did you mean 'workers'?\n"
    assert (2, "", expected) == (result.code, result.out, result.err)


def test_a_ledger_out_of_reach(runcap: Runcap, tmp_path: Path) -> None:
    """It exits with 1 and one sentence."""
    (tmp_path / "runcap.toml").write_text(f'[ledger]\nurl = "unix://{tmp_path}/nobody.sock"\n')
    result = runcap("keys", "list")
    assert (1, "") == (result.code, result.out)
    assert "Error: The ledger cannot be asked just now" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_an_open_home(runcap: Runcap, tmp_path: Path) -> None:
    """A home that others can read is refused by every command that uses it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "something").touch()
    result = runcap("keys", "list")
    assert 1 == result.code
    assert result.err.startswith(f"Error: The home folder {home} is open to other users")


def test_a_lost_ledger_is_not_made_anew(runcap: Runcap, tmp_path: Path) -> None:
    """An empty ledger beside a remote audit may be one that has lost its counters: no command initialises it."""
    from runcap.ledger.embedded import EmbeddedLedger

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    with EmbeddedLedger(elsewhere) as server:
        (tmp_path / "runcap.toml").write_text(f'[ledger]\nurl = "{server.url}"\n')
        result = runcap("keys", "issue", "--label", "x", "--total-usd", "1")
    assert (1, "") == (result.code, result.out)
    assert "start `runcap up` where the audit is" in result.err
