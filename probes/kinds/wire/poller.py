"""One edge-triggered epoll for all connections of an event loop, nested in it as a single readable descriptor.

A connection costs one ``epoll_ctl`` instead of several, and takes its events in one go. Where there is no epoll (macOS), the
loop's own readers serve. Nothing stays open when no connection is in flight.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

Wake = Callable[[], None]
_BATCH: Final = 512
EDGES: Final = hasattr(select, "epoll")


class Poller(Protocol):
    """Tells connections that something may have happened; they try again and see."""

    def add(self, fd: int, wake: Wake) -> None:
        """Call ``wake`` whenever the socket may have become readable or writable."""
        ...

    def arm(self, fd: int, *, write: bool) -> None:
        """The owner is about to wait, after it was told that the operation would block."""
        ...

    def drop(self, fd: int) -> None:
        """Forget the socket; to be called before it is closed."""
        ...


class _Edges:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wakes: dict[int, Wake] = {}
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
            self._epoll.unregister(fd)
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._epoll = None

    def _pump(self) -> None:
        if self._epoll is not None:
            for fd, _ in self._epoll.poll(0, _BATCH):
                wake = self._wakes.get(fd)
                if wake is not None:
                    wake()


class _Levels:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wakes: dict[int, Wake] = {}

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
        self._wakes[fd]()

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
