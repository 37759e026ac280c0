"""Who may stay when too many have come, and how many files a worker may have open."""

import json
import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runcap.entrance.limits import Limits
from runcap.proxy.crowd import Crowd


class Door:
    """A crowd of at most four, two of an address; remembers who was sent away."""

    def __init__(self) -> None:
        self.crowd = Crowd(Limits(connections=4, connections_per_address=2))
        self.gone: list[str] = []

    def enter(self, name: str, address: str) -> bool:
        return self.crowd.enter(name, address, lambda: self.gone.append(name))

    def call(self, name: str, *, good: bool) -> None:
        self.crowd.call_begins(name)
        self.crowd.call_ends(name, good=good)


def test_the_oldest_stranger_of_the_address_goes() -> None:
    """Not one of another address, however old."""
    door = Door()
    for name, address in (("a", "1"), ("b", "2"), ("c", "2"), ("d", "2")):
        assert door.enter(name, address)
    assert ["b"] == door.gone
    assert 3 == len(door.crowd)


def test_the_oldest_of_all_goes_when_the_worker_is_full() -> None:
    """Whatever address it has."""
    door = Door()
    assert [True] * 6 == [door.enter(name, address) for name, address in zip("abcdef", "112233", strict=True)]
    assert ["a", "b"] == door.gone


def test_a_good_call_makes_a_friend() -> None:
    """Friends stay; with friends only, who comes is refused."""
    door = Door()
    door.enter("a", "1")
    door.call("a", good=True)
    door.enter("b", "1")
    assert door.enter("c", "1")
    door.call("c", good=True)
    assert not door.enter("d", "1")
    assert ["b"] == door.gone
    door.crowd.leave("a")
    assert door.enter("d", "1")


def test_nobody_is_sent_away_in_the_middle_of_a_call() -> None:
    """A call under way keeps its connection; one that was refused leaves a stranger behind, now the youngest."""
    door = Door()
    door.enter("a", "1")
    door.enter("b", "1")
    door.crowd.call_begins("a")
    door.crowd.call_begins("b")
    assert not door.enter("c", "1")
    door.crowd.call_ends("b", good=False)
    door.crowd.call_ends("a", good=False)
    assert door.enter("c", "1")
    assert ["b"] == door.gone


def test_who_has_gone_is_forgotten() -> None:
    """Nothing is kept of a connection that has ended, not even of its address."""
    door = Door()
    for number in range(100):
        door.enter(str(number), str(number))
        door.crowd.call_begins(str(number))
        door.crowd.leave(str(number))
        door.crowd.call_ends(str(number), good=True)
        door.crowd.leave(str(number))
    crowd = door.crowd
    assert [0] * 4 == [len(crowd), len(crowd._from), len(crowd._strangers), len(crowd._strangers_from)]


@given(st.lists(st.tuples(st.sampled_from(["enter", "good", "bad", "begin", "leave"]), st.integers(0, 11))))
def test_the_limits_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    """Never more than four, never more than two of an address, and each is in its place once."""
    door = Door()
    for step, number in steps:
        name, address = str(number), str(number % 4)
        match step:
            case "enter" if name not in door.crowd._visitors:
                door.enter(name, address)
            case "good" | "bad":
                door.call(name, good=step == "good")
            case "begin":
                door.crowd.call_begins(name)
            case "leave":
                door.crowd.leave(name)
        visitors = door.crowd._visitors
        assert len(visitors) <= 4
        assert Counter(each.address for each in visitors.values()) == door.crowd._from
        assert all(count <= 2 for count in door.crowd._from.values())
        strangers = {name for name, each in visitors.items() if not each.good and not each.calls}
        assert strangers == set(door.crowd._strangers)
        assert strangers == {name for names in door.crowd._strangers_from.values() for name in names}


def test_half_of_the_files_are_for_clients() -> None:
    """A worker takes all files that it may have, and no more connections than half of them."""
    code = (
        "import json, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300));"
        "from runcap.entrance.limits import Limits; from runcap.proxy.crowd import fitting;"
        "print(json.dumps([fitting(Limits()).connections, fitting(Limits(connections=9)).connections,"
        " resource.getrlimit(resource.RLIMIT_NOFILE)]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [150, 9, [300, 300]] == json.loads(ended.stdout)
