"""What must be true after an attack: the vendors saw nothing, nothing was counted, and the audit tells of it."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.e2e.harness import RuncapUp
from tests.e2e.threats.canned import Canned
from tests.e2e.threats.raw import Answer, Raw
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

VENDORS = ("stripe", "twilio", "resend")
_numbers = itertools.count(1)


@dataclass(slots=True)
class Scene:
    """runcap, the fake vendors behind it, and all that they were seen to say."""

    up: RuncapUp
    fakes: FakeVendors
    evil: Canned
    """Stands where Resend should be, and answers what it is told to."""
    answers: list[Answer] = field(default_factory=list)
    """Answers that were noted, for the search for secrets at the end."""

    def note(self, answer: Answer) -> Answer:
        """Remember an answer for the search for secrets."""
        self.answers.append(answer)
        return answer

    def counted(self) -> tuple[int, ...]:
        """What the ledger has counted for each vendor, held included."""

        async def ask() -> tuple[int, ...]:
            ledger = Ledger.connect(EmbeddedLedger(self.up.home).url, namespace="default")
            try:
                spends = [(await ledger.spend("vendor", vendor))["total"] for vendor in VENDORS]
            finally:
                await ledger.close()
            return tuple(spend.held_micros + spend.spent_micros for spend in spends)

        return asyncio.run(ask())

    def rows_after(self, seq: int) -> list[dict[str, Any]]:
        """All audit rows after one, once everything that has been answered so far is written.

        Without those that stand for many refusals of nobody's calls: they come a minute later, in whatever test.
        """
        path = f"/sentinel-{next(_numbers)}"
        with Raw(self.up.proxy) as raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: nobody\r\n\r\n".encode()).answer()

        def look() -> list[dict[str, Any]] | None:
            rows = self.up.audit("select * from calls where seq > ? order by seq", seq)
            return rows if any(row["path"].endswith(path) for row in rows) else None

        rows = wait_until("the audit to have caught up", look)
        assert rows is not None
        return [row for row in rows if "/sentinel-" not in row["path"] and '"repeated":' not in (row["extra"] or "")]

    def last_seq(self) -> int:
        """The number of the audit's last row, once everything that has been answered is written."""
        rows = self.rows_after(-1)
        return rows[-1]["seq"] if rows else -1

    @contextmanager
    def refused(self, *codes: str) -> Iterator[None]:
        """Whatever happens inside reaches no vendor, counts nothing, and is audited as these refusals, in any order."""
        seq, mark, counted, received = (
            self.last_seq(),
            self.fakes.journal.mark(),
            self.counted(),
            len(self.evil.received),
        )
        yield
        rows = self.rows_after(seq)
        assert sorted(codes) == sorted(row["code"] for row in rows)
        assert {None} >= {row["outcome"] for row in rows}
        assert [] == self.fakes.journal.entries(mark)
        assert received == len(self.evil.received)
        assert counted == self.counted()
