"""What happened, in order and in words: the story of an incident, and a run with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from probes.core.result import PHASES
from probes.local.web.evidence import shown
from probes.local.web.words import epoch

if TYPE_CHECKING:
    from probes.view import IncidentView

HELD: Final = {
    "acknowledged": "somebody has it",
    "silence": "a silence covers it",
    "maintenance": "a maintenance window covers it",
    "dependency": "something it depends on is not up",
    "unchanged": "nothing changed since the last message",
    "no route": "no route of checks.yaml takes it",
    "waiting for group": "it waits for others of its group, to leave as one message",
    "flapping": "it moves too often to be told each time",
    "offline": "the location itself has no network",
}
"""Why an alert was held back, by the reason of the decision."""
OWED: Final = {"owed": "Owed to", "retry": "Not reached yet,", "permanent": "Refused by", "parked": "Given up on"}
"""What became of an alert that was not delivered, before the channel's name."""


def story(incident: IncidentView, events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries of an incident's page in order of time: ``at``, ``title``, ``words`` and ``look``."""
    found = [{"at": incident.opened_at, "title": f"Opened as {incident.severity}", "words": incident.because, "look": "down"}]
    found += [entry for event in events if (entry := _event(incident.id, event))]
    found += [_alert(alert) for alert in incident.alerts]
    if incident.resolved_at is not None:
        found.append({"at": incident.resolved_at, "title": "Resolved", "words": _because(incident, events), "look": "up"})
    return sorted(found, key=lambda entry: entry["at"])


def _because(incident: IncidentView, events: Iterable[Mapping[str, Any]]) -> str:
    for event in events:
        if event["detail-type"] == "Incident Resolved" and event["detail"].get("incident") == incident.id:
            return str(event["detail"].get("because") or "")
    return ""


def _event(incident: str, event: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, detail = event["detail-type"], event["detail"]
    if detail.get("incident") != incident:
        return None
    at, by = epoch(detail["at"]), detail.get("by")
    if kind == "Incident Escalated":
        return {"at": at, "title": f"Escalated, now {detail.get('severity')}", "words": detail.get("because") or "", "look": "down"}
    if kind == "Incident Acknowledged":
        return {"at": at, "title": f"Acknowledged by {by}" if by else "Acknowledged", "words": "", "look": "person"}
    return None


def _alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    event, channel, reason = alert.get("event", ""), alert.get("channel") or "nobody", str(alert.get("reason") or "")
    outcome, detail = str(alert.get("outcome") or ""), str(alert.get("detail") or "")
    if outcome == "suppressed":
        words = f"{HELD.get(reason, reason)}{f': {detail}' if detail else ''}"
        title, look = f"Not told to {channel}: {event}", "held"
    elif outcome == "delivered":
        title, look, words = f"Told {channel}: {event}", "told", detail if reason in ("", event) else f"{reason}. {detail}".strip()
    else:
        title, look, words = f"{OWED.get(outcome, outcome)} {channel}: {event}", "failed", detail
    return {"at": epoch(alert.get("at")) or 0.0, "title": title, "words": words, "look": look}


def run(document: Mapping[str, Any], faults: Mapping[str, str]) -> dict[str, Any]:
    """A run for the list of failures."""
    phases = document.get("phases_ms") or {}
    ordered = [name for name in PHASES if name in phases] + [name for name in phases if name not in PHASES]
    fault = document.get("fault")
    return {
        "id": document["run"],
        "at": epoch(document["at"]),
        "location": document["location"],
        "outcome": document["outcome"],
        "because": document["because"],
        "fault": fault,
        "fault_words": faults.get(fault, "") if fault else "",
        "findings": document.get("findings") or [],
        "phases": [(name, phases[name]) for name in ordered],
        "total_ms": document.get("total_ms"),
        "attempt": document.get("attempt", 1),
        "clock": document.get("clock", ""),
        "cold": document.get("cold", False),
        "loop_lag_ms": document.get("loop_lag_ms") if (document.get("loop_lag_ms") or 0) >= 1 else None,
        "evidence": shown(document.get("evidence") or {}),
    }
