"""Threats 29 to 37: whatever becomes of a call after it was sent, somebody pays for it, once."""

import socket
from typing import Any

import pytest

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.canned import Script
from tests.e2e.threats.raw import CHARGE_MICROS, RESEND, Raw, charge, email, tunnel
from tests.e2e.threats.scene import Scene
from tests.e2e.waiting import wait_until
from tests.fakes import Fault

JSON = b"content-type: application/json\r\n"


def only_row(up: RuncapUp, run: IssuedRun) -> dict[str, Any]:
    """The one audit row of a run that has made one call."""
    [row] = up.calls(run, 1)
    return row


def test_29_gone_before_the_reservation(scene: Scene, up: RuncapUp) -> None:
    """A client that leaves in the middle of its request has not made a call."""
    run = up.issue("gone-early", daily_usd="10")
    with scene.refused():
        for length in (30, len(charge(run)) - 1):
            with tunnel(up) as raw:
                raw.send(charge(run)[:length])
    assert 0 == up.spent_micros(run)
    assert [] == up.calls(run)


def test_30_gone_right_after_sending(scene: Scene, up: RuncapUp) -> None:
    """The vendor's answer settles a call whose client no longer waits for it."""
    run = up.issue("gone-late", daily_usd="10")
    mark = scene.fakes.journal.mark()
    scene.fakes.fault(Fault("stripe", delay_seconds=0.3))
    with tunnel(up) as raw:
        raw.send(charge(run))
        wait_until("the amount to be held", lambda: up.spent_micros(run))
    row = only_row(up, run)
    assert ("settled", CHARGE_MICROS, 200) == (row["outcome"], row["settled_micros"], row["status"])
    assert 1 == len(scene.fakes.journal.entries(mark))


def test_31_gone_in_the_middle_of_the_answer(scene: Scene, up: RuncapUp) -> None:
    """An answer that the client does not read to its end settles like any other."""
    run = up.issue("gone-mid", daily_usd="10")
    body = b'{"id": "em_1", "pad": "%b"}' % (b"a" * 2_000_000)
    head = b"HTTP/1.1 200 OK\r\n" + JSON + b"content-length: %d\r\n\r\n" % len(body)
    scene.evil.scripts.append(Script(head + body))
    with tunnel(up, RESEND) as raw:
        raw.send(email(run))
        assert b"HTTP/1.1 200 " == raw.socket.recv(13)
    assert "settled" == only_row(up, run)["outcome"]


def test_32_half_closed(scene: Scene, up: RuncapUp) -> None:
    """A client that has closed its sending side gets its answer, and pays for it."""
    run = up.issue("half-closed", daily_usd="10")
    data = charge(run, path="/stripe/v1/payment_intents")
    with Raw(up.gateway) as raw:
        raw.send(data).socket.shutdown(socket.SHUT_WR)
        assert 200 == scene.note(raw.answer()).status
    assert "settled" == only_row(up, run)["outcome"]


def test_33_early_hints(scene: Scene, up: RuncapUp) -> None:
    """A 103 is not the answer; the 200 behind it is."""
    run = up.issue("hints", daily_usd="10")
    scene.fakes.fault(Fault("stripe", early_hints=True))
    with tunnel(up) as raw:
        assert 200 == scene.note(raw.send(charge(run)).answer()).status
    assert "settled" == only_row(up, run)["outcome"]


def test_34_an_unasked_continue(scene: Scene, up: RuncapUp) -> None:
    """A 100 that nobody asked for changes nothing."""
    run = up.issue("continue", daily_usd="10")
    answer = b"HTTP/1.1 200 OK\r\n" + JSON + b'content-length: 14\r\n\r\n{"id": "em_1"}'
    scene.evil.scripts.append(Script(b"HTTP/1.1 100 Continue\r\n\r\n" + answer))
    with tunnel(up, RESEND) as raw:
        assert b'{"id": "em_1"}' == scene.note(raw.send(email(run)).answer()).body
    assert "settled" == only_row(up, run)["outcome"]


def test_35_trailers_of_an_answer(scene: Scene, up: RuncapUp) -> None:
    """They end here, and the answer is whole."""
    run = up.issue("trailers", daily_usd="10")
    scene.fakes.fault(Fault("stripe", trailers=True))
    with tunnel(up) as raw:
        answer = scene.note(raw.send(charge(run)).answer())
        assert (200, False) == (answer.status, b"x-trailer" in answer.head + answer.body)
        assert 200 == scene.note(raw.send(charge(run)).answer()).status
    assert ["settled", "settled"] == [row["outcome"] for row in up.calls(run, 2)]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 7\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["truncated", "two-lengths", "negative", "bad-chunk", "cut-chunk", "no-gzip", "no-http", "nothing"],
)
def test_36_broken_answers(scene: Scene, up: RuncapUp, data: bytes) -> None:
    """Nobody can tell what such a call cost: it counts as spent, and the agent is told so."""
    run = up.issue("broken", daily_usd="10")
    scene.evil.scripts.append(Script(data, then="close"))
    with tunnel(up, RESEND) as raw:
        answer = scene.note(raw.send(email(run)).answer())
    assert (504, "upstream_unknown") == (answer.status, answer.code)
    row = only_row(up, run)
    assert ("unknown", row["cost_micros"]) == (row["outcome"], row["settled_micros"])
    assert row["cost_micros"] == up.spent_micros(run) > 0


def test_37_a_vendor_that_hangs(scene: Scene, up: RuncapUp) -> None:
    """After the timeout the call is unknown and counted."""
    run = up.issue("hanging", daily_usd="10")
    scene.evil.scripts.append(Script(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{", then="hang"))
    with tunnel(up, RESEND) as raw:
        answer = scene.note(raw.send(email(run)).answer())
    assert (504, "upstream_unknown") == (answer.status, answer.code)
    assert "unknown" == only_row(up, run)["outcome"]


def test_37_an_answer_over_the_limit(scene: Scene, up: RuncapUp) -> None:
    """Nor is an answer without end held in memory."""
    run = up.issue("endless", daily_usd="10")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    scene.evil.scripts.append(
        Script(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 260, then="close")
    )
    with tunnel(up, RESEND) as raw:
        answer = scene.note(raw.send(email(run)).answer())
    assert (504, "upstream_unknown") == (answer.status, answer.code)
    assert "unknown" == only_row(up, run)["outcome"]
