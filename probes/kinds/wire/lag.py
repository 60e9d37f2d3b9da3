"""How late the event loop was while a run was under way: our own share of any delay, published with every run."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

_TICK: Final = 0.02
_NOTED: Final = 0.002
HELD: Final = 0.1
"""Seconds by which the loop may be late before nothing more is begun."""
PATIENCE: Final = 0.5
"""Seconds that a run waits for the loop to catch up; then it begins all the same, within the second that a verdict may be late."""


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

    def late(self) -> float:
        """Seconds by which the loop is late now; not above 0 when it is in time, or nobody watches."""
        return 0.0 if self._timer is None else time.monotonic() - self._due

    def _start(self) -> None:
        self._due = time.monotonic() + _TICK
        self._timer = self._loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._due > _NOTED:
            self._late.append((now, now - self._due))
        self._start()


_meters: WeakKeyDictionary[asyncio.AbstractEventLoop, _Meter] = WeakKeyDictionary()


def _meter() -> _Meter:
    loop = asyncio.get_running_loop()
    meter = _meters.get(loop)
    if meter is None:
        meter = _meters[loop] = _Meter(loop)
    return meter


async def calm() -> None:
    """Let what is under way go on before one more run begins, while the loop is late: so as many are in flight as it can bear."""
    meter = _meter()
    if meter.late() > HELD:
        until = time.monotonic() + PATIENCE
        while meter.late() > HELD and time.monotonic() < until:  # noqa: ASYNC110  # what is awaited is that time passes in time
            await asyncio.sleep(_TICK)


class watch:  # noqa: N801  # used like a function: `with lag.watch() as reading`
    """Measure how late the running loop gets within the block: ``seconds``, set when it ends."""

    __slots__ = ("_meter", "_started", "seconds")

    def __enter__(self) -> watch:
        self.seconds, self._started, self._meter = 0.0, time.monotonic(), _meter()
        self._meter.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = max(0.0, self._meter.leave(self._started))
