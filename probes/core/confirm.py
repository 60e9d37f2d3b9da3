"""From outcomes to status: m of the last n runs in one location, then a quorum of locations.

Evaluation is by scheduled slot, never by arrival: the status of a location is a function of its evidence in slot order. A report
that comes late (up to :data:`REORDER` - 1 reports after its own) is put in its place and the newest slots are folded again, so any
order of arrival ends in the same status; duplicates and older stragglers change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from probes.core.check import Confirm, Quorum
from probes.core.events import Status
from probes.core.result import Outcome

REORDER: Final = 4
"""Newest slots that are folded again when a straggler arrives: it may be overtaken by three others."""
PATIENCE: Final = 3
"""Periods without evidence after which a location says nothing about a check any more."""
GRACE: Final = 30.0
"""Seconds added to the patience, so that a run may take its time; below the 60 s in which a gap must be told."""
LETTERS: Final[Mapping[Outcome, str]] = {"passed": "P", "degraded": "D", "failed": "F", "errored": "E", "skipped": "S"}


def patience(every: float) -> float:
    """Seconds without evidence that make a location unknown to a check with that period."""
    return PATIENCE * every + GRACE


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one run in one location says: ``at`` is its scheduled time (its identity), ``because`` is empty when it passed.

    ``latency`` in milliseconds decides nothing; it is for the summary.
    """

    at: float
    outcome: Outcome
    because: str = ""
    fault: str | None = None
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is remembered of a check in one location; of constant size.

    Attributes:
        status: up, degraded, down, or unknown (no evidence yet, or none any more).
        since: scheduled time of the run that moved the status (for ``unknown`` by silence: when that was noticed).
        known: the last status that was not unknown; recovery from it needs its passes even after a silence.
        marks: the newest runs as (scheduled time, letter), in slot order.
        base: (status, known) before the newest :data:`REORDER` marks, where folding starts again.
        floor: runs scheduled at or before this time are ignored.
        proof: scheduled time of the newest evidence (P, D or F); None before any.
        because, fault: of the newest run that was not a pass.
        dark: nothing was heard for :func:`patience`: the location has left the quorum.
    """

    status: Status = "unknown"
    since: float = 0.0
    known: Status = "unknown"
    marks: tuple[tuple[float, str], ...] = ()
    base: tuple[Status, Status] = ("unknown", "unknown")
    floor: float = float("-inf")
    proof: float | None = None
    because: str = ""
    fault: str | None = None
    dark: bool = False

    @property
    def letters(self) -> str:
        """The marks as text, oldest first: ``PFF``."""
        return "".join(letter for _, letter in self.marks)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "status": self.status,
            "since": self.since,
            "known": self.known,
            "marks": [list(mark) for mark in self.marks],
            "base": list(self.base),
            "floor": self.floor if self.floor > float("-inf") else None,
            "proof": self.proof,
            "because": self.because,
            "fault": self.fault,
            "dark": self.dark,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Window:
        """The window whose :meth:`document` this is."""
        marks = tuple((at, letter) for at, letter in document["marks"])
        floor = float("-inf") if document["floor"] is None else document["floor"]
        known: tuple[Status, Status] = (document["base"][0], document["base"][1])
        return cls(**{**document, "marks": marks, "base": known, "floor": floor})


@dataclass(frozen=True, slots=True)
class Change:
    """A status that moved, and why. ``at`` is the scheduled time of the run that moved it; ``window`` its evidence in letters."""

    before: Status
    after: Status
    at: float
    because: str
    window: str = ""


def confirm(policy: Confirm, window: Window, evidence: Evidence, forget: float = float("inf")) -> tuple[Window, Change | None]:
    """The window with this evidence in its place, and the change of status it made, if any.

    ``forget`` (seconds, see :func:`patience`): evidence after a longer gap does not add up with evidence before it; the status
    stands meanwhile. A run that is known already, or too old, gives back the same window object.
    """
    at, letter = evidence.at, LETTERS[evidence.outcome]
    marks = window.marks
    if at <= window.floor or any(at == known for known, _ in marks) or (len(marks) >= REORDER and at < marks[-REORDER][0]):
        return window, None
    if marks and window.proof is not None and at - window.proof > forget and at > marks[-1][0]:
        base: tuple[Status, Status] = (window.status, window.known)
        window, marks = replace(window, marks=(), base=base, floor=marks[-1][0]), ()

    marks = tuple(sorted((*marks, (at, letter))))
    before, newest = window, at == marks[-1][0]
    split = max(0, len(marks) - REORDER)
    state = window.base
    if split:
        state = _step(policy, marks[:split], *state)
    base, moved = state, window.since
    for end in range(split + 1, len(marks) + 1):
        after = _step(policy, marks[:end], *state)
        if after[0] != state[0]:
            moved = marks[end - 1][0]
        state = after
    status, known = state

    keep = max(policy.of, policy.recover) + REORDER
    window = replace(
        window,
        status=status,
        known=known,
        base=base,
        since=window.since if status == window.status else moved,
        marks=marks[-keep:],
    )
    if letter in "PDF":
        window = replace(window, proof=max(at, window.proof or at), dark=False)
    if newest and letter in "DFE":
        window = replace(window, because=evidence.because, fault=evidence.fault)
    if status == before.status:
        return window, None
    if status == "up":
        passes = 1 if before.known in ("up", "unknown") else policy.recover
        because = "the first pass" if before.known == "unknown" else f"{passes} passed in a row" if passes > 1 else "it passed"
        window = replace(window, because="", fault=None)
    else:
        because = window.because
    return window, Change(before.status, status, window.since, because, "".join(mark for _, mark in marks[-policy.of :]))


def _step(policy: Confirm, marks: tuple[tuple[float, str], ...], status: Status, known: Status) -> tuple[Status, Status]:
    """(status, known) after the newest of ``marks``, given those before it."""
    seen = [letter for _, letter in marks if letter in "PDF"]
    newest = marks[-1][1]
    if newest not in "PDF":
        return status, known
    last, recovery = seen[-policy.of :], seen[-policy.recover :]
    steady = len(recovery) == policy.recover
    after = status
    if newest == "F" and last.count("F") >= policy.need:
        after = "down"
    elif known == "down":
        if steady and "F" not in recovery:
            after = "degraded" if "D" in recovery else "up"
    elif newest != "P" and len(last) - last.count("P") >= policy.need:
        after = "degraded"
    elif newest == "P" and (known != "degraded" or (steady and set(recovery) == {"P"})):
        after = "up"
    return after, known if after == "unknown" else after


def lapse(window: Window, created: float, every: float, now: float, resumed: float = 0.0) -> tuple[Window, Change | None]:
    """The window unknown and dark, once it gave no evidence for :func:`patience`; otherwise the same window object.

    ``created``: since when the check is expected to run here; ``resumed``: since when we ourselves are awake again.
    """
    heard = created if window.proof is None else window.proof
    if window.dark or now - max(heard, resumed) <= patience(every):
        return window, None
    errored = window.marks and window.marks[-1][1] == "E" and now - window.marks[-1][0] <= patience(every)
    because = f"only errors of ours: {window.because}" if errored else "no runs were reported"
    floor = window.marks[-1][0] if window.marks else window.floor
    after = replace(
        window,
        status="unknown",
        since=now,
        marks=(),
        base=("unknown", window.known),
        floor=floor,
        because=because,
        fault=None,
        dark=True,
    )
    return after, Change(window.status, "unknown", now, because, window.letters)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the locations agree on. ``locations`` are those that say so; ``blind``: none of them can see any more."""

    status: Status
    locations: tuple[str, ...]
    because: str
    blind: bool = False


def needed(quorum: Quorum, reporting: int) -> int:
    """How many of the reporting locations must agree; a number is capped by how many report."""
    if isinstance(quorum, int):
        return max(1, min(quorum, reporting))
    return {"any": 1, "majority": reporting // 2 + 1, "all": max(1, reporting)}[quorum]


def agree(quorum: Quorum, windows: Mapping[str, Window]) -> Verdict:
    """The status of a check from its expected locations.

    Dark locations have left the quorum. A location that has yet to give evidence still counts among those asked, so that the one
    that starts first cannot decide alone. One that was in trouble before it fell silent, and reports again, counts as it stood
    until it has recovered or is confirmed: not having seen it is no recovery.
    """
    asked = {name: window for name, window in windows.items() if not window.dark}
    if not asked:
        return Verdict("unknown", tuple(windows), "no location sees it", blind=bool(windows))
    stands = {name: window.known if window.status == "unknown" else window.status for name, window in asked.items()}
    down = tuple(name for name in asked if stands[name] == "down")
    bad = tuple(name for name in asked if stands[name] in ("down", "degraded"))
    quota = needed(quorum, len(asked))

    def because(names: tuple[str, ...]) -> str:
        if len(asked) > 1:
            return f"{len(names)} of {len(asked)} locations agree"
        only = asked[names[0]]
        return f"it was {only.known} before the silence, and has yet to recover" if only.status == "unknown" else only.because

    if len(down) >= quota:
        return Verdict("down", down, because(down))
    if len(bad) >= quota:
        return Verdict("degraded", bad, because(bad))
    if all(window.status == "unknown" for window in asked.values()):
        return Verdict("unknown", (), "no evidence yet")
    held = f": {', '.join(bad)} alone" if bad else ""
    return Verdict("up", (), f"{len(asked) - len(bad)} of {len(asked)} locations agree{held}" if len(asked) > 1 else "it passes")
