"""One edge-triggered epoll for all connections of an event loop, nested in it as a single readable descriptor.

A connection costs one ``epoll_ctl`` instead of several, and takes its events in one go. Where there is no epoll (macOS), the
loop's own readers serve. Nothing stays open when no connection is in flight.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

Wake = Callable[[int], None]
"""Told what may be possible now, in the bits of poll(2): :data:`READ`, :data:`WRITE`, others for an end or an error."""
READ: Final = 0x001
WRITE: Final = 0x004
ENDED: Final = 0x2018
"""The other side hung up (POLLHUP, POLLRDHUP), or there is an error (POLLERR)."""
_BATCH: Final = 512
_BUFFER: Final = 65536
_TICK: Final = 0.01
EDGES: Final = hasattr(select, "epoll")


class Deadlines:
    """Deadlines of many connections, in steps of 10 ms: one timer of the loop for each step, and not one for each connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: dict[int, tuple[asyncio.TimerHandle, set[Callable[[], None]]]] = {}

    def add(self, deadline: float, expire: Callable[[], None]) -> int:
        """Call ``expire`` up to 10 ms after ``deadline`` (:func:`time.monotonic` seconds). Returns what :meth:`drop` wants."""
        step = math.ceil(deadline / _TICK)
        known = self._steps.get(step)
        if known is None:
            left = max(0.0, step * _TICK - time.monotonic())
            known = self._steps[step] = self._loop.call_later(left, self._expire, step), set()
        known[1].add(expire)
        return step

    def drop(self, step: int, expire: Callable[[], None]) -> None:
        """Forget it, if it is still to come."""
        known = self._steps.get(step)
        if known is not None:
            known[1].discard(expire)
            if not known[1]:
                known[0].cancel()
                del self._steps[step]

    def _expire(self, step: int) -> None:
        for expire in self._steps.pop(step)[1]:
            expire()


class Poller(ABC):
    """Tells connections that something may have happened; they try again and see.

    Attributes:
        deadlines: of all connections of the loop.
        buffer: where they read to, one after the other; a buffer for each read would be the most of what reading costs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wakes: dict[int, Wake] = {}
        self.deadlines = Deadlines(loop)
        self.buffer = memoryview(bytearray(_BUFFER))

    @abstractmethod
    def add(self, fd: int, wake: Wake) -> None:
        """Call ``wake`` whenever the socket may have become readable or writable."""

    @abstractmethod
    def arm(self, fd: int, *, write: bool) -> None:
        """The owner is about to wait, after it was told that the operation would block."""

    @abstractmethod
    def drop(self, fd: int) -> None:
        """Forget the socket; to be called before it is closed."""


class _Edges(Poller):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._epoll: select.epoll | None = None

    def add(self, fd: int, wake: Wake) -> None:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop.add_reader(self._epoll.fileno(), self._pump)
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        self._wakes[fd] = wake

    def arm(self, fd: int, *, write: bool) -> None:
        """Edges need no arming: the next one comes after the operation that would have blocked."""

    def drop(self, fd: int) -> None:
        if self._wakes.pop(fd, None) is None or self._epoll is None:
            return
        if self._wakes:
            return  # closing the socket takes it out of the epoll
        if not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._epoll = None

    def _pump(self) -> None:
        if self._epoll is not None:
            for fd, events in self._epoll.poll(0, _BATCH):
                wake = self._wakes.get(fd)
                if wake is not None:
                    wake(events)


class _Levels(Poller):
    def add(self, fd: int, wake: Wake) -> None:
        self._wakes[fd] = wake

    def arm(self, fd: int, *, write: bool) -> None:
        self._loop.add_reader(fd, self._event, fd)
        if write:
            self._loop.add_writer(fd, self._event, fd)

    def drop(self, fd: int) -> None:
        if self._wakes.pop(fd, None) is not None and not self._loop.is_closed():
            self._disarm(fd)

    def _event(self, fd: int) -> None:
        self._disarm(fd)
        self._wakes[fd](READ | WRITE)

    def _disarm(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, Poller] = WeakKeyDictionary()


def poller() -> Poller:
    """The poller of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _pollers.get(loop)
    if found is None:
        found = _pollers[loop] = _Edges(loop) if EDGES else _Levels(loop)
    return found
