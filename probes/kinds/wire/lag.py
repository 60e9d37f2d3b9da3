"""How late the event loop was while a run was under way: our own share of any delay, published with every run."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

_TICK: Final = 0.02
_NOTED: Final = 0.002


class Reading:
    """``seconds``: the worst lateness while it was watched; set when the watch ends."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class _Meter:
    """Ticks while somebody watches. A tick that comes late says by how much the loop was held up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watchers = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._late: deque[tuple[float, float]] = deque(maxlen=256)

    def enter(self) -> None:
        self._watchers += 1
        if self._timer is None:
            self._start()

    def leave(self, started: float) -> float:
        self._watchers -= 1
        now = time.monotonic()
        worst = max((seconds for at, seconds in self._late if at >= started), default=0.0)
        worst = max(worst, now - max(self._due, started))
        if not self._watchers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return worst

    def _start(self) -> None:
        self._due = time.monotonic() + _TICK
        self._timer = self._loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._due > _NOTED:
            self._late.append((now, now - self._due))
        self._start()


_meters: WeakKeyDictionary[asyncio.AbstractEventLoop, _Meter] = WeakKeyDictionary()


@contextmanager
def watch() -> Iterator[Reading]:
    """Measure how late the running loop gets within the block."""
    loop = asyncio.get_running_loop()
    meter = _meters.get(loop)
    if meter is None:
        meter = _meters[loop] = _Meter(loop)
    reading, started = Reading(), time.monotonic()
    meter.enter()
    try:
        yield reading
    finally:
        reading.seconds = max(0.0, meter.leave(started))
