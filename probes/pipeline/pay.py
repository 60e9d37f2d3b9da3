"""Pay what is owed to people: claimed before each attempt, paid or put off after it. At least once, under the same id."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from probes import channels
from probes.core import template
from probes.core.alert import Alert, Delivery
from probes.core.events import AlertFailed, AlertSent, Event
from probes.core.metrics import sample
from probes.core.outbox import INTERVAL, Batch, Owed, after, batches, claim, held, parked, room, stream
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.state import Slot, key
from probes.core.units import iso
from probes.pipeline.fill import secrets
from probes.pipeline.publish import KEEP
from probes.pipeline.settle import change, change_slot, flush
from probes.ports import Entry, SecretUnavailable, World

log = logging.getLogger(__name__)

ABREAST: Final = 8
"""Messages to one channel at once, after the first one of a round got through."""
ROUND: Final = 10.0
"""Seconds after which a channel's round starts no more messages; the next call goes on."""
FINDINGS: Final = 10
"""Most findings that an opening carries from the run that failed."""


async def pay(plan: Plan, world: World) -> None:
    """Deliver every alert that is due.

    Each channel goes its own way: a slow or dead one delays no other, and is tried once in each round while it is down. May be
    called again while an earlier call still runs, so that a hanging channel holds up nobody: what is tried is claimed in the store.
    """
    found = {name: Slot.parse(document) for name, (document, _) in (await world.store.find("state/")).items()}
    owed = [one for slot in found.values() for one in slot.owed]
    if not owed:
        return
    sent = (await world.store.read("groups"))[0] or {}
    due: dict[str, list[Batch]] = {}
    for batch in batches(owed, sent, _told(found.values()), world.now()):
        due.setdefault(batch.channel, []).append(batch)
    ended = await asyncio.gather(*(_channel(plan, world, name, of) for name, of in due.items()), return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException):
            raise error


def _told(slots: Iterable[Slot]) -> Mapping[str, int]:
    """By channel and group, how many open incidents the channel was told of."""
    count: Counter[str] = Counter()
    for slot in slots:
        for document in slot.checks.values():
            for incident in document["incidents"]:
                if incident["resolved_at"] is None:
                    count.update(f"{name}|{told['group']}" for name, told in incident["told"].items() if told["group"])
    return count


async def _channel(plan: Plan, world: World, name: str, due: list[Batch]) -> None:
    """One round of one channel: one message, and when that one got through the others, a few at a time."""
    started, size = world.now(), 1
    while due and world.now() - started < ROUND:
        if not (count := await _room(plan, world, name, min(size, len(due)))):
            return
        chunk, due = due[:count], due[count:]
        claimed = await _claim(plan, world, chunk)
        answers = await asyncio.gather(*(_send(plan, world, name, batch) for batch in claimed))
        await _enter(plan, world, list(zip(claimed, answers, strict=True)))
        if any(answer.outcome == "retry" for answer in answers):
            return
        size = ABREAST


async def _room(plan: Plan, world: World, name: str, wanted: int) -> int:
    """How many messages may leave now by the limit the channel's product names; they are written down as leaving."""
    kind = plan.channels[name].kind if name in plan.channels else ""
    rate = channels.CHANNELS[kind].rate if kind in channels.CHANNELS else None
    if rate is None:
        return wanted
    taken, now = 0, world.now()

    def take(sent: Any, rate: tuple[int, float] = rate) -> Any:
        nonlocal taken
        taken = min(wanted, room(sent or (), rate, now))
        return [*[at for at in sent or () if now - rate[1] < at <= now], *[now] * taken] if taken else sent

    await change(world, f"sent/{name}", take)
    return taken


async def _claim(plan: Plan, world: World, chunk: list[Batch]) -> list[Batch]:
    """The messages of the chunk that are ours to try: their alerts are marked in the store as being tried."""
    now = world.now()
    wanted = {(one.alert.id, one.attempts): batch.id for batch in chunk for one in batch.owed}
    got: dict[tuple[str, int], Owed] = {}
    for name in _slots(plan, chunk):
        mine: dict[tuple[str, int], Owed] = {}

        def mark(slot: Slot, mine: dict[tuple[str, int], Owed] = mine) -> Slot:
            mine.clear()
            owed = []
            for one in slot.owed:
                identity = (one.alert.id, one.attempts)
                if identity in wanted:  # one that somebody else tries meanwhile has an attempt more
                    mine[identity] = claim(one, wanted[identity], now)
                owed.append(mine.get(identity, one))
            return replace(slot, owed=tuple(owed)) if mine else slot

        await change_slot(world, name, mark)
        got.update(mine)
    ours = []
    for batch in chunk:
        kept = tuple(got[identity] for one in batch.owed if (identity := (one.alert.id, one.attempts)) in got)
        if len(kept) == len(batch.owed):  # otherwise someone else tries a part of it: the lease gives the rest back
            ours.append(replace(batch, owed=kept))
    fresh = {stream(batch.alert): now for batch in ours if batch.alert.group is not None and batch.owed[0].attempts == 1}
    if fresh:
        await change(world, "groups", lambda known: {**_recent(known or {}, now), **fresh})
    return ours


def _recent(known: Mapping[str, float], now: float) -> dict[str, float]:
    return {name: at for name, at in known.items() if now - at < INTERVAL}


def _slots(plan: Plan, chunk: Iterable[Batch]) -> list[str]:
    checks = {one.alert.subjects[0].check for batch in chunk for one in batch.owed}
    return sorted({key(slot_of(check, plan.of), plan.of) for check in checks})


async def _send(plan: Plan, world: World, name: str, batch: Batch) -> Delivery:
    channel = plan.channels.get(name)
    if channel is None:
        return Delivery("permanent", f"there is no channel `{name}` in the configuration any more")
    try:
        values = await secrets(plan, world, channel.config)
    except SecretUnavailable as error:
        return Delivery("retry", str(error))
    config = template.fill(dict(channel.config), {"secret": values})
    noted = f"notes/{name}/{batch.alert.group or batch.alert.key}"
    first = batch.alert.event == "opened" and batch.alert.group is None
    try:
        note = {} if first else (await world.store.read(noted))[0] or {}
        alert = replace(await _enriched(world, batch.alert), note=note)
    except Exception as error:  # nothing has left yet; what leaves beside it must still be entered
        return Delivery("retry", f"the store is in trouble: {type(error).__name__}: {error}")
    if not all(held(one, world.now()) for one in batch.owed):  # an opening sent now could arrive after its own resolve
        return Delivery("retry", "the store or the secrets took so long that somebody else may be telling it by now")
    answer = await channels.send(channel.kind, config, alert, world.now(), tuple(values.values()))
    over = alert.event == "resolved" and alert.key == (alert.group or alert.key) and answer.outcome == "delivered"
    try:
        if answer.note:
            await change(world, noted, lambda _: answer.note)
        elif note and (over or answer.outcome == "permanent"):  # a message that cannot be found again is not looked for again
            await change(world, noted, lambda _: None)
    except Exception:  # a note makes a message prettier; losing the answer would send it again
        log.exception("what %s said about alert %s could not be noted", name, batch.id)
    return answer


async def _enriched(world: World, alert: Alert) -> Alert:
    """An opening about one incident with the findings and phases of the run that failed, for the reader at 3 am."""
    subject = alert.subjects[0]
    if alert.total > 1 or alert.event not in ("opened", "escalated"):
        return alert
    history = await world.store.since(f"runs/{subject.check}", subject.opened_at - 1.0, 50)
    failed = next((run for run in history if run["because"] and run["outcome"] not in ("passed", "errored")), None)
    if failed is None:
        return alert
    broken = tuple(finding for finding in failed["findings"] if not finding["holds"])[:FINDINGS]
    return replace(alert, subjects=(replace(subject, findings=broken, phases_ms=failed["phases_ms"]),))


async def _enter(plan: Plan, world: World, results: list[tuple[Batch, Delivery]]) -> None:
    """Write down what came of the attempts: paid, put off, or parked; with events, metrics and the incident's own log."""
    now = world.now()
    answers = {(one.alert.id, one.attempts): (batch, answer) for batch, answer in results for one in batch.owed}
    for name in _slots(plan, (batch for batch, _ in results)):

        def mark(slot: Slot) -> Slot:
            owed, events = list[Owed](), list[Event]()
            for one in slot.owed:
                batch, answer = answers.get((one.alert.id, one.attempts), (None, None))
                left = one if batch is None or answer is None else after(one, answer, now)
                if left is not None:
                    owed.append(left)
                elif batch is not None and answer is not None:
                    events.append(_event(plan, batch, one, answer, now))
            return replace(slot, owed=tuple(owed), events=(*slot.events, *events))

        await flush(world, name, await change_slot(world, name, mark))
    entries = []
    for batch, answer in results:
        gone = parked(batch.owed[0], answer, now)
        if answer.outcome != "delivered":
            what = "given up" if gone else f"attempt {batch.owed[0].attempts}, tried again"
            log.warning("alert %s did not reach %s: %s (%s)", batch.id, batch.channel, answer.detail, what)
        entries += [_record(one, answer, gone, now) for one in batch.owed]
        if gone:
            world.metrics.record([sample("AlertsFailed", len(batch.owed), now, channel=batch.channel)])
    await world.store.append(entries)


def _record(one: Owed, answer: Delivery, gone: bool, now: float) -> Entry:
    record: dict[str, Any] = {
        "channel": one.alert.channel,
        "event": one.alert.event,
        "reason": one.alert.reason,
        "at": now,
        "outcome": "parked" if gone else answer.outcome,
        "detail": answer.detail,
        "attempts": one.attempts,
        "alert": one.batch or one.alert.id,
    }
    return Entry(f"alerts/{one.incident}", now, f"{one.alert.id}#{one.attempts}", record, KEEP)


def _event(plan: Plan, batch: Batch, one: Owed, answer: Delivery, now: float) -> Event:
    model = AlertSent if answer.outcome == "delivered" else AlertFailed
    return Event.of(
        model(
            id=f"{one.alert.id}/{'sent' if answer.outcome == 'delivered' else 'failed'}",
            at=iso(now),
            service=plan.service,
            alert=batch.id,
            incident=one.incident,
            channel=batch.channel,
            event=one.alert.event,
            reason=batch.alert.reason,
            attempts=one.attempts,
            error=None if answer.outcome == "delivered" else answer.detail,
        )
    )
