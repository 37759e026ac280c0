"""Making a root elsewhere, and replacing one: first agents trust both, then only the new one.

`begin` makes the next root in ``ca/next``, an authority's folder like any other, and adds its certificate to ``ca.pem``
and so to the bundle; leaves go on being signed by the old root. When every agent has the new bundle, `finish` puts
the next root in the old one's place. Nobody trusts the old one any more then: that is its revocation, since a root
that clients find in a file of theirs is on no revocation list. ``retired.pem`` keeps such roots' certificates, so that
a bundle never takes them from the system's list again.
"""

import shutil
from pathlib import Path

from runcap.home import locked, prepare, read_private, write_file
from runcap.pki.ca import Authority, AuthorityError
from runcap.pki.certificates import pem_of
from runcap.pki.files import CERTIFICATE, KEY, LEAVES
from runcap.pki.trust import RETIRED, write_bundle

_NEXT = "next"


def make_offline(elsewhere: Path, folder: Path) -> Authority:
    """Make a root whose key stays `elsewhere`, and leaves from it in `folder`, which serves without a root key.

    Raises:
        AuthorityError: either has a root already.
        HomeError: a folder is open to other users.
    """
    for place in (elsewhere, folder):
        if (place / CERTIFICATE).exists():
            raise AuthorityError(f"{place} has a root already: `runcap ca rotate` replaces it.")
    root = Authority.load_or_create(elsewhere)
    root.write_leaves(folder)
    return root


def sign_from(elsewhere: Path, folder: Path) -> Authority:
    """Make new leaves in `folder` from a root that is `elsewhere`, be it that folder's root or its next one.

    Raises:
        AuthorityError: there is no such root with its key, or the folder has another.
        HomeError: a folder is open to other users.
    """
    root = Authority.load(elsewhere)
    if not (folder / CERTIFICATE).exists():
        root.write_leaves(folder)
        return root
    here = Authority.load(folder)
    if here.successor == root.certificate:
        root.write_leaves(folder / _NEXT)
        return root
    if here.certificate != root.certificate:
        raise AuthorityError(
            f"{folder} has the root {here.name}, and {elsewhere} has {root.name}: "
            "`runcap ca rotate --offline` replaces a root."
        )
    if not here.offline:
        raise AuthorityError(f"{folder} has the root's key itself, and makes its leaves as it needs them.")
    root.write_leaves(folder)
    write_file(folder / CERTIFICATE, here.certificate_pem, mode=0o644)  # with the next root, if one is on its way
    return root


def begin(folder: Path, elsewhere: Path | None = None) -> Authority:
    """Make the next root, here or with its key `elsewhere`, and let the bundle have both.

    Raises:
        AuthorityError: a rotation is under way already, there is nothing to replace, or `elsewhere` has a root.
        HomeError: a folder is open to other users.
    """
    current = Authority.load(folder)
    with locked(folder / ".lock"):
        if current.successor is not None:
            raise AuthorityError("The root is being replaced already: end that with `runcap ca rotate --finish`.")
        shutil.rmtree(folder / _NEXT, ignore_errors=True)  # of one that was cut off before anybody trusted it
        if elsewhere is None:
            following = Authority.load_or_create(folder / _NEXT)
        else:
            following = make_offline(elsewhere, folder / _NEXT)
        both = pem_of(current.certificate) + pem_of(following.certificate)
        write_file(folder / CERTIFICATE, both, mode=0o644)
    write_bundle(Authority.load(folder))
    return following


def finish(folder: Path) -> Authority:
    """Put the next root in the place of the current one. Cut off at any point, it can be called again.

    Raises:
        AuthorityError: no rotation is under way, or its files cannot be used.
        HomeError: a folder is open to other users.
    """
    following_folder = folder / _NEXT
    if not (following_folder / CERTIFICATE).exists():
        raise AuthorityError("No root is being replaced: begin with `runcap ca rotate`.")
    following = Authority.load(following_folder)
    with locked(folder / ".lock"):
        _retire(folder, pem_of(following.certificate))
        if following.offline:
            _copy_leaves(following_folder / LEAVES, prepare(folder / LEAVES))
            (folder / KEY).unlink(missing_ok=True)
        else:
            write_file(folder / KEY, read_private(following_folder / KEY))
        write_file(folder / CERTIFICATE, pem_of(following.certificate), mode=0o644)
        if not following.offline:
            shutil.rmtree(folder / LEAVES, ignore_errors=True)
        (following_folder / CERTIFICATE).unlink()
        shutil.rmtree(following_folder)
    authority = Authority.load(folder)
    write_bundle(authority)
    return authority


def _retire(folder: Path, following_pem: bytes) -> None:
    """Remember the root that goes; once `ca.pem` has the next one, there is nothing left to remember."""
    leaving = (folder / CERTIFICATE).read_bytes().replace(following_pem, b"")
    path = folder / RETIRED
    retired = path.read_bytes() if path.exists() else b""
    if leaving and leaving not in retired:
        write_file(path, retired + leaving, mode=0o644)


def _copy_leaves(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        write_file(target / path.name, read_private(path))
