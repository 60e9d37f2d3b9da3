"""The schedule on a virtual clock: grid, catch-up, overlap, jumps of time, changes of the plan."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.core.check import Check, Confirm, Retries
from probes.core.plan import Plan, offset, phase, scheduled
from probes.core.result import Run
from probes.local.clock import Clock
from probes.local.schedule import IN_FLIGHT, RATE, STALE, Schedule
from tests.local.virtual import VirtualLoop


def check(id_: str, every: float = 60.0, **more: Any) -> Check:
    fixed: dict[str, Any] = {"kind": "tcp", "target": {}, "must": (), "should": (), "timeout": 5.0, "retries": Retries()}
    return Check(**{"id": id_, "name": id_, "every": every, "locations": ("here",), "confirm": Confirm(), **fixed, **more})


def plan(*checks: Check) -> Plan:
    return Plan("shop", "", {c.id: c for c in checks}, {"here": "local"}, {}, {}, (), (), {}, 1)


class Story:
    """A schedule on its own loop; ``seen`` holds (start relative to the beginning, run) of every look."""

    def __init__(self, look: Callable[[Run], Awaitable[None]] | None = None) -> None:
        self.loop = VirtualLoop()
        self.clock = Clock(self.loop.now, self.loop.time)
        self.begin = self.loop.now()
        self.seen: list[tuple[float, Run]] = []
        self.gaps: list[tuple[float, float]] = []
        self._inner = look
        self.schedule = Schedule(self._look, self.clock, gap=lambda a, b: self.gaps.append((a, b)))

    async def _look(self, run: Run) -> None:
        self.seen.append((self.clock() - self.begin, run))
        if self._inner:
            await self._inner(run)

    def play(self, tell: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            task = asyncio.create_task(self.schedule.run())
            await tell()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.loop.play(whole())


def test_a_check_is_seen_at_once_and_then_at_its_scheduled_times_plus_its_offset() -> None:
    story = Story()
    one = check("quote")

    async def tell() -> None:
        story.schedule.set(plan(one))
        await asyncio.sleep(600)

    story.play(tell)
    first, *rest = story.seen
    assert first[0] == pytest.approx(0, abs=0.01)
    assert {run.location for _, run in story.seen} == {"here"}
    assert len(rest) == 10
    for started, run in rest:
        assert run.at == scheduled(one, run.at), "on the grid"
        assert started == pytest.approx(run.at - story.begin + offset(one), abs=0.01)
    assert len({run.id for _, run in story.seen}) == 11


@pytest.mark.parametrize("every", [1.0, 2.0, 7.0, 10.0, 60.0, 300.0])
def test_every_slot_of_every_period_is_run_once(every: float) -> None:
    story = Story()
    checks = [check(f"check-{n}", every) for n in range(5)]

    async def tell() -> None:
        story.schedule.set(plan(*checks))
        await asyncio.sleep(every * 20)

    story.play(tell)
    for one in checks:
        times = [run.at for _, run in story.seen if run.check == one.id][1:]
        assert 19 <= len(times) <= 21
        assert [b - a for a, b in pairwise(times)] == [every] * (len(times) - 1)
        assert (times[0] - phase(one)) % every == 0
    assert story.schedule.count.missed == 0


def test_a_thousand_checks_start_spread_out() -> None:
    story = Story()

    async def tell() -> None:
        story.schedule.set(plan(*(check(f"check-{n}") for n in range(1000))))
        await asyncio.sleep(11)

    story.play(tell)
    per_second = Counter(int(started) for started, _ in story.seen)
    assert len({run.check for _, run in story.seen}) == 1000
    assert max(per_second.values()) <= RATE + 40, "first looks, and the few on their grid"


def test_a_check_with_a_recent_run_waits_for_its_next_time() -> None:
    story = Story()
    one, two = check("recent"), check("older")

    async def tell() -> None:
        story.schedule.set(plan(one, two), {"recent": story.begin - 5, "older": story.begin - 500})
        await asyncio.sleep(0.5)

    story.play(tell)
    assert [run.check for _, run in story.seen] == ["older"]


def test_a_first_look_long_after_its_time_is_dated_when_it_happens() -> None:
    story = Story()
    daily = check("daily", every=86400.0)

    async def tell() -> None:
        story.schedule.set(plan(daily))
        await asyncio.sleep(0.5 * 86400)

    story.play(tell)
    assert story.begin - scheduled(daily, story.begin) > STALE, "otherwise this test shows nothing"
    assert story.seen[0][1].at == story.begin // 1
    assert [run.at for _, run in story.seen[1:]] == [scheduled(daily, run.at) for _, run in story.seen[1:]]
    assert len(story.seen) == 2


def test_a_run_never_overlaps_with_its_own_previous_one_and_the_miss_is_counted() -> None:
    async def slow(run: Run) -> None:
        await asyncio.sleep(25)

    story = Story(slow)

    async def tell() -> None:
        story.schedule.set(plan(check("slow", every=10.0)))
        await asyncio.sleep(95)

    story.play(tell)
    starts = [started for started, _ in story.seen]
    assert all(b - a >= 25 for a, b in pairwise(starts))
    count = story.schedule.take()
    assert count.missed == count.due - len(story.seen) > 0
    assert story.schedule.take().due == 0


def test_concurrency_is_bounded_and_lateness_is_told() -> None:
    most = now_running = 0

    async def slow(run: Run) -> None:
        nonlocal most, now_running
        now_running += 1
        most = max(most, now_running)
        await asyncio.sleep(30)
        now_running -= 1

    story = Story(slow)

    async def tell() -> None:
        story.schedule.set(plan(*(check(f"check-{n}", every=3600.0) for n in range(IN_FLIGHT * 2))))
        await asyncio.sleep(70)

    story.play(tell)
    assert most == IN_FLIGHT
    assert len(story.seen) >= IN_FLIGHT * 2
    assert story.schedule.count.lateness > 20


def test_a_failing_look_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(run: Run) -> None:
        raise RuntimeError("a defect of ours")

    story = Story(broken)

    async def tell() -> None:
        story.schedule.set(plan(check("quote", every=10.0)))
        await asyncio.sleep(35)

    story.play(tell)
    assert len(story.seen) == 4
    assert "a defect of ours" in caplog.text


@pytest.mark.parametrize("jump", [90.0, 3600.0, 8 * 3600.0])
def test_after_sleep_or_a_clock_set_forward_there_is_one_gap_and_one_run_per_check(jump: float) -> None:
    story = Story()
    checks = [check(f"check-{n}") for n in range(20)]

    async def tell() -> None:
        story.schedule.set(plan(*checks))
        await asyncio.sleep(100)
        story.loop.epoch += jump
        await asyncio.sleep(300)

    story.play(tell)
    assert len(story.gaps) == 1
    start, end = story.gaps[0]
    assert end - start == pytest.approx(jump, abs=2)
    for one in checks:
        runs = [(started, run) for started, run in story.seen if run.check == one.id]
        inside = [run for _, run in runs if start < run.at <= end - STALE - 1]
        assert inside == [], "nobody looked while time stood still"
        catch_up = [run for started, run in runs if started - (end - story.begin) < 2 and started >= end - story.begin]
        assert len(catch_up) <= 2, "the one that was missed, and at most the one that is due by itself"
        after = [started for started, _ in runs if started >= end - story.begin]
        assert after[0] < end - story.begin + 60
        assert 5 <= len(after) <= 6


def test_a_clock_set_back_stops_nothing_and_repeats_nothing() -> None:
    story = Story()
    one = check("quote", every=10.0)

    async def tell() -> None:
        story.schedule.set(plan(one))
        await asyncio.sleep(100)
        story.loop.epoch -= 3600
        await asyncio.sleep(1000)

    story.play(tell)
    ats = [run.at for _, run in story.seen]
    assert ats == sorted(set(ats))
    assert all(b - a == 10 for a, b in pairwise(ats))
    assert 98 <= len(ats) <= 103, "at nine tenths of the pace"
    assert story.gaps == []


def test_the_clock_comes_back_to_the_systems() -> None:
    loop = VirtualLoop()
    clock = Clock(loop.now, loop.time)
    before = clock()
    loop.epoch -= 60
    values = []
    for _ in range(1000):
        loop.clock += 1
        values.append(clock())
    loop.close()
    assert values == sorted(values)
    assert before < values[0]
    assert values[-1] == loop.now()


def test_a_change_of_the_plan_keeps_what_did_not_change() -> None:
    story = Story()
    same, changed, gone, new = check("same"), check("changed"), check("gone"), check("new")

    async def tell() -> None:
        story.schedule.set(plan(same, changed, gone))
        await asyncio.sleep(150)
        story.schedule.set(plan(same, replace(changed, timeout=7.0), new, check("asleep", paused=True)))
        await asyncio.sleep(200)

    story.play(tell)
    ats = [run.at for _, run in story.seen if run.check == "same"][1:]
    assert [b - a for a, b in pairwise(ats)] == [60.0] * (len(ats) - 1)
    after = [(started, run.check) for started, run in story.seen if started >= 150]
    assert {name for started, name in after if started < 151} >= {"changed", "new"}
    assert {name for _, name in after} == {"same", "changed", "new"}
    assert len({run.id for _, run in story.seen}) == len(story.seen)


def test_stopping_cancels_what_is_in_flight_and_waits_for_it() -> None:
    ended: list[str] = []

    async def hanging(run: Run) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(run.check)

    story = Story(hanging)

    async def tell() -> None:
        story.schedule.set(plan(*(check(f"check-{n}") for n in range(100))))
        await asyncio.sleep(5)
        assert story.schedule.in_flight == 100

    story.play(tell)
    assert len(ended) == 100
    assert story.schedule.in_flight == 0


moves = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 200)),
    st.tuples(st.just("jump"), st.floats(-7200, 7200)),
    st.tuples(st.just("edit"), st.floats(0.1, 4.9)),
)


@settings(max_examples=60, deadline=None)
@given(
    every=st.sampled_from([1.0, 2.0, 7.0, 10.0, 60.0, 120.0, 300.0]),
    slow=st.floats(0, 15),
    moves=st.lists(moves, min_size=1, max_size=8),
)
def test_whatever_time_and_people_do_runs_of_a_check_are_in_order_once_and_never_abreast(
    every: float, slow: float, moves: list[tuple[str, float]]
) -> None:
    ends: list[float] = []

    async def look(run: Run) -> None:
        await asyncio.sleep(slow)
        ends.append(story.loop.time())

    story = Story(look)
    seen_before = 0

    async def tell() -> None:
        nonlocal seen_before
        story.schedule.set(plan(check("quote", every)))
        for move, size in moves:
            if move == "wait":
                await asyncio.sleep(size)
            elif move == "jump":
                story.loop.epoch += size
            else:
                story.schedule.set(plan(check("quote", every, timeout=size)))
        seen_before = len(story.seen)
        await asyncio.sleep(3 * every + 60 + slow)

    story.play(tell)
    ats = [run.at for _, run in story.seen]
    assert ats == sorted(set(ats)), "in order, none twice"
    starts = [started + story.begin for started, _ in story.seen]
    assert all(0 <= started - at <= STALE + 1 for started, at in zip(starts, ats, strict=True)), (
        "never ahead, never long after its time"
    )
    assert len(story.seen) > seen_before, "and it goes on"
    assert len(ends) <= len(story.seen) <= len(ends) + 1
