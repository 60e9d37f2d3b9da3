"""The laptop's Bus: subscribers in this process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from probes.core.events import Event

log = logging.getLogger(__name__)

Subscriber = Callable[[Event], Awaitable[None] | None]


class LocalBus:
    """Hands each event to every subscriber; one that fails is logged, no more. What people look back at, the line keeps itself."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` (a function or coroutine function) with every event from now on; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def publish(self, events: Iterable[Event]) -> None:
        """See :class:`probes.ports.Bus`; always accepted."""
        for event in events:
            for subscriber in list(self._subscribers):
                try:
                    answer = subscriber(event)
                    if answer is not None:
                        await answer
                except Exception:
                    log.exception("bus: a subscriber failed on %s", event.detail_type)
