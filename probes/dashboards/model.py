"""Dashboard, Panel and Series: what is shown, not how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from probes.core.metrics import METRICS

Statistic = Literal["average", "sum", "maximum", "latest", "p50", "p95", "p99"]
PanelKind = Literal["matrix", "number", "line", "stack", "timeline", "incidents", "failures"]
Level = Literal["fleet", "group", "check"]

MEASURED: frozenset[PanelKind] = frozenset({"number", "line", "stack"})
"""Kinds of panels that draw series; the others draw statuses, incidents and runs of the panel's checks."""


@dataclass(frozen=True, slots=True)
class Series:
    """A statistic of one metric: one number, or one line over time.

    Attributes:
        metric: a name of :data:`probes.core.metrics.METRICS`; another raises ValueError, so no panel asks for what is not emitted.
        statistic: how the samples of one interval become one value.
        where: fixed values of the metric's dimensions; a dimension that is left out is taken together.
        by: a dimension to be taken apart: one line for each of its values.
        label: what a legend says; with ``by``, the dimension's value is said instead.
    """

    metric: str
    statistic: Statistic
    where: Mapping[str, str] = field(default_factory=dict)
    by: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"there is no metric {self.metric!r}")
        known = METRICS[self.metric].dimensions
        for dimension in (*self.where, *([self.by] if self.by else ())):
            if dimension not in known:
                raise ValueError(f"metric {self.metric} has no dimension {dimension!r}, only {', '.join(known)}")

    @property
    def unit(self) -> str:
        """The metric's unit: ``Percent``, ``Milliseconds``, ``Count`` or ``None`` (days)."""
        return METRICS[self.metric].unit


@dataclass(frozen=True, slots=True)
class Panel:
    """One thing to look at.

    Attributes:
        id: unique on its dashboard, stable, fit for a URL.
        kind: ``matrix`` (status of each check), ``number``, ``line``, ``stack`` (lines that add up), ``timeline`` (states by
            location), ``incidents`` or ``failures`` (last runs that failed, with evidence).
        title: what a person calls it.
        series: what a measured panel draws.
        checks: ids of the checks that the panel is about.
        goal: a value to be met, drawn beside the series (an objective in percent, a limit in milliseconds).
        note: one line on how to read it.
    """

    id: str
    kind: PanelKind
    title: str
    series: tuple[Series, ...] = ()
    checks: tuple[str, ...] = ()
    goal: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if bool(self.series) != (self.kind in MEASURED):
            raise ValueError(f"panel {self.id!r}: a {self.kind} {'needs' if self.kind in MEASURED else 'has no'} series")
        if len({series.unit for series in self.series}) > 1:
            raise ValueError(f"panel {self.id!r} mixes units")

    @property
    def unit(self) -> str:
        """The unit of its series; ``None`` for a panel without."""
        return self.series[0].unit if self.series else "None"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels in reading order. ``subject`` is the group's name or the check's id; empty for the fleet."""

    level: Level
    subject: str
    title: str
    panels: tuple[Panel, ...]

    def __post_init__(self) -> None:
        if len({panel.id for panel in self.panels}) != len(self.panels):
            raise ValueError(f"dashboard {self.title!r} has two panels with one id")

    def panel(self, name: str) -> Panel:
        """The panel with the id ``name``. Raises KeyError."""
        for panel in self.panels:
            if panel.id == name:
                return panel
        raise KeyError(name)
