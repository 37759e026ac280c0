"""What SECURITY.md and docs/egress.md promise is there."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from runcap.cli import COMMANDS, cli
from runcap.config import load
from runcap.config.file import ConfigError

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "SECURITY.md", REPOSITORY / "docs" / "egress.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(path: Path) -> None:
    """With its options and sub-commands: an operator copies them."""
    named = re.findall(r"`?runcap ([a-z]+)((?: (?:--)?[a-z][a-z-]+)*)", path.read_text(encoding="utf-8"))
    commands = [(noun, rest.split()) for noun, rest in named if noun in COMMANDS]
    assert commands
    for noun, rest in commands:
        command = cli.get_command(click.Context(cli), noun)
        for word in rest:
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("--"):
                assert command is not None
                assert [word] == [opt for param in command.params for opt in param.opts if opt == word], (noun, word)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Within the repository."""
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert links
    assert [] == [link for link in links if not (path.parent / link).exists()]


def test_the_configuration_that_is_shown_is_accepted(tmp_path: Path) -> None:
    """And the same without the key is refused, as SECURITY.md says."""
    [shown] = re.findall(r"```toml\n(.*?)```", DOCUMENTS[1].read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "runcap.toml"
    path.write_text(shown)
    assert "vault_key" == load(path).proxy.auth
    path.write_text(shown.replace('auth = "vault_key"\n', ""))
    with pytest.raises(ConfigError, match="other machines can reach"):
        load(path)


def test_examples_name_the_default_ports() -> None:
    """A rule for other ports would lock the agents out, or in."""
    for name in ("egress.nft", "networkpolicy.yaml"):
        text = (REPOSITORY / "ca" / name).read_text(encoding="utf-8")
        config = load()
        assert config.proxy.gateway is not None
        assert [True, True] == [str(port) in text for port in (config.proxy.listen.port, config.proxy.gateway.port)]


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not on PATH")
def test_nftables_takes_the_rules(tmp_path: Path) -> None:
    """Checked, not put into force; the user need not exist here."""
    rules = tmp_path / "egress.nft"
    rules.write_text((REPOSITORY / "ca" / "egress.nft").read_text().replace('"agent"  ', "65534"))
    done = subprocess.run(["nft", "-c", "-f", str(rules)], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft needs more rights to check")
    assert (0, "") == (done.returncode, done.stderr)
