"""A check as it will run: every default resolved, plain values only, equal to its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Quorum = Literal["any", "majority", "all"] | int


@dataclass(frozen=True, slots=True)
class Confirm:
    """From outcomes to status: ``need`` of the last ``of`` runs, ``locations`` must agree, ``recover`` passes in a row."""

    need: int = 2
    of: int = 3
    locations: Quorum = "majority"
    recover: int = 2


@dataclass(frozen=True, slots=True)
class Retries:
    """Attempts inside one run: ``count`` more tries, ``wait`` seconds between, ``on`` any failure or network faults only."""

    count: int = 0
    wait: float = 0.0
    on: Literal["any", "network"] = "any"


@dataclass(frozen=True, slots=True)
class Objective:
    """``99.95% over 30d``: ``percent`` good of the counted runs in ``window`` seconds."""

    percent: float
    window: float


@dataclass(frozen=True, slots=True)
class Check:
    """One compiled check. Times are seconds; ``target`` is JSON in the long form of its kind; assertions are canonical text.

    ``decides``: the kind's own ``must`` (``rcode == "NOERROR"``), when an assertion that was written names its fact: where it is
    broken, the findings decide, not the fault. ``passive``: the check waits to be called.
    ``metrics``: ``{"level": "standard", "by": ["check", "location"]}``.
    """

    id: str
    name: str
    kind: str
    target: Mapping[str, Any]
    must: tuple[str, ...]
    should: tuple[str, ...]
    every: float
    timeout: float
    retries: Retries
    locations: tuple[str, ...]
    confirm: Confirm
    group: str | None = None
    owner: str | None = None
    runbook: str | None = None
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    slo: Objective | None = None
    paused: bool = False
    decides: str | None = None
    passive: bool = False
    metrics: Mapping[str, Any] = field(default_factory=dict)
    events: Literal["failed", "all"] = "failed"
