"""The chart: what a call costs each candidate, in CPU and in calls a second; SVG without any library."""

from html import escape
from typing import Any

_WIDTH, _LEFT, _BAR, _GAP = 860, 190, 16, 12
_RIGHT = 90
_CPU = (("8 kept alive", "#2a6f97", "kept alive"), ("new connections", "#a9c6d9", "new connection"))
_ROLES = ("worker", "ledger", "auditor")


def chart(document: dict[str, Any]) -> str:
    """Two groups of bars; `direct` has no proxy that could cost anything, and only a rate."""
    candidates = document["candidates"]
    proxies = {name: loads for name, loads in candidates.items() if name != "direct"}
    parts: list[str] = []
    y = _title(parts, 8, "CPU of all of a proxy's processes per call, ms: kept alive (dark), new connection (light)")
    most = max((_cpu_ms(loads[load]) for loads in proxies.values() for load, _, _ in _CPU), default=1.0)
    for name, loads in proxies.items():
        _name(parts, y, name, 2)
        for load, colour, _ in _CPU:
            y = _bar(parts, y, _cpu_ms(loads[load]) / most, f"{_cpu_ms(loads[load]):.2f} ms", colour)
        y += _GAP
    y = _title(parts, y + _GAP, "Calls a second at 8 kept-alive connections")
    rates = {name: loads["8 kept alive"]["calls_per_second"]["value"] for name, loads in proxies.items()}
    most = max(rates.values(), default=1.0)
    for name, rate in rates.items():
        _name(parts, y, name, 1)
        y = _bar(parts, y, rate / most, f"{rate:,.0f}", "#2a6f97") + _GAP // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 8}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _cpu_ms(load: dict[str, Any]) -> float:
    return float(sum(load[f"{role}_cpu_ms"]["value"] for role in _ROLES if f"{role}_cpu_ms" in load))


def _title(parts: list[str], y: int, text: str) -> int:
    parts.append(f'<text x="8" y="{y + 14}" font-weight="bold">{escape(text)}</text>')
    return y + 28


def _name(parts: list[str], y: int, name: str, bars: int) -> None:
    middle = y + bars * _BAR // 2 + 3
    parts.append(f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')


def _bar(parts: list[str], y: int, share: float, text: str, colour: str) -> int:
    length = share * (_WIDTH - _LEFT - _RIGHT)
    parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.0f}" height="{_BAR - 2}" fill="{colour}"/>')
    parts.append(f'<text x="{_LEFT + length + 6:.0f}" y="{y + _BAR - 4}">{escape(text)}</text>')
    return y + _BAR
