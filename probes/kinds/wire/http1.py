"""One HTTP/1.x request and its answer over a channel; h11 reads the protocol, the limits are ours."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import h11

from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.way import Channel, Way

HEADERS: Final = 65536
"""Bytes of status line and headers that are read."""
BODY: Final = 10 * 1024 * 1024
"""Bytes of body that are read, as sent and as decoded."""
_INTERIM: Final = 50
_PIECES: Final = 250_000
_PATIENCE: Final = 0.01
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


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. ``target`` is the path and query as they go on the wire; ``headers`` without Connection."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    version: str = "1.1"
    stop_at_redirect: bool = False


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


class _Conversation:
    def __init__(self, channel: Channel, way: Way, request: Request, reply: list[Reply]) -> None:
        self._channel, self._way, self._request, self._replies = channel, way, request, reply
        self._machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS)
        self._start = b""
        self._sent = self._first = self._last = 0.0
        self._read = 0

    def _encode(self) -> bytes:
        request = self._request
        headers = [*request.headers, (b"Connection", b"close")]
        try:
            wire = self._machine.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
            if request.body:
                wire += self._machine.send(h11.Data(data=request.body)) or b""
            wire += self._machine.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise failed("probe.internal", f"this request cannot be sent: {error}") from error
        return wire.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) if request.version == "1.0" else wire

    async def run(self) -> Reply:
        wire = self._encode()
        self._sent = self._channel.put(wire)
        pause, pieces = Pause(), 0
        while True:
            pieces += 1
            if pieces > _PIECES:
                raise failed("http.bad_chunking", f"the body comes in more than {_PIECES:,} pieces")
            if not pieces % 64:
                await pause()
            event = self._machine.next_event()
            if event is h11.NEED_DATA:
                await self._feed()
            elif isinstance(event, h11.Data):
                body = self._replies[0].body
                body += event.data
                if len(body) > BODY:
                    raise failed("body.too_large", f"the body is above the limit of {BODY // 1024**2} MB")
            elif isinstance(event, h11.Response):
                if self._begin(event):
                    return self._end()
            elif isinstance(event, h11.InformationalResponse):
                if pieces > 2 * _INTERIM:
                    raise failed("http.protocol", f"more than {_INTERIM} interim (1xx) answers and no final one")
            elif isinstance(event, h11.EndOfMessage):
                return self._end()
            else:
                raise failed("http.protocol", "the connection ended out of turn")

    async def _feed(self) -> None:
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
        self._machine.receive_data(data)

    def _begin(self, event: h11.Response) -> bool:
        """Note the head of the answer. True when its body need not be read."""
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        if sum(len(name) + len(value) + 4 for name, value in headers) > HEADERS:
            raise failed("http.headers_too_large", f"the response headers are above the limit of {HEADERS // 1024} KB")
        version = event.http_version.decode("ascii")
        if version not in ("1.0", "1.1"):
            raise failed("http.protocol", f"the response is of HTTP/{version}, which nobody asked for")
        reply = Reply(event.status_code, text(bytes(event.reason)), version, headers, bytearray())
        self._replies.append(reply)
        self._way.phase = "receive"
        announced = reply.header(b"content-length")
        if announced is not None and self._request.method != b"HEAD" and reply.status not in (204, 304) and int(announced) > BODY:
            raise failed("body.too_large", f"a body of {announced[:30]} bytes is announced; the limit is {BODY // 1024**2} MB")
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
