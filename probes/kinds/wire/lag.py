"""How late the event loop was while a run was under way: our own share of any delay, published with every run."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

_TICK: Final = 0.02
_NOTED: Final = 0.002


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
        worst = now - max(self._due, started)
        for at, seconds in reversed(self._late):
            if at < started:
                break
            worst = max(worst, seconds)
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


class watch:  # noqa: N801  # used like a function: `with lag.watch() as reading`
    """Measure how late the running loop gets within the block: ``seconds``, set when it ends."""

    __slots__ = ("_meter", "_started", "seconds")

    def __enter__(self) -> watch:
        loop = asyncio.get_running_loop()
        meter = _meters.get(loop)
        if meter is None:
            meter = _meters[loop] = _Meter(loop)
        self.seconds, self._started, self._meter = 0.0, time.monotonic(), meter
        meter.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = max(0.0, self._meter.leave(self._started))
