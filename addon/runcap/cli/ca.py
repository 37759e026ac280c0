"""`runcap ca`: what agents have to trust, and nothing else."""

import json
import sys
from pathlib import Path

import click

from runcap.cli._options import config_option, json_option


@click.group()
def ca() -> None:
    """Show and export the certificate authority."""


@ca.command()
@json_option
@config_option
def show(*, as_json: bool, config_path: Path | None) -> None:
    """Show the root certificate: name, fingerprint, expiry, and the names it may sign for."""
    from runcap.ca import Authority
    from runcap.config import load
    from runcap.home import prepare

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
    from runcap.ca import Authority
    from runcap.config import load
    from runcap.home import prepare, write_file
    from runcap.trust import bundle_pem

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
    from runcap.ca import Authority
    from runcap.config import load
    from runcap.home import prepare

    config = load(config_path)
    authority = Authority.load_or_create(prepare(config.home) / "ca")
    authority.write_leaves(folder)
    click.echo(f"wrote ca.pem and leaves for {', '.join(authority.hosts)} to {folder}")


@ca.command()
@click.option("--dry-run", is_flag=True, help="Only print the commands.")
@config_option
def install(*, dry_run: bool, config_path: Path | None) -> None:
    """Trust the root on this whole machine, by the system's own trust store. Needs root; `runcap env` does not."""
    from runcap.config import load
    from runcap.truststore import find_store

    # The file is read as it is: under sudo the home folder belongs to another user than the one who reads it.
    root = load(config_path).home / "ca" / "ca.pem"
    store = find_store()
    if dry_run:
        click.echo("\n".join(store.steps(root)))
        return
    store.install(root)
    click.echo(f"{root} is trusted now ({store.name})")
