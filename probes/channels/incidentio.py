r"""Alerts people through an HTTP alert source of incident.io (``POST /v2/alert_events/http/<source>`` with a bearer token).

Unverified, from what others send: the names of the fields, that a description is read as Markdown (so punctuation of a target's
text is escaped with ``\``), and that 512 KB is the most. 202 means accepted; 429 and 5xx are tried again.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

from pydantic import Field

from probes.channels.delivery.request import Channel, Http, SecretText, credential
from probes.channels.delivery.words import cut, headline, names, plain, rows, safe_link
from probes.channels.pagerduty import dedup_key
from probes.core.alert import Alert
from probes.core.kind import Shape
from probes.core.units import iso

LARGEST: Final = 512_000


class Config(Shape):
    """``source``: the id of the alert source, the last part of the address that incident.io shows; ``token``: its own."""

    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        description="the id of the HTTP alert source: the last part of the address incident.io shows"
    )
    token: SecretText = Field(description="the token of the alert source")


def message(alert: Alert, config: Config, now: float) -> Http:
    """One event. Trigger, reminder, escalation and resolve of an incident carry the same ``deduplication_key``."""
    body = _bytes(_event(alert, now, 100, 8000))
    if len(body) > LARGEST:
        body = _bytes(_event(alert, now, 10, 500))
    return Http(
        "POST",
        f"https://api.incident.io/v2/alert_events/http/{config.source}",
        {"authorization": f"Bearer {credential(config.token)}", "content-type": "application/json"},
        body,
        expect=frozenset({202}),
    )


def _event(alert: Alert, now: float, items: int, characters: int) -> dict[str, Any]:
    first = alert.subjects[0]
    metadata = {
        "service": alert.service,
        "event": alert.event,
        "reason": alert.reason,
        "severity": alert.severity,
        "incidents": alert.total,
        "check": first.check if alert.total == 1 else None,
        "kind": first.kind if alert.total == 1 else None,
        "group": alert.group if alert.total > 1 else first.group,
        "team": first.owner,
        "tags": list(first.tags),
        "fault": first.fault,
        "target": first.target if alert.total == 1 else None,
        "locations_down": list(first.locations),
        "since": iso(first.opened_at),
        "runbook": safe_link(first.runbook),
        "checks": [{"check": one.check, "status": one.status, "because": one.because} for one in alert.subjects],
        "findings": list(first.findings),
        "phases_ms": first.phases_ms,
    }
    event = {
        "title": plain(headline(alert), 500),
        "description": _description(alert, now),
        "deduplication_key": dedup_key(alert.key),
        "status": "resolved" if alert.event == "resolved" else "firing",
        "metadata": cut({name: value for name, value in metadata.items() if value not in (None, [], {})}, items, characters),
    }
    if url := safe_link(first.link):
        event["source_url"] = url
    return event


def _description(alert: Alert, now: float) -> str:
    """A list, one item a row; links stay as they are, because escaped they would lead elsewhere."""
    first = alert.subjects[0]
    if alert.total > 1:
        lines = [("checks", names(alert)), *((one.check, one.because or one.status) for one in alert.subjects)]
        lines += [("page", link)] if (link := safe_link(first.link)) else []
    else:
        lines = rows(alert, first, now)
    return "\n".join(f"- {escape(label)}: {f'<{words}>' if label in _LINKS else escape(words)}" for label, words in lines)


_LINKS: Final = frozenset({"runbook", "page"})
"""Labels of rows that hold an address which :func:`safe_link` has let through."""


def escape(words: str) -> str:
    """One line in which nothing is Markdown: punctuation that means something there has a backslash before it (CommonMark 2.4)."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", plain(words, 500))


def _bytes(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), default=str).encode()


CHANNEL = Channel(
    "incidentio",
    "an alert in incident.io (HTTP alert source)",
    Config,
    'incidentio: {source: 01HXYZALERTSOURCE, token: "${{ secret.INCIDENTIO_TOKEN }}"}',
    message,
)
