"""The laptop's Bus: subscribers in this process, and a log of what happened."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from probes.core.events import Event
from probes.core.units import instant
from probes.ports import Entry, Store

log = logging.getLogger(__name__)

KEEP: Final = 30 * 86400.0
"""Seconds an event stays in the log ``events``."""
RUNS: Final = frozenset({"Runs Reported", "Run Completed", "Run Failed"})
"""Told to subscribers but not kept: the history of each check has every run already."""

Subscriber = Callable[[Event], Awaitable[None] | None]


class LocalBus:
    """Keeps events in the store's log ``events``, then hands each to every subscriber; one that fails is logged, no more."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` (a function or coroutine function) with every event from now on; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def publish(self, events: Iterable[Event]) -> None:
        """See :class:`probes.ports.Bus`. Raises what the store raises."""
        events = list(events)
        await self._store.append(
            Entry("events", instant(event.at), f"{event.detail_type}/{event.id}", event.document(), KEEP)
            for event in events
            if event.detail_type not in RUNS
        )
        for event in events:
            for subscriber in list(self._subscribers):
                try:
                    answer = subscriber(event)
                    if answer is not None:
                        await answer
                except Exception:
                    log.exception("bus: a subscriber failed on %s", event.detail_type)
