"""Stands in for the tools of systems that are not this one: each takes what its manual says, and nothing else.

``python standins.py TOOL ARGUMENT…``. Where it keeps its state is where the tool itself does, but for macOS' keychains,
whose place is STANDIN_KEYCHAINS. Sources, read 2026-11-24: update-ca-trust(8) of Fedora's ca-certificates;
update-ca.c of Alpine's ca-certificates (alpinelinux/ca-certificates); trust(1) of p11-kit; security(1) of macOS.
"""

import argparse
import hashlib
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

_SYSTEM_KEYCHAIN = "/Library/Keychains/System.keychain"


def update_ca_trust(arguments: list[str]) -> int:
    """``update-ca-trust [extract]``: all of the anchors' folder goes into the bundles."""
    if arguments not in ([], ["extract"]):
        return _usage("update-ca-trust [extract]")
    _join(Path("/etc/pki/ca-trust/source/anchors").iterdir(), Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"))
    return 0


def update_ca_certificates(_arguments: list[str]) -> int:
    """Alpine's looks at no argument; it takes each ``.crt`` of the local folder, and links it."""
    certs, local = Path("/etc/ssl/certs"), Path("/usr/local/share/ca-certificates")
    for link in certs.iterdir():
        if link.is_symlink() and link.readlink().is_relative_to(local):
            link.unlink()
    found = sorted(local.glob("*.crt"))
    for path in found:
        (certs / f"ca-cert-{path.stem}.pem").symlink_to(path)
    _join(found, certs / "ca-certificates.crt")
    return 0


def trust(arguments: list[str]) -> int:
    """``trust anchor [--store] FILE``, ``trust anchor --remove FILE``: kept by content, not by name."""
    sources = Path("/etc/ca-certificates/trust-source")
    match arguments:
        case ["anchor", "--store", file]:
            content = Path(file).read_bytes()
            (sources / f"{hashlib.sha256(content).hexdigest()}.p11-kit").write_bytes(content)
        case ["anchor", "--remove", file]:
            (sources / f"{hashlib.sha256(Path(file).read_bytes()).hexdigest()}.p11-kit").unlink(missing_ok=True)
        case _:
            return _usage("trust anchor [--store|--remove] FILE")
    _join(sources.glob("*.p11-kit"), Path("/etc/ca-certificates/extracted/tls-ca-bundle.pem"))
    return 0


def security(arguments: list[str]) -> int:
    """``add-trusted-cert``, ``remove-trusted-cert`` and ``delete-certificate``, for administrators."""
    keychains = Path(os.environ["STANDIN_KEYCHAINS"])
    settings, certificates = keychains / "settings", keychains / "certificates"
    parser = argparse.ArgumentParser("security")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add-trusted-cert")
    add.add_argument("-d", action="store_true", required=True)
    add.add_argument("-r", choices=["trustRoot", "trustAsRoot", "deny", "unspecified"], required=True)
    add.add_argument("-k", choices=[_SYSTEM_KEYCHAIN], required=True)
    add.add_argument("file", type=Path)
    remove = commands.add_parser("remove-trusted-cert")
    remove.add_argument("-d", action="store_true", required=True)
    remove.add_argument("file", type=Path)
    delete = commands.add_parser("delete-certificate")
    delete.add_argument("-Z", dest="sha1", required=True)
    delete.add_argument("keychain", choices=[_SYSTEM_KEYCHAIN])
    told = parser.parse_args(arguments)
    if told.command == "add-trusted-cert":
        for folder in (settings, certificates):
            (folder / _sha1(told.file)).write_bytes(told.file.read_bytes())
        return 0
    path = certificates / told.sha1 if told.command == "delete-certificate" else settings / _sha1(told.file)
    if not path.exists():
        sys.stderr.write("The specified item could not be found in the keychain.\n")
        return 1
    path.unlink()
    return 0


def _sha1(path: Path) -> str:
    der = ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii"))
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def _join(sources: object, bundle: Path) -> None:
    bundle.write_bytes(b"".join(path.read_bytes() for path in sorted(sources)))  # type: ignore[call-overload]


def _usage(text: str) -> int:
    sys.stderr.write(f"usage: {text}\n")
    return 2


TOOLS: dict[str, Callable[[list[str]], int]] = {
    "update-ca-trust": update_ca_trust,
    "update-ca-certificates": update_ca_certificates,
    "trust": trust,
    "security": security,
}

if __name__ == "__main__":
    sys.exit(TOOLS[sys.argv[1]](sys.argv[2:]))
