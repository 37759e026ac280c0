"""How a run is spread over processes, and that it leaves none behind.

A run of everything is four processes, whatever the cores, since end-to-end tests wait more than they compute. A run of
some tests is one process, quicker begun, where ``--pdb`` and ``-s`` work as ever. ``-n N`` overrules both.
"""

from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.leftovers import Leftovers

_PROCESSES = 4
_SHARING = ("tests/e2e/threats/", "tests/clients/")
"""The tests of each of these folders share one `runcap up`: they go to the same process."""
_LONG = ("tests/e2e/test_chaos.py", *_SHARING, "tests/e2e/", "tests/")
"""What takes longest begins first, or the run would end with one process at work and the others done."""


class ByFixtures(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of one file, or of one folder that shares a fixture, go to the same process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _SHARING if file.startswith(folder)), file)


def pytest_configure(config: pytest.Config) -> None:
    """Only who starts the run looks after its leftovers, not each of its processes."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Leftovers(), "leftovers")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes ``-n auto`` means, which is the default."""
    named = {Path(argument).resolve() for argument in config.args}
    everything = named <= {config.rootpath, config.rootpath / "tests"} and not config.option.keyword
    return _PROCESSES if everything else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Who gets which tests."""
    return ByFixtures(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, where there are others to run beside them; else as they are written."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next(rank for rank, start in enumerate(_LONG) if item.nodeid.startswith(start)))
