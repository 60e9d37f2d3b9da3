"""What is owed to people: Alert (a message owed to a channel about incidents) and Delivery (an attempt to pay it)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]
AlertEvent = Literal["opened", "reminded", "escalated", "resolved"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One incident as an alert tells it. Times are epoch seconds; ``id`` is the key outside (PagerDuty ``dedup_key``)."""

    id: str
    check: str
    name: str
    kind: str
    target: str
    group: str | None
    owner: str | None
    tags: tuple[str, ...]
    severity: Severity
    status: str
    opened_at: float
    because: str
    locations: tuple[str, ...] = ()
    resolved_at: float | None = None
    fault: str | None = None
    runbook: str | None = None
    link: str | None = None
    findings: tuple[dict[str, Any], ...] = ()
    phases_ms: dict[str, float] = field(default_factory=dict)
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A message owed to ``channel`` about one incident, or about the incidents of one group.

    ``id`` is stable for the same decision, so a second delivery is recognised; ``key`` joins the messages of one incident.
    ``total`` counts the incidents of the group; ``subjects`` holds at most the first ten. ``note`` is what the channel asked to be
    reminded of when it was first told about this key (:attr:`Delivery.note`); empty in the outbox, filled in when it is sent.
    """

    id: str
    key: str
    channel: str
    event: AlertEvent
    reason: str
    severity: Severity
    at: float
    service: str
    subjects: tuple[Subject, ...]
    total: int = 1
    group: str | None = None
    note: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """JSON form, as kept in the outbox."""
        return asdict(self)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Alert:
        """The alert whose :meth:`document` this is (also after a trip through JSON)."""
        subjects = tuple(
            Subject(**{**s, **{name: tuple(s[name]) for name in ("tags", "locations", "findings")}}) for s in document["subjects"]
        )
        return cls(**{**document, "subjects": subjects})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one attempt. ``retry_after`` (seconds) is the channel's own wish; ``detail`` is redacted.

    ``note``: what the channel needs to find its message again, no secrets; handed back with later alerts about the same thing.
    """

    outcome: Literal["delivered", "retry", "permanent"]
    detail: str
    retry_after: float | None = None
    note: dict[str, str] = field(default_factory=dict)
