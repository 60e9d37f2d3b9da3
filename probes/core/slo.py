"""Objectives: how much may fail, how much of that is left, and how fast it goes.

SLI = good runs / counted runs; good: passed or degraded; not counted: errored, skipped, in maintenance. The error budget is what
the objective leaves (100 % - objective) of the runs that are expected in its window. Rows of multi-window burn rates as in the SRE
Workbook, chapter 5, with the guards that few probes need: the textbook rows would page on one failed probe at 99.9 %.

Burn rates become events and metrics here; paging on them is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from probes.core.check import Check, Objective
from probes.core.units import Duration

FINE: Final = 300.0
"""Seconds of a fine bucket; they are kept for :data:`FINE_KEPT` and add up to the hours that are kept for the whole window."""
FINE_KEPT: Final = 6 * 3600.0
HOUR: Final = 3600.0

Counts = tuple[int, int]
"""(good, bad) runs."""


@dataclass(frozen=True, slots=True)
class Row:
    """Burning when more than ``share`` of the budget goes in ``long`` seconds and the trouble still lasts in ``short``."""

    severity: Literal["page", "ticket"]
    long: float
    short: float
    share: float


ROWS: Final = (
    Row("page", 3600.0, 300.0, 0.02),
    Row("page", 6 * 3600.0, 1800.0, 0.05),
    Row("ticket", 86400.0, 7200.0, 0.10),
    Row("ticket", 3 * 86400.0, 6 * 3600.0, 0.10),
)
"""SRE Workbook, table 5-8, with the common third row; factors follow from the objective's window: 14.4, 6, 3 and 1 for 30 days."""
LEAST_BAD: Final = (3, 2)
"""Bad runs that the long and the short window need at least: below, one blip would count as a trend."""
LEAST_SEEN: Final = 0.5
"""Part of the expected runs that the long window needs at least; missing runs are unknown, not good."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counted runs of a check: ``fine`` and ``hours`` by the start of their bucket (epoch seconds). Assigned, never added to."""

    fine: Mapping[int, Counts]
    hours: Mapping[int, Counts]

    @classmethod
    def parse(cls, document: Mapping[str, Mapping[str, list[int]]] | None) -> Ledger:
        """The ledger whose :meth:`document` this is; an empty one for None."""
        if document is None:
            return cls({}, {})
        fine, hours = ({int(at): (c[0], c[1]) for at, c in document[name].items()} for name in ("fine", "hours"))
        return cls(fine, hours)

    def document(self) -> dict[str, dict[str, list[int]]]:
        """The JSON form."""
        return {
            "fine": {str(at): list(counts) for at, counts in self.fine.items()},
            "hours": {str(at): list(counts) for at, counts in self.hours.items()},
        }

    def enter(self, fine: Mapping[int, Counts], window: float, now: float) -> Ledger:
        """The ledger with these fine buckets as they are now; entering the same ones twice changes nothing."""
        kept = {at: counts for at, counts in {**self.fine, **fine}.items() if at >= now - FINE_KEPT - HOUR}
        hours = dict(self.hours)
        for hour in {int(at // HOUR * HOUR) for at in fine}:
            if hour >= now - FINE_KEPT:
                hours[hour] = _sum(counts for at, counts in kept.items() if hour <= at < hour + HOUR)
        return Ledger(dict(sorted(kept.items())), {at: c for at, c in sorted(hours.items()) if at >= now - window - HOUR})

    def count(self, window: float, now: float) -> Counts:
        """Counted runs of the last ``window`` seconds, to the bucket: five minutes up to 6 h, hours beyond."""
        if window <= FINE_KEPT:
            return _sum(counts for at, counts in self.fine.items() if now - window - FINE < at <= now)
        return _sum(counts for at, counts in self.hours.items() if now - window - HOUR < at <= now)


def _sum(counts: Iterable[Counts]) -> Counts:
    good = bad = 0
    for more_good, more_bad in counts:
        good, bad = good + more_good, bad + more_bad
    return good, bad


def bucket(at: float) -> int:
    """The start of the fine bucket a run belongs to."""
    return int(at // FINE * FINE)


def expected(check: Check, locations: int, seconds: float) -> float:
    """How many runs a time holds."""
    return max(1, locations) * seconds / check.every


def label(objective: Objective) -> str:
    """As it is written: ``99.95% over 30d``."""
    return f"{objective.percent:g}% over {Duration(objective.window)}"


@dataclass(frozen=True, slots=True)
class Burn:
    """A row that burns: at ``rate`` times the speed that would use the budget up exactly at the end of the window."""

    row: Row
    rate: float

    @property
    def window(self) -> str:
        """The long window as text: ``1h``."""
        return str(Duration(self.row.long))


@dataclass(frozen=True, slots=True)
class Budget:
    """What became of an objective: ``sli`` percent (None before any run), ``remaining`` percent of the budget (below 0: overdrawn).

    ``bad`` of ``allowed`` runs failed; ``rates`` is the burn rate by long window; ``burning`` are the rows that hold now.
    """

    sli: float | None
    remaining: float
    bad: int
    allowed: float
    rates: Mapping[str, float]
    burning: tuple[Burn, ...]


def budget(check: Check, objective: Objective, ledger: Ledger, locations: int, now: float) -> Budget:
    """The budget of a check at ``now``; ``locations`` is how many report."""
    share = 1 - objective.percent / 100
    good, bad = ledger.count(objective.window, now)
    allowed = share * expected(check, locations, objective.window)
    rates, burning = {}, []
    for row in ROWS:
        factor = row.share * objective.window / row.long
        long, short = ledger.count(row.long, now), ledger.count(row.short, now)
        fast = min(_ratio(long), _ratio(short)) / share if share else float("inf") if short[1] else 0.0
        rates[str(Duration(row.long))] = _ratio(long) / share if share else 0.0
        seen = sum(long) >= LEAST_SEEN * expected(check, locations, row.long)
        if factor >= 1 and fast > factor and long[1] >= LEAST_BAD[0] and short[1] >= LEAST_BAD[1] and seen:
            burning.append(Burn(row, round(fast, 2)))
    sli = 100 * good / (good + bad) if good + bad else None
    left = 100 * (1 - bad / allowed) if allowed else (0.0 if bad else 100.0)
    return Budget(sli, left, bad, allowed, rates, tuple(burning))


def _ratio(counts: Counts) -> float:
    return counts[1] / sum(counts) if sum(counts) else 0.0


def warning(check: Check, locations: int = 1) -> str | None:
    """Why the number of probes cannot express the check's objective, in words for ``validate``; None where it can."""
    if check.slo is None:
        return None
    daily = expected(check, locations, 86400)
    whole = (1 - check.slo.percent / 100) * expected(check, locations, check.slo.window)
    if whole >= LEAST_BAD[0]:
        return None
    runs = f"{expected(check, locations, check.slo.window):,.0f} runs in {Duration(check.slo.window)} ({daily:,.0f} a day)"
    return f"{check.slo.percent:g}% of {runs} allows {whole:.2g} bad ones: probe more often, from more locations, or promise less"
