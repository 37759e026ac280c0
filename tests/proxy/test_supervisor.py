"""What SIGHUP means to `runcap up`."""

from pathlib import Path

import pytest

from runcap.config import load
from runcap.proxy import supervisor
from runcap.proxy.supervisor import Supervisor


@pytest.mark.parametrize(
    ("had_terminal", "has_terminal", "stops"),
    [(False, False, False), (True, True, False), (True, False, True)],
    ids=["a service", "in a terminal", "whose terminal was closed"],
)
async def test_sighup_reads_anew_or_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, had_terminal: bool, has_terminal: bool, stops: bool
) -> None:
    """It reads secrets anew; but a terminal that is closed takes along what was started in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_has_terminal", lambda: has_terminal)
    running = Supervisor(load(), 1)
    running._hang_up(had_terminal)
    assert (True, stops) == (running._asked.is_set(), running._stopping.is_set())
