"""``grpc``: whether a service says that it serves, by the gRPC health checking protocol.

Spoken over our own wire (h2 frames the protocol, without I/O), so that addresses are screened and waits stamped like everywhere;
the two messages are small enough to be written by hand. Sources: grpc/doc/PROTOCOL-HTTP2.md, grpc/health/v1/health.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from pydantic import AfterValidator, Field

from probes import __version__
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.kinds.wire import content, trust
from probes.kinds.wire.failure import failed
from probes.kinds.wire.http1 import Pause
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.target import Address, HeaderText, pending, split
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Channel, Way

LARGEST: Final = 65536
"""Bytes that are read of one answer, frames and all."""
_SLICE: Final = 4096
_TYPE_AT, _SETTINGS = 3, 0x04  # a server's first frame is SETTINGS (RFC 9113, section 3.4)
_TLS_PORT: Final = 443
_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
)  # fmt: skip
_HEALTH: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_NAME: Final = re.compile(r"[0-9a-z_.-]+")
_OURS: Final = {"te", "content-type", "user-agent"}

FACTS: Final = {
    "health": Fact("text", "what the service says of itself: SERVING, NOT_SERVING, UNKNOWN; SERVICE_UNKNOWN: not known there"),
    "code": Fact("text", "gRPC status of the call: OK, UNIMPLEMENTED (no health service), UNAUTHENTICATED ..."),
    "latency": Fact("duration", "connect + tls + wait + receive, as the network took it"),
    "total": Fact("duration", "from the start of resolve to the end, our own cost included"),
    "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
    "connect": Fact("duration", "the connection was opened (TCP)"),
    "tls": Fact("duration", "the TLS handshake"),
    "wait": Fact("duration", "from the call sent to its first answer"),
    "receive": Fact("duration", "from the first answer to the end of the call"),
    "ip": Fact("text", "address that answered"),
    "family": Fact("number", "4 or 6"),
}


def _metadata(name: str) -> str:
    if not _NAME.fullmatch(name) or name in _OURS or name.startswith("grpc-"):
        raise complain("value", f"{name!r} is not a name of metadata: lower case, and none that the call itself sets")
    return name


def _service(text: str) -> str:
    if not pending(text) and not re.fullmatch(r"[A-Za-z0-9_./-]{0,200}", text):
        raise complain("value", f"{text[:60]!r} is not the name of a service: write payments.v1.Payments")
    return text


class Target(Shape):
    """A service on a server; without ``service``, the server as a whole."""

    address: Address = Field(description="host:port")
    service: Annotated[str, AfterValidator(_service)] = Field("", description="full name of the service")
    tls: bool | None = Field(None, description="false: plaintext; by default TLS on port 443 alone")
    metadata: dict[Annotated[str, AfterValidator(_metadata)], HeaderText] = Field({}, description="sent with the call")
    ca: str | None = Field(None, description="file or PEM text of the trust anchors, in place of the system's")
    client_cert: str | None = Field(None, description="client certificate: file or PEM text")
    client_key: str | None = Field(None, description="its key: file or PEM text")
    verify: bool = Field(True, description="false: any certificate will do")
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")


def short(text: Any) -> dict[str, Any]:
    """``pay.shop.example:443/payments.v1.Payments``; the service may be left out."""
    if not isinstance(text, str):
        raise ValueError("write pay.shop.example:443/payments.v1.Payments, or a mapping with an address")
    match = re.fullmatch(r"((?:\$\{\{.*?\}\}|[^/\s])+)(?:/(\S*))?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not host:port/service")
    return {"address": match[1]} | ({"service": match[2]} if match[2] else {})


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at
    raise failed("http.protocol", "the health message cannot be read")


def request(service: str) -> bytes:
    """``HealthCheckRequest`` with its gRPC prefix: field 1, the service's name."""
    name = service.encode()
    length = bytes([len(name)]) if len(name) < 0x80 else bytes([len(name) & 0x7F | 0x80, len(name) >> 7])
    message = b"\x0a" + length + name if name else b""
    return b"\x00" + len(message).to_bytes(4) + message


def health(body: bytes) -> str:
    """The status in a ``HealthCheckResponse`` with its gRPC prefix: field 1, an enum; UNKNOWN when it is left out."""
    if len(body) < 5 or body[0] or len(body) != 5 + int.from_bytes(body[1:5]):
        raise failed("http.protocol", "the answer is not one whole gRPC message")
    status, at = 0, 5
    while at < len(body):
        tag, at = _varint(body, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(body, at)
            status = value if tag >> 3 == 1 else status
        elif wire == 2:
            length, at = _varint(body, at)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise failed("http.protocol", "the health message cannot be read")
    if at != len(body):
        raise failed("http.protocol", "the health message ends early")
    return _HEALTH[status] if status < len(_HEALTH) else "UNKNOWN"


@dataclass(slots=True)
class _Call:
    """What came back so far; marks are steady seconds."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    first: float = 0.0
    ended: bool = False


async def probe(target: Target, context: Context) -> Observation:
    """Ask once."""
    return await look(context, partial(_probe, target))


async def _probe(target: Target, seen: Look) -> None:
    host, port = split(target.address)
    secure = port == _TLS_PORT if target.tls is None else target.tls
    policy = Policy(target.ca, target.client_cert, target.client_key, target.verify, ("h2",))
    context = trust.context(policy, seen.context.base) if secure else None
    seen.restart()
    way = seen.way(target.family)
    seen.evidence["address"] = f"{'tls' if secure else 'plaintext'} {target.address}"
    channel = await way.go(host, port, context)
    call = await _converse(target, way, channel, secure)
    _note(call, way, seen)


async def _converse(target: Target, way: Way, channel: Channel, secure: bool) -> _Call:
    machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    machine.initiate_connection()
    headers = {
        ":method": "POST",
        ":scheme": "https" if secure else "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": target.address,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": f"Probes/{__version__}",
        "grpc-timeout": f"{max(1, int(way.timeout * 1000))}m",
        **target.metadata,
    }
    machine.send_headers(1, list(headers.items()))
    machine.send_data(1, request(target.service), end_stream=True)
    call, read, pause, sent = _Call(), 0, Pause(), channel.put(machine.data_to_send())
    while not call.ended:
        data, mark = await channel.receive()
        if not data:
            raise failed("conn.closed", f"{way.where} closed the connection before the call was answered")
        if read <= _TYPE_AT < read + len(data) and data[_TYPE_AT - read] != _SETTINGS:
            shown = repr(data[:40].decode("latin-1"))
            raise failed("http.malformed", f"{way.where} does not speak HTTP/2; its answer begins with {shown}")
        read += len(data)
        if read > LARGEST:
            raise failed("body.too_large", f"{way.where} sent more than {LARGEST // 1024} KB for one health check")
        try:
            for at in range(0, len(data), _SLICE):  # a flood of tiny frames may not hold the loop
                for event in machine.receive_data(data[at : at + _SLICE]):
                    _take(event, call, mark, way)
                await pause()
        except (h2.exceptions.ProtocolError, ValueError) as error:  # hpack's errors are ProtocolErrors by now, some are not
            raise failed("http.malformed", f"{way.where} does not speak HTTP/2: {str(error) or type(error).__name__}") from error
        if call.first:
            way.phases["wait"] = max(0.0, call.first - sent)
            way.phases["receive"] = max(0.0, mark - call.first)
        if answer := machine.data_to_send():
            channel.put(answer)
    machine.close_connection()
    channel.put(machine.data_to_send())
    return call


def _take(event: h2.events.Event, call: _Call, mark: float, way: Way) -> None:
    if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
        call.first = call.first or mark
        way.phase = "receive"
        call.headers |= {_text(name): _text(value) for name, value in event.headers or ()}
    elif isinstance(event, h2.events.DataReceived):
        call.body += event.data or b""
    elif isinstance(event, h2.events.StreamEnded):
        call.ended = True
    elif isinstance(event, h2.events.StreamReset):
        raise failed("http.protocol", f"{way.where} reset the call (HTTP/2 error {int(event.error_code or 0)})")
    elif isinstance(event, h2.events.ConnectionTerminated) and not call.ended:
        raise failed("http.protocol", f"{way.where} ended the connection (HTTP/2 error {int(event.error_code or 0)})")


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _note(call: _Call, way: Way, seen: Look) -> None:
    status, kind = call.headers.get(":status", ""), call.headers.get("content-type", "")
    if status != "200" or not kind.startswith("application/grpc"):
        said = content.snippet(f"{status} {kind}", 100)
        raise failed("http.protocol", f"{way.where} answered, but not as gRPC: HTTP status and content type were {said}")
    number = call.headers.get("grpc-status", "")
    if not number.isdecimal():
        raise failed("http.protocol", f"{way.where} ended the call without a gRPC status")
    code = _CODES[int(number)] if len(number) < 3 and int(number) < len(_CODES) else "UNKNOWN"
    seen.facts["code"] = code
    message = unquote(call.headers.get("grpc-message", ""))
    seen.evidence |= {"code": code} | ({"message": content.snippet(message)} if message else {})
    if code == "OK":
        seen.facts["health"] = health(bytes(call.body))
    elif code == "NOT_FOUND":
        seen.facts["health"] = "SERVICE_UNKNOWN"


def describe(target: Mapping[str, Any]) -> str:
    """``pay.shop.example:443/payments.v1.Payments``."""
    service = target.get("service")
    return f"{target.get('address', '')}" + (f"/{service}" if service else "")


KIND: Final = Kind(
    name="grpc",
    summary="Whether a gRPC service says that it serves.",
    target=Target,
    short=short,
    example="pay.shop.example:443/payments.v1.Payments",
    facts=FACTS,
    must=('health == "SERVING"',),
    probe=probe,
    describe=describe,
)
