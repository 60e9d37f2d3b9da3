"""One unbroken time in which a check was not up: opened, worse or better, acknowledged, resolved; with one id for life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from probes.core.alert import Severity
from probes.core.check import Check
from probes.core.confirm import Verdict
from probes.core.events import (
    Event,
    IncidentAcknowledged,
    IncidentEscalated,
    IncidentOpened,
    IncidentResolved,
    Status,
)
from probes.core.units import iso

SEVERITY: Final[Mapping[Status, Severity]] = {"down": "critical", "degraded": "warning", "unknown": "warning"}
RANK: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel was told about an incident. Saved in the same write as the alert that tells it, so it is owed at least.

    Attributes:
        severity: the last one it was told.
        first, at: when the first and the last alert were decided (epoch seconds).
        count: alerts so far; makes the id of the next one.
        moves: when it was told that the incident became worse or better, the newest two.
        escalated: it was told because nobody acknowledged.
        flapping: it was told as the one notice of a flapping check.
        group: the group its alerts join (key of the group's message), if any.
    """

    severity: Severity
    first: float
    at: float
    count: int = 1
    moves: tuple[float, ...] = ()
    escalated: bool = False
    flapping: bool = False
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. ``told``: by channel. ``quiet``: by channel, the last reason why it was not told (so each is an event once)."""

    id: str
    check: str
    severity: Severity
    status: Status
    opened_at: float
    because: str
    fault: str | None = None
    locations: tuple[str, ...] = ()
    resolved_at: float | None = None
    acknowledged_by: str | None = None
    told: Mapping[str, Told] = field(default_factory=dict)
    quiet: Mapping[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether the check is still not up."""
        return self.resolved_at is None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Incident:
        """The incident whose :meth:`document` this is."""
        told = {name: Told(**{**data, "moves": tuple(data["moves"])}) for name, data in document["told"].items()}
        return cls(**{**document, "locations": tuple(document["locations"]), "told": told})


IncidentEvent = type[IncidentOpened] | type[IncidentEscalated] | type[IncidentAcknowledged] | type[IncidentResolved]


def told(
    service: str, check: Check, incident: Incident, model: IncidentEvent, suffix: str, at: float, by: str | None = None
) -> Event:
    """An event of the incident's life; ``suffix`` makes its id differ from the incident's (empty for the opening)."""
    return Event.of(
        model(
            id=incident.id + suffix,
            at=iso(at),
            service=service,
            incident=incident.id,
            check=check.id,
            name=check.name,
            group=check.group,
            owner=check.owner,
            tags=check.tags,
            severity=incident.severity,
            opened_at=iso(incident.opened_at),
            resolved_at=None if incident.resolved_at is None else iso(incident.resolved_at),
            locations=incident.locations,
            because=incident.because,
            by=by,
            runbook=check.runbook,
        )
    )


def follow(
    service: str, check: Check, incident: Incident | None, verdict: Verdict, because: str, fault: str | None, at: float, now: float
) -> tuple[Incident | None, list[Event]]:
    """The incident after the check's verdict: opened, moved, resolved or left as it is; with what is to be told on the bus.

    ``at`` is the scheduled time of the run that made the verdict and names a new incident; ``because`` the evidence in words.
    While a check is unknown its open incident stands as it is: not seeing is no recovery.
    """
    if incident is None:
        if verdict.status == "up" or (verdict.status == "unknown" and not verdict.blind):
            return None, []
        severity = SEVERITY[verdict.status]
        opened = Incident(f"{check.id}/{iso(at)}", check.id, severity, verdict.status, at, because, fault, verdict.locations)
        return opened, [told(service, check, opened, IncidentOpened, "", now)]
    if verdict.status == "up":
        return resolve(service, check, incident, verdict.because, at, now)
    if verdict.status == "unknown":
        return replace(incident, status="unknown"), []
    severity = SEVERITY[verdict.status]
    moved = replace(
        incident,
        severity=severity,
        status=verdict.status,
        because=because or incident.because,
        fault=fault if because else incident.fault,
        locations=verdict.locations,
    )
    if RANK[severity] > RANK[incident.severity]:
        return moved, [told(service, check, moved, IncidentEscalated, f"/{severity}/{iso(at)}", now)]
    return moved, []


def resolve(service: str, check: Check, incident: Incident, because: str, at: float, now: float) -> tuple[Incident, list[Event]]:
    """The incident closed, because the check is up again, removed or paused. Its ``because`` keeps saying what was wrong."""
    closed = replace(incident, resolved_at=max(at, incident.opened_at), status="up")
    event = told(service, check, replace(closed, because=because), IncidentResolved, "/resolved", now)
    return closed, [event]


def acknowledge(service: str, check: Check, incident: Incident, by: str, now: float) -> tuple[Incident, list[Event]]:
    """The incident with a person on it; the first one stays."""
    if incident.acknowledged_by is not None or not incident.open:
        return incident, []
    taken = replace(incident, acknowledged_by=by)
    return taken, [told(service, check, taken, IncidentAcknowledged, "/acknowledged", now, by)]
