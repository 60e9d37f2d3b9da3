"""What the page of a check looks at: its runs, changes and incidents in a range of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from probes import view
from probes.core.check import Check
from probes.core.metrics import Sample
from probes.core.plan import Plan
from probes.core.units import duration, instant
from probes.local.web import series
from probes.local.web.states import State, states
from probes.ports import World

RANGES: Final = ("15m", "1h", "6h", "24h", "7d")
"""No longer than runs that passed are kept: beyond, only the failures are left, and every number would be wrong."""
USUAL: Final = "6h"
MOST_RUNS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Look:
    """A check's past from ``start`` to ``end`` (epoch seconds); ``cut`` when there were more runs than are read."""

    range: str
    start: float
    end: float
    runs: list[dict[str, Any]]
    samples: list[Sample]
    incidents: list[view.IncidentView]
    events: list[dict[str, Any]]
    cut: bool

    def states(self, check: Check, place: view.LocationView) -> list[State]:
        """The states in one location."""
        runs = [instant(run["at"]) for run in self.runs if run["location"] == place.location]
        return states(check, place.location, place.status, events=self.events, runs=runs, start=self.start, end=self.end)

    def incident_states(self) -> list[State]:
        """The incidents as states, to be drawn as a row of their own."""
        worst = {"critical": "down", "warning": "degraded"}
        return [
            State(
                worst.get(i.severity, "unknown"), max(i.opened_at, self.start), min(i.resolved_at or self.end, self.end), i.because
            )
            for i in sorted(self.incidents, key=lambda incident: incident.opened_at)
        ]


async def look(plan: Plan, world: World, check: str, wanted: str | None) -> Look:
    """Read the past of a check over the range ``wanted``; without one, over the shortest that holds all of the usual one."""
    chosen = wanted if wanted in RANGES else USUAL
    end = world.now()
    runs = await view.history(world, check, end - duration(chosen), MOST_RUNS)
    if wanted not in RANGES:
        past = end - instant(runs[0]["at"]) if runs else 0.0
        chosen = next((one for one in RANGES if past <= duration(one)), USUAL)
    start = end - duration(chosen)
    found = [i for i in await view.incidents(plan, world, since=start) if i.check == check and _touches(i, start)]
    events = await view.events(world, start)
    return Look(chosen, start, end, runs, series.measured(plan.checks[check], runs), found, events, len(runs) >= MOST_RUNS)


def _touches(incident: view.IncidentView, start: float) -> bool:
    return incident.resolved_at is None or incident.resolved_at >= start


def bands(look: Look) -> list[Mapping[str, Any]]:
    """The incidents for a chart's background; times are epoch milliseconds."""
    return [
        {"id": i.id, "severity": i.severity, "start": round(i.opened_at * 1000), "end": round((i.resolved_at or look.end) * 1000)}
        for i in look.incidents
    ]
