"""With ``proxy.tls`` only who has a certificate of the clients' authority gets to say a word."""

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runcap.config.values import TLSFiles
from runcap.entrance.outertls import server_context
from tests.fakes.certificates import FakeAuthority
from tests.proxy.conftest import HOST, Proxy

CALL = b"GET /v1/balance HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n"


def client_certificate(authority: FakeAuthority, path: Path) -> Path:
    """Key and certificate of a client, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> TLSFiles:
    """The proxy's own certificate, and the authority of its clients, which is another."""
    server, clients = FakeAuthority.create(), FakeAuthority.create()
    server.write_certificate(tmp_path / "server-ca.pem")
    server.write_leaf(tmp_path / "proxy.pem", "proxy.example")
    clients.write_certificate(tmp_path / "clients.pem")
    client_certificate(clients, tmp_path / "client.pem")
    client_certificate(server, tmp_path / "stranger.pem")
    return TLSFiles(tmp_path / "proxy.pem", tmp_path / "proxy.pem", tmp_path / "clients.pem")


@pytest.fixture
def closed(proxy: Proxy, files: TLSFiles) -> Proxy:
    """A proxy that wants certificates."""
    proxy.service.outer_tls = server_context(files)
    return proxy


def trusting(tmp_path: Path, certificate: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tmp_path / "server-ca.pem"))
    if certificate is not None:
        context.load_cert_chain(tmp_path / certificate)
    return context


async def _first_answer(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="proxy.example")
    # In TLS 1.3 a client learns only with its first read that its certificate was not taken.
    writer.write(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
    return await reader.readuntil(b"\r\n\r\n")


async def test_a_known_client_calls_as_ever(closed: Proxy, tmp_path: Path) -> None:
    """A vendor's TLS runs inside the proxy's, and the gateway's HTTP too."""
    context = trusting(tmp_path, "client.pem")
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", closed.port, ssl=context, server_hostname="proxy.example"
    )
    writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await writer.start_tls(closed.trust, server_hostname=HOST)
    for _ in range(2):
        writer.write(CALL)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert b"/v1/balance|" == await reader.readexactly(len(b"/v1/balance|"))
    writer.close()

    reader, writer = await asyncio.open_connection(
        "127.0.0.1", closed.gateway_port, ssl=context, server_hostname="proxy.example"
    )
    writer.write(CALL)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert ["tunnel", "tunnel", "gateway"] == [call.entrance.value for call in closed.service.calls]
    writer.close()


@pytest.mark.parametrize("certificate", [None, "stranger.pem"])
async def test_an_unknown_client_gets_no_word(closed: Proxy, tmp_path: Path, certificate: str | None) -> None:
    """Without a certificate, or with one of another authority, the handshake ends with an alert."""
    context = trusting(tmp_path, certificate)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await _first_answer(closed.port, context)
    assert [] == closed.service.calls


async def test_plain_http_gets_no_word(closed: Proxy) -> None:
    """The connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", closed.port)
    writer.write(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
    assert b"" == await reader.read()
    writer.close()


@pytest.mark.parametrize("option", ["certificate", "key", "client_ca"])
def test_a_file_that_cannot_be_used_is_named(files: TLSFiles, tmp_path: Path, option: str) -> None:
    """By its option and its path."""
    broken = tmp_path / "broken.pem"
    broken.write_text("nonsense")
    with pytest.raises(ValueError, match=rf"proxy\.tls_{option} is .*broken\.pem, which cannot be used"):
        server_context(files._replace(**{option: broken}))


def test_a_key_of_another_certificate(files: TLSFiles, tmp_path: Path) -> None:
    """It is said so, before anybody connects."""
    with pytest.raises(ValueError, match=r"tls_key is not the key of|tls_key is .* cannot be used"):
        server_context(files._replace(key=tmp_path / "client.pem"))
