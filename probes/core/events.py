"""What is told to other systems: one frozen model per detail-type, and the carrier every bus takes.

Keys are ``snake_case``; times ISO 8601 UTC; durations whole milliseconds (``_ms``); percentages numbers (``_percent``). ``id`` is
deterministic, so that a second delivery is recognised. Changes are additive; consumers ignore what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

from probes.core.result import Outcome

Status = Literal["up", "degraded", "down", "unknown", "paused"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event on the bus. ``source`` is ``probes.<service>``; with ``detail_type`` it is the type consumers match on."""

    source: str
    detail_type: str
    detail: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The deterministic id, the same for a second delivery."""
        return str(self.detail["id"])

    @property
    def at(self) -> str:
        """When it happened, ISO 8601 UTC."""
        return str(self.detail["at"])

    def document(self) -> dict[str, Any]:
        """The JSON form, as on EventBridge: ``source``, ``detail-type``, ``time``, ``detail``."""
        return {"source": self.source, "detail-type": self.detail_type, "time": self.at, "detail": dict(self.detail)}

    @classmethod
    def of(cls, detail: Detail) -> Event:
        """A detail as an event of its service."""
        return cls(f"probes.{detail.service}", detail.TYPE, detail.model_dump(mode="json"))

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Event:
        """The event whose :meth:`document` this is."""
        return cls(document["source"], document["detail-type"], document["detail"])


class Detail(BaseModel):
    """Base of every detail: the common four come first. A model's class name is its detail-type in camel case."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = ""

    version: Literal[1] = 1
    id: str
    at: str
    service: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.TYPE = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__)
        if not cls.__name__.startswith("_"):
            EVENTS[cls.TYPE] = cls


EVENTS: Final[dict[str, type[Detail]]] = {}
"""Every detail-type with its model; JSON Schemas of the reference come from here."""


class RunsReported(Detail):
    """Every outcome of one slot run in one location, compactly; published also when it is empty: it is the location's heartbeat.

    ``runs`` rows are ``[check, outcome, latency_ms, fault, attempt, at, because]``: ``at`` is the run's scheduled time, and
    ``because`` (at most 200 characters) is null for a run that passed.
    """

    location: str
    slot: int
    of: int
    plan: str
    due: str
    started_at: str
    runs: tuple[tuple[str, Outcome, int | None, str | None, int, str, str | None], ...]


class RunFailed(Detail):
    """One run that failed or errored, after its attempts. Paging follows the confirmed change, never a single run."""

    run: str
    check: str
    kind: str
    group: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    location: str
    outcome: Outcome
    attempt: int
    fault: str | None = None
    because: str
    latency_ms: int | None = None
    phases_ms: dict[str, int] = {}
    findings: tuple[dict[str, Any], ...] = ()
    artifact: str | None = None


class RunCompleted(RunFailed):
    """Any run, where a check asks for ``events: all``."""


class LocationStatusChanged(Detail):
    """A check's status moved in one location. ``window`` holds the evidence, one letter per run: P, D, F or E."""

    check: str
    location: str
    before: Status
    after: Status
    window: str
    because: str
    run: str


class CheckStatusChanged(Detail):
    """The quorum moved a check's status."""

    check: str
    before: Status
    after: Status
    locations: dict[str, Status]
    because: str


class _Incident(Detail):
    incident: str
    check: str
    name: str
    group: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    severity: Literal["critical", "warning", "info"]
    opened_at: str
    resolved_at: str | None = None
    locations: tuple[str, ...] = ()
    because: str
    by: str | None = None
    runbook: str | None = None


class IncidentOpened(_Incident):
    """A check is no longer up. ``incident`` is the key outside (PagerDuty ``dedup_key``, Opsgenie alias)."""


class IncidentEscalated(_Incident):
    """Nobody acknowledged the incident in time, or it became worse (``by`` is null then and ``severity`` is the new one)."""


class IncidentAcknowledged(_Incident):
    """A person (``by``) has it: reminders and escalation stop."""


class IncidentResolved(_Incident):
    """The check is up again, or was removed or paused: ``because`` says which."""


class _Alert(Detail):
    alert: str
    incident: str
    channel: str
    event: str
    reason: str
    attempts: int = 1
    error: str | None = None
    muted_by: str | None = None


class AlertSent(_Alert):
    """A channel accepted an alert. ``reason`` is from the closed list of alert reasons."""


class AlertFailed(_Alert):
    """An alert was given up and parked; ``error`` is the channel's last answer, redacted."""


class AlertSuppressed(_Alert):
    """An alert was held back; ``muted_by`` says by what. Once per change of reason, never once per tick."""

    attempts: int = 0


class HeartbeatReceived(Detail):
    """A job reported itself."""

    check: str
    reported: str
    took_ms: int | None = None
    exit_code: int | None = None


class ErrorBudgetBurning(Detail):
    """An objective's budget is burning faster than it lasts: ``burn_rate`` over ``window`` (``1h``)."""

    check: str
    slo: str
    burn_rate: float
    window: str
    remaining_percent: float


class ErrorBudgetExhausted(ErrorBudgetBurning):
    """Nothing is left of an objective's budget."""


class SilenceCreated(Detail):
    """A person keeps alerts quiet for a while. ``when`` are assertion lines over incident facts."""

    silence: str
    when: tuple[str, ...]
    until: str
    by: str
    because: str


class SilenceEnded(SilenceCreated):
    """A silence ran out, or was ended by ``by``."""


class PlanApplied(Detail):
    """A configuration took effect: check ids by what happened to them."""

    plan: str
    previous: str | None = None
    commit: str | None = None
    by: str | None = None
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    problems: tuple[dict[str, Any], ...] = ()


class PlanRejected(PlanApplied):
    """A configuration was refused; ``plan`` (the last good one) goes on. ``problems`` as in ``validate --json``."""


class PlanDrifted(PlanApplied):
    """What runs is not what was applied."""


class CommandReceived(Detail):
    """A person gave a command in chat."""

    command: str
    by: str
    channel: str
    outcome: str | None = None


class CommandFinished(CommandReceived):
    """What became of the command."""


def parse(event: Event) -> Detail:
    """The typed detail of an event. Raises KeyError for an unknown detail-type and pydantic's ValidationError for a wrong shape."""
    return EVENTS[event.detail_type].model_validate(event.detail)


def brief(text: str, limit: int = 200) -> str:
    """Text for an event, cut to ``limit`` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
