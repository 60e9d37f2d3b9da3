"""Who is told what: level-triggered, so that nothing depends on having been awake when something happened.

For every incident and channel it is compared what was told with what should have been told by now. What differs is owed, unless one
of the :data:`FILTERS` holds it; then the reason is an event, once. When the reason ends the difference is still there: an incident
that outlives its maintenance window is told at the end of it, and one that ended inside is resolved where it had been told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from probes.core.alert import Alert, AlertEvent, Severity, Subject
from probes.core.check import Check
from probes.core.events import AlertSuppressed, Event, brief
from probes.core.incident import RANK, Incident, Told
from probes.core.mute import Silence, facts, matches, silenced
from probes.core.route import Route
from probes.core.units import iso

REASONS: Final[tuple[str, ...]] = (
    *("opened", "worsened", "improved", "new in group", "repeat", "escalated", "resolved"),
    *("unchanged", "maintenance", "silence", "dependency", "location offline", "flapping", "acknowledged"),
    *("waiting for group", "no route"),
)
"""Every reason an alert decision can have: those for telling, then those for silence."""
FLAPPING: Final = 3600.0
"""Seconds in which a check may tell one opening and one notice that it flaps; likewise two moves of an incident's severity."""
STEADY: Final = 300.0
"""Seconds after which an incident is no flap any more but an outage, and is told; likewise a recovery that was held as flapping."""


@dataclass(frozen=True, slots=True)
class Flap:
    """The last opening of a check that was told, and the incident whose opening was told as flapping since (``noticed``)."""

    at: float
    incident: str
    noticed: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything around an incident that decides who is told.

    ``target`` is one line naming what is probed, ``link`` the base of the pages. ``maintenance``, ``dependency`` and ``offline``
    say in words what mutes the check now. ``flaps``: by severity, the openings told lately. ``since``: when the check's
    status moved last.
    """

    service: str
    check: Check
    routes: tuple[Route, ...]
    target: str = ""
    link: str | None = None
    silences: tuple[Silence, ...] = ()
    maintenance: str | None = None
    dependency: str | None = None
    offline: str | None = None
    flaps: Mapping[Severity, Flap] = field(default_factory=dict)
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """What a channel should be told next; ``route`` is the one that says so (None where it is told because it was told before)."""

    channel: str
    event: AlertEvent
    reason: str
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident with what was told, the alerts now owed (with seconds to wait for their group), what to tell on the bus.

    ``reasons``: by channel, why it is told or not.
    """

    incident: Incident
    alerts: tuple[tuple[Alert, float], ...]
    events: tuple[Event, ...]
    reasons: Mapping[str, str]
    flaps: Mapping[Severity, Flap]


Held = tuple[str, str | None] | None
"""A reason with what mutes, or None: nothing against it."""


def _unchanged(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    if want.reason != "repeat":
        return None
    route, told = want.route, incident.told[want.channel]
    if route is None or route.repeat is None or now - told.at < route.repeat:
        return "unchanged", None
    return None


def _maintenance(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    return ("maintenance", situation.maintenance) if situation.maintenance else None


def _silence(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    by = silenced(situation.silences, _facts(situation.check, incident, want.event), now)
    return ("silence", by) if by else None


def _dependency(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    return ("dependency", situation.dependency) if situation.dependency and want.event != "resolved" else None


def _offline(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    return ("location offline", situation.offline) if situation.offline and want.event != "resolved" else None


def _flapping(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    if want.event == "opened":
        last = _flap(situation.flaps, incident, now)
        known = last is None or last.noticed is None or incident.id in (last.incident, last.noticed)
        if last is not None and not known and now - incident.opened_at < STEADY:
            return "flapping", f"told at {iso(last.at)}; again if it lasts until {iso(incident.opened_at + STEADY)}"
    elif want.event == "resolved":
        quiet = STEADY + max(incident.resolved_at or now, situation.since)
        if incident.told[want.channel].flapping and situation.flaps and now < quiet:
            return "flapping", f"resolved once it has been quiet until {iso(quiet)}"
    elif want.reason in ("worsened", "improved"):
        moves = incident.told[want.channel].moves
        if sum(now - at < FLAPPING for at in moves) >= 2:
            return "flapping", "told twice within the hour that its severity moved"
    return None


def _acknowledged(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    if incident.acknowledged_by and want.reason in ("repeat", "escalated"):
        return "acknowledged", incident.acknowledged_by
    return None


def _unrouted(want: Want, incident: Incident, situation: Situation, now: float) -> Held:
    return None if want.channel else ("no route", None)


FILTERS: Final[tuple[Callable[[Want, Incident, Situation, float], Held], ...]] = (
    _unchanged,
    _maintenance,
    _silence,
    _dependency,
    _offline,
    _flapping,
    _acknowledged,
    _unrouted,
)
"""What can hold an alert, in the order in which it is asked. The wait for a group comes after: the outbox keeps it."""


def wants(incident: Incident, situation: Situation, now: float) -> list[Want]:
    """What each channel should be told by now; at most one thing for each channel."""
    if not incident.open:
        return [Want(channel, "resolved", "resolved") for channel in incident.told]
    route = _route(incident, situation, "opened")
    again = _route(incident, situation, "reminded")
    names = route.notify if route else ()
    found = {channel: Want(channel, "opened", "opened", route) for channel in names if channel not in incident.told}
    if not names and not incident.told:
        found[""] = Want("", "opened", "opened")
    escalate = route.escalate if route else None
    if escalate and incident.told and now - min(told.first for told in incident.told.values()) >= escalate.after:
        for channel in escalate.notify:
            if channel not in incident.told or not incident.told[channel].escalated:
                found[channel] = Want(channel, "escalated", "escalated", route)
    for channel, told in incident.told.items():
        if channel in found and not incident.acknowledged_by:
            continue
        if told.severity != incident.severity:
            reason = "worsened" if RANK[incident.severity] > RANK[told.severity] else "improved"
            found[channel] = Want(channel, "reminded", reason, route)
        elif channel not in found:
            reached = again is not None and channel in (*again.notify, *(again.escalate.notify if again.escalate else ()))
            found[channel] = Want(channel, "reminded", "repeat", again if reached else None)
    return list(found.values())


def decide(incident: Incident, situation: Situation, now: float) -> Decision:
    """What is owed about this incident at ``now``, and why the rest is not."""
    alerts: list[tuple[Alert, float]] = []
    events: list[Event] = []
    reasons: dict[str, str] = {}
    flaps = dict(situation.flaps)
    told, quiet = dict(incident.told), dict(incident.quiet)
    for want in wants(incident, situation, now):
        held = next((held for test in FILTERS if (held := test(want, incident, situation, now)) is not None), None)
        if held is not None:
            reason, by = held
            reasons[want.channel] = reason
            if reason != "unchanged" and quiet.get(want.channel) != f"{want.event}: {reason}":
                quiet[want.channel] = f"{want.event}: {reason}"
                events.append(_suppressed(want, incident, situation, reason, by, now))
            continue
        quiet.pop(want.channel, None)
        reasons[want.channel] = reason = want.reason
        before, flapping = told.get(want.channel), False
        if want.event == "opened":
            last = _flap(situation.flaps, incident, now)
            if last is None or (last.incident != incident.id and now - incident.opened_at >= STEADY):
                flaps[incident.severity] = Flap(now, incident.id)
            elif last.incident != incident.id:
                flapping, reason = True, "flapping"
                reasons[want.channel] = reason
                flaps[incident.severity] = Flap(last.at, last.incident, incident.id)
        group = _group(want.route, situation) if want.route else before.group if before else None
        alert = _alert(want, incident, situation, reason, before.count + 1 if before else 1, group, now)
        wait = want.route.wait if want.route and want.event in ("opened", "escalated") else 0.0
        alerts.append((alert, wait))
        if wait:
            events.append(_suppressed(want, incident, situation, "waiting for group", f"until {iso(now + wait)}", now))
        if want.event == "resolved":
            del told[want.channel]
            continue
        if before is None:
            before = Told(incident.severity, now, now, 0, flapping=flapping, group=group)
        told[want.channel] = replace(
            before,
            severity=incident.severity,
            at=now,
            count=before.count + 1,
            moves=(*before.moves[-1:], now) if want.reason in ("worsened", "improved") else before.moves,
            escalated=before.escalated or want.event == "escalated",
        )
    return Decision(replace(incident, told=told, quiet=quiet), tuple(alerts), tuple(events), reasons, flaps)


def _facts(check: Check, incident: Incident, event: str) -> dict[str, object]:
    return {**facts(check), "severity": incident.severity, "event": event}


def _route(incident: Incident, situation: Situation, event: str) -> Route | None:
    about = _facts(situation.check, incident, event)
    return next((route for route in situation.routes if matches(route.when, about)), None)


def _flap(flaps: Mapping[Severity, Flap], incident: Incident, now: float) -> Flap | None:
    """The opening within the hour that an opening of this severity would repeat: a warning never hides a critical one."""
    last = [flap for severity, flap in flaps.items() if RANK[severity] >= RANK[incident.severity] and now - flap.at < FLAPPING]
    return max(last, key=lambda flap: flap.at, default=None)


def _group(route: Route, situation: Situation) -> str | None:
    """The key of the group's message: the service with the values the route groups by."""
    if not route.group_by:
        return None
    about = facts(situation.check)
    parts = (
        f"{name}={','.join(value) if isinstance(value := about.get(name), list) else value or 'none'}" for name in route.group_by
    )
    return f"{situation.service}/{' '.join(parts)}"


def _alert(want: Want, incident: Incident, situation: Situation, reason: str, count: int, group: str | None, now: float) -> Alert:
    check = situation.check
    subject = Subject(
        id=incident.id,
        check=check.id,
        name=check.name,
        kind=check.kind,
        target=situation.target,
        group=check.group,
        owner=check.owner,
        tags=tuple(check.tags),
        severity=incident.severity,
        status=incident.status,
        opened_at=incident.opened_at,
        because=brief(incident.because, 500),
        locations=incident.locations,
        resolved_at=incident.resolved_at,
        fault=incident.fault,
        runbook=check.runbook,
        link=f"{situation.link.rstrip('/')}/checks/{check.id}" if situation.link else None,
        acknowledged_by=incident.acknowledged_by,
    )
    return Alert(
        id=f"{incident.id}/{want.event}/{want.channel}" + (f"/{count}" if want.event == "reminded" else ""),
        key=group or incident.id,
        channel=want.channel,
        event=want.event,
        reason=reason,
        severity=incident.severity,
        at=now,
        service=situation.service,
        subjects=(subject,),
        group=group,
    )


def _suppressed(want: Want, incident: Incident, situation: Situation, reason: str, by: str | None, now: float) -> Event:
    alert = f"{incident.id}/{want.event}/{want.channel}"
    return Event.of(
        AlertSuppressed(
            id=f"{alert}/{reason}/{iso(now)}",
            at=iso(now),
            service=situation.service,
            alert=alert,
            incident=incident.id,
            channel=want.channel,
            event=want.event,
            reason=reason,
            muted_by=by,
        )
    )
