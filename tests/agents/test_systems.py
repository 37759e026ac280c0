"""`runcap ca install` on each system that it knows: Debian's with its own tool, the others with stand-ins.

Each runs where nothing of this machine can be changed: /etc and /usr/local/share are writable copies of its own, in a
mount namespace that ends with it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runcap.agents.truststore import find_store
from runcap.pki.ca import Authority
from tests.agents import standins, storing
from tests.fakes.vendors import REPOSITORY

_NAMESPACE = """
set -e
mount -t tmpfs none "$ROOM"
for folder in /etc /usr/local/share; do
    upper="$ROOM/$(basename "$folder")"
    mkdir "$upper" "$upper.work"
    mount -t overlay none -o "lowerdir=$folder,upperdir=$upper,workdir=$upper.work" "$folder"
done
rm -rf /etc/ca-certificates/update.d  # what else the system does with its roots, such as Java's own list
mkdir -p $FOLDERS
eval "$PREPARE" >/dev/null 2>&1
exec "$@"
"""


@dataclass(frozen=True)
class System:
    """One kind of system."""

    name: str
    tool: str
    bundle: str
    """What programs trust there: a file, or a folder with a file for each root."""
    folders: tuple[str, ...]
    """What the tool may change."""
    prepare: str = ""
    """Brings the system into a state that its own tool has made."""
    real: bool = False


SYSTEMS = (
    System(
        "debian", "update-ca-certificates", "/etc/ssl/certs/ca-certificates.crt",
        ("/etc/ssl/certs", "/usr/local/share/ca-certificates"),
        "sed -i 15q /etc/ca-certificates.conf; rm -r /etc/ssl/certs/*; update-ca-certificates", real=True,
    ),
    System(
        "alpine", "update-ca-certificates", "/etc/ssl/certs/ca-certificates.crt",
        ("/etc/ssl/certs", "/usr/local/share/ca-certificates"), "update-ca-certificates",
    ),
    System(
        "rhel", "update-ca-trust", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        ("/etc/pki/ca-trust/source/anchors", "/etc/pki/ca-trust/extracted/pem"), "update-ca-trust",
    ),
    System(
        "arch", "trust", "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
        ("/etc/ca-certificates/trust-source", "/etc/ca-certificates/extracted"),
        "touch /etc/ca-certificates/extracted/tls-ca-bundle.pem",
    ),
    System("darwin", "security", "/etc/keychains/settings", ("/etc/keychains/settings", "/etc/keychains/certificates")),
)  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_installed_and_gone_again(system: System, tmp_path: Path) -> None:
    """A dry run changes nothing; what is installed twice is there once; what is uninstalled leaves no trace."""
    steps = storing_on(system, tmp_path)
    assert list(storing.STEPS) == list(steps)
    assert {0} == {step["code"] for step in steps.values()}
    digests = {name: step["digest"] for name, step in steps.items()}
    assert digests["before"] == digests["dry run"] == digests["uninstalled"]
    assert digests["installed"] == digests["installed twice"] == digests["dry undoing"] != digests["before"]
    trusted = [name for name, step in steps.items() if step["trusted"]]
    assert ["installed", "installed twice", "dry undoing"] == trusted


def storing_on(system: System, folder: Path) -> dict[str, dict[str, object]]:
    """What `runcap ca` did there, by step."""
    platform = system.name if system.name == "darwin" else "linux"
    said = inside(
        system, folder, sys.executable, "-m", "tests.agents.storing", platform, system.bundle, *system.folders
    )
    return {step["step"]: step for step in map(json.loads, filter(lambda line: line.startswith('{"step"'), said))}


def inside(system: System, folder: Path, *command: str) -> list[str]:
    """The lines that a command prints on such a system."""
    room, path = folder / "room", f"{folder}/bin:/usr/bin:/bin"
    room.mkdir()
    if system.real:
        if shutil.which(system.tool, path="/usr/sbin") is None:
            pytest.skip("this is no Debian")
        path = f"/usr/sbin:{path}"
    else:
        stand_in(system.tool, folder / "bin")
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _NAMESPACE, "sh", *command],
        env={
            "PATH": path, "ROOM": str(room), "FOLDERS": " ".join(system.folders), "PREPARE": system.prepare,
            "HOME": str(folder), "RUNCAP_HOME": "home", "STANDIN_KEYCHAINS": "/etc/keychains",
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/addon", "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if ended.stderr.startswith(("unshare: unshare failed", "mount: ")):
        pytest.skip(f"there are no mount namespaces here: {ended.stderr.strip()}")
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout.splitlines()


_COMMANDS = (
    "awk", "basename", "cat", "chmod", "comm", "cp", "dirname", "find", "grep", "head", "ln", "mktemp", "mv", "openssl",
    "readlink", "rm", "run-parts", "sed", "sh", "sort", "test", "tr", "wc",
)  # fmt: skip
"""What an image has besides its own tool for roots."""


@pytest.mark.parametrize("name", ["debian", "rhel"])
def test_an_agents_image(name: str, tmp_path: Path) -> None:
    """What ca/Dockerfile runs makes the copied root trusted, whichever of the tools the image has."""
    system = next(system for system in SYSTEMS if system.name == name)
    Authority.load_or_create(tmp_path / "ca")
    root = (tmp_path / "ca" / "ca.pem").read_text(encoding="ascii")
    recipe = (REPOSITORY / "ca" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    copied = re.findall(r"^COPY ca\.pem (\S+)$", recipe, re.MULTILINE)
    steps = re.findall(r"^RUN (.+)$", recipe, re.MULTILINE)
    assert (1, 1) == (len(copied), len(steps))
    script = f'cp ca/ca.pem "{copied[0]}"; PATH="$(pwd)/image"; {steps[0]}'
    (tmp_path / "image").mkdir()
    for tool in (*_COMMANDS, system.tool):
        found = shutil.which(tool, path=f"{tmp_path}/bin:/usr/sbin:/usr/bin:/bin") or f"{tmp_path}/bin/{tool}"
        (tmp_path / "image" / tool).symlink_to(found)
    printed = inside(system, tmp_path, "/bin/sh", "-c", f"{{ {script}; }} >&2; /bin/cat {system.bundle}")
    assert root.strip() in "\n".join(printed)


def stand_in(tool: str, folder: Path) -> None:
    """Put a stand-in on PATH under the tool's own name."""
    folder.mkdir()
    command = folder / tool
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{standins.__file__}" {tool} "$@"\n')
    command.chmod(0o755)


@pytest.mark.parametrize("tool", [name for name in standins.TOOLS if name != "update-ca-certificates"])
def test_the_stand_ins_refuse_what_the_manual_does_not_have(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but Alpine's, which looks at nothing; and each is what `runcap ca` takes for its system."""
    stand_in(tool, tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setattr("sys.platform", "darwin" if tool == "security" else "linux")
    assert tool == find_store().update[0]
    env = {**os.environ, "STANDIN_KEYCHAINS": str(tmp_path)}
    ended = subprocess.run(
        [tmp_path / "bin" / tool, "--nonsense"], env=env, capture_output=True, text=True, check=False
    )
    assert (2, True) == (ended.returncode, "usage: " in ended.stderr)
