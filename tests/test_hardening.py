"""A process that holds secrets leaves no core dump and shows its memory to nobody."""

import resource
import subprocess
import sys

import pytest

from runcap.hardening import harden

_CHILD = """
import ctypes, resource
from runcap.hardening import harden
harden()
print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_GET_DUMPABLE is Linux's")
def test_no_core_dump_and_no_reader() -> None:
    """Neither the limit nor the process's own flag lets its memory out: soft and hard limit, and PR_GET_DUMPABLE."""
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert "0 0 0\n" == done.stdout


def test_a_system_that_refuses_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""

    def refuse(*args: object) -> None:
        raise OSError(1, "not permitted")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(sys, "platform", "somewhere else")
    harden()
    assert "core dumps cannot be forbidden" in caplog.text
