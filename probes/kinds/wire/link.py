"""One TCP connection. What is waited for is stamped by the kernel when it arrives, so a late event loop changes no number.

Our own clock is read only right before our own sends. All marks are :func:`time.monotonic` seconds: the kernel's stamp (real time)
is used as an age, the difference to the real time at the moment of reading, so a clock that is set meanwhile is noticed. When
segments queue up while we are late, the kernel keeps the last one's stamp: the end is exact, the first byte may seem late by that.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
import time
from collections.abc import Sequence
from functools import cache
from typing import Final, Literal

from probes.kinds.wire.failure import Failed, failed, system
from probes.kinds.wire.poller import ENDED, WRITE, poller

CHUNK: Final = 65536
STAGGER: Final = 0.25
"""Seconds until the next address is tried as well (RFC 8305, section 5: "Connection Attempt Delay")."""
STAMPS: Final = 35 if sys.platform == "linux" and struct.calcsize("l") == 8 else 0  # SO_TIMESTAMPNS of asm-generic/socket.h
TIMESPEC: Final = struct.Struct("@ll")
_ROOM: Final = socket.CMSG_SPACE(TIMESPEC.size)
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ESTABLISHED, _CLOSE_WAIT = 1, 8  # enum of net/tcp_states.h, as in tcpi_state
_INFO: Final = struct.Struct("=B67xI28xI")
"""Of struct tcp_info of linux/tcp.h: tcpi_state, tcpi_rtt (microseconds), tcpi_total_retrans."""
_NONBLOCK: Final = getattr(socket, "SOCK_NONBLOCK", 0)
_GREED: Final = 16
_TOGETHER: Final = 50_000  # nanoseconds within which two clocks are read at the same moment
_STEP: Final = 1_000_000  # nanoseconds by which real and steady time may part before the real one counts as set


@cache
def pin_stamps() -> int:
    """The kernel stamps packets only while some socket asks for it, and starts late: keep one descriptor that always does."""
    if not STAMPS:
        return -1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pin:
        pin.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
        return pin.detach()


def _clocks() -> tuple[int, int]:
    """The steady clock and the real one at the same moment, nanoseconds; read again when we were interrupted in between."""
    for _ in range(5):
        steady, real = time.monotonic_ns(), time.time_ns()
        if time.monotonic_ns() - steady < _TOGETHER:
            break
    return steady, real


class Expired(Exception):
    """The deadline passed before what was waited for arrived."""


class Link:
    """A connection to ``address``, with a ``deadline`` for everything that arrives.

    Attributes:
        address: IP address.
        where: ``address:port`` for messages; ``beyond`` takes its place where the way does not end there.
        dialled: mark before the first packet.
        connect: seconds the network took to open it; valid once open.
        clock: ``loop`` as soon as one arrival could not be stamped by the kernel.
        received: bytes taken from the socket.
        ended: the other side is known to send nothing more after what has arrived.
        arrived: mark of the last arrival; that of the opening, while nothing else came.
    """

    def __init__(self, address: str, port: int, deadline: float) -> None:
        """Start to connect. Raises OSError: of the machine, or of a network that refuses at once."""
        pin_stamps()
        self.address = address
        self.port = port
        self.beyond: str | None = None
        self.connect = 0.0
        self.clock: Literal["kernel", "loop"] = "kernel" if STAMPS else "loop"
        self.received = 0
        self.ended = False
        self._deadline = deadline
        self._expired = False
        self._ready = False
        self._out: memoryview | None = None
        self._broken: OSError | None = None
        self._greed = 0
        self._loop = asyncio.get_running_loop()
        self._poller = poller()
        self.waiter: asyncio.Future[None] | None = None
        self._open = False
        if ":" in address:
            host, _, zone = address.partition("%")
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | _NONBLOCK)
            place: tuple[str, int] | tuple[str, int, int, int] = (host, port, 0, socket.if_nametoindex(zone) if zone else 0)
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | _NONBLOCK)
            place = (address, port)
        try:
            if not _NONBLOCK:
                self._socket.setblocking(False)
            if STAMPS:
                self._socket.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._fd = self._socket.fileno()
            steady, real = _clocks()
            self._offset = real - steady
            self.dialled = self.arrived = steady / 1e9
            code = self._socket.connect_ex(place)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, errno.errorcode.get(code, ""))
            self._poller.add(self._fd, self._wake)
            self._open = True
        except BaseException:
            self._socket.close()
            raise
        self._step = self._poller.deadlines.add(deadline, self._expire)

    @property
    def where(self) -> str:
        """``address:port`` for messages, or what lies beyond it."""
        if self.beyond is not None:
            return self.beyond
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def _wake(self, events: int) -> None:
        if events != WRITE:
            self._ready = True
            if events & ENDED:
                self.ended = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _expire(self) -> None:
        self._expired = True
        self._wake(WRITE)

    async def wait(self, *, write: bool = False) -> None:
        """Until something may have happened. What arrived before the deadline counts, however late we come to look."""
        if self._expired:
            raise Expired
        self._greed = 0
        self.waiter = self._loop.create_future()
        self._poller.arm(self._fd, write=write)
        try:
            await self.waiter
        finally:
            self.waiter = None

    def arm(self) -> None:
        """About to wait for the connection to open."""
        self._poller.arm(self._fd, write=True)

    def opened(self) -> bool:
        """Whether the connection is open by now. Raises OSError when it failed, :class:`Expired`."""
        if _TCP_INFO is not None:  # one call says all there is to know
            info = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO.size)
            state, rtt, again = _INFO.unpack(info) if len(info) == _INFO.size else (0, 0, 0)
            if state in (_ESTABLISHED, _CLOSE_WAIT) and rtt:
                self._opened(None if again else rtt / 1e6)
                return True
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, errno.errorcode.get(code, ""))
        try:
            self._socket.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            if self._expired:
                raise Expired from None
            return False
        self._opened(None)
        return True

    def _opened(self, round_trip: float | None) -> None:
        """Note the kernel's own measure of SYN to SYN-ACK; when a SYN was lost, the wait was real and our clock has it."""
        self.connect = time.monotonic() - self.dialled
        if round_trip is None:
            self.clock = "loop"
        else:
            self.connect = min(round_trip, self.connect)
        self.arrived = self.dialled + self.connect

    def put(self, data: bytes) -> float:
        """Queue ``data`` and send what the kernel takes; the rest follows while receiving. Returns the first byte's mark."""
        self._out = memoryview(data) if self._out is None else memoryview(bytes(self._out) + data)
        mark = time.monotonic()
        self._flush()
        return mark

    def _flush(self) -> None:
        try:
            while self._out is not None:
                self._out = self._out[self._socket.send(self._out) :] or None
        except BlockingIOError:
            return
        except OSError as error:  # the other side may have answered before it hung up: read on
            self._out = None
            self._broken = error

    async def receive(self) -> tuple[bytes, float]:
        """Some bytes and the mark of their arrival; no bytes at the end of the stream.

        Raises:
            Expired: nothing came before the deadline.
            Failed: ``conn.reset`` and the like.
        """
        while True:
            if self._out is not None:
                self._flush()
            if not self._ready:
                await self.wait(write=self._out is not None)
                if not self._expired:
                    continue
            try:
                buffer = self._poller.buffer[:CHUNK]
                count, ancillary, _, _ = self._socket.recvmsg_into((buffer,), _ROOM)
            except BlockingIOError:
                self._ready = False
                if self._expired:
                    raise Expired from None
                continue
            except OSError as error:
                raise system(error, self.where) from error
            if not count:
                if self._broken is not None:
                    raise system(self._broken, self.where) from self._broken
                return b"", time.monotonic()
            mark = self.arrived = self._arrival(ancillary)
            if mark > self._deadline:
                raise Expired
            data = bytes(buffer[:count])
            self.received += count
            self._greed += 1
            if self._greed >= _GREED:  # a sender faster than us may not keep the loop
                self._greed = 0
                await asyncio.sleep(0)
            return data, mark

    def _arrival(self, ancillary: Sequence[tuple[int, int, bytes]]) -> float:
        steady, real = _clocks()
        if ancillary and abs(real - steady - self._offset) < _STEP:
            seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
            age = real - (seconds * 1_000_000_000 + nanoseconds)
            mark: float = (steady - max(age, 0)) / 1e9
            if age > -_STEP and mark >= self.dialled:
                return mark
        self.clock = "loop"
        return steady / 1e9

    def close(self) -> None:
        """Give the descriptor back, at once; twice is once."""
        if self._open:
            self._open = False
            self._poller.deadlines.drop(self._step, self._expire)
            self._poller.drop(self._fd)
            self._socket.close()


async def connect(addresses: Sequence[str], port: int, deadline: float) -> Link:
    """Open a connection to the first of ``addresses`` that answers; the next is tried after :data:`STAGGER` or a failure.

    Raises:
        Expired: the deadline passed first.
        Failed: none could be reached; the most telling of their errors.
    """
    if len(addresses) == 1:
        return await _alone(addresses[0], port, deadline)
    links: list[Link] = []
    failures: list[Failed] = []
    left = _alternate(addresses)
    winner: Link | None = None
    try:
        while left or links:
            until = None
            if left:
                address = left.pop(0)
                until = time.monotonic() + STAGGER if left else None
                try:
                    links.append(Link(address, port, deadline))
                except OSError as error:
                    failures.append(system(error, f"{address} port {port}"))
                    continue
            known = len(failures)
            while links and (until is None or time.monotonic() < until):
                for link in tuple(links):
                    try:
                        if link.opened():
                            winner = link
                            return link
                    except OSError as error:
                        failures.append(system(error, link.where))
                        links.remove(link)
                        link.close()
                if left and len(failures) > known:
                    break
                if links:
                    await _any(links, until)
    finally:
        for link in links:
            if link is not winner:
                link.close()
    raise max(failures, key=_telling, default=failed("conn.unreachable", "there is no address to connect to"))


async def _alone(address: str, port: int, deadline: float) -> Link:
    """As :func:`connect`, with nothing to choose from."""
    try:
        link = Link(address, port, deadline)
    except OSError as error:
        raise system(error, f"{address} port {port}") from error
    try:
        while not link.opened():
            await link.wait(write=True)
    except OSError as error:
        link.close()
        raise system(error, link.where) from error
    except BaseException:
        link.close()
        raise
    return link


async def _any(links: Sequence[Link], until: float | None) -> None:
    """Wait until something may have happened to one of ``links``, or ``until``."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = None if until is None else loop.call_later(max(0.0, until - time.monotonic()), _settle, waiter)
    for link in links:
        link.waiter = waiter
        link.arm()
    try:
        await waiter
    finally:
        for link in links:
            link.waiter = None
        if timer is not None:
            timer.cancel()


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _alternate(addresses: Sequence[str]) -> list[str]:
    """Families in turn, beginning with the first one's (RFC 8305, section 4)."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    other = [address for address in addresses if (":" in address) != (":" in addresses[0])]
    mixed: list[str] = []
    for index in range(max(len(first), len(other))):
        mixed += first[index : index + 1] + other[index : index + 1]
    return mixed


def _telling(failure: Failed) -> int:
    """A refusal says more than silence, silence more than a network without a way, and that more than trouble of ours."""
    order = ("probe", "unreachable", "timeout", "conn")
    family, _, name = failure.fault.kind.partition(".")
    return order.index(name if name in order else family)
