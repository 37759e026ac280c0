"""What `make bench` writes: JSON for machines, a Markdown table for the README, an SVG chart for people."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

STOCK = "mitmdump, stock"
ONE_WORKER = "runcap up, 1 worker"


def write(document: dict[str, Any], folder: Path) -> None:
    """Write bench.json, bench.md and bench.svg, and print the tables."""
    document["date"] = dt.datetime.now(dt.UTC).date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    text = "\n\n".join((f"{document['date']}, {document['machine']}", *tables(document))) + "\n"
    (folder / "bench.md").write_text(text)
    (folder / "bench.svg").write_text(chart(document))
    print(text)
    print(f"written to {folder}/bench.json, bench.md and bench.svg")


def tables(document: dict[str, Any]) -> list[str]:
    """Ratios, then figures, then the rest."""
    return [_ratios(document), _figures(document["candidates"]), _more(document["more"])]


def _ratios(document: dict[str, Any]) -> str:
    """The targets: each is a figure of runcap against stock mitmdump without any addon, in this very run."""
    of, stock = document["candidates"][ONE_WORKER], document["candidates"][STOCK]
    two = document["candidates"]["runcap up, 2 workers"]

    def ratio(load: str, figure: str) -> float:
        return float(of[load][figure] / stock[load][figure])

    rows = [
        ("worker CPU per kept-alive call", ratio("8 kept alive", "worker_cpu_ms"), "≤ 0.40", "≤ 0.25"),
        ("worker CPU per call on a new connection", ratio("new connections", "worker_cpu_ms"), "≤ 0.40", "≤ 0.25"),
        ("calls a second, 8 kept-alive connections", ratio("8 kept alive", "calls_per_second"), "≥ 2.5", "≥ 4"),
        ("p50, one kept-alive connection", ratio("1 kept alive", "p50_ms"), "≤ 0.75", "≤ 0.5"),
        (
            "CPU per call, two workers against one",
            two["8 kept alive"]["worker_cpu_ms"] / of["8 kept alive"]["worker_cpu_ms"],
            "≤ 1.1",
            "1",
        ),
    ]
    lines = ["| runcap, one worker, everything on, against stock mitmdump | ratio | must | aim |", "|---|---|---|---|"]
    lines += [f"| {name} | {value:.2f} | {must} | {aim} |" for name, value, must, aim in rows]
    return "\n".join(lines)


def _figures(candidates: dict[str, Any]) -> str:
    head = (
        "| | calls/s (8) | p50 / p99 ms (1) | p50 / p99 ms (8) | p50 ms (new) "
        "| CPU ms a call (8): worker + ledger + auditor | CPU ms a new connection | RSS MB |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name, loads in candidates.items():
        one, eight, new = loads["1 kept alive"], loads["8 kept alive"], loads["new connections"]
        cpu = " + ".join(f"{eight.get(f'{role}_cpu_ms', 0):.2f}" for role in ("worker", "ledger", "auditor"))
        lines.append(
            f"| {name} | {eight['calls_per_second']:,.0f} | {one['p50_ms']:.2f} / {one['p99_ms']:.2f} "
            f"| {eight['p50_ms']:.2f} / {eight['p99_ms']:.2f} | {new['p50_ms']:.1f} | {cpu} "
            f"| {new.get('worker_cpu_ms', 0):.2f} | {eight['rss_mb']:.0f} |"
        )
    return "\n".join(lines)


def _more(more: dict[str, dict[str, Any]]) -> str:
    lines = ["| figure | measured | must | aim |", "|---|---|---|---|"]
    lines += [f"| {name} | {row['shown']} | {row['must']} | {row['aim']} |" for name, row in more.items()]
    return "\n".join(lines)


def chart(document: dict[str, Any]) -> str:
    """Bars: worker CPU per call, kept alive and on a new connection."""
    rows = [(name, loads) for name, loads in document["candidates"].items() if name != "direct"]
    width, bar, left = 760, 18, 210
    most = max(loads["new connections"].get("worker_cpu_ms", 0) for _, loads in rows)
    parts, y = [], 30
    for name, loads in rows:
        parts.append(f'<text x="{left - 8}" y="{y + bar}" text-anchor="end">{name}</text>')
        for load, colour in (("8 kept alive", "#2a6f97"), ("new connections", "#a9c6d9")):
            value = loads[load].get("worker_cpu_ms", 0)
            length = value / most * (width - left - 70)
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.0f}" height="{bar - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{left + length + 6:.0f}" y="{y + bar - 6}">{value:.2f} ms</text>')
            y += bar
        y += 10
    title = "CPU of the proxy per call: kept alive (dark), on a new connection (light)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 6}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-weight="bold">{title}'
        f"</text>{''.join(parts)}</svg>\n"
    )
