"""What is fuzzed: everything that reads bytes an agent or a vendor sends, and what must hold whatever they are.

A target takes bytes. It may refuse them (`Refused`, `Malformed`, `BadAnswer`); any other exception, and any assertion
that fails, is a finding. Each has an oracle beside "does not crash": the standard library's parser, the same bytes in
other pieces, or the reading of what it would send.
"""

import base64
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import parse_qsl

from runcap.decision import Refused
from runcap.entrance.admission import admit, audit_path
from runcap.entrance.proxyauth import ProxyAuth
from runcap.entrance.wire import Malformed, Message, MessageReader
from runcap.runs import key_digest, parse_vault_key
from runcap.upstream.answer import AnswerReader, BadAnswer
from runcap.vendors import build, form, strict_json
from runcap.vendors.base import Plan, Quote, Request, Response, Vendor

SID = "AC" + "0123456789abcdef" * 2
VENDORS: tuple[Vendor, ...] = tuple(build(twilio_account_sid=SID).values())

_TOKEN = re.compile(r"vk_[0-9A-Za-z]{40}", re.ASCII)
_LINE = re.compile(rb"(stripe|twilio|resend) (GET|POST|PUT|PATCH|DELETE) (/[!-~]{1,500})\n")


def wire(data: bytes) -> None:
    """The same bytes in other pieces are the same messages, and a message written anew is read as it was."""
    whole, whole_failed = _read([data])
    size = 1 + (data[0] if data else 0) % 61
    pieces, pieces_failed = _read([data[at : at + size] for at in range(0, len(data), size)])
    if not whole_failed:
        assert (whole, False) == (pieces, pieces_failed)
    shorter = min(len(whole), len(pieces))
    assert whole[:shorter] == pieces[:shorter]
    for message in whole:
        assert message.target.isascii()
        assert message.target.isprintable()
        assert not any(set(value) & set("\r\n\0") for _, value in message.headers)
        if not message.values("transfer-encoding"):
            assert ([message], False) == _read([_written(message)])


def answer(data: bytes) -> None:
    """The same bytes in other pieces are the same answer, and what has no end yet is none."""
    whole = _answered([data])
    size = 1 + (data[0] if data else 0) % 61
    assert whole == _answered([data[at : at + size] for at in range(0, len(data), size)])
    if whole is not None:
        assert not any({"\r", "\n", "\0"} & set(name + value) for name, value in whole.headers)
        assert whole.status >= 200


def admission(data: bytes) -> None:
    """What is admitted has one spelling of its path, and its host is the vendor's; the audit gets no control bytes."""
    messages, _ = _read([data])
    for message in messages:
        assert audit_path(message.target).isprintable()
        for vendor in VENDORS:
            for gateway in (False, True):
                try:
                    request = admit(message, vendor, gateway=gateway)
                except Refused:
                    continue
                assert not {"", ".", ".."} & set(request.path[1:].split("/"))
                assert not set(request.path) & set("%?#;\\ ")
                assert gateway or message.values("host")[0].startswith(vendor.host)


def credentials(data: bytes) -> None:
    """Whatever stands in a header, a key that is found is one key, the same by whichever way it is written."""
    text = data.decode("latin-1")
    headers = (("authorization", text), ("proxy-authorization", text))
    for vendor in VENDORS:
        try:
            token = vendor.credential(Request("GET", "/", "", headers, b""))
        except Refused:
            continue
        key = parse_vault_key(token)
        assert key is None or _TOKEN.fullmatch(key)
    key = parse_vault_key(text)
    assert key is None or (_TOKEN.fullmatch(key) and text.endswith(key))
    auth = ProxyAuth(SimpleNamespace(), required=True)
    for value, expected in ((text, None), ("Basic " + base64.b64encode(b"run:" + data).decode(), key)):
        try:
            digest = auth.key_digest(Message("CONNECT", "x:443", (("proxy-authorization", value),), b"", True))
        except Refused:
            assert expected is None
        else:
            assert expected is None or digest == key_digest(expected)


def forms(data: bytes) -> None:
    """A form that is taken is what the standard library reads, and is written so that it is read the same again."""
    try:
        read = form.parse(data, {"MediaUrl"})
    except Refused:
        return
    assert list(read.pairs) == parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=form.MAX_PAIRS)
    written = read.encode()
    again = form.parse(written, {"MediaUrl"})
    assert (read.pairs, written) == (again.pairs, again.encode())


def documents(data: bytes) -> None:
    """JSON that is taken is what the standard library reads, and a form of it is a form."""
    try:
        decoded = strict_json.loads(data)
    except Refused:
        return
    assert json.loads(data) == decoded
    assert strict_json.loads(json.dumps(decoded).encode()) == decoded
    if isinstance(decoded, dict):
        try:
            made = form.from_json(decoded)
        except Refused:
            return
        assert made.pairs == form.parse(made.encode()).pairs


def plans(data: bytes) -> None:
    """A call that is understood is the same call when the bytes that it would send are read: what is priced is sent.

    The first line of the bytes is vendor, method and path, the rest the body, or the query of a method without one.
    """
    line = _LINE.match(data)
    if line is None:
        return
    name, method, path = (part.decode() for part in line.groups())
    vendor = next(vendor for vendor in VENDORS if vendor.name == name)
    content = data[line.end() :]
    media_type = "application/json" if name == "resend" else "application/x-www-form-urlencoded"
    headers = (("content-type", media_type),) if method not in ("GET", "DELETE") else ()
    query, body = ("", content) if headers else (content.decode("latin-1"), b"")
    try:
        plan = vendor.plan(Request(method, path, query, headers, body))
        _first_step(vendor, plan)
    except Refused:
        return
    sent = plan.upstream
    assert (method, path) == (sent.method, sent.path)
    again = vendor.plan(Request(sent.method, sent.path, sent.query, headers, sent.body))
    assert (plan.params, sent.query, sent.body) == (again.params, again.upstream.query, again.upstream.body)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": wire,
    "answer": answer,
    "admission": admission,
    "credentials": credentials,
    "forms": forms,
    "documents": documents,
    "plans": plans,
}


def _answered(pieces: list[bytes]) -> Response | None:
    reader = AnswerReader()
    try:
        return next((response for piece in pieces if (response := reader.feed(piece)) is not None), None)
    except BadAnswer:
        return None


def _read(pieces: list[bytes]) -> tuple[list[Message], bool]:
    reader, messages = MessageReader(), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next_message()) is not None:
                messages.append(message)
    except Malformed:
        return messages, True
    return messages, False


def _written(message: Message) -> bytes:
    lines = [f"{message.method} {message.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in message.headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + message.body


def _first_step(vendor: Vendor, plan: Plan) -> None:
    """Let the pricing run to its first question, or to its end."""
    quoted: Quote | None = None
    try:
        next(vendor.quote(plan))
    except StopIteration as done:
        quoted = done.value
    assert quoted is None or (type(quoted.micros) is int and quoted.micros >= 0)
