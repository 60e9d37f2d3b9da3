"""The inner side of ``script``: started as ``python -I`` in a process of its own, it sets its limits and calls the user's function.

It knows nothing but the standard library. What it is to do comes as JSON over the socket whose number is its argument; what came of
it goes back the same way. Output of the function is no concern of this file: it goes where the process's output goes.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import resource
import socket
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, Final

LARGEST: Final = 65536
"""Bytes of JSON that a function may return."""
_ERROR, _TRACE = 300, 4000


def main(number: int) -> None:
    """Read what to do from that descriptor, do it, answer, and leave at once, whatever the function left running."""
    with socket.socket(fileno=number) as channel:
        task = json.loads(b"".join(iter(lambda: channel.recv(LARGEST), b"")))
        _limit(task["limits"])
        answer, code = _run(task)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        with suppress(OSError):
            channel.sendall(json.dumps(answer).encode())
    os._exit(code)


def _limit(limits: dict[str, int]) -> None:
    """Lower each limit, for good; one that this system does not have, or cannot keep, is passed over."""
    if "NPROC" in limits:
        limits["NPROC"] += _tasks()
    for name, wanted in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            _, hard = resource.getrlimit(kind)
            least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (least, least))


def _tasks() -> int:
    """Processes and threads that this user has already: the system counts them all together."""
    count = 0
    with suppress(OSError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _run(task: dict[str, Any]) -> tuple[dict[str, Any], int]:
    started = time.perf_counter()
    try:
        function = _load(task["file"], task["function"])
        started = time.perf_counter()
        value = function(task["context"])
        if inspect.iscoroutine(value):
            import asyncio

            value = asyncio.run(value)
        took = time.perf_counter() - started
        return {"value": _checked(value), "took": took, "error": None}, 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        words = f"the function ended the process with exit code {code}" if code else None
        return _failed(words, started), code & 0xFF
    except BaseException as error:
        said = "".join(traceback.format_exception_only(error)).strip()
        return {**_failed(said, started), "traceback": _trace(error)}, 1


def _failed(error: str | None, started: float) -> dict[str, Any]:
    return {"value": {}, "took": time.perf_counter() - started, "error": error and error[:_ERROR]}


def _trace(error: BaseException) -> str:
    """The trace from the user's own code on."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith((__file__, "<frozen importlib")):
        own = own.tb_next
    return "".join(traceback.format_exception(type(error), error, own))[-_TRACE:]


def _load(file: str, name: str) -> Any:
    sys.path.append(os.path.dirname(file))  # at the end: files beside it are found, and hide nothing
    spec = importlib.util.spec_from_file_location(os.path.basename(file).removesuffix(".py"), file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ImportError(f"{os.path.basename(file)} has no function {name}")
    return function


def _checked(value: Any) -> dict[str, Any]:
    """What the function returned, if it is what it should be. Raises ValueError."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"the function returned {type(value).__name__}, not a dict of facts by name")
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the function returned what is not JSON: {error}") from None
    if size > LARGEST:
        raise ValueError(f"the function returned {size // 1024} KB; the limit is {LARGEST // 1024} KB")
    return value


if __name__ == "__main__":
    main(int(sys.argv[1]))
