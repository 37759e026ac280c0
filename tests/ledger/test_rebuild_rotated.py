"""A ledger comes back from an audit of several files as from one of one file."""

from pathlib import Path

import pytest

from runcap.audit.files import BEGUN, ROTATION, closed_files
from runcap.audit.verify import verify_all
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Run
from runcap.ledger.rebuild import rebuild
from tests.ledger.support import ACTOR, ask, counted, issue, settle
from tests.ledger.test_rebuild import audit, back_up, lose_all, put_back


async def _spend_and_rotate(ledger: Ledger, path: Path) -> Run:
    """A dollar in the file that is closed, two in the current one."""
    run = await issue(ledger, caps=Caps(day=10))
    await settle(ledger, await ledger.reserve(ask(run, 1)))
    await ledger.note(ROTATION, {}, ACTOR)
    await audit(ledger, path)
    known = await ledger.anchor()
    assert known is not None
    await ledger.note(BEGUN, {"after": f"{known.seq}:{known.hash}"}, ACTOR)
    await settle(ledger, await ledger.reserve(ask(run, 2)))
    await audit(ledger, path)
    assert 1 == len(closed_files(path))
    return run


async def test_all_files_count(ledger: Ledger, tmp_path: Path) -> None:
    """What was spent before the rotation is spent after a rebuild."""
    path = tmp_path / "audit.db"
    run = await _spend_and_rotate(ledger, path)
    await lose_all(ledger)

    await rebuild(ledger, path, ACTOR)

    assert (0, 3) == await counted(ledger, run)
    assert verify_all(path).ok


async def test_a_closed_file_that_is_missing_stops_a_rebuild(ledger: Ledger, tmp_path: Path) -> None:
    """What was spent in it would be free."""
    path = tmp_path / "audit.db"
    await _spend_and_rotate(ledger, path)
    await lose_all(ledger)
    [closed] = closed_files(path)
    closed.rename(tmp_path / "elsewhere.db")

    with pytest.raises(RuntimeError, match="put the closed files that hold the rows before it beside it"):
        await rebuild(ledger, path, ACTOR)


async def test_a_ledger_from_before_the_rotation(ledger: Ledger, tmp_path: Path) -> None:
    """Its stream still holds rows of the closed file: they are rows once."""
    path = tmp_path / "audit.db"
    run = await issue(ledger, caps=Caps(day=10))
    await settle(ledger, await ledger.reserve(ask(run, 1)))
    await ledger.note(ROTATION, {}, ACTOR)
    keys = await back_up(ledger)
    await audit(ledger, path)
    known = await ledger.anchor()
    assert known is not None
    await ledger.note(BEGUN, {"after": f"{known.seq}:{known.hash}"}, ACTOR)
    await audit(ledger, path)
    rows = verify_all(path).last.seq
    await put_back(ledger, keys)

    await rebuild(ledger, path, ACTOR)

    assert (0, 1) == await counted(ledger, run)
    report = verify_all(path)
    assert ((), rows) == (report.problems, report.last.seq)
