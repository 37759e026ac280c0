"""The connection to Redis or Valkey: runs scripts, and turns every failure into a refusal.

Nothing is retried that may have run. A reserve whose answer was lost holds its amount until the sweeper ends it as
spent; a second reserve would hold it twice. Only a script that the server does not know (NOSCRIPT) is sent again, in
full, or one that a server refuses since another is in charge (MOVED, READONLY): it certainly has not run.

Scripts share one connection (`runcap.ledger.pipe`); plain commands, of which the guard needs none, take one of
redis-py's pool. On both a connection that died while it was idle (the server was restarted) is noticed before a
command goes out, so health checks, which cost a PING now and then, bring nothing: a server that hangs is found by the
timeout of the command itself.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from runcap.decision import Code, Refused, refuse
from runcap.ledger.lua import script
from runcap.ledger.pipe import Pipe
from runcap.ledger.places import LocatedConnection, LocatedTLSConnection, Place, find_place, is_elsewhere

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 64
"""For one process, and for plain commands only."""

UNTRUSTED = (
    "The ledger is empty or has lost something, so nobody knows what has been spent. Its operator restores it with "
    "`runcap ledger rebuild`."
)
UNCOMPARED = (
    "The ledger's server has just been started, or has taken over from another, and has not been compared with the "
    "audit yet, so nothing was sent. Try again."
)
_ONLY_IF_VOUCHED = frozenset({"reserve", "authorize", "record", "finish"})
"""A server that does not know these scripts has been started since they were last run, or is another one after a
failover: it may have lost the last of what was written. So before they run there for the first time, somebody must
have compared that very server with the audit (scripts/vouch.lua)."""

UNREPLICATED = (
    "Too few of the ledger's replicas have acknowledged the reservation, so it was given back and nothing was sent. "
    "Try again."
)
AUDIT_FULL = "The audit log is too far behind to take another call; its operator looks after the auditor."


class Replicated(NamedTuple):
    """A script's reply, and how many replicas have what it wrote."""

    reply: list[str]
    acknowledged: int


class Client:
    """One pool of connections, for one namespace."""

    def __init__(
        self, redis: Redis, prefix: str, timeout_seconds: float, pipe: Pipe, place: Place | None = None
    ) -> None:
        """Take the pool for plain commands, the one connection for scripts, and where the server is, if it moves."""
        self._place = place
        self._moves_checked = 0
        self.wait_replicas = 0
        """How many replicas must have what `run_replicated` wrote."""
        self.redis = redis
        self.prefix = prefix
        self.timeout_seconds = timeout_seconds
        self._pipe = pipe

    @classmethod
    def connect(cls, url: str, prefix: str, timeout_seconds: float, wait_replicas: int = 0) -> "Client":
        """Make the pool; connections are opened as they are needed.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, or one of Sentinels or a cluster (`runcap.ledger.places`).
            prefix: see `runcap.ledger.keys.prefix`.
            timeout_seconds: the most that connecting, a free connection and an answer may take, each.
            wait_replicas: see `run_replicated`.
        """
        place = find_place(url, prefix, timeout_seconds)
        located: dict[str, Any] = {}
        if place is not None:
            url, tls = place.url, place.url.startswith("rediss:")
            located = {"place": place, "connection_class": LocatedTLSConnection if tls else LocatedConnection}
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="backslashreplace",  # whatever somebody wrote there, reading it never fails
            protocol=2,  # flat replies, and no out-of-band messages on a connection that the pool checks for silence
        )
        pool.connection_kwargs |= {name: value for name, value in located.items() if name == "place"}
        pool.connection_class = located.get("connection_class", pool.connection_class)
        client = cls(Redis.from_pool(pool), prefix, timeout_seconds, Pipe(url, timeout_seconds, place), place)
        client.wait_replicas = wait_replicas
        return client

    async def close(self) -> None:
        """Close all connections."""
        self._pipe.close()
        await self.redis.aclose()

    async def run(self, name: str, args: Sequence[str | int], *, patient: bool = False) -> list[str]:
        """Run a script and return its reply, whose first item is a status; see `Pipe.execute` for `patient`.

        Raises:
            Refused: ``ledger_unavailable`` if it could not be run or its answer was lost, ``ledger_untrusted`` and
                ``audit_unavailable`` if the script says so.
        """
        if self._place is None:  # in as few steps as can be: every call comes this way twice
            try:
                reply = await self._pipe.execute("EVALSHA", script(name).sha, 1, self.prefix, *args, patient=patient)
            except (RedisError, OSError) as error:
                if not _has_not_run(error):
                    raise unavailable(name, error) from error
            else:
                return _trusted(reply)
        return (await self._run_anywhere(name, partial(self._pipe.execute, patient=patient), args))[0]

    async def run_replicated(self, name: str, args: Sequence[str | int]) -> tuple[list[str], bool]:
        """The same, and whether `wait_replicas` replicas have what it wrote.

        Not over the connection that all share: whoever waits on it for replicas would hold up all others.
        """
        reply, acknowledged = await self._run_anywhere(name, self._execute_and_wait, args)
        return reply, acknowledged >= self.wait_replicas

    async def _run_anywhere(self, name: str, execute: Any, args: Sequence[str | int]) -> tuple[list[str], int]:
        """Run a script; once more if the server says that another is in charge."""
        try:
            reply = await self._run(name, execute, args)
        except (RedisError, OSError) as error:
            if not is_elsewhere(error):
                raise unavailable(name, error) from error
            try:
                await self._let_go()
                reply = await self._run(name, execute, args)
            except (RedisError, OSError) as again:
                raise unavailable(name, again) from again
        acknowledged = 0
        if isinstance(reply, Replicated):
            reply, acknowledged = reply
        return _trusted(reply), acknowledged

    async def _execute_and_wait(self, *parts: str | int) -> "Replicated":
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.execute_command(*parts)
        pipeline.execute_command("WAIT", self.wait_replicas, int(self.timeout_seconds * 500))
        reply, acknowledged = await pipeline.execute(raise_on_error=False)
        for answer in (reply, acknowledged):
            if isinstance(answer, Exception):
                raise answer
        return Replicated(reply, int(acknowledged))

    async def _run(self, name: str, execute: Any, args: Sequence[str | int]) -> Any:
        wanted = script(name)
        if self._place is not None and self._place.moves != self._moves_checked and name in _ONLY_IF_VOUCHED:
            # It may know the scripts of old, and have lost since then what the other one was told.
            await self._check_vouched()
            self._moves_checked = self._place.moves
        try:
            return await execute("EVALSHA", wanted.sha, 1, self.prefix, *args)
        except NoScriptError:
            if name in _ONLY_IF_VOUCHED:
                await self._check_vouched()
            return await execute("EVAL", wanted.text, 1, self.prefix, *args)

    async def _let_go(self) -> None:
        """Close all connections: the next ones lead to the right server. What waits on them has failed as well."""
        self._pipe.close()
        await self.redis.connection_pool.disconnect()

    async def _check_vouched(self) -> None:
        """Refuse a server that nobody has compared with the audit; whoever writes the audit does so in a moment."""
        reply = await self._execute("EVAL", script("state").text, 1, self.prefix)
        if reply[1] and reply[-1] != "1":
            raise refuse(Code.LEDGER_UNTRUSTED, UNCOMPARED)

    async def command(self, *parts: str | int) -> Any:
        """Run a plain command that only reads.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        try:
            return await self._execute(*parts)
        except (RedisError, OSError) as error:
            if is_elsewhere(error):
                await self._let_go()
            raise unavailable(str(parts[0]), error) from error

    async def _execute(self, *parts: str | int) -> Any:
        return await self.redis.execute_command(*parts)  # type: ignore[no-untyped-call]

    async def many(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Run plain commands that only read, in one round trip.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        pipeline = self.redis.pipeline(transaction=False)
        for parts in commands:
            pipeline.execute_command(*parts)
        try:
            return list(await pipeline.execute())
        except (RedisError, OSError) as error:
            raise unavailable(str(commands[0][0]), error) from error


def _has_not_run(error: Exception) -> bool:
    """Whether a script that failed so can be sent again: the server does not know it, or is not in charge."""
    return isinstance(error, NoScriptError) or is_elsewhere(error)


def _trusted(reply: list[str]) -> list[str]:
    """A script's reply, unless it says that nothing can be decided."""
    match reply[0]:
        case "UNTRUSTED":
            raise refuse(Code.LEDGER_UNTRUSTED, UNTRUSTED)
        case "AUDIT_FULL":
            raise refuse(Code.AUDIT_UNAVAILABLE, AUDIT_FULL)
    return reply


def unavailable(what: str, error: Exception) -> Refused:
    """The refusal for a ledger that does not answer as it should; the cause is for the operator's log only."""
    logger.warning("the ledger failed on %s: %s: %s", what, type(error).__name__, error)
    return refuse(Code.LEDGER_UNAVAILABLE, "The ledger cannot be asked just now, so nothing was sent. Try again.")
