"""Metrics: one table; trouble of ours and maintenance say nothing about the target."""

from dataclasses import replace
from typing import Any

import pytest

from probes.core.check import Check, Confirm, Retries
from probes.core.metrics import LEVELS, METRICS, Sample, sample, samples

CHECK = Check("quote", "quote", "http", {}, (), (), 60.0, 10.0, Retries(), ("dublin",), Confirm())
AT = 1_770_091_500.0


def document(**changes: Any) -> dict[str, Any]:
    passed = {
        "check": "quote",
        "location": "dublin",
        "at": "2026-02-03T04:05:00Z",
        "outcome": "passed",
        "latency_ms": 124.2,
        "phases_ms": {"wait": 75.0, "receive": 2.0},
        "facts": {"status": 200},
    }
    return {**passed, **changes}


def values(check: Check = CHECK, **changes: Any) -> dict[str, float]:
    return {one.name: one.value for one in samples(check, document(**changes))}


def test_a_passed_run() -> None:
    where = {"Check": "quote", "Location": "dublin"}
    assert samples(CHECK, document()) == [
        Sample("Availability", "Percent", 100.0, where, AT),
        Sample("Latency", "Milliseconds", 124.2, where, AT),
    ]


@pytest.mark.parametrize(("outcome", "value"), [("passed", 100.0), ("degraded", 100.0), ("failed", 0.0)])
def test_availability_is_the_sli(outcome: str, value: float) -> None:
    assert values(outcome=outcome)["Availability"] == value


@pytest.mark.parametrize("changes", [{"outcome": "errored"}, {"outcome": "skipped"}, {"outcome": "failed", "muted": "release"}])
def test_what_says_nothing_about_the_target_gives_no_sample(changes: dict[str, str]) -> None:
    assert values(**changes) == {}


def test_a_run_that_saw_nothing_has_no_latency() -> None:
    assert values(outcome="failed", latency_ms=None) == {"Availability": 0.0}


def test_the_level_decides_what_is_recorded() -> None:
    def names(level: str) -> list[str]:
        return [
            one.name for one in samples(replace(CHECK, metrics={"level": level, "by": ["check"]}), document(outcome="degraded"))
        ]

    assert names("none") == []
    assert names("lean") == ["Availability"]
    assert names("standard") == ["Availability", "Latency"]
    assert names("full") == ["Availability", "Latency", "Degraded", "PhaseTime", "PhaseTime"]


def test_dimensions_can_be_left_out() -> None:
    check = replace(CHECK, metrics={"level": "standard", "by": ["check"]})
    assert {tuple(one.dimensions) for one in samples(check, document())} == {("Check",)}


def test_certificates_count_their_days() -> None:
    tls = replace(CHECK, kind="tls")
    assert values(tls, facts={"expires_in_ms": 14 * 86_400_000.0})["ExpiresIn"] == 14.0
    assert "ExpiresIn" not in values(CHECK, facts={"expires_in_ms": 14 * 86_400_000.0})


@pytest.mark.parametrize("name", METRICS)
def test_every_row_makes_a_sample(name: str) -> None:
    row = METRICS[name]
    made = sample(name, 1, AT, check="c", location="l", phase="p", window="1h", channel="x")
    assert tuple(made.dimensions) == row.dimensions
    assert (made.unit, made.value) == (row.unit, 1.0)
    assert row.doc
    assert row.level in LEVELS
    assert len(METRICS) == 12
