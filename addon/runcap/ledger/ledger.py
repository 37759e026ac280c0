"""The ledger: the only state that proxy processes share, in Redis or Valkey.

One typed method for each script, and no one else touches Redis. The methods stand in files by who calls them: the
guard (`calls`), the operator (`admin`, `listings`), the agent itself (`budgets`), the auditor (`stream`), the
reconciler (`adjustments`).
"""

import logging
from typing import Self

from redis.exceptions import RedisError

from runcap.ledger import keys
from runcap.ledger.adjustments import Adjustments
from runcap.ledger.admin import Admin
from runcap.ledger.budgets import Budgets
from runcap.ledger.calls import Authorized, Calls
from runcap.ledger.client import Client, unavailable
from runcap.ledger.restoring import Restoring
from runcap.ledger.stream import Anchor, AuditStream

logger = logging.getLogger(__name__)


class Ledger(Calls, Admin, Budgets, Adjustments, Restoring, AuditStream):
    """One namespace of one server."""

    def __init__(self, client: Client) -> None:
        Calls.__init__(self, client)

    @classmethod
    def connect(
        cls, url: str, *, namespace: str = "default", timeout_seconds: float = 3.0, wait_replicas: int = 0
    ) -> Self:
        """Make a ledger's client; it connects with its first call.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, or one of Sentinels or a cluster (`runcap.ledger.places`).
            namespace: which of the ledgers on that server.
            timeout_seconds: how long connecting and one answer may take, each.
            wait_replicas: how many replicas must have a reservation before it is granted.

        Raises:
            ValueError: for a URL or a namespace that is none.
        """
        return cls(Client.connect(url, keys.prefix(namespace), timeout_seconds, wait_replicas))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        await self._client.command("PING")

    async def check_server(self) -> None:
        """Refuse a server that may throw keys away: a counter that is gone is money that may be spent again.

        A managed service that forbids CONFIG is taken on trust, with a warning.

        Raises:
            RuntimeError: its eviction policy is not ``noeviction``.
            Refused: ``ledger_unavailable``.
        """
        try:
            reply = await self._client.redis.config_get("maxmemory-policy")
        except (RedisError, OSError) as error:
            if not _is_forbidden(error):
                raise unavailable("CONFIG GET", error) from error
            logger.warning("the ledger's server does not show its settings; its maxmemory-policy must be noeviction")
            return
        policy = reply.get("maxmemory-policy")
        if policy != "noeviction":
            raise RuntimeError(
                f"The ledger's server may evict keys (maxmemory-policy {policy}): set it to noeviction, since a "
                "counter that is gone is money that may be spent again."
            )


def _is_forbidden(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("noperm", "no permissions", "unknown command", "not allowed"))


__all__ = ["Anchor", "Authorized", "Ledger"]
