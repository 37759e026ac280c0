"""Putting our root into the system's own trust store, for tools that read nothing else.

Go, Java and browsers on Linux and macOS look there. The root can sign for the vendors' names alone
(`runcap.pki.ca`), so trusting it on a whole machine gives away no other site.
"""

import shlex
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
    forget: tuple[str, ...] = ()
    """The command that makes it take notice of the root being gone; none: the same."""
    replaces: bool = False
    """What is there already has to be forgotten before."""

    def steps(self, root: Path) -> list[str]:
        """What `install` does, as commands for people."""
        copy = [shlex.join(("install", "-m", "0644", str(root), str(self.anchor)))] if self.anchor is not None else []
        before = [f"{shlex.join(self._command(self.forget, root))} || true"] if self.replaces else []
        return [*copy, *before, shlex.join(self._command(self.update, root))]

    def undo_steps(self, root: Path) -> list[str]:
        """What `uninstall` does, as commands for people."""
        unlink = [shlex.join(("rm", "-f", str(self.anchor)))] if self.anchor is not None else []
        return [*unlink, shlex.join(self._command(self.forget or self.update, root))]

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
        except PermissionError as error:
            raise TrustStoreError(f"{error.filename} may only be written by root: run it with sudo.") from error
        if self.replaces:
            subprocess.run(self._command(self.forget, root), check=False, capture_output=True)
        _run(self._command(self.update, root))

    def uninstall(self, root: Path) -> None:
        """Trust the root no longer.

        Raises:
            TrustStoreError: this user may not do that, or the system's own command failed.
        """
        try:
            if self.anchor is not None:
                self.anchor.unlink(missing_ok=True)
        except PermissionError as error:
            raise TrustStoreError(f"{error.filename} may only be removed by root: run it with sudo.") from error
        _run(self._command(self.forget or self.update, root))

    def _command(self, command: tuple[str, ...], root: Path) -> list[str]:
        return [part.format(root=root) for part in command]


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise TrustStoreError(f"{command[0]} cannot be run: {error.strerror}.") from error
    except subprocess.CalledProcessError as error:
        # keytool writes its errors to stdout, and what the JVM was told by JAVA_TOOL_OPTIONS to stderr.
        said = " ".join(f"{error.stderr} {error.stdout}".split())
        raise TrustStoreError(f"{command[0]} ended with {error.returncode}: {said}") from error


_MACOS = TrustStore(
    "macOS",
    None,
    ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain", "{root}"),
    ("security", "remove-trusted-cert", "-d", "{root}"),
)
_LINUX = (
    # update-ca-certificates(8) of Debian and Alpine takes files that end in .crt only.
    TrustStore(
        "Debian, Alpine",
        Path("/usr/local/share/ca-certificates/runcap.crt"),
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
    ),
    TrustStore("RHEL, Fedora", Path("/etc/pki/ca-trust/source/anchors/runcap.pem"), ("update-ca-trust", "extract")),
    TrustStore("Arch", None, ("trust", "anchor", "--store", "{root}"), ("trust", "anchor", "--remove", "{root}")),
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
