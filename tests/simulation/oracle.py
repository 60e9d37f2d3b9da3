"""What must hold of every history: the ground truth is replayed by a second, plainer model, and the messages are counted.

The model knows the letters each run saw and between which two times each report was entered; it says which statuses a check may
have at any time. Inside that bracket the product is free; outside it lied. Margins, from the code's own constants:

* a report under way may or may not be counted yet (``Heard.first`` to ``Heard.done``);
* one that was overtaken by REORDER others may be ignored;
* a location that was silent for PATIENCE periods (clock skew added) may have left the quorum, and its evidence starts anew;
* two openings of a check within FLAPPING are told, later ones are events.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from probes.core.confirm import GRACE, PATIENCE, REORDER
from probes.core.decide import FLAPPING
from probes.core.outbox import LEASE, TRIES
from probes.core.state import CheckState
from probes.pipeline.settle import ASLEEP
from tests.simulation.history import Outcome
from tests.simulation.world import GONE
from tests.worlds import START

MOST_UNSURE = 6


@lru_cache(maxsize=200_000)
def fold(need: int, of: int, recover: int, letters: str) -> str:
    """The status after these letters in slot order, by the words of the design: m of the last n fail, r passes in a row recover."""
    if not letters:
        return "unknown"
    before, last = fold(need, of, recover, letters[:-1]), letters[-1]
    if last == "E":
        return before
    seen = letters.replace("E", "")
    window, recent = seen[-of:], seen[-recover:]
    if last == "F" and window.count("F") >= need:
        return "down"
    if before == "down":
        if len(recent) == recover and "F" not in recent:
            return "degraded" if "D" in recent else "up"
        return "down"
    if last != "P" and window.count("D") + window.count("F") >= need:
        return "degraded"
    if last == "P" and (before == "unknown" or before == "up" or recent == "P" * recover):
        return "up"
    return before


class Truth:
    """The bracket around one check in one location."""

    def __init__(self, outcome: Outcome, check: str, location: str) -> None:
        of = outcome.scenario
        confirm = of.plan.checks[check].confirm
        self.policy = (confirm.need, confirm.of, confirm.recover)
        self.patience = PATIENCE * of.every + GRACE
        self.spread = max(of.skews) - min(of.skews)
        self.runs = sorted(
            (number, of.letter(check, location, number), heard.first, heard.done)
            for (where, number), heard in outcome.heard.items()
            if where == location and of.letter(check, location, number) != "."
        )
        self.every = of.every
        self.cache: dict[tuple[int, ...], frozenset[str]] = {}

    def may(self, now: float) -> frozenset[str]:
        """Every status that location may have in the store at ``now``; ``dark`` when it may have left the quorum."""
        sure, unsure = [], []
        for index, (_, _, first, done) in enumerate(self.runs):
            if done <= now:
                sure.append(index)
            elif first <= now:
                unsure.append(index)
        stale = self._silent(now)
        key = (*sure, -1, *unsure, -1 - stale)
        if key not in self.cache:
            self.cache[key] = self._may(sure, unsure, now, stale)
        return self.cache[key]

    def _silent(self, now: float) -> bool:
        """Whether a tick may have found it silent for its patience, at this time."""
        proofs = [number for number, letter, _, done in self.runs if done <= now and letter != "E"]
        newest = START + max(proofs) * self.every if proofs else START
        return now + self.spread - newest > self.patience

    def _may(self, sure: list[int], unsure: list[int], now: float, stale: bool) -> frozenset[str]:
        if len(unsure) > MOST_UNSURE:
            return frozenset(("up", "down", "degraded", "unknown", "dark"))
        found: set[str] = set()
        for choice in product((False, True), repeat=len(unsure)):
            kept = sorted((*sure, *(index for index, taken in zip(unsure, choice, strict=True) if taken)))
            found.add(fold(*self.policy, "".join(self.runs[index][1] for index in kept)))
        if self._gap(sure, unsure, now):  # evidence may have begun anew, and the status before it may stand
            found.update(self._anew(sure, unsure))
        if stale:
            found.add("dark")
        return frozenset(found)

    def _gap(self, sure: list[int], unsure: list[int], now: float) -> bool:
        """Whether silence or a report that came too late may matter for what is known now."""
        reach = self.policy[1] + self.policy[2] + 2 * REORDER
        known = [self.runs[index] for index in (*sure, *unsure)]
        newest = max((number for number, *_ in known), default=0)
        recent = sorted(run for run in self.runs if newest - 2 * reach <= run[0] and run[2] <= now)
        proof, before = START, START  # of what surely was there: the longest possible silence
        for number, letter, _, done in sorted(recent, key=lambda run: run[3]):
            if letter == "E":
                continue
            if min(done, now) + self.spread - proof > self.patience or START + number * self.every - proof > self.patience:
                return True
            overtaken = sum(1 for run in recent if run[0] > number and run[2] <= done)
            if overtaken >= REORDER:
                return True
            proof = max(proof, START + number * self.every)
        return before == START and newest > reach and not recent

    def _anew(self, sure: list[int], unsure: list[int]) -> set[str]:
        """After a silence: unknown, or any status that some of the evidence supports."""
        need, of, recover = self.policy
        letters = [self.runs[index][1] for index in sorted((*sure, *unsure))][-(of + recover + 4 * REORDER) :]
        found = {"unknown", "dark"}
        if "P" in letters:
            found.add("up")
        if letters.count("F") + letters.count("D") >= need or "D" in letters:
            found.add("degraded")
        if letters.count("F") >= need:
            found.add("down")
        return found


def quorum(rule: str | int, statuses: tuple[str, ...]) -> str:
    """The status of a check whose locations have these, by the words of the design."""
    asked = [status for status in statuses if status != "dark"]
    if not asked:
        return "unknown"
    enough = {"any": 1, "majority": len(asked) // 2 + 1, "all": len(asked)}[str(rule)]
    if asked.count("down") >= enough:
        return "down"
    if asked.count("down") + asked.count("degraded") >= enough:
        return "degraded"
    return "unknown" if all(status == "unknown" for status in asked) else "up"


def stands(status: str) -> tuple[str, ...]:
    """What a stored status counts as; after a silence, a location may count as it stood before."""
    return ("unknown", "down", "degraded") if status == "unknown" else (status,)


def violations(outcome: Outcome) -> list[str]:
    """What did not hold, in words; empty when all is well."""
    found = list(outcome.defects)
    for rule in (_statuses, _incidents, _messages, _plainly, _events, _end, _gaps):
        found += rule(outcome)
    return found


def _when(outcome: Outcome, at: float) -> str:
    return f"{(at - START) / outcome.scenario.every:.2f}"


def _statuses(outcome: Outcome) -> Iterator[str]:
    """R1-R4: a stored status is one that the evidence allows; an incident is open exactly while the check is not up."""
    of = outcome.scenario
    truths = {(check, place): Truth(outcome, check, place) for check in of.plan.checks for place in of.locations}
    before: dict[str, object] = {}
    open_: dict[str, str | None] = {}
    for moment in outcome.ports.moments:
        check = moment.check
        now = (moment.status, moment.incident, moment.severity, moment.places)
        if before.get(check) == now or moment.status == GONE:
            continue
        last = open_.get(check)
        open_[check] = moment.incident
        if moment.status == "unknown" and last is not None and moment.incident is None:
            yield f"R4: {last} ended at {_when(outcome, moment.at)} because nobody could see any more"
        before[check] = now
        brackets = [truths[check, place].may(moment.at) for place in of.locations]
        for place, bracket in zip(of.locations, brackets, strict=True):
            if moment.places.get(place, "unknown") not in bracket:
                yield (
                    f"R1-R4: {check}@{place} is stored as {moment.places.get(place)} at {_when(outcome, moment.at)}, "
                    f"but the evidence allows {sorted(bracket)}"
                )
                return
        rule = of.plan.checks[check].confirm.locations
        stored = tuple(moment.places.get(place, "unknown") for place in of.locations)
        allowed = frozenset(quorum(rule, statuses) for statuses in product(*map(stands, stored)))
        if moment.status not in allowed:
            yield f"R1: {check} is stored as {moment.status} at {_when(outcome, moment.at)}, but its locations say {stored}"
            return
        if moment.status == "down" and (moment.incident is None or moment.severity != "critical"):
            yield f"R1: {check} is down at {_when(outcome, moment.at)} without a critical incident"
        if moment.status == "degraded" and moment.incident is None:
            yield f"R1: {check} is degraded at {_when(outcome, moment.at)} without an incident"
        if moment.status == "up" and moment.incident is not None:
            yield f"R1: {check} is up at {_when(outcome, moment.at)} with an open incident"


def _incidents(outcome: Outcome) -> Iterator[str]:
    """R1: an incident has one unbroken life, and the bus was told of its beginning and its end once each."""
    lives: dict[str, list[str | None]] = defaultdict(list)
    for moment in outcome.ports.moments:
        if not lives[moment.check] or lives[moment.check][-1] != moment.incident:
            lives[moment.check].append(moment.incident)
    for check, ids in lives.items():
        opened = [one for one in ids if one is not None]
        if len(opened) != len(set(opened)):
            yield f"R1: an incident of {check} came back: {opened}"
        if ids[-1] is not None:
            yield f"R1: {ids[-1]} is still open at the end"
        for one in opened:
            for kind, key in (("Incident Opened", one), ("Incident Resolved", f"{one}/resolved")):
                if (kind, key) not in outcome.ports.published:
                    yield f"R13: the bus was never told {kind} of {one}"
    known = {moment.incident for moment in outcome.ports.moments}
    for kind, key in outcome.ports.published:
        if kind == "Incident Opened" and key not in known:
            yield f"R1: the bus was told of {key}, which nobody stored"


def _messages(outcome: Outcome) -> Iterator[str]:
    """R1, R6, R13-R16: what each channel heard of each incident."""
    of, ports = outcome.scenario, outcome.ports
    heard: dict[tuple[str, str], list[tuple[float, str, str, str]]] = defaultdict(list)
    tries: Counter[tuple[str, str]] = Counter()
    for message in ports.messages:
        tries[message.channel, message.alert.id] += 1
        for subject in message.alert.subjects:
            heard[subject.id, message.channel].append((message.at, message.alert.event, message.alert.id, message.alert.key))
    spread = max(of.skews) - min(of.skews)
    troubles = sum(1 for _, name in ports.struck if not name.startswith(("bus", "settle", "probe", "tick")))
    for alert, count in ports.refused.items():
        if count > TRIES + troubles:
            yield f"R15: {alert} was refused {count} times and not parked"
    for message in ports.messages:
        taken = outcome.acknowledged.get(message.alert.subjects[0].id)
        if taken is not None and message.alert.reason in ("repeat", "escalated") and message.alert.at > taken + spread:
            yield f"R16: {message.channel} was told {message.alert.reason} after {message.alert.subjects[0].id} was acknowledged"
    again = sum(count - 1 for count in tries.values())
    if again > troubles and spread < LEASE / 2:
        yield f"R13: {again} messages came again, for {troubles} faults"
    for (incident, channel), told in heard.items():
        where = f"{incident} on {channel}"
        events = [event for _, event, _, _ in told]
        ids = Counter(event for event, _ in {(event, name) for _, event, name, _ in told})
        if any(("Alert Failed", f"{incident}/{event}/{channel}/failed") in ports.published for event in ("opened", "escalated")):
            continue  # the channel refused it for good: it is parked, and later ones flow
        if ids["opened"] + ids["escalated"] == 0:
            yield f"R1: {where} was told {events} without an opening"
        if ids["opened"] > 1 or ids["resolved"] > 1:
            yield f"R1: {where} was opened {ids['opened']} times and resolved {ids['resolved']} times"
        if events[0] not in ("opened", "escalated"):
            yield f"R1: {where} began with {events[0]}"
        if "resolved" in events and set(events[events.index("resolved") :]) != {"resolved"}:
            late = next(event for event in events[events.index("resolved") :] if event != "resolved")
            yield f"R13: {where} was told {late} after its resolve"
        if len({key for _, _, _, key in told}) > 1 and of.style != "group":
            yield f"R1: {where} was told under {len({key for _, _, _, key in told})} keys"
        if ids["resolved"] == 0 and ("Alert Failed", f"{incident}/resolved/{channel}/failed") not in ports.published:
            yield f"R13: {where} was never resolved, after {events}"
    yield from _owed(outcome, heard)


def _owed(outcome: Outcome, heard: dict[tuple[str, str], list[tuple[float, str, str, str]]]) -> Iterator[str]:
    """R13-R15: an incident was told to every channel of its route, or an event says why not."""
    of, ports = outcome.scenario, outcome.ports
    excused = {
        (str(detail["incident"]), str(detail["channel"])): str(detail["reason"])
        for (kind, _), detail in ports.published.items()
        if (kind == "Alert Suppressed" and detail["reason"] in ("flapping", "waiting for group")) or kind == "Alert Failed"
    }
    worst: dict[str, str] = {}
    hush = outcome.silenced or 0.0
    last: dict[str, float] = {moment.incident: moment.at for moment in ports.moments if moment.incident}
    over = (outcome.silenced or 0.0) + 2 * of.tick + (max(of.skews) - min(of.skews)) + 300.0 * bool(ports.struck)
    hushed = {
        (str(detail["incident"]), str(detail["channel"]))
        for (kind, _), detail in ports.published.items()
        if kind == "Alert Suppressed" and detail["reason"] == "silence" and last.get(str(detail["incident"]), 0.0) < over
    }
    for moment in ports.moments:
        quiet = moment.at < hush  # what got better within the silence is told as it is at its end
        if moment.incident and (moment.severity == "critical" or quiet or moment.incident not in worst):
            worst[moment.incident] = str(moment.severity)
    openings: dict[tuple[str, str], list[float]] = defaultdict(list)
    for incident, severity in worst.items():
        channels = {"plain": ("oncall", "chat") if severity == "critical" else ("chat",), "repeat": ("oncall",)}.get(
            of.style, ("chat",)
        )
        for channel in channels:
            if (incident, channel) in heard:
                first = heard[incident, channel][0][0]
                openings[incident.partition("/")[0], channel].append(first)
            elif (incident, channel) in hushed:
                pass  # it began and ended in the silence
            elif (incident, channel) not in excused:
                yield f"R13: {incident} ({severity}) was never told to {channel}"
            elif excused[incident, channel] == "flapping" and sum(one < incident for one in worst) < 1:
                yield f"R6: {incident} is the first one and was held back as flapping"
    fault = max(of.skews) - min(of.skews) + 1000.0 * bool(ports.struck)  # faults delay a message, so they come closer together
    for (check, channel), times in openings.items():
        for first in times:
            if sum(first <= at < first + FLAPPING - fault for at in times) > 4:
                yield f"R6: {channel} was told of more than four openings of {check} within an hour"


def _plainly(outcome: Outcome) -> Iterator[str]:
    """R1 and R2 by nothing but the truth and the messages: no fold, no stored state.

    Where every location saw the same outage of at least ``of + REORDER`` runs, lost none of its reports, and was up long before
    and after, people were told of exactly one critical incident; where it was shorter than ``need`` runs, of none.
    """
    of = outcome.scenario
    for check in of.plan.checks.values():
        need, width, recover = check.confirm.need, check.confirm.of, check.confirm.recover
        margin = width + recover + 2 * REORDER
        rows = {"".join(of.letter(check.id, place, number) for number in range(of.periods)) for place in of.locations}
        if (
            (check.id == "c1" and outcome.removed is not None)
            or len(rows) != 1
            or len(outcome.heard) < len(of.locations) * (of.periods + 2)
        ):
            continue
        (row,) = rows
        told = {
            subject.id: message.alert
            for message in outcome.ports.messages
            for subject in message.alert.subjects
            if subject.check == check.id and subject.severity == "critical"
        }
        begins = {
            (moment.incident, (moment.at - START) / of.every)
            for moment in outcome.ports.moments
            if moment.check == check.id and moment.severity == "critical"
        }
        slow = any(heard.done - heard.first > REORDER * of.every for heard in outcome.heard.values())
        if row.count("F") < need and "D" not in row and told:
            yield f"R2: {check.id} failed {row.count('F')} times and people were told {sorted(told)}"
        first, last = row.find("F"), row.rfind("F")
        alone = first >= 0 and set(row[first : last + 1]) == {"F"} and not set(row) - {"P", "F"}
        if (
            alone
            and last - first + 1 >= width + REORDER
            and last + margin < of.periods + 9
            and not slow
            and not outcome.scenario.poisoned
        ):
            if len({incident for incident, _ in begins}) != 1:
                yield f"R1: {check.id} was down once and had {len({one for one, _ in begins})} critical incidents"
            elif not told and of.style != "group" and of.silenced is None:
                yield f"R1: {check.id} was down for {last - first + 1} runs and nobody was told"


def _events(outcome: Outcome) -> Iterator[str]:
    """R10, R13: every status that moved was told, and the moves join up."""
    moved: dict[str, list[tuple[str, str]]] = defaultdict(list)
    last: dict[str, str] = {}
    for moment in outcome.ports.moments:
        before = last.get(moment.check, "unknown")
        if moment.status == GONE:
            last[moment.check] = "unknown"
            continue
        if moment.status != before:
            moved[moment.check].append((before, moment.status))
        last[moment.check] = moment.status
    told: Counter[tuple[str, str, str]] = Counter(
        (detail["check"], detail["before"], detail["after"])
        for (kind, _), detail in outcome.ports.published.items()
        if kind == "Check Status Changed"
    )
    for check, moves in moved.items():
        for move, count in Counter(moves).items():
            if told[check, *move] == 0:
                yield f"R13: {check} went from {move[0]} to {move[1]} {count} times and the bus never heard of it"
    for kind, _ in outcome.ports.published:
        if kind == "Alert Failed" and not outcome.scenario.poisoned:
            yield "R15: an alert was parked although no channel refused it"
            break


def _end(outcome: Outcome) -> Iterator[str]:
    """R3, R10, R13, R14: after the quiet nothing is owed, all is up, each run counted once, and old reports change nothing."""
    of = outcome.scenario
    if outcome.changed:
        yield f"R3: {outcome.changed}"
    for name, slot in outcome.slots.items():
        if slot.owed:
            yield f"R14: {name} still owes {[one.alert.id for one in slot.owed]}"
        if slot.events:
            yield f"R13: {name} still has events nobody was told: {sorted({event.detail_type for event in slot.events})}"
    for check in of.plan.checks:
        if check == "c1" and outcome.removed is not None:
            if any(check in slot.checks for slot in outcome.slots.values()):
                yield f"R7: {check} was removed and is still known"
            continue
        states = [state for slot in outcome.slots.values() if (state := slot.check(check)) is not None]
        if len(states) != 1:
            yield f"R10: {check} is known in {len(states)} slots"
            continue
        state = states[0]
        if state.status != "up" or any(window.status != "up" for window in state.locations.values()):
            yield f"R10: {check} ends {state.status}, {[window.status for window in state.locations.values()]}"
        if state.incidents:
            yield f"R7: {check} keeps incidents {[one.id for one in state.incidents]}"
        yield from _counted(outcome, check, state)


def _counted(outcome: Outcome, check: str, state: CheckState) -> Iterator[str]:
    of = outcome.scenario
    letters = [of.letter(check, place, number) for place, number in outcome.heard]
    counted = [sum(pair) for pair in zip(*state.summary.hours.values(), strict=False)]
    good, bad = [*counted, 0, 0][:2]
    slow = sum(1 for name in outcome.ports.struck if True)
    most = (sum(letter in "PD" for letter in letters), letters.count("F"))
    if good > most[0] or bad > most[1]:
        yield f"R10: {check} counted {good} good and {bad} bad runs of {most[0]} and {most[1]}"
    if not slow and (good, bad) != most:
        yield f"R10: {check} counted {good} good and {bad} bad runs, not {most[0]} and {most[1]}, without any fault"


def _gaps(outcome: Outcome) -> Iterator[str]:
    """R8: a location silent for three periods and a minute is told as unknown, unless the clocks contradict each other."""
    of = outcome.scenario
    spread = max(of.skews) - min(of.skews)
    troubled = any(not name.startswith(("bus", "settle", "probe")) for _, name in outcome.ports.struck)
    if spread > ASLEEP / 4 or troubled or of.tick > ASLEEP / 2:
        return
    for check in of.plan.checks:
        if check == "c1" and outcome.removed is not None:
            continue
        for place in of.locations:
            proofs = sorted(
                (heard.done, START + number * of.every)
                for (where, number), heard in outcome.heard.items()
                if where == place and of.letter(check, place, number) in "PDF"
            )
            newest = START
            for done, at in [*proofs, (outcome.quiet, outcome.quiet)]:
                told_by = newest + PATIENCE * of.every + 60.0 + spread
                if done > told_by and told_by < outcome.quiet:
                    gone = [
                        detail
                        for (kind, _), detail in outcome.ports.published.items()
                        if kind == "Location Status Changed" and detail["check"] == check and detail["location"] == place
                    ]
                    if newest > START and not any(detail["after"] == "unknown" for detail in gone):
                        silent = f"silent from {_when(outcome, newest)} to {_when(outcome, done)}"
                        yield f"R8: {check}@{place} was {silent} and nobody was told"
                        return
                newest = max(newest, at)
