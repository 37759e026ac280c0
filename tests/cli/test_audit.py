"""`runcap audit`, `runs`, `report` and `top`, on a real audit file."""

import asyncio
import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runcap.audit.auditor import Auditor
from runcap.audit.chain import CALL_COLUMNS
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.cli import cli
from runcap.config import load
from runcap.decision import Code, Deny
from runcap.home import prepare
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.audit.stream import admin, blocked, call


def _runcap(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def _json(*args: object) -> Any:
    result = _runcap(*args)
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """An audit of five rows: an act, two allowed calls, two blocked ones."""
    path = tmp_path / "audit.db"
    store = Store(path)
    store.open()
    store.append([admin(1), call(2), call(3), blocked(4), blocked(5, label="\x1b[31mred [b]bold")])
    store.close()
    return path


def _cut(db: Path, seq: int = 5) -> None:
    connection = sqlite3.connect(db, isolation_level=None)
    (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'calls_no_delete'").fetchone()
    connection.execute("DROP TRIGGER calls_no_delete")
    connection.execute("DELETE FROM calls WHERE seq = ?", (seq,))
    connection.execute(trigger)
    connection.close()


def test_tail_shows_the_last_rows(db: Path) -> None:
    """Both tables, in order, as JSON or as a line each."""
    assert [("calls", 4), ("calls", 5)] == [
        (row["table"], row["seq"]) for row in _json("audit", "tail", "-n", 2, "--json", "--db", db)
    ]
    lines = _runcap("audit", "tail", "--db", db).stdout.splitlines()
    assert 5 == len(lines)
    assert "admin  key_issued  billing-nightly" in lines[0]
    assert "allowed  settled  20.00 $  billing-nightly  stripe  POST /v1/charges  200" in lines[1]


def test_tail_follows(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come later are shown once each, until interrupted."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 2:
            raise KeyboardInterrupt
        store = Store(db)
        store.open()
        store.append([call(100 + len(waits))])
        store.close()

    monkeypatch.setattr("runcap.cli.audit.time.sleep", wait)

    result = _runcap("audit", "tail", "-n", 1, "-f", "--json", "--db", db)

    assert [5, 6, 7] == [json.loads(line)["seq"] for line in result.stdout.split("\n") if line.startswith("{")]


def test_a_label_cannot_steer_the_terminal(db: Path) -> None:
    """Escape sequences and markup are shown, not obeyed."""
    for command in (("audit", "tail"), ("report", "--by", "blocked"), ("top", "--once")):
        output = _runcap(*command, "--db", db).stdout
        assert "\x1b" not in output
        assert "[31mred [b]bold" in output


def test_verify_says_that_all_is_well(db: Path) -> None:
    """In a sentence, as JSON, or as an anchor alone, to be redirected into a file."""
    anchor = str(verify(db).last)

    assert "5 rows, all as they were written\n" == _runcap("audit", "verify", "--db", db).stdout
    assert f"{anchor}\n" == _runcap("audit", "verify", "--anchor", "--db", db).stdout
    assert {"ok": True, "rows": 5, "anchor": anchor, "problems": [], "compared_with": [], "note": None} == (
        _json("audit", "verify", "--json", "--db", db)
    )


def test_verify_finds_a_cut_by_an_anchor(db: Path) -> None:
    """Exit code 1, the problem on stderr, and no new anchor."""
    anchor = _runcap("audit", "verify", "--anchor", "--db", db).stdout.strip()
    assert 0 == _runcap("audit", "verify", "--against", anchor, "--db", db).exit_code
    _cut(db)

    assert 0 == _runcap("audit", "verify", "--db", db).exit_code
    result = _runcap("audit", "verify", "--anchor", "--against", anchor, "--db", db)

    assert (1, "") == (result.exit_code, result.stdout)
    assert "tail was cut off" in result.stderr


def test_verify_finds_a_dropped_trigger(db: Path) -> None:
    """With a sentence for each problem, in JSON too."""
    connection = sqlite3.connect(db)
    connection.execute("DROP TRIGGER calls_no_update")
    connection.close()

    result = _runcap("audit", "verify", "--json", "--db", db)

    assert 1 == result.exit_code
    assert ["The trigger calls_no_update is missing."] == json.loads(result.stdout)["problems"]


def test_a_malformed_anchor_is_wrong_usage(db: Path) -> None:
    """Exit code 2."""
    assert 2 == _runcap("audit", "verify", "--against", "5", "--db", db).exit_code


@pytest.mark.parametrize("command", ["audit tail", "audit verify", "audit export", "runs", "report", "top --once"])
def test_without_an_audit(tmp_path: Path, command: str) -> None:
    """One sentence and exit code 1; no file is made."""
    result = _runcap(*command.split(), "--db", tmp_path / "none.db")

    assert 1 == result.exit_code
    assert "There is no audit at" in result.stderr
    assert [] == list(tmp_path.iterdir())


def test_export(db: Path) -> None:
    """All rows as they are: JSON lines of both tables, or CSV of one."""
    lines = [json.loads(line) for line in _runcap("audit", "export", "--db", db).stdout.splitlines()]
    assert [1, 2, 3, 4, 5] == [line["seq"] for line in lines]
    assert verify(db).last.hash == lines[-1]["hash"]

    rows = list(csv.reader(_runcap("audit", "export", "--format", "csv", "--db", db).stdout.split("\n")[:-1]))
    assert ["table", *CALL_COLUMNS] == rows[0]
    assert ["2", "3", "4", "5"] == [row[1] for row in rows[1:]]

    only_admin = _runcap("audit", "export", "--table", "admin", "--db", db).stdout.splitlines()
    assert ["key_issued"] == [json.loads(line)["action"] for line in only_admin]


def test_runs(db: Path) -> None:
    """Spend per run, as exact text."""
    (row,) = _json("runs", "--json", "--db", db)

    assert ("01JDRUN", "40.00", 4, 2) == (row["run_id"], row["spent_usd"], row["calls"], row["blocked"])
    assert [] == _json("runs", "--label", "other", "--json", "--db", db)
    assert "40.00" in _runcap("runs", "--db", db).stdout


@pytest.mark.parametrize("by", ["run", "fleet", "vendor", "day", "forecast", "blocked"])
def test_report_has_three_forms(db: Path, by: str) -> None:
    """JSON and CSV have the same rows, and people get a table."""
    rows = _json("report", "--by", by, "--json", "--db", db)
    text = _runcap("report", "--by", by, "--csv", "--db", db).stdout
    assert len(rows) == len(list(csv.DictReader(text.splitlines())))
    assert 0 == _runcap("report", "--by", by, "--db", db).exit_code


def test_report_refuses_what_does_not_go_together(db: Path) -> None:
    """Exit code 2."""
    assert 2 == _runcap("report", "--json", "--csv", "--db", db).exit_code
    assert 2 == _runcap("report", "--by", "day", "--label", "x", "--db", db).exit_code


def test_top(db: Path) -> None:
    """Runs and blocked calls at a glance; the same as JSON."""
    output = _runcap("top", "--once", "--db", db).stdout
    assert "Latest runs" in output
    assert "cap_exhausted" in output
    assert {"today", "runs", "blocked"} == _json("top", "--json", "--db", db).keys()


def test_verify_compares_with_the_ledger(tmp_path: Path) -> None:
    """The ledger's anchor finds a cut tail without anybody having kept one."""
    config_path = tmp_path / "runcap.toml"
    config_path.write_text('home = "home"\n')
    config = load(config_path)

    async def audit_three_calls(url: str) -> None:
        ledger = Ledger.connect(url)
        await ledger.initialise("epoch", "test")
        for number in range(3):
            await ledger.record({"vendor": "stripe", "path": f"/{number}"}, Deny(Code.MALFORMED, "no"), None)
        auditor = Auditor(ledger, Store(config.audit_path))
        running = asyncio.create_task(auditor.run())
        await auditor.ready.wait()
        auditor.stop()
        await running
        await ledger.close()

    prepare(config.home)
    with EmbeddedLedger(config.home) as embedded:
        asyncio.run(audit_three_calls(embedded.url))

        result = _runcap("audit", "verify", "--config", config_path)
        assert "4 rows, all as they were written; its end is as the ledger knows it\n" == result.stdout
        assert ["the ledger"] == _json("audit", "verify", "--json", "--config", config_path)["compared_with"]

        _cut(config.audit_path, 4)
        result = _runcap("audit", "verify", "--config", config_path)
        assert 1 == result.exit_code
        assert "the ledger knows of 4 rows, and the audit ends with row 3" in result.stderr
        assert 0 == _runcap("audit", "verify", "--no-ledger", "--config", config_path).exit_code


def test_verify_without_the_ledger_says_so(tmp_path: Path, db: Path) -> None:
    """A ledger that cannot be reached is a note, not a finding."""
    config_path = tmp_path / "runcap.toml"
    config_path.write_text(f'home = "."\n[ledger]\nurl = "unix://{tmp_path}/none.sock"\n')

    result = _runcap("audit", "verify", "--config", config_path)

    assert 0 == result.exit_code
    assert "was not compared with the ledger" in result.stderr


def test_rotate_and_verify_both_files(tmp_path: Path) -> None:
    """Without a `runcap up`, the command closes the file itself; verify, tail and report go through both files."""
    config_path = tmp_path / "runcap.toml"
    config_path.write_text('home = "home"\n')
    issue = ("keys", "issue", "--label", "nightly", "--daily-usd", "5", "--config", config_path)
    for _ in range(2):
        assert 0 == _runcap(*issue).exit_code

    closed = _json("audit", "rotate", "--json", "--config", config_path)["closed"]

    assert "audit-1-4.db" == Path(closed).name
    assert 0 == _runcap(*issue).exit_code
    found = _json("audit", "verify", "--json", "--config", config_path)
    assert (True, []) == (found["ok"], found["problems"])
    assert _runcap("audit", "verify", "--db", closed).stdout.startswith("4 rows, all as they were written")
    actions = [row["action"] for row in _json("audit", "tail", "--json", "--config", config_path)]
    assert ["ledger_initialised", "key_issued", "key_issued", "audit_rotation", "audit_begun"] == actions[:5]
