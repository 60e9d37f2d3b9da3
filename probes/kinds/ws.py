"""``ws``: whether a WebSocket opens, and what it says. wsproto reads the protocol, over our own wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal

import httpx
import re2  # type: ignore[import-untyped]  # google-re2 has no stubs
import wsproto
from pydantic import AfterValidator, BeforeValidator, Field
from wsproto import events
from wsproto.connection import ConnectionState
from wsproto.utilities import ProtocolError

from probes import __version__
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.kinds.wire import content, trust
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.http1 import Pause
from probes.kinds.wire.link import Expired
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.target import HeaderText, pending, permitted, plain
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Channel, Way

LARGEST: Final = 65536
"""Bytes that are read while waiting for a message."""
_SLICE: Final = 4096
_PORTS: Final = {"ws": 80, "wss": 443}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = ("host", "connection", "upgrade", "sec-websocket-")

FACTS: Final = {
    "connected": Fact("boolean", "whether the WebSocket opened"),
    "status": Fact("number", "status code of the handshake's answer; 101 when it opened"),
    "subprotocol": Fact("text", "the one the server chose"),
    "message": Fact("text", "the message that was waited for: the first one, or the one `expect` matches"),
    "latency": Fact("duration", "connect + tls + wait + receive, as the network took it"),
    "total": Fact("duration", "from the start of resolve to the end, our own cost included"),
    "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
    "connect": Fact("duration", "the connection was opened (TCP)"),
    "tls": Fact("duration", "the TLS handshake"),
    "wait": Fact("duration", "from the WebSocket handshake sent to its answer"),
    "receive": Fact("duration", "from that answer to the message that was waited for"),
    "ip": Fact("text", "address that answered"),
    "family": Fact("number", "4 or 6"),
}


def _url(text: str) -> str:
    if pending(text):
        return text
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise complain("url", f"{text[:80]!r} is not a URL: {error}") from None
    if url.scheme not in _PORTS or not url.host:
        raise complain("url", f"{text[:80]!r} is not a WebSocket's URL: it needs ws:// or wss:// and a host")
    if url.userinfo:
        raise complain("url", "a URL may not hold a user or a password, for it is shown", "write an authorization header")
    permitted(url.host)
    return text


def _name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise complain("value", f"{text[:60]!r} is not a header name")
    if text.lower().startswith(_OURS):
        raise complain("value", f"the header {text} is set by the probe itself")
    return text


def _protocol(text: str) -> str:
    if not pending(text) and not _TOKEN.fullmatch(text):
        raise complain("value", f"{text[:60]!r} is not the name of a subprotocol")
    return text


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _pattern(text: str) -> str:
    if not pending(text):
        try:
            _compiled(text)
        except re2.error as error:
            raise complain("regex", f"the regular expression cannot be compiled: {error}") from None
    return text


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Target(Shape):
    """A WebSocket; with ``send`` or ``expect`` also a message."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="ws:// or wss://")
    headers: dict[Annotated[str, AfterValidator(_name)], HeaderText] = Field({}, description="headers of the handshake")
    subprotocols: Annotated[tuple[Annotated[str, AfterValidator(_protocol)], ...], BeforeValidator(_listed)] = Field(
        (), description="offered, best first"
    )
    send: Annotated[str, BeforeValidator(plain)] | None = Field(
        None, description="text sent once it is open; a message is waited for"
    )
    expect: Annotated[str, AfterValidator(_pattern)] | None = Field(
        None, description="regular expression that a message must match"
    )
    ca: str | None = Field(None, description="file or PEM text of the trust anchors, in place of the system's")
    client_cert: str | None = Field(None, description="client certificate: file or PEM text")
    client_key: str | None = Field(None, description="its key: file or PEM text")
    verify: bool = Field(True, description="false: any certificate will do")
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")


def short(text: Any) -> dict[str, Any]:
    """``wss://chat.shop.example/feed``."""
    if not isinstance(text, str):
        raise ValueError("write wss://chat.shop.example/feed, or a mapping with a url")
    return {"url": text.strip()}


@dataclass(slots=True)
class _Socket:
    """The conversation so far; marks are steady seconds."""

    way: Way
    machine: wsproto.WSConnection
    expect: Any
    wanted: bool
    opened: float = 0.0
    last: float = 0.0
    status: int | None = None
    subprotocol: str | None = None
    text: str = ""
    message: str | None = None
    answers: list[events.Event] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return bool(self.opened) and (not self.wanted or self.message is not None)

    def take(self, event: events.Event, mark: float) -> None:
        """One event of the protocol. Raises Failed."""
        if isinstance(event, events.AcceptConnection):
            self.opened, self.status, self.subprotocol = mark, 101, event.subprotocol
            self.way.phase = "receive"
        elif isinstance(event, events.RejectConnection):
            self.status = event.status_code
            raise failed("http.protocol", f"{self.way.where} refused the WebSocket with status {event.status_code}")
        elif isinstance(event, events.Ping):
            self.answers.append(event.response())
        elif isinstance(event, events.Message) and self.wanted and self.message is None:
            data = event.data
            self.text += data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
            if event.message_finished:
                text, self.text = self.text, ""
                if self.expect is None or self.expect.search(text):
                    self.message, self.last = text, mark
        elif isinstance(event, events.CloseConnection) and not self.done:
            if self.machine.state is ConnectionState.OPEN:  # not the server's word: what it sent cannot be read
                raise failed("http.protocol", f"{self.way.where} sent what is not WebSocket: {event.reason}")
            because = f"{self.way.where} closed the WebSocket before its message came (code {int(event.code)})"
            raise failed("conn.closed", because)


async def probe(target: Target, context: Context) -> Observation:
    """Open once, talk where the target says so, and close."""
    return await look(context, partial(_probe, target))


async def _probe(target: Target, seen: Look) -> None:
    url = httpx.URL(target.url)
    policy = Policy(target.ca, target.client_cert, target.client_key, target.verify, ("http/1.1",))
    context = trust.context(policy, seen.context.base) if url.scheme == "wss" else None
    seen.restart()
    way = seen.way(target.family)
    seen.evidence["url"] = content.snippet(str(url), 2048)
    machine = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    wanted = target.send is not None or target.expect is not None
    socket = _Socket(way, machine, _compiled(target.expect) if target.expect is not None else None, wanted)
    try:
        host = url.raw_host.decode("ascii").strip("[]")
        channel = await way.go(host, url.port or _PORTS[url.scheme], context)
        await _converse(target, url, socket, channel)
    except (Failed, Expired) as error:
        if not socket.opened and not (isinstance(error, Failed) and error.fault.ours):
            seen.facts["connected"] = False
        raise
    finally:
        _note(socket, seen)


async def _converse(target: Target, url: httpx.URL, socket: _Socket, channel: Channel) -> None:
    way, machine = socket.way, socket.machine
    headers = [(b"user-agent", f"Probes/{__version__}".encode())]
    headers += [(name.encode(), value.encode()) for name, value in target.headers.items()]
    asked = events.Request(
        host=url.netloc.decode("ascii"),
        target=url.raw_path.decode("ascii"),
        extra_headers=headers,
        subprotocols=list(target.subprotocols),
    )
    read, pause, said = 0, Pause(), False
    sent = channel.put(machine.send(asked))
    while not socket.done:
        if socket.opened and target.send is not None and not said:
            channel.put(machine.send(events.TextMessage(data=target.send)))
            said = True
        data, mark = await channel.receive()
        read += len(data)
        if read > LARGEST:
            raise failed("body.too_large", f"{way.where} sent more than {LARGEST // 1024} KB before its message was complete")
        if not data:
            what = "its message came" if socket.opened else "the handshake was answered"
            raise failed("conn.closed", f"{way.where} closed the connection before {what}")
        way.phases.setdefault("wait", max(0.0, mark - sent))
        try:
            for at in range(0, len(data), _SLICE):  # a flood of tiny frames may not hold the loop
                machine.receive_data(data[at : at + _SLICE])
                for event in machine.events():
                    socket.take(event, mark)
                await pause()
        except ProtocolError as error:
            kind = "http.protocol" if socket.opened else "http.malformed"
            complaint = str(error) or type(error).__name__
            raise failed(kind, f"{way.where} does not speak WebSocket as it should: {complaint}") from error
        way.phases["receive"] = max(0.0, (socket.last or socket.opened or mark) - (socket.opened or mark))
        for answer in socket.answers:
            channel.put(machine.send(answer))
        socket.answers.clear()
    channel.put(machine.send(events.CloseConnection(code=1000)))


def _note(socket: _Socket, seen: Look) -> None:
    if socket.opened:
        seen.facts["connected"] = True
    for name in ("status", "subprotocol", "message"):
        value = getattr(socket, name)
        if value is not None:
            seen.facts[name] = value
    if socket.message is not None:
        seen.evidence["message"] = content.snippet(socket.message)
    if socket.status is not None:
        seen.evidence["status"] = socket.status


def describe(target: Mapping[str, Any]) -> str:
    """Its URL."""
    return str(target.get("url", ""))


KIND: Final = Kind(
    name="ws",
    summary="Whether a WebSocket opens, and what it says.",
    target=Target,
    short=short,
    example="wss://chat.shop.example/feed",
    facts=FACTS,
    must=("connected == true",),
    probe=probe,
    describe=describe,
)
