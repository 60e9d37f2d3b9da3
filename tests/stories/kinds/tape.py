"""A kind whose target is a tape: what it shows at a place and time was written down beforehand."""

from collections.abc import Mapping
from typing import Any

from probes.core.fault import Fault
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.units import Duration

LETTERS: dict[str, str] = {}
"""Letter by run id: P passes, D degrades, F fails, R fails at the first attempt; E is trouble of ours, O a location without
network, X a defect of the kind."""
TRIED: dict[str, int] = {}


class Target(Shape):
    name: str


async def probe(target: Target, context: Context) -> Observation:
    TRIED[context.run] = TRIED.get(context.run, 0) + 1
    letter = LETTERS[context.run]
    if letter == "X":
        raise RuntimeError("a defect")
    if letter in "EO":
        fault = Fault("probe.resources", "too many open files") if letter == "E" else Fault("probe.offline", "no network here")
        return Observation(fault=fault)
    if letter == "R":
        letter = "F" if TRIED[context.run] == 1 else "P"
    facts = {"letter": letter, "latency": Duration(0.05)}
    return Observation(facts=facts, phases={"wait": 0.05}, latency=0.05, total=0.06, evidence={"target": target.name})


def describe(target: Mapping[str, Any]) -> str:
    return f"tape {target['name']}"


KIND = Kind(
    name="tape",
    summary="plays what was written",
    target=Target,
    short=lambda text: {"name": text},
    example="tape: quote",
    facts={"letter": Fact("text", "what the tape shows"), "latency": Fact("duration", "always 50ms")},
    must=('letter != "F"',),
    probe=probe,
    describe=describe,
)
