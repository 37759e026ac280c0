"""Putting our root into the system's own trust store, for tools that read nothing else.

Go, Java and browsers on Linux and macOS look there. The root can sign for the vendors' names alone (`runcap.ca`), so
trusting it on a whole machine gives away no other site.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runcap.home import write_file


class TrustStoreError(ValueError):
    """The root could not be put into the trust store. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TrustStore:
    """One kind of system's trust store."""

    name: str
    anchor: Path | None
    """Where the root is copied to; None: the command takes the file itself."""
    update: tuple[str, ...]
    """The command that makes the system take notice; ``{root}`` stands for the root's file."""

    def steps(self, root: Path) -> list[str]:
        """What `install` does, as commands for people."""
        copy = [f"install -m 0644 {root} {self.anchor}"] if self.anchor is not None else []
        return [*copy, " ".join(self._command(root))]

    def install(self, root: Path) -> None:
        """Trust the root.

        Raises:
            TrustStoreError: there is no root yet, this user may not do that, or the system's own command failed.
        """
        try:
            pem = root.read_bytes()
        except FileNotFoundError:
            raise TrustStoreError(f"There is no root {root} yet: `runcap ca show` makes one.") from None
        try:
            if self.anchor is not None:
                write_file(self.anchor, pem, mode=0o644)
            subprocess.run(self._command(root), check=True, capture_output=True, text=True)
        except PermissionError as error:
            raise TrustStoreError(f"{error.filename} may only be written by root: run it with sudo.") from error
        except subprocess.CalledProcessError as error:
            raise TrustStoreError(f"{self.update[0]} ended with {error.returncode}: {error.stderr.strip()}") from error

    def _command(self, root: Path) -> list[str]:
        return [part.format(root=root) for part in self.update]


_MACOS = TrustStore(
    "macOS",
    None,
    ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain", "{root}"),
)
_LINUX = (
    # update-ca-certificates(8) of Debian and Alpine takes files that end in .crt only.
    TrustStore("Debian, Alpine", Path("/usr/local/share/ca-certificates/runcap.crt"), ("update-ca-certificates",)),
    TrustStore("RHEL, Fedora", Path("/etc/pki/ca-trust/source/anchors/runcap.pem"), ("update-ca-trust", "extract")),
    TrustStore("Arch", None, ("trust", "anchor", "--store", "{root}")),
)


def find_store() -> TrustStore:
    """The trust store of this system.

    Raises:
        TrustStoreError: it is none that is known here.
    """
    for store in (_MACOS,) if sys.platform == "darwin" else _LINUX:
        if shutil.which(store.update[0]) is not None:
            return store
    raise TrustStoreError(
        "This system has none of update-ca-certificates, update-ca-trust, trust and security: "
        "point its tools to the file that `runcap ca export --bundle` writes."
    )
