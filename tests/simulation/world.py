"""The world of a history: store, bus and channels in memory, where every call is a place for a fault."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.core.alert import Alert, Delivery
from probes.core.events import Event
from probes.core.metrics import Sample
from probes.ports import Conflict, Entry
from tests.simulation.scheduler import Crash, Scheduler, Wait
from tests.worlds import MemorySecrets

GONE = "gone"
"""The status of a check that was forgotten."""
QUICK = 0.04
"""Most seconds a healthy call takes."""
TIMEOUT = 10.0
"""Most seconds a channel hangs: sending has a deadline (`probes.channels`)."""


@dataclass(frozen=True)
class Chances:
    """How likely each fault is at one port call; a history has some of them and not others (swarm testing)."""

    before: float = 0.0
    after: float = 0.0
    refuse: float = 0.0
    unsure: float = 0.0
    slow: float = 0.0
    stall: float = 0.0
    answer: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0


@dataclass(frozen=True)
class Message:
    """What the receiver was told, and when (true time)."""

    at: float
    channel: str
    alert: Alert
    root: str


@dataclass(frozen=True)
class Moment:
    """A check as it was written to the store."""

    at: float
    check: str
    status: str
    incident: str | None
    severity: str | None
    places: dict[str, str]


class Deaf:
    """Metrics that nobody looks at."""

    def record(self, samples: Iterable[Sample]) -> None:
        for _ in samples:
            pass


@dataclass
class Ports:
    """Store, bus and channels of one history. ``skip`` holds faults that must not happen; ``struck`` those that did."""

    scheduler: Scheduler
    chances: Chances
    skip: frozenset[str]
    carry: Callable[[Event], None]
    metrics: Deaf = field(default_factory=Deaf)
    secrets: MemorySecrets = field(default_factory=MemorySecrets)
    faulty: bool = True
    struck: list[tuple[float, str]] = field(default_factory=list)
    documents: dict[str, tuple[str, int]] = field(default_factory=dict)
    logs: dict[str, dict[tuple[float, str], dict[str, Any]]] = field(default_factory=dict)
    published: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    holds: dict[str, frozenset[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    poison: Callable[[Alert], bool] = lambda alert: False

    def strike(self, name: str) -> bool:
        """Whether the fault of that name happens: it is remembered, unless it was asked not to."""
        if name in self.skip or not self.faulty:
            return False
        self.struck.append((self.scheduler.now, name))
        return True

    async def _port(self, what: str) -> str | None:
        """A call: time passes, and perhaps it never comes to its end. What befalls it after its work, if anything."""
        root = self.scheduler.current
        assert root is not None
        root.calls += 1
        chances, number, throw, wait = self.chances, root.calls, root.random.random(), root.random.random()
        fault = None
        for name in ("before", "after", "refuse", "unsure", "slow", "stall"):
            throw -= getattr(chances, name)
            if throw < 0:
                fault = name
                break
        if fault == "stall" and what.startswith("send"):
            fault = "slow"  # sending has its deadline
        if fault and not self.strike(f"{root.label} #{number} {what}: {fault}"):
            fault = None
        if fault:
            root.faults += 1
        if fault == "before":
            raise Crash
        if fault == "slow":
            await Wait((TIMEOUT / 2 if what.startswith("send") else 15.0) * wait)
        elif fault == "stall":
            await Wait(61.0 + 140.0 * wait)
        else:
            await Wait(QUICK * wait)
        if fault == "refuse":
            raise ConnectionError(f"{what} is throttled")
        return fault

    def _after(self, fault: str | None, what: str) -> None:
        if fault == "after":
            raise Crash
        if fault == "unsure":
            raise ConnectionError(f"no answer to {what}")

    async def read(self, key: str) -> tuple[Any, int]:
        fault = await self._port(f"read {key}")
        text, version = self.documents.get(key, ("null", 0))
        self._after(fault, "read")
        return json.loads(text), version

    async def write(self, key: str, value: Any, version: int) -> None:
        fault = await self._port(f"write {key}")
        if self.documents.get(key, ("", 0))[1] != version:
            raise Conflict(f"{key} is not at version {version}")
        if value is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = (json.dumps(value), version + 1)
            if key.startswith("state/"):
                self._look(key, value)
        self._after(fault, "write")

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        fault = await self._port(f"find {prefix}")
        found = sorted((key, pair) for key, pair in self.documents.items() if key.startswith(prefix))
        self._after(fault, "find")
        return {key: (json.loads(text), version) for key, (text, version) in found}

    async def append(self, entries: Iterable[Entry]) -> None:
        fault = await self._port("append")
        for entry in entries:
            self.logs.setdefault(entry.log, {}).setdefault((entry.at, entry.id), entry.record)
        self._after(fault, "append")

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        fault = await self._port(f"since {log}")
        found = [record for (when, _), record in sorted(self.logs.get(log, {}).items()) if when >= at]
        self._after(fault, "since")
        return found if limit is None else found[max(0, len(found) - limit) :]

    async def publish(self, events: Iterable[Event]) -> None:
        told = list(events)
        fault = await self._port("publish")
        for event in told:
            self.published.setdefault((event.detail_type, event.id), event.detail)
            self.carry(event)
        self._after(fault, "publish")

    async def send(self, kind: str, config: Mapping[str, Any], alert: Alert, now: float, secrets: Any) -> Delivery:
        """The channel's own side: it takes the message, or not, and says so, or not."""
        root = self.scheduler.current
        assert root is not None
        try:
            fault = await self._port(f"send {alert.channel}")
        except ConnectionError as error:
            return Delivery("retry", str(error))
        throw, which = root.random.random(), root.random.random()
        if self.poison(alert):
            self.refused[alert.id] += 1
            return Delivery("permanent", "400 no")
        if throw < self.chances.answer:
            answer = ("503", "hang", "429", "taken, no answer", "taken late")[int(which * 5)]
            if self.strike(f"{root.label} #{root.calls} answer of {alert.channel}: {answer}"):
                root.faults += 1
                if answer in ("hang", "taken late"):
                    await Wait(TIMEOUT / 2)
                if answer.startswith("taken"):
                    self.messages.append(Message(self.scheduler.now, alert.channel, alert, root.label))
                return Delivery("retry", answer, 60.0 if answer == "429" else None)
        self.messages.append(Message(self.scheduler.now, alert.channel, alert, root.label))
        if fault == "unsure":
            return Delivery("retry", "no answer")
        self._after(fault, "send")
        return Delivery("delivered", "202")

    def _look(self, key: str, slot: Mapping[str, Any]) -> None:
        gone = self.holds.get(key, frozenset()) - set(slot["checks"])
        self.holds[key] = frozenset(slot["checks"])
        self.moments += [Moment(self.scheduler.now, name, GONE, None, None, {}) for name in sorted(gone)]
        for name, state in slot["checks"].items():
            last = state["incidents"][-1] if state["incidents"] and state["incidents"][-1]["resolved_at"] is None else None
            self.moments.append(
                Moment(
                    self.scheduler.now,
                    name,
                    state["status"],
                    last["id"] if last else None,
                    last["severity"] if last else None,
                    {place: "dark" if window["dark"] else window["status"] for place, window in state["locations"].items()},
                )
            )
