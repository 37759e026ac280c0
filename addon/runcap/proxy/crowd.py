"""Who may stay when too many have come: the connections of one worker, counted in all and by client address.

At a limit the newcomer is let in and somebody else has to go: the oldest of the strangers. A stranger is a connection
that has carried no good call yet and has none under way. An honest agent is one for some milliseconds only, so it gets
through a crowd of slow or silent connections, even one from its own address. With no stranger left, the newcomer is
refused.
"""

import resource
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from runcap.entrance.limits import Limits


@dataclass(slots=True)
class _Visitor:
    address: str
    close: Callable[[], object]
    calls: int = 0
    good: bool = False


class Crowd:
    """The open connections by mitmproxy's id."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._visitors: dict[str, _Visitor] = {}
        self._from: Counter[str] = Counter()
        self._strangers: OrderedDict[str, None] = OrderedDict()
        self._strangers_from: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)

    def __len__(self) -> int:
        return len(self._visitors)

    def enter(self, client_id: str, address: str, close: Callable[[], object]) -> bool:
        """Take a new connection in, at the cost of a stranger's if need be; False: there is no room.

        Args:
            client_id: names the connection from now on.
            address: where it comes from.
            close: ends it, when it is the one that has to go.
        """
        if self._from[address] >= self._limits.connections_per_address and not self._evict(
            self._strangers_from[address]
        ):
            return False
        if len(self._visitors) >= self._limits.connections and not self._evict(self._strangers):
            return False
        self._visitors[client_id] = _Visitor(address, close)
        self._from[address] += 1
        self._become_stranger(client_id, address)
        return True

    def call_begins(self, client_id: str) -> None:
        """A whole call has come in: the connection stays until its answer."""
        visitor = self._visitors.get(client_id)
        if visitor is not None:
            visitor.calls += 1
            self._strangers.pop(client_id, None)
            self._strangers_from[visitor.address].pop(client_id, None)

    def call_ends(self, client_id: str, *, good: bool) -> None:
        """It has been answered; after a good one the connection is no stranger's any more."""
        visitor = self._visitors.get(client_id)
        if visitor is not None:
            visitor.calls -= 1
            visitor.good |= good
            if not visitor.calls and not visitor.good:
                self._become_stranger(client_id, visitor.address)

    def leave(self, client_id: str) -> None:
        """The connection has ended, or is about to."""
        visitor = self._visitors.pop(client_id, None)
        if visitor is None:
            return
        address = visitor.address
        self._strangers.pop(client_id, None)
        self._strangers_from[address].pop(client_id, None)
        if not self._strangers_from[address]:
            del self._strangers_from[address]
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def _become_stranger(self, client_id: str, address: str) -> None:
        self._strangers[client_id] = None
        self._strangers_from[address][client_id] = None

    def _evict(self, strangers: OrderedDict[str, None]) -> bool:
        if not strangers:
            return False
        oldest = next(iter(strangers))
        close = self._visitors[oldest].close
        self.leave(oldest)
        close()
        return True


def fitting(limits: Limits) -> Limits:
    """The limits that this process can keep: half of its file descriptors are for clients, the rest for our own use.

    Raises the soft limit to the hard one first.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(4 * limits.connections, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return replace(limits, connections=min(limits.connections, max(8, hard // 2)))
