"""The alert path under simulated faults, and the proof that the simulator sees.

More histories: ``make simulate``. One again: ``python -m tests.simulation --seed N``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from tests.simulation.bugs import BUGS, SAMPLE, Bug
from tests.simulation.history import play
from tests.simulation.oracle import fold
from tests.simulation.scheduler import Crash, Gather, Scheduler, Wait
from tests.simulation.search import check, trace

HISTORIES = int(os.environ.get("PROBES_HISTORIES", "300"))
PARTS = 4
SEEDS = 1000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the pipeline logs about planned trouble."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_keeps_the_promises(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        if check(seed):
            pytest.fail(trace(seed))


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in SAMPLE], ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with bug.planted():
        assert any(check(seed) for seed in range(60)), f"{bug.name}: not found"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name not in SAMPLE], ids=lambda bug: bug.name)
def test_every_planted_bug_is_found_within_a_thousand_seeds(bug: Bug) -> None:
    with bug.planted():
        assert any(check(seed) for seed in range(SEEDS)), f"{bug.name}: not found in {SEEDS} seeds"


def test_there_are_bugs_enough_and_they_leave_no_trace() -> None:
    assert len(BUGS) >= 15
    assert {bug.name for bug in BUGS} >= set(SAMPLE)
    for bug in BUGS:
        with bug.planted():
            pass
    assert check(0) == []


def test_a_seed_replays_to_the_letter() -> None:
    first, again = play(7), play(7)
    assert first.ports.struck == again.ports.struck
    assert first.ports.struck
    assert first.ports.documents == again.ports.documents
    assert [(one.at, one.alert) for one in first.ports.messages] == [(one.at, one.alert) for one in again.ports.messages]


def test_a_violation_is_told_with_its_seed_and_what_it_takes() -> None:
    bug = next(bug for bug in BUGS if bug.name == "marked before it is sent")
    with bug.planted():
        seed = next(seed for seed in range(60) if check(seed))
        told = trace(seed)
    assert told.startswith(f"seed {seed}, 200 steps: ")
    assert len([line for line in told.splitlines() if "fault: " in line]) <= 3


def test_a_fault_that_is_left_out_does_not_happen() -> None:
    names = [name for _, name in play(7).ports.struck]
    left = [name for _, name in play(7, skip=frozenset(names[:1])).ports.struck]
    assert names[0] not in left


@pytest.mark.parametrize(
    ("letters", "status"),
    [
        ("", "unknown"),
        ("P", "up"),
        ("PF", "up"),
        ("PFF", "down"),
        ("PFPF", "down"),
        ("PFPPF", "up"),
        ("PFFP", "down"),
        ("PFFPP", "up"),
        ("PFFPE", "down"),
        ("PDD", "degraded"),
        ("EEE", "unknown"),
    ],
)
def test_the_model_of_the_oracle(letters: str, status: str) -> None:
    assert fold(2, 3, 2, letters) == status


def test_the_scheduler_runs_in_the_order_of_virtual_time() -> None:
    said: list[tuple[float, str]] = []
    scheduler = Scheduler(0, 0.0)

    async def worker(name: str, *waits: float) -> str:
        for wait in waits:
            await Wait(wait)
            said.append((scheduler.now, name))
        return name

    async def both() -> None:
        names = await Gather((worker("a", 2.0, 2.0), worker("b", 3.0)), quiet=False)
        said.append((scheduler.now, "+".join(names)))

    scheduler.start("root", both())
    scheduler.run(10.0)
    assert said == [(2.0, "a"), (3.0, "b"), (4.0, "a"), (4.0, "a+b")]


def test_a_crash_ends_all_of_its_root_and_nothing_else() -> None:
    said: list[str] = []
    ended: list[BaseException | None] = []
    scheduler = Scheduler(0, 0.0)

    async def dies() -> None:
        await Wait(1.0)
        raise Crash

    async def lives(name: str) -> None:
        await Wait(2.0)
        said.append(name)

    async def both() -> None:
        await Gather((dies(), lives("its sibling")), quiet=True)

    scheduler.start("one", both(), ended.append)
    scheduler.start("two", lives("another"))
    scheduler.run(10.0)
    assert said == ["another"]
    assert [type(error) for error in ended] == [Crash]
