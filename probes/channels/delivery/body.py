"""The JSON bodies a webhook can have: our own (Standard Webhooks), CloudEvents 1.0, and Alertmanager's, which many receive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from probes.channels.delivery.words import cut, headline, plain, safe_link
from probes.core.alert import Alert, Subject
from probes.core.units import iso

LARGEST: Final = 20_000
"""Bytes of a body: Standard Webhooks asks receivers to expect less than 20 KB."""


def standard(alert: Alert) -> bytes:
    """``{type, timestamp, data}``, below :data:`LARGEST`. What does not fit is cut, and ``data.truncated`` says so."""
    return _fit(alert, lambda data: {"type": f"incident.{alert.event}", "timestamp": iso(alert.at), "data": data})


def cloudevents(alert: Alert) -> bytes:
    """The same data in the structured mode of CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).

    ``source`` with ``id`` is the same at every attempt; ``severity`` is an extension attribute, to filter by.
    """
    event = {
        "specversion": "1.0",
        "id": plain(alert.id),
        "source": f"/probes/{quote(alert.service, safe='')}",
        "type": f"probes.incident.{alert.event}",
        "subject": plain(alert.subjects[0].check if alert.total == 1 else alert.key, 500),
        "time": iso(alert.at),
        "datacontenttype": "application/json",
        "severity": alert.severity,
    }
    return _fit(alert, lambda data: {**event, "data": data})


def _fit(alert: Alert, envelope: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    data = {
        "id": alert.id,
        "key": alert.key,
        "service": alert.service,
        "event": alert.event,
        "reason": alert.reason,
        "severity": alert.severity,
        "group": alert.group,
        "total": alert.total,
        "incidents": [_incident(subject) for subject in alert.subjects],
    }
    body = _json(envelope(data))
    for items, characters in ((30, 1000), (10, 300), (5, 100), (3, 30)):
        if len(body) < LARGEST:
            break
        body = _json(envelope({**cut(data, items, characters), "truncated": True}))
    return body


def _incident(subject: Subject) -> dict[str, Any]:
    return {
        "id": subject.id,
        "check": subject.check,
        "name": subject.name,
        "kind": subject.kind,
        "target": subject.target,
        "group": subject.group,
        "owner": subject.owner,
        "tags": list(subject.tags),
        "severity": subject.severity,
        "status": subject.status,
        "opened_at": iso(subject.opened_at),
        "resolved_at": None if subject.resolved_at is None else iso(subject.resolved_at),
        "acknowledged_by": subject.acknowledged_by,
        "because": subject.because,
        "fault": subject.fault,
        "locations": list(subject.locations),
        "runbook": subject.runbook,
        "link": subject.link,
        "findings": list(subject.findings),
        "phases_ms": subject.phases_ms,
    }


def alertmanager(alert: Alert) -> bytes:
    """The body of Alertmanager's webhook, version 4 (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).

    One alert an incident; a fingerprint is the incident's for life, and ``groupKey`` the key of the trigger. Incidents that are not
    named are counted in ``truncatedAlerts``; below :data:`LARGEST`, texts are cut first and then fewer incidents named.
    """
    body = b""
    for named, characters in ((10, 1000), (10, 300), (10, 100), (5, 100), (1, 30)):
        body = _json(_version4(alert, named, characters))
        if len(body) < LARGEST:
            break
    return body


def _version4(alert: Alert, named: int, characters: int) -> dict[str, Any]:
    resolved = alert.event == "resolved"
    alerts = [_alert(alert, subject, resolved, characters) for subject in alert.subjects[:named]]
    first = alert.subjects[0]
    labels = _common([one["labels"] for one in alerts])
    return {
        "version": "4",
        "groupKey": alert.key,
        "truncatedAlerts": alert.total - len(alerts),
        "status": "resolved" if resolved else "firing",
        "receiver": alert.channel,
        "groupLabels": {name: labels[name] for name in ("service",) if name in labels} if alert.group else labels,
        "commonLabels": labels,
        "commonAnnotations": _common([one["annotations"] for one in alerts]),
        "externalURL": (safe_link(first.link) or "").removesuffix(f"/checks/{first.check}"),
        "alerts": alerts,
    }


def _alert(alert: Alert, subject: Subject, resolved: bool, characters: int) -> dict[str, Any]:
    labels = {
        "alertname": subject.check,
        "service": alert.service,
        "check": subject.check,
        "kind": subject.kind,
        "severity": subject.severity,
        "group": subject.group,
        "owner": subject.owner,
        "tags": ",".join(subject.tags),
    }
    annotations = {
        "summary": headline(alert),
        "name": subject.name,
        "description": subject.because,
        "status": subject.status,
        "event": alert.event,
        "reason": alert.reason,
        "target": subject.target,
        "locations": ", ".join(subject.locations),
        "fault": subject.fault,
        "acknowledged_by": subject.acknowledged_by,
        "findings": "; ".join(f"{one.get('assertion')}: {one.get('because')}" for one in subject.findings),
    }
    links = {"runbook_url": safe_link(subject.runbook)}
    ended = subject.resolved_at if subject.resolved_at is not None else alert.at
    return {
        "status": "resolved" if resolved else "firing",
        "labels": {name: plain(value, 200) for name, value in labels.items() if value},
        "annotations": {
            **{name: plain(value, characters) for name, value in annotations.items() if value},
            **{name: value for name, value in links.items() if value},
        },
        "startsAt": iso(subject.opened_at),
        "endsAt": iso(ended) if resolved else "0001-01-01T00:00:00Z",  # Go's zero time: it has not ended
        "generatorURL": safe_link(subject.link) or "",
        "fingerprint": hashlib.sha256(f"{alert.service}/{subject.id}".encode()).hexdigest()[:16],
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    return {name: value for name, value in maps[0].items() if all(one.get(name) == value for one in maps)}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
