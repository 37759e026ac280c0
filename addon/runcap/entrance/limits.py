"""What a connection may take of a worker before it has shown that it is an honest agent's.

Sizes are fixed: what is larger is no call that runcap could price. Times and numbers can be configured (``[limits]``).
"""

from dataclasses import dataclass

MAX_HEAD_BYTES = 16 * 1024
"""A request line and its headers."""
MAX_BODY_BYTES = 256 * 1024
MAX_CHUNK_OVERHEAD_BYTES = 64 * 1024
"""Chunk-size lines that a chunked body may spend beyond its content."""
MAX_HELLO_BYTES = 32 * 1024
"""A ClientHello, with post-quantum key shares: those of today's browsers take about 2 KiB."""

LINGER_SECONDS = 2.0
"""How long a connection that got its last answer may go on sending, so that the answer is not lost in a reset."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]``."""

    head_seconds: float = 15
    """From the connection's start, or the request's first byte, to the end of the request's head."""
    idle_seconds: float = 90
    """Without a byte; also from a request's first byte to its last."""
    handshake_seconds: float = 15
    """For the TLS handshake inside a tunnel."""
    connections: int = 4096
    """Open at once in one worker."""
    connections_per_address: int = 512
    """Of these, from one client address."""


DEFAULT_LIMITS = Limits()
