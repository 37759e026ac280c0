"""The files that an agent in a container needs, in one flat folder that can be mounted there."""

from pathlib import Path, PurePosixPath

from runcap.agents.environment import Place
from runcap.agents.javastore import STORE, java_store
from runcap.home import write_file
from runcap.pki.ca import Authority
from runcap.pki.trust import BUNDLE, bundle_pem
from runcap.shims import NODE_PRELOAD, PYTHON_FOLDER

FOLDER = "agent"
"""Below home."""
MOUNT = "/etc/runcap"
"""Where the folder is for the agent, unless it is told otherwise."""

_ROOT = "ca.pem"
_SITECUSTOMIZE = "sitecustomize.py"


def agent_files(authority: Authority) -> dict[str, bytes]:
    """The files by name: our root, both bundles, and the two shims."""
    bundle = bundle_pem(authority)
    return {
        _ROOT: authority.certificate_pem,
        BUNDLE: bundle,
        STORE: java_store(bundle),
        _SITECUSTOMIZE: (PYTHON_FOLDER / _SITECUSTOMIZE).read_bytes(),
        NODE_PRELOAD.name: NODE_PRELOAD.read_bytes(),
    }


def write_agent_files(home: Path, files: dict[str, bytes]) -> Path:
    """Write them below home, readable by anyone who can get there, and return the folder."""
    folder = home / FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            write_file(folder / name, content, mode=0o644)
    return folder


def mounted_place(mount: str) -> Place:
    """Where the files are for an agent that has the folder at `mount`."""
    folder = PurePosixPath(mount)
    return Place(
        root=str(folder / _ROOT),
        bundle=str(folder / BUNDLE),
        java_store=str(folder / STORE),
        python_folder=str(folder),
        node_preload=str(folder / NODE_PRELOAD.name),
    )
