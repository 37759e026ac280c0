"""What `make bench` writes: JSON for machines, Markdown for people, and the README's own table."""

import json
from pathlib import Path
from typing import Any

from scripts.bench.candidates import ONE_WORKER
from scripts.bench.chart import chart
from scripts.bench.figures import BY_KEY, FIGURES

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
ROLES = ("worker", "ledger", "auditor")


def write(document: dict[str, Any], folder: Path) -> None:
    """Write bench.json, bench.md and bench.svg, and print the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(document)
    (folder / "bench.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "bench.md").write_text(text, encoding="utf-8")
    (folder / "bench.svg").write_text(chart(document), encoding="utf-8")
    print(text)
    print(f"written to {folder}/bench.json, bench.md and bench.svg")


def write_readme(document: dict[str, Any], readme: Path, picture: Path) -> None:
    """Put the tables between the README's markers, and the chart beside it.

    Raises:
        ValueError: it has no such markers.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} has no {BEGIN} … {END}")
    picture.write_text(chart(document), encoding="utf-8")
    shown = f"![CPU of the proxy per call]({picture.relative_to(readme.parent)})"
    readme.write_text(f"{before}{BEGIN}\n{markdown(document)}\n{shown}\n{END}{after}", encoding="utf-8")


def markdown(document: dict[str, Any]) -> str:
    """Head, figures, candidates, reports."""
    parts = [_head(document), figures_table(document["figures"])]
    if document["candidates"]:
        parts += [_LOADS_HEAD, _candidates_table(document["candidates"]), *_skipped(document["skipped"])]
        parts.append(_load_cost(document["candidates"]))
    if document["reports"]:
        parts += [f"Over an audit of {document['audit_rows']:,} calls:", _reports_table(document["reports"])]
    return "\n\n".join(parts) + "\n"


_LOADS_HEAD = (
    "Side by side in the same run. (1) and (8) are kept-alive connections, (new) is a new connection for each call, "
    "four at a time; CPU is that of all processes of a kind, per call."
)


def _head(document: dict[str, Any]) -> str:
    machine = document["machine"]
    rounds = "one round" if document["rounds"] == 1 else f"{document['rounds']} rounds"
    kind = "a quick run, " if document["quick"] else ""
    return (
        f"{machine['date']}, {machine['processor']}, {machine['system']}, disk: {machine['disk']}; "
        f"{machine['versions']}. {kind.capitalize()}{rounds} by turns; each figure is the median, in brackets the "
        "lowest and the highest. Before it began, the machine was busy with other things to "
        f"{document['busy_before_percent']:.0f} %."
    )


def figures_table(measured: dict[str, dict[str, Any]]) -> str:
    """One line for each figure, measured or not."""
    lines = ["| figure | measured | must | aim | |", "|---|---|---|---|---|"]
    for figure in FIGURES:
        found = measured.get(figure.key)
        value = found["value"] if found else None
        verdict = figure.verdict(value)
        shown = f"**{verdict}**" if verdict == "short" else verdict
        cells = (figure.title, _written(figure.key, found), figure.bound(figure.must), figure.bound(figure.aim), shown)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _written(key: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return "—"
    written = BY_KEY[key].written
    value, low, high = (written(found[name]) for name in ("value", "low", "high"))
    spread = f" ({low} to {high})" if (low, high) != (value, value) else ""
    return f"{value}{spread}{', ' + found['note'] if found['note'] else ''}"


def _candidates_table(candidates: dict[str, Any]) -> str:
    head = (
        "| | calls/s (8) | p50 / p99 ms (1) | p50 / p99 ms (8) | p50 / p99 ms (new) "
        "| CPU ms a call (8): worker + ledger + auditor | the same (new) | RSS MB |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name, loads in candidates.items():
        one, eight, new = loads["1 kept alive"], loads["8 kept alive"], loads["new connections"]
        rate = eight["calls_per_second"]
        spread = f" ({rate['low']:,.0f} to {rate['high']:,.0f})" if rate["low"] != rate["high"] else ""
        times = " | ".join(
            f"{load['p50_ms']['value']:.2f} / {load['p99_ms']['value']:.2f}" for load in (one, eight, new)
        )
        rss = eight["rss_mb"]["value"]
        lines.append(
            f"| {name} | {rate['value']:,.0f}{spread} | {times} | {_cpu(eight)} | {_cpu(new)} "
            f"| {f'{rss:.0f}' if rss else ''} |"
        )
    return "\n".join(lines)


def _cpu(load: dict[str, Any]) -> str:
    """``0.52 + 0.10 + 0.05``, of those that there are."""
    return " + ".join(f"{load[f'{role}_cpu_ms']['value']:.2f}" for role in ROLES if f"{role}_cpu_ms" in load)


def _skipped(skipped: dict[str, str]) -> list[str]:
    return [f"Not here: {name} ({reason})." for name, reason in skipped.items()]


def _load_cost(candidates: dict[str, Any]) -> str:
    """So that a reader can tell that it is the proxies that were measured."""
    eight = candidates[ONE_WORKER]["8 kept alive"]
    client, vendor = (eight[name]["value"] for name in ("client_cpu_ms", "vendor_cpu_ms"))
    return f"Client and fake vendor took {client:.2f} and {vendor:.2f} ms of CPU a call beside {ONE_WORKER} (8)."


def _reports_table(reports: dict[str, float]) -> str:
    lines = ["| question | seconds |", "|---|---|"]
    return "\n".join(lines + [f"| `{name}` | {seconds:.2f} |" for name, seconds in reports.items()])
