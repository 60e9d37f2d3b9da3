"""Alerts people through the Alert API of Opsgenie, or of Jira Service Management, which takes the same calls at another ``url``.

``https://api.opsgenie.com``, ``https://api.eu.opsgenie.com`` (both until Opsgenie ends on 5 April 2027), and
``https://api.atlassian.com/jsm/ops/integration`` (unverified: same paths and header). An answer of 202 means that the request was
taken, not that it worked: that shows in Opsgenie's own log, under the request id that the answer names.

Limits: message 130 characters, alias 512, description 15,000; unverified: 20 tags of 50, details 8,000 in all. While an alert is
open, another create with its alias only counts it up, so its priority stays that of the opening (unverified).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from pydantic import Field, field_validator

from probes.channels.delivery.request import Channel, Http, SecretText, credential
from probes.channels.delivery.words import headline, plain, safe_link, text
from probes.channels.webhook import check_url
from probes.core.alert import Alert, Severity
from probes.core.kind import Shape
from probes.core.shapes import complain

_PRIORITIES: Final[dict[Severity, str]] = {"critical": "P1", "warning": "P3", "info": "P5"}


class Config(Shape):
    """``key``: that of an API integration, not one of the account; ``url``: where the account lives."""

    key: SecretText = Field(description="the key of an API integration")
    url: str = Field(
        "https://api.opsgenie.com",
        description="`https://api.eu.opsgenie.com`, or `https://api.atlassian.com/jsm/ops/integration` for Jira Service Management",
    )
    team: str | None = Field(
        None, min_length=1, max_length=100, description="who is told, when it is not the integration's own team"
    )

    @field_validator("url")
    @classmethod
    def _base(cls, url: str) -> str:
        check_url(url, private=None)
        if "?" in url or "#" in url or "${{" in url:
            raise complain("url", "this is no base address", "write https://host or https://host/path, without a query")
        return url.rstrip("/")


def message(alert: Alert, config: Config, now: float) -> Http:
    """Create, which is a reminder while the alert is open, or close; both with the same alias."""
    headers = {"authorization": f"GenieKey {credential(config.key)}", "content-type": "application/json"}
    known_as = alias(alert.key)
    if alert.event == "resolved":
        url = f"{config.url}/v2/alerts/{known_as}/close?identifierType=alias"
        body: dict[str, Any] = {"source": "probes", "note": _calm(text(alert, now), 15_000)}
    else:
        url = f"{config.url}/v2/alerts"
        body = {"alias": known_as, **_create(alert, now)} | (
            {"responders": [{"name": config.team, "type": "team"}]} if config.team else {}
        )
    return Http("POST", url, headers, json.dumps(body, separators=(",", ":")).encode(), expect=frozenset({202}))


def _create(alert: Alert, now: float) -> dict[str, Any]:
    first = alert.subjects[0]
    tags = [alert.service, alert.severity, *((first.kind, *first.tags) if alert.total == 1 else ())]
    details = {
        "service": alert.service,
        "event": alert.event,
        "reason": alert.reason,
        "incidents": str(alert.total),
        "check": first.check if alert.total == 1 else "",
        "group": (alert.group if alert.total > 1 else first.group) or "",
        "owner": first.owner or "",
        "fault": first.fault or "",
        "locations": ", ".join(first.locations),
        "findings": "; ".join(f"{one.get('assertion')}: {one.get('because')}" for one in first.findings),
        "runbook": safe_link(first.runbook) or "",
        "page": safe_link(first.link) or "",
    }
    return {
        "message": _calm(headline(alert), 130),
        "description": _calm(text(alert, now), 15_000),
        "source": "probes",
        "entity": _calm(first.check if alert.total == 1 else alert.group or alert.service, 512),
        "priority": _PRIORITIES[alert.severity],
        "tags": [_calm(tag, 50) for tag in dict.fromkeys(tags)][:20],
        "details": {name: _calm(value, 500) for name, value in details.items() if value},
    }


def alias(key: str) -> str:
    """The alert's name in Opsgenie: the key, with nothing in it that could end a path, and a hash that keeps it unlike others."""
    return f"{re.sub('[^A-Za-z0-9._-]+', '-', key)[:400]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _calm(words: str, limit: int) -> str:
    """Printable text without a tag: where Opsgenie renders HTML is not written down, so angle brackets become quotation marks."""
    lines = words.translate({ord("<"): "\u2039", ord(">"): "\u203a"}).split("\n")
    quiet = "\n".join(plain(line, limit) for line in lines).strip()
    return quiet if len(quiet) <= limit else quiet[: limit - 1] + "…"


CHANNEL = Channel(
    "opsgenie",
    "an alert in Opsgenie, or Jira Service Management",
    Config,
    'opsgenie: {key: "${{ secret.OPSGENIE_KEY }}", url: https://api.eu.opsgenie.com}',
    message,
)
