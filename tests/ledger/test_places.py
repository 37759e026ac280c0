"""Ledgers behind Sentinels and in clusters, on real servers: failover, lost writes, redirections, WAIT."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from runcap.audit.auditor import Auditor
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.decision import Code, Refused
from runcap.ledger import places
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Run
from runcap.ledger.opening import make_current
from runcap.ledger.rebuild import rebuild
from tests.e2e.servers import Server, free_port
from tests.ledger.support import ACTOR, ask, counted, denied_code, issue, settle, spent

SETTINGS = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


class Trio:
    """A primary, its replica, and a Sentinel that watches them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.primary = stack.enter_context(Server(folder / "one", *SETTINGS))
        self.primary.tell("ACL", "SETUSER", "copying", "on", ">pw", "~*", "+@all")
        replica = ("--replicaof", f"127.0.0.1 {self.primary.port}", "--masteruser", "copying", "--masterauth", "pw")
        self.replica = stack.enter_context(Server(folder / "two", *SETTINGS, *replica))
        watched = folder / "sentinel.conf"
        watched.write_text(
            f"sentinel monitor money 127.0.0.1 {self.primary.port} 1\n"
            "sentinel down-after-milliseconds money 300\nsentinel failover-timeout money 1000\n"
        )
        self.sentinel = stack.enter_context(Server(folder / "watch", str(watched), "--sentinel"))
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}/money"

    async def replica_known(self) -> None:
        """The Sentinel knows the replica, and it is up to date."""
        await _until(lambda: str(self.replica.port) in self.sentinel.said("SENTINEL", "REPLICAS", "money"))
        assert 1 == self.primary.tell("WAIT", 1, 5000)

    async def replica_promoted(self) -> None:
        """The Sentinel says so."""
        asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "money")
        await _until(lambda: str(self.replica.port) in self.sentinel.said(*asked))


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    with ExitStack() as stack:
        yield Trio(tmp_path, stack)


@asynccontextmanager
async def _open(url: str, **options: Any) -> AsyncIterator[Ledger]:
    ledger = Ledger.connect(url, **options)
    try:
        yield ledger
    finally:  # or a test that fails here leaves sockets behind, which are laid at another one's door
        await ledger.close()


@asynccontextmanager
async def _auditing(ledger: Ledger, path: Path) -> AsyncIterator[Auditor]:
    auditor = Auditor(ledger, Store(path))
    running = asyncio.create_task(auditor.run())
    try:
        async with asyncio.timeout(20):
            await auditor.ready.wait()
        yield auditor
    finally:
        auditor.stop()
        await running


async def _spend_until_refused_or(ledger: Ledger, run: Run, enough: asyncio.Event) -> tuple[int, set[Code]]:
    """Calls of one micro until told; how many were settled and acknowledged, and why the others were refused."""
    settled, codes = 0, set()
    while not enough.is_set():
        try:
            await settle(ledger, await ledger.reserve(ask(run, 1)))
        except Refused as refused:
            codes.add(refused.deny.code)
            await asyncio.sleep(0.02)
        else:
            settled += 1
    return settled, codes


async def test_a_failover_under_load(trio: Trio, tmp_path: Path) -> None:
    """The primary dies under calls; they go on with the replica once it has been compared with the audit."""
    path = tmp_path / "audit.db"
    async with _open(trio.url) as ledger:
        await ledger.check_server()
        await ledger.initialise("epoch", ACTOR)
        await trio.replica_known()
        run = await issue(ledger, caps=Caps(day=10**9))
        async with _auditing(ledger, path), asyncio.TaskGroup() as group:
            enough = asyncio.Event()
            calls = [group.create_task(_spend_until_refused_or(ledger, run, enough)) for _ in range(4)]
            await asyncio.sleep(0.2)
            assert 1 == trio.primary.tell("WAIT", 1, 5000)
            before = await counted(ledger, run)
            trio.primary.kill()
            await trio.replica_promoted()
            async with asyncio.timeout(20):
                while await _total(ledger, run) < sum(before) + 8:  # noqa: ASYNC110 (other tasks' doing)
                    await asyncio.sleep(0.05)
            enough.set()
        codes = set().union(*(call.result()[1] for call in calls))
        assert Code.LEDGER_UNAVAILABLE in codes
        assert {Code.LEDGER_UNAVAILABLE, Code.LEDGER_UNTRUSTED} >= codes
        assert await _total(ledger, run) >= sum(before) + 8
        assert [] == await ledger.check()
    assert verify(path).ok


async def test_writes_that_were_not_replicated(trio: Trio, tmp_path: Path) -> None:
    """A primary dies with writes that its replica never had, and the audit has: no call passes until it is rebuilt."""
    path = tmp_path / "audit.db"
    async with _open(trio.url) as ledger:
        await ledger.initialise("epoch", ACTOR)
        run = await issue(ledger, caps=Caps(day=100))
        await settle(ledger, await ledger.reserve(ask(run, 1)))
        await trio.replica_known()
        trio.primary.tell("ACL", "SETUSER", "copying", "off")
        trio.primary.tell("CLIENT", "KILL", "TYPE", "replica")
        async with _auditing(ledger, path):
            await settle(ledger, await ledger.reserve(ask(run, 90)))
            while await ledger.audit_backlog():  # noqa: ASYNC110 (another task's doing)
                await asyncio.sleep(0.01)
        trio.primary.kill()
        await trio.replica_promoted()

        assert (0, 1) == await _counted_on_replica(trio, run)
        assert Code.LEDGER_UNTRUSTED == await _denied_for_good(ledger, run)
        assert not await make_current(ledger, path, embedded=False)
        assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 50))
        await rebuild(ledger, path, ACTOR)
        assert (0, 91) == await counted(ledger, run)
        assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 50))


async def test_wait_for_replicas(trio: Trio) -> None:
    """A reservation that too few replicas have is given back, and its call refused."""
    async with _open(trio.url) as opened:
        await opened.initialise("epoch", ACTOR)
        run = await issue(opened, caps=Caps(day=100))
        await trio.replica_known()
    async with _open(trio.url, wait_replicas=1) as ledger:
        await settle(ledger, await ledger.reserve(ask(run, 1)))
        assert (0, 1) == await _counted_on_replica(trio, run)
        trio.replica.kill()
        assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 1))
        assert (0, 1) == await counted(ledger, run)
        assert [] == await ledger.check()


async def test_a_cluster(tmp_path: Path) -> None:
    """Each namespace is on the node that has its slot, also after a failover that redirects open connections."""
    with ExitStack() as stack:
        one, two, three = (
            stack.enter_context(
                Server(tmp_path / name, *SETTINGS, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            )
            for name in ("one", "two", "three")
        )
        await _join(one, two, three)
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{one.port}"
        for namespace, node in (("other", two), ("default", one)):
            assert (node is one) == (key_slot(f"runcap:{{{namespace}}}:".encode()) < 8192)
            async with _open(url, namespace=namespace) as ledger:
                await ledger.initialise("epoch", ACTOR)
                run = await issue(ledger, caps=Caps(day=10))
                await settle(ledger, await ledger.reserve(ask(run, 3)))
                assert (0, 3) == await spent(ledger, "run", run.run_id)
                assert 1 <= int(node.said("DBSIZE"))
                if node is two:
                    await _fail_over(two, three)
                    assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 1))
                    assert await ledger.vouch(await ledger.state())
                    await settle(ledger, await ledger.reserve(ask(run, 4)))
                    assert (0, 7) == await counted(ledger, run)
                    assert [] == await ledger.check()


@pytest.mark.parametrize(
    ("url", "seeds", "server_url"),
    [
        (
            "redis+sentinel://u:p@a:1,b/s?sentinel_password=q&db=2",
            [("a", 1), ("b", 26379)],
            "redis://u:p@ledger:6379/?db=2",
        ),
        ("rediss+sentinel://a/s", [("a", 26379)], "rediss://ledger:6379/?"),
        ("redis+cluster://:p@a,[::1]:7000", [("a", 6379), ("::1", 7000)], "redis://:p@ledger:6379/?"),
    ],
)
def test_urls(url: str, seeds: list[tuple[str, int]], server_url: str) -> None:
    """Hosts may leave their ports out; what else the URL says is for the server."""
    place = places.find_place(url, "runcap:{default}:", 1.0)
    assert place is not None
    assert (seeds, server_url) == (place._seeds, place.url)


@pytest.mark.parametrize("url", ["redis+sentinel://a:1", "redis+sentinel:///s", "redis+cluster://"])
def test_urls_that_lack_something(url: str) -> None:
    """At once, not with the first call."""
    with pytest.raises(ValueError, match="a URL of"):
        Ledger.connect(url)


async def _total(ledger: Ledger, run: Run) -> int:
    try:
        return sum(await spent(ledger, "run", run.run_id))
    except Refused:
        return 0


async def _counted_on_replica(trio: Trio, run: Run) -> tuple[int, int]:
    async with _open(trio.replica.url) as replica:
        return await spent(replica, "run", run.run_id)


async def _denied_for_good(ledger: Ledger, run: Run) -> Code:
    """Why a call is refused once the server answers."""
    while (code := await denied_code(ledger, ask(run, 50))) is Code.LEDGER_UNAVAILABLE:  # noqa: ASYNC110 (the server comes back by itself)
        await asyncio.sleep(0.05)
    return code


async def _until(look: Callable[[], bool]) -> None:
    """Wait for what servers do by themselves."""
    async with asyncio.timeout(20):
        while not look():  # noqa: ASYNC110 (servers have no events for us)
            await asyncio.sleep(0.05)


async def _join(one: Server, two: Server, three: Server) -> None:
    """Half of the slots for the first and the second; the third is the second's replica."""
    for epoch, node in enumerate((one, two, three), 1):  # or they fight for the same one, and a failover may lose
        node.tell("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    one.tell("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
    two.tell("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
    for node in (two, three):
        node.tell("CLUSTER", "MEET", "127.0.0.1", one.port, one.bus)
    second = two.said("CLUSTER", "MYID")
    await _until(lambda: second in three.said("CLUSTER", "NODES"))
    three.tell("CLUSTER", "REPLICATE", second)
    await _until(lambda: all("cluster_state:ok" in node.said("CLUSTER", "INFO") for node in (one, two, three)))
    await _until(lambda: "connected" in three.said("ROLE"))
    third = three.said("CLUSTER", "MYID")
    for node in (one, two):  # both have to believe it when it says that it takes over
        await _until(lambda node=node: third in node.said("CLUSTER", "REPLICAS", second))  # type: ignore[misc]


def _owner(namespace: str, one: Server, two: Server) -> Server:
    return one if key_slot(f"runcap:{{{namespace}}}:".encode()) < 8192 else two


async def _fail_over(primary: Server, replica: Server) -> None:
    """The old primary lives on as a replica, with its connections open."""
    assert 1 == primary.tell("WAIT", 1, 5000)
    replica.tell("CLUSTER", "FAILOVER", "TAKEOVER")
    await _until(lambda: "slave" in primary.said("ROLE") and "connected" in primary.said("ROLE"))
