"""``icmp``: whether a host answers echoes, how long it takes, and how many are lost."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from probes.core import shapes, units
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.core.units import Duration
from probes.kinds.wire.failure import Failed, failed, system
from probes.kinds.wire.link import STAMPS, TIMESPEC, pin_stamps
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.target import pending, permitted
from probes.kinds.wire.way import Way

LEAST, MOST = 16, 8972
"""Bytes of payload: room for our mark; what fits a jumbo frame of 9,000 bytes."""
STRAGGLERS: Final = 1.0
"""Seconds for which the last echoes are waited for once others were answered, or twice the slowest answer where that is longer."""
_ECHO: Final = {4: (8, 0), 6: (128, 129)}  # types of request and reply: RFC 792; RFC 4443, section 4
_HEAD: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_TTL: Final = {4: (socket.IPPROTO_IP, 12, 2, 11), 6: (socket.IPPROTO_IPV6, 51, 52, 25)}
"""Level, IP_RECVTTL, IP_TTL, IP_RECVERR of linux/in.h, and their names of IPv6 (linux/in6.h)."""
_ERRORS: Final = getattr(socket, "MSG_ERRQUEUE", 0)
_ROOM: Final = socket.CMSG_SPACE(TIMESPEC.size) + socket.CMSG_SPACE(4)
_ERROR_ROOM: Final = 512
_BATCH: Final = 64
_STEP: Final = 0.001
_MEND: Final = (
    'this machine does not let Probes send echoes: allow it with sysctl net.ipv4.ping_group_range="0 2147483647" '
    "(which covers IPv6 as well), or give the process CAP_NET_RAW"
)


def _host(text: str) -> str:
    if pending(text):
        return text
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host or any(sign in host for sign in "/@ \t\n") or ("[" in host) or (host.count(":") == 1):
        raise complain("address", f"{text[:80]!r} is not a host: write a name or an address, without scheme and port")
    permitted(host)
    return text


def _bytes(value: Any) -> Any:
    try:
        return units.size(value)
    except ValueError as error:
        raise complain("unit", str(error)) from None


_SIZE: Final = WithJsonSchema({"type": "string", "pattern": r"^\d+(B|KB)$", "examples": ["56B"]})


class Target(Shape):
    """A host. Echoes go to the first of its addresses."""

    host: Annotated[str, AfterValidator(_host)] = Field(description="name or address", examples=["router.shop.example"])
    count: int = Field(3, ge=1, le=10, description="how many echoes are sent, 1 to 10; those for which the timeout leaves time")
    interval: shapes.Duration = Field(0.2, ge=0.01, le=10, description="time between two of them, 10ms to 10s")
    size: Annotated[int, BeforeValidator(_bytes), _SIZE] = Field(
        56, ge=LEAST, le=MOST, description="payload of each, 16B to 8972B", json_schema_extra={"default": "56B"}
    )
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")


class _Echoes:
    """Echoes to one address over one socket: what was sent, what came back. Times are seconds."""

    def __init__(self, way: Way, address: str, size: int) -> None:
        pin_stamps()
        self.sent: list[tuple[float, float]] = []
        self.times: dict[int, float] = {}
        self.refusals: dict[int, OSError] = {}
        self.ttl: int | None = None
        self._way, self._version = way, 6 if ":" in address else 4
        self._request, self._reply = _ECHO[self._version]
        self._token = os.urandom(8)
        self._padding = bytes(size - len(self._token))
        self._news = asyncio.Event()
        self._socket = self._open()
        try:
            self._socket.setblocking(False)
            self._wish()
            self._socket.connect((address, 0))
            asyncio.get_running_loop().add_reader(self._socket, self._ready)
        except OSError as error:
            self._socket.close()
            raise system(error, address) from error

    def _open(self) -> socket.socket:
        """A socket for echoes alone, which needs no privilege where the system allows it; else one for everything, which does."""
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self._version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                return socket.socket(family, kind, protocol)
            except PermissionError:
                continue
            except OSError as error:
                if error.errno != errno.EPROTONOSUPPORT:
                    raise system(error, self._way.where) from error
        raise failed("probe.resources", _MEND)

    def _wish(self) -> None:
        """Stamps, the time to live and the errors of routers, from systems that can tell them."""
        level, wanted, _, errors = _TTL[self._version]
        if STAMPS:
            self._socket.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
            self._socket.setsockopt(level, wanted, 1)
            self._socket.setsockopt(level, errors, 1)

    def send(self) -> None:
        """One more echo. Raises Failed where this machine's own network refuses it."""
        number = len(self.sent)
        body = self._token + self._padding
        packet = _HEAD.pack(self._request, 0, 0, int.from_bytes(self._token[:2]), number) + body
        if self._version == 4:  # the kernel computes that of IPv6, which covers addresses
            packet = packet[:2] + checksum(packet).to_bytes(2) + packet[4:]
        self.sent.append((time.time(), time.monotonic()))
        try:
            self._socket.send(packet)
        except OSError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.ENETUNREACH):
                raise system(error, self._way.ip or "") from error
            self.refusals[number] = error

    @property
    def answered(self) -> bool:
        """Whether every echo sent has come back, or was refused on its way."""
        return len(self.times.keys() | self.refusals.keys()) == len(self.sent)

    async def wait(self, until: float) -> None:
        """Until something came, or that moment of the steady clock."""
        self._news.clear()
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, until - time.monotonic())):
                await self._news.wait()
        except TimeoutError:
            pass

    def _ready(self) -> None:
        self.read()
        self._news.set()

    def read(self) -> None:
        """Take what has come by now, at most a batch of it."""
        for _ in range(_BATCH):
            try:
                if not self._read_error():
                    self._read_packet()
            except BlockingIOError:
                return
            except OSError:  # the queue of errors has the same in more words
                continue

    def _read_error(self) -> bool:
        """What a router said of an echo: the kernel gives our own packet back."""
        if not _ERRORS:
            return False
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(LEAST + _HEAD.size + 60, _ERROR_ROOM, _ERRORS)
        except BlockingIOError:
            return False
        level, _, _, kind = _TTL[self._version]
        numbers = [struct.unpack_from("=I", data)[0] for at, what, data in ancillary if (at, what) == (level, kind)]
        packet = _bare(packet)
        if len(packet) >= _HEAD.size and numbers:
            number = _HEAD.unpack_from(packet)[4]
            self.refusals.setdefault(number, OSError(numbers[0], os.strerror(numbers[0])))
        return True

    def _read_packet(self) -> None:
        packet, ancillary, _, sender = self._socket.recvmsg(MOST + 128, _ROOM)
        steady, real = time.monotonic(), time.time()
        packet = _bare(packet)
        if sender[0] != self._way.ip:  # which not every system tells apart for sockets like these
            return
        if len(packet) < LEAST + _HEAD.size or packet[0] != self._reply or packet[8:16] != self._token:
            return
        number = _HEAD.unpack_from(packet)[4]
        if number >= len(self.sent) or number in self.times:
            return
        sent_real, sent_steady = self.sent[number]
        seconds = steady - sent_steady
        stamp = _stamp(ancillary)
        if stamp is not None and abs(real - sent_real - seconds) < _STEP and -_STEP < stamp - sent_real <= seconds + _STEP:
            seconds = max(0.0, stamp - sent_real)
        else:  # no stamp, or a clock that was set meanwhile
            self._way.clock = "loop"
        if sent_steady + seconds <= self._way.deadline:
            self.times[number] = seconds
            self.ttl = self._hops(ancillary)

    def _hops(self, ancillary: list[tuple[int, int, bytes]]) -> int | None:
        level, _, kind, _ = _TTL[self._version]
        found = [data for at, what, data in ancillary if (at, what) == (level, kind) and len(data) >= 4]
        return int.from_bytes(found[0][:4], sys.byteorder) if found else self.ttl

    def close(self) -> None:
        """Give the descriptor back."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == STAMPS and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            return float(seconds + nanoseconds / 1e9)
    return None


def _bare(packet: bytes) -> bytes:
    """Without the header of IPv4, which raw sockets (and macOS) leave on; no type of ours begins with a 4."""
    return packet[4 * (packet[0] & 0x0F) :] if packet and packet[0] >> 4 == 4 else packet


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


async def probe(target: Target, context: Context) -> Observation:
    """Send the echoes, and tell what came back."""
    return await look(context, partial(_probe, target))


async def _probe(target: Target, seen: Look) -> None:
    way = seen.way(target.family)
    host = target.host[1:-1] if target.host.startswith("[") else target.host
    way.ip = (await way.addresses(host))[0]
    way.phase, way.clock = "wait", "kernel" if STAMPS else "loop"
    echoes = _Echoes(way, way.ip, target.size)
    try:
        await _exchange(target, echoes, way.deadline)
    finally:
        echoes.close()
        _note(echoes, seen, way)
    if not echoes.times:
        raise _unanswered(target, echoes, seen)


async def _exchange(target: Target, echoes: _Echoes, deadline: float) -> None:
    """Send at the interval, and wait for each; then for the stragglers."""
    due = time.monotonic()
    while True:
        now = time.monotonic()
        if len(echoes.sent) < target.count and now >= due and now < deadline:
            echoes.send()
            due = now + target.interval
        whole = len(echoes.sent) == target.count
        if whole and echoes.answered:
            return
        until = deadline if whole else min(due, deadline)
        if whole and echoes.times:
            until = min(until, echoes.sent[-1][1] + max(STRAGGLERS, 2 * max(echoes.times.values())))
        if now >= until and (whole or now >= deadline):
            echoes.read()  # what came while we were late to look
            return
        await echoes.wait(until)


def _note(echoes: _Echoes, seen: Look, way: Way) -> None:
    sent, times = len(echoes.sent), [echoes.times[number] for number in sorted(echoes.times)]
    if not sent:
        return
    seen.facts |= {"reachable": bool(times), "sent": sent, "received": len(times), "loss": 100 * (sent - len(times)) / sent}
    if times:
        way.phases["wait"] = sum(times) / len(times)
        jitter = sum(abs(one - next_) for one, next_ in pairwise(times)) / max(1, len(times) - 1)
        seen.facts["jitter"] = Duration(jitter)
    if echoes.ttl is not None:
        seen.facts["ttl"] = echoes.ttl
    told = [round(1000 * echoes.times[number], 3) if number in echoes.times else None for number in range(sent)]
    seen.evidence |= {"echoes_ms": told, "own_ms": None}  # most of the total is the time between echoes, which is nobody's cost


def _unanswered(target: Target, echoes: _Echoes, seen: Look) -> Failed:
    """Why nothing came back: what a router said, if one did, else silence."""
    where = seen.ways[-1].ip or target.host
    for error in echoes.refusals.values():
        return system(error, where)
    sent = len(echoes.sent)
    because = f"{where} answered none of {sent} echoes within {seen.context.timeout:g}s"
    return failed("timeout.response", because)


def short(text: Any) -> dict[str, Any]:
    """``router.shop.example``."""
    if not isinstance(text, str):
        raise ValueError("write router.shop.example, or a mapping with a host")
    return {"host": text.strip()}


def describe(target: Mapping[str, Any]) -> str:
    """Its host."""
    return str(target.get("host", ""))


KIND: Final = Kind(
    name="icmp",
    summary="Whether a host answers echoes (ping), how long it takes, and how many are lost.",
    target=Target,
    short=short,
    example="router.shop.example",
    facts={
        "reachable": Fact("boolean", "whether at least one echo came back"),
        "latency": Fact("duration", "average time of the echoes that came back, as `ping` says it"),
        "jitter": Fact("duration", "average difference between one echo's time and the next one's; 0 when one came back"),
        "loss": Fact("number", "percent of the echoes sent that did not come back"),
        "sent": Fact("number", "echoes sent"),
        "received": Fact("number", "echoes that came back"),
        "ttl": Fact("number", "hops that the last echo had left"),
        "total": Fact("duration", "from the start of resolve to the end, the time between echoes included"),
        "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
        "wait": Fact("duration", "the same as `latency`"),
        "ip": Fact("text", "address that was asked"),
        "family": Fact("number", "4 or 6"),
    },
    must=("reachable == true",),
    probe=probe,
    describe=describe,
    not_on={"aws:": "AWS Lambda cannot send echoes: look at a port instead, with tcp: host:port"},
)
