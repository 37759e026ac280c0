"""What a call really cost, where its vendor says so only later."""

from dataclasses import asdict, dataclass

import msgspec

from runcap.ledger.client import Client


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The difference between what was counted for a call and what it cost."""

    run_id: str
    vendor: str
    resource: str
    """The vendor's id of what the call made; each is adjusted once."""
    day: str
    """UTC, ``2026-11-24``: when the call was counted."""
    micros: int
    """Negative if it cost less than was counted."""
    reason: str
    """For people: what the vendor said."""


class Adjustments:
    """The method of the reconciler."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def adjust(self, adjustment: Adjustment, actor: str) -> bool:
        """Move what was spent, wherever the call was counted, and write the admin row ``adjusted``.

        Caps are not asked: the money is gone, and a cap that is overrun by it lets nothing more through.

        Returns:
            False, and nothing is changed, if the resource was adjusted before or its run is not known.

        Raises:
            Refused: ``ledger_unavailable``, ``ledger_untrusted`` or ``audit_unavailable``; it may be tried again.
        """
        detail = {name: value for name, value in asdict(adjustment).items() if name != "run_id"}
        reply = await self._client.run(
            "adjust",
            (
                adjustment.run_id,
                adjustment.vendor,
                adjustment.resource,
                adjustment.day,
                adjustment.micros,
                msgspec.json.encode({"actor": actor, **detail}).decode(),
            ),
        )
        return reply[0] == "OK"
