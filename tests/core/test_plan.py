"""Plan: content address, slots by hash, and which runs are due when."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from probes.core.check import Check, Confirm, Objective, Retries
from probes.core.plan import HERE, Channel, Plan, digest, due, offset, phase, scheduled, slot, slots
from probes.core.route import Escalate, Maintenance, Route, Weekly


def a_check(id: str = "quote", every: float = 60.0, **more: object) -> Check:
    return Check(
        id=id,
        name=id,
        kind="http",
        target={"method": "GET", "url": "https://a.example"},
        must=("status == 200",),
        should=(),
        every=every,
        timeout=10.0,
        retries=Retries(),
        locations=("dublin",),
        confirm=Confirm(),
        **more,  # type: ignore[arg-type]  # keyword arguments of Check
    )


def a_plan(*checks: Check) -> Plan:
    plan = Plan(
        service="shop",
        digest="",
        checks={check.id: check for check in checks},
        locations={"dublin": "aws:eu-west-1"},
        secrets={"TOKEN": "env:TOKEN"},
        channels={"console": Channel("console", {})},
        routes=(Route(('severity == "critical"',), ("console",), ("group",), 30.0, 3600.0, Escalate(900.0, ("console",))),),
        maintenance=(Maintenance("weekly", (), Weekly(("tue",), "02:00", "Europe/Dublin"), None, 7200.0),),
        self_check={"dublin": ("1.1.1.1:53", "a.example:443")},
        of=slots(len(checks)),
    )
    return replace(plan, digest=digest(plan))


def test_a_plan_survives_json():
    plan = a_plan(a_check(tags=("tier-1",), slo=Objective(99.9, 86400.0), depends_on=("other",)), a_check("other"))
    again = Plan.parse(json.loads(json.dumps(plan.document())))
    assert again == plan
    assert digest(again) == plan.digest


def test_the_digest_is_of_the_content():
    plan = a_plan(a_check())
    assert digest(a_plan(a_check())) == plan.digest
    assert digest(a_plan(a_check(every=120.0))) != plan.digest
    assert digest(a_plan(a_check(), a_check("other"))) != plan.digest


def test_adding_a_check_moves_no_other_one():
    names = [f"check-{number}" for number in range(200)]
    before = {name: slot(name, 8) for name in names}
    assert before == {name: slot(name, 8) for name in [*names, "new"] if name != "new"}
    assert len(set(before.values())) == 8


def test_slots_are_a_power_of_two_with_about_fifty_checks_each():
    assert [slots(count) for count in (0, 1, 50, 51, 100, 101, 1000, 10_000)] == [1, 1, 1, 2, 2, 4, 32, 64]


@given(
    every=st.one_of(st.integers(1, 59), st.integers(1, 1440).map(lambda minutes: minutes * 60)),
    start=st.integers(0, 2_000_000_000),
    length=st.integers(1, 7200),
    cut=st.integers(0, 7200),
)
def test_due_is_the_same_however_time_is_cut(every, start, length, cut):
    plan = a_plan(a_check(every=float(every)))
    middle = start + min(cut, length)
    whole = due(plan, "dublin", None, start, start + length)
    assert whole == due(plan, "dublin", None, start, middle) + due(plan, "dublin", None, middle, start + length)
    assert abs(len(whole) - length / every) <= 1
    assert all((run.at - phase(plan.checks["quote"])) % every == 0 for run in whole)


def test_each_slot_run_is_due_in_exactly_one_slot():
    checks = [a_check(f"check-{number}") for number in range(150)]
    plan = a_plan(*checks)
    parts = [due(plan, "dublin", number, 600, 660) for number in range(plan.of)]
    assert sorted(run.check for part in parts for run in part) == sorted(check.id for check in checks)


def test_a_laptop_takes_every_check_a_location_its_own():
    plan = a_plan(a_check(), a_check("far", paused=True))
    assert [run.check for run in due(plan, HERE, None, 0, 60)] == ["quote"]
    assert due(plan, "sydney", None, 0, 60) == []


def test_whole_minute_checks_are_scheduled_on_the_minute_and_started_spread_over_it():
    checks = [a_check(f"check-{number}") for number in range(300)]
    assert all(phase(check) % 60 == 0 for check in checks)
    offsets = [offset(check) for check in checks]
    assert min(offsets) < 5 < 50 < max(offsets) < 55


def test_the_latest_scheduled_time_is_not_after_now():
    check = a_check(every=300.0)
    at = scheduled(check, 1_770_091_512.5)
    assert at <= 1_770_091_512.5 < at + 300
