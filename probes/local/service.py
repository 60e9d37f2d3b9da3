"""``probes up``: the whole line in one process, on one loop, from checks.yaml to the page."""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import secrets
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from os import getpid
from pathlib import Path
from typing import Any, Final

from probes import pipeline
from probes.core.check import Check
from probes.core.diagnostics import Problem, Rejected, concealed, render, split
from probes.core.metrics import sample
from probes.core.plan import HERE, Plan
from probes.core.result import Run
from probes.core.state import Slot
from probes.core.units import Duration, instant, iso
from probes.local.bus import LocalBus
from probes.local.changes import Changes
from probes.local.clock import Clock
from probes.local.files import Files
from probes.local.folder import NAME, Folder, Running
from probes.local.metrics import LocalMetrics
from probes.local.schedule import GAP, Schedule
from probes.local.secrets import LocalSecrets
from probes.local.server import Server, bind, server
from probes.local.store import SQLite
from probes.local.web import app
from probes.pipeline.execute import Report, report
from probes.pipeline.settle import change, change_slot
from probes.ports import Store, World

log = logging.getLogger(__name__)

BATCH: Final = 0.5
"""Seconds in which finished runs are gathered, so that a thousand checks cost few writes."""
TICK: Final = 1.0
"""Seconds between two ticks of the evaluator; more where a tick takes long, but at most five."""
PAYING: Final = 8
"""Most rounds of deliveries at one time; a hanging channel holds one for at most its own timeout."""
FAREWELL: Final = 2.0
"""Seconds that what is under way gets at the end."""
UNSETTLED: Final = 1000
"""Most reports that wait for the evaluator when the store is in trouble; the oldest go."""
DESCRIPTORS: Final = 4096
"""Open files we ask the system for; macOS gives 256 by default."""
PLAN: Final = "local/plan"
"""Key of the last good plan in the store."""


class Service:
    """Watches ``path``, runs its checks, keeps its state in ``data`` and serves the page at ``host``:``port``.

    Attributes:
        plan: what runs now; replaced when the configuration changes.
        world: where it runs; replaced with the plan.
        rejected: problems of the newest configuration when it was refused; empty while the newest one runs.
        token: what a command line shows to change something through the page's API.
        port: the page's; the real one once ``ready`` is set, where 0 was asked for.
        ready: set when the checks run and the page answers.
    """

    plan: Plan
    world: World
    _store: SQLite
    _schedule: Schedule

    def __init__(
        self,
        path: Path,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        variables: Mapping[str, str] | None = None,
        location: str = HERE,
    ) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.rejected: tuple[Problem, ...] = ()
        self.token = secrets.token_urlsafe(32)
        self.ready = asyncio.Event()
        self._folder = Folder(data or path.parent / NAME)
        self._files = Files(path)
        self._variables = variables or {}
        self._location = location
        self._changes = Changes()
        self._ticked = 0.0
        self._metrics = LocalMetrics()
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()  # one of: settling, ticking, taking over another plan
        self._finished: list[tuple[float, Run, Check, dict[str, Any]]] = []
        self._unsettled: list[Report] = []
        self._paying: set[asyncio.Task[None]] = set()

    @property
    def pulse(self) -> float:
        """When the schedule last turned, epoch seconds."""
        return self._schedule.pulse

    @property
    def trouble(self) -> str | None:
        """One sentence while history cannot be kept on disk, else None."""
        return self._store.trouble

    @property
    def url(self) -> str:
        """The page's address."""
        return Running(self.host, self.port, self.token, getpid()).url

    def changes(self) -> AsyncIterator[str]:
        """Names of what changes from now on (``runs/quote``, ``incidents``, ``plan``); ends when the service stops."""
        return self._changes.listen()

    def stop(self) -> None:
        """End soon: nothing new starts, what is under way is cancelled or gets two seconds."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until :meth:`stop`, SIGTERM or SIGINT.

        Raises:
            Refused: the data folder, the store or the port cannot be used; the text says what to do.
            Rejected: the configuration is wrong, and no good one ran here before.
        """
        _descriptors()
        with self._folder as folder, closing(bind(self.host, self.port)) as listener:
            self.port = listener.getsockname()[1]
            self._store = SQLite(folder.store)
            try:
                await self._begin()
                page = server(app(self, self.host))
                folder.announce(Running(self.host, self.port, self.token, getpid()))
                steps = {
                    "schedule": self._schedule.run,
                    "reports": self._report,
                    "evaluator": self._tick,
                    "configuration": self._follow,
                }
                tasks = [asyncio.create_task(self._always(step), name=name) for name, step in steps.items()]
                tasks.append(asyncio.create_task(page.show(listener), name="page"))
                with _signals(self.stop):
                    await page.up.wait()
                    self.ready.set()
                    log.info("history is kept in %s (SQLite %s)", folder.store, sqlite3.sqlite_version)
                    log.info(
                        "%s runs from %s (checks: %d); the page is %s",
                        self.plan.service,
                        self.path,
                        len(self.plan.checks),
                        self.url,
                    )
                    await self._stopping.wait()
                    await self._end(page, tasks)
            finally:
                await self._store.close()

    async def _begin(self) -> None:
        """Everything before the first run: the plan, the world, what an earlier process left."""
        before = _plan((await self._store.read(PLAN))[0])
        problems: tuple[Problem, ...] = ()
        try:
            plan = await asyncio.to_thread(self._files.plan, self._variables)
        except Rejected as rejected:
            if before is None:
                raise
            plan, problems = before, rejected.problems
        last = await _last_runs(self._store, plan, time.time())
        clock = Clock(least=max((at for at in last.values() if at < time.time() + 86400), default=0.0))
        bus = LocalBus()
        bus.subscribe(self._changes.hear)
        self.world = World(
            clock,
            self._store,
            bus,
            self._metrics,
            self._secrets(plan),
            (self._location,),
            link=self.url,
            base=str(self.path.parent),
        )
        self.plan = plan
        self._schedule = Schedule(self._look, clock, self._location, self._slept)
        await self._awake()
        for name in await self._store.find("state/"):  # nobody else has this folder: what a dead process was paying is owed again
            await change_slot(self.world, name, _owed_now)
        await pipeline.adopt(plan, self.world)
        self._ticked = clock()
        await self._tell_plan(before, problems)
        self._schedule.set(plan, last)

    async def _end(self, page: Server, tasks: list[asyncio.Task[None]]) -> None:
        """Runs in flight are cancelled and leave no result; finished ones are settled; deliveries get a moment."""
        log.info("stopping")
        self._changes.end()
        page.should_exit = True
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait(tasks[:-1], timeout=FAREWELL)
        with suppress(Exception):
            async with asyncio.timeout(FAREWELL):
                await self._report()
                await self._metrics.flush(self._store, math.inf)
        under_way = {*self._paying, tasks[-1]}
        _, late = await asyncio.wait(under_way, timeout=FAREWELL)
        for task in late:
            task.cancel()

    async def _always(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat the step; one that fails is told in the log and does not stop the monitoring."""
        while True:
            try:
                await step()
            except Exception:
                log.exception("a defect of ours; going on")
                await asyncio.sleep(1.0)

    async def _look(self, run: Run) -> None:
        check = self.plan.checks.get(run.check)
        if check is not None:
            started = self.world.now()
            document = await pipeline.look(self.plan, self.world, run)
            self._finished.append((started, run, check, document))

    async def _report(self) -> None:
        """Report what finished lately as one, and settle it. What cannot be settled now is settled later."""
        await asyncio.sleep(0 if self._stopping.is_set() else BATCH)
        count = self._schedule.take()
        if count.missed:
            self._metrics.record([sample("RunsDue", count.missed, self.world.now(), location=self._location)])
            log.warning("this machine is too busy for the checks it has (runs that could not start in time: %d)", count.missed)
        async with self._turn:
            finished, self._finished = self._finished, []
            pairs = [(run, check, document) for _, run, check, document in finished if run.check in self.plan.checks]
            if pairs:
                started = min(one[0] for one in finished)
                self._unsettled.append(await report(self.plan, self.world, self._location, pairs, started))
            del self._unsettled[:-UNSETTLED]
            while self._unsettled:
                await pipeline.settle(self.plan, self.world, self._unsettled[0])
                self._unsettled.pop(0)

    async def _tick(self) -> None:
        """Let time pass, and pay what is owed, without waiting for the payment."""
        begun, now = time.perf_counter(), self.world.now()
        async with self._turn:
            if now - self._ticked > GAP:
                await self._awake()
            self._ticked = now
            await pipeline.tick(self.plan, self.world)
        if len(self._paying) < PAYING:
            task = asyncio.create_task(self._pay())
            self._paying.add(task)
            task.add_done_callback(self._paying.discard)
        await self._metrics.flush(self._store, self.world.now())
        await asyncio.sleep(min(5.0, max(TICK, 20 * (time.perf_counter() - begun))))

    async def _pay(self) -> None:
        try:
            await pipeline.pay(self.plan, self.world)
        except Exception:
            log.exception("alerts could not be delivered; they stay owed")

    async def _follow(self) -> None:
        """Wait for a save and take it over, or keep what runs and say why."""
        await self._files.saved()
        try:
            plan = await asyncio.to_thread(self._files.plan, self._variables)
        except Rejected as rejected:
            if rejected.problems != self.rejected:
                await self._tell_plan(self.plan, rejected.problems)
            return
        before, world = self.plan, replace(self.world, secrets=self._secrets(plan))
        if plan.digest == before.digest:
            self.world = world  # .env may be another
            self._heal()
            return
        async with self._turn:
            if plan.of != before.of and self._paying:  # what is being paid would be looked for under its old slot
                await asyncio.wait(self._paying)
            await pipeline.adopt(plan, world)
            self.plan, self.world = plan, world
        self._schedule.set(plan)
        await self._tell_plan(before, ())

    async def _tell_plan(self, before: Plan | None, problems: tuple[Problem, ...]) -> None:
        """Make known what runs now, and what was refused; remember what runs for a restart beside a broken file."""
        if problems:
            self.rejected = problems
            lines = {
                name: concealed(split(text), (p for p in problems if p.file == name)) for name, text in self._files.read.items()
            }
            for problem in problems:
                log.error("%s", render(problem, lines.get(problem.file)))
            log.error("%s is refused; the last good configuration goes on (%s)", self.path, self.plan.digest)
            await pipeline.rejected(self.plan, self.world, problems)
            return
        self._heal()
        for warning in self.plan.warnings:
            log.warning("%s", render(warning))
        if before is None or before.digest != self.plan.digest:
            await change(self.world, PLAN, lambda _: self.plan.document())
            await pipeline.applied(self.plan, self.world, before)
            log.info("configuration %s took effect (checks: %d)", self.plan.digest, len(self.plan.checks))

    def _heal(self) -> None:
        if self.rejected:
            log.info("%s is right again", self.path)
            self.rejected = ()
            self._changes.tell("plan")

    def _slept(self, start: float, end: float) -> None:
        """Time jumped: what nobody ran meanwhile proves nothing."""
        log.warning(
            "nothing ran from %s to %s (%s): this machine slept, or its clock was set",
            iso(start),
            iso(end),
            Duration(round(end - start)),
        )

    async def _awake(self) -> None:
        """Count silence from now on: nobody ran anything before."""
        now = self.world.now()
        await change(self.world, "evaluator", lambda known: {**known, "resumed": now} if known else known)

    def _secrets(self, plan: Plan) -> LocalSecrets:
        return LocalSecrets(self.path.parent, plan.secrets)


def _owed_now(slot: Slot) -> Slot:
    if not any(one.next for one in slot.owed):
        return slot
    return replace(slot, owed=tuple(replace(one, next=0.0) for one in slot.owed))


def _plan(document: Mapping[str, Any] | None) -> Plan | None:
    if document is None:
        return None
    try:
        return Plan.parse(document)
    except (ValueError, KeyError, TypeError):  # of another version
        return None


async def _last_runs(store: Store, plan: Plan, now: float) -> dict[str, float]:
    """When each check last ran, where that was within its period."""
    checks = [check for check in plan.checks.values() if not check.paused]
    found = await asyncio.gather(*(store.since(f"runs/{check.id}", now - check.every, 1) for check in checks))
    return {check.id: instant(runs[-1]["at"]) for check, runs in zip(checks, found, strict=True) if runs}


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM or SIGINT stops; a second one ends the process as ever."""
    loop, names = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

    def once() -> None:
        for name in names:
            loop.remove_signal_handler(name)
        stop()

    try:
        for name in names:
            loop.add_signal_handler(name, once)
    except (ValueError, RuntimeError):  # not in the main thread: whoever started us stops us
        yield
        return
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


def _descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
