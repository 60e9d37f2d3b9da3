"""One history: a plan, a timeline of the target, workers with faults, and what came of it. Everything follows from the seed."""

from __future__ import annotations

import gc
import importlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import yaml

from probes import pipeline
from probes.channels import CHANNELS
from probes.core import compile as compiler
from probes.core.events import Event
from probes.core.plan import Plan
from probes.core.result import Run
from probes.core.spec import load
from probes.core.state import Slot
from probes.core.units import iso
from probes.kinds import KINDS
from probes.ports import World
from tests.simulation.scheduler import Scheduler, Shim
from tests.simulation.world import Chances, Ports
from tests.worlds import START

CHANNELS_USED: Final = ("oncall", "chat", "manager")
LOCATIONS: Final = ("dublin", "sydney", "virginia")
OUTCOMES: Final = {"P": "passed", "D": "degraded", "F": "failed", "E": "errored"}
REORDER: Final = 3
"""Most periods by which a report comes late while nothing else goes wrong."""
SLEEP: Final = 4000.0
"""Seconds for which everything sleeps once at the end, so that what waits for an hour has waited."""
SETTLING: Final = 9
"""Periods without faults before and after that sleep."""


@dataclass(frozen=True)
class Episode:
    """A check that is not up in a location, for runs ``first`` to ``last``; ``F``, ``D``, ``E`` (our trouble) or ``.`` (no run)."""

    check: str
    location: str
    first: int
    last: int
    letter: str

    def __str__(self) -> str:
        return f"{self.check}@{self.location} is {self.letter} in runs {self.first} to {self.last}"


@dataclass(frozen=True)
class Scenario:
    """What a seed means before any fault."""

    seed: int
    plan: Plan
    locations: tuple[str, ...]
    every: float
    periods: int
    episodes: tuple[Episode, ...]
    chances: Chances
    skews: tuple[float, ...]
    tick: float
    pay: float
    style: str
    poisoned: float
    reshard: float | None
    removed: float | None
    acknowledged: tuple[float, ...]
    silenced: tuple[float, float] | None

    def letter(self, check: str, location: str, number: int) -> str:
        """What a run sees; later episodes cover earlier ones."""
        found = "P"
        for one in self.episodes:
            if one.check == check and one.location == location and one.first <= number <= one.last:
                found = one.letter
        return found


@dataclass
class Heard:
    """When a report may have been entered for the first time, and since when it surely was (true times)."""

    first: float = float("inf")
    done: float = float("inf")


@dataclass
class Outcome:
    """What came of a history, for the oracle."""

    scenario: Scenario
    ports: Ports
    heard: dict[tuple[str, int], Heard] = field(default_factory=dict)
    reports: list[Event] = field(default_factory=list)
    slots: dict[str, Slot] = field(default_factory=dict)
    changed: str | None = None
    removed: float | None = None
    silenced: float | None = None
    acknowledged: dict[str, float] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    steps: int = 0
    end: float = 0.0
    quiet: float = 0.0


STYLES: Final[dict[str, list[dict[str, Any]]]] = {
    "plain": [{"when": ['severity == "critical"'], "notify": ["oncall", "chat"]}, {"notify": ["chat"]}],
    "one": [{"notify": ["chat"]}],
    "repeat": [{"notify": ["oncall"], "repeat": "4m"}],
    "escalate": [{"notify": ["chat"], "escalate": {"after": "3m", "notify": ["manager"]}}],
    "group": [{"notify": ["chat"], "group_by": ["group"], "wait": "30s"}],
}


@lru_cache(maxsize=512)
def planned(checks: int, locations: int, quorum: str, need: int, of: int, recover: int, every: int, style: str) -> Plan:
    """A real plan, compiled from YAML."""
    names = LOCATIONS[:locations]
    config = {
        "version": 1,
        "service": "shop",
        "locations": dict.fromkeys(names, "local"),
        "defaults": {
            "every": f"{every}s",
            "timeout": "5s",
            "locations": list(names),
            "confirm": {"runs": f"{need} of {of}", "locations": quorum, "recover": recover},
        },
        "checks": {f"c{number}": {"tcp": "127.0.0.1:9"} for number in range(checks)},
        "channels": {name: {"webhook": {"url": f"http://127.0.0.1:9/{name}", "private": True}} for name in CHANNELS_USED},
        "routes": STYLES[style],
    }
    shapes = {name: channel.config for name, channel in CHANNELS.items()}
    return compiler.compile(load(yaml.safe_dump(config, sort_keys=False), KINDS, channels=shapes))


def scenario(seed: int, steps: int) -> Scenario:
    """What happens in the history of that seed."""
    chance = Random(seed)
    locations = chance.choice((1, 1, 2, 3, 3))
    checks = chance.choice((1, 1, 1, 2))
    need, of = chance.choice(((1, 1), (2, 3), (2, 3), (2, 2), (3, 5)))
    recover = chance.choice((1, 2, 2, 3))
    every = chance.choice((60, 60, 60, 30, 300))
    quorum = chance.choice(("majority", "majority", "any", "all"))
    style = chance.choice(("plain", "plain", "plain", "one", "repeat", "escalate", "group"))
    plan = planned(checks, locations, quorum, need, of, recover, every, style)
    tick, pay = chance.choice((15.0, 30.0, 60.0)), chance.choice((10.0, 20.0, 45.0))
    tick, pay = max(tick, every / 4), max(pay, every / 6)
    periods = max(8, round(steps / (2 * locations + every / tick + every / pay)))
    names = LOCATIONS[:locations]
    episodes = []
    for _ in range(chance.randint(1, 4)):
        check, first = f"c{chance.randrange(checks)}", chance.randint(1, periods - 1)
        last = first + (chance.randint(0, need) if chance.random() < 0.5 else chance.randint(of, of + 8)) - 1
        letter = chance.choice("FFFFFFDDE.")
        where = names if chance.random() < 0.6 else chance.sample(names, chance.randint(1, locations))
        shift = chance.random() < 0.2
        for location in where:
            begin = first + (chance.randint(0, 2) if shift else 0)
            episodes.append(Episode(check, location, begin, min(last + begin - first, periods - 1), letter))
    loud = chance.choice((0.0, 0.004, 0.01, 0.03))
    few = {name: loud if chance.random() < 0.5 else 0.0 for name in ("before", "after", "refuse", "unsure", "slow", "stall")}
    if chance.random() < 0.12:
        few["stall"] = 0.05
    bus = {name: chance.choice((0.0, 0.0, 0.05, 0.25)) for name in ("lost", "late", "twice")}
    bus["lost"] = min(bus["lost"], 0.1)
    answer = chance.choice((0.0, 0.0, 0.1, 0.4))
    skew = chance.choice((0.0, 0.0, 2.0, 60.0, 300.0))
    skews = (0.0, *(round(chance.uniform(-skew, skew), 1) for _ in range(2)))
    poisoned = chance.choice((0.0,) * 9 + (0.2,))
    reshard = removed = None
    busy = [one.first + need - 1 for one in episodes] or [periods // 2]
    if chance.random() < 0.2:
        reshard = (chance.choice(busy) + chance.uniform(0.0, 1.5)) * every
    if checks > 1 and chance.random() < 0.3:
        removed = (chance.choice(busy) + chance.uniform(0.0, 3.0)) * every
    acknowledged = tuple((chance.choice(busy) + chance.uniform(0.0, 4.0)) * every for _ in range(chance.choice((0, 0, 1, 2))))
    silenced = None
    if chance.random() < 0.2:
        silenced = (max(0.0, chance.choice(busy) + chance.uniform(-3.0, 2.0)) * every, chance.uniform(2.0, 10.0) * every)
    return Scenario(
        seed=seed,
        plan=plan,
        locations=names,
        every=float(every),
        periods=periods,
        episodes=tuple(one for one in episodes if one.first <= one.last),
        chances=Chances(answer=answer, **few, **bus),
        skews=skews,
        tick=tick,
        pay=pay,
        style=style,
        poisoned=poisoned,
        reshard=reshard,
        removed=removed,
        acknowledged=acknowledged,
        silenced=silenced,
    )


@contextmanager
def installed(ports: Ports) -> Iterator[None]:
    """The pipeline on our scheduler and our channels."""
    settle, pay, fill = (importlib.import_module(f"probes.pipeline.{name}") for name in ("settle", "pay", "fill"))
    channels = SimpleNamespace(send=ports.send, CHANNELS=CHANNELS)
    with (
        mock.patch.object(settle, "asyncio", Shim),
        mock.patch.object(fill, "asyncio", Shim),
        mock.patch.object(pay, "asyncio", Shim),
        mock.patch.object(pay, "channels", channels),
    ):
        yield


class History:
    """The workers of one history."""

    def __init__(self, of: Scenario, skip: frozenset[str] = frozenset()) -> None:
        episodes = tuple(one for one in of.episodes if f"truth: {one}" not in skip)
        self.of = replace(of, episodes=episodes)
        self.plan = of.plan
        self.scheduler = Scheduler(of.seed, START)
        self.ports = Ports(self.scheduler, of.chances, skip, self._carry)
        self.outcome = Outcome(self.of, self.ports)
        self.worlds = [
            World(
                (lambda skew=skew: self.scheduler.now + skew) if f"skew {index}" not in skip else (lambda: self.scheduler.now),
                self.ports,
                self.ports,
                self.ports.metrics,
                self.ports.secrets,
                of.locations,
            )
            for index, skew in enumerate(of.skews)
        ]
        chance = Random(of.seed ^ 0x5EED)
        self.refused = {f"c{number}" for number in range(2) if chance.random() < of.poisoned}
        self.ports.poison = lambda alert: self.ports.faulty and alert.subjects[0].check in self.refused and alert.channel == "chat"
        self.adopting, self.adoptions, self.busy = 0, 0, 0
        self._carried: set[str] = set()

    def run(self) -> Outcome:
        """Play it: faults, then quiet, a long sleep, quiet again; then every report once more."""
        of, out = self.of, self.outcome
        with installed(self.ports):
            self._start("adopt", lambda world: pipeline.adopt(self.plan, world))
            end = START + of.periods * of.every
            self._periods(0, of.periods, of.tick, of.pay)
            if of.reshard is not None and "reshard" not in self.ports.skip:
                self.scheduler.at(START + of.reshard, lambda: self._replan(lambda: replace(self.plan, of=3 - self.plan.of)))
            if of.removed is not None and "removed" not in self.ports.skip:
                self.scheduler.at(START + of.removed, lambda: self._replan(self._without))
            if of.silenced is not None and "silenced" not in self.ports.skip:
                self.scheduler.at(START + of.silenced[0], self._silence)
            for index, at in enumerate(of.acknowledged):
                if f"acknowledged {index}" not in self.ports.skip:
                    self.scheduler.at(START + at, lambda index=index: self._acknowledge(index))
            self.scheduler.run(end)
            self.ports.faulty = False
            out.quiet = end
            self._periods(of.periods, of.periods + SETTLING, of.every / 2, of.every / 2)
            self.scheduler.run(end + SETTLING * of.every)
            asleep = -(-SLEEP // of.every)
            first = of.periods + SETTLING + int(asleep)
            self.scheduler.run(START + first * of.every)
            self._periods(first, first + SETTLING, of.every / 2, of.every / 2)
            out.end = START + (first + SETTLING) * of.every
            self.scheduler.run(out.end)
            self._again()
        out.slots = {
            name: Slot.parse(json.loads(text)) for name, (text, _) in self.ports.documents.items() if name.startswith("state/")
        }
        self.scheduler.close()
        return out

    def _periods(self, first: int, last: int, tick: float, pay: float) -> None:
        at, begin, end = self.scheduler.at, START + first * self.of.every, START + last * self.of.every
        for number in range(first, last):
            for location in self.of.locations:
                due = START + number * self.of.every
                wait = 1.0 + Random(f"{self.of.seed}/{location}/{number}").random() * 10
                at(due + wait, lambda location=location, number=number: self._probe(location, number, 0))
        for what, step, work in (("tick", tick, pipeline.tick), ("pay", pay, pipeline.pay)):
            for count in range(int((end - begin) / step)):
                when = begin + count * step + (2.5 if what == "tick" else 4.0)
                at(
                    when,
                    lambda what=what, count=count, work=work: self._begin(
                        f"{what} {first}+{count}", lambda world, work=work: work(self.plan, world)
                    ),
                )

    def _begin(self, label: str, work: Callable[[World], Any], ended: Callable[[BaseException | None], None] | None = None) -> None:
        if self.adopting:
            self.scheduler.at(self.scheduler.now + 1.0, lambda: self._begin(label, work, ended))
        else:
            self._start(label, work, ended)

    def _start(self, label: str, work: Callable[[World], Any], ended: Callable[[BaseException | None], None] | None = None) -> None:
        self.outcome.steps += 1
        self.busy += 1
        index = Random(zlib.crc32(label.encode())).randrange(len(self.worlds)) if self.ports.faulty else 0
        self.scheduler.start(label, work(self.worlds[index]), lambda error: self._ended(label, error, ended))

    def _ended(self, label: str, error: BaseException | None, then: Callable[[BaseException | None], None] | None) -> None:
        self.busy -= 1
        if error is not None and not isinstance(error, ConnectionError) and type(error).__name__ != "Crash":
            self.outcome.defects.append(f"{label} raised {type(error).__name__}: {error}")
        if then is not None:
            then(error)

    def _probe(self, location: str, number: int, attempt: int) -> None:
        execute = importlib.import_module("probes.pipeline.execute")
        at = START + number * self.of.every
        pairs = []
        for check in self.plan.checks.values():
            letter = self.of.letter(check.id, location, number)
            if letter != ".":
                run = Run(check.id, location, at)
                pairs.append((run, check, document(run, check.kind, letter)))
        if not pairs:
            return

        def ended(error: BaseException | None) -> None:
            if error is not None and attempt < 2:  # as a function that is invoked asynchronously
                self.scheduler.at(self.scheduler.now + 7.0, lambda: self._probe(location, number, attempt + 1))

        self._begin(
            f"probe {location}/{number}/{attempt}",
            lambda world: execute.report(self.plan, world, location, pairs, self.scheduler.now),
            ended,
        )

    def _carry(self, event: Event) -> None:
        """The bus delivers a report, late or twice or never."""
        if event.detail_type != "Runs Reported":
            return
        of, known = self.of, event.id in self._carried
        self._carried.add(event.id)
        detail = event.detail
        location, number = detail["location"], round((_instant(detail["due"]) - START) / of.every)
        chance = Random(f"{of.seed}/bus/{location}/{number}/{known}")
        label, throw = f"bus {location}/{number}{' again' if known else ''}", [chance.random() for _ in range(6)]
        if throw[0] < of.chances.lost and self.ports.strike(f"{label}: lost"):
            return
        delays = [0.1]
        if throw[1] < of.chances.late and self.ports.strike(f"{label}: late by {throw[2] * REORDER:.2f} periods"):
            delays = [throw[2] * REORDER * of.every]
        if throw[3] < of.chances.twice and self.ports.strike(f"{label}: twice, {throw[4] * 2 * REORDER:.2f} periods later"):
            delays.append(throw[4] * 2 * REORDER * of.every)
        self.outcome.reports.append(event)
        heard = self.outcome.heard.setdefault((location, number), Heard())
        for copy, delay in enumerate(delays):
            self.scheduler.at(
                self.scheduler.now + delay,
                lambda copy=copy: self._settle(event, heard, f"settle {location}/{number}{'a' * known}.{copy}", 0),
            )

    def _settle(self, event: Event, heard: Heard, label: str, attempt: int) -> None:
        heard.first = min(heard.first, self.scheduler.now)
        report = pipeline.Report.model_validate(event.detail)

        def ended(error: BaseException | None) -> None:
            if error is None:
                heard.done = min(heard.done, self.scheduler.now)
            else:  # a queue gives it out again
                self.scheduler.at(self.scheduler.now + 5.0 + attempt, lambda: self._settle(event, heard, label, attempt + 1))

        self._begin(f"{label}/{attempt}", lambda world: pipeline.settle(self.plan, world, report), ended)

    def _replan(self, change: Callable[[], Plan]) -> None:
        """Another plan takes over: nobody else works meanwhile, as a running service does it."""
        if self.adopting and self.adopting != id(change):
            self.scheduler.at(self.scheduler.now + 5.0, lambda: self._replan(change))
            return
        self.adopting = id(change)
        if self.busy:
            self.scheduler.at(self.scheduler.now + 0.5, lambda: self._replan(change))
            return
        plan = change()

        def ended(error: BaseException | None) -> None:
            if error is not None:
                self.scheduler.at(self.scheduler.now + 1.0, lambda: self._replan(change))
                return
            if len(plan.checks) < len(self.plan.checks):
                self.outcome.removed = self.scheduler.now
            self.plan, self.adopting = plan, 0

        self.adoptions += 1
        self._start(f"adopt {self.adoptions}", lambda world: pipeline.adopt(plan, world), ended)

    def _without(self) -> Plan:
        return replace(self.plan, checks={name: check for name, check in self.plan.checks.items() if name != "c1"})

    def _silence(self) -> None:
        """A person keeps everything quiet for a while."""
        assert self.of.silenced is not None
        lasting = self.of.silenced[1]

        async def silence(world: World) -> None:
            self.outcome.silenced = world.now() + lasting + 1.0
            await pipeline.silence(self.plan, world, ['kind == "tcp"'], lasting, "alice", "a migration")

        self._begin("silence", silence)

    def _acknowledge(self, index: int) -> None:
        """A person takes what is open, if anything is."""
        known = [(one.check, one.incident) for one in self.ports.moments if one.incident]
        if not known or known[-1][0] not in self.plan.checks:
            return
        incident = str(known[-1][1])

        async def acknowledge(world: World) -> None:
            try:
                await pipeline.acknowledge(self.plan, world, incident, "alice")
            except KeyError:  # it is over
                return
            self.outcome.acknowledged.setdefault(incident, self.scheduler.now)

        self._begin(f"acknowledge {index}", acknowledge)

    def _again(self) -> None:
        """Every report is delivered once more: nothing may change."""
        before = {name: text for name, (text, _) in self.ports.documents.items() if name.startswith("state/")}
        for index, event in enumerate(self.outcome.reports[:: 1 + len(self.outcome.reports) // 40]):
            report = pipeline.Report.model_validate(event.detail)
            self.scheduler.start(f"again {index}", pipeline.settle(self.plan, self.worlds[0], report))
        self.scheduler.run(self.scheduler.now + 5.0)
        after = {name: text for name, (text, _) in self.ports.documents.items() if name.startswith("state/")}
        if before != after:
            self.outcome.changed = "state differs after old reports came again"


@lru_cache(maxsize=4096)
def _instant(text: str) -> float:
    from probes.core.units import instant

    return instant(text)


def document(run: Run, kind: str, letter: str) -> dict[str, Any]:
    """A result as the pipeline records it."""
    because = {"P": "", "D": "slow", "F": "refused", "E": "a defect of ours"}[letter]
    return {
        "run": run.id,
        "check": run.check,
        "kind": kind,
        "location": run.location,
        "at": iso(run.at),
        "outcome": OUTCOMES[letter],
        "fault": {"F": "conn.refused", "E": "probe.internal"}.get(letter),
        "because": because,
        "attempt": 1,
        "cold": False,
        "clock": "loop",
        "latency_ms": 12.0,
        "total_ms": 12.0,
        "phases_ms": {},
        "loop_lag_ms": 0.0,
        "findings": [],
        "facts": {},
        "evidence": {},
    }


def play(seed: int, steps: int = 200, skip: frozenset[str] = frozenset()) -> Outcome:
    """The history of that seed."""
    gc.disable()  # what a history makes goes with it
    try:
        return History(scenario(seed, steps), skip).run()
    finally:
        gc.enable()
