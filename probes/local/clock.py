"""The service's clock: epoch seconds that never go back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PACE: Final = 0.9
"""Speed while the system's clock is behind: a step back of an hour is made good in ten, and no time is ever lived twice."""


class Clock:
    """Follows the system's clock, forward at once. Where that was set back, goes on slowly until it has been overtaken.

    Results are ordered by their scheduled time, so a clock that jumps back would make every new one look stale. ``least``: the time
    that was lived already, from an earlier process.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic, least: float = 0.0
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = max(wall(), least)
        self._mark = monotonic()

    def __call__(self) -> float:
        """Now, in epoch seconds."""
        mark = self._monotonic()
        self._last = max(self._wall(), self._last + PACE * (mark - self._mark))
        self._mark = mark
        return self._last
