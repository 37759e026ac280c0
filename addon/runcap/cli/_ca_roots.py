"""`runcap ca init`, `sign` and `rotate`: roots whose key is elsewhere, and replacing one."""

from pathlib import Path

import click

from runcap.cli._options import config_option

_folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--offline", "elsewhere", metavar="DIR", type=_folder, help="Keep the root's key there, not here.")
@config_option
def init(*, elsewhere: Path | None, config_path: Path | None) -> None:
    """Make the root now. With --offline its key goes to DIR, such as a stick, and leaves of 90 days come here."""
    from runcap.pki.ca import Authority
    from runcap.pki.files import CERTIFICATE, AuthorityError
    from runcap.pki.rotation import make_offline

    folder = _home_folder(config_path)
    if elsewhere is not None:
        root = make_offline(elsewhere, folder)
        click.echo(f"made the root {root.name} in {elsewhere}, and leaves for {', '.join(root.hosts)} in {folder}")
        return
    if (folder / CERTIFICATE).exists():
        raise AuthorityError(f"{folder} has a root already: `runcap ca rotate` replaces it.")
    click.echo(f"made the root {Authority.load_or_create(folder).name} in {folder}")


@click.command()
@click.argument("elsewhere", metavar="DIR", type=_folder)
@click.option("-o", "--output", metavar="FOLDER", type=_folder, help="Another folder than home's `ca`.")
@config_option
def sign(*, elsewhere: Path, output: Path | None, config_path: Path | None) -> None:
    """Make new leaves of 90 days with the root whose key is in DIR. `runcap up` takes them at SIGHUP."""
    from runcap.pki.rotation import sign_from

    folder = _home_folder(config_path) if output is None else output
    root = sign_from(elsewhere, folder)
    click.echo(f"made leaves for {', '.join(root.hosts)} in {folder}")


@click.command()
@click.option("--finish", "finishing", is_flag=True, help="Drop the old root: every agent has the new bundle by now.")
@click.option("--offline", "elsewhere", metavar="DIR", type=_folder, help="Keep the next root's key there, not here.")
@config_option
def rotate(*, finishing: bool, elsewhere: Path | None, config_path: Path | None) -> None:
    """Replace the root: agents first trust both, and with --finish only the new one."""
    from runcap.pki import rotation

    folder = _home_folder(config_path)
    if finishing:
        if elsewhere is not None:
            raise click.UsageError("--offline belongs to the beginning: `runcap ca rotate --offline DIR`")
        root = rotation.finish(folder)
        click.echo(f"{root.name} is the root now: send SIGHUP to `runcap up`, and remove the old root elsewhere")
        return
    root = rotation.begin(folder, elsewhere)
    click.echo(
        f"{root.name} will be the root: {folder / 'bundle.pem'} has both. When every agent has it, "
        "run `runcap ca rotate --finish`."
    )


def _home_folder(config_path: Path | None) -> Path:
    from runcap.config import load
    from runcap.home import prepare

    return prepare(load(config_path).home) / "ca"
