"""Probe, judge, record, report: every run ends in exactly one result, whatever happens to it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from probes.core import mute, template
from probes.core.check import Check
from probes.core.events import Event, RunCompleted, RunFailed, RunsReported, brief
from probes.core.fault import Fault
from probes.core.judge import judge
from probes.core.kind import Context, Kind, Shape
from probes.core.metrics import Sample, sample, samples
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.result import Observation, Result, Run
from probes.core.secret import scrub
from probes.core.units import iso
from probes.kinds import KINDS
from probes.pipeline.fill import secrets
from probes.pipeline.offline import excuse
from probes.pipeline.publish import publish
from probes.ports import Entry, SecretUnavailable, World

Report = RunsReported
"""What a slot run tells the evaluator: the detail of ``Runs Reported``."""

FLIGHT: Final = 200
"""Most runs in flight at once in one call."""
MARGIN: Final = 1.0
"""Seconds a probe may take beyond its timeout before it is stopped from outside."""
_MOST_SHAPES: Final = 10_000
LATE: Final = 60.0
"""Seconds beyond its own period after which a run that did not start is too late to count."""
KEEP_FAILED, KEEP_PASSED = 30 * 86400.0, 7 * 86400.0
"""Seconds for which results stay in the history."""
NETWORK: Final = ("dns.", "conn.", "timeout.", "tls.handshake", "http.empty_reply")
"""Faults that ``retries: {on: network}`` tries again."""

log = logging.getLogger(__name__)


async def execute(plan: Plan, world: World, runs: Sequence[Run], *, location: str | None = None) -> Report:
    """Probe all runs at once, record what they gave, and report it in one event.

    All runs belong to one location (``location`` names it where there are none to run). Paused and passive checks are left out.
    Raises what the bus raises, after everything has been recorded; ValueError when the runs are of several locations.
    """
    place = {run.location for run in runs} | ({location} if location else set())
    if len(place) > 1:
        raise ValueError(f"one report is about one location, not {', '.join(sorted(place))}")
    where = next(iter(place), world.locations[0])
    started = world.now()
    wanted = [(run, check) for run in runs if (check := plan.checks.get(run.check)) and not check.paused and not check.passive]
    flight = asyncio.Semaphore(FLIGHT)

    async def one(run: Run) -> dict[str, Any]:
        async with flight:
            return await look(plan, world, run)

    documents = await asyncio.gather(*(one(run) for run, _ in wanted))
    pairs = [(run, check, document) for (run, check), document in zip(wanted, documents, strict=True)]
    return await report(plan, world, where, pairs, started)


async def report(
    plan: Plan, world: World, location: str, pairs: Sequence[tuple[Run, Check, dict[str, Any]]], started: float
) -> Report:
    """Record result documents of one location: history, metrics, ``Run Failed`` and one ``Runs Reported``.

    Where the location itself turns out to be offline, they are recorded as ``probe.offline``.
    """
    excused = await excuse(plan, world, location, [document for _, _, document in pairs])
    pairs = [(run, check, document) for (run, check, _), document in zip(pairs, excused, strict=True)]
    try:
        await world.store.append(_entry(run, document) for run, _, document in pairs)
    except Exception:  # the store is in trouble; the evaluator is told all the same
        log.exception("the history of %d runs could not be written", len(pairs))
    world.metrics.record(_samples(location, pairs, started))
    told = _report(plan, location, pairs, started)
    failed = [event for _, check, document in pairs if (event := _event(plan, check, document)) is not None]
    await publish(world, [Event.of(told), *failed])
    return told


async def look(plan: Plan, world: World, run: Run) -> dict[str, Any]:
    """One run with its attempts, as the JSON document of its result: scrubbed of secrets, marked ``muted`` in maintenance."""
    check = plan.checks[run.check]
    values: Mapping[str, str] = {}
    try:
        if world.now() - run.at > check.every + LATE:
            fault = Fault("probe.late", f"the run was due at {iso(run.at)} and did not start before {iso(world.now())}")
            result = judge(check, run, Observation(fault=fault))
        else:
            values = await secrets(plan, world, check.target)
            result = await _attempts(check, run, values, world)
    except SecretUnavailable as error:
        result = judge(check, run, Observation(fault=Fault("probe.secret", str(error))))
    except Exception as error:  # a defect of ours is an outcome like any other: the line goes on
        log.exception("run %s", run.id)
        result = judge(check, run, Observation(fault=Fault("probe.internal", f"{type(error).__name__}: {brief(str(error))}")))
    return marked(plan, check, run, scrub(result.document(), values.values()))


def marked(plan: Plan, check: Check, run: Run, document: dict[str, Any]) -> dict[str, Any]:
    """A result document that says when its run lies in maintenance (``muted``): then it counts nowhere."""
    muted = mute.maintained(plan.maintenance, check, run.at)
    return {**document, "muted": muted} if muted else document


async def _attempts(check: Check, run: Run, values: Mapping[str, str], world: World) -> Result:
    kind = KINDS[check.kind]
    scope = {"secret": values, "run": {"id": run.id, "at": iso(run.at), "location": run.location}}
    late = ("step",) if check.kind == "steps" else ()  # that kind fills what remains as its captures come in
    filled = template.fill(dict(check.target), scope, keep=late)

    def fill(data: Any, captures: Mapping[str, Any]) -> Any:
        return template.fill(data, {**scope, "step": captures})

    context = Context(run.id, check.timeout, world.loopback, fill, world.base)
    for attempt in range(1, check.retries.count + 2):
        result = judge(check, run, await _observe(check, kind, filled, context), attempt)
        if attempt > check.retries.count or not _again(check, result):
            break
        await asyncio.sleep(check.retries.wait)
    return result


_shapes: Final[dict[str, tuple[Check, Shape]]] = {}
"""Targets that need no filling, by check: validated once, and what a kind works out of them is worked out once."""


def _shape(check: Check, kind: Kind, target: Mapping[str, Any]) -> Shape:
    """``target``, validated. One with secrets or with the run's own values in it is never kept."""
    known = _shapes.get(check.id)
    if known is not None and known[0] is check:
        return known[1]
    shape = kind.target.model_validate(target)
    if target == check.target:
        if len(_shapes) >= _MOST_SHAPES:
            _shapes.clear()
        _shapes[check.id] = check, shape
    return shape


async def _observe(check: Check, kind: Kind, target: Mapping[str, Any], context: Context) -> Observation:
    """What the kind saw. Its own deadline is the honest one; ours only keeps a defect from stalling the line."""
    try:
        shape = _shape(check, kind, target)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Observation(fault=Fault("probe.internal", f"the target is not valid once it is filled in: {place}: {first['msg']}"))
    try:
        return await _bounded(kind.probe(shape, context), context.timeout + MARGIN)
    except TimeoutError:
        return Observation(
            fault=Fault("probe.internal", f"{kind.name} did not stop at its timeout"), total=context.timeout + MARGIN
        )
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # we are being stopped ourselves
        return Observation(fault=Fault("probe.cancelled", "the probe was cancelled"))


async def _bounded(probe: Awaitable[Observation], seconds: float) -> Observation:
    async with asyncio.timeout(seconds):
        return await probe


def _again(check: Check, result: Result) -> bool:
    fault = result.observation.fault
    if result.outcome == "errored":
        return fault is not None and fault.kind not in ("probe.cancelled", "probe.secret", "probe.late")
    if result.outcome != "failed":
        return False
    return check.retries.on == "any" or (fault is not None and fault.kind.startswith(NETWORK))


def _entry(run: Run, document: dict[str, Any]) -> Entry:
    """What history keeps: of a pass the numbers, of everything else also the evidence, but never a body of the target's."""
    passed = document["outcome"] in ("passed", "skipped")
    left_out = ("findings", "evidence") if passed else ()
    kept = {name: value for name, value in document.items() if name not in left_out}
    if not passed:
        kept["evidence"] = {name: value for name, value in document["evidence"].items() if name != "body"}
    return Entry(f"runs/{run.check}", run.at, run.id, kept, KEEP_PASSED if passed else KEEP_FAILED)


def _samples(location: str, pairs: Sequence[tuple[Run, Check, dict[str, Any]]], started: float) -> Iterable[Sample]:
    for _, check, document in pairs:
        yield from samples(check, document)
    errored = sum(document["outcome"] == "errored" for _, _, document in pairs)
    yield sample("RunsDue", len(pairs), started, location=location)
    yield sample("RunsDone", len(pairs), started, location=location)
    yield sample("RunsErrored", errored, started, location=location)
    if pairs:
        yield sample("Lateness", max(0.0, 1000 * (started - min(run.at for run, _, _ in pairs))), started, location=location)


def _report(plan: Plan, location: str, pairs: Sequence[tuple[Run, Check, dict[str, Any]]], started: float) -> Report:
    due = min((run.at for run, _, _ in pairs), default=started)
    slot = slot_of(pairs[0][1].id, plan.of) if pairs else 0
    digest = hashlib.sha256("\n".join(sorted(run.id for run, _, _ in pairs)).encode()).hexdigest()[:8]
    return Report(
        id=f"{location}/{slot}of{plan.of}/{iso(due)}/{digest}",
        at=iso(started),
        service=plan.service,
        location=location,
        slot=slot,
        of=plan.of,
        plan=plan.digest,
        due=iso(due),
        started_at=iso(started),
        runs=tuple(
            (
                run.check,
                document["outcome"],
                whole(document["latency_ms"]),
                document["fault"],
                document["attempt"],
                document["at"],
                brief(document["because"]) if document["outcome"] != "passed" else None,
            )
            for run, _, document in pairs
        ),
    )


def _event(plan: Plan, check: Check, document: Mapping[str, Any]) -> Event | None:
    failed = document["outcome"] in ("failed", "errored")
    if not failed and check.events != "all":
        return None
    model = RunFailed if failed else RunCompleted
    return Event.of(
        model(
            id=document["run"],
            at=document["at"],
            service=plan.service,
            run=document["run"],
            check=check.id,
            kind=check.kind,
            group=check.group,
            owner=check.owner,
            tags=check.tags,
            location=document["location"],
            outcome=document["outcome"],
            attempt=document["attempt"],
            fault=document["fault"],
            because=brief(document["because"], 500),
            latency_ms=whole(document["latency_ms"]),
            phases_ms={name: round(value) for name, value in document["phases_ms"].items()},
            findings=tuple(document["findings"]),
        )
    )


def whole(milliseconds: float | None) -> int | None:
    """Milliseconds of a result document as those of an event."""
    return None if milliseconds is None else round(milliseconds)
