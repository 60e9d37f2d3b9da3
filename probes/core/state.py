"""What is remembered between runs: one document for each slot, of constant size for each check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, cast

from probes.core.alert import Severity
from probes.core.confirm import Window
from probes.core.decide import Flap
from probes.core.events import Event, Status
from probes.core.incident import Incident
from probes.core.outbox import Owed
from probes.core.summary import Summary

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is known of a check.

    Attributes:
        created: since when the check is expected to run (epoch seconds); silence counts from here before its first run.
        status, since, because: agreed by the locations.
        locations: evidence by location.
        incidents: the open one last; before it those whose resolve is still held back.
        opened: ``opened_at`` of the newest incident, so that no two share an id.
        flaps: openings told lately, by severity.
        beat: the last report of a heartbeat: ``at`` (None before any), ``reported``, ``took``, ``exit_code``; ``started`` since.
        budget: counted runs by five minutes: start as text to [good, bad]; only the newest, the rest is in the check's ledger.
        summary: the last day, for people.
    """

    created: float
    status: Status = "unknown"
    since: float = 0.0
    because: str = "no evidence yet"
    locations: Mapping[str, Window] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    opened: float = 0.0
    flaps: Mapping[Severity, Flap] = field(default_factory=dict)
    beat: Mapping[str, Any] | None = None
    budget: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)

    @property
    def incident(self) -> Incident | None:
        """The open incident."""
        return self.incidents[-1] if self.incidents and self.incidents[-1].open else None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "created": self.created,
            "status": self.status,
            "since": self.since,
            "because": self.because,
            "locations": {name: window.document() for name, window in self.locations.items()},
            "incidents": [incident.document() for incident in self.incidents],
            "opened": self.opened,
            "flaps": {severity: asdict(flap) for severity, flap in self.flaps.items()},
            "beat": self.beat,
            "budget": {start: list(counts) for start, counts in self.budget.items()},
            "summary": self.summary.document(),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> CheckState:
        """The state whose :meth:`document` this is."""
        return cls(
            **{
                **document,
                "locations": {name: Window.parse(data) for name, data in document["locations"].items()},
                "incidents": tuple(Incident.parse(data) for data in document["incidents"]),
                "flaps": {cast(Severity, severity): Flap(**data) for severity, data in document["flaps"].items()},
                "budget": {start: tuple(counts) for start, counts in document["budget"].items()},
                "summary": Summary.parse(document["summary"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """The document of one slot: states by check (kept as JSON until touched), the outbox, and events that are not published yet."""

    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owed: tuple[Owed, ...] = ()
    events: tuple[Event, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "format": FORMAT,
            "checks": dict(self.checks),
            "owed": [one.document() for one in self.owed],
            "events": [event.document() for event in self.events],
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any] | None) -> Slot:
        """The slot whose :meth:`document` this is; an empty one for None. Raises ValueError for a format that is not known."""
        if document is None:
            return cls()
        if document.get("format") != FORMAT:
            raise ValueError(f"state format {document.get('format')!r} is not one this version reads ({FORMAT})")
        owed = tuple(Owed.parse(one) for one in document["owed"])
        return cls(document["checks"], owed, tuple(Event.parse(event) for event in document["events"]))

    def check(self, name: str) -> CheckState | None:
        """The state of a check, None when nothing is known of it."""
        found = self.checks.get(name)
        return None if found is None else CheckState.parse(found)

    def put(self, name: str, state: CheckState | None, events: Iterable[Event] = ()) -> Slot:
        """The slot with that check's state replaced (None: forgotten) and events added."""
        checks = {other: data for other, data in self.checks.items() if other != name}
        if state is not None:
            checks[name] = state.document()
        return replace(self, checks=checks, events=(*self.events, *events))


def key(slot: int, of: int) -> str:
    """The name of a slot's document in the store: ``state/0of4``."""
    return f"state/{slot}of{of}"
