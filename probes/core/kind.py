"""What a kind is: the shape of its target, its facts and its probe. One file in ``probes/kinds/`` each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from probes.core.result import Observation

FactType = Literal["number", "text", "boolean", "duration", "size", "list", "json", "map"]


class Shape(BaseModel):
    """Base of everything a user writes: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of a kind's facts table: the type decides which operators and values an assertion may use.

    ``json`` may be walked with ``.key`` and ``[0]`` and holds any type below; ``map`` holds text by key (headers);
    ``list`` holds values of type ``of``.
    """

    type: FactType
    doc: str
    of: FactType = "text"


@dataclass(frozen=True, slots=True)
class Context:
    """What a probe is told besides its target.

    Attributes:
        run: id of the run, for correlation headers and evidence.
        timeout: seconds left for this attempt, everything included.
        loopback: whether loopback targets are allowed (a laptop) or blocked (Lambda).
        fill: resolves the late references of a target (``${{ step.login.token }}``) with the captures given; used by ``steps``.
        base: folder that relative file names in the configuration start from (``ca: certs/ca.pem``).
    """

    run: str
    timeout: float
    loopback: bool = True
    fill: Callable[[Any, Mapping[str, Any]], Any] = lambda data, captures: data
    base: str = "."


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of probe, as one value. ``probes/kinds/<name>.py`` defines it as ``KIND``.

    Attributes:
        name: the YAML key, equal to the file's name.
        summary: one line for the reference page.
        target: the YAML shape (pydantic, frozen, unknown keys refused). String fields must tolerate ``${{`` references, which
            are resolved by the run; everything else is checked at load.
        short: turns the short form (text, or a list for ``steps``) into the long form's mapping; ValueError says what is wrong.
        example: the short form shown in hints and reference.
        facts: facts table: name to :class:`Fact`.
        must: the default ``must``, used when a check writes none.
        probe: looks once at ``target`` (an instance of the shape, fully resolved); never raises.
        passive: the check waits to be called (``heartbeat``): nothing is probed, the evaluator judges what came in.
        describe: one line naming the target, for tables and messages.
        not_on: places it cannot look from: how their names begin (``aws:``), and why, with what to do instead.
        switch: the section of checks.yaml that must say ``allowed`` before this kind may be used; its name is in
            :data:`~probes.core.sections.SECTIONS`.
    """

    name: str
    summary: str
    target: type[Shape]
    short: Callable[[Any], dict[str, Any]]
    example: str
    facts: Mapping[str, Fact]
    must: tuple[str, ...]
    probe: Callable[[Any, Context], Awaitable[Observation]]
    describe: Callable[[Mapping[str, Any]], str]
    passive: bool = False
    not_on: Mapping[str, str] = field(default_factory=dict)
    switch: str | None = None
