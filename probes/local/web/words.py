"""How times, amounts and states are said on the page, and the template environment that makes every text harmless."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from probes.core.diagnostics import printable
from probes.core.events import brief
from probes.core.units import Duration, instant, iso

STATUSES: Final = ("down", "degraded", "unknown", "paused", "up")
"""Every status, the worst first: the order of attention."""
UNKNOWN: Final = "\N{EN DASH}"


def percent(value: float | None) -> str:
    """``99.95%`` with as many digits as tell it from 100; a dash where nothing is known. 99.9996 is never rounded up to 100."""
    if value is None:
        return UNKNOWN
    if value >= 100:
        return "100%"
    scale = 1000 if value >= 99.9 else 100 if value >= 99 else 10
    return f"{math.floor(value * scale + 1e-6) / scale:g}%"


def milliseconds(value: float | None) -> str:
    """``0.42 ms``, ``124 ms``, ``1.3 s``; a dash where nothing is known."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{value:.2f} ms"
    if value < 9.95:
        return f"{value:.1f} ms"
    return f"{value:,.0f} ms" if value < 999.5 else f"{value / 1000:.1f} s" if value < 59_950 else lasting(value / 1000)


def lasting(seconds: float | None) -> str:
    """A span in its two largest units: ``4s``, ``3m 20s``, ``2h 5m``, ``6d 3h``."""
    if seconds is None:
        return UNKNOWN
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(at: float | None, now: float) -> str:
    """``just now``, ``3m 20s ago``, ``in 5m``; ``never`` for None."""
    if at is None:
        return "never"
    gone = now - at
    if abs(gone) < 2:
        return "just now"
    return f"{lasting(gone)} ago" if gone > 0 else f"in {lasting(-gone)}"


def clock(at: float) -> str:
    """``2026-02-03 04:05:00 UTC``."""
    return iso(math.floor(at)).replace("T", " ").replace("Z", " UTC")


def epoch(value: Any) -> float | None:
    """Epoch seconds of a time in a document, which may be ISO 8601 text already, or None."""
    if value is None or isinstance(value, (int, float)):
        return value
    return instant(value)


def when(at: Any, now: float) -> Markup:
    """A ``<time>``: how long ago in words, the whole time on hover and for machines. The page's script keeps the words true."""
    at = epoch(at)
    if at is None:
        return Markup("never")
    return Markup('<time datetime="{}" title="{}" data-ago="{}">{}</time>').format(iso(math.floor(at)), clock(at), at, ago(at, now))


def every(seconds: float) -> str:
    """A duration as it is written in checks.yaml."""
    return str(Duration(seconds))


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 check``, ``1,000 checks``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty(value: Any) -> Markup:
    """JSON for reading, line by line; every character that could hide or reorder text shown as its escape."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return Markup("\n").join(Markup("{}").format(printable(line)) for line in text.splitlines())


def _finalize(value: Any) -> Any:
    """Every value that a template prints: text without characters that act, None as nothing."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def environment() -> Environment:
    """The templates: everything is escaped, every undefined name is an error."""
    made = Environment(
        loader=PackageLoader("probes.local.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "ms": milliseconds,
        "lasting": lasting,
        "every": every,
        "clock": clock,
        "pretty": pretty,
        "brief": brief,
        "plural": lambda count, one, many=None: plural(count, one, many),
    }
    return made


def render(template: str, context: Mapping[str, Any]) -> str:
    """The template's page. ``context["now"]`` is the time (epoch seconds) that ages are told against."""
    now = context["now"]
    return environment().get_template(template).render(**context, when=lambda at: when(at, now), epoch=epoch)
