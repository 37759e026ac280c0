"""What py-spy has seen, read and summed up: self time by group of modules, speedscope's format, a flamegraph. Pure."""

import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any

type Stack = tuple[str, ...]
"""Frames, the outermost first, as py-spy writes them: ``Guard.handle (/…/runcap/guard.py:140)``."""

WRITES, LOOP = "writes to sockets (system calls, vendor's TLS)", "uvloop: polling, reads, vendor's TLS"
TLS, ELSE = "TLS to the agent", "else"

_WRITERS = re.compile(r"^(?:StreamWriter\.write|_Wire\._?write|StreamWriter\._writelines?|StreamWriter\._write) \(")
"""Python frames below which there is nothing but a transport's write, that is the system call."""
_WAITING = re.compile(r"^(?:EpollSelector\.select|_worker|Condition\.wait|Event\.wait) \(")
"""Where a thread only seems to run: it fell asleep between two looks of py-spy, at its state and at its stack."""
_GROUPS: tuple[tuple[str, re.Pattern[str]], ...] = (
    *(
        (f"runcap: {name}", re.compile(pattern))
        for name, pattern in (
            ("entrance", r"/runcap/(?:entrance/|reply\.py|hosts\.py)"),
            ("guard", r"/runcap/(?:guard|decision|refusals|endings|runs|lookups|service|addon|reply)\.py"),
            ("vendors, prices", r"/runcap/(?:vendors/|rates/|fx\.py|money\.py)"),
            ("ledger's client", r"/runcap/ledger/"),
            ("forwarder, upstream", r"/runcap/(?:forwarder\.py|upstream/)"),
            ("audit", r"/runcap/audit/"),
            ("rest", r"/runcap/"),
        )
    ),
    (TLS, re.compile(r"/OpenSSL/|/cryptography/|/mitmproxy/(?:proxy/layers/tls|addons/tlsconfig|net/tls|certs)\.py")),
    ("mitmproxy", re.compile(r"/mitmproxy/")),
    ("redis, hiredis", re.compile(r"/(?:redis|hiredis)/")),
    (LOOP, re.compile(r"/uvloop/|/asyncio/(?:runners|base_events|selector_events)\.py")),
)


def read_raw(text: str) -> Counter[Stack]:
    """Read ``py-spy record --format raw``: a line for each stack and how often it was seen, but those that wait."""
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        stack = tuple(frames.split(";"))
        if frames and not _WAITING.match(stack[-1]):
            found[stack] += int(count)
    return found


def group_of(stack: Stack) -> str:
    """Whose self time a stack is.

    The standard library works for whoever called it; a write is the system call, whoever asked for it.
    """
    if _WRITERS.match(stack[-1]):
        return WRITES
    for frame in reversed(stack):
        for name, pattern in _GROUPS:
            if pattern.search(frame):
                return name
    return ELSE


def by_group(stacks: Counter[Stack]) -> list[tuple[str, float]]:
    """Each group's share of all samples, 0 to 1, the largest first."""
    total = stacks.total()
    groups: Counter[str] = Counter()
    for stack, count in stacks.items():
        groups[group_of(stack)] += count
    return [(name, count / total) for name, count in groups.most_common()]


def hottest(stacks: Counter[Stack], count: int) -> list[tuple[str, float]]:
    """The functions with the largest shares of self time, lines of one function together."""
    functions: Counter[str] = Counter()
    for stack, seen in stacks.items():
        functions[short(stack[-1])] += seen
    return [(name, seen / stacks.total()) for name, seen in functions.most_common(count)]


def short(frame: str) -> str:
    """A frame without line number, and with no more of its path than needed: ``Guard.handle (runcap/guard.py)``."""
    match = re.fullmatch(r"(.*) \((.*?)(?::\d+)?\)", frame)
    if match is None:
        return frame
    name, path = match.groups()
    for root in ("/site-packages/", "/addon/", "/lib/python"):
        _, found, behind = path.rpartition(root)
        if found:
            path = behind
            break
    return f"{name} ({path})"


def speedscope(stacks: Counter[Stack], name: str) -> dict[str, Any]:
    """A sampled profile in the format of https://www.speedscope.app (its file-format-schema.json)."""
    numbers: dict[str, int] = {}
    samples = [[numbers.setdefault(frame, len(numbers)) for frame in map(short, stack)] for stack in stacks]
    weights = list(stacks.values())
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": frame} for frame in numbers]},
        "profiles": [
            {"type": "sampled", "name": name, "unit": "none", "startValue": 0, "endValue": sum(weights),
             "samples": samples, "weights": weights},
        ],
        "name": name,
        "activeProfileIndex": 0,
    }  # fmt: skip


_WIDTH, _HEIGHT, _LEAST = 1400, 17, 0.0015
_COLOURS = {"runcap": "#2a6f97", "mitmproxy": "#d08c60", "TLS": "#b56576", "uvloop": "#9aa5b1"}


def flamegraph(stacks: Counter[Stack], title: str) -> str:
    """An SVG: outermost frames at the top, width for share, coloured by group; names as tooltips too."""
    rows: list[str] = []
    depth = _flames(rows, list(stacks.items()), 0, 0.0, stacks.total())
    height = (depth + 3) * _HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="monospace" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="4" y="13">{escape(title)}</text>{"".join(rows)}</svg>\n'
    )


def _flames(rows: list[str], stacks: Iterable[tuple[Stack, int]], depth: int, left: float, total: int) -> int:
    """Draw the frames at a depth, and what is below each; returns the greatest depth."""
    below: dict[str, list[tuple[Stack, int]]] = {}
    for stack, count in stacks:
        if len(stack) > depth:
            below.setdefault(short(stack[depth]), []).append((stack, count))
    deepest = depth
    for name, inner in sorted(below.items()):
        share = sum(count for _, count in inner) / total
        if share >= _LEAST:
            rows.append(_flame(name, group_of(inner[0][0][: depth + 1]), depth, left, share))
            deepest = max(deepest, _flames(rows, inner, depth + 1, left, total))
        left += share
    return deepest


def _flame(name: str, group: str, depth: int, left: float, share: float) -> str:
    x, y, width = left * _WIDTH, (depth + 1.5) * _HEIGHT, share * _WIDTH
    colour = next((colour for start, colour in _COLOURS.items() if group.startswith(start)), "#d9d9d9")
    text = escape(name[: int(width / 6.8)]) if width > 30 else ""
    return (
        f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{_HEIGHT - 1}" fill="{colour}" fill-opacity="0.6"/><text x="{x + 2:.1f}" y="{y + 12:.1f}">{text}'
        "</text></g>"
    )
