"""Durations, sizes, percentages and times: parsed with a compulsory unit, printed canonically.

``parse(str(x)) == x`` for every value a user can write.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Final

DURATIONS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZES: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|KB|MB|GB)")
_WHOLE: Final = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000))  # microseconds
_LONGEST: Final = 100 * 365 * 86400.0


class Duration(float):
    """A time span in seconds, to the microsecond, that prints as ``300ms``, ``1.5s``, ``1h30m`` or ``14d``."""

    __slots__ = ()

    def __str__(self) -> str:
        if not isfinite(self):
            return float.__repr__(self)
        if self < 0:
            return f"-{Duration(-self)}"
        left, parts = round(self * 1_000_000), ""
        if left < 1_000_000:
            return f"{left / 1000:.15g}ms"
        for unit, length in _WHOLE:
            count, left = divmod(left, length)
            parts += f"{count}{unit}" if count else ""
        if left:
            parts += f"{left / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"
        return parts

    __repr__ = __str__


class Size(int):
    """A number of bytes that prints as ``64KB`` (1 KB is 1,024 bytes)."""

    __slots__ = ()

    def __str__(self) -> str:
        for unit in ("GB", "MB", "KB"):
            if self and not self % SIZES[unit]:
                return f"{int(self) // SIZES[unit]}{unit}"
        return f"{int(self)}B"

    __repr__ = __str__


def duration(text: object) -> Duration:
    """``90s``, ``1h30m``, ``250ms`` as seconds. Raises ValueError with the mend in its words."""
    if isinstance(text, bool) or not isinstance(text, str):
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            raise ValueError(f"a duration needs a unit: write {text}s, {text}ms or {text}m")
        raise ValueError("a duration is a number with a unit, such as 30s, 5m or 1h30m")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"a duration needs a unit: write {text}s, {text}ms or {text}m")
    seconds, end = 0.0, 0
    for match in _PART.finditer(text):
        if match.start() != end:
            break
        seconds, end = seconds + float(match[1]) * DURATIONS[match[2]], match.end()
    if not text or end != len(text):
        raise ValueError(f"{text!r} is not a duration: write a number with ms, s, m, h or d, such as 30s or 1h30m")
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is longer than 100 years")
    return Duration(round(seconds, 6))


def size(text: object) -> Size:
    """``64KB`` as bytes. Raises ValueError with the mend in its words."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise ValueError(f"a size needs a unit: write {text}B, {text}KB or {text}MB")
    if isinstance(text, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"a size needs a unit: write {text}B, {text}KB or {text}MB")
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number with B, KB, MB or GB, such as 64KB")
    count = float(match[1]) * SIZES[match[2]]
    if count % 1 or count > 1 << 50:
        raise ValueError(f"{text!r} is not a whole number of bytes below 1 PB")
    return Size(count)


def percent(text: object) -> float:
    """``99.95%`` as 99.95. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)%", text) if isinstance(text, str) else None
    if match is None or not 0 <= float(match[1]) <= 100:
        raise ValueError(f"{text!r} is not a percentage: write 99.9%")
    return float(match[1])


def iso(at: float) -> str:
    """Epoch seconds as ``2026-02-03T04:05:00Z`` (with milliseconds only where there are some)."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def instant(text: str) -> float:
    """An ISO 8601 time with an offset or Z as epoch seconds. Raises ValueError; a time without a zone is refused."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write 2026-03-01T01:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone: write {text}Z for UTC, or an offset such as {text}+01:00")
    return moment.timestamp()
