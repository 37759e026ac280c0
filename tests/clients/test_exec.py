"""`runcap exec` before a real proxy: what it passes on, what it says, and what it notices before a command starts."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runcap.cli._meeting import what_hinders
from runcap.pki.ca import Authority
from runcap.pki.trust import write_bundle
from tests.clients.conftest import SCRIPTS, Exec
from tests.e2e.configuration import SECRET_VARIABLES
from tests.e2e.harness import RuncapUp
from tests.fakes.vendors import REPOSITORY

pytestmark = pytest.mark.usefixtures("fakes")


def command(up: RuncapUp, *words: str, proxy: str = "", options: tuple[str, ...] = ()) -> list[str]:
    """``runcap exec`` as a process of its own."""
    told = ("--label", "exec", "--total-usd", "5", "--proxy", proxy or up.proxy, *options)
    return [sys.executable, "-m", "runcap", "exec", *told, "--", *words]


def environment(up: RuncapUp) -> dict[str, str]:
    """Of whoever starts it."""
    own = {"RUNCAP_CONFIG": str(up.config_file), "PYTHONPATH": f"{REPOSITORY}/addon"}
    return {**os.environ, **SECRET_VARIABLES, **own}


def last_run(up: RuncapUp) -> str:
    """How the run that was issued last stands."""
    state: str = max(up.cli_json("keys", "list", "--label", "exec"), key=lambda row: str(row["run_id"]))["state"]
    return state


def test_a_signal_goes_on_to_the_command(up: RuncapUp) -> None:
    """SIGTERM lets the command end in its own way; the key is revoked after it, and stdout is the command's alone."""
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    words = command(up, sys.executable, "-c", script)
    with subprocess.Popen(
        words, env=environment(up), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert b"started\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    assert (42, b"") == (process.returncode, rest)
    assert b"(exec) spent $0.00" in errors
    assert "revoked" == last_run(up)


def test_ctrl_c_in_a_terminal(up: RuncapUp) -> None:
    """The command gets it once, from the terminal; runcap waits for it, revokes the key, and says what was spent."""
    script = (
        "import signal, sys, time\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "print('started', flush=True)\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "print(f'seen {len(seen)}', flush=True)\n"
        "sys.exit(7)\n"
    )
    master, slave = pty.openpty()
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take, *command(up, sys.executable, "-c", script)],
        env=environment(up), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        said = read_until(master, b"started")
        os.write(master, b"\x03")
        said += read_until(master, b" of $5.00 in total")
        assert 7 == process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert b"seen 1" in said
    assert "revoked" == last_run(up)


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """What a terminal shows up to some words, or to its end."""
    said = b""
    while wanted not in said:
        try:
            read = os.read(descriptor, 4096)
        except OSError:  # how Linux tells that nobody has the other side open any more
            break
        if not read:
            break
        said += read
    return said


def test_a_summary_for_programs(run_under: Exec, tmp_path: Path) -> None:
    """As JSON in a file: what was spent, how many calls, how many refused, what is left, and the exit code."""
    summary = tmp_path / "summary.json"
    script = f'"{sys.executable}" "{SCRIPTS}/stripe_sync.py"; exit 9'
    ended = run_under("50", "sh", "-c", script, options=("--summary", str(summary), "--total-usd", "100"))
    found = json.loads(summary.read_text(encoding="utf-8"))
    assert {"spent_usd": "20.00", "held_usd": "0.00", "calls": 2, "refused": 1, "exit_code": 9}.items() <= found.items()
    assert [("day", "30.00"), ("total", "80.00")] == [(cap["window"], cap["remaining_usd"]) for cap in found["caps"]]
    assert (9, False) == (ended.code, "runcap doctor" in ended.err)


def test_a_summary_that_cannot_be_written(run_under: Exec, tmp_path: Path) -> None:
    """It is said, and changes nothing about how the command has ended."""
    ended = run_under("5", "true", options=("--summary", str(tmp_path / "nowhere" / "file")))
    assert 0 == ended.code
    assert "nowhere/file cannot be written: No such file or directory" in ended.err


def test_a_command_whose_calls_do_not_come(run_under: Exec) -> None:
    """Python's -I takes no shim: where a command fails and none of its calls has come, the doctor is named."""
    ended = run_under("50", sys.executable, "-I", str(SCRIPTS / "stripe_sync.py"))
    assert 1 == ended.code
    assert "CERTIFICATE_VERIFY_FAILED" in ended.err
    assert "made no call that came here" in ended.err
    assert "`runcap doctor`" in ended.err.splitlines()[-1]


def test_the_gateway_is_no_proxy(up: RuncapUp) -> None:
    """It says so, starts nothing, and the key is revoked."""
    assert_refused(up, up.gateway, "is runcap's gateway: --proxy takes what `runcap up` prints as proxy=")
    assert "revoked" == last_run(up)


def test_another_configuration(up: RuncapUp, tmp_path: Path) -> None:
    """One whose ledger the proxy does not have, such as that of another folder."""
    other = tmp_path / "runcap.toml"
    other.write_text(f'home = "{tmp_path}/home"\n', encoding="utf-8")
    assert_refused(
        up, up.proxy, f"does not know the run that was just issued in {tmp_path}/home", "--config", str(other)
    )


def test_another_root(up: RuncapUp, tmp_path: Path) -> None:
    """A proxy that shares the ledger, with a root of its own, which the command would not trust."""
    variables = up.agent_env(up.issue("exec", daily_usd="5"))
    assert what_hinders(variables, up.home) is None
    bundle = write_bundle(Authority.load_or_create(tmp_path))
    bundle.write_bytes((tmp_path / "ca.pem").read_bytes())
    said = what_hinders({**variables, "RUNCAP_CA_BUNDLE": str(bundle)}, tmp_path)
    assert said is not None
    assert f"has another root certificate than {tmp_path}/ca/ca.pem" in said


@pytest.fixture(params=[b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"], ids=["ssh", "http"])
def something_else(request: pytest.FixtureRequest) -> Iterator[str]:
    """Another server on loopback, which says the same to everybody."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.5)
                try:
                    connection.recv(4096)
                    connection.sendall(request.param)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_something_else_is_no_proxy(up: RuncapUp, something_else: str) -> None:
    """Whatever it speaks."""
    said = assert_refused(up, something_else, something_else.removeprefix("http://"))
    assert "Something else than runcap" in said or "does not answer as runcap's proxy does" in said


def assert_refused(up: RuncapUp, proxy: str, words: str, *options: str) -> str:
    """The command is not started, and one sentence says why."""
    ended = subprocess.run(
        command(up, "echo", "it ran", proxy=proxy, options=options),
        env=environment(up), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (1, "") == (ended.returncode, ended.stdout)
    assert words in ended.stderr
    return ended.stderr


def test_what_is_asked_before_is_no_call(run_under: Exec, tmp_path: Path) -> None:
    """Also for a run that may not use the vendor whose certificate is looked at."""
    summary = tmp_path / "summary.json"
    ended = run_under("5", "true", options=("--vendor", "resend", "--summary", str(summary)))
    assert ", no calls refused, " in ended.err
    assert 0 == json.loads(summary.read_text(encoding="utf-8"))["calls"]
