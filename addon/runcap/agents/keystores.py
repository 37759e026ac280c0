"""Trust stores of programs that have their own: Java's keystore, and NSS' databases (Firefox, Chromium on Linux)."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from runcap.agents.javastore import PASSWORD
from runcap.agents.truststore import TrustStore, TrustStoreError

_NAME = "runcap"
"""The alias, or nickname, of the root in each store."""

_FIREFOX = (
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
)
"""Where its profiles are, below the user's home: as a package, as a snap, as a Flatpak, on macOS."""


def java_store(keystore: Path | None) -> TrustStore:
    """A Java keystore.

    Args:
        keystore: its file, made if it is not there; None: the cacerts of the Java whose keytool is on PATH (Java 9 and
            later), whose password is Java's default.

    Raises:
        TrustStoreError: there is no keytool.
    """
    if shutil.which("keytool") is None:
        raise TrustStoreError("There is no keytool on PATH: it comes with Java.")
    where = ("-cacerts",) if keystore is None else ("-keystore", str(keystore))
    common = ("-alias", _NAME, *where, "-storepass", PASSWORD)
    return TrustStore(
        "Java's cacerts" if keystore is None else str(keystore),
        None,
        ("keytool", "-importcert", "-noprompt", "-file", "{root}", *common),
        (("keytool", "-delete", *common),),
        replaces=True,  # keytool refuses an alias that is there already
    )


def nss_stores(databases: Sequence[Path] = ()) -> list[TrustStore]:
    """NSS' databases.

    Args:
        databases: their folders; none: the user's own (Chromium on Linux) and each Firefox profile's.

    Raises:
        TrustStoreError: there is no certutil, or no database.
    """
    if shutil.which("certutil") is None:
        package = "nss" if sys.platform == "darwin" else "libnss3-tools or nss-tools"
        raise TrustStoreError(f"There is no certutil on PATH: it comes with {package}.")
    found = list(databases) or _find_databases(Path.home())
    if not found:
        raise TrustStoreError("There is no NSS database: start Firefox once, or name one with --nss-db.")
    return [_nss_store(folder) for folder in found]


def _nss_store(folder: Path) -> TrustStore:
    common = ("-d", f"sql:{folder}", "-n", _NAME)
    return TrustStore(
        str(folder),
        None,
        ("certutil", "-A", "-t", "C,,", "-i", "{root}", *common),
        (("certutil", "-D", *common),),
        replaces=True,  # another root under the same nickname would stay trusted beside it
    )


def _find_databases(home: Path) -> list[Path]:
    own = home / ".pki" / "nssdb"
    profiles = [path.parent for folder in _FIREFOX for path in sorted((home / folder).glob("*/cert9.db"))]
    return [*([own] if (own / "cert9.db").exists() else []), *profiles]
