"""`runcap freeze` and `runcap unfreeze`: stop spending at once, without taking a key or a cap away."""

from pathlib import Path

import click

from runcap.cli._options import config_option, one_level
from runcap.hosts import KNOWN_VENDORS


@click.command()
@click.option("--run", metavar="RUN", help="One run, by its id.")
@click.option("--fleet", metavar="PREFIX", help="All runs whose label starts so.")
@click.option("--vendor", metavar="V", type=click.Choice(list(KNOWN_VENDORS)), help="One vendor, all runs.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@config_option
def freeze(
    *, run: str | None, fleet: str | None, vendor: str | None, everything: bool, config_path: Path | None
) -> None:
    """Let nothing of a run, fleet or vendor through, from the very next call on. Calls under way end as they do."""
    _set(run, fleet, vendor, everything, config_path, frozen=True)


@click.command()
@click.option("--run", metavar="RUN", help="One run, by its id.")
@click.option("--fleet", metavar="PREFIX", help="The prefix as it was frozen.")
@click.option("--vendor", metavar="V", type=click.Choice(list(KNOWN_VENDORS)), help="One vendor.")
@click.option("--all", "everything", is_flag=True, help="What --all has frozen; narrower freezes stay.")
@config_option
def unfreeze(
    *, run: str | None, fleet: str | None, vendor: str | None, everything: bool, config_path: Path | None
) -> None:
    """Undo a freeze."""
    _set(run, fleet, vendor, everything, config_path, frozen=False)


def _set(
    run: str | None,
    fleet: str | None,
    vendor: str | None,
    everything: bool,
    config_path: Path | None,
    *,
    frozen: bool,
) -> None:
    from runcap.cli._context import actor, ask_ledger

    level, selector = one_level(run=run, fleet=fleet, vendor=vendor, all="" if everything else None)
    changed = ask_ledger(
        config_path,
        lambda ledger: (ledger.freeze if frozen else ledger.unfreeze)(level, selector, actor()),
    )
    what = "everything" if everything else f"{level} {selector!r}"
    click.echo(f"{what}: {'frozen' if frozen else 'not frozen'}{'' if changed else ' (as before)'}")
