"""The evaluator as a pure fold: reports and the passing of time go in, statuses, incidents and owed alerts come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from probes.core import incident as incidents
from probes.core import mute, outbox, slo
from probes.core.check import Check, Confirm, Retries
from probes.core.confirm import LETTERS, Change, Evidence, Verdict, Window, agree, confirm, lapse, patience
from probes.core.decide import Situation, decide
from probes.core.events import AlertSuppressed, CheckStatusChanged, Event, LocationStatusChanged, RunsReported, brief
from probes.core.plan import HERE, Plan, looks_from
from probes.core.plan import slot as slot_of
from probes.core.result import Run
from probes.core.route import Route
from probes.core.state import CheckState, Slot
from probes.core.units import Duration, duration, instant, iso

CONSOLE: Final = (Route(when=(), notify=("console",)),)
"""Where incidents go that nobody routed: a plan without routes tells the console."""
PLACE: Final = "@"
"""What the id of a location's own incidents begins with; no check's id does."""
RECENT: Final = 7
"""Fine buckets of counted runs kept in the state: half an hour, so that late reports still count."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the evaluator knows besides the slot: the plan, the locations that report, what people muted, and other slots' states.

    ``describe`` names a check's target in one line; ``elsewhere`` gives the state of a check of another slot; ``offline`` says by
    location since when it has no network itself; ``resumed`` is when this evaluator was awake again after a pause of its own.
    """

    plan: Plan
    locations: Sequence[str]
    silences: tuple[mute.Silence, ...] = ()
    offline: Mapping[str, str] = field(default_factory=dict)
    describe: Callable[[Check], str] = lambda check: check.kind
    elsewhere: Callable[[str], CheckState | None] = lambda name: None
    link: str | None = None
    resumed: float = 0.0

    def expected(self, check: Check) -> tuple[str, ...]:
        """The locations that should report this check; a passive one is judged in a single place."""
        found = tuple(name for name in self.locations if looks_from(check, name))
        return found[:1] if check.passive else found


def rows(report: RunsReported) -> list[tuple[Run, Evidence]]:
    """The runs of a report."""
    return [
        (Run(check, report.location, instant(at)), Evidence(instant(at), outcome, because or "", fault, latency))
        for check, outcome, latency, fault, _, at, because in report.runs
    ]


def take(setting: Setting, slot: Slot, reports: Iterable[tuple[Run, Evidence]], now: float) -> Slot:
    """The slot after these runs. What is known already changes nothing, and gives back the same object."""
    touched: dict[str, None] = {}
    for run, evidence in sorted(reports, key=lambda pair: (pair[0].at, pair[0].location)):
        check = setting.plan.checks.get(run.check)
        if check is None or check.paused:
            continue
        state = slot.check(check.id) or CheckState(created=now, since=now)
        before = state.locations.get(run.location, Window(since=now))
        policy = Confirm(1, 1, "any", 1) if check.passive else check.confirm  # a job says itself what it is, once
        window, change = confirm(policy, before, evidence, patience(check.every))
        if window is before:
            continue
        touched[check.id] = None
        state = _count(setting, check, state, evidence)
        state = replace(state, locations={**state.locations, run.location: window})
        events = [_moved(setting, check, run.location, change, run.id)] if change else []
        slot = _judge(setting, slot, check, state, change.at if change else evidence.at, now, run.id, events)
    for name in touched:
        slot = _tell(setting, slot, setting.plan.checks[name], now)
    return slot


def review(setting: Setting, slot: Slot, number: int, now: float) -> Slot:
    """The slot as time passes: silent locations, removed checks, held and repeated alerts. Unchanged: the same object."""
    for check in setting.plan.checks.values():
        if check.paused or slot_of(check.id, setting.plan.of) != number:
            continue
        if check.id in slot.checks and _calm(setting, check, slot.checks[check.id], now):
            continue
        state = slot.check(check.id)
        if state is None:
            slot = slot.put(check.id, CheckState(created=now, since=now))
            continue
        if not check.passive:
            slot = _gaps(setting, slot, check, state, now)
        state = slot.check(check.id)
        if state is not None and state.incidents:
            slot = _tell(setting, slot, check, now)
    for name in setting.locations:
        slot = _place(setting, slot, name, now) if slot_of(PLACE + name, setting.plan.of) == number else slot
    for name in list(slot.checks):
        kept = known(setting.plan, name)
        if kept is None or kept.paused:
            slot = _retire(setting, slot, name, now)
    return slot


def known(plan: Plan, name: str) -> Check | None:
    """The check with that id; for ``@dublin`` the one that stands for the location itself, in incidents about it."""
    if not name.startswith(PLACE) or name[1:] not in (*plan.locations, HERE):
        return plan.checks.get(name)
    return Check(name, f"location {name[1:]}", "", {}, (), (), 60.0, 10.0, Retries(), (name[1:],), Confirm())


def offline(slots: Iterable[Slot]) -> dict[str, str]:
    """By location, in words, why its newest runs say that it has no network itself."""
    found = {}
    for slot in slots:
        for state in slot.checks.values():
            for name, window in state["locations"].items():
                if window["fault"] == "probe.offline" and window["marks"] and window["marks"][-1][1] == "E":
                    found[name] = str(window["because"])
    return found


def _calm(setting: Setting, check: Check, document: Mapping[str, Any], now: float) -> bool:
    """Whether time changes nothing for this check, seen from its JSON: most are calm at most ticks, and reading all is dear."""
    if document["incidents"]:
        return False
    least = now - patience(check.every)
    windows = (document["locations"].get(name) for name in setting.expected(check))
    return check.passive or all(
        window and (window["dark"] or max(window["proof"] or 0.0, setting.resumed) >= least) for window in windows
    )


def missed(check: Check, state: CheckState, location: str, now: float, resumed: float = 0.0) -> tuple[Run, str] | None:
    """The run that stands for the silence of a heartbeat, and why; None while there is time left, or when it was counted.

    A report that fell due while we ourselves were away (before ``resumed``) may have been sent to nobody: the next one counts.
    """
    written = check.target.get("grace", 0.0)
    grace = duration(written) if isinstance(written, str) else float(written)
    last = state.beat["at"] if state.beat else None
    heard = state.created if last is None else float(last)
    at = heard + check.every + grace
    if at <= resumed:
        at = heard + (math.floor((resumed - heard) / check.every) + 1) * check.every + grace
    window = state.locations.get(location)
    if now <= at or (window is not None and any(mark >= at for mark, _ in window.marks)):
        return None
    since = f"no report since {iso(heard)}" if last is not None else f"no report yet, waiting since {iso(heard)}"
    return Run(check.id, location, at), f"{since}: expected every {Duration(check.every)}, with {Duration(grace)} of grace"


def _gaps(setting: Setting, slot: Slot, check: Check, state: CheckState, now: float) -> Slot:
    events, locations = [], dict(state.locations)
    for name in setting.expected(check):
        before = locations.get(name, Window(since=state.created))
        window, change = lapse(before, state.created, check.every, now, setting.resumed)
        if change is not None:
            locations[name] = window
            if change.before != change.after:
                events.append(_moved(setting, check, name, change, f"{check.id}@{name}/{iso(now)}"))
    if locations == state.locations:
        return slot
    return _judge(setting, slot, check, replace(state, locations=locations), now, now, iso(now), events)


def _judge(
    setting: Setting, slot: Slot, check: Check, state: CheckState, at: float, now: float, cause: str, events: list[Event]
) -> Slot:
    """The quorum, the check's status and its incident. ``at`` is the scheduled time of what led here, ``cause`` names it."""
    expected = setting.expected(check) or tuple(state.locations)
    windows = {name: state.locations.get(name, Window(since=state.created)) for name in expected}
    verdict = agree(check.confirm.locations, windows)
    if verdict.status != state.status:
        moved = CheckStatusChanged(
            id=f"{check.id}/{verdict.status}/{cause}",  # not the time alone: runs of one time may move it to and fro
            at=iso(now),
            service=setting.plan.service,
            check=check.id,
            before=state.status,
            after=verdict.status,
            locations={name: window.status for name, window in windows.items()},
            because=brief(verdict.because),
        )
        events.append(Event.of(moved))
        state = replace(state, status=verdict.status, since=at)
    state = replace(state, because=verdict.because)
    open_ = state.incident
    because, fault = _evidence(check, windows, verdict)
    named = at if open_ else max(at, state.opened + 0.001)
    after, told = incidents.follow(setting.plan.service, check, open_, verdict, because, fault, named, now)
    if after is not open_ and after is not None:
        kept = state.incidents[:-1] if open_ else state.incidents
        state = replace(state, incidents=(*kept, after), opened=after.opened_at)
    return slot.put(check.id, state, (*events, *told))


def _evidence(check: Check, windows: Mapping[str, Window], verdict: Verdict) -> tuple[str, str | None]:
    """What to tell people: the newest evidence of the locations that agree."""
    if verdict.blind:
        why = "; ".join(sorted({window.because for window in windows.values()}))
        return f"no evidence from {', '.join(windows)} for {Duration(round(patience(check.every)))}: {why}", None
    seen = (windows[name] for name in verdict.locations if windows[name].status != "unknown")
    newest = max(seen, key=lambda window: window.proof or 0.0, default=None)
    return (newest.because, newest.fault) if newest else ("", None)


def _tell(setting: Setting, slot: Slot, check: Check, now: float, *, freely: bool = False) -> Slot:
    """Everything that is owed about the check's incidents; ``freely``: mutes do not count (the check is gone)."""
    state = slot.check(check.id)
    if state is None or not state.incidents:
        return slot
    kept, events, owed, flaps = [], list[Event](), slot.owed, state.flaps
    for one in state.incidents:
        situation = Situation(
            service=setting.plan.service,
            check=check,
            routes=setting.plan.routes or CONSOLE,
            target=setting.describe(check) if check.kind else "",
            link=setting.link,
            silences=() if freely else setting.silences,
            maintenance=None if freely else mute.maintained(setting.plan.maintenance, check, now),
            dependency=None if freely else _dependency(setting, slot, check, one, now),
            offline=_offline(setting, one),
            flaps={} if freely else flaps,
            since=state.since,
        )
        decision = decide(one, situation, now)
        flaps = flaps if freely else decision.flaps
        owed, cancelled = outbox.add(owed, decision.alerts)
        events += decision.events
        events += [
            Event.of(
                AlertSuppressed(
                    id=f"{alert.id}/cancelled",
                    at=iso(now),
                    service=setting.plan.service,
                    alert=alert.id,
                    incident=one.id,
                    channel=alert.channel,
                    event=alert.event,
                    reason="waiting for group",
                    muted_by="it was over before its group's message left",
                )
            )
            for alert in cancelled
        ]
        if decision.incident.open or decision.incident.told:
            kept.append(decision.incident)
    after = replace(state, incidents=tuple(kept), flaps=flaps)
    if after == state and owed == slot.owed and not events:
        return slot
    return replace(slot.put(check.id, after, events), owed=owed)


def _place(setting: Setting, slot: Slot, name: str, now: float) -> Slot:
    """One incident about a location without network, in place of one for each of its checks."""
    check, why = known(setting.plan, PLACE + name), setting.offline.get(name)
    before = slot.check(PLACE + name)
    if check is None or (why is None and before is None):
        return slot
    state = before or CheckState(created=now, since=now)
    verdict = Verdict("unknown", (name,), why, blind=True) if why else Verdict("up", (), "it has its network again")
    open_ = state.incident
    after, told = incidents.follow(setting.plan.service, check, open_, verdict, why or "", "probe.offline", now, now)
    if after is not None and (open_ is None or after.open is not open_.open):
        kept = (*(state.incidents[:-1] if open_ else state.incidents), after)
        slot = slot.put(check.id, replace(state, incidents=kept, opened=after.opened_at), told)
    slot = _tell(replace(setting, offline={}), slot, check, now)
    left = slot.check(check.id)
    return slot if left is None or left.incidents else slot.put(check.id, None)


def _dependency(setting: Setting, slot: Slot, check: Check, incident: incidents.Incident, now: float) -> str | None:
    """The parent that explains the trouble, in words.

    A parent is an explanation when it is down, or down in every location the incident names. Two rules keep what nobody was told
    yet from being told just before or after that: a parent whose newest run failed is likely one about to be confirmed, which holds
    the alert for at most two periods; and once it is up again, the check has its next run to show that it recovers as well.
    """
    for name in check.depends_on:
        parent = slot.check(name) or setting.elsewhere(name)
        if parent is None:
            continue
        if parent.status == "down":
            return f"{name} is down ({parent.incident.id})" if parent.incident else f"{name} is down"
        down = {location for location, window in parent.locations.items() if window.status == "down"}
        if incident.locations and down.issuperset(incident.locations):
            return f"{name} is down in {', '.join(incident.locations)}"
        if incident.told:
            continue
        failing = any(window.marks and window.marks[-1][1] == "F" for window in parent.locations.values())
        if failing and now - incident.opened_at < 2 * check.every:
            return f"{name} is failing too and not confirmed yet"
        mine = slot.check(check.id)
        windows = [window for place in incident.locations if mine and (window := mine.locations.get(place))]
        after = [letter for window in windows for at, letter in window.marks if at >= parent.since]
        recent = parent.since >= incident.opened_at and now - parent.since < patience(check.every)
        if parent.status == "up" and recent and windows and not {"F", "D"} & set(after):
            return f"{name} was down until {iso(parent.since)}, and this may recover with it"
    return None


def _offline(setting: Setting, incident: incidents.Incident) -> str | None:
    gone = [setting.offline[name] for name in incident.locations if name in setting.offline]
    return "; ".join(gone) if gone and len(gone) == len(incident.locations) else None


def _retire(setting: Setting, slot: Slot, name: str, now: float) -> Slot:
    """A check that is no longer in the plan, or paused: its incident is resolved with that reason, and then it is forgotten."""
    state = slot.check(name)
    assert state is not None
    check = setting.plan.checks.get(name)
    why = "the check is paused" if check else "the check was removed from the configuration, or renamed"
    gone = check or Check(name, name, "", {}, (), (), 60.0, 10.0, Retries(), (), Confirm())
    events: list[Event] = []
    open_ = state.incident
    if open_ is not None:
        closed, events = incidents.resolve(setting.plan.service, gone, open_, why, now, now)
        state = replace(state, incidents=(*state.incidents[:-1], replace(closed, because=why)))
    slot = _tell(setting, slot.put(name, state, events), gone, now, freely=True)
    return slot.put(name, None)


def _count(setting: Setting, check: Check, state: CheckState, evidence: Evidence) -> CheckState:
    """The run in the summary and the error budget, unless it gave no evidence or lies in maintenance."""
    letter = LETTERS[evidence.outcome]
    if letter not in "PDF" or mute.maintained(setting.plan.maintenance, check, evidence.at):
        return state
    state = replace(state, summary=state.summary.add(evidence.at, letter != "F", evidence.latency))
    if check.slo is None:
        return state
    start = str(slo.bucket(evidence.at))
    good, bad = state.budget.get(start, (0, 0))
    counts = {**state.budget, start: (good + (letter != "F"), bad + (letter == "F"))}
    return replace(state, budget={at: counts[at] for at in sorted(counts, key=int)[-RECENT:]})


def _moved(setting: Setting, check: Check, location: str, change: Change, run: str) -> Event:
    return Event.of(
        LocationStatusChanged(
            id=f"{check.id}@{location}/{iso(change.at)}/{change.after}",
            at=iso(change.at),
            service=setting.plan.service,
            check=check.id,
            location=location,
            before=change.before,
            after=change.after,
            window=change.window,
            because=brief(change.because),
            run=run,
        )
    )
