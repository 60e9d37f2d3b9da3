"""A virtual clock and a scheduler of coroutines without an event loop: nothing waits, and the same seed gives the same order.

What the pipeline asks of asyncio (``gather``, ``sleep``) is answered by :class:`Shim`. A root is one invocation of a worker: when
it crashes, all of it is gone at once, as when a process is killed.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import Any


class Crash(BaseException):
    """The process ended here."""


class Wait:
    """Awaited: virtual seconds pass."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


class Gather:
    """Awaited: all of these run side by side."""

    __slots__ = ("all", "quiet")

    def __init__(self, coroutines: tuple[Coroutine[Any, Any, Any], ...], quiet: bool) -> None:
        self.all, self.quiet = coroutines, quiet

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


class Shim:
    """The two words of asyncio that the alert path uses."""

    @staticmethod
    def gather(*coroutines: Coroutine[Any, Any, Any], return_exceptions: bool = False) -> Gather:
        return Gather(coroutines, return_exceptions)

    @staticmethod
    def sleep(seconds: float) -> Wait:
        return Wait(seconds)


class Root:
    """One invocation: its name, its own stream of chance, and how it ends."""

    __slots__ = ("alive", "calls", "ended", "faults", "label", "random", "tasks")

    def __init__(self, label: str, seed: int, ended: Callable[[BaseException | None], None] | None) -> None:
        self.label = label
        self.random = Random(zlib.crc32(f"{seed}/{label}".encode()))
        self.ended = ended
        self.calls = 0
        self.faults = 0
        self.alive = True
        self.tasks: list[Task] = []


class Task:
    """A coroutine of a root; ``parent`` waits for ``left`` more children."""

    __slots__ = ("coroutine", "index", "left", "parent", "quiet", "results", "root")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], root: Root, parent: Task | None = None, index: int = 0) -> None:
        self.coroutine, self.root, self.parent, self.index = coroutine, root, parent, index
        self.left, self.results, self.quiet = 0, list[Any](), False
        root.tasks.append(self)


class Scheduler:
    """Runs tasks in the order of virtual time. ``current`` is the root whose code runs now."""

    def __init__(self, seed: int, start: float) -> None:
        self.seed, self.now = seed, start
        self.current: Root | None = None
        self._queue: list[tuple[float, int, Any, Any]] = []
        self._count = 0

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Call ``do`` at that time."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, do, None))

    def start(
        self, label: str, coroutine: Coroutine[Any, Any, Any], ended: Callable[[BaseException | None], None] | None = None
    ) -> Root:
        """Begin an invocation now; ``ended`` is called with what it raised, or None."""
        root = Root(label, self.seed, ended)
        self._push(0.0, Task(coroutine, root), None)
        return root

    def run(self, until: float) -> None:
        """Let time pass until then."""
        while self._queue and self._queue[0][0] <= until:
            when, _, what, value = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            if isinstance(what, Task):
                if what.root.alive:
                    self._step(what, value)
            else:
                what()
        self.now = max(self.now, until)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self._queue

    def _push(self, wait: float, task: Task, value: Any) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + wait, self._count, task, value))

    def _step(self, task: Task, value: Any) -> None:
        self.current = root = task.root
        try:
            asked = task.coroutine.throw(value) if isinstance(value, BaseException) else task.coroutine.send(value)
        except StopIteration as stop:
            self._done(task, stop.value, None)
        except Crash as crash:
            self._end(root, crash)
        except Exception as error:
            self._done(task, None, error)
        else:
            if isinstance(asked, Wait):
                self._push(asked.seconds, task, None)
            elif not asked.all:
                self._push(0.0, task, [])
            else:
                task.left, task.results, task.quiet = len(asked.all), [None] * len(asked.all), asked.quiet
                for index, coroutine in enumerate(asked.all):
                    self._push(0.0, Task(coroutine, root, task, index), None)
        finally:
            self.current = None

    def _done(self, task: Task, value: Any, error: Exception | None) -> None:
        parent = task.parent
        if parent is None:
            self._end(task.root, error)
            return
        if error is not None and not parent.quiet:
            if parent.left > 0:  # the first error is the one; the others go on unheard, as with asyncio
                parent.left = -1
                self._push(0.0, parent, error)
            return
        if parent.left <= 0:
            return
        parent.results[task.index] = error if error is not None else value
        parent.left -= 1
        if parent.left == 0:
            self._push(0.0, parent, parent.results)

    def _end(self, root: Root, error: BaseException | None) -> None:
        if isinstance(error, Crash):
            root.alive = False
            for task in root.tasks:
                task.coroutine.close()
        if root.ended is not None:
            ended, root.ended = root.ended, None
            ended(error)

    def close(self) -> None:
        """Forget what is left, without complaint about coroutines that were never awaited."""
        for _, _, what, _ in self._queue:
            if isinstance(what, Task):
                what.coroutine.close()
        self._queue.clear()
