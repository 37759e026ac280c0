"""TLS on the proxy's and the gateway's own ports, for agents on other machines: who connects shows a certificate.

With ``proxy.tls`` an agent's machine runs a client that has a certificate, or a sidecar (stunnel, ghostunnel, Envoy)
that speaks plain HTTP on its loopback. Our own root cannot sign for the proxy's name, so the operator brings its
certificate and key, and the authority that client certificates must be from. What is inside is as ever: the tunnel to a
vendor is TLS within this TLS, each with its own certificate.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.context import Context
from OpenSSL import SSL

from runcap.config.values import TLSFiles
from runcap.entrance.limits import Limits
from runcap.entrance.tlslayer import VendorTLSLayer

logger = logging.getLogger(__name__)


def server_context(files: TLSFiles) -> SSL.Context:
    """A context that takes a connection only from who shows a certificate of the clients' authority.

    Raises:
        ValueError: a file cannot be used; the message names it.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    steps: tuple[tuple[str, Path, Callable[[str], None]], ...] = (
        ("tls_certificate", files.certificate, context.use_certificate_chain_file),
        ("tls_key", files.key, context.use_privatekey_file),
        ("tls_client_ca", files.client_ca, context.load_verify_locations),
    )
    for option, path, take in steps:
        try:
            take(str(path))
        except SSL.Error as error:
            raise ValueError(f"proxy.{option} is {path}, which cannot be used: it has to be readable PEM.") from error
    try:
        context.check_privatekey()
    except SSL.Error as error:
        raise ValueError("proxy.tls_key is not the key of proxy.tls_certificate.") from error
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


class OuterTLSLayer(VendorTLSLayer):
    """The first layer of a connection; what it carries is its child's."""

    def __init__(self, context: Context, tls: SSL.Context, child: layer.Layer, limits: Limits) -> None:
        super().__init__(context, lambda _: _server_side(tls), "the proxy itself", child, limits)

    def start_tls(self) -> layer.CommandGenerator[None]:
        """Take whatever name the client has for us: it knows the proxy by its certificate."""
        yield from ()
        self.tls = self._agent_tls("")

    def on_handshake_error(self, err: str) -> layer.CommandGenerator[None]:
        """Tell the client by OpenSSL's own alert, if it speaks TLS at all."""
        logger.warning("A connection from %s is no TLS of a known client: %s", self.context.client.peername, err[:200])
        if self.tls is not None:
            yield from self.tls_interact()
        self.conn.error = err
        self.event_to_child = self.errored  # type: ignore[method-assign]
        yield commands.CloseConnection(self.tunnel_connection)


def _server_side(tls: SSL.Context) -> SSL.Connection:
    connection = SSL.Connection(tls)
    connection.set_accept_state()
    return connection
