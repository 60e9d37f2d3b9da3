"""What was written, after reading: names resolved, values typed, defaults not yet applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.core import shapes
from probes.core.diagnostics import Problem
from probes.core.kind import Kind
from probes.core.plan import Channel
from probes.core.reading import Path, Reader
from probes.core.route import Maintenance, Route


@dataclass(frozen=True, slots=True)
class Written:
    """One check as written: its shape, its kind, the long form of its target, and where it stands."""

    shape: shapes.CheckShape
    kind: Kind
    target: Mapping[str, Any]
    reader: Reader


@dataclass(slots=True)
class Spec:
    """Everything that was written. ``places`` says which file holds a named thing: ``("checks", "quote")``.

    ``allowed``: the sections that switch a kind on (``scripts``) and do say ``allowed``.
    """

    service: str = "probes"
    variables: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    locations: dict[str, str] = field(default_factory=dict)
    self_check: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: shapes.Policy = field(default_factory=shapes.Policy)
    groups: dict[str, shapes.GroupShape] = field(default_factory=dict)
    checks: dict[str, Written] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    allowed: set[str] = field(default_factory=set)
    top: shapes.Policy = field(default_factory=shapes.Policy)
    warnings: tuple[Problem, ...] = ()
    places: dict[tuple[str, str], tuple[Reader, Path]] = field(default_factory=dict)
