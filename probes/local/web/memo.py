"""The fleet as it was read last, so that many open pages of a large fleet do not cost many readings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from probes import view

if TYPE_CHECKING:
    from probes.local.web import Service

SHARE: Final = 10
"""A reading is good for so many times as long as it took: reading takes at most a tenth of the time."""
LONGEST: Final = 15.0
"""Seconds a reading is good for at most."""


class Memo:
    """Reads the fleet at most once at a time. A small fleet is read for every request; one that takes a second, every ten."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._digest = ""
        self._seen: list[view.CheckView] = []

    async def fleet(self) -> list[view.CheckView]:
        """Every check of the plan, in its order."""
        async with self._lock:
            plan = self._service.plan
            began = time.monotonic()
            if began >= self._until or plan.digest != self._digest:
                self._seen = await view.fleet(plan, self._service.world)
                ended = time.monotonic()
                self._until = ended + min(LONGEST, SHARE * (ended - began)) if ended - began > 0.1 else 0.0
                self._digest = plan.digest
            return self._seen

    @property
    def again(self) -> float:
        """Seconds until the next reading; 0 when the fleet is read for every request."""
        return max(0.0, self._until - time.monotonic())

    def forget(self) -> None:
        """A person changed something and wants to see it."""
        self._until = 0.0
