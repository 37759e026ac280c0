"""What makes clients use the proxy that take no notice of the environment: one file for Python, one for Node.

Both are found through the environment (PYTHONPATH, NODE_OPTIONS) and stand before what the user has there already.
"""

import os
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent

PYTHON_FOLDER = _FOLDER / "python"
"""A path entry that holds nothing but ``sitecustomize.py``."""
NODE_PRELOAD = _FOLDER / "node" / "preload.cjs"


def shim_variables(
    environment: Mapping[str, str], *, python_folder: str = str(PYTHON_FOLDER), node_preload: str = str(NODE_PRELOAD)
) -> dict[str, str]:
    """PYTHONPATH and NODE_OPTIONS with our entries first.

    Args:
        environment: holds what the user has there already.
        python_folder: where the path entry is for the agent, if not here.
        node_preload: where the preload is for the agent.
    """
    entries = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [python_folder, *(entry for entry in entries if entry != python_folder)]
    option = f"--require={_quoted(node_preload)}"
    options = environment.get("NODE_OPTIONS", "")
    if option not in options:
        options = f"{option} {options}".rstrip()
    return {"PYTHONPATH": os.pathsep.join(paths), "NODE_OPTIONS": options}


def without_shims(environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH and NODE_OPTIONS without our entries, where they have any: an agent may start another one."""
    changed: dict[str, str] = {}
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    if str(PYTHON_FOLDER) in entries:
        changed["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if entry != str(PYTHON_FOLDER))
    options, option = environment.get("NODE_OPTIONS", ""), f"--require={_quoted(str(NODE_PRELOAD))}"
    if option in options:
        changed["NODE_OPTIONS"] = options.replace(option, "").strip()
    return changed


def _quoted(path: str) -> str:
    r"""As NODE_OPTIONS takes it: in double quotes where it has blanks, ``"`` and ``\`` escaped (nodejs.org/api/cli)."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if " " in path else escaped
