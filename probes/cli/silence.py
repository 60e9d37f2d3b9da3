"""``probes silence``: hold alerts for a while, with a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared.options import by_option, data_option, file_option, json_option, person, span

if TYPE_CHECKING:
    from probes.core.plan import Plan
    from probes.ports import World


@click.command()
@click.argument("check", required=False)
@click.option(
    "--when",
    "lines",
    multiple=True,
    metavar="LINE",
    help="Incidents of which this holds, such as 'group == \"edge\"'. Repeatable: all.",
)
@click.option("--for", "lasting", type=span, metavar="SPAN", help="How long, such as 2h. A silence always ends.")
@click.option("--because", metavar="TEXT", help="Why, for whoever meets it at 3 am.")
@click.option("--list", "listing", is_flag=True, help="List the silences in force instead, the first to end first.")
@by_option
@file_option
@data_option
@json_option
def command(
    *,
    check: str | None,
    lines: tuple[str, ...],
    lasting: float | None,
    because: str | None,
    listing: bool,
    by: str | None,
    file: Path,
    data: Path | None,
    as_json: bool,
) -> None:
    """Hold alerts about CHECK, or about incidents that satisfy every LINE. Probes run on; at the end what is still broken is told.

    CHECK may be an assertion line itself: probes silence 'group == "edge"' --for 2h --because "new load balancer".
    """
    from probes.cli.shared import loop, store, terminal
    from probes.core.expression import ExpressionError
    from probes.core.units import Duration

    if listing:
        if check is not None or lines or lasting is not None or because is not None:
            raise click.UsageError("--list stands alone: nothing is silenced with it")
        loop.complete(_list(file, data, as_json=as_json))
        return
    if lasting is None or because is None:
        missing = " and ".join(
            what for what, given in (("how long, with --for 2h,", lasting), ('why, with --because "..."', because)) if given is None
        )
        raise click.UsageError(f"say {missing.rstrip(',')}")
    who = person(by)
    if check is not None and not re.fullmatch(r"[a-z0-9-]+", check):
        lines, check = (check, *lines), None
    if (check is None) == (not lines):
        raise click.UsageError("say what to silence: either a CHECK, or --when LINE")

    seconds, reason = lasting, because

    async def alone(plan: Plan, world: World) -> dict[str, Any]:
        from probes import pipeline
        from probes.local.web.api import silence_document

        when = lines if check is None else (f"check == {json.dumps(store.known(plan, check))}",)
        try:
            return silence_document(await pipeline.silence(plan, world, when, seconds, who, reason))
        except ExpressionError as error:
            raise click.UsageError(f"--when: {error.message}" + (f" ({error.hint})" if error.hint else "")) from None
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    about: dict[str, Any] = {"check": check} if check is not None else {"when": list(lines)}
    given = {**about, "for": str(Duration(lasting)), "by": who, "because": because}
    done = loop.complete(store.change(file, data, "/api/silence", given, alone))
    if as_json:
        terminal.document(done)
    else:
        click.echo(f"{done['silence']}  {' and '.join(done['when'])}  until {done['until']}")
        terminal.talk(f"to end it earlier: probes unsilence {done['silence']}")


async def _list(file: Path, data: Path | None, *, as_json: bool) -> None:
    from probes import pipeline
    from probes.cli.shared import store, terminal
    from probes.core.units import iso
    from probes.local.web.api import silence_document

    async with store.reading(file, data) as (_, world):
        found = await pipeline.silences(world)
    if as_json:
        terminal.document({"version": 1, "silences": [silence_document(one) for one in found]})
        return
    rows = ((one.id, iso(one.until), one.by, f"{' and '.join(one.when)}: {one.because}") for one in found)
    if found:
        terminal.table(("silence", "until", "by", "what, and why"), rows)
    terminal.talk(terminal.plural(len(found), "silence"))
