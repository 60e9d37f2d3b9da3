"""The fleet or a group put into order: what is wrong first, then everything, then the monitor itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from probes.core.plan import Plan
from probes.dashboards.levels import groups
from probes.local.web.words import STATUSES, ago, epoch, plural

if TYPE_CHECKING:
    from probes.local.web import Service
    from probes.view import CheckView, IncidentView

MANY: Final = 300
"""Above so many checks, groups in which all is well are drawn as tiles."""
LATE: Final = 3
"""So many periods without a run, and a check is overdue."""


def overview(
    plan: Plan, items: Sequence[CheckView], incidents: Iterable[IncidentView], name: str | None, *, rows: bool
) -> dict[str, Any]:
    """What the overview shows of ``items``, the checks of the fleet or of the group ``name``. ``rows``: never draw tiles."""
    incidents = list(incidents)
    by_id = {item.check.id: item for item in items}
    tiled = len(items) > MANY and not rows
    parts = []
    for title, members in groups(plan).items():
        held = [by_id[member] for member in members if member in by_id]
        if held:
            counts = count(held)
            parts.append(
                {
                    "name": title,
                    "title": plan.groups.get(title, title),
                    "held": held,
                    "counts": counts,
                    "tiled": tiled and counts["up"] + counts["paused"] == len(held),
                }
            )
    counts = count(items)
    return {
        "headline": headline(counts, name and plan.groups.get(name, name)),
        "worst": next((status for status in STATUSES if counts[status] and status != "paused"), "unknown"),
        "counts": counts,
        "quiet": sum(item.muted is not None for item in items),
        "items": items,
        "open": by_urgency(i for i in incidents if i.status != "resolved"),
        "recent": sorted((i for i in incidents if i.status == "resolved"), key=lambda i: -(i.resolved_at or 0)),
        "parts_of_fleet": parts,
        "tiled": any(part["tiled"] for part in parts),
        "places": places(items),
    }


def count(items: Iterable[CheckView]) -> dict[str, int]:
    """Checks by status, the worst first; the sum is the number of checks."""
    found = Counter(item.status for item in items)
    return {status: found[status] for status in STATUSES}


def headline(counts: Mapping[str, int], group: str | None = None) -> str:
    """The state of affairs in one sentence."""
    where = "" if group is None else f" in {group}"
    for status in ("down", "degraded", "unknown"):
        if counts[status]:
            verb = "is" if counts[status] == 1 else "are"
            return f"{plural(counts[status], 'check')}{where} {verb} {status}"
    if not sum(counts.values()):
        return f"Nothing is watched{where} yet"
    if not counts["up"]:
        return f"Every check{where} is paused"
    return f"Everything{where} is up"


def by_urgency(incidents: Iterable[IncidentView]) -> list[IncidentView]:
    """Open incidents: critical first, then those that nobody has, then the newest."""
    rank = {"critical": 0, "warning": 1}
    return sorted(incidents, key=lambda i: (rank.get(i.severity, 2), i.acknowledged_by is not None, -i.opened_at))


def places(items: Iterable[CheckView]) -> list[dict[str, Any]]:
    """Each location with what it reports and when it last did."""
    found: dict[str, Counter[str]] = {}
    last: dict[str, float] = {}
    for item in items:
        for place in item.locations:
            found.setdefault(place.location, Counter())[place.status] += 1
            if place.last:
                last[place.location] = max(last.get(place.location, 0.0), epoch(place.last["at"]) or 0.0)
    described = []
    for name, counts in sorted(found.items()):
        seen = sum(counts.values()) - counts["paused"]
        blind = seen > 0 and counts["unknown"] == seen
        words = "knows of no check" if blind else f"{counts['up']} of {seen} up"
        described.append(
            {"name": name, "status": "unknown" if blind or name not in last else "up", "words": words, "last": last.get(name)}
        )
    return described


def monitor(service: Service, items: Sequence[CheckView], incidents: Iterable[IncidentView], now: float) -> list[dict[str, str]]:
    """Whether we ourselves are well: the schedule, the runs, the configuration, the alerts."""
    still = now - service.pulse
    overdue = [item.check.id for item in items if _overdue(item, now)]
    failing = [alert for incident in incidents for alert in incident.alerts if alert["outcome"] in ("permanent", "parked")]
    retried = [alert for incident in incidents for alert in incident.alerts if alert["outcome"] == "owed"]
    refused, trouble = len(service.rejected), service.trouble
    return [
        _line("Schedule", still < 30, f"turned {ago(service.pulse, now)}"),
        _line(
            "Runs",
            not overdue,
            "none is overdue" if not overdue else f"{plural(len(overdue), 'check')} overdue: {', '.join(overdue[:3])}",
        ),
        _line("Store", trouble is None, trouble or "history is kept"),
        _line(
            "Configuration",
            not refused,
            f"plan {service.plan.digest}" if not refused else f"rejected: {plural(refused, 'problem')}",
        ),
        _line(
            "Alerts",
            not failing,
            f"{len(failing)} given up in 7 days"
            if failing
            else f"{len(retried)} on their way"
            if retried
            else "none failed in 7 days",
        ),
    ]


def _line(name: str, well: bool, words: str) -> dict[str, str]:
    return {"name": name, "status": "up" if well else "down", "words": words}


def _overdue(item: CheckView, now: float) -> bool:
    if item.check.paused or item.check.passive:
        return False
    ran = [epoch(place.last["at"]) or 0.0 for place in item.locations if place.last]
    return bool(ran) and now - max(ran) > LATE * item.check.every + 60
