"""How `probes up` bears a thousand checks: time to start, memory, processor time, and what its own share of a result is.

    python -m benchmarks.up [--checks 1000] [--seconds 90] [--every 1m]

Everything is on loopback and ends by itself: a target in a process of its own, and `probes up` in another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n" + b'{"ok":true}'
TICKS = os.sysconf("SC_CLK_TCK")


def target(say: Connection) -> None:
    """A small HTTP server that answers everything with the same JSON."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        say.send(server.sockets[0].getsockname()[1])
        await asyncio.sleep(3600)

    asyncio.run(serve())


def write(path: Path, port: int, checks: int, every: str) -> None:
    """A configuration with that many checks, in groups of fifty."""
    lines = [
        "version: 1",
        "service: benchmark",
        f"defaults: {{every: {every}, timeout: 5s}}",
        "routes: [{notify: [console]}]",
        "checks:",
    ]
    for number in range(checks):
        lines += [
            f"  check-{number:04}:",
            f'    http: "GET http://127.0.0.1:{port}/{number}"',
            "    must: [status == 200, body.ok == true]",
            "    should: [latency < 300ms]",
        ]
    path.write_text("\n".join(lines) + "\n")


def memory(pid: int) -> tuple[float, float]:
    """Resident memory of the process in MB: now, and at its peak."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]  # two names, two numbers


def processor(pid: int) -> float:
    """Seconds of processor time the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(checks: int, seconds: float, every: str) -> dict[str, Any]:
    """Run `probes up` for that long; what it needed."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=target, args=(theirs,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checks.yaml"
        write(path, ours.recv(), checks, every)
        begun = time.monotonic()
        command = [sys.executable, "-m", "probes", "up", str(path), "--port", "0"]
        with (
            (Path(folder) / "talk").open("wb") as talk,
            subprocess.Popen(  # noqa: S603  # our own command
                command, stdout=talk, stderr=talk, cwd=ROOT
            ) as child,
        ):
            try:
                note = Path(folder) / ".probes" / "up.json"
                while not note.exists():
                    assert child.poll() is None, (Path(folder) / "talk").read_text()
                    time.sleep(0.02)
                found: dict[str, Any] = {"checks": checks, "start_s": round(time.monotonic() - begun, 2)}
                store = Path(folder) / ".probes" / "probes.sqlite"
                while seen(store) < checks and time.monotonic() - begun < seconds:
                    time.sleep(0.25)
                found["all_seen_s"] = round(time.monotonic() - begun, 2)
                used, mark = processor(child.pid), time.monotonic()
                time.sleep(max(1.0, seconds - (time.monotonic() - begun)))
                found["cpu_percent"] = round(100 * (processor(child.pid) - used) / (time.monotonic() - mark), 1)
                now, peak = memory(child.pid)
                found |= {"rss_mb": round(now, 1), "peak_mb": round(peak, 1), "store_mb": round(size(store), 1), **told(store)}
                mark = time.monotonic()
                child.send_signal(signal.SIGTERM)
                child.wait(timeout=20)
                found |= {"end_s": round(time.monotonic() - mark, 2), "exit": child.returncode}
            finally:
                child.kill()
                server.terminate()
    return found


def size(store: Path) -> float:
    """The store in MB, its log included."""
    return sum(path.stat().st_size for path in store.parent.glob(store.name + "*")) / 1024**2


def seen(store: Path) -> int:
    """How many checks have a result."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        count: int = database.execute("SELECT count(DISTINCT log) FROM log WHERE log LIKE 'runs/%'").fetchone()[0]
    database.close()
    return count


def told(store: Path) -> dict[str, Any]:
    """Outcomes, and the middle and the worst of what was measured (milliseconds)."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        runs = [json.loads(text) for (text,) in database.execute("SELECT record FROM log WHERE log LIKE 'runs/%'")]
    database.close()
    latency = sorted(run["latency_ms"] for run in runs if run["latency_ms"] is not None)
    total = sorted(run["total_ms"] for run in runs)
    outcomes: dict[str, int] = {}
    for run in runs:
        outcomes[run["outcome"]] = outcomes.get(run["outcome"], 0) + 1
    return {
        "runs": len(runs),
        "outcomes": outcomes,
        "latency_ms": {"p50": latency[len(latency) // 2], "p99": latency[len(latency) * 99 // 100]},
        "total_ms": {"p50": total[len(total) // 2], "p99": total[len(total) * 99 // 100]},
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--checks", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=90.0)
    options.add_argument("--every", default="1m")
    given = options.parse_args()
    sys.stdout.write(json.dumps(measure(given.checks, given.seconds, given.every), indent=1) + "\n")
