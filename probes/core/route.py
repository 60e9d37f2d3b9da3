"""Who is told, and when nobody is: Route, Escalate, Maintenance, Weekly; and the facts their ``when`` lines may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from probes.core.kind import Fact

CHECK_FACTS: Final[Mapping[str, Fact]] = {
    "check": Fact("text", "id of the check"),
    "kind": Fact("text", "its kind"),
    "group": Fact("text", "its group"),
    "owner": Fact("text", "who owns it"),
    "tags": Fact("list", "its tags, those of its group and defaults included"),
}
INCIDENT_FACTS: Final[Mapping[str, Fact]] = {
    **CHECK_FACTS,
    "severity": Fact("text", "`critical` (down), `warning` (degraded or unknown) or `info`"),
    "event": Fact("text", "`opened`, `reminded`, `escalated` or `resolved`"),
}


@dataclass(frozen=True, slots=True)
class Escalate:
    """After ``after`` seconds without acknowledgement also tell ``notify``."""

    after: float
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Incidents that satisfy every line of ``when`` go to ``notify``; the first route that matches is the one.

    Owed alerts of one group (equal values of ``group_by``) wait ``wait`` seconds for each other and leave as one message.
    ``repeat``: seconds between reminders while an incident is open and nobody acknowledged it; None: never.
    """

    when: tuple[str, ...]
    notify: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    wait: float = 0.0
    repeat: float | None = None
    escalate: Escalate | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Route:
        """The route whose JSON form this is."""
        escalate = document["escalate"]
        return cls(
            when=tuple(document["when"]),
            notify=tuple(document["notify"]),
            group_by=tuple(document["group_by"]),
            wait=document["wait"],
            repeat=document["repeat"],
            escalate=Escalate(escalate["after"], tuple(escalate["notify"])) if escalate else None,
        )


@dataclass(frozen=True, slots=True)
class Weekly:
    """Every week on ``days`` (``mon`` .. ``sun``) at ``at`` (``02:00``) on the clocks of ``zone`` (IANA name)."""

    days: tuple[str, ...]
    at: str
    zone: str


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A planned window of ``lasting`` seconds, weekly or from ``starts`` (epoch seconds), for the checks that match ``when``."""

    name: str
    when: tuple[str, ...]
    weekly: Weekly | None
    starts: float | None
    lasting: float

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Maintenance:
        """The window whose JSON form this is."""
        weekly = document["weekly"]
        return cls(
            name=document["name"],
            when=tuple(document["when"]),
            weekly=Weekly(tuple(weekly["days"]), weekly["at"], weekly["zone"]) if weekly else None,
            starts=document["starts"],
            lasting=document["lasting"],
        )
