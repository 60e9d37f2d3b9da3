"""The laptop's Metrics: the latest value of everything, and a minute-by-minute log of how the monitor itself does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from probes.core.metrics import Sample
from probes.ports import Entry, Store

OWN: Final[Mapping[str, Callable[[float, float], float]]] = {
    "RunsDue": float.__add__,
    "RunsDone": float.__add__,
    "RunsErrored": float.__add__,
    "AlertsFailed": float.__add__,
    "Lateness": max,
}
"""What is logged, and how the samples of one minute become one value. Metrics of checks need no log: their runs are kept."""
KEEP: Final = 30 * 86400.0
"""Seconds a minute of the log is kept."""
MINUTE: Final = 60.0

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its dimensions."""


class LocalMetrics:
    """The Metrics port in memory.

    Attributes:
        latest: the last sample of each series.
    """

    def __init__(self) -> None:
        self.latest: dict[Series, Sample] = {}
        self._minutes: dict[tuple[Series, float], float] = {}

    def record(self, samples: Iterable[Sample]) -> None:
        """See :class:`probes.ports.Metrics`."""
        for sample in samples:
            series = (sample.name, tuple(sample.dimensions.items()))
            self.latest[series] = sample
            if join := OWN.get(sample.name):
                key = series, sample.at // MINUTE * MINUTE
                value = float(sample.value)
                self._minutes[key] = join(self._minutes[key], value) if key in self._minutes else value

    async def flush(self, store: Store, now: float) -> None:
        """Append the minutes that ended a minute ago (all, when ``now`` is infinite) to the logs ``metrics/<name>``."""
        over = [key for key in self._minutes if key[1] + 2 * MINUTE <= now]
        entries = []
        for key in over:
            (name, dimensions), at = key
            entries.append(_entry(name, dict(dimensions), at, self._minutes.pop(key)))
        await store.append(entries)


def _entry(name: str, dimensions: Mapping[str, str], at: float, value: float) -> Entry:
    record = {"at": at, "value": value, "dimensions": dict(dimensions)}
    return Entry(f"metrics/{name}", at, "/".join(dimensions.values()), record, KEEP)
