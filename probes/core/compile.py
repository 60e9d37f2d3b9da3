"""From what was written to what will happen: nearest wins (check, group, ``defaults``, built in), field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from probes.core import expression
from probes.core.check import Check, Confirm, Retries
from probes.core.plan import HERE, Channel, Plan, digest, slots
from probes.core.shapes import ConfirmShape, MetricsShape, RetriesShape
from probes.core.written import Spec, Written

EVERY: Final = 60.0
TIMEOUT: Final = 10.0
AT_ONCE: Final = Confirm(1, 1, "any", 1)
"""How a check that waits to be called is confirmed: a job says itself what it is, once."""
METRICS: Final = MetricsShape(by=("check", "location"))


def compile(spec: Spec) -> Plan:  # noqa: A001  # the verb of the house
    """The plan of a specification: every default resolved, content-addressed by its digest."""
    plan = Plan(
        service=spec.service,
        digest="",
        checks={name: check(spec, name) for name in spec.checks},
        locations=locations(spec),
        secrets=dict(spec.secrets),
        channels={"console": Channel("console", {}), **spec.channels},
        routes=spec.routes,
        maintenance=spec.maintenance,
        self_check={name: spec.self_check.get(name, spec.self_check.get("", ())) for name in (*locations(spec), HERE)},
        of=slots(len(spec.checks)),
        groups={name: group.name or name for name, group in spec.groups.items()},
        warnings=spec.warnings,
    )
    return replace(plan, digest=digest(plan))


def locations(spec: Spec) -> dict[str, str]:
    """The declared locations; without any, this machine alone."""
    return dict(spec.locations) or {HERE: "local"}


def settings(spec: Spec, written: Written) -> dict[str, tuple[Any, str]]:
    """The value of every policy field of a check, and where it came from: ``check``, ``group checkout``, ``built in`` ..."""
    group = written.shape.group
    layers = [("check", written.shape), ("defaults", spec.defaults), ("top level", spec.top)]
    if group in spec.groups:
        layers.insert(1, (f"group {group}", spec.groups[group]))
    found: dict[str, tuple[Any, str]] = {}
    for field in type(spec.defaults).model_fields:
        values = ((getattr(shape, field), where) for where, shape in layers)
        found[field] = next(((value, where) for value, where in values if value is not None), (None, "built in"))
    tags = dict.fromkeys(tag for _, shape in layers for tag in shape.tags or ())
    found["tags"] = (tuple(tags), "all levels")
    return {**found, **_built_in(spec, found)}


def _built_in(spec: Spec, found: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    every = found["every"][0] or EVERY
    retries = found["retries"][0] or RetriesShape()
    attempts = retries.count + 1
    values = {
        "every": EVERY,
        "timeout": min(TIMEOUT, max(0.1, (every - retries.wait * retries.count) / attempts)),
        "retries": RetriesShape(),
        "locations": tuple(locations(spec)),
        "confirm": ConfirmShape(),
        "metrics": METRICS,
        "events": "failed",
        "paused": False,
    }
    return {field: (value, "built in") for field, value in values.items() if found[field][0] is None}


def check(spec: Spec, name: str) -> Check:
    """The compiled check with that id."""
    written = spec.checks[name]
    values = {field: value for field, (value, _) in settings(spec, written).items()}
    confirm, retries, metrics = values["confirm"], values["retries"], values["metrics"]
    must = written.kind.must if written.shape.must is None else written.shape.must
    return Check(
        id=name,
        name=written.shape.name or name,
        kind=written.kind.name,
        target=written.target,
        must=must,
        should=written.shape.should,
        every=float(values["every"]),
        timeout=float(values["timeout"]),
        retries=Retries(retries.count, float(retries.wait), retries.on),
        locations=tuple(values["locations"]),
        confirm=AT_ONCE if written.kind.passive else Confirm(confirm.runs[0], confirm.runs[1], confirm.locations, confirm.recover),
        group=written.shape.group,
        owner=values["owner"],
        runbook=values["runbook"],
        tags=values["tags"],
        depends_on=written.shape.depends_on,
        slo=values["slo"],
        paused=values["paused"],
        decides=_decides(written),
        passive=written.kind.passive,
        metrics={
            "level": metrics.level,
            "by": list(metrics.by or (("check",) if metrics.level == "lean" else ("check", "location"))),
        },
        events=values["events"],
    )


def _decides(written: Written) -> str | None:
    """The kind's own ``must``, which states what the kind is for, when an assertion that was written names its fact."""
    lines = (*(written.shape.must or ()), *written.shape.should)
    named = {expression.parse(line).subject.fact for line in lines}
    return next((line for line in written.kind.must if expression.parse(line).subject.fact in named), None)
