"""When runs start: each at its scheduled time and the offset of its check, on one event loop.

Time may jump: a laptop sleeps, a process is stopped, a clock is set. What was missed then is a gap and stays one; each check is
looked at once, and the schedule goes on.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from probes.core.check import Check
from probes.core.plan import HERE, Plan, looks_from, offset, scheduled
from probes.core.result import Run

log = logging.getLogger(__name__)

TURN: Final = 1.0
"""Longest sleep (seconds) between two looks at the clock, because the clock may jump while we sleep."""
GAP: Final = 15.0
"""A turn that took this many seconds longer than it slept means that the machine slept or the clock was set."""
RATE: Final = 100.0
"""Runs that are started per second when many are due at once (at start, after a gap), so that they do not measure each other."""
STALE: Final = 120.0
"""A run that starts this many seconds after its time is dated when it starts: history does not claim to have looked before."""
IN_FLIGHT: Final = 256
"""Most runs at one time; each holds a socket or two."""

Look = Callable[[Run], Awaitable[None]]


@dataclass(slots=True)
class Turn:
    """A check in the schedule: the times (``at``) of its last and next run, and whether one is in flight."""

    check: Check
    last: float
    next: float
    number: int = 0
    running: bool = False


@dataclass(slots=True)
class Count:
    """Runs since the counts were last taken: ``due``, and those that could not start (``missed``); worst lateness in seconds."""

    due: int = 0
    missed: int = 0
    lateness: float = 0.0


class Schedule:
    """Starts ``look(run)`` for every run that is due in ``location``; a check never overlaps with itself.

    Attributes:
        count: what happened since :meth:`take`.
        gap: called with (from, to) in epoch seconds when time jumped, before the runs that catch up.
        pulse: when the schedule last turned, epoch seconds.
    """

    def __init__(
        self,
        look: Look,
        now: Callable[[], float],
        location: str = HERE,
        gap: Callable[[float, float], None] = lambda start, end: None,
    ) -> None:
        self._look = look
        self._now = now
        self._location = location
        self._gap = gap
        self._turns: dict[str, Turn] = {}
        self._heap: list[tuple[float, str, int]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._woken = asyncio.Event()
        self.count = Count()
        self.pulse = now()

    def set(self, plan: Plan, last: Mapping[str, float] | None = None) -> None:
        """Follow ``plan`` from now on. Checks that are new or changed are looked at soon, unless their ``last`` run is recent.

        ``last``: time of the last known run by check, for checks that this schedule did not run itself.
        """
        now, before = self._now(), self._turns
        checks = [check for check in plan.checks.values() if self._runs(check)]
        self._turns, self._heap = {}, []
        soon = []
        for check in checks:
            old = before.get(check.id)
            known = old.last if old else (last or {}).get(check.id, -math.inf)
            turn = self._turns[check.id] = Turn(check, known, 0.0, running=old.running if old else False)
            if old is not None and old.check == check:
                self._plan(turn, old.next)
            elif old is None and known > now - check.every:
                self._plan(turn, self._following(turn, now))
            else:
                soon.append(turn)
        self._spread(soon, now)
        self._woken.set()

    async def run(self) -> None:
        """Turn until cancelled; the runs in flight are cancelled then, and waited for."""
        slept, self.pulse = 0.0, self._now()
        try:
            while True:
                now = self._now()
                if now - self.pulse > slept + GAP:
                    self._jumped(self.pulse, now)
                self.pulse = now
                self._start(now)
                slept = min(TURN, max(0.0, self._heap[0][0] - now)) if self._heap else TURN
                self._woken.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), slept + 0.001)
        finally:
            await self._stop()

    def take(self) -> Count:
        """The counts, which start again from nothing."""
        count, self.count = self.count, Count()
        return count

    @property
    def in_flight(self) -> int:
        """Runs that have started, or wait for room, and have not ended."""
        return len(self._running)

    def _runs(self, check: Check) -> bool:
        return not check.paused and not check.passive and looks_from(check, self._location)

    def _start(self, now: float) -> None:
        """Start what is due; put each such check back at its next time."""
        while self._heap and self._heap[0][0] <= now:
            start, id_, number = heapq.heappop(self._heap)
            turn = self._turns.get(id_)
            if turn is None or turn.number != number:
                continue  # planned anew since
            at = turn.next if now - turn.next <= STALE else float(math.floor(now))
            self.count.due += 1
            if turn.running:
                self.count.missed += 1
                log.debug("schedule: %s is still running: its run of now is missed", id_)
            elif at > turn.last:  # a run that was dated later than its time may have taken the place of this one
                turn.last, turn.running = at, True
                task = asyncio.create_task(self._one(turn, Run(id_, self._location, at), start))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            following = self._following(turn, now)
            if start == turn.next + offset(turn.check):  # not one that was planned apart, at a start or after a gap
                passed_over = max(0, round((following - turn.next) / turn.check.every) - 1)
                self.count.due += passed_over
                self.count.missed += passed_over
            self._plan(turn, following)

    async def _one(self, turn: Turn, run: Run, start: float) -> None:
        try:
            async with self._room:
                self.count.lateness = max(self.count.lateness, self._now() - start)
                await self._look(run)
        except Exception:
            log.exception("schedule: the run %s could not be done", run.id)
        finally:
            turn.running = False
            current = self._turns.get(run.check)
            if current is not None:
                current.running = False

    def _following(self, turn: Turn, now: float) -> float:
        """The scheduled time of the check's first run that starts after ``now``."""
        return scheduled(turn.check, now - offset(turn.check)) + turn.check.every

    def _plan(self, turn: Turn, at: float, start: float | None = None) -> None:
        turn.next = at
        turn.number += 1
        heapq.heappush(self._heap, (at + offset(turn.check) if start is None else start, turn.check.id, turn.number))

    def _spread(self, turns: Iterable[Turn], now: float) -> None:
        """Plan one run of each now, a little after one another."""
        for number, turn in enumerate(turns):
            start = now + number / RATE
            at = scheduled(turn.check, start - offset(turn.check))
            self._plan(turn, at if at > turn.last else float(math.floor(start)), start)

    def _jumped(self, before: float, now: float) -> None:
        """Time jumped: checks with a run in between get one, spread out; all others keep theirs."""
        self._gap(before, now)
        self._spread([turn for turn in self._turns.values() if turn.next + offset(turn.check) <= now], now)

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
