"""Proxies of other makers that intercept TLS: squid with ssl_bump, and proxy.py. Both optional.

squid comes from the system (Debian: ``apt-get install squid-openssl``); proxy.py is installed into an environment of
its own below the output folder, since its dependencies are no business of ours.
"""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.bench.candidates import EVERYTHING, Candidate, Field
from scripts.bench.processes import free_port, listens, running, wait_until
from scripts.bench.rounds import LOADS, measure

SQUID, PROXY_PY = "squid, ssl_bump", "proxy.py, TLS interception"
_CERTGEN = ("/usr/lib/squid/security_file_certgen", "/usr/lib64/squid/security_file_certgen")
_INSTALL_SECONDS = 120
_TRY_SECONDS = 0.3


class Missing(Exception):
    """This candidate cannot take part; the text says why."""


def squid(field: Field) -> Candidate:
    """Squid, intercepting, without a cache.

    Raises:
        Missing: it is not installed, or was built without OpenSSL.
    """
    binary = shutil.which("squid") or shutil.which("squid", path="/usr/sbin:/usr/local/sbin")
    certgen = next((path for path in _CERTGEN if Path(path).exists()), None)
    if binary is None or certgen is None:
        raise Missing("no squid with OpenSSL is installed (Debian: apt-get install squid-openssl)")
    folder, port = field.folder / "squid", free_port()
    folder.mkdir()
    ca = _make_ca(folder)
    subprocess.run([certgen, "-c", "-s", str(folder / "certificates"), "-M", "4MB"], check=True, capture_output=True)
    (folder / "hosts").write_text("127.0.0.1 localhost\n")  # the vendor does not listen on ::1
    (folder / "squid.conf").write_text(
        f"http_port 127.0.0.1:{port} ssl-bump tls-cert={ca} tls-key={folder / 'ca.key'} "
        "generate-host-certificates=on dynamic_cert_mem_cache_size=4MB\n"
        f"sslcrtd_program {certgen} -s {folder / 'certificates'} -M 4MB\n"
        f"tls_outgoing_options cafile={field.ca}\n"
        f"hosts_file {folder / 'hosts'}\n"
        "ssl_bump bump all\nhttp_access allow all\ncache deny all\naccess_log none\npid_filename none\n"
        f"cache_log {folder / 'cache.log'}\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\n"
        f"visible_hostname localhost\n{_unprivileged(field.folder, folder)}"
    )
    command = [
        binary,
        "-N",
        "-n",
        f"bench{os.getpid()}",
        "-f",
        str(folder / "squid.conf"),
    ]  # -n: names in shared memory
    return _started(field, Candidate(SQUID, f"localhost:{field.vendor_port}", ca, str(port)), command, folder)


def proxy_py(field: Field, environment: Path) -> Candidate:
    """proxy.py with one worker, intercepting.

    Args:
        field: where it takes part.
        environment: the folder of its virtual environment, which is made if it is not there.

    Raises:
        Missing: it cannot be installed.
    """
    binary = environment / "bin" / "proxy"
    if not binary.exists():
        _install(environment)
    folder, port = field.folder / "proxy.py", free_port()
    (folder / "certificates").mkdir(parents=True)
    ca = _make_ca(folder)
    command = [
        str(binary), "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1", "--num-acceptors", "1",
        "--ca-cert-file", str(ca), "--ca-key-file", str(folder / "ca.key"), "--ca-signing-key-file",
        str(folder / "signing.key"), "--ca-cert-dir", str(folder / "certificates"), "--ca-file", str(field.ca),
        "--data-dir", str(folder), "--log-level", "WARNING",
    ]  # fmt: skip
    return _started(field, Candidate(PROXY_PY, f"localhost:{field.vendor_port}", ca, str(port)), command, folder)


def tried(candidate: Candidate, vendor_pid: int) -> Candidate:
    """The candidate, after a few calls.

    Raises:
        Missing: it did not answer them.
    """
    try:
        for load in LOADS:
            measure(candidate, load, _TRY_SECONDS, vendor_pid=vendor_pid)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise Missing(f"it does not answer: {error}") from error
    return candidate


def _install(environment: Path) -> None:
    """Make the environment.

    Raises:
        Missing: that did not work.
    """
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True)
        pip = [
            str(environment / "bin" / "pip"),
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "proxy.py>=2.4,<3",
        ]
        subprocess.run(pip, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        raise Missing(f"proxy.py cannot be installed: {error}") from error


def _started(field: Field, candidate: Candidate, command: list[str], folder: Path) -> Candidate:
    """Start it and wait until it listens.

    Raises:
        Missing: it does not.
    """
    process = field.stack.enter_context(running(command, log=folder / "log.txt"))
    candidate.pid, candidate.marks = process.pid, EVERYTHING
    try:
        wait_until(
            f"{candidate.name} to listen", lambda: process.poll() is not None or listens(int(candidate.proxy)), 15
        )
    except RuntimeError as error:
        raise Missing(str(error)) from error
    if process.poll() is not None:
        raise Missing(f"it ended with {process.returncode}: {(folder / 'log.txt').read_text()[-300:]}")
    return candidate


def _unprivileged(parent: Path, folder: Path) -> str:
    """The setting without which squid does not serve for root; its folder becomes that user's."""
    if os.geteuid() != 0:
        return ""
    user = next(name for name in ("proxy", "squid", "nobody") if name in {each.pw_name for each in pwd.getpwall()})
    parent.chmod(0o711)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)
    return f"cache_effective_user {user}\n"


def _make_ca(folder: Path) -> Path:
    """A CA with RSA keys, as the manuals of both tell one to make it; and a key for the leaves."""
    ca, key = folder / "ca.pem", folder / "ca.key"
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-days", "2", "-nodes", "-x509", "-keyout", str(key),
               "-out", str(ca), "-subj", "/CN=bench", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
        signing = ["openssl", "genrsa", "-out", str(folder / "signing.key"), "2048"]
        subprocess.run(signing, check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise Missing(f"openssl is needed to make its CA: {error}") from error
    return ca
