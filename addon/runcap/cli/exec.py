"""`runcap exec`: one command, one run, one cap."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_SIGNALLED = 128
"""Exit codes above it are those of commands that a signal has ended."""
_NOTHING_CAME = (
    "runcap: CMD failed, and made no call that came here. If it should have, `runcap doctor` tells what does not come "
    "through; Python's options -I, -E and -S leave out what `runcap exec` has put into PYTHONPATH."
)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@run_options
@proxy_option
@shim_option
@click.option(
    "--summary", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Write what the run has spent, was refused and has left there, as JSON.",
)  # fmt: skip
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
    summary: Path | None,
    config_path: Path | None,
    command: tuple[str, ...],
) -> int:
    """Issue a run, run CMD behind the proxy, revoke the run, and print what it has spent, was refused, and has left.

    Exits as CMD does (128 plus the signal's number if one ended it), or with 1 if the run could not be revoked. CMD's
    stdout is its own; what runcap says goes to stderr.
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
    asyncio.run(_find_proxy(proxy_address(config, proxy)))
    variables = agent_environment(config, vault_key, proxy, shim=shim)
    environment = own_environment(config, {**variables, "RUNCAP_RUN_ID": run.run_id})
    return asyncio.run(_run(_Job(command, environment, summary), config, run, ttl_ms))


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be run."""

    command: tuple[str, ...]
    environment: dict[str, str]
    summary: Path | None


async def _run(job: _Job, config: Config, run: Run, ttl_ms: int) -> int:
    from runcap.cli._context import open_ledger
    from runcap.cli._meeting import what_hinders
    from runcap.cli.keys import issue_run

    # Signals are caught until the key is revoked: one that ended us in between would leave it good.
    with _signals_for_later() as pending:
        async with open_ledger(config) as ledger:
            run = await issue_run(ledger, run, ttl_ms)
            code = 1
            try:
                problem = await asyncio.to_thread(what_hinders, job.environment, config.home)
                if problem is not None:
                    raise click.ClickException(problem)
                code = await _wait_for(job.command, job.environment, pending)
            finally:
                revoked = await _revoke(ledger, run)
            if revoked:
                await _tell(ledger, run, config, code, job.summary)
    return code if revoked else code or 1


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


async def _revoke(ledger: Ledger, run: Run) -> bool:
    """Revoke the key; says whether it is gone for certain."""
    from runcap.cli._context import actor

    try:
        await ledger.revoke(run.run_id, actor())
    except Refused as error:
        click.echo(f"runcap: {error} The key is good until it expires: `runcap keys revoke {run.run_id}`.", err=True)
        return False
    return True


async def _tell(ledger: Ledger, run: Run, config: Config, code: int, summary: Path | None) -> None:
    """Say on stderr, and in a file if one is wanted, how the run has ended."""
    from runcap.cli._ended import read_ended

    try:
        ended = await read_ended(ledger, run, config.audit_path)
    except Refused as error:
        click.echo(f"runcap: {error} What run {run.run_id} has spent is in `runcap runs`.", err=True)
        return
    click.echo(ended.line, err=True)
    if 0 < code < _SIGNALLED and ended.calls == 0:
        click.echo(_NOTHING_CAME, err=True)
    if summary is not None:
        _write(summary, {**ended.fields, "exit_code": code})


def _write(summary: Path, fields: dict[str, Any]) -> None:
    """A summary that cannot be written changes nothing about how the command has ended."""
    try:
        summary.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        click.echo(f"runcap: {summary} cannot be written: {error.strerror}.", err=True)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
