"""One HTTP/1.x request and its answer over a channel; llhttp and h11 read the protocol, the limits are ours.

The plain answer, whose head arrives whole and announces a length, is read by llhttp in a few microseconds. It is strict: whatever
it does not like, and everything that is not that plain, goes to h11 from the first byte on, which alone says what is wrong.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final

import h11
import httptools

from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.way import Channel, Way

HEADERS: Final = 65536
"""Bytes of status line and headers that are read."""
BODY: Final = 10 * 1024 * 1024
"""Bytes of body that are read, as sent and as decoded."""
_INTERIM: Final = 50
_PIECES: Final = 250_000
_PATIENCE: Final = 0.01
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[\x09\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(slots=True)
class Reply:
    """The answer: header names are lower case; ``body`` is as sent, without chunking; ``version`` is ``1.0`` or ``1.1``."""

    status: int
    reason: str
    version: str
    headers: list[tuple[bytes, bytes]]
    body: bytearray

    def header(self, name: bytes) -> str | None:
        """The first header of that name (lower case)."""
        return next((text(value) for key, value in self.headers if key == name), None)

    def names(self) -> dict[str, str]:
        """The headers as text, those of one name joined by commas."""
        found: dict[str, str] = {}
        for key, value in self.headers:
            name = key.decode("ascii")
            found[name] = f"{found[name]}, {text(value)}" if name in found else text(value)
        return found


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: ``wire`` is all of it, ``method`` what it asks for."""

    method: bytes
    wire: bytes
    stop_at_redirect: bool = False


def encode(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b"", version: str = "1.1") -> bytes:
    """A request as it goes on the wire; ``target`` is path and query, ``headers`` are without Connection.

    Raises:
        Failed: ``probe.internal`` for what cannot be said in HTTP/1 (RFC 9112, sections 3 and 5), such as a line break.
    """
    wrong = None if _TOKEN.fullmatch(method) else f"the method {text(method)!r}"
    wrong = wrong if _TARGET.fullmatch(target) else f"the path {text(target)[:100]!r}"
    lines = [b"%s %s HTTP/%s\r\n" % (method, target, version.encode("ascii"))]
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            wrong = f"the header {text(name)[:100]!r}"
        lines.append(b"%s: %s\r\n" % (name, value))
    if wrong:
        raise failed("probe.internal", f"this request cannot be sent: {wrong} is not allowed in HTTP")
    if body and not any(name.lower() == b"content-length" for name, _ in headers):
        lines.append(b"Content-Length: %d\r\n" % len(body))
    return b"".join((*lines, b"Connection: close\r\n\r\n", body))


def text(value: bytes) -> str:
    """A header's value as text: UTF-8 where it is, else Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Pause:
    """Gives the event loop its turn whenever we have computed for more than 10 ms."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def __call__(self) -> None:
        """Give way, if it is time."""
        if time.monotonic() - self._since > _PATIENCE:
            await asyncio.sleep(0)
            self._since = time.monotonic()


async def converse(channel: Channel, way: Way, request: Request, reply: list[Reply]) -> Reply:
    """Send ``request``, read the whole answer; notes ``wait`` and ``receive`` in ``way``.

    ``reply`` receives the answer as soon as its headers are there, so that a broken body leaves something to look at.

    Raises:
        Failed: ``http.*``, ``body.*``, ``conn.*``. Expired.
    """
    exchange = _Conversation(channel, way, request, reply)
    try:
        return await exchange.run()
    except h11.RemoteProtocolError as error:
        raise exchange.failure(error) from error


class _Head:
    """What llhttp finds in the first bytes of an answer: its head, and the beginning of its body."""

    __slots__ = ("body", "headers", "length", "plain", "reason", "whole")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.length = -1
        self.plain = True
        self.whole = False
        self.body = b""

    def on_message_begin(self) -> None:
        if self.whole:  # an interim answer went before, or another one follows
            self.plain = False

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value.strip(b" \t")))
        if name == b"content-length":
            self.length = int(value) if len(value) < 20 else -1
        elif name == b"transfer-encoding":
            self.plain = False

    def on_headers_complete(self) -> None:
        self.whole = True

    def on_body(self, data: bytes) -> None:
        self.body += data


def quick(data: bytes, method: bytes) -> tuple[Reply, int] | None:
    """The answer that begins with ``data``, and the length of its body; None when it is not a plain one and h11 is to read it.

    ``data`` is what arrived first. Of the body, the reply holds what is in it.
    """
    if method == b"HEAD" or not data.startswith(b"HTTP/1.") or len(data) > HEADERS:
        return None
    head = _Head()
    parser = httptools.HttpResponseParser(head)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        if len(head.body) != head.length or not head.plain:  # else it is about what follows the answer, which nobody reads
            return None
    status = parser.get_status_code()
    if not head.whole or not head.plain or head.length < 0 or status < 200 or status in (204, 304) or b"\0" in head.reason:
        return None
    return Reply(status, text(head.reason), parser.get_http_version(), head.headers, bytearray(head.body)), head.length


class _Conversation:
    def __init__(self, channel: Channel, way: Way, request: Request, reply: list[Reply]) -> None:
        self._channel, self._way, self._request, self._replies = channel, way, request, reply
        self._start = b""
        self._sent = self._first = self._last = 0.0
        self._read = 0

    async def run(self) -> Reply:
        self._sent = self._channel.put(self._request.wire)
        data = await self._receive()
        found = quick(data, self._request.method)
        if found is None:
            return await self._careful(data)
        reply, length = found
        if self._begin(reply, length):
            return self._end()
        while len(reply.body) < length:
            data = await self._receive()
            if not data:
                because = f"the connection closed before the body was complete: {len(reply.body)} of {length} bytes came"
                raise failed("body.truncated", because)
            reply.body += data[: length - len(reply.body)]
        return self._end()

    async def _careful(self, data: bytes) -> Reply:
        """Let h11 read the answer that begins with ``data``."""
        machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS)
        machine.send(h11.Request(method=self._request.method, target="/", headers=[("Host", "x"), ("Connection", "close")]))
        machine.send(h11.EndOfMessage())  # what was sent in truth is of no matter to how an answer is read, but for its method
        machine.receive_data(data)
        pause, pieces = Pause(), 0
        while True:
            pieces += 1
            if pieces > _PIECES:
                raise failed("http.bad_chunking", f"the body comes in more than {_PIECES:,} pieces")
            if not pieces % 64:
                await pause()
            event = machine.next_event()
            if event is h11.NEED_DATA:
                machine.receive_data(await self._receive())
            elif isinstance(event, h11.Data):
                body = self._replies[0].body
                body += event.data
                if len(body) > BODY:
                    raise failed("body.too_large", f"the body is above the limit of {BODY // 1024**2} MB")
            elif isinstance(event, h11.Response):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                if sum(len(name) + len(value) + 4 for name, value in headers) > HEADERS:
                    raise failed("http.headers_too_large", f"the response headers are above the limit of {HEADERS // 1024} KB")
                reply = Reply(
                    event.status_code, text(bytes(event.reason)), event.http_version.decode("ascii"), headers, bytearray()
                )
                bodiless = self._request.method == b"HEAD" or reply.status in (204, 304)
                announced = None if bodiless else reply.header(b"content-length")
                if self._begin(reply, int(announced or 0)):
                    return self._end()
            elif isinstance(event, h11.InformationalResponse):
                if pieces > 2 * _INTERIM:
                    raise failed("http.protocol", f"more than {_INTERIM} interim (1xx) answers and no final one")
            elif isinstance(event, h11.EndOfMessage):
                return self._end()
            else:
                raise failed("http.protocol", "the connection ended out of turn")

    async def _receive(self) -> bytes:
        data, mark = await self._channel.receive()
        if data:
            self._read += len(data)
            self._last = mark
            if not self._first:
                self._first = mark
                self._way.phases["wait"] = max(0.0, mark - self._sent)
            if len(self._start) < 8:
                self._start += data[: 8 - len(self._start)]
                if self._start[:5] != b"HTTP/"[: len(self._start)]:
                    shown = repr(self._start.decode("latin-1"))
                    raise failed("http.malformed", f"{self._way.where} does not speak HTTP; its answer begins with {shown}")
            if self._read > 4 * (BODY + HEADERS):
                raise failed("body.too_large", "the answer, with its chunking, is far above the limit")
        elif not self._read:
            raise failed("http.empty_reply", f"{self._way.where} closed the connection without a response")
        return data

    def _begin(self, reply: Reply, announced: int) -> bool:
        """Note the head of the answer, and the length it announces. True when its body need not be read."""
        if reply.version not in ("1.0", "1.1"):
            raise failed("http.protocol", f"the response is of HTTP/{reply.version}, which nobody asked for")
        self._replies.append(reply)
        self._way.phase = "receive"
        if announced > BODY:
            raise failed("body.too_large", f"a body of {str(announced)[:30]} bytes is announced; the limit is {BODY // 1024**2} MB")
        return self._request.stop_at_redirect and reply.status in REDIRECTS and bool(reply.header(b"location"))

    def _end(self) -> Reply:
        self._way.phases["receive"] = max(0.0, self._last - self._first)
        return self._replies[0]

    def failure(self, error: h11.RemoteProtocolError) -> Failed:
        """What h11's complaint means: it depends on how far the answer had come."""
        said, where = str(error).rstrip("."), self._way.where
        if not self._replies:
            if error.error_status_hint == 431:
                return failed("http.headers_too_large", f"the response headers are above the limit of {HEADERS // 1024} KB")
            if "closed connection" in said or "unexpectedly closed" in said:
                return failed("conn.closed", f"{where} closed the connection in the middle of the response headers")
            if "illegal" in said or "malformed" in said.lower():
                return failed("http.malformed", f"the response head is not HTTP: {said}")
            return failed("http.protocol", f"the response breaks the HTTP protocol: {said}")
        if "without sending complete" in said or "closed connection" in said:
            return failed("body.truncated", f"the connection closed before the body was complete: {said}")
        if error.error_status_hint == 431:
            return failed("http.headers_too_large", "a chunk header or trailer is above the limit")
        return failed("http.bad_chunking", f"the chunked body is malformed: {said}")
