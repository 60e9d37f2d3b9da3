"""``probes status``: what is up and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.cli.shared.options import data_option, file_option, json_option

if TYPE_CHECKING:
    from probes.cli.shared.fleet import Quiet
    from probes.core.mute import Silence
    from probes.core.plan import Plan
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
    from probes import pipeline, view
    from probes.cli.shared import fleet, store, terminal
    from probes.core.units import iso

    async with store.reading(file, data) as (plan, world):
        now = world.now()
        if name is None:
            items = await view.fleet(plan, world)
        else:
            items = [await view.check(plan, world, store.known(plan, name))]
        silences = await pipeline.silences(world)
        if as_json:
            from probes.local.web.api import summary

            listed = [summary(item) | fleet.quiet(item, plan, silences, now).document() for item in items]
            terminal.document({"version": 1, "service": plan.service, "at": iso(now), "checks": listed})
        elif name is None:
            _fleet(plan, items, silences, now)
        else:
            _one(items[0], fleet.quiet(items[0], plan, silences, now), now)


def _fleet(plan: Plan, items: list[CheckView], silences: list[Silence], now: float) -> None:
    import sys

    from probes.cli.shared import fleet, terminal

    output = terminal.console(sys.stdout)
    for block in fleet.blocks(items, fleet.P95, output, plan, silences, now):
        for line in block:
            output.print(line)
    terminal.talk(fleet.counts(items) or "no checks")


def _one(item: CheckView, quiet: Quiet, now: float) -> None:
    from probes.cli.shared import terminal
    from probes.core.units import iso

    check, silence = item.check, quiet.silence
    rows: list[tuple[str, object]] = [
        ("check", f"{check.id} ({check.kind})"),
        ("name", check.name),
        ("target", item.target),
        ("status", terminal.coloured(item.status)),
        ("since", "" if item.since is None else f"{iso(item.since)}, for {terminal.lasted(now - item.since)}"),
        ("because", item.because),
        ("acknowledged", f"by {quiet.acknowledged_by}" if quiet.acknowledged_by else ""),
        ("silenced", f"until {iso(silence.until)} ({silence.id}) by {silence.by}: {silence.because}" if silence else ""),
        ("maintenance", quiet.maintenance or ""),
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
