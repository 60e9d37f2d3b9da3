"""Every address of the page, with what it takes to be let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from probes.local.web import api, pages
from probes.local.web.assets import static
from probes.local.web.memo import Memo
from probes.local.web.security import Guard, Refused, Right
from probes.local.web.stream import events

if TYPE_CHECKING:
    from probes.local.web import Service

Handler = Callable[[Request], Awaitable[Response]]
GET: Final = ("GET",)
POST: Final = ("POST",)

TABLE: Final[tuple[tuple[str, tuple[str, ...], Handler, Right], ...]] = (
    ("/", GET, pages.fleet, "read"),
    ("/groups/{name}", GET, pages.group, "read"),
    ("/checks/{id}", GET, pages.check, "read"),
    ("/incidents", GET, pages.incidents, "read"),
    ("/incidents/{id:path}", GET, pages.incident, "read"),
    ("/events", GET, events, "read"),
    ("/api/status", GET, api.status, "read"),
    ("/api/checks/{id}", GET, api.check, "read"),
    ("/api/checks/{id}/runs", GET, api.runs, "read"),
    ("/api/checks/{id}/panels/{panel}", GET, api.panel, "read"),
    ("/api/incidents", GET, api.incidents, "read"),
    ("/api/ack", POST, api.ack, "change"),
    ("/api/silence", POST, api.silence, "change"),
    ("/api/unsilence", POST, api.unsilence, "change"),
    ("/beat/{check}", ("GET", "POST"), api.beat, "beat"),
    ("/beat/{check}/{exit}", ("GET", "POST"), api.beat, "beat"),
    ("/health", GET, api.health, "open"),
    ("/static/{name}", GET, static, "open"),
    ("/login", ("GET", "POST"), pages.login, "open"),
)
"""Address, methods (HEAD comes with GET), handler, and the right it takes. There is no route beside these."""


def build(service: Service, host: str) -> Starlette:
    """The application behind its guard."""
    routes = [Route(path, handler, methods=list(methods), name=path) for path, methods, handler, _ in TABLE]
    rights = {path: right for path, _, _, right in TABLE}
    guard = Middleware(Guard, service=service, host=host, routes=routes, rights=rights)
    handlers = {Refused: api.refused, HTTPException: pages.failed, Exception: pages.failed}
    made = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)
    made.state.service = service
    made.state.memo = Memo(service)
    made.state.streams = 0
    return made
