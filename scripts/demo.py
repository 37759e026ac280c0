"""The demo: agents with real SDKs run into their caps, through the real proxy, against fake vendors over TLS.

Eight processes share one run of $500 a day and charge $20 each, as often as they can. Exactly 25 charges may reach
the vendor, and the vendor's own sum must be $500.00, or this exits with 1. Nothing leaves the machine.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "addon")]

from rich.console import Console  # noqa: E402 (the path comes first)
from rich.markup import escape  # noqa: E402
from rich.panel import Panel  # noqa: E402
from rich.table import Table  # noqa: E402

from tests.e2e.harness import IssuedRun, RuncapUp  # noqa: E402
from tests.e2e.waiting import wait_until  # noqa: E402
from tests.fakes import FakeVendors  # noqa: E402

AGENTS = 8
CAP_USD = 500
CHARGE_USD = 20
AGENT_SECONDS = 45
WIDTH = 110

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Run the demo; 0 if every cap held to the cent."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="runcap-demo-") as folder,
        FakeVendors(Path(folder, "vendors")) as fakes,
        RuncapUp(Path(folder, "runcap"), fakes, workers=2) as up,
    ):
        _title("1", "Running: fake Stripe, Twilio and Resend over TLS; runcap up with two workers")
        addresses = {"proxy": up.proxy, "gateway": up.gateway, **{name: fakes.url(name) for name in fakes.ports}}
        console.print("\n".join(f"  {name:8} {url}" for name, url in addresses.items()))
        held = _charge(up, fakes)
        held &= _text_and_mail(up, fakes)
        held &= _read_audit(up)
    console.print(f"\n{_mark(held)} done in {time.monotonic() - began:.0f} s, and nothing is left behind.")
    return 0 if held else 1


def _charge(up: RuncapUp, fakes: FakeVendors) -> bool:
    """Eight agents, one run, one cap."""
    _title("2", f"{AGENTS} agents share one run, capped at ${CAP_USD} a day; each charges ${CHARGE_USD} until stopped")
    run = up.issue("billing-nightly", daily_usd=str(CAP_USD))
    console.print(f"  run {run.run_id}, vault key {run.vault_key[:9]}… where the Stripe secret used to be")
    reports = _run_agents(up, [(run, "stripe")] * AGENTS)
    _show_stops(reports)
    body = reports[0]["body"] or {}
    fields = {name: body.get(name) for name in ("code", "message", "requested_usd", "spent_usd", "cap_usd", "cap")}
    console.print(
        Panel(escape(json.dumps(fields, indent=2)), title="what the agent can read in the exception", width=WIDTH)
    )

    seen = fakes.journal.entries(vendor="stripe")
    total_cents = sum(entry.moved for entry in seen)
    console.print(f"  what the vendor saw: {len(seen)} charges, ${total_cents // 100}.{total_cents % 100:02d} in all")
    return all(
        (
            _check("exactly 25 charges reached the vendor", len(seen) == CAP_USD // CHARGE_USD),
            _check(f"the vendor's sum is ${CAP_USD}.00 to the cent", total_cents == CAP_USD * 100),
            _check(
                "every agent was stopped by its SDK's own RateLimitError", _stopped_by(reports) == {"RateLimitError"}
            ),
            _check("no vault key reached the vendor", not any(run.vault_key[3:] in entry.text for entry in seen)),
        )
    )


def _text_and_mail(up: RuncapUp, fakes: FakeVendors) -> bool:
    """A second run texts and mails, with cents to spend."""
    _title("3", "A second run may spend 10 cents: it texts by Twilio, then mails by Resend")
    run = up.issue("reminders-hourly", total_usd="0.10", vendor=["twilio", "resend"])
    reports = [*_run_agents(up, [(run, "twilio")]), *_run_agents(up, [(run, "resend")])]
    _show_stops(reports)
    texts, mails = fakes.journal.entries(vendor="twilio"), fakes.journal.entries(vendor="resend")
    return all((
        _check(f"{len(texts)} texts and {len(mails)} mails were sent, as many as the agents counted",
               [len(texts), len(mails)] == [report["done"] for report in reports]),
        _check("both were stopped by their SDK's own exception",
               [report["exception"] for report in reports] == ["TwilioRestException", "RateLimitError"]),
        _check("the run has not spent more than its 10 cents", up.spent_micros(run) <= 100_000),
    ))  # fmt: skip


def _read_audit(up: RuncapUp) -> bool:
    """The audit, read with the tool that people use for SQLite."""
    _title("4", "The audit is a SQLite file: sqlite-utils reads it")
    wait_until("the audit to be whole", lambda: _sum_in_audit(up) == CAP_USD * 1_000_000)
    _sqlite_utils(up, "select label, calls, blocked, spent_usd from run_spend order by first_at")
    _sqlite_utils(
        up,
        "select label, vendor, requested_usd, spent_usd, cap_usd, cap_window from blocked order by seq desc limit 4",
    )
    code, printed = up.cli("audit", "verify")
    console.print(f"  [dim]$ runcap audit verify[/dim]\n  {escape(printed.strip())}")
    return _check("the hash chain is whole", code == 0)


def _run_agents(up: RuncapUp, agents: list[tuple[IssuedRun, str]]) -> list[dict[str, Any]]:
    """Run them side by side, each a process of its own with nothing but its environment."""
    script = str(REPOSITORY / "scripts" / "demo_agent.py")
    running = [
        subprocess.Popen([sys.executable, script, vendor], env=up.agent_env(run), stdout=subprocess.PIPE, text=True)
        for run, vendor in agents
    ]
    try:
        return [json.loads(agent.communicate(timeout=AGENT_SECONDS)[0]) for agent in running]
    finally:
        for agent in running:
            agent.kill()
            agent.wait()


def _show_stops(reports: list[dict[str, Any]]) -> None:
    table = Table("agent", "calls that went through", "stopped by", box=None, padding=(0, 2))
    for number, report in enumerate(reports, 1):
        table.add_row(str(number), str(report["done"]), str(report["exception"]))
    console.print(table)


def _stopped_by(reports: list[dict[str, Any]]) -> set[str | None]:
    return {report["exception"] for report in reports}


def _sum_in_audit(up: RuncapUp) -> int:
    rows = up.audit("select spent_micros from run_spend where label = 'billing-nightly'")
    return rows[0]["spent_micros"] if rows else 0


def _sqlite_utils(up: RuncapUp, query: str) -> None:
    console.print(f'  [dim]$ sqlite-utils query audit.db --table "{escape(query)}"[/dim]', soft_wrap=True)
    command = [sys.executable, "-m", "sqlite_utils", "query", str(up.home / "audit.db"), query, "--table"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    console.print("\n".join(f"  {escape(line)}" for line in done.stdout.splitlines()) + "\n")


def _title(number: str, text: str) -> None:
    console.print(f"\n[bold cyan]{number}[/bold cyan]  [bold]{text}[/bold]")


def _mark(good: bool) -> str:
    return "[green]✓[/green]" if good else "[bold red]✗[/bold red]"


def _check(claim: str, holds: bool) -> bool:
    console.print(f"  {_mark(holds)} {claim}")
    return holds


if __name__ == "__main__":
    sys.exit(main())
