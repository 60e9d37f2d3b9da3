"""Finding a violation, and the least that brings it about."""

from __future__ import annotations

from tests.simulation.history import Outcome, play
from tests.simulation.oracle import violations
from tests.worlds import START

LONGEST = 120


def check(seed: int, steps: int = 200) -> list[str]:
    """What the history of that seed violates."""
    return violations(play(seed, steps))


def shrink(seed: int, steps: int, rule: str) -> tuple[int, frozenset[str]]:
    """Fewer steps, and faults left out, such that the same rule (``R13``) is violated still."""

    def fails(steps: int, skip: frozenset[str]) -> bool:
        return any(found.startswith(rule) for found in violations(play(seed, steps, skip)))

    skip: frozenset[str] = frozenset()
    outcome = play(seed, steps)
    names = [f"skew {index}" for index, skew in enumerate(outcome.scenario.skews) if skew]
    names += [f"truth: {one}" for one in outcome.scenario.episodes] + [
        "reshard",
        "removed",
        "silenced",
        "acknowledged 0",
        "acknowledged 1",
    ]
    names += list(dict.fromkeys(name for _, name in outcome.ports.struck))
    size = len(names)
    while size:
        for start in range(0, len(names), size):
            tried = skip | frozenset(names[start : start + size])
            if tried != skip and fails(steps, tried):
                skip = tried
        names = [name for name in names if name not in skip]
        struck = list(dict.fromkeys(name for _, name in play(seed, steps, skip).ports.struck))
        names += [name for name in struck if name not in names and name not in skip]
        size //= 2
    return steps, skip


def trace(seed: int, steps: int = 200) -> str:
    """The history of that seed in words, shrunk when it violates something."""
    found = check(seed, steps)
    skip: frozenset[str] = frozenset()
    if found:
        steps, skip = shrink(seed, steps, found[0].partition(":")[0])
    outcome = play(seed, steps, skip)
    left = violations(outcome)
    return "\n".join((f"seed {seed}, {steps} steps: {len(found)} violations", *left, *_lines(outcome, skip)))


def _lines(outcome: Outcome, skip: frozenset[str]) -> list[str]:
    of = outcome.scenario
    confirm = next(iter(of.plan.checks.values())).confirm
    lines = [
        f"  confirm {confirm.need} of {confirm.of}, {confirm.locations}, recover {confirm.recover}; every {of.every:g} s; "
        f"route `{of.style}`; tick {of.tick:g} s, pay {of.pay:g} s; "
        f"clocks {[0.0 if f'skew {index}' in skip else skew for index, skew in enumerate(of.skews)]}"
        + (f"; c1 removed at {of.removed / of.every:.2f}" if of.removed and "removed" not in skip else "")
        + (
            f"; silenced at {of.silenced[0] / of.every:.2f} for {of.silenced[1] / of.every:.2f}"
            if of.silenced and "silenced" not in skip
            else ""
        )
        + (f"; resharded at {of.reshard / of.every:.2f}" if of.reshard and "reshard" not in skip else "")
    ]
    for check in of.plan.checks:
        for place in of.locations:
            row = "".join(of.letter(check, place, number) for number in range(of.periods))
            lines += [f"  {check}@{place:10} {row}"]
    told = [(at, f"fault: {name}") for at, name in outcome.ports.struck]
    for one in outcome.ports.messages:
        about = ", ".join(subject.id for subject in one.alert.subjects)
        told.append((one.at, f"{one.channel} hears {one.alert.event} ({one.alert.reason}) of {about} by {one.root}"))
    told += [(at, f"{incident} is acknowledged") for incident, at in outcome.acknowledged.items()]
    last: dict[str, object] = {}
    for moment in outcome.ports.moments:
        now = (moment.status, moment.incident, moment.severity)
        if last.get(moment.check) != now:
            told.append(
                (
                    moment.at,
                    f"{moment.check} is {moment.status}" + (f", {moment.severity} {moment.incident}" if moment.incident else ""),
                )
            )
        last[moment.check] = now
    lines += [f"  {(at - START) / of.every:8.3f}  {text}" for at, text in sorted(told, key=lambda pair: pair[0])]
    return lines if len(lines) <= LONGEST else [*lines[:LONGEST], f"  ... and {len(lines) - LONGEST} more lines"]
