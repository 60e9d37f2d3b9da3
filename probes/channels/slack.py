"""Tells a Slack channel through an incoming webhook, with Block Kit blocks inside Slack's limits.

Limits: header 150 characters, text of a section 3,000, of a field 2,000, at most 10 fields and 50 blocks
(https://api.slack.com/reference/block-kit/blocks). ``& < >`` are escaped, so that no text of a target becomes a mention or a link.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from probes.channels.delivery.request import Channel, Http, SecretText, refers
from probes.channels.delivery.words import FIRST, about, names, plain, rows, safe_link, word
from probes.core.alert import Alert, Subject
from probes.core.kind import Shape
from probes.core.shapes import complain
from probes.core.units import iso

_SIGNS: Final = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
_RECOVERED: Final = "🟢"


class Config(Shape):
    """``webhook``: the address Slack gave, which is a secret; ``channel`` is obeyed by webhooks of legacy integrations only."""

    webhook: SecretText = Field(description="the address Slack gave: whoever has it can post")
    channel: Annotated[str, Field(pattern=r"^[#@]?[^\s<>&#@]{1,80}$")] | None = Field(
        None, description="obeyed by webhooks of legacy integrations only"
    )

    @field_validator("webhook")
    @classmethod
    def _secure(cls, webhook: str) -> str:
        if not refers(webhook) and not webhook.startswith("https://"):
            raise complain("url", "the secret is not an https address: copy it from the page of the Slack app")
        return webhook


def message(alert: Alert, config: Config, now: float) -> Http:
    """One message: what happened, since when, because, where to read on."""
    sign = _RECOVERED if alert.event == "resolved" else _SIGNS[alert.severity]
    title = f"{sign} {word(alert)}: {about(alert)}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": escape(title, 150), "emoji": False}}]
    blocks += _one(alert, alert.subjects[0], now) if alert.total == 1 else _many(alert)
    context = [part for part in (alert.service, alert.severity, alert.reason) if part]
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escape(" · ".join(context), 2000)}]})
    fallback = title if alert.total > 1 else f"{title}: {alert.subjects[0].because}"
    payload: dict[str, Any] = {"text": escape(fallback, 3000), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
    if config.channel is not None:
        payload["channel"] = config.channel
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Http("POST", config.webhook, {"content-type": "application/json"}, body, expect=frozenset({200}))


def _one(alert: Alert, subject: Subject, now: float) -> list[dict[str, Any]]:
    shown = dict(rows(alert, subject, now))
    fields = [("Check", subject.check), ("Seen from", shown.get("seen from", "")), ("Owner", shown.get("owner", ""))]
    fields += [("Fault", shown.get("fault", "")), ("Known to", shown.get("known to", ""))]
    since = f"*Since*\n<!date^{int(subject.opened_at)}^{{date_short_pretty}} {{time_secs}}|{iso(subject.opened_at)}>"
    blocks: list[dict[str, Any]] = [
        {
            "type": "section",
            "fields": [_mrkdwn(since), *(_mrkdwn(f"*{name}*\n{escape(value, 1900)}") for name, value in fields if value)],
        }
    ]
    if subject.because:
        blocks.append(
            {"type": "section", "text": _mrkdwn(f"*Because*\n`{escape(subject.because.replace('`', chr(0x2032)), 2900)}`")}
        )
    blocks.append({"type": "context", "elements": [_mrkdwn(escape(subject.target, 1900) or "-")]})
    return blocks + _links(subject)


def _many(alert: Alert) -> list[dict[str, Any]]:
    lines = [f"• *{escape(s.check, 80)}*: {escape(s.because or s.status, 180)}" for s in alert.subjects[:FIRST]]
    rest = alert.total - len(lines)
    lines += [f"and {rest} more"] * (rest > 0)
    text = "\n".join(lines)
    if _length(text) > 3000:
        text = escape(names(alert), 3000)
    return [{"type": "section", "text": _mrkdwn(text)}, *_links(alert.subjects[0])]


def _links(subject: Subject) -> list[dict[str, Any]]:
    links = [("Runbook", safe_link(subject.runbook, 1000)), ("Open", safe_link(subject.link, 1000))]
    text = " · ".join(f"<{url.replace('&', '&amp;')}|{name}>" for name, url in links if url)
    return [{"type": "section", "text": _mrkdwn(text)}] if text else []


def _mrkdwn(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def escape(text: str, limit: int) -> str:
    """Text for Slack: one printable line with ``& < >`` as entities, at most ``limit`` UTF-16 units, no entity cut in two."""
    escaped = [{"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter, letter) for letter in plain(text, limit)]
    if _length("".join(escaped)) > limit:
        while escaped and _length("".join(escaped)) > limit - 1:
            escaped.pop()
        escaped.append("…")
    return "".join(escaped)


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2


CHANNEL = Channel(
    "slack",
    "a message in a Slack channel (incoming webhook)",
    Config,
    'slack: {webhook: "${{ secret.SLACK_WEBHOOK }}", channel: "#alerts"}',
    message,
)
