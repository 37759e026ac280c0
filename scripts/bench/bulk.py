"""Fills a ledger fast, by the very scripts and arguments of the ledger's own methods.

`Ledger` is given a client that does not wait: it packs what would be sent, a thousand scripts at a time go out in one
write, and their answers are read while the next thousand are packed. They are only checked for being no error: each
method is told what the first of its kind was answered.
"""

import socket
import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import hiredis

from runcap.ledger.keys import audit, prefix
from runcap.ledger.ledger import Ledger
from runcap.ledger.lua import script
from runcap.ledger.model import Ask, Caps, End, Run
from runcap.runs import key_digest, new_run_id, new_vault_key
from runcap.vendors.base import Ending

BATCH = 1000
ROW = {
    "vendor": "stripe", "method": "POST", "path": "/v1/payment_intents", "operation": "POST /v1/payment_intents",
    "cost_micros": 1_000_000, "amount_minor": 100, "currency": "USD",
}  # fmt: skip
_CREATED_MS = 1_700_000_000_000
_CAP = Caps(day=10**15)


class _Packing:
    """Stands in for `runcap.ledger.client.Client`."""

    def __init__(self, url: str, namespace: str) -> None:
        self.wait_replicas = 0
        self.forgets = False
        """Whether each batch empties the stream."""
        self._prefix = prefix(namespace)
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader(encoding="utf-8")
        self._packed: list[bytes] = []
        self._awaited = 0
        self._first: dict[str, list[str]] = {}

    async def run(self, name: str, args: Sequence[str | int], **_how: bool) -> list[str]:
        """Run a script for the first time; pack it from then on, and answer what was answered then."""
        known = name in self._first
        command = ("EVALSHA", script(name).sha) if known else ("EVAL", script(name).text)
        self._packed.append(hiredis.pack_command((*command, 1, self._prefix, *args)))  # type: ignore[arg-type]
        if not known:
            self.flush()
            self._first[name] = self.read_answers()
        elif len(self._packed) == BATCH:
            self.flush()
        return self._first[name]

    async def run_replicated(self, name: str, args: Sequence[str | int]) -> tuple[list[str], bool]:
        """The same."""
        return await self.run(name, args), True

    def flush(self) -> None:
        """Write what is packed, once the answers to what went before are there."""
        self.read_answers()
        if self.forgets:
            self._packed.append(hiredis.pack_command(("XTRIM", audit(self._prefix), "MAXLEN", 0)))  # type: ignore[arg-type]  # as above
        self._connection.sendall(b"".join(self._packed))
        self._awaited, self._packed = len(self._packed), []

    def read_answers(self) -> list[str]:
        """Wait for all answers; the last one.

        Raises:
            RuntimeError: one is an error or a refusal.
        """
        last: list[str] = []
        while self._awaited:
            answer: Any = self._reader.gets()
            if answer is False:
                self._reader.feed(self._connection.recv(1 << 16))
                continue
            self._awaited -= 1
            if isinstance(answer, int):
                continue  # of XTRIM
            if isinstance(answer, Exception) or answer[0] not in ("OK", "ALREADY"):
                raise RuntimeError(f"the ledger answered {answer!r}")
            last = answer
        return last

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Filler:
    """Fills one ledger, which has been initialised."""

    def __init__(self, url: str, namespace: str = "default") -> None:
        self._packing = _Packing(url, namespace)
        self._ledger = Ledger(self._packing)  # type: ignore[arg-type]  # it does what the methods used here need

    async def runs_and_caps(self, runs: int, caps: int) -> None:
        """Many runs, and fleets that they are no part of.

        The stream is emptied as it fills, as an auditor would do it: a server that frees a million entries at once
        works in a heap of holes from then on.
        """
        self._packing.forgets = True
        for number in range(caps):
            await self._ledger.set_cap("fleet", f"fleet-{number}-", _CAP, "bench")
        for number in range(runs):
            digest = sha256(number.to_bytes(4)).hexdigest()  # of no key that there is: making keys takes time
            await self._ledger.issue(_run(f"other-{number % 1000}", digest), "bench")
            if number % 250_000 == 0:
                print(f"filling the ledger: {number:,} of {runs:,} runs", file=sys.stderr, flush=True)
        self._finish()

    async def calls(self, digest: str, count: int) -> None:
        """Calls that were made and settled: each is an entry of the stream."""
        for number in range(count):
            await self._ledger.reserve(ask(f"filled-{number}", digest))
            await self._ledger.finish(end(f"filled-{number}"))
        self._finish()

    def _finish(self) -> None:
        self._packing.flush()
        self._packing.read_answers()

    def close(self) -> None:
        """End the connection."""
        self._packing.close()


async def issue(ledger: Ledger, label: str = "billing-nightly") -> str:
    """Issue a key in earnest; its digest."""
    digest = key_digest(new_vault_key())
    await ledger.issue(_run(label, digest), "bench")
    return digest


def _run(label: str, digest: str) -> Run:
    return Run(new_run_id(), label, digest, _CAP, ("stripe",), created_at_ms=_CREATED_MS)


def ask(reservation_id: str, digest: str) -> Ask:
    """A reservation of one micro-USD."""
    return Ask(reservation_id, digest, "stripe", "POST /v1/payment_intents", 1, 60_000, ROW)


def end(reservation_id: str) -> End:
    """The end of a call that went well."""
    return End(reservation_id, Ending.SETTLED, row={"status": 200, "duration_ms": 3, "overhead_us": 400})
