"""One connection to a vendor, on which one call at a time is sent and answered."""

import asyncio

from runcap.upstream.answer import AnswerReader, BadAnswer
from runcap.vendors.base import Response


class ConnectionEnded(Exception):
    """The connection ended before the answer was whole."""

    def __init__(self, *, begun: bool, stale: bool) -> None:
        super().__init__("the connection ended in the middle of the answer" if begun else "the connection ended")
        self.stale = stale
        """It had been idle, and ended without a byte of an answer: perhaps the vendor was just closing it."""


class Connection(asyncio.Protocol):
    """Made by the loop when TCP and TLS are up."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        """The loop's time at which it was last given back to its pool."""
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when it is closed."""
        self._transport: asyncio.Transport | None = None
        self._calls = 0
        self._reader: AnswerReader | None = None
        """Of the call that is under way."""
        self._answer: asyncio.Future[Response] | None = None
        self._keep_alive = True
        self._deadline = self._silence_seconds = self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        """Looks whether the vendor is late. It outlives a call, since the next is late later: one for many."""

    @property
    def usable(self) -> bool:
        """Whether it can carry another call: whole answers so far, nothing left over on either side."""
        transport = self._transport
        return (
            self._keep_alive
            and self._reader is None
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    async def exchange(self, request: bytes, *, deadline: float, silence_seconds: float) -> Response:
        """Send a call, and read its whole answer. A connection that has failed, or was cancelled, is closed.

        Args:
            request: the whole of it.
            deadline: by the loop's clock, for the whole answer.
            silence_seconds: the longest that the vendor may send nothing.

        Raises:
            ConnectionEnded: before the answer was whole.
            TimeoutError: the answer took too long.
            BadAnswer: what came cannot be trusted.
        """
        assert self._transport is not None
        self._calls += 1
        self._reader = AnswerReader()
        self._answer = self._loop.create_future()
        self._deadline, self._silence_seconds, self._heard = deadline, silence_seconds, self._loop.time()
        due = self._due()
        if self._timer is None or self._timer.when() > due:
            self._watch_until(due)
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember how to write."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        """Read on in the answer. What nobody has asked for must not be taken for the next call's answer."""
        reader = self._reader
        if reader is None:
            self.abort()
            return
        self._heard = self._loop.time()
        try:
            response = reader.feed(data)
        except BadAnswer as error:
            self._fail(error)
            return
        if response is not None:
            self._keep_alive, self._reader = reader.keep_alive, None
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the call that is under way."""
        del error
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            begun = self._reader.begun
            self._fail(ConnectionEnded(begun=begun, stale=self._calls > 1 and not begun))
        self.lost.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._keep_alive, self._reader = False, None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _due(self) -> float:
        """When the vendor is late, by the loop's clock, if nothing comes until then."""
        return min(self._deadline, self._heard + self._silence_seconds)

    def _watch_until(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """Fail the call if the vendor is late with it; while there is one, look again when it could be."""
        self._timer = None
        if self._reader is None:
            return
        due = self._due()
        if self._loop.time() >= due:
            self._fail(TimeoutError("the vendor took too long"))
        else:
            self._watch_until(due)
