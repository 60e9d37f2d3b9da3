"""One look at a target: its clock, its deadline, the ways it went; from them the observation, also when it ended early."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from probes.core.fault import Fault
from probes.core.kind import Context
from probes.core.result import PHASES, Observation
from probes.core.secret import MASK, scrub
from probes.core.units import Duration
from probes.kinds.wire import certificate, lag
from probes.kinds.wire.failure import OURS, Failed
from probes.kinds.wire.link import Expired
from probes.kinds.wire.way import Family, Way

_BUSY: Final = 0.5
_LONG: Final = 65536
_first = True


class Look:
    """What a probe has seen so far. A kind adds to ``facts`` and ``evidence``; each way it goes is added to ``ways``.

    ``whole``: the latency counts although there is a fault, for the fault is what was to be found out.
    ``token``: what was obtained on the way and must not be shown, should the target send it back.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.started = time.monotonic()
        self.deadline = self.started + context.timeout
        self.ways: list[Way] = []
        self.facts: dict[str, Any] = {}
        self.evidence: dict[str, Any] = {}
        self.whole = False
        self.token: str | None = None

    def way(self, family: Family = "any") -> Way:
        """A new way, for one connection."""
        way = Way(self.deadline, self.context.timeout, family, self.context.loopback)
        self.ways.append(way)
        return way

    def restart(self) -> None:
        """Forget the time that preparations of ours took: nothing of the target was timed yet."""
        self.started = time.monotonic()

    def hide(self, data: Any) -> Any:
        """``data`` without the token; of a long text only its plain spelling is taken out."""
        if self.token is None:
            return data
        return data.replace(self.token, MASK) if isinstance(data, str) and len(data) > _LONG else scrub(data, [self.token])

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase, over all ways, in the order of :data:`~probes.core.result.PHASES`."""
        if len(self.ways) == 1:
            one = self.ways[0].phases
            return {name: one[name] for name in PHASES if name in one}
        return {
            name: sum(way.phases.get(name, 0.0) for way in self.ways) for name in PHASES if any(name in w.phases for w in self.ways)
        }

    def _total(self, fault: Fault | None) -> float:
        """Seconds from the start of resolve to the last arrival; to now when there is a fault, or nothing that arrived."""
        if fault is None and self.ways and self.ways[-1].ended > self.ways[0].began > 0:
            return self.ways[-1].ended - self.ways[0].began
        return time.monotonic() - self.started

    def observation(self, fault: Fault | None, loop_lag: float, *, cold: bool) -> Observation:
        """All that was seen, with what every kind knows: phases as facts, ``latency``, ``total``, address, certificate."""
        total = self._total(fault)
        phases = self.phases
        exchanged = [phases[name] for name in PHASES[1:] if name in phases]
        latency = sum(exchanged) if exchanged and (fault is None or self.whole) else None
        last = self.ways[-1] if self.ways else None
        facts: dict[str, Any] = {name: Duration(seconds) for name, seconds in phases.items()}
        evidence: dict[str, Any] = {}
        if latency is not None:
            facts["latency"] = Duration(latency)
            evidence["own_ms"] = round(max(0.0, total - latency - phases.get("resolve", 0.0)) * 1000, 3)
        facts["total"] = Duration(total)
        if last is not None and last.ip is not None:
            facts["ip"], facts["family"] = last.ip, 6 if ":" in last.ip else 4
            evidence["ip"] = last.ip
        if last is not None and last.chain:
            evidence["certificate"] = certificate.evidence(last.chain)
        if fault is not None and fault.kind.startswith("timeout.") and loop_lag > _BUSY * self.context.timeout:
            because = f"this machine was {loop_lag:.1f}s late of {self.context.timeout:g}s, so it cannot tell ({fault.because})"
            fault = Fault("probe.overloaded", because)
        if fault is not None and self.token is not None:
            fault = Fault(fault.kind, self.hide(fault.because))
        return Observation(
            facts=facts | self.facts,
            phases=phases,
            fault=fault,
            latency=latency,
            total=total,
            clock="kernel" if self.ways and all(way.clock == "kernel" for way in self.ways) else "loop",
            cold=cold,
            loop_lag=loop_lag,
            evidence=self.hide(evidence | self.evidence),
        )


async def look(context: Context, probe: Callable[[Look], Awaitable[None]]) -> Observation:
    """Run ``probe`` with a fresh :class:`Look`. Whatever happens becomes an observation; only cancellation passes through."""
    global _first  # once for the process
    cold, _first = _first, False
    await lag.calm()
    seen = Look(context)
    fault: Fault | None = None
    with lag.watch() as lateness:
        try:
            await probe(seen)
        except Failed as error:
            fault = error.fault
        except Expired:
            fault = (
                seen.ways[-1].late().fault
                if seen.ways
                else Fault("timeout.dns", f"no time was left to start (of {context.timeout:g}s)")
            )
        except Exception as error:  # a defect of ours is never the target's
            short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in OURS)
            fault = Fault("probe.resources" if short else "probe.internal", f"{type(error).__name__}: {error}")
        finally:
            for way in seen.ways:
                way.close()
    return seen.observation(fault, lateness.seconds, cold=cold)


def describe(key: str) -> Callable[[Mapping[str, Any]], str]:
    """A kind's one line for a target: the value of its ``key``."""
    return lambda target: str(target.get(key, ""))
