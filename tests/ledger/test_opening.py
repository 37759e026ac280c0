"""What a start does with a ledger whose files are damaged: as after a power cut, a full disk, a restored backup."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runcap.config import Config, load
from runcap.decision import Code
from runcap.ledger.checking import check_against_audit
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Run
from runcap.ledger.opening import open_for_use
from tests.ledger.support import ACTOR, ask, counted, denied_code, issue, settle
from tests.ledger.test_rebuild import audit


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration of its own, with the embedded ledger."""
    monkeypatch.delenv("RUNCAP_CONFIG", raising=False)
    monkeypatch.setenv("RUNCAP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load(None)


def aof(home: Path) -> Path:
    """The file that the server appends to."""
    [file] = (home / "ledger" / "appendonlydir").glob("*.incr.aof")
    return file


def cut(home: Path, backup: Path) -> None:
    """The tail is gone."""
    with aof(home).open("r+b") as file:
        file.truncate(aof(home).stat().st_size - 700)


def remove(home: Path, backup: Path) -> None:
    """All of it is gone."""
    shutil.rmtree(home / "ledger" / "appendonlydir")


def put_back(home: Path, backup: Path) -> None:
    """An old copy is back."""
    remove(home, backup)
    shutil.copytree(backup, home / "ledger" / "appendonlydir")


async def started(config: Config, embedded: EmbeddedLedger) -> Ledger:
    """As a start does it."""
    ledger = Ledger.connect(embedded.url)
    await open_for_use(ledger, config)
    return ledger


async def spend(ledger: Ledger, run: Run, micros: int, path: Path) -> None:
    """One call, and its row in the audit."""
    await settle(ledger, await ledger.reserve(ask(run, micros)))
    await audit(ledger, path)


@pytest.mark.parametrize("damage", [cut, remove, put_back])
async def test_damaged_files_cost_nothing_that_was_audited(
    config: Config, tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    """The start rebuilds the embedded ledger, by itself, before the configuration's caps are set."""
    config.home.mkdir(mode=0o700)
    backup = tmp_path / "backup"
    with EmbeddedLedger(config.home) as embedded:
        ledger = await started(config, embedded)
        run, revoked = await issue(ledger, caps=Caps(day=1_000)), await issue(ledger)
        await spend(ledger, run, 100, config.audit_path)
        shutil.copytree(config.home / "ledger" / "appendonlydir", backup)
        await ledger.revoke(revoked.run_id, ACTOR)
        await spend(ledger, run, 600, config.audit_path)
        await ledger.close()
    damage(config.home, backup)

    with EmbeddedLedger(config.home) as embedded:
        ledger = await started(config, embedded)
        assert (0, 700) == await counted(ledger, run)
        assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 301))
        assert Code.KEY_REVOKED == await denied_code(ledger, ask(revoked, 1))
        assert 300 == (await ledger.reserve(ask(run, 300))).held_micros
        assert () == (await check_against_audit(ledger, config.audit_path)).differences
        await ledger.close()


async def test_a_sound_ledger_is_not_rebuilt(config: Config) -> None:
    """A start compares, vouches for the new server process, and changes nothing else."""
    config.home.mkdir(mode=0o700)
    with EmbeddedLedger(config.home) as embedded:
        ledger = await started(config, embedded)
        run = await issue(ledger)
        await spend(ledger, run, 100, config.audit_path)
        before = await ledger.state()
        await ledger.close()
    with EmbeddedLedger(config.home) as embedded:
        ledger = await started(config, embedded)
        after = await ledger.state()
        assert replace(before, server="") == replace(after, server="")
        assert before.server != after.server
        assert 1 == (await ledger.reserve(ask(run, 1))).held_micros
        await ledger.close()


async def test_a_ledger_elsewhere_is_left_to_its_operator(config: Config, blank: Ledger, server_url: str) -> None:
    """It takes no calls, and is not rebuilt from an audit that may be the wrong one."""
    config.home.mkdir(mode=0o700)
    elsewhere = replace(config, ledger=replace(config.ledger, url=server_url))
    await open_for_use(blank, elsewhere)
    run = await issue(blank)
    await spend(blank, run, 5, config.audit_path)
    for key in await blank._client.command("KEYS", f"{blank._client.prefix}*"):
        await blank._client.command("DEL", key)

    await open_for_use(blank, elsewhere)

    assert Code.LEDGER_UNTRUSTED == await denied_code(blank, ask(run, 1))
    assert "1" == (await blank.state()).rebuilding
