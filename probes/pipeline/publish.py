"""Events on their way out: kept where people look back, then put on the bus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from probes.core.events import Event
from probes.core.units import instant
from probes.ports import Entry, World

KEEP: Final = 90 * 86400.0
"""Seconds for which events stay in the logs ``events``, ``incidents`` and ``alerts/<incident>``."""
UNKEPT: Final = ("Runs Reported", "Run Failed", "Run Completed", "Heartbeat Received")
"""Detail-types that the history of the runs holds already."""


async def publish(world: World, events: Iterable[Event]) -> None:
    """Keep and publish; twice is once. Raises what store and bus raise."""
    told = list(events)
    entries = [entry for event in told if event.detail_type not in UNKEPT for entry in _entries(event)]
    if entries:
        await world.store.append(entries)
    if told:
        await world.bus.publish(told)


def _entries(event: Event) -> Iterator[Entry]:
    at, document = instant(event.at), event.document()
    yield Entry("events", at, f"{event.detail_type}/{event.id}", document, KEEP)
    if event.detail_type.startswith("Incident "):
        yield Entry("incidents", at, f"{event.detail_type}/{event.id}", document, KEEP)
    if event.detail_type == "Alert Suppressed":
        detail = event.detail
        record = {"channel": detail["channel"], "event": detail["event"], "reason": detail["reason"], "at": at}
        yield Entry(
            f"alerts/{detail['incident']}",
            at,
            event.id,
            {**record, "outcome": "suppressed", "detail": detail["muted_by"] or ""},
            KEEP,
        )
