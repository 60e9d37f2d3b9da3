"""One question to one name server, over UDP or TCP, stamped by the kernel where it can; dnspython reads and writes the packets."""

from __future__ import annotations

import asyncio
import atexit
import errno
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from probes.core.fault import Fault

Transport = Literal["udp", "tcp"]
Clock = Literal["kernel", "loop"]

LARGEST: Final = 16384
"""Bytes of the largest answer that is read: compression pointers reach no further, and real answers stay far below."""

_STAMP_OPTION: Final = 35 if sys.platform == "linux" else None  # SO_TIMESTAMPNS of asm-generic/socket.h, which Python does not name
_STAMP: Final = struct.Struct("@ll")
_ANCILLARY: Final = socket.CMSG_SPACE(_STAMP.size) if hasattr(socket, "CMSG_SPACE") else 0
_LONGEST_POINTER_RUN: Final = 8

_pin: socket.socket | None = None


class Malformed(Exception):
    """The server's answer cannot be read; the text says how."""


class Silence(Exception):
    """No server gave an answer of use: the ``faults`` of those that gave one, and whether some were ``unheard``."""

    def __init__(self, faults: Sequence[Fault], *, unheard: bool) -> None:
        super().__init__(faults)
        self.faults, self.unheard = tuple(faults), unheard


@dataclass(frozen=True, slots=True)
class Server:
    """Where a name server listens."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that belongs to its question.

    Attributes:
        message: the answer, parsed.
        size: its bytes on the wire.
        seconds: from the question sent to the answer received; of both when it was asked again over TCP.
        connect: seconds of opening the TCP connection; 0.0 over UDP alone.
        clock: who stamped the arrival.
        truncated: the answer did not fit into a datagram, so this one came over TCP.
    """

    message: dns.message.QueryMessage
    size: int
    seconds: float
    connect: float
    clock: Clock
    truncated: bool = False


Outcome = Reply | OSError | Malformed


async def ask(server: Server, query: dns.message.Message, transport: Transport) -> Reply:
    """The server's answer to ``query``, over TCP also when the one over UDP is truncated. Has no deadline of its own: cancel it.

    Datagrams that do not belong (other id, other question) are ignored, as RFC 5452 wants; those of other senders the kernel
    drops, since the socket is connected; its port is random, chosen by the kernel.

    Raises:
        Malformed: the answer belongs to the question, but cannot be read.
        OSError: with the errno of the network's refusal.
    """
    reply = await _once(server, query, transport)
    if transport == "udp" and reply.message.flags & dns.flags.TC:
        whole = await _once(server, query, "tcp")
        clock: Clock = "kernel" if reply.clock == whole.clock == "kernel" else "loop"
        reply = replace(whole, seconds=reply.seconds + whole.seconds, clock=clock, truncated=True)
    return reply


async def ask_in_turn(
    turns: Sequence[Server],
    query: dns.message.Message,
    transport: Transport,
    *,
    gap: float,
    patience: float,
    weigh: Callable[[Server, Outcome], Fault | None],
) -> tuple[Server, float, Reply]:
    """The first answer of use: from whom, how many seconds after the start it was asked for, and what it is.

    Each turn is a question to a server. The next is taken when nothing of use came for ``gap`` seconds, or at once after a fault;
    whoever was asked before may still answer. ``weigh`` gives the fault of what came, or None when it is of use.

    Raises:
        Silence: no answer was of use, and the last turn was ``patience`` seconds ago.
    """
    left, pending, faults = list(turns), set[asyncio.Task[Reply]](), list[Fault]()
    begun: dict[asyncio.Task[Reply], tuple[Server, float]] = {}
    started = time.monotonic()
    try:
        while left or pending:
            if left:
                task = asyncio.create_task(ask(left[0], query, transport))
                begun[task] = (left.pop(0), time.monotonic() - started)
                pending.add(task)
            done, pending = await asyncio.wait(pending, timeout=gap if left else patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                server, offset = begun[task]
                error = task.exception()
                if error is not None and not isinstance(error, (OSError, Malformed)):
                    raise error
                fault = weigh(server, error or task.result())
                if fault is None:
                    return server, offset, task.result()
                faults.append(fault)
            if not done and not left:
                break
        raise Silence(faults, unheard=bool(pending))
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


async def _once(server: Server, query: dns.message.Message, transport: Transport) -> Reply:
    _pin_stamps()
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as sock:
        sock.setblocking(False)
        if _STAMP_OPTION is not None:
            sock.setsockopt(socket.SOL_SOCKET, _STAMP_OPTION, 1)
        return await (_datagram if transport == "udp" else _stream)(sock, server, query)


def _pin_stamps() -> None:
    """The kernel stamps packets only while some socket asks for it, and starts late: keep one that always does."""
    global _pin  # noqa: PLW0603  # one for the process, for ever
    if _pin is None and _STAMP_OPTION is not None:
        _pin = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _pin.setsockopt(socket.SOL_SOCKET, _STAMP_OPTION, 1)
        atexit.register(_pin.close)


async def _datagram(sock: socket.socket, server: Server, query: dns.message.Message) -> Reply:
    sock.connect((server.address, server.port))
    mark = _Mark()
    sock.send(query.to_wire())
    while True:
        wire, ancillary = await _ready(sock, read=True, act=lambda: _receive(sock, LARGEST + 1))
        seconds, clock = mark.until(ancillary)
        message = read(wire, query)
        if message is not None:
            return Reply(message, len(wire), seconds, 0.0, clock)


async def _stream(sock: socket.socket, server: Server, query: dns.message.Message) -> Reply:
    opening = _Mark()
    code = sock.connect_ex((server.address, server.port))
    if code == errno.EINPROGRESS:
        code = await _ready(sock, read=False, act=lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    if code:
        raise OSError(code, errno.errorcode.get(code, str(code)))
    connect, _ = opening.until([])
    wire = query.to_wire()
    mark = _Mark()
    sock.send(struct.pack("!H", len(wire)) + wire)
    got = b""
    while len(got) < 2 or len(got) < 2 + int.from_bytes(got[:2]):
        if len(got) >= 2 and int.from_bytes(got[:2]) > LARGEST:
            raise Malformed(f"the answer has {int.from_bytes(got[:2])} bytes, above the limit of {LARGEST}")
        piece, ancillary = await _ready(sock, read=True, act=lambda: _receive(sock, LARGEST + 2))
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection before it had answered")
        got += piece
    seconds, clock = mark.until(ancillary)
    message = read(got[2 : 2 + int.from_bytes(got[:2])], query)
    if message is None:
        raise Malformed("the answer over TCP is to another question")
    return Reply(message, len(got) - 2, seconds, connect, clock)


class _Mark:
    """A moment of ours, and the seconds from it to a moment the kernel stamped."""

    __slots__ = ("_steady", "_wall")

    def __init__(self) -> None:
        self._wall, self._steady = time.time_ns(), time.monotonic_ns()

    def until(self, ancillary: list[tuple[int, int, bytes]]) -> tuple[float, Clock]:
        """A stamp after now or before the mark is a clock that was set meanwhile: then our own steady clock counts."""
        elapsed = time.monotonic_ns() - self._steady
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _STAMP_OPTION and len(data) >= _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack_from(data)
                stamped = seconds * 1_000_000_000 + nanoseconds - self._wall
                if 0 <= stamped <= elapsed + 1_000_000:
                    return stamped / 1e9, "kernel"
        return elapsed / 1e9, "loop"


def _receive(sock: socket.socket, count: int) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    data, ancillary, _, _ = sock.recvmsg(count, _ANCILLARY)
    return data, ancillary


async def _ready(sock: socket.socket, *, read: bool, act: Callable[[], Any]) -> Any:
    """What ``act`` returns once the socket is readable (or writable)."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def event() -> None:
        if done.done():
            return
        try:
            done.set_result(act())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            done.set_exception(error)

    add, remove = (loop.add_reader, loop.remove_reader) if read else (loop.add_writer, loop.remove_writer)
    add(sock, event)
    try:
        return await done
    finally:
        remove(sock)


def read(wire: bytes, query: dns.message.Message) -> dns.message.QueryMessage | None:
    """The message in ``wire``, or None when it is no answer to ``query``. Raises :class:`Malformed`."""
    if len(wire) < 12 or int.from_bytes(wire[:2]) != query.id or not wire[2] & 0x80:
        return None
    if len(wire) > LARGEST:
        raise Malformed(f"the answer is above the limit of {LARGEST} bytes")
    if _pointer_run(wire) > _LONGEST_POINTER_RUN:
        raise Malformed("the answer's names are a maze of compression pointers")
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError, struct.error) as error:
        if wire[2] & 0x02:  # truncated: what was cut need not parse
            try:
                message = dns.message.from_wire(wire, question_only=True)
            except (dns.exception.DNSException, ValueError, struct.error):
                raise Malformed(_why(error)) from None
        else:
            raise Malformed(_why(error)) from None
    if not isinstance(message, dns.message.QueryMessage) or (message.question != query.question and not _refuses_bare(message)):
        return None
    return message


def _refuses_bare(message: dns.message.Message) -> bool:
    """Some servers leave the question out when they say no."""
    return not message.question and message.rcode() != dns.rcode.NOERROR


def _why(error: Exception) -> str:
    words = type(error).__doc__ or ""
    return f"the answer cannot be read: {(str(error) or words).strip().splitlines()[0][:200].rstrip('.')}"


def _pointer_run(wire: bytes) -> int:
    """The longest run of compression pointers that point at pointers.

    An honest packet has none longer than one or two. dnspython follows each run anew for every name, so 16 KB of them would hold
    the interpreter for seconds.
    """
    runs = bytearray(len(wire))
    longest = 0
    for at in range(12, len(wire) - 1):
        if wire[at] >= 0xC0:
            target = (wire[at] & 0x3F) << 8 | wire[at + 1]
            if target < at:
                runs[at] = min(255, runs[target] + 1)
                longest = max(longest, runs[at])
    return longest
