"""What will happen: the compiled, content-addressed document, and which runs of it are due when.

Every check gets a slot and a phase from the hash of its id, never from its place in a list: adding a check moves no other one
(chunking moved 150 of 309 shards for one added check, hashing 3 of 408).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from probes.core.check import Check, Confirm, Objective, Retries
from probes.core.diagnostics import Problem
from probes.core.result import Run
from probes.core.route import Maintenance, Route

FORMAT: Final = 1
HERE: Final = "here"
"""The location of a laptop: every declared location maps to it unless one is named."""
SLOT_SIZE: Final = 50
MOST_SLOTS: Final = 64


@dataclass(frozen=True, slots=True)
class Channel:
    """A configured way to tell people: the kind of channel (a file in ``probes/channels/``) and its configuration."""

    kind: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a world needs to run the service. ``digest`` is the address of the content; ``of`` the number of slots.

    ``groups``: the name to show by group.
    """

    service: str
    digest: str
    checks: Mapping[str, Check]
    locations: Mapping[str, str]
    secrets: Mapping[str, str]
    channels: Mapping[str, Channel]
    routes: tuple[Route, ...]
    maintenance: tuple[Maintenance, ...]
    self_check: Mapping[str, tuple[str, ...]]
    of: int
    groups: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def document(self) -> dict[str, Any]:
        """The JSON form; warnings are talk, not content, and stay out."""
        content = {name: value for name, value in asdict(replace(self, warnings=())).items() if name != "warnings"}
        return {"format": FORMAT, **content}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Plan:
        """The plan whose :meth:`document` this is. Raises ValueError for a format this version does not know."""
        if document.get("format") != FORMAT:
            raise ValueError(f"plan format {document.get('format')!r} is not one this version reads ({FORMAT})")
        return cls(
            service=document["service"],
            digest=document["digest"],
            checks={name: _check(data) for name, data in document["checks"].items()},
            locations=document["locations"],
            secrets=document["secrets"],
            channels={name: Channel(**data) for name, data in document["channels"].items()},
            routes=tuple(Route.parse(route) for route in document["routes"]),
            maintenance=tuple(Maintenance.parse(window) for window in document["maintenance"]),
            self_check={name: tuple(anchors) for name, anchors in document["self_check"].items()},
            of=document["of"],
            groups=document["groups"],
        )


def _check(data: Mapping[str, Any]) -> Check:
    texts = {name: tuple(data[name]) for name in ("must", "should", "locations", "tags", "depends_on")}
    return Check(
        **{
            **data,
            **texts,
            "retries": Retries(**data["retries"]),
            "confirm": Confirm(**data["confirm"]),
            "slo": Objective(**data["slo"]) if data["slo"] else None,
        }
    )


def digest(plan: Plan) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the plan's canonical JSON, the digest itself left out."""
    content = {name: value for name, value in plan.document().items() if name != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def slots(checks: int) -> int:
    """How many slots a fleet of that many checks gets: a power of two, about fifty checks each, at most 64."""
    wanted = max(1, math.ceil(checks / SLOT_SIZE))
    return min(MOST_SLOTS, 1 << (wanted - 1).bit_length())


@lru_cache(maxsize=65536)
def _seed(check: str) -> int:
    return int.from_bytes(hashlib.sha256(check.encode()).digest()[:8], "big")


def slot(check: str, of: int) -> int:
    """The slot (0 .. of-1) of the check with that id."""
    return _seed(check) % of


def phase(check: Check) -> float:
    """Seconds into its period at which the check is scheduled: whole minutes where the period is, otherwise whole seconds."""
    spread = _seed(check.id) >> 6
    if check.every % 60 == 0:
        return 60.0 * (spread % int(check.every // 60))
    return float(spread % max(1, int(check.every)))


def offset(check: Check) -> float:
    """Seconds after the scheduled time at which a laptop starts the run, so that checks of one minute do not start as a herd."""
    return (_seed(check.id) >> 20) % 5500 / 100 if check.every % 60 == 0 else 0.0


def scheduled(check: Check, at: float) -> float:
    """The latest scheduled time of the check that is not after ``at`` (epoch seconds)."""
    start = phase(check)
    return math.floor((at - start) / check.every) * check.every + start


def looks_from(check: Check, location: str) -> bool:
    """Whether the check runs in that location; a laptop's own location takes every check."""
    return location == HERE or location in check.locations


def due(plan: Plan, location: str, slot_: int | None, start: float, end: float) -> list[Run]:
    """Every run of the slot (None: all slots) in that location with ``start <= at < end``, in order of time and id."""
    runs = []
    for check in plan.checks.values():
        if check.paused or not looks_from(check, location) or (slot_ is not None and slot(check.id, plan.of) != slot_):
            continue
        at = scheduled(check, start)
        if at < start:
            at += check.every
        while at < end:
            runs.append(Run(check.id, location, at))
            at += check.every
    return sorted(runs, key=lambda run: (run.at, run.check))
