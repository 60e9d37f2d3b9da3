"""Tells a Slack channel, through an incoming webhook or as an app with a bot token, with Block Kit blocks inside Slack's limits.

With a bot token the first message about an incident stays the one to look at: it is brought up to date (``chat.update``), and what
is bad news is a reply to it that the channel sees as well (``chat.postMessage`` with ``thread_ts``). Known from Slack's pages, not
tried against Slack: the names of its errors, and about one message a second to a channel, with short bursts.

Limits: header 150 characters, text of a section 3,000, of a field 2,000, at most 10 fields and 50 blocks
(https://api.slack.com/reference/block-kit/blocks). ``& < >`` are escaped, so that no text of a target becomes a mention or a link.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from probes.channels.delivery.request import Channel, Http, SecretText, credential, refers
from probes.channels.delivery.words import FIRST, about, names, plain, rows, safe_link, word
from probes.core.alert import Alert, Delivery, Subject
from probes.core.kind import Shape
from probes.core.shapes import complain
from probes.core.units import iso

_SIGNS: Final = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
_RECOVERED: Final = "🟢"
API: Final = "https://slack.com/api"
_LATER: Final = frozenset({"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_ADVICE: Final = {
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "write the id of the channel (C…), and invite the app when it is private",
    "missing_scope": "give the app the scope chat:write",
}


class Config(Shape):
    """``webhook``: the address Slack gave; or ``token``, of an app with the scope ``chat:write``, and its ``channel``."""

    webhook: SecretText | None = Field(None, description="the address Slack gave: whoever has it can post")
    token: SecretText | None = Field(None, description="instead of `webhook`: the bot token of an app, which updates its messages")
    channel: Annotated[str, Field(pattern=r"^[#@]?[^\s<>&#@]{1,80}$")] | None = Field(
        None, description="with `token`: where to (its id, C…); obeyed by webhooks of legacy integrations only"
    )

    @field_validator("webhook")
    @classmethod
    def _secure(cls, webhook: str | None) -> str | None:
        if webhook is not None and not refers(webhook) and not webhook.startswith("https://"):
            raise complain("url", "the secret is not an https address: copy it from the page of the Slack app")
        return webhook

    @model_validator(mode="after")
    def _one_way(self) -> Config:
        if (self.webhook is None) == (self.token is None):
            raise complain("missing-key", "Slack is told through either a `webhook` or a `token`", "write one of them")
        if self.token is not None and self.channel is None:
            raise complain("missing-key", "a `token` can post anywhere", "write `channel:` with the id of the channel, C…")
        return self


def message(alert: Alert, config: Config, now: float) -> Http:
    """One message: what happened, since when, because, where to read on."""
    sign = _RECOVERED if alert.event == "resolved" else _SIGNS[alert.severity]
    title = f"{sign} {word(alert)}: {about(alert)}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": escape(title, 150), "emoji": False}}]
    blocks += _one(alert, alert.subjects[0], now) if alert.total == 1 else _many(alert)
    context = [part for part in (alert.service, alert.severity, alert.reason) if part]
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escape(" · ".join(context), 2000)}]})
    fallback = title if alert.total > 1 else f"{title}: {alert.subjects[0].because}"
    payload: dict[str, Any] = {"text": escape(fallback, 3000), "blocks": blocks}
    if config.webhook is not None:
        chosen = {"channel": config.channel} if config.channel is not None else {}
        return _post(config.webhook, {}, payload | _QUIET | chosen, expect=frozenset({200}))
    return _call(alert, credential(config.token or ""), config.channel, payload)


_QUIET: Final = {"unfurl_links": False, "unfurl_media": False}


def _call(alert: Alert, token: str, channel: str | None, payload: dict[str, Any]) -> Http:
    """The request of an app: a first message, a reply to it, or the first message as it is now with a reply after it."""
    headers = {"authorization": f"Bearer {token}"}
    post, change = f"{API}/chat.postMessage", f"{API}/chat.update"
    if not alert.note:
        return _post(post, headers, payload | _QUIET | {"channel": channel}, read=first)
    resolved = alert.event == "resolved"
    reply = {**payload, **_QUIET, "channel": alert.note["channel"], "thread_ts": alert.note["ts"], "reply_broadcast": not resolved}
    current = {**payload, "channel": alert.note["channel"], "ts": alert.note["ts"]}
    if alert.group is not None and not (resolved and alert.key == alert.group):  # about some of the group: its message stands
        return _post(post, headers, reply, read=later)
    if resolved:
        return _post(change, headers, current, read=later, then=_post(post, headers, reply, read=later))
    return _post(post, headers, reply, read=later, then=_post(change, headers, current, read=later))


def _post(url: str, headers: dict[str, str], payload: dict[str, Any], **more: Any) -> Http:
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Http("POST", url, {**headers, "content-type": "application/json; charset=utf-8"}, body, **more)


def first(text: str) -> Delivery:
    """What Slack's answer to a first message means: it says 200 to everything. The note is where the message can be found."""
    answer = _answer(text)
    told = later(text)
    channel, stamp = answer.get("channel"), answer.get("ts")
    if told.outcome == "delivered" and isinstance(channel, str) and isinstance(stamp, str):
        return Delivery("delivered", told.detail, note={"channel": channel, "ts": stamp})
    return told


def later(text: str) -> Delivery:
    """What Slack's answer to a reply or an update means."""
    answer = _answer(text)
    if answer.get("ok") is True:
        return Delivery("delivered", "200 ok")
    if not isinstance(error := answer.get("error"), str):
        return Delivery("retry", f"200, but this is not an answer of Slack: {text[:200]}")
    advice = f": {_ADVICE[error]}" if error in _ADVICE else ""
    return Delivery("retry" if error in _LATER else "permanent", f"200, but Slack refused: {error}{advice}")


def _answer(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


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
    "a message in a Slack channel (incoming webhook, or a bot token)",
    Config,
    'slack: {webhook: "${{ secret.SLACK_WEBHOOK }}", channel: "#alerts"}',
    message,
    rate=(10, 10.0),
)
