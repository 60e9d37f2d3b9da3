"""``script``: a Python function of one's own, in a process apart. Separation, so that it cannot harm by accident; no sandbox."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

from pydantic import AfterValidator, ConfigDict, Field

from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.core.units import Duration
from probes.kinds import _child
from probes.kinds.wire import content
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.look import Look, look

OUTPUT: Final = 65536
"""Bytes of output that are kept; what comes after them is thrown away."""
LIMITS: Final = {"AS": 1 << 30, "FSIZE": 16 << 20, "NOFILE": 256, "NPROC": 64, "CORE": 0}
"""By their names in setrlimit(2): bytes of memory, bytes of one file, descriptors, tasks beyond those there are, core dumps."""
_TOGETHER: Final = 2 * (os.cpu_count() or 1)
_PATIENCE: Final = 0.5
_POLL: Final = 0.02
_GONE: Final = 0.8
_LAST: Final = 64
_CHILD: Final = str(Path(_child.__file__).resolve())
_FUNCTION: Final = re.compile(r"([^\x00-\x1f:]+\.py):([A-Za-z_]\w*)")
_WHY: Final[Mapping[int, str]] = {
    signal.SIGXCPU: " (it used all the processor time it may have)",
    signal.SIGXFSZ: " (it wrote too large a file)",
}
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _function(text: str) -> str:
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise complain("value", f"{text[:80]!r} is not a file and a function", "write checks/login.py:login")
    if match[1].startswith(("/", "~")) or ".." in match[1].split("/"):
        raise complain("value", f"{match[1][:80]} must lie in the folder of checks.yaml or below it")
    return text


class Target(Shape):
    """A function of a Python file, and what it is given. It is called with one mapping: ``run`` (its id), ``location``, ``timeout``
    (seconds) and ``with``; it returns a dict of JSON values, or nothing. It may be ``async``.
    """

    model_config = ConfigDict(populate_by_name=False)  # `with`, not `given`

    function: Annotated[str, AfterValidator(_function)] = Field(
        description="file, relative to checks.yaml, and function", examples=["checks/login.py:login"]
    )
    given: dict[str, Any] = Field({}, alias="with", description="values for the function; secrets are allowed here")


class _Process:
    """The child: its own session, no environment of ours, a folder that is gone afterwards."""

    def __init__(self, folder: str) -> None:
        self.channel, theirs = socket.socketpair()
        self.output, writing = os.pipe()
        self.said = bytearray()
        self._pidfd = -1
        try:
            self.channel.setblocking(False)
            os.set_blocking(self.output, False)
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own file
                [sys.executable, "-I", "-X", "utf8", _CHILD, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=(theirs.fileno(),),
                cwd=folder,
                env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except BaseException:
            self.channel.close()
            os.close(self.output)
            raise
        finally:
            theirs.close()
            os.close(writing)
        asyncio.get_running_loop().add_reader(self.output, self._take)
        with suppress(AttributeError, OSError):  # Linux
            self._pidfd = os.pidfd_open(self.process.pid)

    def _take(self) -> bool:
        """Take some output; false at its end, or when there is none now."""
        try:
            data = os.read(self.output, OUTPUT)
        except OSError:
            return False
        self.said += data[: OUTPUT - len(self.said)]
        if not data:
            asyncio.get_running_loop().remove_reader(self.output)
        return bool(data)

    async def tell(self, task: Mapping[str, Any]) -> None:
        """Say what to do; nothing more will come."""
        with suppress(ConnectionError, BrokenPipeError):  # it is gone already: its end says why
            await asyncio.get_running_loop().sock_sendall(self.channel, json.dumps(task).encode())
            self.channel.shutdown(socket.SHUT_WR)

    async def ended(self) -> None:
        """Until the process has ended; it stays a zombie, so that its number is nobody else's."""
        loop = asyncio.get_running_loop()
        if self._pidfd < 0:
            while self.process.poll() is None:  # noqa: ASYNC110  # a system without pidfd tells nobody
                await asyncio.sleep(_POLL)
            return
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)

    def answer(self) -> dict[str, Any] | None:
        """What the child said at its end, if it came to that."""
        got = bytearray()
        with suppress(OSError):
            while len(got) <= 2 * _child.LARGEST and (data := self.channel.recv(65536)):
                got += data
        try:
            found = json.loads(got)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("value"), dict) else None

    async def close(self) -> None:
        """Kill whatever is left of the group, take the last output, and give the descriptors back."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GONE):
                    await self.ended()
            for _ in range(_LAST):
                if not self._take():
                    break
        finally:
            self.process.poll()
            asyncio.get_running_loop().remove_reader(self.output)
            os.close(self.output)
            if self._pidfd >= 0:
                os.close(self._pidfd)


async def probe(target: Target, context: Context) -> Observation:
    """Run the function, and tell what it returned. That it raised something is a fact; only silence is a fault."""
    times: list[float] = []
    seen = await look(context, partial(_probe, target, times))
    return replace(seen, latency=times[0], phases={"wait": times[0]}) if times else seen


async def _probe(target: Target, times: list[float], seen: Look) -> None:
    file, name = _found(target, seen.context)
    async with _turn(seen.context):
        seen.restart()
        folder = tempfile.mkdtemp(prefix="probes-script-")
        try:
            await _run(target, file, name, folder, times, seen)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # it may have left a million files


def _found(target: Target, context: Context) -> tuple[str, str]:
    file, _, name = target.function.rpartition(":")
    base = Path(context.base).resolve()
    path = (base / file).resolve()
    if not path.is_relative_to(base):
        raise failed("probe.internal", f"the script {file} leads out of the folder of checks.yaml")
    if not path.is_file():
        raise failed("probe.internal", f"there is no script {file} in the folder of checks.yaml")
    return str(path), name


@asynccontextmanager
async def _turn(context: Context) -> AsyncIterator[None]:
    """A few scripts at a time: a hundred interpreters at once would all be slow, and the target would be blamed."""
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_TOGETHER))
    try:
        async with asyncio.timeout(context.timeout * _PATIENCE):
            await turns.acquire()
    except TimeoutError:
        raise failed("probe.overloaded", f"{_TOGETHER} other scripts were running for half of the timeout") from None
    try:
        yield
    finally:
        turns.release()


async def _run(target: Target, file: str, name: str, folder: str, times: list[float], seen: Look) -> None:
    left = max(0.0, seen.deadline - time.monotonic())
    told = {"run": seen.context.run, "location": _location(seen.context.run), "timeout": round(left, 3), "with": target.given}
    limits = {**LIMITS, "CPU": math.ceil(left) + 1}
    child = _Process(folder)
    late = False
    try:
        async with asyncio.timeout(left):
            await child.tell({"file": file, "function": name, "context": told, "limits": limits})
            await child.ended()
    except TimeoutError:
        late = True
    finally:
        await child.close()
        _note(child, times, seen, late=late)
        child.channel.close()
    if late:
        raise _late(target, seen)


def _late(target: Target, seen: Look) -> Failed:
    return failed("timeout.response", f"{target.function} did not return within {seen.context.timeout:g}s, and was killed")


def _location(run: str) -> str:
    return run.partition("@")[2].partition("/")[0]


def _note(child: _Process, times: list[float], seen: Look, *, late: bool) -> None:
    output = child.said.decode("utf-8", "replace")
    seen.facts["output"] = output
    if output:
        seen.evidence["output"] = content.snippet(output[-2048:])
    if late:
        return
    answer, code = child.answer(), child.process.returncode
    seen.facts["exit_code"] = code
    if answer is None:
        seen.facts |= {"value": {}, "error": _died(code)}
        return
    times.append(float(answer["took"]))
    seen.facts |= {"value": answer["value"], "error": answer["error"], "took": Duration(answer["took"])}
    seen.evidence["value"] = content.snippet(json.dumps(answer["value"], ensure_ascii=False))
    if answer.get("traceback"):
        seen.evidence["traceback"] = content.snippet(answer["traceback"])


def _died(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"the process was ended by {name}{_WHY.get(-code, '')}"
    return f"the process ended with exit code {code} before the function returned"


def short(text: Any) -> dict[str, Any]:
    """``checks/login.py:login``."""
    if not isinstance(text, str):
        raise ValueError("write checks/login.py:login, or a mapping with a function")
    return {"function": text.strip()}


def describe(target: Mapping[str, Any]) -> str:
    """Its file and function."""
    return str(target.get("function", ""))


KIND: Final = Kind(
    name="script",
    summary="A Python function of your own, in a process apart: it returns facts.",
    target=Target,
    short=short,
    example="checks/login.py:login",
    facts={
        "value": Fact("json", "what the function returned: `value.total`"),
        "error": Fact("text", "the exception it raised, or how its process ended; null when it returned"),
        "took": Fact("duration", "how long the function ran, without starting Python and importing its file"),
        "exit_code": Fact("number", "of its process; negative: the signal that ended it"),
        "output": Fact("text", "what it printed, on both streams; the first 64 KB"),
        "total": Fact("duration", "from the start of its process to the end"),
    },
    must=("error == null",),
    probe=probe,
    describe=describe,
    not_on={"aws:": "this version runs no scripts on AWS"},
    switch="scripts",
)
