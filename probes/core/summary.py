"""The last day of a check in a few numbers, of constant size: how available it was and how quick."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

HOUR: Final = 3600
SHIFT: Final = 6 * HOUR
DAY: Final = 24 * HOUR
WIDTH: Final = 1.1
"""Latencies are counted in bins, each a tenth wider than the last: a percentile is right to 5 % (as in DDSketch, VLDB 2019)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """``hours``: start to (good, bad) counted runs; ``shifts``: start of six hours to latencies counted by bin."""

    hours: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    shifts: Mapping[int, Mapping[int, int]] = field(default_factory=dict)

    def add(self, at: float, good: bool, latency_ms: float | None) -> Summary:
        """The summary with one counted run more (``at`` in epoch seconds); what is older than a day before it falls out."""
        hour, shift = int(at // HOUR * HOUR), int(at // SHIFT * SHIFT)
        was_good, was_bad = self.hours.get(hour, (0, 0))
        hours = {**self.hours, hour: (was_good + good, was_bad + (not good))}
        shifts = dict(self.shifts)
        if latency_ms is not None:
            number = math.ceil(math.log(max(latency_ms, 0.001)) / math.log(WIDTH))
            bins = shifts.get(shift, {})
            shifts[shift] = {**bins, number: bins.get(number, 0) + 1}
        newest = max(hours)
        return Summary(
            {start: counts for start, counts in hours.items() if start > newest - DAY - HOUR},
            {start: bins for start, bins in shifts.items() if start > newest - DAY - SHIFT},
        )

    def availability(self, now: float) -> float | None:
        """Percent good of the runs counted in the last 24 h (to the hour); None without any."""
        counted = [counts for start, counts in self.hours.items() if start > now - DAY - HOUR]
        good, bad = sum(good for good, _ in counted), sum(bad for _, bad in counted)
        return 100 * good / (good + bad) if good + bad else None

    def latency(self, now: float, part: float = 0.95) -> float | None:
        """The latency in milliseconds that ``part`` of the runs of the last day (to six hours) did not exceed; None without any."""
        bins: Counter[int] = Counter()
        for start, counts in self.shifts.items():
            if start > now - DAY - SHIFT:
                bins.update(counts)
        rank, seen = part * sum(bins.values()), 0
        for number in sorted(bins):
            seen += bins[number]
            if seen >= rank:
                return float(f"{2 * WIDTH**number / (WIDTH + 1):.3g}")
        return None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "hours": [[start, *counts] for start, counts in self.hours.items()],
            "shifts": [[start, sorted(bins.items())] for start, bins in self.shifts.items()],
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Summary:
        """The summary whose :meth:`document` this is."""
        return cls(
            {start: (good, bad) for start, good, bad in document["hours"]},
            {start: dict(bins) for start, bins in document["shifts"]},
        )
