"""The words of an alert, the same in every channel. What a target wrote is hostile text: nothing here can steer a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any, Final
from urllib.parse import urlsplit

from probes.core.alert import Alert, Subject
from probes.core.units import Duration, iso

FIRST: Final = 10
"""How many incidents of a group are named."""


def plain(text: str, limit: int = 2000) -> str:
    r"""One printable line: control, format and separator characters as escapes (``\x1b``), cut at ``limit`` characters."""
    shown = "".join(_visible(letter) for letter in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(letter: str) -> str:
    if unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return letter
    return letter.encode("unicode_escape").decode()


def word(alert: Alert) -> str:
    """What happened, in a few words: ``DOWN``, ``NOW DOWN``, ``STILL DOWN``, ``DOWN, ESCALATED``, ``RECOVERED``."""
    if alert.event == "resolved":
        return "RECOVERED"
    now = plain(alert.subjects[0].status, 20).upper() if alert.total == 1 else "FAILING"
    if alert.reason in ("worsened", "improved"):
        return f"NOW {now}"
    return {"reminded": f"STILL {now}", "escalated": f"{now}, ESCALATED"}.get(alert.event, now)


def about(alert: Alert) -> str:
    """Whom it is about: ``Price a basket``, or ``checkout: 12 checks``."""
    if alert.total == 1:
        return plain(alert.subjects[0].name or alert.subjects[0].check, 200)
    return f"{plain(alert.group or alert.service, 200)}: {alert.total} checks"


def headline(alert: Alert) -> str:
    """``[DOWN] Price a basket``; a group says how many and the first names."""
    if alert.total == 1:
        return f"[{word(alert)}] {about(alert)}"
    return f"[{word(alert)}] {about(alert)} ({names(alert, 3)})"


def names(alert: Alert, most: int = FIRST) -> str:
    """``quote, basket, orders and 7 more``."""
    first = [plain(subject.check, 80) for subject in alert.subjects[:most]]
    rest = alert.total - len(first)
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")


def rows(alert: Alert, subject: Subject, now: float) -> list[tuple[str, str]]:
    """Label and text of everything a person needs about one incident, in the order they ask for it."""
    found = [
        ("check", f"{plain(subject.check, 80)} ({plain(subject.kind, 20)}, {plain(alert.service, 80)})"),
        ("target", plain(subject.target, 300)),
        ("since", since(subject, now)),
        ("because", plain(subject.because, 500)),
        ("seen from", plain(", ".join(subject.locations), 300)),
        ("fault", plain(subject.fault or "", 80)),
        ("owner", plain(subject.owner or "", 80)),
        ("known to", plain(subject.acknowledged_by or "", 80)),
        ("told because", "" if alert.reason == alert.event else plain(alert.reason, 300)),
        ("runbook", safe_link(subject.runbook) or ""),
        ("page", safe_link(subject.link) or ""),
    ]
    return [(label, text) for label, text in found if text]


def since(subject: Subject, now: float) -> str:
    """``2026-02-03T04:05:00Z, for 2m30s``; after recovery how long it was."""
    end = now if subject.resolved_at is None else subject.resolved_at
    lasted = Duration(max(0, round(end - subject.opened_at)))
    if subject.resolved_at is None:
        return f"{iso(subject.opened_at)}, for {lasted or '0s'}"
    return f"{iso(subject.opened_at)} until {iso(subject.resolved_at)}, {lasted or '0s'}"


def text(alert: Alert, now: float) -> str:
    """The whole alert as plain text: a headline, then one row a line. Ends with a newline."""
    lines = [headline(alert)]
    if alert.total == 1:
        lines += [f"  {label + ':':14}{value}" for label, value in rows(alert, alert.subjects[0], now)]
        return "\n".join(lines) + "\n"
    for subject in alert.subjects[:FIRST]:
        lines.append(f"  {plain(subject.check, 80)}: {plain(subject.because, 200) or plain(subject.status, 20)}")
    if alert.total > min(FIRST, len(alert.subjects)):
        lines.append(f"  and {alert.total - min(FIRST, len(alert.subjects))} more")
    link = safe_link(alert.subjects[0].link)
    lines += [f"  told because: {plain(alert.reason, 300)}"] * bool(alert.reason) + [f"  page: {link}"] * bool(link)
    return "\n".join(lines) + "\n"


def safe_link(url: str | None, limit: int = 2000) -> str | None:
    """The address with what could end or split it quoted, or None when it is no http(s) address."""
    if not url:
        return None
    quoted = "".join(
        f"%{byte:02X}" if byte <= 32 or byte >= 127 or chr(byte) in '<>|"`\\^{}' else chr(byte) for byte in url.encode()
    )
    try:
        usable = urlsplit(quoted).scheme in {"http", "https"} and bool(urlsplit(quoted).hostname)
    except ValueError:
        return None
    return quoted if usable and len(quoted) <= limit else None


def cut(data: Any, items: int, characters: int) -> Any:
    """JSON values, lists cut to ``items`` and texts to ``characters`` (marked by ``…``). What identifies stays whole."""
    if isinstance(data, str):
        return data if len(data) <= characters else data[: characters - 1] + "…"
    if isinstance(data, dict):
        return {key: value if key in {"id", "key", "check"} else cut(value, items, characters) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [cut(value, items, characters) for value in data[:items]]
    return data
