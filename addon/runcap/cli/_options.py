"""Options that several commands share, and what each accepts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.model import Caps, Level
from runcap.money import micros_from_usd

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MAX_DURATION_MS = 366 * _UNIT_MS["d"]
_OPERATION = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) /[!-~]+", re.ASCII)


def dollars(text: str) -> int:
    """An amount such as ``500`` or ``12.50``, as micros; no float is made of it."""
    try:
        return micros_from_usd(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def duration(text: str) -> int:
    """A time such as ``90s``, ``30m``, ``2h`` or ``7d``, in ms; a year is the most."""
    match = _DURATION.fullmatch(text)
    duration_ms = int(match[1]) * _UNIT_MS[match[2]] if match else 0
    if not 0 < duration_ms <= _MAX_DURATION_MS:
        raise click.BadParameter(f"{text!r} is no duration of up to 366d: write it like 90s, 30m, 2h or 7d.")
    return duration_ms


def operation(text: str) -> str:
    """``METHOD /path/{template}``; whether a vendor has such an operation is seen when it is called."""
    if _OPERATION.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r} is no operation: write it like 'POST /v1/refunds'.")
    return text


def config_option[F: Callable[..., Any]](command: F) -> F:
    """Add ``--config``."""
    option = click.option(
        "--config", "config_path", metavar="F", type=click.Path(path_type=Path), help="runcap.toml, if not the usual."
    )
    return option(command)


def json_option[F: Callable[..., Any]](command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def cap_options[F: Callable[..., Any]](command: F) -> F:
    """Add the three caps, in USD; `caps_of` reads them."""
    for name, window in (
        ("total", "altogether"),
        ("monthly", "in a calendar month (UTC)"),
        ("daily", "in a calendar day (UTC)"),
    ):
        text = f"The most to spend {window}, in USD."
        command = click.option(f"--{name}-usd", metavar="N", type=dollars, help=text)(command)
    return command


def run_options[F: Callable[..., Any]](command: F) -> F:
    """Add what a run is issued with."""
    for option in (
        click.option("--allow", metavar="OP", type=operation, multiple=True,
                     help="Unlock an operation that is refused by default: 'METHOD /path/{template}'. Repeatable."),
        click.option("--only", metavar="OP", type=operation, multiple=True,
                     help="The run may do nothing but this. Repeatable."),
        click.option("--vendor", "vendors", metavar="V", type=click.Choice(list(KNOWN_VENDORS)), multiple=True,
                     help=f"A vendor that it may use ({', '.join(KNOWN_VENDORS)}). Repeatable; default all."),
        click.option("--ttl", "ttl_ms", metavar="T", type=duration, default="24h", show_default=True,
                     help="How long the key is good: 90s, 30m, 2h, 7d."),
        cap_options,
        click.option("--label", metavar="L", required=True, help="What kind of run it is, such as billing-nightly."),
    ):  # fmt: skip
        command = option(command)
    return command


def caps_of(daily: int | None, monthly: int | None, total: int | None) -> Caps:
    """The caps that `cap_options` were given.

    Raises:
        click.UsageError: there are none: forgetting a cap must not mean having no cap.
    """
    caps = Caps(day=daily, month=monthly, total=total)
    if caps == Caps():
        raise click.UsageError("set at least one of --daily-usd, --monthly-usd and --total-usd")
    return caps


def one_level(**selectors: str | None) -> tuple[Level, str]:
    """The one level of several options that was given, with its selector.

    Raises:
        click.UsageError: none was given, or more than one.
    """
    given = [(level, selector) for level, selector in selectors.items() if selector is not None]
    if len(given) != 1:
        raise click.UsageError(f"name exactly one of {', '.join(f'--{level}' for level in selectors)}")
    level, selector = given[0]
    return level, selector  # type: ignore[return-value]  # the callers' keywords are levels
