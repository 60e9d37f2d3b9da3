"""The last day in a few numbers, against the runs themselves."""

import random

import pytest

from probes.core.summary import DAY, HOUR, Summary

NOW = 1_770_091_500.0 // DAY * DAY + 12 * HOUR


def test_nothing_is_none() -> None:
    assert (Summary().availability(NOW), Summary().latency(NOW)) == (None, None)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_runs(seed: int) -> None:
    chance = random.Random(seed)
    runs = [(NOW - DAY * 2 + 60 * n, chance.random() < 0.9, chance.lognormvariate(4, 1)) for n in range(2 * 1440)]
    summary = Summary()
    for at, good, latency in runs:
        summary = summary.add(at, good, latency)
    day = [run for run in runs if run[0] >= NOW - DAY]
    assert summary.availability(NOW) == pytest.approx(100 * sum(good for _, good, _ in day) / len(day), abs=0.2)
    exact = sorted(latency for at, _, latency in runs if at >= NOW - DAY)[int(0.95 * len(day))]
    assert summary.latency(NOW) == pytest.approx(exact, rel=0.12)
    assert len(summary.hours) <= 25
    assert sum(len(bins) for bins in summary.shifts.values()) < 400
    assert Summary.parse(summary.document()) == summary


def test_what_is_a_day_old_falls_out() -> None:
    summary = Summary().add(NOW, False, 10.0).add(NOW + 2 * DAY, True, None)
    assert summary.availability(NOW + 2 * DAY) == 100.0
    assert summary.latency(NOW + 2 * DAY) is None
    assert Summary().add(NOW, True, 0.0).latency(NOW) is not None
