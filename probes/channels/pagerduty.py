"""Pages through the PagerDuty Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/overview/).

Limits: summary 1,024 characters, dedup_key 255, body 512 KB; 202 means accepted. How many events a key takes depends on the service
(unverified: 120 a minute); beyond that it answers 429.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, Literal

from pydantic import Field

from probes.channels.delivery.request import Channel, Http, SecretText
from probes.channels.delivery.words import cut, headline, plain, safe_link
from probes.core.alert import Alert
from probes.core.kind import Shape
from probes.core.units import iso

HOSTS: Final = {"us": "events.pagerduty.com", "eu": "events.eu.pagerduty.com"}
LARGEST: Final = 512_000


class Config(Shape):
    """``routing_key``: the integration key of an Events API v2 integration; ``region``: where the account lives."""

    routing_key: SecretText = Field(description="the integration key of an Events API v2 integration")
    region: Literal["us", "eu"] = Field("us", description="where the account lives")


def message(alert: Alert, config: Config, now: float) -> Http:
    """One event. Trigger, reminder, escalation and resolve of an incident carry the same ``dedup_key``."""
    event: dict[str, Any] = {
        "routing_key": config.routing_key.strip(),
        "event_action": "resolve" if alert.event == "resolved" else "trigger",
        "dedup_key": dedup_key(alert.key),
    }
    if alert.event != "resolved":
        event |= _trigger(alert, 100, 8000)
    body = _bytes(event)
    if len(body) > LARGEST:
        body = _bytes(event | _trigger(alert, 10, 500))
    return Http(
        "POST", f"https://{HOSTS[config.region]}/v2/enqueue", {"content-type": "application/json"}, body, expect=frozenset({202})
    )


def _trigger(alert: Alert, items: int, characters: int) -> dict[str, Any]:
    first = alert.subjects[0]
    reason = f": {plain(first.because, 600)}" if alert.total == 1 and first.because else ""
    details: dict[str, Any] = {"reason": alert.reason, "event": alert.event, "incidents": alert.total}
    details["checks"] = [
        {
            "check": subject.check,
            "name": subject.name,
            "status": subject.status,
            "because": subject.because,
            "fault": subject.fault,
            "locations": list(subject.locations),
            "since": iso(subject.opened_at),
            "target": subject.target,
            "owner": subject.owner,
            "tags": list(subject.tags),
            "findings": list(subject.findings),
            "phases_ms": subject.phases_ms,
        }
        for subject in alert.subjects
    ]
    links = [(safe_link(first.runbook), "Runbook"), (safe_link(first.link), "Page of the check")]
    payload = {
        "summary": plain(headline(alert) + reason, 1024),
        "source": plain(first.target if alert.total == 1 else alert.service, 500) or alert.service,
        "severity": alert.severity,
        "timestamp": iso(alert.at),
        "component": first.check if alert.total == 1 else None,
        "group": alert.group if alert.total > 1 else first.group,
        "class": first.kind if alert.total == 1 else None,
        "custom_details": cut(details, items, characters),
    }
    trigger: dict[str, Any] = {"payload": {name: value for name, value in payload.items() if value is not None}, "client": "probes"}
    if shown := [{"href": url, "text": label} for url, label in links if url]:
        trigger["links"] = shown
    if url := safe_link(first.link):
        trigger["client_url"] = url
    return trigger


def dedup_key(key: str) -> str:
    """The key, or when it is longer than 255 characters its start and a hash of all of it."""
    return key if len(key) <= 255 else f"{key[:214]}#{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def _bytes(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), default=str).encode()


CHANNEL = Channel(
    "pagerduty",
    "a page through PagerDuty (Events API v2)",
    Config,
    'pagerduty: {routing_key: "${{ secret.PAGERDUTY_KEY }}"}',
    message,
    rate=(120, 60.0),
)
