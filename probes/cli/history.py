"""``probes history``: the results of one check."""

from __future__ import annotations

from pathlib import Path

import click

from probes.cli.shared import complete
from probes.cli.shared.options import data_option, file_option, json_option, span


@click.command()
@click.argument("check", shell_complete=complete.checks)
@click.option("--since", type=span, default="24h", show_default=True, metavar="SPAN", help="How far back, such as 30m or 7d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Most results: the newest.")
@file_option
@data_option
@json_option
def command(*, check: str, since: float, limit: int, file: Path, data: Path | None, as_json: bool) -> None:
    """Show the results of CHECK, oldest first."""
    from probes.cli.shared import loop

    loop.complete(_show(check, since, limit, file, data, as_json=as_json))


async def _show(name: str, since: float, limit: int, file: Path, data: Path | None, *, as_json: bool) -> None:
    from probes import view
    from probes.cli.shared import store, terminal

    async with store.reading(file, data) as (plan, world):
        store.known(plan, name)
        results = await view.history(world, name, world.now() - since, limit)
    if as_json:
        terminal.document({"version": 1, "check": name, "results": results})
        return
    rows = (
        (
            result["at"],
            result["location"],
            terminal.coloured(result["outcome"]),
            terminal.milliseconds(result["latency_ms"]),
            result["because"] or "",
        )
        for result in results
    )
    terminal.table(("at", "location", "outcome", "latency", "because"), rows, right=("latency",))
    terminal.talk(terminal.plural(len(results), "result"))
