"""Is it me? When the network of a location itself is gone, its runs say nothing about anybody else.

Asked only when most runs of a report failed in a way a dead network would explain, and answered by the location's anchors alone
(`self_check`): without anchors nothing is ever called offline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from probes.core.kind import Context
from probes.core.plan import Plan
from probes.kinds import KINDS
from probes.ports import World

SUSPECT: Final = ("timeout.dns", "timeout.connect", "dns.timeout", "dns.servfail", "dns.refused", "conn.unreachable")
"""Faults that a dead network of our own would cause as well."""
ALIVE: Final = ("conn.refused", "conn.reset", "conn.closed")
"""Faults of an anchor that prove the network carries packets there and back."""
PATIENCE: Final = 3.0
"""Seconds an anchor gets to answer; all are asked at once."""


async def excuse(plan: Plan, world: World, location: str, documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The result documents of one report; those that blame others for our own missing network become ``probe.offline``."""
    anchors = plan.self_check.get(location, ())
    suspects = sum(document["fault"] in SUSPECT for document in documents)
    if not anchors or suspects * 2 <= len(documents) or await online(anchors, world):
        return list(documents)
    gone = f"{location} has no network: none of its anchors answers ({', '.join(anchors)})"
    return [_ours(document, gone) if document["fault"] in SUSPECT else document for document in documents]


async def online(anchors: Sequence[str], world: World) -> bool:
    """Whether at least one anchor answers, even with a refusal."""
    tcp = KINDS["tcp"]

    async def alive(anchor: str) -> bool:
        target = tcp.target.model_validate({"address": anchor})
        seen = await tcp.probe(target, Context("self-check", PATIENCE, world.loopback))
        return seen.fault is None or seen.fault.kind in ALIVE

    return any(await asyncio.gather(*(alive(anchor) for anchor in anchors)))


def _ours(document: Mapping[str, Any], because: str) -> dict[str, Any]:
    return {
        **document,
        "outcome": "errored",
        "fault": "probe.offline",
        "because": because,
        "evidence": {**document["evidence"], "seen": f"{document['fault']}: {document['because']}"},
    }
