"""Who keeps an alert quiet: maintenance windows, silences and dependencies; each says by what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from probes.core import expression
from probes.core.calendar import current
from probes.core.check import Check
from probes.core.events import Event, SilenceCreated, SilenceEnded
from probes.core.route import INCIDENT_FACTS, Maintenance
from probes.core.units import iso


@dataclass(frozen=True, slots=True)
class Silence:
    """Made now, by a person, for a while, with a reason: alerts about incidents that satisfy every line of ``when`` are held."""

    id: str
    when: tuple[str, ...]
    starts: float
    until: float
    by: str
    because: str

    def __post_init__(self) -> None:
        if not self.by.strip():
            raise ValueError("a silence needs an author: say who you are")
        if not self.because.strip():
            raise ValueError("a silence needs a reason: say why, for whoever meets it at 3 am")
        if not self.until > self.starts:
            raise ValueError("a silence ends after it begins: give it a duration such as 2h")
        if not self.when:
            raise ValueError('a silence names what it is about, such as check == "quote"')
        for line in self.when:
            expression.parse(line, INCIDENT_FACTS)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Silence:
        """The silence whose :meth:`document` this is."""
        return cls(**{**document, "when": tuple(document["when"])})

    def event(self, service: str, at: float, ended_by: str | None = None) -> Event:
        """``Silence Created``; with ``ended_by`` (a person, or ``time``) ``Silence Ended``."""
        model = SilenceEnded if ended_by else SilenceCreated
        return Event.of(
            model(
                id=f"{self.id}/ended" if ended_by else self.id,
                at=iso(at),
                service=service,
                silence=self.id,
                when=self.when,
                until=iso(self.until),
                by=ended_by or self.by,
                because=self.because,
            )
        )


def facts(check: Check) -> dict[str, Any]:
    """What a ``when`` line may name about a check; an incident adds ``severity`` and ``event``."""
    return {"check": check.id, "kind": check.kind, "group": check.group, "owner": check.owner, "tags": list(check.tags)}


def matches(lines: Iterable[str], about: Mapping[str, Any]) -> bool:
    """Whether every line holds for these facts; no lines: yes."""
    return all(expression.parse(line).check(about, {})[0] for line in lines)


def maintained(windows: Iterable[Maintenance], check: Check, at: float) -> str | None:
    """The maintenance window the check is in at ``at``, in words, or None."""
    about = facts(check)
    for window in windows:
        occurrence = current(window, at)
        if occurrence is not None and matches(window.when, about):
            return f"{window.name} until {iso(occurrence[1])}"
    return None


def silenced(silences: Iterable[Silence], about: Mapping[str, Any], at: float) -> str | None:
    """The silence that covers these incident facts at ``at``, in words, or None."""
    for silence in silences:
        if silence.starts <= at < silence.until and matches(silence.when, about):
            return f"{silence.by}: {silence.because} (until {iso(silence.until)})"
    return None
