"""The nouns of one look: Run (to do), Observation (seen), Finding and Result (what it means)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from probes.core.fault import Fault
from probes.core.units import Duration, iso

Outcome = Literal["passed", "degraded", "failed", "errored", "skipped"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "degraded", "failed", "errored", "skipped")
PHASES: Final = ("resolve", "connect", "tls", "wait", "receive")
MOST_TEXT, MOST_VALUES = 300, 50
_TIMES: Final = {*PHASES, "latency", "total"}


@dataclass(frozen=True, slots=True)
class Run:
    """One scheduled look: check x location x scheduled time (``at``, epoch seconds). Delivered twice, it is the same run."""

    check: str
    location: str
    at: float

    @property
    def id(self) -> str:
        """``quote@dublin/2026-02-03T04:05:00Z``."""
        return f"{self.check}@{self.location}/{iso(self.at)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """An assertion with its verdict; ``because`` says the value that was seen (``status was 503``)."""

    assertion: str
    level: Literal["must", "should"]
    holds: bool
    because: str

    def document(self) -> dict[str, Any]:
        """The JSON form of the contracts in events and CLI."""
        return {"assertion": self.assertion, "level": self.level, "holds": self.holds, "because": self.because}


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw, without opinion.

    Attributes:
        facts: values by fact name; durations are :class:`~probes.core.units.Duration`, sizes :class:`~probes.core.units.Size`.
        phases: seconds by phase name (:data:`PHASES`); for a fault, those that were completed.
        fault: why there is no (complete) observation, or None.
        latency: seconds from first byte sent to last byte read, without our own cost; None when nothing was exchanged.
        total: seconds from the start of resolve to the end; present on a fault too.
        clock: which clock stamped the waits: ``kernel`` (receive timestamps) or ``loop`` (our event loop).
        cold: the first run of this process, which may carry its start-up.
        loop_lag: seconds the event loop was late during the run.
        evidence: what a person wants to see after a failure (addresses, certificate facts, response head); JSON values only.
        findings: verdicts a kind had to reach on its way (``steps`` stops at the first broken ``must``); judge adds its own.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    fault: Fault | None = None
    latency: float | None = None
    total: float = 0.0
    clock: Literal["kernel", "loop"] = "loop"
    cold: bool = False
    loop_lag: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A run judged: outcome and findings over an observation. ``attempt`` counts from 1."""

    run: Run
    kind: str
    outcome: Outcome
    because: str
    findings: tuple[Finding, ...]
    observation: Observation
    attempt: int = 1

    def document(self) -> dict[str, Any]:
        """The JSON form, the same in ``probes run --json``, in history and on pages: milliseconds as floats."""
        seen = self.observation
        return {
            "run": self.run.id,
            "check": self.run.check,
            "kind": self.kind,
            "location": self.run.location,
            "at": iso(self.run.at),
            "outcome": self.outcome,
            "fault": seen.fault.kind if seen.fault else None,
            "because": self.because,
            "attempt": self.attempt,
            "cold": seen.cold,
            "clock": seen.clock,
            "latency_ms": None if seen.latency is None else _ms(seen.latency),
            "total_ms": _ms(seen.total),
            "phases_ms": {name: _ms(seconds) for name, seconds in seen.phases.items()},
            "loop_lag_ms": _ms(seen.loop_lag),
            "findings": [finding.document() for finding in self.findings],
            "facts": _told(seen.facts),
            "evidence": dict(seen.evidence),
        }


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts worth telling: small plain values. A body and its headers serve the assertions and go no further.

    Latency, total and phases have their own fields; other durations become milliseconds (``expires_in_ms``).
    """
    told: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Duration):
            if name not in _TIMES:
                told[f"{name}_ms"] = _ms(value)
        elif _small(value) or (isinstance(value, (list, tuple)) and len(value) <= MOST_VALUES and all(map(_small, value))):
            told[name] = value
    return told


def _small(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= MOST_TEXT)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
