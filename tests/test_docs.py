"""What the documents say is so: commands, options, codes, files and links."""

import re
import shlex
from pathlib import Path

import click
import pytest

from runcap.cli import cli
from runcap.decision import STATUS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINKS = re.compile(r"\]\((?!https?:)([^)#]+)")


def commands(text: str) -> list[list[str]]:
    """The runcap commands of all shell blocks, continued lines joined and comments cut off."""
    found = []
    for block in BLOCKS.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            starts = re.finditer(r"(?:^|\(|-- )(runcap [^)]*)", line)
            found += [shlex.split(start[1].replace("…", "x"), comments=True) for start in starts]
    return found


ALL = [(path.name, words) for path in DOCUMENTS for words in commands(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("document", "words"), ALL, ids=[f"{name}: {' '.join(words)}" for name, words in ALL])
def test_documented_commands_exist_with_their_options(document: str, words: list[str]) -> None:
    """Each command in a document is one of ours, and takes the options that are shown."""
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group):
        context = click.Context(command)
        following = command.get_command(context, rest.pop(0))
        assert following is not None, f"{document}: {' '.join(words)}"
        command = following
    if "--" in rest:
        rest = rest[: rest.index("--")]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= known


def test_there_are_documented_commands() -> None:
    """The parser above finds what it should."""
    names = {" ".join(words[:3]) for name, words in ALL if name == "README.md"}
    assert {"runcap keys issue", "runcap caps set", "runcap audit verify"} <= names


def test_every_code_is_documented_with_its_status() -> None:
    """The README's table has each reason code, with the status that it is answered with."""
    documented: dict[str, int] = {}
    for codes, status in re.findall(r"^\| ((?:`[a-z_]+` ?)+)\| (\d{3}) \|", README, re.MULTILINE):
        documented |= dict.fromkeys(re.findall(r"`([a-z_]+)`", codes), int(status))

    assert {str(code): status for code, status in STATUS.items()} == documented


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Links between documents lead to files that exist."""
    targets = [path.parent / link for link in LINKS.findall(path.read_text(encoding="utf-8"))]

    assert [] == [str(target) for target in targets if not target.exists()]


def test_make_targets_that_are_named_exist() -> None:
    """Whatever a document tells people to make can be made."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set()
    for path in DOCUMENTS:
        named |= set(re.findall(r"(?:`|^)make ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE))

    assert {"demo", "test", "run", "lint"} <= named
    assert set() == {target for target in named if re.search(rf"^{target}:", makefile, re.MULTILINE) is None}
