"""The connection to Redis or Valkey: runs scripts, and turns every failure into a refusal.

Nothing is retried that may have run. A reserve whose answer was lost holds its amount until the sweeper ends it as
spent; a second reserve would hold it twice. Only a script that the server does not know (NOSCRIPT) is sent again, in
full: it certainly has not run.

Scripts share one connection (`runcap.ledger.pipe`); plain commands, of which the guard needs none, take one of
redis-py's pool. On both a connection that died while it was idle (the server was restarted) is noticed before a
command goes out, so health checks, which cost a PING now and then, bring nothing: a server that hangs is found by the
timeout of the command itself.
"""

import logging
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from runcap.decision import Code, Refused, refuse
from runcap.ledger.lua import script
from runcap.ledger.pipe import Pipe

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

AUDIT_FULL = "The audit log is too far behind to take another call; its operator looks after the auditor."


class Client:
    """One pool of connections, for one namespace."""

    def __init__(self, redis: Redis, prefix: str, timeout_seconds: float, pipe: Pipe | None = None) -> None:
        """Take the pool for plain commands and, where the server allows it, the one connection for scripts."""
        self.redis = redis
        self.prefix = prefix
        self.timeout_seconds = timeout_seconds
        self._pipe = pipe

    @classmethod
    def connect(cls, url: str, prefix: str, timeout_seconds: float) -> "Client":
        """Make the pool; connections are opened as they are needed.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            prefix: see `runcap.ledger.keys.prefix`.
            timeout_seconds: the most that connecting, a free connection and an answer may take, each.
        """
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
        return cls(Redis.from_pool(pool), prefix, timeout_seconds, Pipe(url, timeout_seconds))

    async def close(self) -> None:
        """Close all connections."""
        if self._pipe is not None:
            self._pipe.close()
        await self.redis.aclose()

    async def run(self, name: str, args: Sequence[str | int]) -> list[str]:
        """Run a script and return its reply, whose first item is a status.

        Raises:
            Refused: ``ledger_unavailable`` if it could not be run or its answer was lost, ``ledger_untrusted`` and
                ``audit_unavailable`` if the script says so.
        """
        wanted = script(name)
        execute = self._execute if self._pipe is None else self._pipe.execute
        try:
            try:
                reply = await execute("EVALSHA", wanted.sha, 1, self.prefix, *args)
            except NoScriptError:
                if name in _ONLY_IF_VOUCHED:
                    await self._check_vouched()
                reply = await execute("EVAL", wanted.text, 1, self.prefix, *args)
        except (RedisError, OSError) as error:
            raise unavailable(name, error) from error
        match reply[0]:
            case "UNTRUSTED":
                raise refuse(Code.LEDGER_UNTRUSTED, UNTRUSTED)
            case "AUDIT_FULL":
                raise refuse(Code.AUDIT_UNAVAILABLE, AUDIT_FULL)
        return list(reply)

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


def unavailable(what: str, error: Exception) -> Refused:
    """The refusal for a ledger that does not answer as it should; the cause is for the operator's log only."""
    logger.warning("the ledger failed on %s: %s: %s", what, type(error).__name__, error)
    return refuse(Code.LEDGER_UNAVAILABLE, "The ledger cannot be asked just now, so nothing was sent. Try again.")
