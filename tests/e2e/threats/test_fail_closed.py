"""Threats 1 to 6: whatever fails inside runcap, no call goes out that was not reserved."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions

import runcap.addon
import runcap.call
import runcap.entrance.layer
import runcap.entrance.wire
import runcap.guard
from runcap.addon import Runcap
from runcap.ledger.ledger import Ledger
from runcap.proxy.engine import Engine
from runcap.proxy.options import FORBIDDEN, REQUIRED
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.mitmdump import Mitmdump
from tests.e2e.threats.conftest import Inside
from tests.e2e.threats.raw import CHARGE_MICROS, Answer, Raw, charge
from tests.e2e.threats.scene import Scene
from tests.fakes import FakeVendors


def broken(*_: Any, **__: Any) -> Any:
    raise LookupError("injected")


async def broken_later(*_: Any, **__: Any) -> Any:
    raise LookupError("injected")


async def cancelled(*_: Any, **__: Any) -> Any:
    raise asyncio.CancelledError


def call(inside: Inside, run: IssuedRun) -> Answer:
    """A charge by the gateway of the worker inside this process."""
    with Raw(inside.gateway) as raw:
        return raw.send(charge(run, path="/stripe/v1/payment_intents")).answer()


def stripe(inside: Inside) -> Any:
    return inside.service._by_name["stripe"]


BEFORE_SENDING: dict[str, Callable[[pytest.MonkeyPatch, Inside], None]] = {
    "admit": lambda patch, _: patch.setattr(runcap.guard, "admit", broken),
    "credential": lambda patch, inside: patch.setattr(stripe(inside), "credential", broken),
    "plan": lambda patch, inside: patch.setattr(stripe(inside), "plan", broken),
    "secret": lambda patch, inside: patch.setattr(inside.service._guard, "_secret_of", broken),
    "quote": lambda patch, inside: patch.setattr(stripe(inside), "quote", broken),
    "ask": lambda patch, _: patch.setattr(runcap.call.Call, "ask", broken),
    "reserve": lambda patch, inside: patch.setattr(inside.service._guard._ledger, "reserve", broken_later),
}


async def test_01_an_exception_at_every_step_before_sending(
    scene: Scene, inside: Inside, run: IssuedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a 503 with one row, and nothing reserved or sent."""

    def attack() -> None:
        with scene.refused(*["internal"] * len(BEFORE_SENDING)):
            for step, break_it in BEFORE_SENDING.items():
                with monkeypatch.context() as patch:
                    break_it(patch, inside)
                    answer = scene.note(call(inside, run))
                    assert (503, "internal") == (answer.status, answer.code), step

    await asyncio.to_thread(attack)


async def test_02_an_exception_in_a_hook_or_a_layer(
    scene: Scene, inside: Inside, run: IssuedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What should have decided cannot even write a row; the client is refused all the same, and never left hanging."""
    gateway = b"GET /stripe/v1/balance HTTP/1.1\r\nHost: x\r\n\r\n"
    connect = b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n"
    breaking: list[tuple[Any, str, Any, str, bytes]] = [
        (Runcap, "vendor_call", broken_later, inside.gateway, gateway),
        (Runcap, "vendor_call", cancelled, inside.gateway, gateway),
        (Runcap, "proxy_connect", broken_later, inside.proxy, connect),
        (runcap.addon, "CallLayer", broken, inside.gateway, gateway),
        (runcap.addon, "ProxyLayer", broken, inside.proxy, connect),
        (runcap.entrance.wire.MessageReader, "next_message", broken, inside.gateway, gateway),
        (runcap.entrance.layer, "VendorTLSLayer", broken, inside.proxy, connect),
    ]

    def attack() -> None:
        with scene.refused():
            for where, name, how, url, data in breaking:
                with monkeypatch.context() as patch:
                    patch.setattr(where, name, how)
                    inside.addon.crowd = None
                    with Raw(url) as raw:
                        answer = scene.note(raw.send(data).answer())
                        assert (503, "internal") == (answer.status, answer.code), name

    # The engine remembers each hook's handler; these are looked up again.
    inside.engine.addons._handlers.clear()
    monkeypatch.setattr(inside.engine.addons, "_handlers", _Forgetful())
    await asyncio.to_thread(attack)


class _Forgetful(dict[str, Any]):
    def __contains__(self, name: object) -> bool:
        return False


async def test_02_server_connect_dials_nothing_on_an_exception(
    scene: Scene, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception where the checked tunnel is looked up leaves the refusal in place."""
    from runcap.entrance.destinations import Tunnel

    class Broken(set[str]):
        def __contains__(self, item: object) -> bool:
            raise LookupError("injected")

    with socket.create_server(("127.0.0.1", 0)) as target:
        target.settimeout(0)

        async def decide(authority: str) -> Tunnel:
            return Tunnel(target.getsockname())

        monkeypatch.setattr(inside.service.destinations, "decide", decide)
        inside.addon._tunnels = Broken()

        def attack() -> None:
            with scene.refused(), Raw(inside.proxy) as raw:
                assert 502 == scene.note(raw.connect("allowed.example:443")).status

        await asyncio.to_thread(attack)
        with pytest.raises(BlockingIOError):
            target.accept()


async def test_03_cancelled_while_waiting_for_the_ledger(
    scene: Scene, inside: Inside, up: RuncapUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservation whose answer nobody waited for is swept as spent; nothing was sent."""
    guard = inside.service._guard
    reserve = guard._ledger.reserve
    run = await asyncio.to_thread(up.issue, "cancelled", daily_usd="10")

    async def reserve_and_die(ask: Any) -> Any:
        await reserve(ask)
        raise asyncio.CancelledError

    monkeypatch.setattr(guard._ledger, "reserve", reserve_and_die)
    monkeypatch.setattr(guard, "_deadline_ms", 50)
    mark = scene.fakes.journal.mark()

    answer = scene.note(await asyncio.to_thread(call, inside, run))
    assert (503, "internal") == (answer.status, answer.code)
    [row] = await asyncio.to_thread(up.calls, run, 1)
    assert ("unknown", CHARGE_MICROS) == (row["outcome"], row["settled_micros"])
    assert [] == scene.fakes.journal.entries(mark)


async def test_04_an_exception_after_sending(
    scene: Scene, inside: Inside, up: RuncapUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks once the call is out, it counts as spent, has one row, and the agent is told."""
    guard = inside.service._guard
    send = guard._forwarder.send

    async def send_and_break(*arguments: Any) -> Any:
        await send(*arguments)
        raise LookupError("injected")

    breaking: list[tuple[Any, str, Any]] = [
        (guard._forwarder, "send", send_and_break),
        (stripe(inside), "sign", broken),
        (runcap.guard, "forwarded", broken),
        (stripe(inside), "outcome", broken),
    ]
    seen = []
    for where, name, how in breaking:
        run = await asyncio.to_thread(up.issue, f"after-{name}", daily_usd="10")
        with monkeypatch.context() as patch:
            patch.setattr(where, name, how)
            answer = scene.note(await asyncio.to_thread(call, inside, run))
        [row] = await asyncio.to_thread(up.calls, run, 1)
        assert CHARGE_MICROS == await asyncio.to_thread(up.spent_micros, run)
        assert CHARGE_MICROS == row["settled_micros"]
        seen.append((name, answer.status, row["outcome"]))
    assert [
        ("send", 503, "unknown"),
        ("sign", 503, "unknown"),
        ("forwarded", 503, "settled"),
        ("outcome", 200, "unknown"),
    ] == seen


@contextmanager
def strange_ledger(answer: bytes | None) -> Iterator[str]:
    """A server that gives every command the same answer, or none."""
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            while not stopped.is_set():
                try:
                    if not connection.recv(65536):
                        return
                    if answer is not None:
                        connection.sendall(answer)
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.settimeout(5)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        stopped.set()
        listening.shutdown(socket.SHUT_RDWR)


async def test_05_a_ledger_that_is_not_there_for_us(
    scene: Scene, inside: Inside, run: IssuedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, hanging, or answering NOSCRIPT for ever: 503, and nothing is sent. No row: it could not be written."""
    guard = inside.service._guard

    async def attack(url: str) -> None:
        ledger = Ledger.connect(url, timeout_seconds=0.2)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(guard, "_ledger", ledger)
                patch.setattr(guard._refusals, "_ledger", ledger)
                answer = scene.note(await asyncio.to_thread(call, inside, run))
                assert (503, "ledger_unavailable") == (answer.status, answer.code), url
        finally:
            await ledger.close()

    seq, mark = await asyncio.to_thread(scene.last_seq), scene.fakes.journal.mark()
    counted = await asyncio.to_thread(scene.counted)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        refusing = f"redis://127.0.0.1:{gone.getsockname()[1]}/0"
    await attack(refusing)
    with strange_ledger(None) as hanging:
        await attack(hanging)
    with strange_ledger(b"-NOSCRIPT No matching script.\r\n") as looping:
        await attack(looping)
    assert [] == scene.fakes.journal.entries(mark)
    assert [] == await asyncio.to_thread(scene.rows_after, seq)
    assert counted == await asyncio.to_thread(scene.counted)


UNSAFE: dict[str, Any] = {
    "connection_strategy": "eager", "upstream_cert": True, "http2": True, "http3": True, "rawtcp": True,
    "websocket": True, "body_size_limit": "100m", "tcp_timeout": 6000, "stream_large_bodies": "1",
    "ssl_insecure": True, "ignore_hosts": ["x"], "allow_hosts": ["x"], "tcp_hosts": ["x"], "udp_hosts": ["x"],
}  # fmt: skip


async def test_06_unsafe_options_stop_the_start() -> None:
    """Each option that opens a way around refuses to be set, before the start and while running."""
    addon = Runcap()
    engine = Engine(addon)
    known = [name for name in (*REQUIRED, *FORBIDDEN) if name in engine.options]
    tried = [name for name in known if name in UNSAFE]
    assert {"upstream_cert", "rawtcp", "ssl_insecure", "ignore_hosts"} <= set(tried)
    for name in tried:
        before = getattr(engine.options, name)
        engine.options.update(**{name: UNSAFE[name]})
        with pytest.raises(exceptions.OptionsError, match=name):
            addon.configure({name})
        engine.options.update(**{name: before})
    assert addon.configure(set()) is None  # type: ignore[func-returns-value]


def test_06_a_planted_configuration(tmp_path: Path, session_fakes: FakeVendors) -> None:
    """A config.yaml in mitmproxy's folder cannot weaken mitmdump (it does not start), and `runcap up` reads none."""
    dump = Mitmdump(tmp_path / "dump", session_fakes)
    dump._confdir.mkdir()
    (dump._confdir / "config.yaml").write_text("ssl_insecure: true\n")
    ended = subprocess.run(
        dump._command(), env=dump._environment(), cwd=tmp_path / "dump", capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert (1, True) == (ended.returncode, "ssl_insecure must not be set" in ended.stdout + ended.stderr)
    assert "confdir" not in (Path(runcap.addon.__file__).parent / "proxy" / "engine.py").read_text()
