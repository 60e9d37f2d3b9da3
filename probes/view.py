"""What people look at: the fleet, a check, incidents, events; read from the records, never kept beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from probes.core import mute
from probes.core.check import Check
from probes.core.confirm import Window
from probes.core.evaluate import Setting
from probes.core.events import Status
from probes.core.incident import Incident
from probes.core.mute import Silence
from probes.core.outbox import Owed
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.state import CheckState, Slot, key
from probes.core.units import instant
from probes.kinds import KINDS
from probes.ports import World

SPARK: Final = 60
"""Runs in a sparkline."""
WEEK: Final = 7 * 86400.0
LONGEST: Final = 90 * 86400.0
"""Seconds for which incidents are kept: one that is resolved now may have begun that long ago."""


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident. ``status``: ``open`` or ``resolved``; ``because`` is what was wrong.

    ``alerts`` in order of time: ``channel, event, reason, at, outcome, detail``; outcome is ``delivered``, ``retry``,
    ``permanent``, ``parked``, ``suppressed`` or ``owed``.
    """

    id: str
    check: str
    name: str
    group: str | None
    owner: str | None
    severity: str
    status: str
    opened_at: float
    resolved_at: float | None
    acknowledged_by: str | None
    because: str
    locations: tuple[str, ...]
    runbook: str | None
    alerts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class LocationView:
    """A check in one location: ``last`` is the document of its newest result."""

    location: str
    status: Status
    since: float
    last: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check now. Times are epoch seconds.

    ``availability`` (percent) and ``latency_ms`` (95th percentile, to 5 %) are over the last 24 hours, to the hour. ``spark`` and
    ``outcomes`` are the newest runs of all locations, oldest first (None where a run gave no latency). ``budget``: percent left.
    """

    check: Check
    target: str
    status: Status
    since: float | None
    because: str
    locations: tuple[LocationView, ...]
    availability: float | None
    latency_ms: float | None
    spark: tuple[float | None, ...]
    outcomes: tuple[str, ...]
    incident: IncidentView | None
    muted: str | None
    budget: float | None


async def fleet(plan: Plan, world: World) -> list[CheckView]:
    """Every check of the plan, in its order."""
    return await _views(plan, world, list(plan.checks.values()), await _slots(plan, world))


async def check(plan: Plan, world: World, name: str) -> CheckView:
    """One check. Raises KeyError."""
    own = key(slot_of(name, plan.of), plan.of)
    slots = {own: Slot.parse((await world.store.read(own))[0])}
    return (await _views(plan, world, [plan.checks[name]], slots))[0]


async def history(world: World, name: str, since: float, limit: int | None = None) -> list[dict[str, Any]]:
    """Result documents of a check since a time, oldest first; with ``limit`` the newest that many."""
    return await world.store.since(f"runs/{name}", since, limit)


async def events(world: World, since: float, limit: int | None = None) -> list[dict[str, Any]]:
    """What was published since a time, as event documents, oldest first; single runs are in the history."""
    return await world.store.since("events", since, limit)


async def incidents(plan: Plan, world: World, since: float = 0.0, open_only: bool = False) -> list[IncidentView]:
    """Incidents that were open at some time since then, the newest first."""
    slots = await _slots(plan, world)
    found: dict[str, IncidentView] = {}
    if not open_only:
        for event in await world.store.since("incidents", max(0.0, since - LONGEST)):
            detail = event["detail"]
            found[detail["incident"]] = _from_event(event["detail-type"], detail, found.get(detail["incident"]))
    for name, state in ((name, state) for slot in slots.values() for name in slot.checks if (state := slot.check(name))):
        for incident in state.incidents:
            if incident.open or incident.id not in found:
                found[incident.id] = _from_state(plan.checks.get(name), incident)
    kept = [
        one
        for one in found.values()
        if (one.resolved_at is None or one.resolved_at >= since) and not (open_only and one.resolved_at)
    ]
    owed: dict[str, list[Owed]] = {}
    for slot in slots.values():
        for waiting in slot.owed:
            owed.setdefault(waiting.incident, []).append(waiting)
    told = await asyncio.gather(*(_alerts(world, one.id, owed.get(one.id, ())) for one in kept))
    whole = [replace(one, alerts=alerts) for one, alerts in zip(kept, told, strict=True)]
    return sorted(whole, key=lambda one: (-one.opened_at, one.id))


async def _views(plan: Plan, world: World, checks: list[Check], slots: Mapping[str, Slot]) -> list[CheckView]:
    known = [Silence.parse(one) for one in (await world.store.read("silences"))[0] or ()]
    return list(await asyncio.gather(*(_view(plan, world, slots, known, one) for one in checks)))


async def _view(plan: Plan, world: World, slots: Mapping[str, Slot], silences: Iterable[Silence], check: Check) -> CheckView:
    now = world.now()
    slot = slots.get(key(slot_of(check.id, plan.of), plan.of), Slot())
    state = slot.check(check.id) or CheckState(created=now, since=now)
    runs = await world.store.since(f"runs/{check.id}", now - max(WEEK, SPARK * check.every), SPARK)
    last = {run["location"]: run for run in runs}
    places = dict.fromkeys((*Setting(plan, tuple(world.locations)).expected(check), *(() if check.passive else check.locations)))
    silent = Window(since=state.created)
    locations = tuple(
        LocationView(name, window.status, window.since, last.get(name))
        for name in places
        if (window := state.locations.get(name, silent)) is not silent or name in world.locations
    )
    incident = state.incident
    left = (await world.store.read(f"slo/{check.id}"))[0] if check.slo else None
    about = {**mute.facts(check), "severity": incident.severity if incident else "critical", "event": "opened"}
    return CheckView(
        check=check,
        target=KINDS[check.kind].describe(check.target),
        status="paused" if check.paused else state.status,
        since=None if check.paused or (state.status == "unknown" and not incident) else state.since,
        because="paused in the configuration" if check.paused else state.because,
        locations=() if check.paused else locations,
        availability=state.summary.availability(now),
        latency_ms=state.summary.latency(now),
        spark=tuple(run["latency_ms"] for run in runs),
        outcomes=tuple(run["outcome"] for run in runs),
        incident=None
        if incident is None
        else replace(_from_state(check, incident), alerts=await _alerts(world, incident.id, slot.owed)),
        muted=mute.maintained(plan.maintenance, check, now) or mute.silenced(silences, about, now),
        budget=None if check.slo is None else left["left"] if left else 100.0,
    )


async def _slots(plan: Plan, world: World) -> dict[str, Slot]:
    found = await world.store.find("state/")
    return {name: Slot.parse(document) for name, (document, _) in found.items() if name.endswith(f"of{plan.of}")}


async def _alerts(world: World, incident: str, owed: Iterable[Owed]) -> tuple[dict[str, Any], ...]:
    told = await world.store.since(f"alerts/{incident}", 0.0)
    waiting = [
        {
            "channel": one.alert.channel,
            "event": one.alert.event,
            "reason": one.alert.reason,
            "at": one.alert.at,
            "outcome": "owed",
            "detail": one.error or "",
        }
        for one in owed
        if one.incident == incident
    ]
    return tuple(sorted((*told, *waiting), key=lambda alert: float(alert["at"])))


def _from_state(check: Check | None, incident: Incident) -> IncidentView:
    return IncidentView(
        id=incident.id,
        check=incident.check,
        name=check.name if check else incident.check,
        group=check.group if check else None,
        owner=check.owner if check else None,
        severity=incident.severity,
        status="open" if incident.open else "resolved",
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        acknowledged_by=incident.acknowledged_by,
        because=incident.because,
        locations=incident.locations,
        runbook=check.runbook if check else None,
        alerts=(),
    )


def _from_event(kind: str, detail: Mapping[str, Any], before: IncidentView | None) -> IncidentView:
    """The incident after one more of its events; the opening and what made it worse say what was wrong."""
    resolved = detail["resolved_at"]
    return IncidentView(
        id=detail["incident"],
        check=detail["check"],
        name=detail["name"],
        group=detail["group"],
        owner=detail["owner"],
        severity=detail["severity"],
        status="resolved" if resolved else "open",
        opened_at=instant(detail["opened_at"]),
        resolved_at=instant(resolved) if resolved else None,
        acknowledged_by=detail["by"] if kind == "Incident Acknowledged" else before.acknowledged_by if before else None,
        because=before.because if before and kind in ("Incident Resolved", "Incident Acknowledged") else detail["because"],
        locations=tuple(detail["locations"]),
        runbook=detail["runbook"],
        alerts=(),
    )
