"""``probes status``: what is up and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.cli.shared.options import data_option, file_option, json_option

if TYPE_CHECKING:
    from probes.view import CheckView


@click.command()
@click.argument("check", required=False)
@file_option
@data_option
@json_option
def command(check: str | None, file: Path, data: Path | None, as_json: bool) -> None:
    """Show the status of every check, or of CHECK in full, from the store of `probes up`, running or not."""
    from probes.cli.shared import loop

    loop.complete(_show(check, file, data, as_json=as_json))


async def _show(name: str | None, file: Path, data: Path | None, *, as_json: bool) -> None:
    from probes import view
    from probes.cli.shared import store, terminal
    from probes.core.units import iso

    async with store.reading(file, data) as (plan, world):
        now = world.now()
        if name is None:
            items = await view.fleet(plan, world)
        else:
            items = [await view.check(plan, world, store.known(plan, name))]
        if as_json:
            from probes.local.web.api import summary

            listed = [summary(item) for item in items]
            terminal.document({"version": 1, "service": plan.service, "at": iso(now), "checks": listed})
        elif name is None:
            _fleet(items, now)
        else:
            _one(items[0], now)


def _fleet(items: list[CheckView], now: float) -> None:
    from probes.cli.shared import terminal

    rows = [
        (
            item.check.id,
            terminal.coloured(item.status),
            "-" if item.since is None else terminal.lasted(now - item.since),
            "-" if item.availability is None else f"{item.availability:.2f} %",
            terminal.milliseconds(item.latency_ms),
            item.muted or ("" if item.status == "up" else item.because),
        )
        for item in items
    ]
    terminal.table(("check", "status", "for", "24 h", "p95", "because"), rows, right=("24 h", "p95"))
    counts: dict[str, int] = {}
    for item in items:
        counts[item.status] = counts.get(item.status, 0) + 1
    terminal.talk(", ".join(f"{count} {status}" for status, count in counts.items()) or "no checks")


def _one(item: CheckView, now: float) -> None:
    from probes.cli.shared import terminal
    from probes.core.units import iso

    check = item.check
    rows: list[tuple[str, object]] = [
        ("check", f"{check.id} ({check.kind})"),
        ("name", check.name),
        ("target", item.target),
        ("status", terminal.coloured(item.status)),
        ("since", "" if item.since is None else f"{iso(item.since)}, for {terminal.lasted(now - item.since)}"),
        ("because", item.because),
        ("muted", item.muted or ""),
        (
            "24 h",
            ""
            if item.availability is None
            else f"{item.availability:.3f} % available, p95 {terminal.milliseconds(item.latency_ms)}",
        ),
        ("budget", "" if item.budget is None else f"{item.budget:.1f} % left of {check.slo.percent if check.slo else 0:g} %"),
        ("incident", item.incident.id if item.incident else ""),
        ("owner", check.owner or ""),
        ("group", check.group or ""),
        ("runbook", check.runbook or ""),
    ]
    for place in item.locations:
        last = f", last {place.last['outcome']} at {place.last['at']}" if place.last else ""
        rows.append((place.location, f"{place.status}{last}"))
    terminal.rows((label, value) for label, value in rows if value)
