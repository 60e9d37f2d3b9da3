"""The line: one result for every run whatever happens to it, scrubbed, recorded and reported; heartbeats; time; plans."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from probes import kinds, pipeline, view
from probes.core import compile as compiler
from probes.core.diagnostics import Problem
from probes.core.plan import Plan, due
from probes.core.result import Run
from probes.core.spec import load
from probes.pipeline.settle import change
from tests.worlds import START, Memory

SECRET = "s3cr3t-value-0123456789"


class Shop:
    """An HTTP server on loopback: ``answer(path, headers)`` gives status and body; how many it serves at once is counted."""

    def __init__(self) -> None:
        self.answer = lambda path, headers: (200, "fine")
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.now = self.most = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            path = head[0].split()[1]
            self.seen.append((path, headers))
            await self.hold.wait()
            status, body = self.answer(path, headers)
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.now -= 1
            writer.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    shop.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    async with server:
        yield shop
        shop.hold.set()


def plan(checks: dict[str, Any], **top: Any) -> Plan:
    text = json.dumps({"version": 1, "service": "shop", "defaults": {"every": "1m", "timeout": "2s"}, "checks": checks, **top})
    return compiler.compile(load(text, kinds.KINDS))


def run(check: str = "quote", at: float = START) -> Run:
    return Run(check, "here", at)


async def test_a_run_is_recorded_measured_and_reported(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"]}})
    report = await pipeline.execute(made, memory.world, [run()])
    (document,) = await memory.store.since("runs/quote", 0)
    assert (document["run"], document["outcome"], document["attempt"]) == ("quote@here/2026-02-03T04:05:00Z", "passed", 1)
    ((check, outcome, latency, fault, attempt, at, because),) = report.runs
    assert (check, outcome, fault, attempt, at, because) == ("quote", "passed", None, 1, "2026-02-03T04:05:00Z", None)
    assert latency == round(document["latency_ms"])
    assert (report.location, report.slot, report.of, report.plan, report.due) == ("here", 0, 1, made.digest, "2026-02-03T04:05:00Z")
    assert [event.detail_type for event in memory.bus.published] == ["Runs Reported"]
    assert {one.name for one in memory.metrics.samples} == {
        "Availability",
        "Latency",
        "RunsDue",
        "RunsDone",
        "RunsErrored",
        "Lateness",
    }


async def test_a_failure_is_an_event_of_its_own(shop: Any) -> None:
    shop.answer = lambda path, headers: (503, "no")
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"]}})
    report = await pipeline.execute(made, memory.world, [run()])
    (failed,) = memory.bus.of("Run Failed")
    assert (failed["because"], failed["outcome"], failed["kind"]) == ("status == 200 (status was 503)", "failed", "http")
    assert all(isinstance(value, int) for value in failed["phases_ms"].values())
    assert report.runs[0][6] == "status == 200 (status was 503)"
    assert memory.metrics.of("Availability") == [0.0]


async def test_every_run_is_an_event_where_asked(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "events": "all"}})
    await pipeline.execute(made, memory.world, [run()])
    assert len(memory.bus.of("Run Completed")) == 1


async def test_an_empty_report_is_the_heartbeat_of_the_location() -> None:
    memory, made = Memory(), plan({"quote": {"tcp": "127.0.0.1:1", "paused": True}})
    report = await pipeline.execute(made, memory.world, [run()])
    assert (report.runs, report.location) == ((), "here")
    assert len(memory.bus.of("Runs Reported")) == 1
    await pipeline.settle(made, memory.world, report)


async def test_one_report_is_about_one_location() -> None:
    memory, made = Memory(), plan({"quote": {"tcp": "127.0.0.1:1"}})
    with pytest.raises(ValueError, match="one location"):
        await pipeline.execute(made, memory.world, [Run("quote", "a", START), Run("quote", "b", START)])


async def test_secrets_are_filled_in_and_never_leave(shop: Any) -> None:
    shop.answer = lambda path, headers: (500, f"you said {headers.get('authorization')}")
    memory = Memory()
    memory.secrets.values["env:TOKEN"] = SECRET
    check = {
        "http": {"url": f"{shop.url}/q", "headers": {"authorization": "Bearer ${{ secret.TOKEN }}", "x-run": "${{ run.id }}"}},
        "must": ["status == 200", 'body contains "no such"'],
    }
    made = plan({"quote": check}, secrets={"TOKEN": "env:TOKEN"})
    await pipeline.settle(made, memory.world, await pipeline.execute(made, memory.world, [run()]))
    assert shop.seen[0][1]["authorization"] == f"Bearer {SECRET}"
    assert shop.seen[0][1]["x-run"] == "quote@here/2026-02-03T04:05:00Z"
    kept = str(memory.store.logs) + str(memory.store.documents) + str([event.detail for event in memory.bus.published])
    assert "status was 500" in kept
    assert SECRET not in kept


async def test_a_secret_that_cannot_be_read_is_our_trouble(shop: Any) -> None:
    memory = Memory()
    check = {"http": {"url": f"{shop.url}/q", "headers": {"authorization": "${{ secret.TOKEN }}"}}}
    made = plan({"quote": check}, secrets={"TOKEN": "env:TOKEN"})
    report = await pipeline.execute(made, memory.world, [run()])
    assert report.runs[0][1:4] == ("errored", None, "probe.secret")
    assert shop.seen == []
    assert memory.metrics.of("Availability") == []


async def test_attempts_end_with_the_first_that_passes(shop: Any) -> None:
    shop.answer = lambda path, headers: (200 if len(shop.seen) >= 3 else 503, "")
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"], "retries": 5}})
    await pipeline.execute(made, memory.world, [run()])
    (document,) = await memory.store.since("runs/quote", 0)
    assert (document["outcome"], document["attempt"], len(shop.seen)) == ("passed", 3, 3)


async def test_retries_on_the_network_leave_findings_alone(shop: Any) -> None:
    shop.answer = lambda path, headers: (503, "")
    retries = {"count": 3, "on": "network"}
    made = plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"], "retries": retries}})
    await pipeline.execute(made, Memory().world, [run()])
    assert len(shop.seen) == 1
    memory, made = Memory(), plan({"quote": {"http": "GET http://127.0.0.1:1/", "retries": retries}})
    await pipeline.execute(made, memory.world, [run()])
    (document,) = await memory.store.since("runs/quote", 0)
    assert (document["fault"], document["attempt"]) == ("conn.refused", 4)


async def test_a_run_that_starts_too_late_does_not_count(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q"}})
    memory.clock.at = START + 121
    report = await pipeline.execute(made, memory.world, [run()])
    assert report.runs[0][1:4] == ("errored", None, "probe.late")
    assert shop.seen == []


async def test_runs_go_side_by_side_but_not_all_at_once(shop: Any) -> None:
    names = [f"c{number}" for number in range(210)]
    made = plan({name: {"http": f"GET {shop.url}/{name}", "timeout": "20s"} for name in names})
    shop.hold.clear()
    task = asyncio.create_task(pipeline.execute(made, Memory().world, [run(name) for name in names]))
    while shop.now < 200:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert shop.most == 200
    shop.hold.set()
    report = await task
    assert [row[1] for row in report.runs] == ["passed"] * 210


async def test_being_stopped_is_no_result(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q"}})
    shop.hold.clear()
    task = asyncio.create_task(pipeline.execute(made, memory.world, [run()]))
    while not shop.seen:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    look = asyncio.create_task(pipeline.look(made, memory.world, run()))
    while len(shop.seen) < 2:
        await asyncio.sleep(0.01)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert memory.store.logs == {}
    assert memory.bus.published == []


async def test_a_store_in_trouble_does_not_stop_the_report(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Full(type(Memory().store)):  # type: ignore[misc]
        async def append(self, entries: object) -> None:
            raise OSError("the disk is full")

    memory, made = Memory(store=Full()), plan({"quote": {"http": f"GET {shop.url}/q"}})
    report = await pipeline.execute(made, memory.world, [run()])
    assert report.runs[0][1] == "passed"
    assert memory.bus.of("Runs Reported")
    assert "could not be written" in caplog.text


HEARTBEAT = {"nightly": {"every": "1h", "heartbeat": {"grace": "10m"}, "must": ['reported == "ok"', "took < 30m"]}}


async def heartbeat(memory: Memory, minutes: float, made: Plan) -> str:
    memory.clock.at = START + 60 * minutes
    await pipeline.tick(made, memory.world)
    return (await view.check(made, memory.world, "nightly")).status


async def test_a_heartbeat_that_stays_away_is_down_after_its_grace() -> None:
    memory, made = Memory(), plan(HEARTBEAT)
    assert await heartbeat(memory, 0, made) == "unknown"
    assert (await pipeline.beat(made, memory.world, "nightly", took=60.0))["outcome"] == "passed"
    assert [await heartbeat(memory, minutes, made) for minutes in (1, 69, 71, 75)] == ["up", "up", "down", "down"]
    assert [event.detail_type for event in memory.bus.published].count("Run Failed") == 1  # counted once, not at every tick
    (opened,) = memory.bus.of("Incident Opened")
    assert opened["because"] == "no report since 2026-02-03T04:05:00Z: expected every 1h, with 10m of grace"
    assert [document["outcome"] for document in await memory.store.since("runs/nightly", 0)] == ["passed", "failed"]
    await pipeline.beat(made, memory.world, "nightly", took=60.0)
    assert await heartbeat(memory, 76, made) == "up"
    assert len(memory.bus.of("Incident Resolved")) == 1


async def test_a_heartbeat_that_fell_due_while_we_were_away_is_not_called_missing() -> None:
    memory, made = Memory(), plan(HEARTBEAT)
    assert await heartbeat(memory, 0, made) == "unknown"
    await pipeline.beat(made, memory.world, "nightly", took=60.0)
    assert await heartbeat(memory, 5, made) == "up"
    memory.clock.at = START + 60 * 100  # we were away from minute 5 to 100; its report of minute 60 may have come then
    await change(memory.world, "evaluator", lambda known: {**known, "resumed": memory.clock.at})
    seen = [await heartbeat(memory, minutes, made) for minutes in range(100, 132)]
    assert (seen[:31], seen[31]) == (["up"] * 31, "down")


async def test_a_heartbeat_that_never_came_is_down_too() -> None:
    memory, made = Memory(), plan(HEARTBEAT)
    assert [await heartbeat(memory, minutes, made) for minutes in (0, 69, 71)] == ["unknown", "unknown", "down"]


@pytest.mark.parametrize(
    ("report", "outcome", "because"),
    [
        ({"reported": "ok", "took": 60.0}, "passed", ""),
        ({"reported": "ok", "took": 2400.0}, "failed", "took < 30m (took was 40m)"),
        ({"reported": "fail", "took": 1.0}, "failed", 'reported == "ok" (reported was "fail")'),
        ({"reported": "ok", "took": 1.0, "exit_code": 3}, "failed", "the job reported ok with exit code 3"),
        ({"reported": "ok"}, "failed", "took < 30m (took was missing)"),
    ],
)
async def test_a_report_is_judged(report: dict[str, Any], outcome: str, because: str) -> None:
    memory, made = Memory(), plan(HEARTBEAT)
    document = await pipeline.beat(made, memory.world, "nightly", **report)
    assert (document["outcome"], document["because"]) == (outcome, because)
    assert (await view.check(made, memory.world, "nightly")).status == ("up" if outcome == "passed" else "down")
    (event,) = memory.bus.of("Heartbeat Received")
    assert event["reported"] == report["reported"]


async def test_a_start_is_remembered_and_gives_the_time_it_took() -> None:
    memory, made = Memory(), plan(HEARTBEAT)
    assert await pipeline.beat(made, memory.world, "nightly", "start") == {}
    memory.clock.at += 600
    document = await pipeline.beat(made, memory.world, "nightly", "ok")
    assert (document["outcome"], document["facts"]["took_ms"]) == ("passed", 600_000.0)
    assert len(await memory.store.since("runs/nightly", 0)) == 1


async def test_a_heartbeat_in_maintenance_is_marked_and_told_to_nobody() -> None:
    window = {"name": "move", "starts": "2026-02-03T05:00Z", "lasting": "1h"}
    memory, made = Memory(), plan(HEARTBEAT, maintenance=[window])
    assert [await heartbeat(memory, minutes, made) for minutes in (0, 71)] == ["unknown", "down"]
    (document,) = await memory.store.since("runs/nightly", 0)
    assert document["muted"] == "move until 2026-02-03T06:00:00Z"
    (seen,) = await view.incidents(made, memory.world)
    assert [(alert["outcome"], alert["reason"]) for alert in seen.alerts] == [("suppressed", "maintenance")]
    assert (await view.check(made, memory.world, "nightly")).muted == "move until 2026-02-03T06:00:00Z"


@pytest.mark.parametrize("name", ["quote", "nothing", "off"])
async def test_only_a_check_that_waits_can_be_called(name: str) -> None:
    made = plan({"quote": {"tcp": "127.0.0.1:1"}, "off": {"heartbeat": "1m", "paused": True}})
    with pytest.raises(KeyError):
        await pipeline.beat(made, Memory().world, name)


async def test_what_was_applied_and_refused_is_told() -> None:
    memory = Memory()
    before = plan({"gone": {"tcp": "127.0.0.1:1"}, "quote": {"tcp": "127.0.0.1:1"}, "same": {"tcp": "127.0.0.1:1"}})
    after = plan({"new": {"tcp": "127.0.0.1:1"}, "quote": {"tcp": "127.0.0.1:2"}, "same": {"tcp": "127.0.0.1:1"}})
    await pipeline.applied(after, memory.world, before, by="ada")
    (event,) = memory.bus.of("Plan Applied")
    assert (event["created"], event["changed"], event["deleted"]) == (["new"], ["quote"], ["gone"])
    assert (event["plan"], event["previous"], event["by"]) == (after.digest, before.digest, "ada")
    problem = Problem(code="unknown-key", message="there is no key `evry` here", file="checks.yaml", line=22, column=5)
    await pipeline.rejected(after, memory.world, [problem])
    (event,) = memory.bus.of("Plan Rejected")
    assert (event["problems"][0]["line"], event["plan"]) == (22, after.digest)


async def test_budgets_are_kept_and_told(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"], "slo": "99% over 7d"}})
    shop.answer = lambda path, headers: (503 if 60 <= len(shop.seen) < 100 else 200, "")
    (first, *rest) = due(made, "here", None, START, START + 120 * 60)
    for one in (first, *rest):
        memory.clock.at = one.at + 1
        await pipeline.settle(made, memory.world, await pipeline.execute(made, memory.world, [one]))
        await pipeline.tick(made, memory.world)
    left = memory.metrics.of("ErrorBudgetRemaining")
    assert left[0] == 100.0
    assert left[-1] == pytest.approx(100 * (1 - 40 / 100.8), abs=5)
    burning = memory.bus.of("Error Budget Burning")
    assert [event["window"] for event in burning] == ["1h"]
    assert burning[0]["slo"] == "99% over 7d"
    assert (await view.check(made, memory.world, "quote")).budget == left[-1]


async def test_the_fleet_is_seen(shop: Any) -> None:
    memory = Memory()
    made = plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"]}, "off": {"tcp": "127.0.0.1:1", "paused": True}})
    for minute in range(4):
        memory.clock.at = START + 60 * minute
        shop.answer = lambda path, headers: (503 if len(shop.seen) >= 3 else 200, "")
        await pipeline.settle(made, memory.world, await pipeline.execute(made, memory.world, [run(at=memory.clock.at)]))
    await pipeline.tick(made, memory.world)
    quote, off = await view.fleet(made, memory.world)
    assert (quote.status, quote.outcomes, off.status, off.incident) == (
        "down",
        ("passed", "passed", "failed", "failed"),
        "paused",
        None,
    )
    assert (quote.availability, quote.since, quote.muted, quote.budget) == (50.0, START + 180, None, None)
    assert quote.latency_ms is not None
    (place,) = quote.locations
    assert (place.location, place.status, place.since) == ("here", "down", START + 180)
    assert place.last is not None
    assert place.last["outcome"] == "failed"
    assert quote.target == f"GET {shop.url}/q"
    assert quote.incident is not None
    (seen,) = await view.incidents(made, memory.world)
    assert seen == quote.incident
    assert [alert["outcome"] for alert in seen.alerts] == ["owed"]
    kinds_seen = {event["detail-type"] for event in await view.events(memory.world, 0)}
    assert kinds_seen == {"Location Status Changed", "Check Status Changed", "Incident Opened"}
    assert len(await view.history(memory.world, "quote", 0, 2)) == 2
    with pytest.raises(KeyError):
        await view.check(made, memory.world, "nothing")


async def test_incidents_of_the_past_are_read_from_their_events(shop: Any) -> None:
    memory, made = Memory(), plan({"quote": {"http": f"GET {shop.url}/q", "must": ["status == 200"]}})
    for minute, status in enumerate([200, 503, 503, 503, 200, 200, 200, 503, 503]):
        memory.clock.at = START + 60 * minute
        shop.answer = lambda path, headers, status=status: (status, "")
        await pipeline.settle(made, memory.world, await pipeline.execute(made, memory.world, [run(at=memory.clock.at)]))
        if minute == 3:
            await pipeline.acknowledge(made, memory.world, "quote", "ada")
    await pipeline.tick(made, memory.world)
    new, old = await view.incidents(made, memory.world)
    assert (new.status, old.status, old.acknowledged_by, old.because) == (
        "open",
        "resolved",
        "ada",
        "status == 200 (status was 503)",
    )
    assert (old.opened_at, old.resolved_at) == (START + 120, START + 300)
    assert [one.id for one in await view.incidents(made, memory.world, open_only=True)] == [new.id]
    assert [one.id for one in await view.incidents(made, memory.world, since=START + 301)] == [new.id]
