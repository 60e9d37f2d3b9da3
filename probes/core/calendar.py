"""When maintenance is: weekly windows on the clocks of a zone, right over midnight and when clocks change, and single ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from probes.core.route import Maintenance, Weekly

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def opening(weekly: Weekly, day: date) -> float:
    """Epoch seconds at which the window of that local ``day`` opens.

    A wall time that the clocks skip (02:30 in spring) is taken with the offset from before the change, so the window opens as much
    later as was skipped; of a time that comes twice (autumn) the first one counts (PEP 495, ``fold=0``, does both).
    """
    hour, minute = (int(part) for part in weekly.at.split(":"))
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(weekly.zone)).astimezone(UTC).timestamp()


def current(window: Maintenance, at: float) -> tuple[float, float] | None:
    """(start, end) of the occurrence that holds at ``at`` (start included, end excluded), or None. Lasting is elapsed time.

    Of occurrences that overlap (one longer than a day), the one that ends last.
    """
    return max(
        ((start, start + window.lasting) for start in _openings(window, at) if start <= at < start + window.lasting),
        key=lambda occurrence: occurrence[1],
        default=None,
    )


def following(window: Maintenance, at: float) -> float | None:
    """When the window opens next, strictly after ``at``; None when it never does again."""
    if window.weekly is None:
        return window.starts if window.starts is not None and window.starts > at else None
    today = datetime.fromtimestamp(at, ZoneInfo(window.weekly.zone)).date()
    days = (today + timedelta(days=ahead) for ahead in range(-1, 9))
    return min(
        (start for day in days if DAYS[day.weekday()] in window.weekly.days and (start := opening(window.weekly, day)) > at),
        default=None,
    )


def _openings(window: Maintenance, at: float) -> Iterator[float]:
    if window.weekly is None:
        if window.starts is not None:
            yield window.starts
        return
    today = datetime.fromtimestamp(at, ZoneInfo(window.weekly.zone)).date()
    for back in range(min(7, int(window.lasting // 86400)) + 2):
        day = today - timedelta(days=back)
        if DAYS[day.weekday()] in window.weekly.days:
            yield opening(window.weekly, day)
