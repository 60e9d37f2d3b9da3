"""The states of a check by location over time, from the changes on the bus and the runs in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from probes.core.check import Check
from probes.core.units import instant

MISSING: Final = 3
"""So many periods without a run, and nothing is known."""


@dataclass(frozen=True, slots=True)
class State:
    """One stretch of time in one status; ``none`` is the time before the first run."""

    status: str
    start: float
    end: float
    because: str


def states(
    check: Check,
    location: str,
    now_is: str,
    *,
    events: Iterable[Mapping[str, Any]],
    runs: Sequence[float],
    start: float,
    end: float,
) -> list[State]:
    """What was known of the check in that location from ``start`` to ``end``, without holes.

    ``now_is``: its status at ``end``. ``events``: documents of the bus in any order. ``runs``: times of the location's
    runs, in order. A stretch without runs is drawn as unknown whatever the status was: nobody looked.
    """
    changes = sorted(_changes(check.id, location, events, start), key=lambda change: change[0])
    found: list[State] = []
    status, since, because = (changes[0][1]["before"] if changes else now_is), start, ""
    for at, detail in changes:
        found.append(State(status, since, min(at, end), because))
        status, since, because = detail["after"], at, detail["because"]
    found.append(State(status, since, end, because))
    return [state for state in _covered(found, _holes(check, runs, start, end)) if state.end > state.start]


def _changes(
    check: str, location: str, events: Iterable[Mapping[str, Any]], start: float
) -> Iterator[tuple[float, Mapping[str, Any]]]:
    for event in events:
        detail = event["detail"]
        if event["detail-type"] == "Location Status Changed" and (detail["check"], detail["location"]) == (check, location):
            at = instant(detail["at"])
            if at >= start:
                yield at, detail


def _holes(check: Check, runs: Sequence[float], start: float, end: float) -> list[State]:
    if check.paused or check.passive:
        return []
    if not runs:
        return [State("none", start, end, "no run yet")]
    longest = MISSING * check.every
    found = [State("none", start, runs[0], "no run yet")] if runs[0] - start > longest else []
    for before, after in zip(runs, (*runs[1:], end), strict=True):
        if after - before > longest:
            found.append(State("unknown", before + check.every, after, "no runs: nobody looked"))
    return found


def _covered(found: Sequence[State], holes: Sequence[State]) -> list[State]:
    """The states with the holes laid over them."""
    pieces: list[State] = []
    for state in found:
        at = state.start
        for hole in holes:
            if hole.start < state.end and hole.end > at:
                pieces.append(State(state.status, at, max(at, hole.start), state.because))
                at = min(state.end, hole.end)
                pieces.append(State(hole.status, max(hole.start, state.start), at, hole.because))
        pieces.append(State(state.status, at, state.end, state.because))
    return pieces
