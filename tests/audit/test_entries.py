"""Every entry of the stream becomes a row."""

import json
from typing import Any

import pytest

from runcap.audit.chain import COLUMNS
from runcap.audit.entries import read_entry
from tests.audit.stream import Entry, admin, call


def _read(entry: Entry) -> tuple[str, dict[str, Any]]:
    table, values = read_entry(*entry)
    return table, dict(zip(COLUMNS[table][1:-2], values, strict=True))


def test_a_call_has_all_its_columns() -> None:
    """Flat fields, and the JSON of decision and end, become one row."""
    table, row = _read(call(5))

    assert "calls" == table
    assert {
        "at": "2026-11-24T10:00:00.005Z", "run_id": "01JDRUN", "label": "billing-nightly", "vendor": "stripe",
        "method": "POST", "path": "/v1/charges", "operation": "POST /v1/charges", "decision": "allowed", "code": None,
        "status": 200, "outcome": "settled", "cost_micros": 20000000, "settled_micros": 20000000,
        "spent_micros": 20000000, "cap_micros": 500000000, "cap_level": "run", "cap_selector": "01JDRUN",
        "cap_window": "day", "amount_minor": 2000, "currency": "USD", "idempotency_digest": "d" * 64,
        "vendor_request_id": "req_5", "duration_ms": 120, "overhead_us": 900, "stream_id": "1795514400005-0",
        "extra": None,
    } == row  # fmt: skip


def test_the_ledgers_word_wins() -> None:
    """A flat field is the ledger's own and outweighs the proxy's JSON; an empty one says nothing."""
    _, row = _read(call(1, row={"run_id": "01JDOTHER", "code": "from_row"}, end={"code": "upstream_unknown"}))

    assert ("01JDRUN", "upstream_unknown") == (row["run_id"], row["code"])


def test_unknown_fields_are_kept() -> None:
    """What no column is for goes to extra, also under names that only the audit itself may fill."""
    _, row = _read(call(1, row={"country": "DE", "seq": 7, "hash": "x"}, later="yes"))

    assert {"country": "DE", "seq": 7, "hash": "x", "later": "yes"} == json.loads(row["extra"])


def test_a_negative_settlement_is_kept() -> None:
    """A cancel gives money back."""
    assert -5_000_000 == _read(call(1, settled_micros="-5000000"))[1]["settled_micros"]


def test_an_act_of_administration() -> None:
    """Its columns come from the flat fields."""
    table, row = _read(admin(1, "cap_set", run_id=""))

    assert "admin" == table
    assert ("cap_set", None, '{"actor":"ann@host"}') == (row["action"], row["run_id"], row["detail"])


def test_what_is_further_known_is_kept_in_order() -> None:
    """Also text that is not even Unicode."""
    for further, text in (("\u00e9", "\u00e9"), ("\ud800", "\\ud800")):
        table, row = _read(call(1, row={"zone": 1, "name": further}))

        assert ("calls", f'{{"name":"{text}","zone":1}}') == (table, row["extra"])


@pytest.mark.parametrize(
    "entry",
    [
        ("1-0", {}),
        ("1-0", {"kind": "other"}),
        call(1, at_ms="soon"),
        call(1, at_ms="9" * 18),
        call(1, decision="maybe"),
        call(1, outcome="perhaps"),
        call(1, settled_micros="1.5"),
        call(1, settled_micros="1e6"),
        call(1, cap_micros="9" * 19),
        call(1, row={"cost_micros": 1.0}),
        call(1, row={"cost_micros": True}),
        call(1, row={"cost_micros": 10**30}),
        call(1, row={"path": {"nested": 1}}),
        call(1, row={"path": "\ud800"}),
        call(1, label="\udcff"),
        ("1-0", {**call(1)[1], "row": "{"}),
        ("1-0", {**call(1)[1], "row": "[" * 100_000}),
        ("1-0", {**call(1)[1], "end": "[1]"}),
        admin(1, ""),
        ("nonsense", {"kind": "admin"}),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_kept_as_it_came(entry: Entry) -> None:
    """A malformed entry is neither lost nor guessed at: its raw fields are in an admin row."""
    table, row = _read(entry)

    assert ("admin", "unreadable_entry", entry[0]) == (table, row["action"], row["stream_id"])
    assert entry[1] == json.loads(row["detail"])["fields"]
    row["detail"].encode("ascii")
