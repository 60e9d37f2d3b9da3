"""From the runs in the store to the numbers and lines of a panel: the local rendering of what CloudWatch does with metrics.

The samples are those that are emitted (:func:`probes.core.metrics.samples`), so both renderings draw the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from probes.core.check import Check
from probes.core.metrics import Sample, samples
from probes.core.units import instant
from probes.dashboards import Panel, Series
from probes.dashboards.model import Statistic

POINTS: Final = 180
"""Most points of a line: more than a screen tells apart."""
RAW: Final = 400
"""Up to so many runs each run is a point of its own, and percentiles say nothing yet."""
_STEPS: Final = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``points`` are (epoch seconds, value), in order; None breaks the line where nothing was measured."""

    name: str
    points: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A measured panel with its data. ``step``: seconds that one point covers, None when each point is one run."""

    panel: Panel
    lines: tuple[Line, ...]
    start: float
    end: float
    step: float | None

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return not any(line.points for line in self.lines)

    @property
    def tells_apart(self) -> bool:
        """Whether there are several lines of several runs each: what a chart by location is for."""
        return self.step is not None and len(self.lines) > 1

    def document(self) -> dict[str, Any]:
        """The JSON form; times are epoch milliseconds, as scripts count them."""
        return {
            "panel": self.panel.id,
            "kind": self.panel.kind,
            "title": self.panel.title,
            "unit": self.panel.unit,
            "goal": self.panel.goal,
            "start": round(self.start * 1000),
            "end": round(self.end * 1000),
            "step": self.step,
            "lines": [
                {"name": line.name, "points": [[round(at * 1000), value] for at, value in line.points]} for line in self.lines
            ],
        }


def measured(check: Check, documents: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Every sample of those runs of the check, also of the metrics that are off by default: they cost nothing here."""
    everything = replace(check, metrics={"level": "full", "by": ("check", "location")})
    return [sample for document in documents for sample in samples(everything, document)]


def draw(panel: Panel, check: Check, found: Sequence[Sample], start: float, end: float) -> Drawing:
    """The panel's lines over ``start`` to ``end``: each run while they are few, otherwise a statistic of each interval."""
    names = {series.metric for series in panel.series}
    held = [sample for sample in found if sample.name in names and start <= sample.at < end]
    raw = panel.kind == "line" and len(held) <= RAW
    if raw:
        series = (replace(panel.series[0], by="Location", label=""),)
        return Drawing(panel, _lines(series, held, check.every, 3 * check.every), start, end, None)
    wanted = max(check.every * 2, (end - start) / POINTS)
    step = next((step for step in _STEPS if step >= wanted), math.ceil(wanted / 86400) * 86400)
    return Drawing(panel, _lines(panel.series, held, step, 3 * step), start, end, step)


def number(series: Series, found: Iterable[Sample]) -> float | None:
    """The one value of a series over all its samples; None without any."""
    return statistic(series.statistic, [sample.value for sample in found if _belongs(series, sample)])


def statistic(name: Statistic, values: Sequence[float]) -> float | None:
    """That statistic of the values, which are in order of time. Percentiles are by nearest rank: a value that was seen."""
    if not values:
        return None
    if name == "average":
        return math.fsum(values) / len(values)
    if name == "sum":
        return math.fsum(values)
    if name == "maximum":
        return max(values)
    if name == "latest":
        return values[-1]
    return sorted(values)[math.ceil(int(name[1:]) / 100 * len(values)) - 1]


def marks(documents: Iterable[Mapping[str, Any]], limit: int = 300) -> list[dict[str, Any]]:
    """The newest runs that were not good, for markers on a chart."""
    found = [
        {
            "at": round(instant(document["at"]) * 1000),
            "outcome": document["outcome"],
            "because": document["because"][:200],
            "location": document["location"],
            "value": document["latency_ms"],
        }
        for document in documents
        if document["outcome"] in ("degraded", "failed", "errored")
    ]
    return found[-limit:]


def _belongs(series: Series, sample: Sample) -> bool:
    return sample.name == series.metric and all(sample.dimensions.get(name) == value for name, value in series.where.items())


def _lines(wanted: Iterable[Series], held: Sequence[Sample], step: float, gap: float) -> tuple[Line, ...]:
    found = []
    for series in wanted:
        buckets: dict[str, dict[float, list[float]]] = {}
        for sample in held:
            if _belongs(series, sample):
                name = sample.dimensions.get(series.by, "") if series.by else series.label
                buckets.setdefault(name, {}).setdefault(sample.at // step * step, []).append(sample.value)
        for name, values in buckets.items():
            points: list[tuple[float, float | None]] = []
            before: float | None = None
            for at in sorted(values):
                if before is not None and at - before > gap:
                    points.append((before + step, None))
                value = statistic(series.statistic, values[at])
                points.append((at, None if value is None else round(value, 3)))
                before = at
            found.append(Line(name, tuple(points)))
    return tuple(found)
