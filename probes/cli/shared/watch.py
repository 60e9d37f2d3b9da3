"""What `probes up` and `probes demo` show while they run: a live table on a terminal, plain lines otherwise. All of it is talk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import click

from probes.cli.shared import configuration, fleet, terminal
from probes.core.diagnostics import Rejected, printable
from probes.core.source import BYTES
from probes.core.units import iso

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from probes.core.mute import Silence
    from probes.local.service import Service
    from probes.view import CheckView

REFRESH: Final = 1.0
"""Seconds between two looks at what changed."""
RESERVED: Final = 8
"""Lines of the screen that rows of checks leave to the headings, the footer (folded on a narrow one) and what is printed above."""


class _Stderr(logging.Handler):
    """Log lines on whatever standard error is now: a live display replaces it for as long as it runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what came from elsewhere cannot steer the terminal."""
        with contextlib.suppress(OSError, ValueError):
            lines = self.format(record).splitlines()
            sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end, with the log on standard error. The service in it takes Ctrl-C and SIGTERM for a wish to end well."""
    handler = _Stderr()
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log = logging.getLogger("probes")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:  # before the service took the signals over
        raise click.Abort from None
    finally:
        log.removeHandler(handler)


async def shown(service: Service, beside: Callable[[], Coroutine[Any, Any, None]] | None = None) -> int:
    """Run the service until it is stopped, showing what it does; ``beside`` runs with it once it is ready. The exit code."""

    async def accompany() -> None:
        await service.ready.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(_Board(service).show())
            if beside is not None:
                group.create_task(beside())

    company = asyncio.create_task(accompany())
    try:
        await service.run()
    except Rejected as rejected:
        configuration.show(rejected.problems, _texts(rejected), sys.stderr.write)
        terminal.talk(configuration.summary(service.path, rejected.problems))
        return 2
    finally:
        company.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await company
    return 0


def _texts(rejected: Rejected) -> dict[str, str]:
    """The files of the problems, read again for their lines."""
    texts = {}
    for name in {problem.file for problem in rejected.problems}:
        with contextlib.suppress(OSError), open(name, encoding="utf-8", errors="replace") as file:
            texts[name] = file.read(BYTES)
    return texts


class _Board:
    """The checks as they are, kept current by the service's changes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._views: dict[str, CheckView] = {}
        self._silences: list[Silence] = []

    async def show(self) -> None:
        """Show until cancelled."""
        from probes import pipeline, view

        service = self._service
        self._views = {item.check.id: item for item in await view.fleet(service.plan, service.world)}
        self._silences = await pipeline.silences(service.world)
        if not sys.stderr.isatty():
            await self._follow(None)
            return
        from rich.live import Live

        output = terminal.console(sys.stderr, soft_wrap=False)
        with Live(console=output, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
            live.update(self._table(output), refresh=True)
            await self._follow(live)

    async def _follow(self, live: Any) -> None:
        waiting: set[str] = set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(waiting))
            pause = REFRESH
            while True:
                await asyncio.sleep(pause)
                names = set(waiting)
                waiting.clear()
                begun = time.perf_counter()
                await self._renew(names, quiet=live is not None)
                if live is not None:
                    live.update(self._table(live.console), refresh=True)
                pause = max(REFRESH, 10 * (time.perf_counter() - begun))  # looking may not crowd out the probing

    async def _listen(self, waiting: set[str]) -> None:
        async for name in self._service.changes():
            waiting.add(name)

    async def _renew(self, names: set[str], *, quiet: bool) -> None:
        from probes import pipeline, view

        service = self._service
        if "plan" in names or "incidents" in names:
            fresh = {item.check.id: item for item in await view.fleet(service.plan, service.world)}
        else:
            checks = [name.removeprefix("runs/") for name in names if name.startswith("runs/")]
            known = [name for name in checks if name in service.plan.checks]
            fresh = dict(self._views)
            for name in known:
                fresh[name] = await view.check(service.plan, service.world, name)
        if not quiet:
            for name, item in fresh.items():
                before = self._views.get(name)
                if before is None or before.status != item.status:
                    because = f": {item.because}" if item.because and item.status != "up" else ""
                    terminal.talk(f"{iso(float(int(time.time())))[11:]} {item.status.upper():8} {name}{printable(because)}")
        self._views = fresh
        self._silences = await pipeline.silences(service.world)

    def _table(self, output: Console) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        service = self._service
        now = service.world.now()
        items = sorted(self._views.values(), key=lambda item: (fleet.RANK.get(item.status, 2), item.check.id))
        headings, *rows = fleet.blocks(items, fleet.LATEST, output, service.plan, self._silences, now)
        room = max(3, output.height - RESERVED)
        height = list(itertools.accumulate(map(len, rows)))
        number = sum(lines <= room for lines in height)
        shown = [line for row in rows[:number] for line in row]
        incidents = sum(item.incident is not None for item in items)
        told = [fleet.counts(items), terminal.plural(incidents, "open incident")]
        if number < len(items):
            told.append(f"{len(items) - number} more on the page")
        lines = [Text(""), *headings, *shown, Text(f"{', '.join(told)} - {service.url} - Ctrl-C stops", style="dim")]
        if service.rejected:
            lines.append(Text(f"{printable(str(service.path))} is refused; the last good one goes on", style="bold red"))
        return Group(*lines)
