"""The three zoom levels, generated from the plan: the fleet, a group, a check."""

from __future__ import annotations

from probes.core.check import Check
from probes.core.plan import Plan
from probes.dashboards.model import Dashboard, Panel, Series

UNGROUPED = "other"
"""What the checks without a group are called together."""


def groups(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Ids of the checks by group, in the order of the plan; those without a group come last, as :data:`UNGROUPED`."""
    found: dict[str, list[str]] = {}
    for check in plan.checks.values():
        found.setdefault(check.group or UNGROUPED, []).append(check.id)
    return {name: tuple(found[name]) for name in sorted(found, key=lambda name: name == UNGROUPED)}


def fleet(plan: Plan) -> Dashboard:
    """Everything at once: each check's status, what is open, and whether the monitor itself is well."""
    checks = tuple(plan.checks)
    panels = (
        Panel("checks", "matrix", "Checks", checks=checks),
        Panel("incidents", "incidents", "Incidents", checks=checks),
        Panel("availability", "number", "Availability", (Series("Availability", "average"),)),
        Panel("latency", "number", "Latency", (Series("Latency", "p95", label="p95"),)),
        Panel(
            "runs",
            "line",
            "Runs due and done",
            (Series("RunsDue", "sum", label="due"), Series("RunsDone", "sum", label="done")),
            note="The two lines lie on each other while the monitor keeps up.",
        ),
        Panel("errored", "line", "Runs without evidence", (Series("RunsErrored", "sum", by="Location"),)),
        Panel("lateness", "line", "Lateness", (Series("Lateness", "p95", by="Location"),)),
        Panel("alerts-failed", "number", "Alerts given up", (Series("AlertsFailed", "sum"),)),
    )
    return Dashboard("fleet", "", plan.service, panels)


def group(plan: Plan, subject: str) -> Dashboard:
    """The checks that share an owner. Raises KeyError for a group that has no check."""
    checks = groups(plan)[subject]
    latency = tuple(Series("Latency", "p95", {"Check": name}, label=name) for name in checks if not plan.checks[name].passive)
    panels = (
        Panel("checks", "matrix", "Checks", checks=checks),
        Panel("incidents", "incidents", "Incidents", checks=checks),
        *((Panel("latency", "line", "Latency, p95 by check", latency),) if latency else ()),
        Panel("failures", "failures", "Last failures", checks=checks),
    )
    return Dashboard("group", subject, subject, panels)


def check(plan: Plan, name: str) -> Dashboard:
    """One check, down to the evidence of its failures. Raises KeyError for an unknown check."""
    subject = plan.checks[name]
    this = (subject.id,)
    panels = (
        *_numbers(subject),
        *(() if subject.passive else _charts(subject)),
        Panel("states", "timeline", "States by location", checks=this),
        Panel("incidents", "incidents", "Incidents", checks=this),
        Panel("failures", "failures", "Last failures", checks=this),
    )
    return Dashboard("check", subject.id, subject.name, panels)


def _numbers(check: Check) -> tuple[Panel, ...]:
    where = {"Check": check.id}
    panels = [
        Panel(
            "availability",
            "number",
            "Availability",
            (Series("Availability", "average", where),),
            goal=check.slo.percent if check.slo else None,
            note="good runs out of those that count",
        )
    ]
    if not check.passive:
        panels.append(Panel("p95", "number", "Latency, p95", (Series("Latency", "p95", where, label="p95"),)))
    if check.slo:
        panels.append(Panel("budget", "number", "Error budget left", (Series("ErrorBudgetRemaining", "latest", where),)))
    if check.kind == "tls":
        panels.append(Panel("expires", "number", "Certificate, days left", (Series("ExpiresIn", "latest", where),)))
    return tuple(panels)


def _charts(check: Check) -> tuple[Panel, ...]:
    where = {"Check": check.id}
    percentiles = tuple(Series("Latency", statistic, where, label=statistic) for statistic in ("p50", "p95", "p99"))
    return (
        Panel("latency", "line", "Latency", percentiles),
        Panel("locations", "line", "Latency by location", (Series("Latency", "p95", where, by="Location"),)),
        Panel("phases", "stack", "Where the time goes", (Series("PhaseTime", "average", where, by="Phase"),)),
    )
