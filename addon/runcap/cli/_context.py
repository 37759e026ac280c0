"""What commands that ask the ledger share: the configuration, an open ledger, and who is asking."""

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click

from runcap.config import Config, load
from runcap.decision import Code, refuse
from runcap.home import prepare
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.opening import initialise_if_new, make_current


def actor() -> str:
    """Who is at the command line, for the audit: ``user@host``."""
    try:
        user = getpass.getuser()
    except OSError:  # a container's user that no passwd file knows
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def ask_ledger[T](config_path: Path | None, ask: Callable[[Ledger], Awaitable[T]], *, sound: bool = True) -> T:
    """Open the configured ledger, ask it something, and close it.

    Args:
        config_path: runcap.toml.
        ask: what.
        sound: refuse a ledger that is empty or has lost something (see `open_ledger`).

    Raises:
        ConfigError, HomeError: the configuration or the home folder is not fit.
        click.ClickException: what was asked about does not exist, or the embedded ledger does not start.
        Refused: the ledger cannot be reached or trusted.
    """
    config = load(config_path)

    async def run() -> T:
        async with open_ledger(config, sound=sound) as ledger:
            return await ask(ledger)

    try:
        return asyncio.run(run())
    except LookupError as error:
        raise click.ClickException(f"{error.args[0]}.") from error


@asynccontextmanager
async def open_ledger(config: Config, *, sound: bool = True) -> AsyncIterator[Ledger]:
    """Connect to the configured ledger, or use the embedded one: it starts if it is not running, and stops after us.

    Args:
        config: which.
        sound: make a new ledger usable, rebuild a lost embedded one, refuse any other that is lost.

    Raises:
        click.ClickException: the embedded ledger does not start.
        Refused: the ledger cannot be reached or trusted.
    """
    async with AsyncExitStack() as stack:
        url = config.ledger.url
        if not url:
            prepare(config.home)
            embedded = EmbeddedLedger(config.home)
            try:
                await asyncio.to_thread(embedded.acquire)
            except RuntimeError as error:
                raise click.ClickException(str(error)) from error
            stack.push_async_callback(asyncio.to_thread, embedded.release)
            url = embedded.url
        ledger = Ledger.connect(url, namespace=config.ledger.namespace)
        stack.push_async_callback(ledger.close)
        if sound:
            await _make_sound(ledger, config)
        yield ledger


async def _make_sound(ledger: Ledger, config: Config) -> None:
    """Make a new ledger usable, and only a new one: one that has lost its counters looks the same, but has an audit."""
    if config.ledger.url:
        if not config.audit_path.exists() and not await ledger.is_initialised():
            # Its audit may be on another machine, so nobody here can tell a new ledger from a lost one.
            raise refuse(
                Code.LEDGER_UNTRUSTED,
                "The ledger is empty, and its audit is not here: start `runcap up` where the audit is.",
            )
        usable = await initialise_if_new(ledger, config.audit_path, actor())
    else:
        await initialise_if_new(ledger, config.audit_path, actor())
        usable = await make_current(ledger, config.audit_path, embedded=True)
    if not usable:
        raise refuse(
            Code.LEDGER_UNTRUSTED,
            f"The ledger lacks what the audit {config.audit_path} knows: run `runcap ledger rebuild`.",
        )
