"""How commands show amounts, times and errors."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import click

from runcap.cli._rows import show
from runcap.ledger.model import Caps, Spend
from runcap.money import usd_from_micros


def explain(error: Exception) -> tuple[str, int] | None:
    """A sentence and an exit code for an error that is the user's business; None for a bug."""
    from runcap.agents.truststore import TrustStoreError
    from runcap.config.file import ConfigError
    from runcap.decision import Refused
    from runcap.home import HomeError
    from runcap.pki.ca import AuthorityError
    from runcap.secretstore import SecretError

    match error:
        case ConfigError():
            return str(error), 2
        case Refused() | HomeError() | AuthorityError() | SecretError() | TrustStoreError():
            return str(error), 1
        case _:
            return None


def usd(micros: int | None) -> str | None:
    """Dollars, as JSON and tables have them; None stays None."""
    return None if micros is None else usd_from_micros(micros)


def utc(ms: int | None) -> str | None:
    """Milliseconds since 1970 as UTC in ISO 8601, whole seconds with ``Z``; None stays None."""
    if ms is None:
        return None
    return dt.datetime.fromtimestamp(ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def caps_fields(caps: Caps) -> dict[str, str | None]:
    """A run's caps under the names that the command line has for them."""
    return {"daily_usd": usd(caps.day), "monthly_usd": usd(caps.month), "total_usd": usd(caps.total)}


def spend_fields(spend: Spend, cap_micros: int | None) -> dict[str, str | None]:
    """What a window has counted and has left. ``spent_usd`` counts what is held too, as in every answer."""
    counted = spend.held_micros + spend.spent_micros
    return {
        "spent_usd": usd(counted),
        "held_usd": usd(spend.held_micros),
        "cap_usd": usd(cap_micros),
        "remaining_usd": None if cap_micros is None else usd(max(0, cap_micros - counted)),
    }


def listing(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as a JSON array, or as a table; `empty` is what people read if there are none."""
    if not rows and not as_json:
        click.echo(empty)
    else:
        show(rows, as_json=as_json)
