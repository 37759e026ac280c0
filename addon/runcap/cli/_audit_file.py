"""What the commands that read the audit share: where it is, and how it is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PATH: click.Path = click.Path(path_type=Path)


def audit_options[F: Callable[..., Any]](command: F) -> F:
    """Add ``--config`` and ``--db``."""
    with_db = click.option("--db", type=_PATH, help="The audit file, instead of the configured one.")
    with_config = click.option("--config", "config_path", type=_PATH, help="runcap.toml")
    return with_config(with_db(command))


def audit_path(config_path: Path | None, db: Path | None) -> Path:
    """The audit file that the options mean."""
    return db or load_config(config_path).audit_path


def load_config(config_path: Path | None) -> Any:
    """Read the configuration; what is wrong with it is wrong usage."""
    from runcap.config import ConfigError, load

    try:
        return load(config_path)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def open_reader(path: Path) -> Any:
    """Open the audit for reading; a missing or damaged one is one clear sentence."""
    from runcap.audit.reports import Reader
    from runcap.audit.schema import AuditFileError

    try:
        return Reader(path)
    except AuditFileError as error:
        raise click.ClickException(str(error)) from error
