"""Real parts for tests of the service: a target that can break, a receiver that remembers, the service as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What ``holds`` gives once it is true; fails after ``seconds``."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.02)
    return found


class Target:
    """An HTTP server on loopback: answers GET with ``status`` after ``delay`` seconds, keeps what is posted in ``messages``."""

    def __init__(self) -> None:
        self.status, self.delay, self.refuses = 200, 0.0, 0
        self.seen = 0
        self.messages: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen += 1
                time.sleep(outer.delay)
                self.answer(outer.status)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if outer.refuses:
                    self.answer(outer.refuses)
                    return
                outer.messages.append((self.headers["webhook-id"], body))
                self.answer(200)

            def answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "Target":
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Process:
    """``probes up`` in a process group of its own, its talk in ``up.log``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = (path.parent / "up.log").open("ab")
        self.child = subprocess.Popen(
            [sys.executable, "-m", "probes", "up", str(path), "--port", "0"],
            stderr=self.log,
            stdout=self.log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def up(self) -> dict[str, Any]:
        """The note of this process, once it is there."""

        def note() -> dict[str, Any] | None:
            assert self.child.poll() is None, self.talk()
            try:
                found: dict[str, Any] = json.loads((self.path.parent / ".probes" / "up.json").read_text())
            except (OSError, ValueError):
                return None
            return found if found["pid"] == self.child.pid else None

        found: dict[str, Any] = eventually(note)
        return found

    def talk(self) -> str:
        return (self.path.parent / "up.log").read_text()

    def end(self, how: int) -> float:
        """Send the signal; seconds until the process was gone."""
        begun = time.monotonic()
        self.child.send_signal(how)
        self.child.wait(timeout=30)
        self.log.close()
        return time.monotonic() - begun


@contextmanager
def running(path: Path) -> Iterator[Process]:
    process = Process(path)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)
