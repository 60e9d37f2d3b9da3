"""What people and their jobs do: report a heartbeat, silence, acknowledge, put a configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from probes.core import incident as incidents
from probes.core.diagnostics import Problem, document
from probes.core.evaluate import Setting, known
from probes.core.events import Event, HeartbeatReceived, PlanApplied, PlanRejected
from probes.core.judge import judge
from probes.core.mute import Silence
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.result import Observation, Run
from probes.core.state import CheckState, Slot, key
from probes.core.units import Duration, iso
from probes.pipeline.execute import marked, report
from probes.pipeline.publish import publish
from probes.pipeline.settle import change, change_slot, flush, settle
from probes.ports import World


async def beat(
    plan: Plan, world: World, check: str, reported: str = "ok", took: float | None = None, exit_code: int | None = None
) -> dict[str, Any]:
    """A job reports itself: ``reported`` is ``start``, ``ok``, ``fail`` or a word of its own; ``took`` seconds.

    Judged by the check's assertions; a report of ``fail``, or an exit code other than 0, has failed whatever they say. ``start`` is
    only remembered, so that the report of the end knows how long it took; it does not count as one. Returns the result document
    (empty for ``start``). Raises KeyError for a check that is not there, paused, or waits for no report.
    """
    asked = plan.checks.get(check)
    if asked is None or asked.paused or not asked.passive:
        raise KeyError(check)
    now, name = world.now(), key(slot_of(check, plan.of), plan.of)
    before = Slot.parse((await world.store.read(name))[0]).check(check)
    started = (before.beat or {}).get("started") if before else None
    if took is None and started is not None and reported != "start":
        took = now - float(started)
    location = next(iter(Setting(plan, tuple(world.locations)).expected(asked)), world.locations[0])
    run = Run(check, location, now)
    facts: dict[str, Any] = {"reported": reported, "age": Duration(0)}
    if took is not None:
        facts["took"] = Duration(took)
    if exit_code is not None:
        facts["exit_code"] = exit_code
    told = HeartbeatReceived(
        id=f"{run.id}/beat",
        at=iso(now),
        service=plan.service,
        check=check,
        reported=reported,
        took_ms=None if took is None else round(took * 1000),
        exit_code=exit_code,
    )

    def record(slot: Slot) -> Slot:
        state = slot.check(check) or CheckState(created=now, since=now)
        last = state.beat or {"at": None}
        seen = (
            {**last, "started": now}
            if reported == "start"
            else {"at": now, "reported": reported, "took": took, "exit_code": exit_code}
        )
        return slot.put(check, replace(state, beat=seen), [Event.of(told)])

    await flush(world, name, await change_slot(world, name, record))
    if reported == "start":
        return {}
    result = judge(asked, run, Observation(facts=facts, total=took or 0.0))
    if reported == "fail" or exit_code not in (None, 0):
        because = f"the job reported {reported}" + (f" with exit code {exit_code}" if exit_code else "")
        result = replace(result, outcome="failed", because=because if result.outcome != "failed" else result.because)
    seen = marked(plan, asked, run, result.document())
    await settle(plan, world, await report(plan, world, location, [(run, asked, seen)], now))
    return seen


async def silences(world: World) -> list[Silence]:
    """The silences that are in force or to come, the first to end first."""
    now = world.now()
    known = [Silence.parse(one) for one in (await world.store.read("silences"))[0] or ()]
    return sorted((one for one in known if one.until > now), key=lambda one: one.until)


async def silence(plan: Plan, world: World, when: Iterable[str], lasting: float, by: str, because: str) -> Silence:
    """Hold alerts about incidents that satisfy every line of ``when``, for ``lasting`` seconds from now.

    Raises ValueError without an author, a reason, an end or a line, and ExpressionError for a line that says nothing.
    """
    now, lines = world.now(), tuple(when)
    digest = hashlib.sha256("\n".join((*lines, by, because, iso(now))).encode()).hexdigest()[:8]
    made = Silence(digest, lines, now, now + lasting, by, because)
    await change(world, "silences", lambda known: [*(one for one in known or () if one["id"] != made.id), made.document()])
    await publish(world, [made.event(plan.service, now)])
    return made


async def unsilence(plan: Plan, world: World, name: str, by: str) -> Silence:
    """End a silence now. Raises KeyError when there is none with that id (or beginning of an id that only one has)."""
    found = [one for one in await silences(world) if one.id.startswith(name)]
    if len(found) != 1:
        raise KeyError(name)
    await publish(world, [found[0].event(plan.service, world.now(), by)])
    await change(world, "silences", lambda known: [one for one in known or () if one["id"] != found[0].id])
    return found[0]


async def acknowledge(plan: Plan, world: World, incident: str, by: str) -> incidents.Incident:
    """A person has it: reminders and escalation stop. ``incident`` is its id, or the id of a check with an open one.

    The first person stays. Raises KeyError when there is no such open incident, ValueError when nobody is named.
    """
    if not by.strip():
        raise ValueError("an acknowledgement needs a person: say who you are")
    check = incident.partition("/")[0]
    asked = known(plan, check)
    if asked is None:
        raise KeyError(incident)
    taken: list[incidents.Incident] = []

    def take(slot: Slot) -> Slot:
        taken.clear()
        state = slot.check(check)
        open_ = state.incident if state else None
        if state is None or open_ is None or incident not in (open_.id, check):
            raise KeyError(incident)
        after, events = incidents.acknowledge(plan.service, asked, open_, by, world.now())
        taken.append(after)
        return slot.put(check, replace(state, incidents=(*state.incidents[:-1], after)), events) if events else slot

    name = key(slot_of(check, plan.of), plan.of)
    await flush(world, name, await change_slot(world, name, take))
    return taken[0]


async def applied(plan: Plan, world: World, before: Plan | None, by: str | None = None, commit: str | None = None) -> None:
    """Tell on the bus that a plan took effect, with the checks it created, changed and deleted."""
    old, new = before.checks if before else {}, plan.checks
    told = PlanApplied(
        id=f"{plan.digest}/{iso(world.now())}",
        at=iso(world.now()),
        service=plan.service,
        plan=plan.digest,
        previous=before.digest if before else None,
        commit=commit,
        by=by,
        created=tuple(sorted(set(new) - set(old))),
        changed=tuple(sorted(name for name in set(new) & set(old) if new[name] != old[name])),
        deleted=tuple(sorted(set(old) - set(new))),
    )
    await publish(world, [Event.of(told)])


async def rejected(plan: Plan, world: World, problems: Iterable[Problem], by: str | None = None) -> None:
    """Tell on the bus that a configuration was refused and ``plan`` goes on."""
    told = PlanRejected(
        id=f"{plan.digest}/rejected/{iso(world.now())}",
        at=iso(world.now()),
        service=plan.service,
        plan=plan.digest,
        by=by,
        problems=tuple(document(problem) for problem in problems),
    )
    await publish(world, [Event.of(told)])
