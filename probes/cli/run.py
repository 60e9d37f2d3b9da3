"""``probes run``: look once, now, with the code that runs in production."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared import complete
from probes.cli.shared.options import DEFAULT, json_option, var_option

if TYPE_CHECKING:
    from probes.core.check import Check
    from probes.core.plan import Plan
    from probes.core.result import Run
    from probes.ports import Entry, World

FLIGHT = 50
"""Most checks looked at at once: a laptop's uplink is not the thing to measure."""


@click.command()
@click.argument("words", metavar="[FILE] [CHECK]...", nargs=-1, shell_complete=complete.checks)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only checks with this tag. Repeatable: any of them.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="Only checks of this group. Repeatable: any of them.")
@click.option("--location", metavar="NAME", help="Look as this location: only its checks, and its name in results.")
@var_option
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write a JUnit report.")
@click.option("--github", is_flag=True, help="Also annotate a pull request (GitHub workflow commands, on standard error).")
@click.option("--explain", is_flag=True, help="Show each setting and where it came from, every finding, fact and phase.")
@json_option
def command(
    *,
    words: tuple[str, ...],
    tags: tuple[str, ...],
    groups: tuple[str, ...],
    location: str | None,
    variables: tuple[tuple[str, str], ...],
    junit: Path | None,
    github: bool,
    explain: bool,
    as_json: bool,
) -> int:
    """Run the checks of FILE (checks.yaml) once, or only the CHECKs named, and tell what was seen.

    Exit code 0: all passed or degraded. 1: something failed. 2: bad configuration or usage. 3: nothing failed, but something
    errored, so that there is no evidence about it.
    """
    from probes.cli.shared import configuration, loop, results, terminal
    from probes.core.diagnostics import Problem
    from probes.core.plan import HERE
    from probes.core.units import iso

    file, names = _words(words)
    files, spec, plan = configuration.required(file, variables, as_json=as_json)
    try:
        checks = _chosen(plan, names, tags, groups, location)
    except _Unknown as unknown:
        if not as_json:
            raise click.UsageError(f"{unknown}: {unknown.hint}") from None
        problem = Problem(unknown.code, str(unknown), str(file), hint=unknown.hint)
        terminal.document(configuration.verdict([problem]))
        return 2
    here = location or HERE
    now = float(int(time.time()))
    found = loop.complete(_look(plan, checks, here, now, files.path.parent))
    if as_json:
        terminal.document(
            {
                "version": 1,
                "service": plan.service,
                "location": here,
                "at": iso(now),
                "results": found,
                "summary": results.summary(found),
            }
        )
    else:
        if explain:
            from probes.core.compile import settings

            for check in checks:
                results.settings(settings(spec, spec.checks[check.id]), check)
        results.show(found, plan.checks, everything=explain)
    if junit is not None:
        results.junit(junit, plan.service, found, plan.checks)
    if github:
        places = {name: reader.source.key(path) for (section, name), (reader, path) in spec.places.items() if section == "checks"}
        results.annotate(found, places)
    return results.code(found)


class _Unknown(Exception):
    """What was asked for is not in the plan: ``code`` of the problem, and what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def _words(words: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """The file, when the first word looks like one (a suffix, a folder, or it exists), and the checks."""
    if words and (words[0].endswith((".yaml", ".yml")) or "/" in words[0] or Path(words[0]).exists()):
        return Path(words[0]), tuple(words[1:])
    return Path(DEFAULT), tuple(words)


def _chosen(plan: Plan, names: Sequence[str], tags: Sequence[str], groups: Sequence[str], location: str | None) -> list[Check]:
    """The checks to run, in the order of the file. Raises :class:`_Unknown` for a name that nothing has, or when none fits."""
    known_tags = {tag for check in plan.checks.values() for tag in check.tags}
    known_groups = {check.group for check in plan.checks.values() if check.group is not None}
    for what, given, known in (
        ("check", names, set(plan.checks)),
        ("tag", tags, known_tags),
        ("group", groups, known_groups),
        ("location", [location] if location else [], set(plan.locations)),
    ):
        for name in given:
            if name not in known:
                raise _unknown(what, name, known)
    chosen = [
        check
        for check in plan.checks.values()
        if (not names or check.id in names)
        and (not tags or set(tags) & set(check.tags))
        and (not groups or check.group in groups)
        and (location is None or location in check.locations)
        and (check.id in names or not check.paused)
    ]
    if not chosen and plan.checks:
        raise _Unknown("value", "no check fits all of what was asked for", "paused checks run only when they are named")
    return chosen


def _unknown(what: str, name: str, known: Iterable[str]) -> _Unknown:
    from probes.core.diagnostics import did_you_mean, printable

    listed = sorted(known)
    hint = did_you_mean(name, listed) or (f"there are {', '.join(listed[:10])}" if listed else f"there is no {what} at all")
    return _Unknown("value" if what == "tag" else f"unknown-{what}", f"there is no {what} `{printable(name)}`", hint)


async def _look(plan: Plan, checks: Sequence[Check], location: str, now: float, base: Path) -> list[dict[str, Any]]:
    """The result documents, in the order of the checks; a progress bar on a terminal when it takes longer than a second."""
    import asyncio

    from probes.core.result import Run
    from probes.pipeline import look

    world = _world(plan, location, base)
    flight = asyncio.Semaphore(FLIGHT)
    found: dict[str, dict[str, Any]] = {}

    async def one(check: Check) -> None:
        async with flight:
            run = Run(check.id, location, now)
            found[check.id] = _waits(run, check) if check.passive else await look(plan, world, run)

    async with asyncio.TaskGroup() as group:
        bar = group.create_task(_progress(found, len(checks)))
        for task in [group.create_task(one(check)) for check in checks]:
            await task
        bar.cancel()
    return [found[check.id] for check in checks]


def _waits(run: Run, check: Check) -> dict[str, Any]:
    from probes.core.result import Observation, Result

    because = f"a {check.kind} waits to be called: there is nothing to probe"
    return Result(run, check.kind, "skipped", because, (), Observation()).document()


async def _progress(found: dict[str, Any], total: int) -> None:
    if not sys.stderr.isatty():
        return
    import asyncio

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from probes.cli.shared.terminal import console

    await asyncio.sleep(1)
    columns = (TextColumn("looking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(sys.stderr, soft_wrap=False), transient=True) as progress:
        task = progress.add_task("", total=total)
        while True:
            progress.update(task, completed=len(found))
            await asyncio.sleep(0.1)


def _world(plan: Plan, location: str, base: Path) -> World:
    """A world that keeps nothing: the results are printed, not recorded."""
    from probes.local.secrets import LocalSecrets
    from probes.ports import World

    nowhere = _Nowhere()
    return World(
        now=time.time,
        store=nowhere,
        bus=nowhere,
        metrics=nowhere,
        secrets=LocalSecrets(base, plan.secrets),
        locations=[location],
        base=str(base),
    )


class _Nowhere:
    """Store, Bus and Metrics of one look."""

    async def read(self, key: str) -> tuple[Any, int]:
        return None, 0

    async def write(self, key: str, value: Any, version: int) -> None:
        """Nothing is kept."""

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        return {}

    async def append(self, entries: Iterable[Entry]) -> None:
        """Nothing is kept."""

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        return []

    async def publish(self, events: Iterable[Any]) -> None:
        """Nobody listens."""

    def record(self, samples: Iterable[Any]) -> None:
        """Nobody counts."""
