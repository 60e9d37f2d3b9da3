"""``heartbeat``: waits to be called by a job; silence is the failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from probes.core.fault import Fault
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import Duration

FACTS: Final = {
    "reported": Fact("text", "what the job said last: ok, fail or start"),
    "took": Fact("duration", "from its start to its end, where it reported both or said so itself"),
    "exit_code": Fact("number", "the exit code it reported"),
    "age": Fact("duration", "since its last report"),
}


class Target(Shape):
    """How late a report may be: ``grace`` comes on top of the check's ``every``."""

    grace: Duration = Field(0.0, description="how late a report may be, on top of the check's `every`")


def short(text: Any) -> dict[str, Any]:
    """``30m`` is the grace."""
    if not isinstance(text, str):
        raise ValueError("a heartbeat says how late a report may be: write heartbeat: 30m")
    return {"grace": text}


async def probe(_target: Target, _context: Context) -> Observation:
    """Nothing is probed: a heartbeat is judged by what comes in."""
    return Observation(fault=Fault("probe.internal", "a heartbeat is not probed: it waits to be called"))


def describe(target: Mapping[str, Any]) -> str:
    """``within 30m``."""
    return f"called within {target['grace']} of its time" if "grace" in target else "called in time"


KIND: Final = Kind(
    name="heartbeat",
    summary="Waits to be called by a job; silence is the failure.",
    target=Target,
    short=short,
    example="30m",
    facts=FACTS,
    must=('reported == "ok"',),
    probe=probe,
    describe=describe,
    passive=True,
)
