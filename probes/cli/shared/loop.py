"""Running a coroutine from a verb, so that Ctrl-C ends it soon, whatever it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import click

T = TypeVar("T")
GRACE: Final = 4.0
"""Seconds to tidy up after Ctrl-C; then the process ends, whatever still holds it."""


def complete(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns. Ctrl-C and SIGTERM cancel it; then :class:`click.Abort` is raised (exit code 130)."""
    stopped: list[int] = []

    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if stopped:  # asked twice: at once
                _leave()
            stopped.append(number)
            last = threading.Timer(GRACE, _leave)
            last.daemon = True
            last.start()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if not stopped:
            raise
        raise click.Abort from None


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(130)
