"""Tells a channel of Microsoft Teams through a Workflows webhook, as an Adaptive Card 1.2.

Text stands in TextRuns, which know no Markdown, so that no text of a target becomes a link (https://adaptivecards.io/explorer/TextRun.html).
202 means that the workflow started, not that the card is shown. Unverified: about 28 KB for a message, and four requests a second.
A workflow tells no message apart and changes none, so recovery is a message of its own.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import Field, field_validator

from probes.channels.delivery.request import Channel, Http, SecretText, refers
from probes.channels.delivery.words import FIRST, about, plain, rows, safe_link, word
from probes.channels.webhook import check_url
from probes.core.alert import Alert, Severity
from probes.core.kind import Shape
from probes.core.shapes import complain

LARGEST: Final = 26_000
"""Bytes of a message, safely below what Teams takes."""
_COLOURS: Final[dict[Severity, str]] = {"critical": "attention", "warning": "warning", "info": "accent"}


class Config(Shape):
    """``webhook``: the address that "When a Teams webhook request is received" shows, which is a secret."""

    webhook: SecretText = Field(description="the address the workflow shows: whoever has it can post")

    @field_validator("webhook")
    @classmethod
    def _secure(cls, webhook: str) -> str:
        if not refers(webhook):
            if not webhook.startswith("https://"):
                raise complain("url", "the secret is not an https address: copy it from the workflow in Teams")
            check_url(webhook, private=None)
        return webhook


def message(alert: Alert, config: Config, now: float) -> Http:
    """One card: what happened, then one row for each thing a person asks."""
    body = b""
    for longest in (500, 150, 40):
        body = json.dumps(_message(alert, now, longest), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if len(body) <= LARGEST:
            break
    return Http("POST", config.webhook, {"content-type": "application/json"}, body, expect=frozenset({200, 202}))


def _message(alert: Alert, now: float, longest: int) -> dict[str, Any]:
    first = alert.subjects[0]
    colour = "good" if alert.event == "resolved" else _COLOURS[alert.severity]
    title = {"type": "TextRun", "text": plain(f"{word(alert)}: {about(alert)}", 200), "weight": "bolder", "size": "medium"}
    body = [{"type": "RichTextBlock", "inlines": [{**title, "color": colour}]}]
    body += [_row(label, plain(value, longest)) for label, value in _rows(alert, now)]
    links = [("Open", safe_link(first.link, 1000)), ("Runbook", safe_link(first.runbook, 1000))]
    actions = [{"type": "Action.OpenUrl", "title": label, "url": url} for label, url in links if url]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "msteams": {"width": "full"},
        "fallbackText": plain(f"{word(alert)}: {about(alert)}", 200),
        "body": body,
    }
    if actions:
        card["actions"] = actions
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _rows(alert: Alert, now: float) -> list[tuple[str, str]]:
    first = alert.subjects[0]
    if alert.total == 1:
        findings = [("evidence", f"{one.get('assertion')}: {one.get('because')}") for one in first.findings[:FIRST]]
        told = [(label, value) for label, value in rows(alert, first, now) if label not in {"page", "runbook"}]
        return told + findings
    named = [(plain(one.check, 80), one.because or one.status) for one in alert.subjects[:FIRST]]
    rest = alert.total - len(named)
    return named + [("and", f"{rest} more")] * (rest > 0)


def _row(label: str, value: str) -> dict[str, Any]:
    runs = [{"type": "TextRun", "text": f"{label}: ", "weight": "bolder"}, {"type": "TextRun", "text": value}]
    return {"type": "RichTextBlock", "inlines": runs}


CHANNEL = Channel(
    "teams",
    "a card in a channel of Microsoft Teams (Workflows webhook)",
    Config,
    'teams: {webhook: "${{ secret.TEAMS_WEBHOOK }}"}',
    message,
    rate=(20, 5.0),
)
