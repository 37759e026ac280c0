"""`runcap ca`: what agents have to trust, and nothing else."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runcap.agents.truststore import TrustStore
from runcap.cli._ca_roots import init, rotate, sign
from runcap.cli._options import config_option, json_option


@click.group()
def ca() -> None:
    """Show, export and replace the certificate authority."""


for _command in (init, sign, rotate):
    ca.add_command(_command)


@ca.command()
@json_option
@config_option
def show(*, as_json: bool, config_path: Path | None) -> None:
    """Show the root certificate: name, fingerprint, expiry, and the names it may sign for."""
    from runcap.config import load
    from runcap.home import prepare
    from runcap.pki.ca import Authority, fingerprint_of

    config = load(config_path)
    authority = Authority.load_or_create(prepare(config.home) / "ca")
    fields = {
        "name": authority.name,
        "sha256": authority.fingerprint,
        "expires_at": authority.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "hosts": list(authority.hosts),
        "root_key": "elsewhere" if authority.offline else "here",
        "path": str(authority.folder / "ca.pem"),
    }
    if authority.successor is not None:
        fields["next_sha256"] = fingerprint_of(authority.successor)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        click.echo(f"{name:<11}{', '.join(value) if isinstance(value, list) else value}")


@ca.command()
@click.option("--bundle", is_flag=True, help="With the system's roots, for tools that trust one file alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; default stdout.")
@config_option
def export(*, bundle: bool, output: Path | None, config_path: Path | None) -> None:
    """Write the root certificate as PEM."""
    from runcap.config import load
    from runcap.home import prepare, write_file
    from runcap.pki.ca import Authority
    from runcap.pki.trust import bundle_pem

    config = load(config_path)
    authority = Authority.load_or_create(prepare(config.home) / "ca")
    pem = bundle_pem(authority) if bundle else authority.certificate_pem
    if output is None:
        sys.stdout.write(pem.decode("ascii"))
        return
    try:
        write_file(output, pem, mode=0o644)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error
    click.echo(f"wrote {output}", err=True)


@ca.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@config_option
def issue(*, folder: Path, config_path: Path | None) -> None:
    """Make leaves of 90 days into FOLDER, for a host that is to hold no root key: there it is home's `ca` folder."""
    from runcap.config import load
    from runcap.home import prepare
    from runcap.pki.ca import Authority

    config = load(config_path)
    authority = Authority.load_or_create(prepare(config.home) / "ca")
    authority.write_leaves(folder)
    click.echo(f"wrote ca.pem and leaves for {', '.join(authority.hosts)} to {folder}")


def _store_options[F: Callable[..., Any]](command: F) -> F:
    """Add what `install` and `uninstall` share."""
    for option in (
        config_option,
        click.option("--dry-run", is_flag=True, help="Only print the commands."),
        click.option("--nss-db", "databases", metavar="DIR", type=click.Path(path_type=Path), multiple=True,
                     help="An NSS database; default the user's own and those of Firefox' profiles. Repeatable."),
        click.option("--keystore", metavar="PATH", type=click.Path(path_type=Path),
                     help="A Java keystore; default the cacerts of the Java that is on PATH."),
        click.option("--into", "kinds", type=click.Choice(["system", "java", "nss"]), multiple=True,
                     default=["system"], show_default=True, help="Which trust store. Repeatable."),
    ):  # fmt: skip
        command = option(command)
    return command


@ca.command()
@_store_options
def install(
    *,
    kinds: tuple[str, ...],
    keystore: Path | None,
    databases: tuple[Path, ...],
    dry_run: bool,
    config_path: Path | None,
) -> None:
    """Trust the root on this machine: in the system's store, Java's, or NSS' (Firefox, Chromium).

    The first two need root, and macOS asks for an administrator's password. An agent under `runcap exec` or `runcap
    env` needs none of them.
    """
    root = _root(config_path)
    for store in _stores(kinds, keystore, databases):
        if dry_run:
            click.echo("\n".join(store.steps(root)))
        else:
            store.install(root)
            click.echo(f"{root} is trusted now ({store.name})")


@ca.command()
@_store_options
def uninstall(
    *,
    kinds: tuple[str, ...],
    keystore: Path | None,
    databases: tuple[Path, ...],
    dry_run: bool,
    config_path: Path | None,
) -> None:
    """Undo `install`, with the same options."""
    root = _root(config_path)
    for store in _stores(kinds, keystore, databases):
        if dry_run:
            click.echo("\n".join(store.undo_steps(root)))
        else:
            store.uninstall(root)
            click.echo(f"{root} is trusted no longer ({store.name})")


def _root(config_path: Path | None) -> Path:
    """The root's file, as it is: under sudo the home folder belongs to another user than the one who reads it."""
    from runcap.config import load

    return load(config_path).home / "ca" / "ca.pem"


def _stores(kinds: tuple[str, ...], keystore: Path | None, databases: tuple[Path, ...]) -> list[TrustStore]:
    from runcap.agents.keystores import java_store, nss_stores
    from runcap.agents.truststore import find_store

    stores: list[TrustStore] = []
    for kind in dict.fromkeys(kinds):
        if kind == "system":
            stores.append(find_store())
        elif kind == "java":
            stores.append(java_store(keystore))
        else:
            stores += nss_stores(databases)
    return stores
