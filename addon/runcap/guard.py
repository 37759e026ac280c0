"""The way of a call: credential, price, reservation, forwarding, outcome. Pure of mitmproxy and of Redis.

Order is the safety of it: nothing is sent before the ledger has held its price, and from the moment of sending every
exception and timeout is an outcome. What nobody can tell counts as spent.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from runcap.call import Call, check_quote, sha256
from runcap.decision import Code, Deny, Refused, at_run, refuse
from runcap.endings import Endings
from runcap.entrance.admission import admit
from runcap.entrance.wire import Malformed, Message
from runcap.failpoints import failpoint
from runcap.forwarder import NoAnswer, NotSent
from runcap.ledger.model import Ask, End, Ended, Held
from runcap.lookups import Lookups, Sender
from runcap.refusals import Refusals
from runcap.reply import Reply, credentials, denied, forwarded
from runcap.twins import hold
from runcap.vendors.base import Ending, Kind, Outcome, Plan, Quote, Response, Vendor

logger = logging.getLogger(__name__)

_UNRECORDED = frozenset({Code.LEDGER_UNAVAILABLE, Code.LEDGER_UNTRUSTED, Code.AUDIT_UNAVAILABLE, Code.KEY_UNKNOWN})
"""The ledger's refusals that leave no audit row: it could not write one, or the number of such rows is bounded."""


class LedgerPort(Protocol):
    """What the guard asks of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def reserve(self, ask: Ask) -> Held:
        """Hold the quote against all caps, or raise `Refused` (its audit row is written then) or `UnderWay`."""

    async def authorize(
        self, digest: str, vendor: str, operation: str, *, needs_allow: bool, row: dict[str, Any], account: str
    ) -> Any:
        """Check the key and its policy alone, or raise `Refused` (its audit row is written then)."""

    async def finish(self, end: End, *, patient: bool = False) -> Ended:
        """End a reservation; a patient one may go with the next command."""

    async def record(
        self, row: dict[str, Any], deny: Deny, digest: str | None, *, strangers: bool = True
    ) -> tuple[str, str] | None:
        """Write the audit row of a call that was refused before the ledger was asked."""


class Guard:
    """Handles calls. One for a worker; calls run side by side."""

    def __init__(
        self,
        *,
        ledger: LedgerPort,
        forwarder: Sender,
        secret_of: Callable[[str], str | None],
        timeout_seconds: float,
        grace_seconds: float,
    ) -> None:
        """Wire the parts together.

        Args:
            ledger: reserves and finishes.
            forwarder: reaches the vendors.
            secret_of: the real secret of a vendor by name; None if none is configured.
            timeout_seconds: the forwarder's bound for one call.
            grace_seconds: how much longer a reservation lives, so that the sweeper never ends one of a call that is
                still under way.
        """
        self._ledger = ledger
        self._forwarder = forwarder
        self._secret_of = secret_of
        self._timeout_seconds = timeout_seconds
        self._deadline_ms = round((timeout_seconds + grace_seconds) * 1000)
        self._lookups = Lookups(forwarder, timeout_seconds=timeout_seconds)
        self._refusals = Refusals(ledger)
        self._calls: set[asyncio.Task[Any]] = set()
        self._endings = Endings(ledger, give_up_seconds=timeout_seconds + grace_seconds)

    async def handle(self, vendor: Vendor, message: Message, *, gateway: bool = False, opened_by: str = "") -> Reply:
        """Answer one call. Never raises but for cancellation: what goes wrong becomes a refusal or an outcome.

        `opened_by` is the digest of the vault key that opened the tunnel, if one had to: the call must have the same.
        """
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        call = Call.begin(vendor, message, opened_by)
        try:
            return await self._handle(call, message, gateway=gateway)
        except Refused as refused:
            return await self._refusal(call, refused.deny)
        except Exception:
            fate = "it counts as spent, since it may have been sent" if call.reserved else "it was not forwarded"
            logger.exception("a call to %s failed inside runcap; %s", vendor.name, fate)
            return await self._refusal(call, Deny(Code.INTERNAL, f"runcap failed on this call; {fate}."))

    async def refuse_malformed(self, vendor: Vendor, problem: Malformed) -> Reply:
        """Answer bytes that are no request at all."""
        call = Call.begin(vendor)
        return await self._refusal(call, Deny(problem.code, str(problem)))

    async def record_denial(self, row: dict[str, Any], deny: Deny, digest: str | None = None) -> None:
        """Audit a refusal that concerns no vendor's call, such as a CONNECT to elsewhere."""
        await self._refusals.write(row, deny, digest)

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until the calls under way have ended and all their endings are in the ledger."""
        deadline = time.monotonic() + timeout_seconds
        own = {asyncio.current_task()}
        while (tasks := (self._calls | self._endings.under_way) - own) and time.monotonic() < deadline:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        await self._refusals.flush()

    async def _handle(self, call: Call, message: Message, *, gateway: bool) -> Reply:
        vendor = call.vendor
        request = admit(message, vendor, gateway=gateway)
        call.identify(request)
        plan = vendor.plan(request)
        call.row["operation"] = plan.operation.name
        call.reason = plan.operation.reason
        secret = self._secret_of(vendor.name)
        if secret is None:
            raise refuse(
                Code.INTERNAL,
                f"runcap has no secret for {vendor.name}: its operator sets vendors.{vendor.name}.secret.",
            )
        quote = await self._price(call, plan, secret)
        await self._endings.of_object(quote.object_id)
        failpoint("before_reserve")
        ask = call.ask(plan, quote, self._deadline_ms)
        held, waited = await self._written(call, hold(self._ledger, ask, self._timeout_seconds))
        call.vendor_seconds += waited  # for the vendor's answer to the first call under the same key
        failpoint("after_reserve")
        return await self._forward(call, plan, quote, held, secret)

    async def _price(self, call: Call, plan: Plan, secret: str) -> Quote:
        """Run the vendor's pricing, fetching what it asks for; the key is checked before the first lookup."""
        steps = call.vendor.quote(plan)
        try:
            lookup = next(steps)
            await self._authorize(call, plan)
            call.asking = self._lookups.begin(call.vendor.name, call.vendor.lookup_headers(secret))
            call.row["lookups"] = call.asking.made
            while True:
                lookup = steps.send(await self._lookups.look_up(call.asking, lookup))
        except StopIteration as done:
            quote = check_quote(done.value)
        call.note_quote(plan, quote)
        return quote

    async def _authorize(self, call: Call, plan: Plan) -> None:
        assert call.digest is not None
        await self._written(
            call,
            self._ledger.authorize(
                call.digest,
                call.vendor.name,
                plan.operation.name,
                needs_allow=plan.operation.kind is Kind.DENIED,
                row=call.row,
                account=plan.account or "",
            ),
        )

    async def _forward(self, call: Call, plan: Plan, quote: Quote, held: Held, secret: str) -> Reply:
        """Send a call whose price is held. From here on every exception is an outcome."""
        call.recorded = call.reserved = True
        try:
            signature = call.vendor.sign(plan, secret, _upstream_idempotency_key(plan, held))
            response = await self._send(call, plan, signature)
        except NotSent as error:
            deny = Deny(
                Code.UPSTREAM_UNREACHABLE,
                f"runcap could not reach {call.vendor.name}: {error}. Nothing was sent.",
            )
            return await self._end_without_answer(call, held, Ending.RELEASED, deny)
        except NoAnswer as error:
            deny = Deny(
                Code.UPSTREAM_UNKNOWN,
                f"The call was sent, and there is {error}. It counts as spent until it is known.",
            )
            return await self._end_without_answer(call, held, Ending.UNKNOWN, deny)
        except BaseException:
            # Cancelled, or a fault of ours with the call perhaps on its way: the same as no answer.
            self._endings.begin(End(held.reservation_id, Ending.UNKNOWN, row=call.times()))
            raise
        failpoint("after_send")
        outcome = _outcome(call.vendor, plan, quote, response)
        ended = await self._endings.settle(call.end(held, outcome, response), quote, held)
        return forwarded(response, held, ended, credentials(secret, signature))

    async def _send(self, call: Call, plan: Plan, signature: tuple[tuple[str, str], ...]) -> Response:
        """Send, and count the time as the vendor's however it ends."""
        began = time.perf_counter()
        try:
            return await self._forwarder.send(call.vendor.name, plan.upstream, signature)
        finally:
            call.vendor_seconds += time.perf_counter() - began

    async def _end_without_answer(self, call: Call, held: Held, ending: Ending, deny: Deny) -> Reply:
        deny = at_run(deny, held.run_id, held.label)
        row = {"status": deny.status, "code": str(deny.code), **call.times()}
        await self._endings.wait(self._endings.begin(End(held.reservation_id, ending, row=row)))
        return denied(call.vendor, deny)

    async def _refusal(self, call: Call, deny: Deny) -> Reply:
        """Audit a refusal, unless the ledger's script has done so, and put it in the vendor's envelope."""
        if not call.recorded:
            call.row |= {"status": deny.status, **call.times()}
            try:
                known = await self._refusals.write(call.row, deny, call.digest)
            except Refused as unavailable:
                logger.warning("a refused call (%s) could not be audited: %s", deny.code, unavailable)
            else:
                if known is not None:
                    deny = at_run(deny, *known)
        if deny.code is Code.OPERATION_NOT_ALLOWED and call.reason:
            deny = replace(deny, message=f"{deny.message} {call.reason}")
        return denied(call.vendor, deny)

    async def _written[T](self, call: Call, asking: Awaitable[T]) -> T:
        """Ask the ledger something whose refusal its script audits itself, unless it could not be reached."""
        try:
            return await asking
        except Refused as refused:
            call.recorded = refused.deny.code not in _UNRECORDED
            raise


def _upstream_idempotency_key(plan: Plan, held: Held) -> str | None:
    """The key that goes upstream: bound to the run, so that no run can be answered with another's stored reply."""
    if plan.idempotency_key is None:
        return None
    return "runcap-" + sha256(held.run_id, plan.idempotency_key)


def _outcome(vendor: Vendor, plan: Plan, quote: Quote, response: Response) -> Outcome:
    try:
        return vendor.outcome(plan, quote, response)
    except Exception:
        logger.exception("the outcome of %s could not be read; it counts as spent", plan.operation.name)
        return Outcome(Ending.UNKNOWN)
