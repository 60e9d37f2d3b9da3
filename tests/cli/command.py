"""The command as a user has it: a process of its own, with pipes or with a terminal."""

import contextlib
import http.server
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from probes.cli import main

ROOT = Path(__file__).parents[2]
PROBES = [sys.executable, "-m", "probes"]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "SSL_CERT_FILE"}}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "USER": "sre", "LOGNAME": "sre", **more}


@dataclass
class Done:
    """What a verb left: exit code, data, talk."""

    code: int
    stdout: str
    stderr: str


def probes(*words: str, cwd: Path, code: int = 0, **more: str) -> Done:
    """A verb in this process, without a terminal."""
    runner = CliRunner(env={"USER": "sre", "LOGNAME": "sre", "NO_COLOR": None, "FORCE_COLOR": None, **more})
    with contextlib.chdir(cwd):
        done = runner.invoke(main, list(words), prog_name="probes")
    assert not done.exception or isinstance(done.exception, SystemExit), done.exc_info
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return Done(done.exit_code, done.stdout, done.stderr)


def process(*words: str, cwd: Path, code: int = 0, **more: str) -> Done:
    """A verb in a process of its own."""
    done = subprocess.run(
        [*PROBES, *words],
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def document(*words: str, cwd: Path, code: int = 0, **more: str) -> Any:
    return json.loads(probes(*words, cwd=cwd, code=code, **more).stdout)


@contextlib.contextmanager
def started(*words: str, cwd: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A running verb, its output together in one pipe."""
    with subprocess.Popen(
        [*PROBES, *words],
        cwd=cwd,
        env=environment(PYTHONUNBUFFERED="1", **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], text: str, seconds: float = 30) -> str:
    """The output up to the line with ``text``."""
    assert process.stdout is not None
    end, seen = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        line = process.stdout.readline()
        seen += line
        if text in line:
            return seen
        assert line, f"ended without {text!r}: {seen}"
    raise AssertionError(f"no {text!r} within {seconds} s: {seen}")


class Terminal:
    """A verb at a terminal of 30 lines."""

    def __init__(self, *words: str, cwd: Path, columns: int = 100, **more: str) -> None:
        self.main, side = pty.openpty()
        with contextlib.suppress(ImportError, OSError):
            import fcntl
            import struct
            import termios

            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            [*PROBES, *words],
            cwd=cwd,
            env=environment(TERM="xterm-256color", **more),
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        self.seen = ""

    def read(self, text: str | None = None, seconds: float = 30) -> str:
        """Read until ``text`` (or, without one, until the end)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (text is None or text not in self.seen):
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    part = os.read(self.main, 65536)
                except OSError:
                    break
                if not part:
                    break
                self.seen += part.decode(errors="replace")
        assert text is None or text in self.seen, self.seen
        return self.seen

    def lines(self) -> list[str]:
        """The scrollback and the screen as a person sees them now; lines that the terminal wrapped are one."""
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.seen):
            if part == "\r":
                column = 0
            elif part == "\n":
                row += 1
                rows += [""] * (row - len(rows) + 1)
            elif part.startswith("\x1b"):
                if part == "\x1b[2K":
                    rows[row] = ""
                elif part.endswith("A"):
                    row -= int(part[2:-1] or 1)
            else:
                rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in rows]

    def end(self, number: int = signal.SIGINT, seconds: float = 10) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.read(seconds=seconds)
        return self.process.wait(seconds)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.main)


@contextlib.contextmanager
def web() -> Iterator[str]:
    """A server on loopback: ``/ok`` 200, ``/bad`` 503, ``/slow`` 200 after 1.5 s, ``/hang`` never, ``/evil`` a hostile body."""
    gate = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/hang":
                gate.wait(60)
            if self.path == "/slow":
                gate.wait(1.5)
            body = b'{"name": "\\u001b[31mred\\u202e"}' if self.path == "/evil" else b'{"name": "shop"}'
            self.send_response(503 if self.path == "/bad" else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def free() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def write(folder: Path, checks: str, head: str = "") -> Path:
    """checks.yaml in the folder: ``checks`` are the lines below ``checks:``."""
    body = "\n".join(f"  {line}" for line in checks.strip("\n").splitlines())
    file = folder / "checks.yaml"
    file.write_text(f"version: 1\nservice: shop\n{head}\nchecks:\n{body}\n")
    return file
