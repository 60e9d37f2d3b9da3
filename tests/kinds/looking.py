"""What the tests of kinds share: a look at a target, with its descriptors, tasks and time counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from probes.core.kind import Context
from probes.core.result import Observation
from probes.kinds import KINDS
from tests.servers.raw import Raw

HOST = "127.0.0.1"


def connections(port: int) -> int:
    """How many sockets of ours are open to ``port`` of loopback: rows of the kernel's table that still belong to a descriptor."""
    table = Path("/proc/self/net/tcp")
    if not table.exists():
        pytest.skip("this system does not list its sockets")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == port and row[9] != "0" for row in rows)


def url(server: Raw, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{server.port}{path}"


async def see(kind: str, target: dict[str, Any] | str, timeout: float = 5.0, **context: Any) -> Observation:
    """One look, as the pipeline does it."""
    shape = KINDS[kind]
    long = shape.short(target) if isinstance(target, str) else target
    return await shape.probe(shape.target.model_validate(long), Context(run="test@here/now", timeout=timeout, **context))


@asynccontextmanager
async def tidy() -> AsyncIterator[None]:
    """Nothing may be left behind: no descriptor (of this thread's doing), no task."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before == set()


STALL = 0.5
"""Seconds of computing that tests let the loop's thread take at once: the promise is 0.25 s, on a core of one's own."""


class Ticks:
    """The longest that the loop's thread computed without coming round; what else the machine did meanwhile does not count."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()

    async def run(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(0)

    def tick(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
