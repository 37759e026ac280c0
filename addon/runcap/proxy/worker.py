"""One worker process of `runcap up`: an engine, a service, and an orderly end.

The supervisor starts it with a pipe as stdin and one as stdout: it writes ``ready`` when it accepts connections, and
ends, after the calls under way, on SIGTERM or when stdin closes because the supervisor is gone.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys

import uvloop

from runcap.addon import Runcap
from runcap.decision import Refused
from runcap.hardening import harden
from runcap.proxy.crowd import fitting
from runcap.proxy.engine import Engine, bind
from runcap.service import open_service


async def serve(config: str | None, listen: tuple[str, int], gateway: tuple[str, int] | None) -> None:
    """Run until told to end."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_file, loop, stop)
    addon = Runcap()
    loop.add_signal_handler(signal.SIGHUP, _reload, addon)
    addon.service = await open_service(config)
    engine = Engine(addon, fitting(addon.service.limits))
    await engine.listen(bind(*listen), bind(*gateway) if gateway else None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    engine.close()
    await addon.done()


def _reload(addon: Runcap) -> None:
    if addon.service is not None:
        addon.service.reload()


def _stop_at_end_of_file(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main(argv: list[str] | None = None) -> int:
    """``python -m runcap.proxy.worker``; 1 with a sentence on stderr if it cannot start."""
    parser = argparse.ArgumentParser(prog="runcap.proxy.worker")
    parser.add_argument("--config")
    parser.add_argument("--listen", type=_address, required=True)
    parser.add_argument("--gateway", type=_address)
    arguments = parser.parse_args(argv)
    harden()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s worker[%(process)d] %(levelname)s %(message)s")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(serve(arguments.config, arguments.listen, arguments.gateway))
    except (RuntimeError, ValueError, OSError, Refused) as error:
        logging.getLogger(__name__).error("the worker cannot run: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
