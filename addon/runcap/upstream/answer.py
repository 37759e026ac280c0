"""A vendor's answer: bytes in, one whole answer out, and nothing that could be read in two ways.

llhttp (`httptools`, strict mode) does the parsing; each answer has a parser of its own. The length must be given: an
answer that only ends with its connection looks the same when it was cut off, so it is none. Interim answers (1xx) are
passed over, trailer fields dropped. Nothing here does I/O; it is what a fuzzer is pointed at.
"""

import zlib

import httptools

from runcap.vendors.base import Response

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Of an answer, also once it is decompressed."""
MAX_HEAD_BYTES = 64 * 1024
"""Of all that comes before a body, interim answers included."""
_NO_BODY = frozenset({204, 304})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class BadAnswer(Exception):
    """What came is no answer that can be trusted. The connection cannot be used any further."""


class _Surplus(Exception):
    """Another message follows the answer."""


class AnswerReader:
    """Reads the answer to one request. After a whole answer, or `BadAnswer`, it must not be fed again.

    The callbacks' names are httptools'.
    """

    def __init__(self) -> None:
        self.begun = False
        """A byte has come."""
        self.keep_alive = False
        """The answer is whole, and its connection good for another."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_room = MAX_HEAD_BYTES
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._in_body = False
        self._complete = False

    def feed(self, data: bytes) -> Response | None:
        """Take bytes as they arrive; the answer, if they have made it whole.

        Raises:
            BadAnswer: with what is wrong, for the operator.
        """
        self.begun = True
        if not self._in_body:
            self._head_room -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadAnswer("it wants to switch protocols") from None
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, BadAnswer):
                raise error.__context__ from None
            if not self._complete:
                raise BadAnswer(f"it is not strict HTTP/1.1: {error}") from error
            self.keep_alive = False  # what follows the answer is nobody's
        if not self._in_body and self._head_room < 0:
            raise BadAnswer(f"its head is larger than {MAX_HEAD_BYTES} bytes")
        if not self._complete:
            return None
        del self._parser  # it refers to us: without the circle both go at once, not at the next garbage collection
        return Response(status=self._status, headers=tuple(self._headers), body=self._decoded())

    def on_message_begin(self) -> None:
        """Another message behind the answer ends the reading."""
        if self._complete:
            raise _Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header's field, or a trailer's, which is dropped."""
        if not self._in_body:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        """The head is whole: its body's length must be certain."""
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._in_body = True
        if lengths := self._values("content-length"):
            self._make_room(int(lengths[0]))
        elif self._status not in _NO_BODY and self._values("transfer-encoding") != ["chunked"]:
            raise BadAnswer("it does not say how long it is")

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._size += len(data)
        self._make_room(self._size)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole, or an interim one is, which the real one follows."""
        if not self._in_body:
            self._headers.clear()
            return
        self._complete = True
        self.keep_alive = bool(self._parser.should_keep_alive())  # llhttp forgets it right after this

    def _values(self, name: str) -> list[str]:
        return [value.lower() for key, value in self._headers if key == name]

    def _make_room(self, size: int) -> None:
        if size > MAX_BODY_BYTES:
            raise BadAnswer(f"it is larger than {MAX_BODY_BYTES} bytes")

    def _decoded(self) -> bytes:
        """The body, decompressed if the vendor has compressed it, which it was asked not to."""
        body = b"".join(self._body)
        codings = [coding for coding in self._values("content-encoding") if coding != "identity"]
        if not codings or not body:
            return body
        if codings not in (["gzip"], ["deflate"]):
            raise BadAnswer(f"its content-encoding is {', '.join(codings)}")
        inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            body = inflate.decompress(body, MAX_BODY_BYTES + 1)
        except zlib.error as error:
            raise BadAnswer(f"its body cannot be decompressed: {error}") from error
        self._make_room(len(body))
        if not inflate.eof or inflate.unused_data:
            raise BadAnswer("its compressed body is not whole, or has more behind it")
        return body
