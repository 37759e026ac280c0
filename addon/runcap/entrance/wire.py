"""HTTP/1.1 as the agent sends it: bytes in, whole messages out, everything ambiguous refused.

llhttp (`httptools`, strict mode) does the parsing. Around it stand the checks that it leaves out or is lenient in:
the raw head must match one regular expression that has no room for bare CR or LF, NUL, obs-fold or HTTP/1.0, and
the body's length must be given in exactly one way. Each message gets a parser of its own, so that nothing of one
request can colour the next.

Nothing here knows mitmproxy, vendors or money; it is what a fuzzer is pointed at.
"""

import re

import httptools
import msgspec

from runcap.decision import Code
from runcap.entrance.limits import MAX_BODY_BYTES, MAX_CHUNK_OVERHEAD_BYTES, MAX_HEAD_BYTES

_HEAD = re.compile(
    rb"[A-Z]{1,20} [!-~]{1,8192} HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*"
    rb"\r\n",
)
_CONTENT_LENGTH = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)


def is_strict_head(head: bytes) -> bool:
    """Whether these bytes are just the head of one strict HTTP/1.1 request, with its empty line."""
    return _HEAD.fullmatch(head) is not None


class Message(msgspec.Struct, frozen=True):
    """One whole request as it came off the wire."""

    method: str
    target: str
    """The request target, printable ASCII, untouched."""
    headers: tuple[tuple[str, str], ...]
    """Lower-case names, latin-1 values without surrounding blanks, in order, duplicates kept."""
    body: bytes
    keep_alive: bool

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key == name]


class Malformed(ValueError):
    """Bytes that can be read in more ways than one, or in none. The connection cannot be used any further."""

    def __init__(self, message: str, code: Code = Code.MALFORMED) -> None:
        super().__init__(message)
        self.code = code


class MessageReader:
    """Cuts one connection's bytes into messages.

    Feed it what arrives, then ask for messages until it has none. After `Malformed` it must not be used again.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._message: _Parsing | None = None

    @property
    def awaits_continue(self) -> bool:
        """The client has sent a head with ``Expect: 100-continue`` and waits for leave to send the body.

        True once for each such request.
        """
        message = self._message
        if message is None or not message.expects_continue:
            return False
        message.expects_continue = False
        return True

    @property
    def mid_message(self) -> bool:
        """A message has begun and is not whole yet."""
        return bool(self._buffer) or self._message is not None

    @property
    def mid_body(self) -> bool:
        """Of that message, the head is whole."""
        return self._message is not None

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        self._buffer += data

    def rest(self) -> bytes:
        """Give away what has not been read: after CONNECT, the tunnel's first bytes."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def next_message(self) -> Message | None:
        """The next whole message, or None if more bytes are needed.

        Raises:
            Malformed: with a sentence for the client's developer.
        """
        if self._message is None:
            head = self._take_head()
            if head is None:
                return None
            self._message = _Parsing(head)
        if not self._message.read_body(self._buffer):
            return None
        message, self._message = self._message.finished(), None
        return message

    def _take_head(self) -> bytes | None:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(buffer)
            if len(buffer) > MAX_HEAD_BYTES:
                raise Malformed(f"The request's head is larger than {MAX_HEAD_BYTES} bytes.", Code.TOO_LARGE)
            if buffer.count(b"\n") != buffer.count(b"\r\n"):
                raise Malformed("A line of the request's head ends in a bare line feed.")
            return None
        self._scanned = 0
        end += 4
        if end > MAX_HEAD_BYTES:
            raise Malformed(f"The request's head is larger than {MAX_HEAD_BYTES} bytes.", Code.TOO_LARGE)
        head = bytes(buffer[:end])
        del buffer[:end]
        if not is_strict_head(head):
            raise Malformed("The request's head is not strict HTTP/1.1.")
        return head


class _Parsing:
    """One message on its way through llhttp. The callbacks' names are httptools'."""

    def __init__(self, head: bytes) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._complete = False
        self._in_body = False
        self._surplus = False
        self._keep_alive = False
        self._parser = httptools.HttpRequestParser(self)
        self._feed(head)
        if not self._in_body:
            raise Malformed("The request's head is not strict HTTP/1.1.")
        self._method = self._parser.get_method().decode("ascii")
        self._to_read, self._chunked = self._framing()
        self.expects_continue = self._expectation()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            raise Malformed("Trailer fields after a chunked body are not accepted.")
        self._headers.append((name.decode("ascii").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            raise Malformed(f"The body is larger than {MAX_BODY_BYTES} bytes.", Code.TOO_LARGE)
        self._body.append(data)

    def on_message_begin(self) -> None:
        self._surplus = self._complete

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep_alive = bool(self._parser.should_keep_alive())  # llhttp forgets it right after this

    def read_body(self, buffer: bytearray) -> bool:
        """Take the body's bytes, and no byte more, out of the buffer; True when the message is whole."""
        if not self._complete and buffer:
            if self._chunked:
                # llhttp does not say where the body ended: what stands behind it in the same read would be lost.
                data = bytes(buffer)
                buffer.clear()
                self._to_read -= len(data)
                if self._to_read < 0:
                    raise Malformed("The chunked body is too large.", Code.TOO_LARGE)
            else:
                data = bytes(buffer[: self._to_read])
                del buffer[: self._to_read]
                self._to_read -= len(data)
            self._feed(data)
            if self._surplus:
                raise Malformed("Another request follows a chunked one before its answer: send a Content-Length.")
        return self._complete

    def finished(self) -> Message:
        """The message; nothing can be read after it."""
        del self._parser  # it refers to us: without the circle both go at once, not at the next garbage collection
        return Message(
            method=self._method,
            target=self._url.decode("ascii"),
            headers=tuple(self._headers),
            body=b"".join(self._body),
            keep_alive=self._method == "CONNECT" or self._keep_alive,
        )

    def _framing(self) -> tuple[int, bool]:
        """How many bytes may still be read, and whether they are chunked."""
        lengths = [value for name, value in self._headers if name == "content-length"]
        codings = [value for name, value in self._headers if name == "transfer-encoding"]
        if codings:
            if lengths or len(codings) > 1 or codings[0].lower() != "chunked":
                raise Malformed("The body's length is given in more ways than one: send one Content-Length.")
            return MAX_BODY_BYTES + MAX_CHUNK_OVERHEAD_BYTES, True
        if not lengths:
            return 0, False
        if len(lengths) > 1 or _CONTENT_LENGTH.fullmatch(lengths[0]) is None:
            raise Malformed("Content-Length must be sent once, in plain digits.")
        length = int(lengths[0])
        if length > MAX_BODY_BYTES:
            raise Malformed(f"The body is larger than {MAX_BODY_BYTES} bytes.", Code.TOO_LARGE)
        return length, False

    def _expectation(self) -> bool:
        expectations = [value.lower() for name, value in self._headers if name == "expect"]
        if not expectations:
            return False
        if expectations != ["100-continue"]:
            raise Malformed("The only expectation that is accepted is 100-continue.")
        return not self._complete

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # CONNECT ends llhttp's work with its head; anything else that wants to switch protocols is refused.
            if self._parser.get_method() != b"CONNECT":
                raise Malformed("Switching protocols is not possible here.") from None
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Malformed):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            raise Malformed(f"The request is not strict HTTP/1.1: {error}.") from error
