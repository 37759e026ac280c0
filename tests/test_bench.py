"""`make bench`: what it reports, what it measures with, and that what it fills is what runcap would have written.

No time is asserted anywhere: how fast something is depends on who else is on the machine.
"""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from runcap.audit.reports import REPORTS, Reader
from runcap.audit.verify import verify
from scripts.bench import audits, machine, others, report, rounds
from scripts.bench.bulk import Filler, issue
from scripts.bench.candidates import BIN, ONE_WORKER, REPOSITORY, STOCK, Candidate, Field, environment
from scripts.bench.chart import chart
from scripts.bench.figures import BY_KEY, FIGURES, Figure, record
from scripts.bench.ledgers import embedded, opened
from scripts.bench.load import missing_of
from scripts.bench.processes import descendants, usage
from scripts.bench.rounds import EIGHT, NEW, ONE, Span
from scripts.bench.vendor import whole_call

README = REPOSITORY / "README.md"
NAMES = ("direct", STOCK, ONE_WORKER, "a < b")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """The benchmark's vendor, and no proxy."""
    with ExitStack() as stack:
        yield Field(tmp_path_factory.mktemp("field"), stack)


def document(**more: Any) -> dict[str, Any]:
    """As `scripts.bench.__main__.measure` makes it, with made-up figures."""
    load = {
        name: asdict(Span(value, value / 2, value * 2))
        for value, name in enumerate(
            ("calls_per_second", "p50_ms", "p99_ms", "rss_mb", "worker_cpu_ms", "client_cpu_ms", "vendor_cpu_ms"), 1
        )
    }
    machine_ = dict.fromkeys(("date", "processor", "system", "disk", "versions"), "x")
    return {
        "machine": machine_, "quick": False, "busy_before_percent": 2.0, "rounds": 3,
        "skipped": {"squid": "not installed"},
        "figures": {figure.key: record(Span(1.0, 0.5, 2.0), "note") for figure in FIGURES},
        "candidates": {name: dict.fromkeys((ONE, EIGHT, NEW), load) for name in NAMES},
        "audit_rows": 5_000_000, "reports": {"report --by run": 1.5},
    } | more  # fmt: skip


def test_the_readme_names_every_figure_with_what_it_must_be() -> None:
    """The table between the markers is this version's, measured or not."""
    _, begin, rest = README.read_text(encoding="utf-8").partition(report.BEGIN)
    table, end, _ = rest.partition(report.END)
    assert (report.BEGIN, report.END) == (begin, end)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    named = {row[0]: row[2:4] for row in rows if len(row) == 5}
    expected = {figure.title: [figure.bound(figure.must), figure.bound(figure.aim)] for figure in FIGURES}
    assert expected.items() <= named.items()


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    """Markdown shows it as a table only then."""
    tables, lines = [], []
    for line in [*report.markdown(document()).splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line.count("|"))
        elif lines:
            tables.append(lines)
            lines = []
    assert 3 == len(tables)
    assert [[table[0]] * len(table) for table in tables] == tables


@pytest.mark.parametrize(
    ("at_most", "value", "verdict"),
    [
        (True, 0.5, "aim met"), (True, 0.6, "met"), (True, 1.0, "met"), (True, 1.1, "short"),
        (False, 4.0, "aim met"), (False, 3.0, "met"), (False, 0.5, "short"), (True, None, "not measured"),
    ],
)  # fmt: skip
def test_a_figure_is_short_unless_it_reaches_what_it_must(at_most: bool, value: float | None, verdict: str) -> None:
    """Bounds themselves are reached; what was not measured is not met."""
    figure = Figure("x", "x", "{:.2f}", 1.0, 0.5 if at_most else 4.0, at_most=at_most)
    assert verdict == figure.verdict(value)


def test_a_figure_without_a_must_has_no_verdict() -> None:
    """The disk's own part is for reading the others."""
    assert "" == BY_KEY["fdatasync"].verdict(12.0)


def test_what_is_short_stands_out_with_its_spread_and_its_note() -> None:
    """Median, lowest and highest, and what a quick run took less of."""
    table = report.figures_table({"cpu_kept": record(Span(0.5, 0.4, 0.6), "with less")})
    [line] = [line for line in table.splitlines() if "kept-alive call" in line]
    assert ["0.50 (0.40 to 0.60), with less", "≤ 0.40", "≤ 0.25", "**short**"] == [
        cell.strip() for cell in line.split("|")[2:-1]
    ]


def test_the_report_says_who_did_not_take_part_and_why() -> None:
    """An optional proxy that is not installed is no silent gap."""
    assert "Not here: squid (not installed)." in report.markdown(document())


def test_all_that_is_written_is_there_and_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON as it was measured, the Markdown that is printed too, a well-formed chart with every proxy."""
    report.write(document(), tmp_path)
    assert document() == json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "bench.md").read_text() in capsys.readouterr().out
    texts = {element.text for element in ET.parse(tmp_path / "bench.svg").iter() if element.tag.endswith("text")}  # noqa: S314 (ours)
    assert {*NAMES} - {"direct"} <= texts


def test_only_the_table_of_a_readme_is_replaced(tmp_path: Path) -> None:
    """What stands before and behind the markers stays, however often it is done."""
    readme, picture = tmp_path / "README.md", tmp_path / "docs" / "bench.svg"
    picture.parent.mkdir()
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nbehind\n")
    report.write_readme(document(), readme, picture)
    once = readme.read_text()
    report.write_readme(document(), readme, picture)
    assert once == readme.read_text()
    assert once.startswith(f"before\n{report.BEGIN}\n")
    assert once.endswith(f"(docs/bench.svg)\n{report.END}\nbehind\n")
    assert "old" not in once
    assert chart(document()) == picture.read_text()


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    """Nobody's text is overwritten by guess."""
    readme = tmp_path / "README.md"
    readme.write_text("text\n")
    with pytest.raises(ValueError, match="has no <!-- bench -->"):
        report.write_readme(document(), readme, tmp_path / "bench.svg")
    assert "text\n" == readme.read_text()


def test_a_ratio_is_taken_within_each_round() -> None:
    """A slow moment of the machine is in both parts of it."""
    results = {"a": {EIGHT: [{"x": 1.0}, {"x": 20.0}, {"x": 3.0}]}, "b": {EIGHT: [{"x": 2.0}, {"x": 40.0}, {"x": 2.0}]}}
    assert Span(0.5, 0.5, 1.5) == rounds.ratio(results, "a", "b", EIGHT, "x")


@pytest.mark.parametrize("load", [ONE, EIGHT, NEW])
def test_each_load_measures_calls_and_who_paid_for_them(field: Field, load: str) -> None:
    """Without a proxy there is only client and vendor."""
    figures = rounds.measure(field.direct(), load, 0.2, vendor_pid=field.vendor.pid)
    assert figures["calls"] > 0
    assert figures["p99_ms"] >= figures["p50_ms"] > 0
    assert not {"worker_cpu_ms", "ledger_cpu_ms"} & figures.keys()


def test_a_call_that_fails_ends_the_load(field: Field, tmp_path: Path) -> None:
    """Refusals are no calls: a proxy that refuses quickly would be the fastest."""
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(field.ca.read_text())
    candidate = Candidate("nobody", f"localhost:{_closed_port()}", stranger)
    with pytest.raises(subprocess.CalledProcessError):
        rounds.measure(candidate, ONE, 0.2, vendor_pid=field.vendor.pid)


def test_an_optional_proxy_that_fails_costs_only_its_own_figures(field: Field) -> None:
    """The others' are there, and the report says what became of it; one that is needed ends the run."""
    broken = Candidate("broken", f"localhost:{_closed_port()}", field.ca)
    both, pid = [field.direct(), broken], field.vendor.pid
    results, failed = rounds.visit_all(both, 2, 0.05, pid, lambda _: None, optional=("broken",))
    assert [2, 2, 2] == [len(figures) for figures in results["direct"].values()]
    assert {"broken": "it failed in round 1, 1 kept alive"} == failed
    assert {"direct"} == results.keys()
    with pytest.raises(subprocess.CalledProcessError):
        rounds.visit_all(both, 1, 0.05, pid, lambda _: None)


def test_a_client_that_breaks_off_does_not_spoil_the_vendor(field: Field) -> None:
    """Neither in the handshake nor in a call: the next one is answered."""
    for told in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", field.vendor_port)) as plain:
            plain.sendall(told)
    context = ssl.create_default_context(cafile=str(field.ca))
    for _ in range(3):
        with (
            socket.create_connection(("127.0.0.1", field.vendor_port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab")
    figures = rounds.measure(field.direct(), NEW, 0.2, vendor_pid=field.vendor.pid)
    assert figures["calls"] > 0


def test_the_first_call_of_a_process_is_one_call(field: Field) -> None:
    """Through the way that takes 40 ms there and back, with TCP, TLS and the call: three times that."""
    command = [sys.executable, "-m", "scripts.bench.load", *field.far_direct().load_arguments(), "--one"]
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment(), timeout=60
    )
    assert float(answer.stdout) >= 3 * 40


@pytest.mark.parametrize(
    ("buffer", "whole"),
    [
        (b"", 0), (b"POST / HTTP/1.1\r\n", 0), (b"GET / HTTP/1.1\r\n\r\n", 18),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 0),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 41),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST", 41),
    ],
)  # fmt: skip
def test_the_vendor_answers_a_call_once_it_is_whole(buffer: bytes, whole: int) -> None:
    """An answer before the body's end makes some proxies drop the connection."""
    assert whole == whole_call(buffer)


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (b"HTTP/1.1 200 OK\r\n", 1), (b"HTTP/1.1 200 OK\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", 2),
        (b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nabcd", 0),
    ],
)  # fmt: skip
def test_an_answer_is_over_at_its_end(answer: bytes, missing: int) -> None:
    """Not at the end of what has come so far."""
    assert missing == missing_of(answer)


async def test_a_filled_ledger_is_one_that_was_used(tmp_path: Path) -> None:
    """Runs, caps, counters and stream are those of the same methods called one by one; its books are right."""
    with embedded(tmp_path / "ledger") as url:
        async with opened(url) as ledger:
            digest = await issue(ledger)
            filler = Filler(url)
            await filler.calls(digest, 1_105)
            assert 1_105 <= await ledger.audit_backlog()
            await filler.runs_and_caps(1_203, 7)
            filler.close()
            assert 0 == await ledger.audit_backlog()
            assert 1_204 == len(await ledger.list_runs(limit=5_000))
            assert [] == await ledger.check()
            assert 7 == len([cap for cap in await ledger.list_caps() if cap.level == "fleet"])
            run = (await ledger.identify(digest)).run_id
            spend = await ledger.spend("run", run)
            assert (0, 1_105) == (spend["total"].held_micros, spend["total"].spent_micros)


def test_a_large_audit_is_a_true_one(tmp_path: Path) -> None:
    """Its chain holds, its schema is the auditor's, and the views find in it what was put there."""
    path = tmp_path / "audit.db"
    audits.large_audit(path, 1_000)
    assert () == verify(path).problems
    with Reader(path) as reader:
        runs = reader.report("run")
        assert [100] * 10 == [row["calls"] for row in runs]
        assert 20 == sum(row["blocked"] for row in runs) == len(reader.report("blocked"))


def test_each_report_over_a_large_audit_is_timed(tmp_path: Path) -> None:
    """Every report that there is, and the walk of the chain."""
    path = tmp_path / "audit.db"
    audits.large_audit(path, 500)
    found = audits.reports(path)
    assert {f"report --by {by}" for by in REPORTS} | {"audit verify"} <= found.keys()


async def test_the_auditor_writes_all_that_waits_before_its_rate_is_taken(tmp_path: Path) -> None:
    """The rate is of rows that are in the file."""
    figures = await audits.auditor_rate(tmp_path / "auditor", 1_500)
    assert figures["auditor"]["value"] > 0
    assert () == (await asyncio.to_thread(verify, tmp_path / "auditor" / "audit.db")).problems
    with Reader(tmp_path / "auditor" / "audit.db") as reader:
        assert [1_500] == [row["calls"] for row in reader.report("run")]


def test_a_proxy_that_is_not_installed_is_missing(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence for the report."""
    monkeypatch.setattr("scripts.bench.others.shutil.which", lambda *_args, **_kwargs: None)
    with pytest.raises(others.Missing, match="no squid with OpenSSL is installed"):
        others.squid(field)


def test_processes_are_found_below_the_one_that_was_started() -> None:
    """CPU is counted for whatever a candidate starts."""
    script = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import sys; print(1, flush=True); input()'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = descendants(process.pid)
        assert 2 == len(found)
        assert all(usage(pid).rss_mb > 0 for pid in found)
        process.communicate("\n")
    assert 0.0 == usage(process.pid).rss_mb


def test_the_report_says_on_what_it_was_measured(tmp_path: Path) -> None:
    """Processor, versions, the disk, and what a write to it takes."""
    found = machine.describe(tmp_path, None)
    assert {"date", "processor", "system", "versions", "disk"} == found.keys()
    assert "mitmproxy 12" in found["versions"]
    assert machine.fdatasync_ms(tmp_path) > 0
    assert 0 <= machine.busy_percent(0.05) <= 100
    assert [] == list(tmp_path.iterdir())


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_mitmdump_is_where_it_is_started_from() -> None:
    """Beside the Python that runs the benchmark."""
    assert (BIN / "mitmdump").exists()
