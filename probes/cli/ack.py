"""``probes ack``: a person has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared import complete
from probes.cli.shared.options import by_option, data_option, file_option, json_option, person

if TYPE_CHECKING:
    from probes.core.plan import Plan
    from probes.ports import World


@click.command()
@click.argument("incident", shell_complete=complete.incidents)
@by_option
@file_option
@data_option
@json_option
def command(*, incident: str, by: str | None, file: Path, data: Path | None, as_json: bool) -> None:
    """Acknowledge INCIDENT (its id, or the check it is about): reminders and escalation stop, the rest goes on."""
    from probes.cli.shared import loop, store, terminal

    who = person(by)

    async def alone(plan: Plan, world: World) -> dict[str, Any]:
        from probes import pipeline

        try:
            taken = await pipeline.acknowledge(plan, world, incident, who)
        except KeyError:
            raise click.UsageError(f"there is no open incident {incident!r}: `probes incidents --open` lists them") from None
        return {"incident": taken.id, "acknowledged_by": taken.acknowledged_by}

    done = loop.complete(store.change(file, data, "/api/ack", {"incident": incident, "by": who}, alone))
    if as_json:
        terminal.document(done)
    else:
        click.echo(f"{done.get('incident', incident)} acknowledged by {done.get('acknowledged_by', who)}")
