"""``probes unsilence``: end a silence before its time."""

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
@click.argument("silence", shell_complete=complete.silences)
@by_option
@file_option
@data_option
@json_option
def command(*, silence: str, by: str | None, file: Path, data: Path | None, as_json: bool) -> None:
    """End SILENCE (its id, or the start of it) now; what is still broken is told."""
    from probes.cli.shared import loop, store, terminal

    who = person(by)

    async def alone(plan: Plan, world: World) -> dict[str, Any]:
        from probes import pipeline

        try:
            ended = await pipeline.unsilence(plan, world, silence, who)
        except KeyError:
            raise click.UsageError(f"there is no silence {silence!r} in force") from None
        return {"silence": ended.id}

    done = loop.complete(store.change(file, data, "/api/unsilence", {"silence": silence, "by": who}, alone))
    if as_json:
        terminal.document(done)
    else:
        click.echo(f"{done.get('silence', silence)} ended")
