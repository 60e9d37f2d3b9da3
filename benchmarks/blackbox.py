"""One measurement of blackbox_exporter, which runs pinned to the client's core: as :mod:`benchmarks.worker`, through its /probe."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.truth import Truth, urls

_PHASE = re.compile(r'^probe_http_duration_seconds\{phase="\w+"\} (\S+)$', re.MULTILINE)
_TOTAL = re.compile(r"^probe_duration_seconds (\S+)$", re.MULTILINE)


def processor(pid: int) -> float:
    """Seconds of processor time of all the process's threads, to the nanosecond."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def resident(pid: int) -> int:
    """Bytes of memory in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Ask for ``count`` probes, ``flight`` at a time (all at once with ``burst``)."""
    made, pid, host, port = urls(task), task["pid"], "127.0.0.1", task["blackbox"]
    told: list[tuple[int, float, float]] = []
    well = 0

    async def one(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal well
        target = quote(f"{made[number % len(made)]}&id={number + 1}", safe="")
        writer.write(f"GET /probe?module=http&target={target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if length:
            text = (await reader.readexactly(int(length[1]))).decode()
        else:
            text = ""
            while size := int(await reader.readline(), 16):
                text += (await reader.readexactly(size + 2))[:-2].decode()
            await reader.readline()
        well += "\nprobe_success 1" in text
        total = _TOTAL.search(text)
        if total:
            told.append((number + 1, float(total[1]), sum(map(float, _PHASE.findall(text)))))

    async def worker(numbers: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for number in numbers:
            await one(number, reader, writer)
        writer.close()

    numbers = iter(range(20, task["count"] + 20))
    await asyncio.gather(*(worker(iter((number,))) for number in range(20)))
    told.clear()
    well, truth = 0, Truth(task["log"])
    start, before, used, begun = truth.count, resident(pid), processor(pid), time.perf_counter()
    peak = 0

    def look() -> None:
        nonlocal peak
        peak = resident(pid)

    if task.get("memory"):
        asyncio.get_running_loop().call_later(task["memory"], look)
    await asyncio.gather(*(worker(numbers) for _ in range(task["flight"])))
    wall, spent = time.perf_counter() - begun, processor(pid) - used
    found: dict[str, Any] = {"well": well, "wall_s": round(wall, 3), "cpu_us": round(1e6 * spent / task["count"], 1)}
    if peak:
        found["memory_kib"] = round((peak - before) / 1024 / task["count"], 2)
    if task.get("truth"):
        await asyncio.sleep(0.2)
        places = {truth[place]["id"]: place for place in range(start, truth.count)}
        known = [(total, phases, places[number]) for number, total, phases in told if number in places]
        found |= truth.compare((total, None, place) for total, _, place in known)
        by_phases = truth.compare((phases, None, place) for _, phases, place in known)
        found |= {"phases_error_ms": by_phases["error_ms"], "phases_on_top_ms": by_phases["on_top_ms"]}
    return found


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    os.sched_setaffinity(0, {given["core"]})
    sys.stdout.write(json.dumps(asyncio.run(measure(given))) + "\n")
