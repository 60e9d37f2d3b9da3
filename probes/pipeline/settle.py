"""Settle what was reported, and let time pass. Status, incidents and owed alerts of a slot are one write; events leave after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from probes.core.check import Check
from probes.core.confirm import Evidence
from probes.core.evaluate import Setting, missed, offline, review, rows, take
from probes.core.events import Event, RunsReported
from probes.core.fault import Fault
from probes.core.judge import judge
from probes.core.mute import Silence
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.result import Observation, Run
from probes.core.state import Slot, key
from probes.core.units import Duration
from probes.kinds import KINDS
from probes.pipeline.budget import account
from probes.pipeline.execute import marked, report
from probes.pipeline.publish import publish
from probes.ports import Conflict, World

TRIES: Final = 100
"""Attempts at one document before a conflict is given up; each lost one means that another writer got through."""
ASLEEP: Final = 75.0
"""Seconds between ticks after which the evaluator itself was asleep, so that silence is counted anew."""
LEDGER: Final = 300.0
"""Seconds between two entries in the error budgets."""


async def change(world: World, name: str, step: Callable[[Any], Any]) -> Any:
    """Read, apply ``step``, write; again when someone else wrote meanwhile. The same object back means: leave it."""
    for _ in range(TRIES):
        before, version = await world.store.read(name)
        after = step(before)
        if after is before:
            return before
        try:
            await world.store.write(name, after, version)
        except Conflict:
            await asyncio.sleep(0)
            continue
        return after
    raise Conflict(f"{name}: lost against other writers {TRIES} times")


async def change_slot(world: World, name: str, step: Callable[[Slot], Slot]) -> Slot:
    """:func:`change` for the document of a slot."""
    last = Slot()

    def on(document: Any) -> Any:
        nonlocal last
        before = Slot.parse(document)
        last = step(before)
        return document if last is before else last.document()

    await change(world, name, on)
    return last


async def flush(world: World, name: str, slot: Slot) -> None:
    """Publish the events that were saved with the slot, then clear them; the next tick does it when this one cannot."""
    if not slot.events:
        return
    await publish(world, slot.events)
    done = {(event.detail_type, event.id) for event in slot.events}

    def clear(before: Slot) -> Slot:
        left = tuple(event for event in before.events if (event.detail_type, event.id) not in done)
        return before if len(left) == len(before.events) else replace(before, events=left)

    await change_slot(world, name, clear)


def describe(check: Check) -> str:
    """One line naming the target of a check."""
    return KINDS[check.kind].describe(check.target)


async def setting(plan: Plan, world: World, checks: Iterable[Check] = (), others: Mapping[str, Slot] | None = None) -> Setting:
    """What the evaluator knows besides a slot. Without ``others``, the slots of the parents of ``checks`` are read."""
    silences, evaluator = await asyncio.gather(world.store.read("silences"), world.store.read("evaluator"))
    slots = dict(others or {})
    for name in {key(slot_of(parent, plan.of), plan.of) for check in checks for parent in check.depends_on} - set(slots):
        slots[name] = Slot.parse((await world.store.read(name))[0])
    known = evaluator[0] or {}
    return Setting(
        plan=plan,
        locations=tuple(world.locations),
        silences=tuple(Silence.parse(one) for one in silences[0] or ()),
        offline=known.get("offline", {}),
        describe=describe,
        elsewhere=lambda check: slots[name].check(check) if (name := key(slot_of(check, plan.of), plan.of)) in slots else None,
        link=world.link,
        resumed=known.get("resumed", 0.0),
    )


async def settle(plan: Plan, world: World, report: RunsReported) -> None:
    """Take a report into account: at any time, in any order, any number of times."""
    await enter(plan, world, rows(report))


async def enter(plan: Plan, world: World, reports: Iterable[tuple[Run, Evidence]]) -> None:
    """:func:`settle` for runs with their evidence."""
    slots: dict[int, list[tuple[Run, Evidence]]] = {}
    for run, evidence in reports:
        if run.check in plan.checks:
            slots.setdefault(slot_of(run.check, plan.of), []).append((run, evidence))
    around = await setting(plan, world, [plan.checks[run.check] for pairs in slots.values() for run, _ in pairs])
    for number, pairs in slots.items():
        name = key(number, plan.of)
        await flush(world, name, await change_slot(world, name, lambda slot, p=pairs: take(around, slot, p, world.now())))  # type: ignore[misc]  # mypy cannot type a default of a lambda


async def tick(plan: Plan, world: World) -> None:
    """What the passing of time does: silence is noticed, windows end, reminders fall due, forgotten events are published.

    Called each few seconds to a minute. Reads every slot once and writes those that change.
    """
    now = world.now()

    def awake(document: Any) -> Any:
        known = document or {"ticked": now, "resumed": now, "ledger": 0.0}
        slept = now - known["ticked"] > ASLEEP
        return {**known, "ticked": now, "resumed": now if slept else known["resumed"], "offline": offline(found.values())}

    await _end_silences(plan, world, now)
    names = {key(number, plan.of): number for number in range(plan.of)}
    found = await _slots(world)
    if await _heartbeats(plan, world, found, now):
        found = await _slots(world)
    evaluator = await change(world, "evaluator", awake)
    around = await setting(plan, world, others=found)
    for name, number in names.items():
        seen = found.get(name, Slot())
        if seen.events or review(around, seen, number, now) is not seen:
            slot = await change_slot(world, name, lambda slot, n=number: review(around, slot, n, now))  # type: ignore[misc]  # as above
            await flush(world, name, slot)
    if now - evaluator["ledger"] >= LEDGER:
        await account(plan, world, now)
        await change(world, "evaluator", lambda known: {**known, "ledger": now})


async def adopt(plan: Plan, world: World) -> None:
    """Take over what an earlier plan left: deal out slots counted differently, resolve the incidents of checks that are gone."""
    stale = {
        name: (Slot.parse(document), version)
        for name, (document, version) in (await world.store.find("state/")).items()
        if not name.endswith(f"of{plan.of}")
    }
    for document, (old, version) in stale.items():
        for number in range(plan.of):
            mine = {name: data for name, data in old.checks.items() if slot_of(name, plan.of) == number}
            owed = tuple(one for one in old.owed if slot_of(one.alert.subjects[0].check, plan.of) == number)
            events = old.events if number == 0 else ()
            if mine or owed or events:
                await change_slot(world, key(number, plan.of), lambda slot, m=mine, o=owed, e=events: _merge(slot, m, o, e))  # type: ignore[misc]  # as above
        try:
            await world.store.write(document, None, version)
        except Conflict:  # an older evaluator still writes there: deal out what it added
            await adopt(plan, world)
            return
    await tick(plan, world)


def _merge(slot: Slot, checks: Mapping[str, Any], owed: Iterable[Any], events: Iterable[Event]) -> Slot:
    known = {one.alert.id for one in slot.owed}
    told = {(event.detail_type, event.id) for event in slot.events}
    return Slot(
        {**checks, **slot.checks},
        (*slot.owed, *(one for one in owed if one.alert.id not in known)),
        (*slot.events, *(event for event in events if (event.detail_type, event.id) not in told)),
    )


async def _end_silences(plan: Plan, world: World, now: float) -> None:
    silences = [Silence.parse(one) for one in (await world.store.read("silences"))[0] or ()]
    over = [one for one in silences if one.until <= now]
    if over:
        await publish(world, [one.event(plan.service, one.until, "time") for one in over])
        gone = {one.id for one in over}
        await change(world, "silences", lambda known: [one for one in known or () if one["id"] not in gone])


async def _slots(world: World) -> dict[str, Slot]:
    return {name: Slot.parse(document) for name, (document, _) in (await world.store.find("state/")).items()}


async def _heartbeats(plan: Plan, world: World, slots: Mapping[str, Slot], now: float) -> bool:
    """A heartbeat that stayed away is a failed run at the time it was due. Whether there was one."""
    pairs = []
    resumed = float(((await world.store.read("evaluator"))[0] or {}).get("resumed", 0.0))
    for check in plan.checks.values():
        if not check.passive or check.paused:
            continue
        state = slots.get(key(slot_of(check.id, plan.of), plan.of), Slot()).check(check.id)
        location = Setting(plan, tuple(world.locations)).expected(check)
        gone = missed(check, state, location[0], now, resumed) if state is not None and location else None
        if gone is not None:
            run, because = gone
            age = Duration(now - run.at + check.every)
            seen = Observation(facts={"age": age}, fault=Fault("timeout.response", because))
            pairs.append((run, check, marked(plan, check, run, judge(check, run, seen).document())))
    for place in {run.location for run, _, _ in pairs}:
        of = [pair for pair in pairs if pair[0].location == place]
        await settle(plan, world, await report(plan, world, place, of, now))
    return bool(pairs)
