"""``probes incidents``: what was not up, since when, why, and who was told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared import complete
from probes.cli.shared.options import data_option, file_option, json_option, span

if TYPE_CHECKING:
    from probes.view import IncidentView


@click.command()
@click.option("--open", "open_only", is_flag=True, help="Only those that are open.")
@click.option(
    "--explain",
    "wanted",
    metavar="ID",
    shell_complete=complete.incidents,
    help="One incident in full, with every alert and why it was sent or held back.",
)
@click.option("--since", type=span, default="30d", show_default=True, metavar="SPAN", help="How far back, such as 12h or 7d.")
@file_option
@data_option
@json_option
def command(*, open_only: bool, wanted: str | None, since: float, file: Path, data: Path | None, as_json: bool) -> None:
    """List incidents, newest last. ID may be an incident's id, the start of one, or a check (its newest incident)."""
    from probes.cli.shared import loop

    found = loop.complete(_read(open_only, since, file, data))
    if wanted is not None:
        found = [_choose(found, wanted)]
    if as_json:
        _document(found, one=wanted is not None)
    elif wanted is not None:
        _explain(found[0])
    else:
        _list(found)


async def _read(open_only: bool, since: float, file: Path, data: Path | None) -> list[IncidentView]:
    from probes import view
    from probes.cli.shared import store

    async with store.reading(file, data) as (plan, world):
        found = await view.incidents(plan, world, world.now() - since, open_only)
    return sorted(found, key=lambda one: one.opened_at)


def _choose(found: list[IncidentView], wanted: str) -> IncidentView:
    from probes.core.diagnostics import did_you_mean, printable

    fits = [one for one in found if one.id == wanted] or [one for one in found if one.check == wanted][-1:]
    fits = fits or [one for one in found if one.id.startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise click.UsageError(f"{len(fits)} incidents begin with `{printable(wanted)}`: {', '.join(one.id for one in fits[:5])}")
    names = [name for one in found for name in (one.id, one.check)]
    raise click.UsageError(
        f"there is no incident `{printable(wanted)}`: {did_you_mean(wanted, names) or '`probes incidents` lists them'}"
    )


def _document(found: list[IncidentView], *, one: bool) -> None:
    from probes.cli.shared import terminal
    from probes.local.web.api import incident_document

    documents = [incident_document(each) for each in found]
    terminal.document(documents[0] if one else {"version": 1, "incidents": documents})


def _list(found: list[IncidentView]) -> None:
    import time

    from probes.cli.shared import terminal
    from probes.core.units import iso

    rows = (
        (
            one.id,
            terminal.coloured(one.severity),
            terminal.coloured(one.status),
            iso(one.opened_at),
            terminal.lasted((time.time() if one.resolved_at is None else one.resolved_at) - one.opened_at),
            one.acknowledged_by or "",
            one.because,
        )
        for one in found
    )
    terminal.table(("incident", "severity", "status", "opened", "lasted", "acknowledged", "because"), rows)
    terminal.talk(f"{terminal.plural(len(found), 'incident')}, {sum(one.status == 'open' for one in found)} open")


def _explain(one: IncidentView) -> None:
    from probes.cli.shared import terminal
    from probes.core.units import iso

    rows: list[tuple[str, Any]] = [
        ("incident", one.id),
        ("check", f"{one.check} ({one.name})" if one.name != one.check else one.check),
        ("severity", terminal.coloured(one.severity)),
        ("status", terminal.coloured(one.status)),
        ("opened", iso(one.opened_at)),
        ("resolved", "" if one.resolved_at is None else iso(one.resolved_at)),
        ("because", one.because),
        ("seen from", ", ".join(one.locations)),
        ("acknowledged", one.acknowledged_by or ""),
        ("owner", one.owner or ""),
        ("runbook", one.runbook or ""),
    ]
    terminal.rows((label, value) for label, value in rows if value)
    if one.alerts:
        click.echo()
        told = (
            [_moment(alert.get("at")), *(str(alert.get(name) or "") for name in ("channel", "event", "outcome"))]
            for alert in one.alerts
        )
        why = (" - ".join(str(alert[name]) for name in ("reason", "detail") if alert.get(name)) for alert in one.alerts)
        terminal.table(("at", "channel", "event", "outcome", "why"), ([*row, text] for row, text in zip(told, why, strict=True)))


def _moment(at: Any) -> str:
    from probes.core.units import iso

    return iso(at) if isinstance(at, (int, float)) else str(at or "")
