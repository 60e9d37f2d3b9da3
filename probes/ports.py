"""What the line needs from a world. Nothing here is domain-shaped; every question with a domain word is answered in the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from probes.core.events import Event
from probes.core.metrics import Sample
from probes.core.secret import Secret


class Conflict(Exception):
    """The document was changed by someone else since it was read: read again and decide again."""


class SecretUnavailable(Exception):
    """The secret could not be read; the text names the secret and the reason, never a value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a log: ``at`` epoch seconds orders it, ``id`` makes twice once, ``keep`` seconds until it may be pruned."""

    log: str
    at: float
    id: str
    record: dict[str, Any]
    keep: float


class Store(Protocol):
    """Versioned JSON documents, and append-only logs by name."""

    async def read(self, key: str) -> tuple[Any, int]:
        """The document and its version; ``(None, 0)`` when there is none."""
        ...

    async def write(self, key: str, value: Any, version: int) -> None:
        """Replace the document read at ``version`` (0: create); ``None`` deletes. Durable on return. Raises :class:`Conflict`."""
        ...

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        """All documents whose key starts with ``prefix``, with their versions, in key order."""
        ...

    async def append(self, entries: Iterable[Entry]) -> None:
        """Add records in one go; a record with a known (log, at, id) changes nothing."""
        ...

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        """Records of the log with time >= ``at``, oldest first; with ``limit``, the newest that many of them."""
        ...


class Bus(Protocol):
    """Carries events to whoever subscribed; at least once, in any order."""

    async def publish(self, events: Iterable[Event]) -> None:
        """Raises when not every event was accepted."""
        ...


class Metrics(Protocol):
    """Takes samples; never raises, never blocks the probing."""

    def record(self, samples: Iterable[Sample]) -> None:
        """Take the samples; what cannot be kept is dropped and counted."""
        ...


class Secrets(Protocol):
    """Reads secrets by reference (``env:NAME``, ``file:path``, ``ssm:/path`` ...)."""

    async def get(self, reference: str) -> Secret:
        """Raises :class:`SecretUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """The adapters of one place. ``now`` is epoch seconds; ``locations`` are those this world looks from."""

    now: Callable[[], float]
    store: Store
    bus: Bus
    metrics: Metrics
    secrets: Secrets
    locations: Sequence[str]
    loopback: bool = True
    link: str | None = None
    base: str = "."
