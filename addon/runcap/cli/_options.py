"""Options that several commands share, and what each accepts."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.model import Caps, Level
from runcap.ledger.policy import MAX_CALLS, Policy
from runcap.money import micros_from_usd

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MAX_DURATION_MS = 366 * _UNIT_MS["d"]
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
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


def connected_account(text: str) -> str:
    """``acct_…``, as Stripe writes it."""
    if _ACCOUNT.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r} is no connected account: write it like acct_1OaPXq2eZvKYlo2C.")
    return text


def country(text: str) -> str:
    """A country that telephone numbers belong to, by its ISO 3166-1 alpha-2 code in either case."""
    from phonenumbers import SUPPORTED_REGIONS

    code = text.upper()
    if code not in SUPPORTED_REGIONS:
        raise click.BadParameter(f"{text!r} is no country: write its ISO code, like US, DE or GB.")
    return code


def currency(text: str) -> str:
    """An ISO 4217 code in either case."""
    if _CURRENCY.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r} is no currency: write it like usd.")
    return text.upper()


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


POLICY_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--max-calls-per-minute", metavar="N", type=click.IntRange(1, MAX_CALLS),
                 help="How many calls, free ones too, may begin in a minute."),
    click.option("--max-concurrency", metavar="N", type=click.IntRange(1, MAX_CALLS),
                 help="How many calls may be under way at once."),
    click.option("--dedupe", "dedupe_ms", metavar="T", type=duration,
                 help="Refuse a Twilio send that is the same as one less than this ago: 60s, 10m; up to 24h."),
    click.option("--currency", "currencies", metavar="CUR", type=currency, multiple=True,
                 help="Stripe may move no currency but this: usd. Repeatable."),
    click.option("--country", "countries", metavar="CC", type=country, multiple=True,
                 help="Twilio may reach no country but this (ISO code): US. Repeatable."),
    click.option("--count-refunds/--no-count-refunds", "count_refunds", default=True,
                 help="Whether refunds count against the caps; they do unless told otherwise."),
    click.option("--max-call-usd", "max_call_micros", metavar="N", type=dollars,
                 help="The most that one call may cost, in USD."),
    click.option("--stripe-account", "stripe_accounts", metavar="ACCT", type=connected_account, multiple=True,
                 help="A connected account (acct_…) that it may act on by Stripe-Account. Repeatable; default none."),
    click.option("--allow", metavar="OP", type=operation, multiple=True,
                 help="Unlock an operation that is refused by default: 'METHOD /path/{template}'. Repeatable."),
    click.option("--only", metavar="OP", type=operation, multiple=True,
                 help="The run may do nothing but this. Repeatable."),
)  # fmt: skip
"""One for each field of `runcap.ledger.policy.Policy`, whose name is the parameter's."""


def policy_options[F: Callable[..., Any]](command: F) -> F:
    """Add the rules of a run; the command gets them as one ``policy``."""

    @functools.wraps(command)
    def with_policy(**given: Any) -> Any:
        rules: dict[str, Any] = {name: _once(given.pop(name)) for name in Policy.__struct_fields__}
        policy = Policy(**rules)
        try:
            policy.check()
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return command(**given, policy=policy)

    decorated: Any = with_policy
    for option in POLICY_OPTIONS:
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's options give back what they are given


def _once(rule: Any) -> Any:
    """What is named twice is one."""
    return tuple(dict.fromkeys(rule)) if isinstance(rule, tuple) else rule


def run_options[F: Callable[..., Any]](command: F) -> F:
    """Add what a run is issued with."""
    for option in (
        policy_options,
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
