"""One measurement of our engine in a process of its own, for :mod:`benchmarks.engine`: takes a task, prints what it found."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.truth import Truth, urls

Probe = Callable[[int], Awaitable[tuple[bool, float | None, float | None, int | None]]]
"""A numbered probe; tells whether it was well, its total and its latency in seconds, and the place of its record."""
WARM = 100


def transport(task: dict[str, Any]) -> Probe:
    """The wire as an httpx transport, looked up through the client, with requests that are built once, as the product uses it."""
    import httpx

    from probes.kinds.wire import trust
    from probes.kinds.wire.transport import Exchange, Transport, prepare
    from probes.kinds.wire.trust import Policy
    from probes.kinds.wire.way import Way

    client = httpx.AsyncClient(transport=Transport(), trust_env=False)
    secure = trust.context(Policy(alpn=("http/1.1",)))
    made = [client.build_request("GET", url) for url in urls(task)]
    ready = [prepare(request) for request in made]
    whole = task["path"] == "send"

    async def probe(number: int) -> tuple[bool, float | None, float | None, int | None]:
        request = made[number % len(made)]
        way = Way(time.monotonic() + 60, 60)
        exchange = Exchange(way, secure if task["scheme"] == "https" else None, prepared=ready[number % len(made)])
        request.extensions["exchange"] = exchange
        if whole:
            response = await client.send(request)
        else:
            response = await client._transport_for_url(request.url).handle_async_request(request)
        body = response.content if whole else exchange.replies[0].body
        well = response.status_code == 200 and b'"ok"' in body
        latency = sum(seconds for name, seconds in way.phases.items() if name != "resolve")
        return well, way.ended - way.began, latency, int(response.headers["x-record"])

    return probe


def kind(task: dict[str, Any]) -> Probe:
    """A probe of the kind ``http``, up to its observation."""
    from probes.core.kind import Context
    from probes.kinds.http import KIND, Target

    context = Context("benchmark@here/now", 60)
    targets = [Target(url=url) for url in urls(task)]

    async def probe(number: int) -> tuple[bool, float | None, float | None, int | None]:
        seen = await KIND.probe(targets[number % len(targets)], context)
        well = seen.fault is None and seen.facts["status"] == 200 and seen.facts["body"] == {"status": "ok"}
        return well, seen.total, seen.latency, int(seen.facts["header"]["x-record"]) if well else None

    return probe


def line(task: dict[str, Any]) -> Probe:
    """A run through the line: target filled in, probed, judged by two assertions, made a document, ready for history."""
    from probes.core.compile import compile as plan_of
    from probes.core.result import Run
    from probes.core.spec import load
    from probes.kinds import KINDS
    from probes.pipeline import look
    from probes.ports import World

    checks = {
        f"check-{number}": {"http": f"GET {url}", "must": ["status == 200", 'body.status == "ok"']}
        for number, url in enumerate(urls(task))
    }
    text = json.dumps({"version": 1, "service": "benchmark", "defaults": {"timeout": "30s"}, "checks": checks})
    plan = plan_of(load(text, KINDS))
    names = list(plan.checks)
    nobody: Any = None  # a run that needs no secret touches nothing but the clock
    world = World(time.time, nobody, nobody, nobody, nobody, ("here",))

    async def probe(number: int) -> tuple[bool, float | None, float | None, int | None]:
        found = await look(plan, world, Run(names[number % len(names)], "here", time.time()))
        return found["outcome"] == "passed", None, None, None

    return probe


PATHS = {"transport": transport, "send": transport, "kind": kind, "line": line}


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Do ``count`` probes, ``flight`` at a time (all at once with ``burst``)."""
    probe = PATHS[task["path"]](task)
    warm = [probe(number) for number in range(min(WARM, task["count"]))]
    for start in range(0, len(warm), 20):
        await asyncio.gather(*warm[start : start + 20])
    truth = Truth(task["log"])
    told: list[tuple[float | None, float | None, int]] = []
    well = 0
    errors: dict[str, int] = {}

    async def one(number: int) -> None:
        nonlocal well
        try:
            good, total, latency, record = await probe(number)
        except Exception as error:
            errors[repr(error)[:100]] = errors.get(repr(error)[:100], 0) + 1
            return
        well += good
        if record is not None and task.get("truth"):
            told.append((total, latency, record))

    async def worker(numbers: Iterator[int]) -> None:
        for number in numbers:
            await one(number)

    gc.collect()
    before, peak = resident(), 0

    def look() -> None:
        nonlocal peak
        peak = resident()

    if task.get("blocked"):
        asyncio.get_running_loop().call_later(0.03, time.sleep, task["blocked"])
    if task.get("memory"):
        asyncio.get_running_loop().call_later(task["memory"], look)
    used, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if task.get("burst"):
        await asyncio.gather(*(one(number) for number in range(task["count"])))
    else:
        numbers = iter(range(task["count"]))
        await asyncio.gather(*(worker(numbers) for _ in range(task["flight"])))
    wall, now = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    found: dict[str, Any] = {
        "well": well,
        "errors": errors,
        "wall_s": round(wall, 3),
        "cpu_us": round(1e6 * spent / task["count"], 1),
        "user_us": round(1e6 * (now.ru_utime - used.ru_utime) / task["count"], 1),
    }
    if peak:
        found["memory_kib"] = round((peak - before) / 1024 / task["count"], 2)
    if told:
        await asyncio.sleep(0.2)
        found |= truth.compare(told)
    return found


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given.get("core") is not None:
        os.sched_setaffinity(0, {given["core"]})
    sys.stdout.write(json.dumps(asyncio.run(measure(given))) + "\n")
