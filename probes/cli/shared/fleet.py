"""The checks as rows, for `probes status` and the live table: the cause of trouble, who has it, what keeps it quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from probes.cli.shared import grid, terminal
from probes.core.units import iso

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from probes.core.mute import Silence
    from probes.core.plan import Plan
    from probes.view import CheckView

RANK: Final = {"down": 0, "degraded": 1, "unknown": 2, "up": 3, "paused": 4}
Latency = tuple[str, Callable[["CheckView"], float | None]]
P95: Latency = ("p95", lambda item: item.latency_ms)
LATEST: Latency = ("latency", lambda item: next((value for value in reversed(item.spark) if value is not None), None))


@dataclass(frozen=True, slots=True)
class Quiet:
    """What keeps a check's alerts quiet now: the person who has it, the silence, the maintenance window (in words)."""

    acknowledged_by: str | None
    silence: Silence | None
    maintenance: str | None

    def note(self) -> str:
        """All of it in one line; empty where there is nothing."""
        silence = self.silence
        parts = (
            self.acknowledged_by and f"acknowledged by {self.acknowledged_by}",
            silence and f"silenced until {iso(silence.until)} ({silence.id}) by {silence.by}: {silence.because}",
            self.maintenance and f"in maintenance: {self.maintenance}",
        )
        return "; ".join(part for part in parts if part)

    def document(self) -> dict[str, Any]:
        """The JSON form, beside the check's own."""
        from probes.local.web.api import silence_document

        return {
            "acknowledged_by": self.acknowledged_by,
            "silence": None if self.silence is None else silence_document(self.silence),
            "maintenance": self.maintenance,
        }


def quiet(item: CheckView, plan: Plan, silences: Iterable[Silence], now: float) -> Quiet:
    """What keeps the check quiet at ``now``."""
    from probes.core import mute

    about = {**mute.facts(item.check), "severity": item.incident.severity if item.incident else "critical", "event": "opened"}
    covers = (one for one in silences if one.starts <= now < one.until and mute.matches(one.when, about))
    return Quiet(
        item.incident.acknowledged_by if item.incident else None,
        next(covers, None),
        mute.maintained(plan.maintenance, item.check, now),
    )


def blocks(
    items: Iterable[CheckView], latency: Latency, output: Console, plan: Plan, silences: Iterable[Silence], now: float
) -> list[list[Text]]:
    """The lines of the headings, then of each check."""
    known = list(silences)
    heading, read = latency
    rows = (
        (
            item.check.id,
            terminal.coloured(item.status),
            "-" if item.since is None else terminal.lasted(now - item.since),
            "-" if item.availability is None else f"{item.availability:.2f} %",
            terminal.milliseconds(read(item)),
            "" if item.status == "up" else item.because,
            quiet(item, plan, known, now).note(),
        )
        for item in items
    )
    return grid.blocks(("check", "status", "for", "24 h", heading, "because"), rows, output, right=("24 h", heading), cut=True)


def counts(items: Iterable[CheckView]) -> str:
    """``1 down, 4 up``: the worst first."""
    found: dict[str, int] = {}
    for item in sorted(items, key=lambda item: RANK.get(item.status, 2)):
        found[item.status] = found.get(item.status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in found.items())
