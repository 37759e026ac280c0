"""`runcap ca install` and `uninstall` from end to end, on whatever system this process finds around it.

``python storing.py PLATFORM BUNDLE FOLDER…`` prints a JSON line for each step: whether BUNDLE holds the root, and a
digest of all that is in the folders. It changes the system: it is to run where that is nobody's.
"""

import hashlib
import json
import sys
from pathlib import Path

from runcap.cli import main

STEPS = {
    "before": None,
    "dry run": ("install", "--dry-run"),
    "installed": ("install",),
    "installed twice": ("install",),
    "dry undoing": ("uninstall", "--dry-run"),
    "uninstalled": ("uninstall",),
}


def digest(folders: list[Path]) -> str:
    """Of every file's name and content, and of where every link leads."""
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        found.append(f"{path} {content}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def run(platform: str, bundle: Path, folders: list[Path]) -> None:
    """All steps in order; the first that fails ends it."""
    sys.platform = platform
    main(["ca", "show"])
    root = Path("home/ca/ca.pem").read_text(encoding="ascii").strip()
    for step, command in STEPS.items():
        code = main(["ca", *command]) if command is not None else 0
        trusted = bundle.is_dir() and any(bundle.iterdir())
        if bundle.is_file():
            trusted = root in bundle.read_text(encoding="utf-8")
        print(json.dumps({"step": step, "code": code, "trusted": trusted, "digest": digest(folders)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), [Path(folder) for folder in sys.argv[3:]])
