"""The other way to run the addon: stock mitmdump with ``-s addon/runcap/addon.py``."""

import re
import sys
from pathlib import Path

from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY


class Mitmdump(RuncapUp):
    """mitmdump instead of `runcap up`; several on one folder share the embedded ledger."""

    def __init__(self, folder: Path, fakes: FakeVendors, *, name: str = "mitmdump", alone: bool = True) -> None:
        """Write the configuration; nothing runs yet. One that is not `alone` leaves the others' processes be."""
        super().__init__(folder, fakes, workers=1)
        self.alone = alone
        self.log_file = folder / f"{name}.txt"
        self._confdir = folder / f"{name}-confdir"

    def start(self) -> None:
        """Start it and wait until the addon answers: mitmdump listens a little before that."""
        super().start()
        nobody = IssuedRun("vk_nobody", "", "")

        def answers() -> bool:
            try:
                with Caller(self, nobody) as caller:
                    return caller.get("/v1/balance").status == 401
            except OSError:
                return False

        wait_until("the addon to answer", answers)

    def _command(self) -> list[str]:
        return [
            str(Path(sys.executable).parent / "mitmdump"),
            "-s", str(REPOSITORY / "addon" / "runcap" / "addon.py"),
            "--listen-host", "127.0.0.1", "--listen-port", "0", "--set", f"confdir={self._confdir}",
        ]  # fmt: skip

    def _find_addresses(self, log: str) -> bool:
        found = re.search(r"proxy listening at (?:http://)?(127\.0\.0\.1:[0-9]+)", log)
        if found is not None:
            self.proxy = f"http://{found[1]}"
        return found is not None
