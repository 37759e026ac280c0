"""Two hosts, each a `runcap up` with a home of its own, share one ledger: one cap, one audit, and a successor."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runcap.audit.verify import verify_all
from tests.e2e.agents_running import Racers
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.servers import Server
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

_ROOM = 10
_CALLS = 200
_TAKEOVER_SECONDS = 10.0


class HostUp(RuncapUp):
    """A `runcap up` whose ledger is a server that others use as well."""

    def __init__(self, folder: Path, fakes: FakeVendors, url: str) -> None:
        super().__init__(folder, fakes, workers=1)
        text = self.config_file.read_text(encoding="utf-8").replace("[ledger]\n", f'[ledger]\nurl = "{url}"\n')
        self.config_file.write_text(text, encoding="utf-8")

    def kill_all(self) -> None:
        """The host goes down."""
        self.kill()
        self.processes.kill_all()


@pytest.fixture
def hosts(tmp_path: Path, session_fakes: FakeVendors) -> Iterator[tuple[HostUp, HostUp]]:
    """The first one's auditor holds the lease."""
    with (
        Server(tmp_path / "server", "--appendonly", "yes", "--maxmemory-policy", "noeviction") as server,
        HostUp(tmp_path / "one", session_fakes, server.url) as one,
    ):
        wait_until("the first host's audit", lambda: one.audit("select 1 from admin"))
        with HostUp(tmp_path / "two", session_fakes, server.url) as two:
            yield one, two


def test_one_cap_and_one_audit(hosts: tuple[HostUp, HostUp], fakes: FakeVendors) -> None:
    """Exactly ten of 200 calls at once pass, whichever host they enter by. The first host dies: the second goes on.

    Each call is a row once, in the file of who was writing then, and the second file's chain begins where the first
    one's ends.
    """
    one, two = hosts
    mark = fakes.journal.mark()
    run = one.issue("hosts", daily_usd=str(_ROOM))
    environments = [host.agent_env(run) for host in (one, two, one, two)]
    with Racers(environments, cents=100, calls=_CALLS // 4, side_by_side=_CALLS) as racers:
        racers.go()
        race = racers.finish()
    assert {"200": _ROOM, "429": _CALLS - _ROOM} == dict(race.statuses)
    assert [100] * _ROOM == [entry.moved for entry in fakes.journal.entries(mark)]
    assert _CALLS == len(one.calls(run, _CALLS))
    assert [] == two.audit("select * from calls")

    one.kill_all()
    later = two.issue("hosts-later", daily_usd="5")
    with Caller(two, later) as caller:
        assert [200, 200] == [caller.charge(100).status for _ in range(2)]
    wait_until("the second host's audit", lambda: _has_rows(two, later, 2), seconds=_TAKEOVER_SECONDS)

    before, after = verify_all(one.home / "audit.db"), verify_all(two.home / "audit.db")
    assert ((), (), before.last) == (before.problems, after.problems, after.after)
    ids = _stream_ids(one) + _stream_ids(two)
    assert len(ids) == len(set(ids))

    one.start()
    with Caller(one, later) as caller:
        assert 200 == caller.charge(100).status
    wait_until("the row, still with the second host", lambda: _has_rows(two, later, 3))
    assert verify_all(one.home / "audit.db").last == before.last
    assert 0 == two.cli("audit", "verify")[0]


def _has_rows(up: RuncapUp, run: IssuedRun, count: int) -> bool:
    with suppress(sqlite3.OperationalError):  # the file is just being made
        return len(up.audit("select 1 from calls where run_id = ?", run.run_id)) == count
    return False


def _stream_ids(up: RuncapUp) -> list[str]:
    with closing(sqlite3.connect(up.home / "audit.db")) as db:
        return [row[0] for row in db.execute("SELECT stream_id FROM calls UNION ALL SELECT stream_id FROM admin")]
