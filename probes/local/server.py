"""The page's server: uvicorn on the service's own loop, on a socket that is bound before anything starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from probes.local import Refused

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Leaves the signals to the service. ``up`` is set once it answers, or never will."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and says so."""
        await super().startup(sockets)
        self.up.set()

    async def show(self, listener: socket.socket) -> None:
        """Serve until ``should_exit``. A failure is told in the log: the monitoring goes on without a page."""
        try:
            await self.serve(sockets=[listener])
        except Exception:
            log.exception("the page has stopped; the checks go on")
        finally:
            self.up.set()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket (``port`` 0: any free one). Raises :class:`Refused` with what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Refused(f"--host {host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Refused(f"{host}:{port} cannot be used for the page ({error.strerror}): choose another with --port") from error
    listener.setblocking(False)
    return listener


def server(app: ASGIApp) -> Server:
    """A quiet server for ``app`` that ends within a second of ``should_exit``."""
    return Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,
        )
    )
