"""`runcap up`: ledger and auditor behind, workers in front, restarted when they die and drained when told to end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass

from runcap.config import Config
from runcap.decision import Refused
from runcap.hardening import harden
from runcap.ledger.ledger import Ledger
from runcap.proxy.backstage import LEDGER_URL, Backstage

logger = logging.getLogger(__name__)

_RESTART_PAUSE_SECONDS = 0.2
_START_SECONDS = 30.0
_KILL_GRACE_SECONDS = 5.0
"""What a worker gets beyond its own drain time before it is killed."""


class StartFailed(RuntimeError):
    """A worker did not come up; its own words are on stderr."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the proxy can be reached, with the real ports."""

    proxy: tuple[str, int]
    gateway: tuple[str, int] | None
    scheme: str = "http"

    def ready_line(self) -> str:
        """The one line that `runcap up` prints when it is ready."""
        gateway = f"{self.scheme}://{_join(self.gateway)}" if self.gateway else ""
        return f"runcap ready proxy={self.scheme}://{_join(self.proxy)} gateway={gateway}"


class Supervisor:
    """Runs the workers of one configuration."""

    def __init__(self, config: Config, workers: int) -> None:
        self._config = config
        self._count = workers
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            StartFailed, RuntimeError, OSError: with a sentence for the operator.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up, _has_terminal())
        harden()
        with contextlib.ExitStack() as sockets:
            addresses = self._reserve_ports(sockets)
            async with Backstage(self._config) as backstage:
                keepers: list[asyncio.Task[None]] = []
                try:
                    await asyncio.gather(*(self._start(slot, addresses, backstage) for slot in range(self._count)))
                    keepers = [
                        asyncio.create_task(self._keep(slot, addresses, backstage)) for slot in range(self._count)
                    ]
                    sys.stdout.write(addresses.ready_line() + "\n")
                    sys.stdout.flush()
                    await self._reload_until_stopped(backstage)
                finally:
                    for keeper in keepers:
                        keeper.cancel()
                    await asyncio.gather(*keepers, return_exceptions=True)
                    await asyncio.gather(*(self._stop(worker) for worker in self._workers.values()))

    def _hang_up(self, had_terminal: bool) -> None:
        """SIGHUP: somebody wants secrets and certificates read anew, or the terminal that we ran in has gone."""
        if had_terminal and not _has_terminal():
            self._stopping.set()
        self._asked.set()

    async def _reload_until_stopped(self, backstage: Backstage) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set():
            asked = asyncio.create_task(self._asked.wait())
            await asyncio.wait({stopping, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if self._asked.is_set() and not self._stopping.is_set():
                self._asked.clear()
                await self._reload(backstage)

    async def _reload(self, backstage: Backstage) -> None:
        for worker in self._workers.values():
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGHUP)
        kinds = {name: vendor.secret.partition(":")[0] for name, vendor in self._config.vendors.items()}
        ledger = Ledger.connect(backstage.ledger_url, namespace=self._config.ledger.namespace)
        try:
            await ledger.note("secrets_reloaded", {"sources": kinds}, "SIGHUP")
        except Refused as refused:
            logger.error("that secrets are read anew could not be audited: %s", refused)
        finally:
            await ledger.close()

    def _reserve_ports(self, sockets: contextlib.ExitStack) -> Addresses:
        """Bind without listening: the ports are ours as long as we live, and only workers are connected to."""
        from runcap.proxy.engine import bind

        proxy = sockets.enter_context(bind(*self._config.proxy.listen))
        gateway = self._config.proxy.gateway
        bound = sockets.enter_context(bind(*gateway)) if gateway else None
        scheme = "http" if self._config.proxy.tls is None else "https"
        return Addresses(_name(proxy), _name(bound) if bound else None, scheme)

    async def _start(self, slot: int, addresses: Addresses, backstage: Backstage) -> None:
        arguments = ["--listen", _join(addresses.proxy)]
        if addresses.gateway:
            arguments += ["--gateway", _join(addresses.gateway)]
        if self._config.source is not None:
            arguments += ["--config", str(self._config.source)]
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "runcap.proxy.worker", *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, LEDGER_URL: backstage.ledger_url, "RUNCAP_HOME": str(self._config.home)},
            start_new_session=True,
            pass_fds=backstage.lock_fds,
        )  # fmt: skip
        self._workers[slot] = worker
        assert worker.stdout is not None
        try:
            # Its first act is to run the commands that print secrets.
            patience = _START_SECONDS + self._config.secrets.command_timeout_seconds
            line = await asyncio.wait_for(worker.stdout.readline(), patience)
        except TimeoutError:
            line = b""
        if line != b"ready\n":
            raise StartFailed("a worker did not start; the reason is above")

    async def _keep(self, slot: int, addresses: Addresses, backstage: Backstage) -> None:
        """Start a worker again when it dies; what it had in flight is swept as spent."""
        while True:
            code = await self._workers[slot].wait()
            logger.error("worker %d ended with %s; starting another", slot, code)
            await asyncio.sleep(_RESTART_PAUSE_SECONDS)
            try:
                await self._start(slot, addresses, backstage)
            except (StartFailed, OSError) as error:
                logger.error("worker %d: %s", slot, error)
                await self._stop(self._workers[slot])

    async def _stop(self, worker: asyncio.subprocess.Process) -> None:
        if worker.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), self._config.proxy.drain_seconds + _KILL_GRACE_SECONDS)
        except TimeoutError:
            logger.error("a worker did not end in time and is killed; its calls will be swept as spent")
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _name(sock: socket.socket) -> tuple[str, int]:
    host, port, *_ = sock.getsockname()
    return str(host), int(port)


def _join(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
