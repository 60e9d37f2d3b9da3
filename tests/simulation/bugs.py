"""Bugs to plant, each a small change of a function's source, so that the simulator can prove that it sees."""

# ruff: noqa: E501
from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Bug:
    """``old`` stands exactly once in the source of ``where`` (``probes.pipeline.pay:_channel``) and becomes ``new``."""

    name: str
    where: str
    old: str
    new: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The code with the bug: the function keeps its identity, so everybody who holds it has the bug."""
        function = _find(self.where)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.name}: the code has changed, plant it anew in {self.where}"
        names: dict[str, Any] = {}
        lines = source.replace(self.old, self.new).splitlines()
        while lines[0].startswith("@"):
            lines.pop(0)
        exec(compile("from __future__ import annotations\n" + "\n".join(lines), self.where, "exec"), function.__globals__, names)
        right, wrong = function.__code__, next(one for name, one in names.items() if name == function.__name__).__code__
        function.__code__ = wrong
        try:
            yield
        finally:
            function.__code__ = right


def _find(where: str) -> Any:
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    found = getattr(found, "__func__", found)
    assert isinstance(found, Callable)  # type: ignore[arg-type]
    return found


SETTLE, PAY, CONFIRM = "probes.pipeline.settle", "probes.pipeline.pay", "probes.core.confirm"

SAMPLE: Final = (
    "state and outbox in two writes",
    "marked before it is sent",
    "the same run counts twice",
    "nobody holds what is being tried",
    "what was told is forgotten at a restart",
)
"""Those that the normal run plants; the others are planted by `make test-long`."""

BUGS: Final = (
    Bug(
        "state and outbox in two writes",
        f"{SETTLE}:enter",
        "await change_slot(world, name, lambda slot, p=pairs: take(around, slot, p, world.now()))",
        "await change_slot(world, name, lambda slot, f=["
        "(after := take(around, before := Slot.parse((await world.store.read(name))[0]), pairs, world.now())), "
        "await change_slot(world, name, lambda slot: replace(take(around, slot, pairs, world.now()), owed=slot.owed))]: "
        "replace(slot, owed=(*slot.owed, *(one for one in f[0].owed if one not in slot.owed))))",
    ),
    Bug(
        "marked before it is sent",
        f"{PAY}:_channel",
        "answers = await asyncio.gather(*(_send(plan, world, name, batch) for batch in claimed))\n"
        "        await _enter(plan, world, list(zip(claimed, answers, strict=True)))",
        "await _enter(plan, world, [(one, Delivery('delivered', '')) for one in claimed])\n"
        "        answers = await asyncio.gather(*(_send(plan, world, name, batch) for batch in claimed))",
    ),
    Bug("the same run counts twice", f"{CONFIRM}:confirm", "any(at == known for known, _ in marks)", "False"),
    Bug("evaluated by arrival", f"{CONFIRM}:confirm", "tuple(sorted((*marks, (at, letter))))", "(*marks, (at, letter))"),
    Bug(
        "late reports are thrown away",
        f"{CONFIRM}:confirm",
        "len(marks) >= REORDER and at < marks[-REORDER][0]",
        "marks and at < marks[-1][0]",
    ),
    Bug(
        "our trouble counts as a failure",
        f"{CONFIRM}:confirm",
        "LETTERS[evidence.outcome]",
        'LETTERS[evidence.outcome].replace("E", "F")',
    ),
    Bug("one failure less is enough", f"{CONFIRM}:_step", 'last.count("F") >= policy.need', 'last.count("F") >= policy.need - 1'),
    Bug("one pass is recovery", f"{CONFIRM}:_step", "seen[-policy.recover :]", "seen[-1:] * policy.recover"),
    Bug("half is a majority", f"{CONFIRM}:needed", "reporting // 2 + 1", "max(1, reporting // 2)"),
    Bug("silence is down", f"{CONFIRM}:lapse", 'base=("unknown", window.known)', 'base=("down", "down")'),
    Bug("silence is not noticed", f"{CONFIRM}:lapse", "window.dark or", "True or"),
    Bug(
        "not seeing is recovery",
        "probes.core.incident:follow",
        'if verdict.status == "up":',
        'if verdict.status in ("up", "unknown"):',
    ),
    Bug(
        "resolved only where the route says now",
        "probes.core.decide:wants",
        "for channel in incident.told]",
        'for channel in incident.told if (now_ := _route(incident, situation, "opened")) and channel in now_.notify[:1]]',
    ),
    Bug(
        "another key for the resolve",
        "probes.core.decide:_alert",
        "key=group or incident.id,",
        'key=group or f"{incident.id}/{want.event}",',
    ),
    Bug("a conflict drops the change", f"{SETTLE}:change", "await asyncio.sleep(0)\n            continue", "return before"),
    Bug(
        "events are not saved with the state",
        "probes.core.state:Slot.document",
        "[event.document() for event in self.events]",
        "[]",
    ),
    Bug(
        "cleared before it is published",
        f"{SETTLE}:flush",
        "    await publish(world, slot.events)\n",
        "    told = slot\n    await change_slot(world, name, lambda before: replace(before, events=()))\n    await publish(world, told.events)\n",
    ),
    Bug("what was told is forgotten at a restart", "probes.core.incident:Incident.parse", '"told": told', '"told": {}'),
    Bug("nobody holds what is being tried", "probes.core.outbox:claim", "next=now + LEASE", "next=one.next"),
    Bug("an attempt may outlive its lease", "probes.core.outbox:held", "now <= one.next - SENDING", "True"),
    Bug(
        "a resolve may overtake",
        "probes.core.outbox:batches",
        "heads.setdefault((one.alert.channel, one.incident), one)",
        "heads.setdefault((one.alert.channel, one.alert.id), one)",
    ),
    Bug("a channel that is down loses the alert", "probes.core.outbox:after", '== "delivered" or', 'in ("delivered", "retry") or'),
    Bug("trouble parks as refusal does", "probes.core.outbox:parked", '(delivery.outcome == "permanent" and', "("),
    Bug("a refusal is tried for ever", "probes.core.outbox:parked", "one.attempts >= TRIES", "one.attempts >= 10**9"),
    Bug(
        "what is owed is lost when checks are dealt out anew",
        f"{SETTLE}:adopt",
        "owed = tuple(one for one in old.owed if slot_of(one.alert.subjects[0].check, plan.of) == number)",
        "owed = ()",
    ),
    Bug(
        "the old slot goes first",
        f"{SETTLE}:adopt",
        "for document, (old, version) in stale.items():",
        "for document, (old, version) in stale.items():\n        await world.store.write(document, None, version)\n        version = 0",
    ),
    Bug(
        "a run is counted before it is known",
        "probes.core.evaluate:take",
        "if window is before:\n            continue",
        "if window is before:\n            slot = slot.put(check.id, _count(setting, check, state, evidence))\n            continue",
    ),
)
