"""Server-sent events: the page hears that something changed, and fetches what it shows again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from probes.local.web import Service

MOST: Final = 64
"""Most open streams: each is a socket and a task of the process that probes."""
GATHER: Final = 0.25
"""Seconds in which changes are gathered into one message."""
ALIVE: Final = 15.0
"""Seconds of silence after which a comment says that the stream still stands."""
NAMES: Final = 50


async def stream(service: Service, gather: float = GATHER, alive: float = ALIVE) -> AsyncIterator[str]:
    """Lines of an event stream: one ``change`` with the names of what changed, at most every ``gather`` seconds.

    Ends with the service.
    """
    yield "retry: 2000\n\n"
    changes = service.changes()
    coming = asyncio.ensure_future(anext(changes, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=alive)
            if not done:
                yield ": still here\n\n"
                continue
            names: dict[str, None] = {}
            until = asyncio.get_running_loop().time() + gather
            while coming.done():
                name = coming.result()
                if name is None:
                    return
                names[name] = None
                coming = asyncio.ensure_future(anext(changes, None))
                await asyncio.wait({coming}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
                if asyncio.get_running_loop().time() >= until:
                    break
            said = list(names) if len(names) <= NAMES else ["*"]
            yield f"event: change\ndata: {json.dumps(said)}\n\n"
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await coming
        close = getattr(changes, "aclose", None)
        if close:
            await close()


async def events(request: Request) -> Response:
    """``GET /events``."""
    state = request.app.state
    if state.streams >= MOST:
        raise HTTPException(503, f"{MOST} pages are open already: close one.", {"retry-after": "30"})

    async def counted() -> AsyncIterator[str]:
        state.streams += 1
        try:
            async for line in stream(state.service):
                yield line
        finally:
            state.streams -= 1

    return StreamingResponse(counted(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
