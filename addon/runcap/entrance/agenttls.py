"""TLS with the agent: one OpenSSL context for each vendor host, made once and renewed with its leaf."""

from typing import Any

from OpenSSL import SSL

from runcap.pki.ca import Leaf, LeafCache


class AgentTLS:
    """Makes the server side of the agent's TLS connections.

    A context is shared by all connections to a host, so that an agent which reconnects resumes its session.
    """

    def __init__(self, leaves: LeafCache) -> None:
        self._leaves = leaves
        self._contexts: dict[str, tuple[Leaf, SSL.Context]] = {}

    def connection(self, host: str) -> SSL.Connection:
        """A connection in accept state over memory buffers, with a leaf for `host` that is not due for renewal."""
        leaf = self._leaves.get(host)
        known = self._contexts.get(host)
        if known is None or known[0] is not leaf:
            known = self._contexts[host] = (leaf, _server_context(leaf))
        connection = SSL.Connection(known[1])
        connection.set_accept_state()
        return connection


def _server_context(leaf: Leaf) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.use_certificate(leaf.certificate)
    context.use_privatekey(leaf.key)
    context.check_privatekey()
    context.set_session_id(b"runcap")
    context.set_alpn_select_callback(_http1_only)
    return context


def _http1_only(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    """We speak HTTP/1.1 and nothing else; a client that offers none of it learns so from its first request."""
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
