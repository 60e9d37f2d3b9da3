"""What changed, told to whoever looks at the pages now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from probes.core.events import Event


class Changes:
    """Names of what changes (``runs/quote``, ``incidents``, ``plan``), to any number of listeners.

    A name that a slow listener has not taken yet is not told it twice, so nobody's backlog grows beyond the number of names.
    """

    def __init__(self) -> None:
        self._backlogs: set[_Backlog] = set()
        self._over = False

    def tell(self, *names: str) -> None:
        """These changed."""
        for backlog in self._backlogs:
            backlog.names.update(dict.fromkeys(names))
            backlog.woken.set()

    def hear(self, event: Event) -> None:
        """A subscriber of the bus."""
        match event.detail_type.split()[0]:
            case "Runs":
                self.tell(*(f"runs/{row[0]}" for row in event.detail["runs"]))
            case "Check" | "Location" | "Heartbeat":
                self.tell(f"runs/{event.detail['check']}")
            case "Incident" | "Alert" | "Silence" | "Error":
                self.tell("incidents")
            case "Plan":
                self.tell("plan")

    def end(self) -> None:
        """Nothing will change any more: every listener's iteration ends."""
        self._over = True
        for backlog in self._backlogs:
            backlog.woken.set()

    async def listen(self) -> AsyncIterator[str]:
        """Names of what changes from now on, until the end."""
        backlog = _Backlog()
        self._backlogs.add(backlog)
        try:
            while backlog.names or not self._over:
                await backlog.woken.wait()
                backlog.woken.clear()
                names, backlog.names = backlog.names, {}
                for name in names:
                    yield name
        finally:
            self._backlogs.discard(backlog)


class _Backlog:
    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.woken = asyncio.Event()
