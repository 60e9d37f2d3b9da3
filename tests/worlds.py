"""A world in memory: a store that obeys the port, a bus and metrics that remember, a clock that is set by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.core.events import Event
from probes.core.metrics import Sample
from probes.core.secret import Secret
from probes.ports import Conflict, Entry, SecretUnavailable, World

START = 1_770_091_500.0  # 2026-02-03T04:05:00Z


class Crash(BaseException):
    """The process ended here."""


class MemoryStore:
    """Documents and logs in memory, as JSON text, so that nobody shares an object with the store.

    ``crash_after``: the write that many from now (1 is the next) is done and then the process ends; ``crash_before`` likewise, but
    the write is lost. ``wait``: other tasks run between a read and a write, as they do in a real store.
    """

    def __init__(self) -> None:
        self.documents: dict[str, tuple[str, int]] = {}
        self.logs: dict[str, dict[tuple[float, str], str]] = {}
        self.writes = 0
        self.crash_after: int | None = None
        self.crash_before: int | None = None

    async def read(self, key: str) -> tuple[Any, int]:
        await asyncio.sleep(0)
        text, version = self.documents.get(key, ("null", 0))
        return json.loads(text), version

    async def write(self, key: str, value: Any, version: int) -> None:
        await asyncio.sleep(0)
        if self.crash_before is not None:
            self.crash_before -= 1
            if self.crash_before == 0:
                raise Crash
        if self.documents.get(key, ("", 0))[1] != version:
            raise Conflict(f"{key} is not at version {version}")
        if value is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = (json.dumps(value), version + 1)
        self.writes += 1
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after == 0:
                raise Crash

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        await asyncio.sleep(0)
        found = sorted((key, pair) for key, pair in self.documents.items() if key.startswith(prefix))
        return {key: (json.loads(text), version) for key, (text, version) in found}

    async def append(self, entries: Iterable[Entry]) -> None:
        await asyncio.sleep(0)
        for entry in entries:
            self.logs.setdefault(entry.log, {}).setdefault((entry.at, entry.id), json.dumps(entry.record))

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        found = [json.loads(text) for (when, _), text in sorted(self.logs.get(log, {}).items()) if when >= at]
        return found if limit is None else found[max(0, len(found) - limit) :]


@dataclass
class MemoryBus:
    """Remembers events in order; ``broken`` makes it refuse them. ``ids`` are those of distinct events, by detail-type."""

    published: list[Event] = field(default_factory=list)
    broken: bool = False

    async def publish(self, events: Iterable[Event]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise ConnectionError("the bus is down")
        self.published += events

    def of(self, detail_type: str) -> list[Mapping[str, Any]]:
        """The details of that type, each id once."""
        return list({event.id: event.detail for event in self.published if event.detail_type == detail_type}.values())


@dataclass
class MemoryMetrics:
    samples: list[Sample] = field(default_factory=list)

    def record(self, samples: Iterable[Sample]) -> None:
        self.samples += samples

    def of(self, name: str) -> list[float]:
        return [sample.value for sample in self.samples if sample.name == name]


@dataclass
class MemorySecrets:
    values: dict[str, str] = field(default_factory=dict)

    async def get(self, reference: str) -> Secret:
        await asyncio.sleep(0)
        if reference not in self.values:
            raise SecretUnavailable(f"{reference} is not set")
        return Secret(reference, self.values[reference])


@dataclass
class Clock:
    """Epoch seconds, set by hand."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class Memory:
    """The parts of a world in memory, and the :class:`World` made of them."""

    locations: tuple[str, ...] = ("here",)
    clock: Clock = field(default_factory=Clock)
    store: MemoryStore = field(default_factory=MemoryStore)
    bus: MemoryBus = field(default_factory=MemoryBus)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    secrets: MemorySecrets = field(default_factory=MemorySecrets)

    @property
    def world(self) -> World:
        return World(self.clock, self.store, self.bus, self.metrics, self.secrets, self.locations, link="http://127.0.0.1:8080")
