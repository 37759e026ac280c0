"""The command line: one file a noun, each imported only when it is called.

``runcap env`` runs in every shell of an agent and must not wait for mitmproxy, so the table below says what there is
without importing it. Exit codes: 0 fine, 1 failed or found something wrong, 2 wrong usage or configuration.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from runcap import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("runcap.cli.up", "Run the proxy."),
    "exec": ("runcap.cli.exec", "Run a command under a cap of its own."),
    "env": ("runcap.cli.env", "Print what an agent's environment needs."),
    "doctor": ("runcap.cli.doctor", "See what works for an agent, and what mends the rest."),
    "mcp": ("runcap.cli.mcp", "Tell an agent its budget, over MCP."),
    "keys": ("runcap.cli.keys", "Issue, list, show and revoke runs' vault keys."),
    "caps": ("runcap.cli.caps", "Set, list and remove caps of fleets and vendors."),
    "freeze": ("runcap.cli.freeze", "Let nothing of a run, fleet or vendor through."),
    "unfreeze": ("runcap.cli.freeze", "Undo a freeze."),
    "runs": ("runcap.cli.runs", "Show what each run has spent."),
    "top": ("runcap.cli.top", "Watch the spending live."),
    "report": ("runcap.cli.report", "Sum up spending per run, fleet, vendor or day."),
    "price": ("runcap.cli.price", "Explain what a call would cost, and what would be forwarded."),
    "audit": ("runcap.cli.audit", "Read, verify and export the audit."),
    "ledger": ("runcap.cli.ledger", "Check or rebuild the ledger."),
    "secrets": ("runcap.cli.secrets", "Seal vendors' secrets, and see where each comes from."),
    "rates": ("runcap.cli.rates", "Show, import and sync prices and exchange rates."),
    "ca": ("runcap.cli.ca", "Show and export the certificate authority."),
}
"""Name → module, which has a command of that name, and one line of help."""


class LazyGroup(click.Group):
    """Finds commands in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """In the table's order: what one needs first comes first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was meant if there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from runcap.config.file import did_you_mean

            ctx.fail(f"there is no command {args[0]!r}: {did_you_mean(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="runcap")
def cli() -> None:
    """Put a hard spending cap on one run of an AI agent.

    The configuration is runcap.toml in the current folder, or what --config or RUNCAP_CONFIG names.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error for the user is a sentence, never a traceback."""
    try:
        result = cli.main(args=None if argv is None else list(argv), prog_name="runcap", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Aborted.", err=True)
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough (`runcap keys list | head`). Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from runcap.cli._output import explain

        explained = explain(error)
        if explained is None:
            raise
        sentence, code = explained
        click.echo(f"Error: {sentence}", err=True)
        return code
    return result if isinstance(result, int) else 0
