"""Alerts that are owed: in which order, in which message and when they are tried. Saved with the status that owes them.

Per incident and channel alerts leave in the order they were decided, so a resolve never overtakes its opening. Alerts of one group
leave as one message for each channel and event, ``wait`` after the first and then at most each :data:`INTERVAL`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from probes.core.alert import Alert, Delivery
from probes.core.incident import RANK

INTERVAL: Final = 300.0
"""Seconds between two messages of one group, channel and event (Alertmanager's group_interval has the same default)."""
LEASE: Final = 60.0
"""Seconds for which an attempt holds an alert: nobody else tries it meanwhile, and a crash gives it back afterwards."""
SENDING: Final = 15.0
"""Seconds of the lease that the sending itself needs; a channel gives up after ten."""
TRIES: Final = 5
"""Attempts at a permanent error (a 4xx) before the alert is parked."""
PATIENCE: Final = 24 * 3600.0
"""Seconds for which a channel that is down is tried before the alert is parked."""
FIRST, CAP = 5.0, 300.0
"""Seconds: bounds of the exponential backoff; PagerDuty asks for "a few minutes" between attempts."""
PRESSING: Final = ("worsened", "escalated")
"""Reasons whose alerts do not wait behind the opening of their incident for the group's next message: both leave now."""
SUBJECTS: Final = 10
"""Most incidents a group's message names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One alert that is owed about one incident.

    ``due``: not before this time (wait for the group). ``attempts``, ``next``: tries so far, and when the next one may be.
    ``batch``: the message it left in, once it was tried; ``error``: what came of the last try.
    """

    alert: Alert
    due: float
    attempts: int = 0
    next: float = 0.0
    batch: str | None = None
    error: str | None = None

    @property
    def incident(self) -> str:
        """The incident it is about."""
        return self.alert.subjects[0].id

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "alert": self.alert.document(),
            "due": self.due,
            "attempts": self.attempts,
            "next": self.next,
            "batch": self.batch,
            "error": self.error,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Owed:
        """The owed alert whose :meth:`document` this is."""
        return cls(**{**document, "alert": Alert.parse(document["alert"])})


@dataclass(frozen=True, slots=True)
class Batch:
    """What leaves as one message: ``alert`` for the channel, paid for all of ``owed``."""

    id: str
    channel: str
    alert: Alert
    owed: tuple[Owed, ...]


def add(owed: Iterable[Owed], alerts: Iterable[tuple[Alert, float]]) -> tuple[tuple[Owed, ...], tuple[Alert, ...]]:
    """The outbox with new alerts (each with seconds to wait), and those new ones that cancelled out.

    A reminder that could not leave yet is replaced by what comes after it: it would say the same, only older.
    A resolve whose opening still waits for its group, untried, takes that opening out instead of leaving as well: nobody was told.
    """
    kept, cancelled = list(owed), []
    for alert, wait in alerts:
        mine = [o for o in kept if o.alert.channel == alert.channel and o.incident == alert.subjects[0].id]
        stale = [o for o in mine if o.alert.reason == "repeat" and not o.attempts]
        kept = [o for o in kept if o not in stale]
        waits = mine and all(not o.attempts and (o.alert.group is not None or o.due > o.alert.at) for o in mine)
        if alert.event == "resolved" and waits and any(o.alert.event == "opened" for o in mine):
            kept = [o for o in kept if o not in mine]
            cancelled.append(alert)
        else:
            kept.append(Owed(alert, alert.at + wait))
    return tuple(kept), tuple(cancelled)


def stream(alert: Alert) -> str:
    """What a group's interval is counted for: channel, group and event."""
    return f"{alert.channel}|{alert.group}|{alert.event}"


def batches(owed: Iterable[Owed], sent: Mapping[str, float], told: Mapping[str, int], now: float) -> list[Batch]:
    """The messages that may leave now, oldest first.

    ``owed``: every owed alert of the service, per incident in order. ``sent``: by :func:`stream`, when the last message left.
    ``told``: by channel and group (``chat|shop/group=checkout``), how many of its incidents the channel knows to be open.
    """
    heads: dict[tuple[str, str], Owed] = {}
    pressed = set()
    for one in owed:
        if heads.setdefault((one.alert.channel, one.incident), one) is not one and one.alert.reason in PRESSING:
            pressed.add((one.alert.channel, one.incident))
    found, groups = [], dict[str, list[Owed]]()
    for one in heads.values():
        if one.next > now:
            continue
        if one.batch is not None:
            groups.setdefault(one.batch, []).append(one)
        elif one.alert.group is not None:
            groups.setdefault(stream(one.alert), []).append(one)
        elif one.due <= now:
            found.append(Batch(one.alert.id, one.alert.channel, one.alert, (one,)))
    for key, members in groups.items():
        if members[0].alert.group is None:
            found.append(Batch(members[0].alert.id, members[0].alert.channel, members[0].alert, tuple(members)))
        elif members[0].batch is not None:
            found.append(_merge(key, members, told))
        elif any((one.alert.channel, one.incident) in pressed for one in members) or (
            min(one.due for one in members) <= now and now - sent.get(key, float("-inf")) >= INTERVAL
        ):
            digest = hashlib.sha256("\n".join(sorted(one.alert.id for one in members)).encode()).hexdigest()[:12]
            found.append(
                _merge(f"{members[0].alert.group}/{members[0].alert.event}/{members[0].alert.channel}/{digest}", members, told)
            )
    return sorted(found, key=lambda batch: (batch.owed[0].alert.at, batch.id))


def _merge(name: str, members: list[Owed], told: Mapping[str, int]) -> Batch:
    """One message of a group. It resolves the group's key only when no other incident of the group is still told as open."""
    members = sorted(members, key=lambda one: (-RANK[one.alert.severity], one.alert.at, one.incident))
    first = members[0].alert
    still = told.get(f"{first.channel}|{first.group}", 0)
    assert first.group is not None
    alert = replace(
        first,
        id=name,
        key=first.group if first.event != "resolved" or not still else f"{first.group}/{members[0].incident}",
        reason="new in group" if first.event == "opened" and still > len(members) else first.reason,
        at=min(one.alert.at for one in members),
        subjects=tuple(one.alert.subjects[0] for one in members[:SUBJECTS]),
        total=len(members),
    )
    return Batch(name, first.channel, alert, tuple(members))


def room(sent: Iterable[float], rate: tuple[int, float], now: float) -> int:
    """How many messages may leave now: at most ``rate[0]`` within any ``rate[1]`` seconds, counting the times in ``sent``."""
    return max(0, rate[0] - sum(now - rate[1] < at <= now for at in sent))


def claim(one: Owed, batch: str, now: float) -> Owed:
    """The alert as being tried now in that message; saved before the attempt, so that nobody else tries it and a crash is seen."""
    return replace(one, attempts=one.attempts + 1, next=now + LEASE, batch=batch)


def held(one: Owed, now: float) -> bool:
    """Whether the attempt that claimed the alert may still send it: later, others may be telling it, or what came after it."""
    return now <= one.next - SENDING


def after(one: Owed, delivery: Delivery, now: float) -> Owed | None:
    """The alert after an attempt: None when it is paid or parked, otherwise with the time of its next one.

    Exponential backoff with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); the jitter
    comes from a hash, not from chance. A channel's own ``Retry-After`` wins where it is longer.
    """
    if delivery.outcome == "delivered" or parked(one, delivery, now):
        return None
    ceiling = min(CAP, FIRST * 2.0 ** min(one.attempts - 1, 16))
    chance = int.from_bytes(hashlib.sha256(f"{one.alert.id}#{one.attempts}".encode()).digest()[:4], "big") / 2**32
    return replace(one, next=now + max(1.0, ceiling * chance, delivery.retry_after or 0.0), error=delivery.detail)


def parked(one: Owed, delivery: Delivery, now: float) -> bool:
    """Whether the alert is given up after this attempt: later ones must not wait behind it."""
    return (delivery.outcome == "permanent" and one.attempts >= TRIES) or (
        delivery.outcome == "retry" and now - one.alert.at > PATIENCE
    )
