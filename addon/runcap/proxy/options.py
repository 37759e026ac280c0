"""mitmproxy's options that protect, and those that would open a way around us.

Our own layers make most of them moot for a vendor's calls; they stay in force as a second fence, and for the tunnels.
"""

from typing import Any, Protocol

REQUIRED: dict[str, Any] = {
    "connection_strategy": "lazy",
    "upstream_cert": False,
    "http2": False,
    "http3": False,
    "rawtcp": False,
    "websocket": False,
    "onboarding": False,
    "body_size_limit": "256k",
    "tcp_timeout": 90,
    "listen_host": "127.0.0.1",
}
"""Put into force where they stand at mitmproxy's default; any other value stops the start."""

FORBIDDEN: tuple[str, ...] = (
    "stream_large_bodies",
    "ssl_insecure",
    "ignore_hosts",
    "allow_hosts",
    "tcp_hosts",
    "udp_hosts",
    "client_replay",
    "server_replay",
    "map_remote",
    "map_local",
    "modify_body",
    "modify_headers",
    "save_stream_file",
    "hardump",
    "proxyauth",
)
"""Must stand at mitmproxy's default, which for each of them is "off"."""

ALLOWED_MODES = ("regular", "reverse:http://runcap.invalid")
"""The proxy's port, and the gateway's."""


LOOPBACK = ("127.0.0.1", "::1", "[::1]", "localhost")
"""Whoever can reach the port can try vault keys on it: it is for this machine's agents only."""


class Options(Protocol):
    """As much of mitmproxy's option manager as is needed here."""

    def __contains__(self, name: object) -> bool: ...

    def default(self, option: str) -> Any:
        """The value that mitmproxy ships."""

    def update(self, **values: Any) -> None:
        """Set options."""

    def __getattr__(self, name: str) -> Any: ...


def enforce(options: Options) -> None:
    """Put the protecting options into force, where nobody has set them differently."""
    changes = {
        name: value
        for name, value in REQUIRED.items()
        if name in options and getattr(options, name) == options.default(name)
    }
    options.update(**changes)


def unsafe(options: Options) -> list[str]:
    """One sentence for each option that is not safe; empty if all is well."""
    problems = [
        f"{name} must be {value!r}, not {getattr(options, name)!r}"
        for name, value in REQUIRED.items()
        if name in options and getattr(options, name) != value
    ]
    problems += [
        f"{name} must not be set"
        for name in FORBIDDEN
        if name in options and getattr(options, name) != options.default(name)
    ]
    problems += [
        f"mode {mode!r} must listen on 127.0.0.1"
        for mode in getattr(options, "mode", [])
        if ":" in mode.partition("@")[2] and mode.partition("@")[2].rpartition(":")[0] not in LOOPBACK
    ]
    problems += [
        f"mode {mode!r} is not one of {', '.join(ALLOWED_MODES)}"
        for mode in getattr(options, "mode", [])
        if mode.partition("@")[0] not in ALLOWED_MODES
    ]
    return problems
