"""`runcap up`: run the proxy."""

import asyncio
import logging
from pathlib import Path

import click


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="runcap.toml; written if it is missing.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the port; overrides proxy.workers.")
def up(config_path: Path | None, workers: int | None) -> None:
    """Run the proxy until SIGTERM; prints one line when it is ready."""
    from runcap.config import default_path, load, write_default
    from runcap.decision import Refused
    from runcap.proxy.supervisor import Supervisor

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s runcap %(levelname)s %(message)s")
    path = config_path or default_path()
    if not path.exists():
        write_default(path)
        click.echo(f"wrote {path} with the defaults, each with a comment", err=True)
    config = load(path)

    async def run() -> None:
        await Supervisor(config, workers or config.proxy.workers).run()

    try:
        asyncio.run(run())
    except (RuntimeError, OSError, Refused) as error:
        raise click.ClickException(str(error)) from error
