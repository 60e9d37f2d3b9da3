"""The bus in the process: who is told, what a failing subscriber may not do; and the metrics of the monitor itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from probes.core.events import Event
from probes.core.metrics import sample
from probes.local.bus import LocalBus
from probes.local.metrics import LocalMetrics
from probes.local.store import SQLite


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLite]:
    store = SQLite(tmp_path / "probes.sqlite", lambda: 0.0)
    yield store
    await store.close()


def event(id_: str, what: str = "Check Status Changed", at: str = "2026-02-03T04:05:00Z") -> Event:
    return Event("probes.shop", what, {"version": 1, "id": id_, "at": at, "service": "shop"})


async def test_every_subscriber_gets_every_event_until_it_leaves() -> None:
    bus, seen, awaited = LocalBus(), list[Event](), list[Event]()

    async def later(one: Event) -> None:
        awaited.append(one)

    leave = bus.subscribe(seen.append)
    bus.subscribe(later)
    await bus.publish([event("a"), event("b")])
    leave()
    await bus.publish(iter([event("c")]))
    assert [one.id for one in seen] == ["a", "b"]
    assert [one.id for one in awaited] == ["a", "b", "c"]


async def test_a_failing_subscriber_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bus, seen = LocalBus(), list[Event]()

    def broken(one: Event) -> None:
        raise RuntimeError("a defect of ours")

    bus.subscribe(broken)
    bus.subscribe(seen.append)
    await bus.publish([event("a"), event("b")])
    assert len(seen) == 2
    assert caplog.text.count("RuntimeError: a defect of ours") == 2


async def test_own_metrics_are_logged_by_the_minute(store: SQLite) -> None:
    metrics = LocalMetrics()
    for at in (0.0, 30.0, 61.0):
        metrics.record([sample("RunsDue", 2, at, location="here"), sample("Lateness", at + 1, at, location="here")])
    metrics.record([sample("RunsDue", 5, 10.0, location="there"), sample("Latency", 12.5, 10.0, check="quote", location="here")])
    await metrics.flush(store, now=119.0)
    assert await store.since("metrics/RunsDue", 0) == [], "what started in that minute may still be told"
    await metrics.flush(store, now=120.0)
    assert await store.since("metrics/RunsDue", 0) == [
        {"at": 0.0, "value": 4.0, "dimensions": {"Location": "here"}},
        {"at": 0.0, "value": 5.0, "dimensions": {"Location": "there"}},
    ]
    assert [record["value"] for record in await store.since("metrics/Lateness", 0)] == [31.0]
    await metrics.flush(store, now=float("inf"))
    assert [record["value"] for record in await store.since("metrics/RunsDue", 0)] == [4.0, 5.0, 2.0]
    assert await store.since("metrics/Latency", 0) == [], "the history of the check has it"
    assert metrics.latest["Latency", (("Check", "quote"), ("Location", "here"))].value == 12.5
    assert metrics.latest["RunsDue", (("Location", "here"),)].at == 61.0
