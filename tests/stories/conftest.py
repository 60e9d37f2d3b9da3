"""Stories: a tape of outcomes, one column for each minute and one row for each location, played through the real pipeline.

The world is in memory and its clock is virtual; the channels are webhooks to a receiver on loopback. ``story(tape, ...)`` plays a
tape and gives back what happened; ``await told.play(tape)`` goes on with another.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from probes import kinds, pipeline
from probes.channels import CHANNELS
from probes.core import compile as compiler
from probes.core.events import RunsReported
from probes.core.plan import Plan
from probes.core.result import Run
from probes.core.spec import load
from probes.core.state import CheckState, Slot
from tests.stories.receiver import Receiver
from tests.worlds import START, Crash, Memory

MINUTE = 60.0


@pytest.fixture(autouse=True)
def tape_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tape is a kind like any other: a file in a folder of kinds."""
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(Path(__file__).parent / "kinds")])
    for cached in (kinds._names, kinds._load):
        cached.cache_clear()
    kinds.KINDS["tape"]
    tape = sys.modules["probes.kinds.tape"]
    tape.LETTERS.clear()
    tape.TRIED.clear()
    yield
    monkeypatch.undo()
    for cached in (kinds._names, kinds._load):
        cached.cache_clear()


def letters() -> dict[str, str]:
    found: dict[str, str] = sys.modules["probes.kinds.tape"].LETTERS
    return found


@dataclass
class Told:
    """What became of a tape. ``minute`` is the next column; ``notes`` are what tests want to see."""

    plan: Plan
    memory: Memory
    receiver: Receiver
    config: dict[str, Any]
    step: float = 30.0
    minute: int = 0
    heard: int = 0
    late: list[tuple[int, RunsReported]] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    keys: list[tuple[str, str, str]] = field(default_factory=list)

    async def play(self, tape: str, deliver: Callable[[int, RunsReported], list[int]] = lambda minute, report: [0]) -> Told:
        """Play more columns. ``deliver`` says how many minutes later each report arrives (twice, where it says two)."""
        rows, width = parse(tape)
        for column in range(width):
            at = START + MINUTE * self.minute
            self.memory.clock.at = at + 1
            for (check, location), row in rows.items():
                letter = row[column]
                if letter == ".":
                    continue
                run = Run(check, location, at)
                letters()[run.id] = letter
                report = await pipeline.execute(self.plan, self.memory.world, [run])
                self.late += [(self.minute + delay, report) for delay in deliver(self.minute, report)]
            now, self.late = [r for m, r in self.late if m <= self.minute], [(m, r) for m, r in self.late if m > self.minute]
            for report in now:
                if not await self._try(pipeline.settle(self.plan, self.memory.world, report)):  # the bus delivers it again
                    await pipeline.settle(self.plan, self.memory.world, report)
            await self.wait(MINUTE - 1)
            self.minute += 1
        return self

    async def wait(self, seconds: float) -> None:
        """Time passes: ticks and payments every ``step`` seconds."""
        end = self.memory.clock.at + seconds
        while True:
            await self._try(pipeline.tick(self.plan, self.memory.world))
            await self._try(pipeline.pay(self.plan, self.memory.world))
            self._hear()
            if self.memory.clock.at + self.step >= end:
                break
            self.memory.clock.at += self.step
        self.memory.clock.at = end

    async def _try(self, work: Awaitable[None]) -> bool:
        """Whether it came to its end; the process may crash anywhere, and another one goes on."""
        try:
            await work
        except (Crash, ConnectionError):
            return False
        return True

    def _hear(self) -> None:
        """One line for each message: who was told together is on one line."""
        lines: dict[str, list[str]] = {}
        for path, data in self.receiver.messages[self.heard :]:
            names = ", ".join(sorted({incident["check"] for incident in data["incidents"]}))
            more = f" (+{data['total'] - len(data['incidents'])})" if data["total"] > len(data["incidents"]) else ""
            why = "" if data["reason"] == data["event"] else f" ({data['reason']})"
            line = f"{self.minute}m {data['event']} {data['severity']} {names}{more}{why}"
            lines.setdefault(line, []).append(path)
            self.keys.append((path, data["event"], data["key"]))
        self.heard = len(self.receiver.messages)
        order = ["oncall", "chat", "manager"].index  # channels go their own ways: which one is first is chance
        together = [(line, sorted(paths, key=order)) for line, paths in lines.items()]
        together.sort(key=lambda pair: order(pair[1][0]))
        self.alerts += [f"{line} -> {', '.join(paths)}" for line, paths in together]

    def events(self, kind: str, *keys: str) -> list[Any]:
        """Events of a detail-type as tuples of ``keys`` (a bare value for one key)."""
        found = [tuple(detail[key] for key in keys) for detail in self.memory.bus.of(kind)]
        return [values[0] for values in found] if len(keys) == 1 else found

    @property
    def quiet(self) -> list[str]:
        """``opened oncall: maintenance`` for each alert that was held back."""
        return [
            f"{event} {channel}: {reason}"
            for event, channel, reason in self.events("Alert Suppressed", "event", "channel", "reason")
        ]

    async def state(self, check: str = "quote") -> CheckState:
        slots = [Slot.parse(document) for document, _ in (await self.memory.store.find("state/")).values()]
        found = [state for slot in slots if (state := slot.check(check)) is not None]
        assert len(found) == 1, f"{check} is in {len(found)} slots"
        return found[0]

    async def owed(self) -> int:
        return sum(len(Slot.parse(document).owed) for document, _ in (await self.memory.store.find("state/")).values())

    def replan(self, **changes: Any) -> None:
        """Another configuration: keys of the old one replaced (None: removed)."""
        merged = {**self.config, **changes}
        self.config = {key: value for key, value in merged.items() if value is not None}
        self.plan = planned(self.config)


def parse(tape: str) -> tuple[dict[tuple[str, str], list[str]], int]:
    """Rows by (check, location): ``dublin P P F`` is about ``quote``, ``resolver@dublin P P F`` about another check."""
    rows, width = {}, 0
    for line in tape.strip().splitlines():
        name, *row = line.split()
        if name.isdigit():  # the ruler
            continue
        check, _, location = name.rpartition("@")
        rows[check or "quote", location] = row
        width = max(width, len(row))
    assert all(len(row) == width for row in rows.values()), "every row of a tape has the same number of columns"
    return rows, width


def planned(config: dict[str, Any]) -> Plan:
    shapes = {name: channel.config for name, channel in CHANNELS.items()}
    return compiler.compile(load(yaml.safe_dump(config, sort_keys=False), kinds.KINDS, channels=shapes))


Story = Callable[..., Awaitable[Told]]
ROUTES: list[dict[str, Any]] = [{"when": ['severity == "critical"'], "notify": ["oncall", "chat"]}, {"notify": ["chat"]}]


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with Receiver() as receiver:

        async def play(
            tape: str,
            *,
            confirm: dict[str, Any] | None = None,
            checks: dict[str, dict[str, Any]] | None = None,
            step: float = 30.0,
            deliver: Callable[[int, RunsReported], list[int]] = lambda minute, report: [0],
            **top: Any,
        ) -> Told:
            rows, _ = parse(tape)
            places = list(dict.fromkeys(location for _, location in rows))
            names = list(dict.fromkeys(check for check, _ in rows))
            config = {
                "version": 1,
                "service": "shop",
                "locations": dict.fromkeys(places, "local"),
                "defaults": {
                    "every": "1m",
                    "locations": places,
                    "confirm": confirm or {"runs": "2 of 3", "locations": "majority" if len(places) > 1 else "any", "recover": 2},
                },
                "checks": {name: {"tape": name, "should": ['letter != "D"'], **(checks or {}).get(name, {})} for name in names},
                "channels": {
                    name: {"webhook": {"url": f"http://127.0.0.1:{receiver.port}/{name}", "private": True}}
                    for name in ("oncall", "chat", "manager")
                },
                "routes": ROUTES,
                **top,
            }
            told = Told(planned(config), Memory(locations=tuple(places)), receiver, config, step)
            return await told.play(tape, deliver)

        yield play
