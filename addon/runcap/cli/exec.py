"""`runcap exec`: one command, one run, one cap."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from runcap.cli._agent import proxy_option, shim_option
from runcap.cli._options import caps_of, config_option, run_options
from runcap.config import Config, Listen
from runcap.decision import Refused
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Run
from runcap.ledger.policy import Policy

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_CONNECT_SECONDS = 3.0


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@run_options
@proxy_option
@shim_option
@config_option
@click.argument("command", metavar="CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec(  # noqa: A001 (the command's name)
    *,
    label: str,
    daily_usd: int | None,
    monthly_usd: int | None,
    total_usd: int | None,
    ttl_ms: int,
    vendors: tuple[str, ...],
    policy: Policy,
    proxy: str | None,
    shim: bool,
    config_path: Path | None,
    command: tuple[str, ...],
) -> int:
    """Issue a run, run CMD behind the proxy, revoke the run, and print what it has spent, was refused, and has left.

    Exits as CMD does (128 plus the signal's number if one ended it), or with 1 if the run could not be revoked.
    CMD's environment has the vault key and no real secret. That is no sandbox: a command that runs as the same user
    can read that user's files.
    """
    from runcap.cli._agent import agent_environment, own_environment, proxy_address
    from runcap.cli.keys import new_run
    from runcap.config import load
    from runcap.hardening import hide_memory

    hide_memory()  # the command is of the same user, and our own environment may hold the secrets
    caps = caps_of(daily_usd, monthly_usd, total_usd)
    vault_key, run = new_run(label, caps, vendors=vendors, policy=policy)
    config = load(config_path)
    variables = agent_environment(config, vault_key, proxy, shim=shim)
    environment = own_environment(config, {**variables, "RUNCAP_RUN_ID": run.run_id})

    async def run_it() -> int:
        await _find_proxy(proxy_address(config, proxy))
        return await _run(config, run, ttl_ms, command=command, environment=environment)

    return asyncio.run(run_it())


async def _run(config: Config, run: Run, ttl_ms: int, *, command: tuple[str, ...], environment: dict[str, str]) -> int:
    from runcap.cli._context import open_ledger
    from runcap.cli.keys import issue_run

    # Signals are caught until the key is revoked: one that ended us in between would leave it good.
    with _signals_for_later() as pending:
        async with open_ledger(config) as ledger:
            run = await issue_run(ledger, run, ttl_ms)
            try:
                code = await _wait_for(command, environment, pending)
            finally:
                ended = await _end(ledger, run, config)
    return code if ended else code or 1


async def _find_proxy(address: Listen) -> None:
    """Fail before a run is issued rather than at the command's first call."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(*address)
    except OSError as error:
        raise click.ClickException(f"No proxy answers at {address}: start it with `runcap up`.") from error
    writer.close()
    await writer.wait_closed()


async def _wait_for(command: tuple[str, ...], environment: dict[str, str], pending: "_Pending") -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        click.echo(f"Error: {command[0]} cannot be run: {error.strerror}.", err=True)
        return 127 if isinstance(error, FileNotFoundError) else 126
    pending.start(process)
    code = await process.wait()
    return 128 - code if code < 0 else code


class _Pending:
    """Signals go on to the command as soon as there is one."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._early: list[signal.Signals] = []

    def pass_on(self, signum: signal.Signals) -> None:
        # A terminal sends these two to the whole foreground group: the command has had them already.
        if signum in (signal.SIGINT, signal.SIGQUIT) and _in_foreground():
            return
        if self._process is None:
            self._early.append(signum)
        elif self._process.returncode is None:
            self._process.send_signal(signum)

    def start(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        for signum in self._early:
            self.pass_on(signum)


@contextmanager
def _signals_for_later() -> Iterator[_Pending]:
    pending = _Pending()
    loop = asyncio.get_running_loop()
    for signum in _PASSED_ON:
        loop.add_signal_handler(signum, pending.pass_on, signum)
    try:
        yield pending
    finally:
        for signum in _PASSED_ON:
            loop.remove_signal_handler(signum)


async def _end(ledger: Ledger, run: Run, config: Config) -> bool:
    """Revoke the key and say what it has spent; says whether the key is gone for certain."""
    from runcap.cli._context import actor
    from runcap.cli._ended import ending_line

    try:
        await ledger.revoke(run.run_id, actor())
    except Refused as error:
        click.echo(f"runcap: {error} The key is good until it expires: `runcap keys revoke {run.run_id}`.", err=True)
        return False
    try:
        click.echo(await ending_line(ledger, run, config.audit_path), err=True)
    except Refused as error:
        click.echo(f"runcap: {error} What run {run.run_id} has spent is in `runcap runs`.", err=True)
    return True


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
