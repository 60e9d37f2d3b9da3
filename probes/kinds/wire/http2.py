"""One HTTP/2 request and its answer over a channel; h2 reads the protocol, frames are found and stamped here, the limits are ours.

``wait`` ends with the first byte of the first HEADERS frame, ``receive`` with the last of the answer; what a server says about the
connection itself (SETTINGS, PING) is in neither.
"""

from __future__ import annotations

from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpx

from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.http1 import BODY, HEADERS, REDIRECTS, Pause, Reply
from probes.kinds.wire.way import Channel, Way

_STREAM: Final = 1
_HEAD, _LARGEST = 9, 16_384  # bytes of a frame's head, and of its payload by default (RFC 9113, sections 4.1 and 4.2)
_DATA, _HEADERS, _SETTINGS, _GOAWAY = 0x00, 0x01, 0x04, 0x07
_WINDOW: Final = BODY + HEADERS
"""Bytes that may come without our asking for more: a window that must be opened again and again would be in the number."""
_INTERIM: Final = 50
_FRAMES: Final = 250_000
_CHATTER: Final = 10_000
"""Frames that are read in one exchange, and those of them that bring nothing of the body."""
_OURS: Final = {b"host", b"connection", b"transfer-encoding", b"keep-alive", b"upgrade", b"proxy-connection"}
_SETTING: Final = {
    h2.settings.SettingCodes.ENABLE_PUSH: 0,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1,
    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS,
}


async def converse(channel: Channel, way: Way, request: httpx.Request, replies: list[Reply], *, stop_at_redirect: bool) -> Reply:
    """Send ``request``, whose content has been read, and read the whole answer; notes ``wait`` and ``receive`` in ``way``.

    ``replies`` receives the answer as soon as its headers are there, so that a broken body leaves something to look at.

    Raises:
        Failed: ``http.*``, ``body.*``, ``conn.*``. Expired.
    """
    return await _Conversation(channel, way, request, replies, stop_at_redirect).run()


class _Conversation:
    def __init__(self, channel: Channel, way: Way, request: httpx.Request, replies: list[Reply], stop: bool) -> None:
        self._channel, self._way, self._request, self._replies, self._stop = channel, way, request, replies, stop
        self._machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self._machine.local_settings = h2.settings.Settings(client=True, initial_values=_SETTING)
        self._body = memoryview(request.content)
        self._buffer = bytearray()
        self._began = self._mark = self._first = 0.0  # of the frame in the buffer, of the last bytes, of the answer
        self._read = self._frames = self._chatter = self._interim = 0
        self._ended = False

    async def run(self) -> Reply:
        sent, pause = self._channel.put(self._opening()), Pause()
        while not self._ended:
            data, self._mark = await self._channel.receive()
            if not data:
                raise self._hung_up()
            self._began = self._began if self._buffer else self._mark
            self._buffer += data
            self._read += len(data)
            if self._read > 4 * (BODY + HEADERS):
                raise failed("body.too_large", "the answer, with its frames and padding, is far above the limit")
            while frame := self._frame():
                self._take(frame)
                await pause()
            if self._first:
                self._way.phases["wait"] = max(0.0, self._first - sent)
            if answer := self._machine.data_to_send():
                self._channel.put(answer)
        self._way.phases["receive"] = max(0.0, self._mark - self._first)
        self._machine.close_connection()
        self._channel.put(self._machine.data_to_send())
        return self._replies[0]

    def _opening(self) -> bytes:
        """The request, or as much of it as may be sent before the server allows more."""
        request = self._request
        headers = [
            (b":method", request.method.encode("ascii", "replace")),
            (b":scheme", request.url.scheme.encode("ascii")),
            (b":authority", request.headers.get("host", "").encode("utf-8")),
            (b":path", request.url.raw_path),
            *((name.lower(), value) for name, value in request.headers.raw if name.lower() not in _OURS),
        ]
        try:
            self._machine.initiate_connection()
            self._machine.increment_flow_control_window(_WINDOW)
            self._machine.send_headers(_STREAM, headers, end_stream=not self._body)
            self._upload()
        except (h2.exceptions.ProtocolError, ValueError) as error:
            raise failed("probe.internal", f"this request cannot be sent: {error}") from error
        return self._machine.data_to_send()

    def _upload(self) -> None:
        while self._body:
            room = min(self._machine.local_flow_control_window(_STREAM), self._machine.max_outbound_frame_size)
            if room <= 0:
                return
            piece, self._body = self._body[:room], self._body[room:]
            self._machine.send_data(_STREAM, bytes(piece), end_stream=not self._body)

    def _frame(self) -> bytes | None:
        """The next frame, once it is whole; none after the answer's end."""
        if self._ended:
            return None
        head = bytes(self._buffer[:_HEAD])
        if not self._frames and (len(head) > 3 and head[3] != _SETTINGS):
            shown = repr(bytes(self._buffer[:40]).decode("latin-1"))
            raise failed("http.malformed", f"{self._way.where} does not speak HTTP/2; its answer begins with {shown}")
        size = int.from_bytes(head[:3])
        if len(head) > 2 and size > _LARGEST:
            raise failed("http.protocol", f"{self._way.where} sent a frame of {size:,} bytes, above the limit of {_LARGEST:,}")
        if len(head) < _HEAD or len(self._buffer) < _HEAD + size:
            return None
        frame = bytes(self._buffer[: _HEAD + size])
        del self._buffer[: _HEAD + size]
        self._note(frame[3], empty=not size)
        self._began = self._mark
        return frame

    def _note(self, sort: int, *, empty: bool) -> None:
        if sort == _HEADERS:
            self._first = self._first or self._began
        self._frames += 1
        self._chatter += empty or sort != _DATA
        if self._chatter > _CHATTER:
            raise failed("http.protocol", f"{self._way.where} sent more than {_CHATTER:,} frames without any of the body")
        if self._frames > _FRAMES:
            raise failed("http.protocol", f"the body comes in more than {_FRAMES:,} frames")

    def _take(self, frame: bytes) -> None:
        if frame[3] == _GOAWAY and self._goes_politely(frame[_HEAD:]):
            return
        try:
            for event in self._machine.receive_data(frame):
                self._hear(event)
                if self._ended:
                    return
        except h2.exceptions.DenialOfServiceError as error:
            raise failed("http.headers_too_large", f"the response headers are above the limit of {HEADERS // 1024} KB") from error
        except h2.exceptions.InvalidBodyLengthError as error:
            kind = "body.truncated" if error.actual_length < error.expected_length else "http.protocol"
            because = f"the body has {error.actual_length:,} bytes, but {error.expected_length:,} were announced"
            raise failed(kind, because) from error
        except (h2.exceptions.ProtocolError, ValueError) as error:  # some of hpack's and hyperframe's errors are ValueErrors
            said = str(error) or type(error).__name__
            raise failed("http.protocol", f"{self._way.where} breaks the HTTP/2 protocol: {said}") from error

    @staticmethod
    def _goes_politely(payload: bytes) -> bool:
        """The server takes no more requests after ours, which it will answer: nothing that changes anything for us.

        h2 would call whatever follows an error.
        """
        last, code = int.from_bytes(payload[:4]) & 0x7FFFFFFF, int.from_bytes(payload[4:8])
        return len(payload) >= 8 and last >= _STREAM and code == h2.errors.ErrorCodes.NO_ERROR

    def _hear(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._begin([(_bytes(name), _bytes(value)) for name, value in event.headers or ()])
        elif isinstance(event, h2.events.DataReceived):
            body = self._replies[0].body
            body += event.data or b""
            if len(body) > BODY:
                raise failed("body.too_large", f"the body is above the limit of {BODY // 1024**2} MB")
            self._machine.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self._upload()
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self._interim += 1
            if self._interim > _INTERIM:
                raise failed("http.protocol", f"more than {_INTERIM} interim (1xx) answers and no final one")
        elif isinstance(event, h2.events.StreamReset):
            raise failed("http.protocol", f"{self._way.where} reset the request ({_code(event.error_code)})")
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise failed("http.protocol", f"{self._way.where} ended the connection ({_code(event.error_code)})")

    def _begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        status = next(value for name, value in headers if name == b":status")  # h2 has seen to it
        rest = [(name, value) for name, value in headers if not name.startswith(b":")]
        if sum(len(name) + len(value) + 4 for name, value in rest) > HEADERS:
            raise failed("http.headers_too_large", f"the response headers are above the limit of {HEADERS // 1024} KB")
        if not (status.isdigit() and len(status) == 3):
            raise failed("http.malformed", f"{status[:20]!r} is not a status")
        reply = Reply(int(status), "", "2", rest, bytearray())
        self._replies.append(reply)
        self._way.phase = "receive"
        announced = reply.header(b"content-length")
        bodiless = self._request.method == "HEAD" or reply.status in (204, 304)
        if announced is not None and not bodiless and announced.isdecimal() and int(announced[:20]) > BODY:
            raise failed("body.too_large", f"a body of {announced[:30]} bytes is announced; the limit is {BODY // 1024**2} MB")
        self._ended = self._stop and reply.status in REDIRECTS and bool(reply.header(b"location"))

    def _hung_up(self) -> Failed:
        where = self._way.where
        if self._replies:
            return failed("body.truncated", "the connection closed before the body was complete")
        if self._frames or self._buffer:
            return failed("conn.closed", f"{where} closed the connection before it answered")
        return failed("http.empty_reply", f"{where} closed the connection without a response")


def _bytes(value: bytes | str) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


def _code(code: h2.errors.ErrorCodes | int | None) -> str:
    return f"HTTP/2 error {code.name}" if isinstance(code, h2.errors.ErrorCodes) else f"HTTP/2 error {code}"
