"""Putting our root into the system's own trust store, for tools that read nothing else.

Go, Java and browsers on Linux and macOS look there. The root can sign for the vendors' names alone
(`runcap.pki.ca`), so trusting it on a whole machine gives away no other site.
"""

import hashlib
import shlex
import shutil
import ssl
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
    forget: tuple[tuple[str, ...], ...] = ()
    """The commands that make it take notice of the root being gone (``{sha1}`` is its digest); none: `update`."""
    replaces: bool = False
    """What is there already has to be forgotten before."""

    def steps(self, root: Path) -> list[str]:
        """What `install` does, as commands for people."""
        copy = [shlex.join(("install", "-m", "0644", str(root), str(self.anchor)))] if self.anchor is not None else []
        before = [f"{command} || true" for command in self._forgetting(root)] if self.replaces else []
        return [*copy, *before, shlex.join(_filled(self.update, root))]

    def undo_steps(self, root: Path) -> list[str]:
        """What `uninstall` does, as commands for people."""
        unlink = [shlex.join(("rm", "-f", str(self.anchor)))] if self.anchor is not None else []
        return [*unlink, *self._forgetting(root)]

    def _forgetting(self, root: Path) -> list[str]:
        return [shlex.join(_filled(command, root)) for command in self.forget or (self.update,)]

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
        for command in self.forget if self.replaces else ():
            subprocess.run(_filled(command, root), check=False, capture_output=True)
        _run(_filled(self.update, root))

    def uninstall(self, root: Path) -> None:
        """Trust the root no longer.

        Raises:
            TrustStoreError: this user may not do that, or one of the system's own commands failed; the others have
                been run all the same.
        """
        try:
            if self.anchor is not None:
                self.anchor.unlink(missing_ok=True)
        except PermissionError as error:
            raise TrustStoreError(f"{error.filename} may only be removed by root: run it with sudo.") from error
        errors: list[TrustStoreError] = []
        for command in self.forget or (self.update,):
            try:
                _run(_filled(command, root))
            except TrustStoreError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _filled(command: tuple[str, ...], root: Path) -> list[str]:
    sha1 = _sha1(root) if any("{sha1}" in part for part in command) else ""
    return [part.format(root=root, sha1=sha1) for part in command]


def _sha1(root: Path) -> str:
    """How macOS names a certificate."""
    try:
        der = ssl.PEM_cert_to_DER_cert(root.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise TrustStoreError(f"The root {root} cannot be read: {error}.") from error
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise TrustStoreError(f"{command[0]} cannot be run: {error.strerror}.") from error
    except subprocess.CalledProcessError as error:
        # keytool writes its errors to stdout, and what the JVM was told by JAVA_TOOL_OPTIONS to stderr.
        said = " ".join(f"{error.stderr} {error.stdout}".split())
        raise TrustStoreError(f"{command[0]} ended with {error.returncode}: {said}") from error


_KEYCHAIN = "/Library/Keychains/System.keychain"
# security(1): `remove-trusted-cert` takes the trust settings away and leaves the certificate in the keychain. Since
# macOS 11 they are changed only after an administrator's password (macOS Big Sur 11 release notes, 2020).
_MACOS = TrustStore(
    "macOS",
    None,
    ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", _KEYCHAIN, "{root}"),
    (
        ("security", "remove-trusted-cert", "-d", "{root}"),
        ("security", "delete-certificate", "-Z", "{sha1}", _KEYCHAIN),
    ),
)
_LINUX = (
    # update-ca-certificates(8) of Debian and Alpine takes files that end in .crt only.
    TrustStore(
        "Debian, Alpine",
        Path("/usr/local/share/ca-certificates/runcap.crt"),
        ("update-ca-certificates",),
        (("update-ca-certificates", "--fresh"),),  # Alpine's takes no option, and needs none
    ),
    TrustStore("RHEL, Fedora", Path("/etc/pki/ca-trust/source/anchors/runcap.pem"), ("update-ca-trust", "extract")),
    TrustStore("Arch", None, ("trust", "anchor", "--store", "{root}"), (("trust", "anchor", "--remove", "{root}"),)),
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
