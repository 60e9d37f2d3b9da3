"""The page of ``probes up``: fleet, checks and incidents for people, JSON for programs, heartbeats for jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from starlette.applications import Starlette

from probes.core.diagnostics import Problem
from probes.core.plan import Plan
from probes.ports import World


class Service(Protocol):
    """What the page needs of the running service."""

    @property
    def plan(self) -> Plan:
        """What runs now; replaced when checks.yaml changes."""
        ...

    @property
    def world(self) -> World:
        """Where it runs."""
        ...

    @property
    def rejected(self) -> tuple[Problem, ...]:
        """The problems of the last configuration that was refused; empty while the newest one runs."""
        ...

    @property
    def token(self) -> str:
        """The secret that a command line, or a person on another machine, shows to be let in."""
        ...

    @property
    def pulse(self) -> float:
        """When the schedule last turned, by the world's clock (epoch seconds)."""
        ...

    @property
    def trouble(self) -> str | None:
        """One sentence while history cannot be kept, else None."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """Names of what changes from now on (``runs/quote``, ``incidents``, ``plan``); ends when the service stops."""
        ...


def app(service: Service, host: str = "127.0.0.1") -> Starlette:
    """The web application. ``host`` is the address it is bound to: on any but loopback, readers must sign in with the token."""
    from probes.local.web.routes import build

    return build(service, host)
