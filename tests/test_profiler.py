"""`make profile`: what py-spy has seen is read, summed up and written as it was."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from scripts.profiler import stacks
from scripts.profiler.__main__ import SUBJECTS, table
from scripts.profiler.stacks import LOOP, TLS, WRITES, group_of, short

LIB = "/x/lib/python3.13"
RUN = f"run ({LIB}/site-packages/uvloop/__init__.py:96)"
GUARD = "Guard.handle (/x/addon/runcap/guard.py:140)"
PARSE = "parse_qsl (/x/lib/python3.13/urllib/parse.py:700)"
VENDOR = "Stripe.quote (/x/addon/runcap/vendors/stripe/vendor.py:48)"
RAW = f"""{RUN} 6
{RUN};{GUARD} 2
{RUN};{GUARD};{VENDOR};{PARSE} 2
{RUN};{GUARD};{VENDOR};<lambda> (<string>) 1
{RUN};EpollSelector.select ({LIB}/selectors.py:452) 30
"""


@pytest.fixture
def seen() -> Counter[stacks.Stack]:
    return stacks.read_raw(RAW)


def test_each_stack_counts_as_often_as_it_was_seen(seen: Counter[stacks.Stack]) -> None:
    """But not one that waits for work."""
    assert {
        (RUN,): 6,
        (RUN, GUARD): 2,
        (RUN, GUARD, VENDOR, PARSE): 2,
        (RUN, GUARD, VENDOR, "<lambda> (<string>)"): 1,
    } == seen


def test_shares_are_of_all_that_worked(seen: Counter[stacks.Stack]) -> None:
    """The largest first; together they are everything."""
    assert [(LOOP, 6 / 11), ("runcap: vendors, prices", 3 / 11), ("runcap: guard", 2 / 11)] == stacks.by_group(seen)


@pytest.mark.parametrize(
    ("stack", "group"),
    [
        ((RUN, GUARD, PARSE), "runcap: guard"),
        ((GUARD, f"StreamWriter.write ({LIB}/asyncio/streams.py:340)"), WRITES),
        ((GUARD, "_Wire._write (/x/addon/runcap/ledger/pipe.py:169)"), WRITES),
        ((GUARD, "_Wire.data_received (/x/addon/runcap/ledger/pipe.py:180)"), "runcap: ledger's client"),
        ((RUN, f"Connection.do_handshake ({LIB}/site-packages/OpenSSL/SSL.py:1)"), TLS),
        ((RUN, f"TLSLayer.receive_data ({LIB}/site-packages/mitmproxy/proxy/layers/tls.py:1)"), TLS),
        ((RUN, f"Layer.handle_event ({LIB}/site-packages/mitmproxy/proxy/layer.py:1)"), "mitmproxy"),
        ((RUN, "Connection.data_received (/x/addon/runcap/upstream/connection.py:1)"), "runcap: forwarder, upstream"),
        ((RUN, "CallLayer._message (/x/addon/runcap/entrance/layer.py:1)"), "runcap: entrance"),
        ((RUN, "Store._write (/x/addon/runcap/audit/store.py:1)"), "runcap: audit"),
        ((f"{PARSE}",), "else"),
    ],
)
def test_self_time_is_that_of_the_innermost_module_with_a_name(stack: stacks.Stack, group: str) -> None:
    """The standard library works for its caller; a write is a write, whoever asked for it."""
    assert group == group_of(stack)


def test_lines_of_one_function_are_one(seen: Counter[stacks.Stack]) -> None:
    """And their paths begin where they name something."""
    seen[(RUN, GUARD.replace(":140", ":141"))] += 3
    assert ("Guard.handle (runcap/guard.py)", 5 / 14) == stacks.hottest(seen, 2)[1]
    assert "<lambda> (<string>)" == short("<lambda> (<string>)")


def test_speedscope_gets_every_sample(seen: Counter[stacks.Stack]) -> None:
    """Each stack leads to its frames by number, and the weights are all samples."""
    document = json.loads(json.dumps(stacks.speedscope(seen, "worker")))
    [profile] = document["profiles"]
    names = [[document["shared"]["frames"][number]["name"] for number in sample] for sample in profile["samples"]]
    assert [[short(frame) for frame in stack] for stack in seen] == names
    assert 11 == sum(profile["weights"]) == profile["endValue"]


def test_the_flamegraph_is_well_formed_and_as_wide_as_the_samples(seen: Counter[stacks.Stack]) -> None:
    """A frame lies within the one that called it, names with < and > included."""
    root = ET.fromstring(stacks.flamegraph(seen, "worker"))  # noqa: S314 (ours)
    name = "{http://www.w3.org/2000/svg}"
    widths = {
        str(each.findtext(f"{name}title")): float(each.find(f"{name}rect").attrib["width"])  # type: ignore[union-attr]
        for each in root.iter(f"{name}g")
    }
    assert 1400.0 == widths["run (uvloop/__init__.py): 100.0%"]
    assert widths["Guard.handle (runcap/guard.py): 45.5%"] > widths["<lambda> (<string>): 9.1%"] > 0


def test_the_table_tells_shares_in_time_of_a_call(seen: Counter[stacks.Stack]) -> None:
    """Of the process that was looked at."""
    text = table(SUBJECTS[0], seen, {"worker_cpu_ms": 0.55, "calls_per_second": 1234.0})
    assert text.startswith("worker, 8 kept alive: 0.550 ms of CPU a call, 1,234 calls/s, 11 samples\n")
    assert f"54.5%  0.300 ms  {LOOP}\n" in text


def test_both_loads_and_both_processes_are_looked_at() -> None:
    """Each has a file name of its own."""
    assert {"worker-8-kept-alive", "worker-new-connections", "auditor-8-kept-alive"} == {
        subject.file_name for subject in SUBJECTS
    }
    assert all(Path(subject.file_name).name == subject.file_name for subject in SUBJECTS)
