"""What is measured: one table of metrics, and the samples of one result.

A metric costs money per name and dimension values, so each row says from which level on it is recorded (``metrics:`` of a check).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from probes.core.check import Check
from probes.core.units import instant

Unit = Literal["Percent", "Milliseconds", "Count", "None"]
Level = Literal["none", "lean", "standard", "full"]
LEVELS: Final[tuple[Level, ...]] = ("none", "lean", "standard", "full")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value. ``dimensions`` in the order of the table; ``at`` is epoch seconds."""

    name: str
    unit: Unit
    value: float
    dimensions: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: ``level`` is the lowest at which it is recorded; ``none`` for what a location or channel records about itself."""

    unit: Unit
    dimensions: tuple[str, ...]
    level: Level
    doc: str


METRICS: Final[dict[str, Metric]] = {
    "Availability": Metric(
        "Percent",
        ("Check", "Location"),
        "lean",
        "100 for a run that passed or degraded, 0 for one that failed; absent when errored, skipped or in maintenance, "
        "so that its average is the SLI",
    ),
    "Latency": Metric("Milliseconds", ("Check", "Location"), "standard", "latency of observed runs"),
    "Degraded": Metric("Count", ("Check", "Location"), "full", "1 for a degraded run, else 0"),
    "PhaseTime": Metric("Milliseconds", ("Check", "Location", "Phase"), "full", "time of one phase of a run"),
    "ExpiresIn": Metric("None", ("Check",), "lean", "days until the certificate expires"),
    "ErrorBudgetRemaining": Metric("Percent", ("Check",), "lean", "what is left of the objective's error budget, each 5 minutes"),
    "BurnRate": Metric("None", ("Check", "Window"), "full", "budget spent over budget due by now"),
    "RunsDue": Metric("Count", ("Location",), "none", "runs that were due"),
    "RunsDone": Metric("Count", ("Location",), "none", "runs that were reported"),
    "RunsErrored": Metric("Count", ("Location",), "none", "runs that gave no evidence because of us"),
    "Lateness": Metric("Milliseconds", ("Location",), "none", "start of a run minus its due time"),
    "AlertsFailed": Metric("Count", ("Channel",), "none", "alerts that a channel refused for good"),
}
"""Every metric by name, in CloudWatch's own style."""


def sample(name: str, value: float, at: float, **dimensions: str) -> Sample:
    """A sample of the table's row ``name``; dimensions are given in lower case (``check="quote"``). Raises KeyError."""
    row = METRICS[name]
    return Sample(name, row.unit, float(value), {d: dimensions[d.lower()] for d in row.dimensions if d.lower() in dimensions}, at)


def wanted(check: Check, name: str) -> bool:
    """Whether the check's level includes the metric."""
    return LEVELS.index(METRICS[name].level) <= LEVELS.index(check.metrics.get("level", "standard"))


def samples(check: Check, document: Mapping[str, Any]) -> list[Sample]:
    """The samples of one run, from its result document (:meth:`probes.core.result.Result.document`).

    Runs that errored, were skipped or lie in maintenance (``muted``) say nothing about the target and give none.
    ``check.metrics``: ``level`` says which, ``by`` leaves out dimensions (``["check"]``).
    """
    outcome = document["outcome"]
    if outcome in ("errored", "skipped") or document.get("muted"):
        return []
    by = check.metrics.get("by", ("check", "location"))
    at = instant(document["at"])
    where = {name: value for name, value in (("check", check.id), ("location", document["location"])) if name in by}

    found = [sample("Availability", 0.0 if outcome == "failed" else 100.0, at, **where)]
    if document["latency_ms"] is not None:
        found.append(sample("Latency", document["latency_ms"], at, **where))
    found.append(sample("Degraded", outcome == "degraded", at, **where))
    found += [sample("PhaseTime", value, at, phase=phase, **where) for phase, value in document["phases_ms"].items()]
    expires = document.get("facts", {}).get("expires_in_ms")
    if check.kind == "tls" and isinstance(expires, (int, float)):
        found.append(sample("ExpiresIn", expires / 86_400_000, at, check=check.id))
    return [one for one in found if wanted(check, one.name)]
