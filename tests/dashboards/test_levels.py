"""Dashboards generated from a plan: every panel asks for what is emitted and is about checks that exist."""

import pytest

from probes import dashboards
from probes.core.check import Check, Confirm, Objective, Retries
from probes.core.metrics import METRICS
from probes.core.plan import Plan
from probes.dashboards import Dashboard, Panel, Series
from probes.dashboards.levels import UNGROUPED, groups


def a_check(key: str, **more: object) -> Check:
    base: dict[str, object] = {
        "name": key.title(), "kind": "http", "target": {}, "must": (), "should": (), "every": 60.0, "timeout": 10.0,
        "retries": Retries(), "locations": ("here",), "confirm": Confirm(),
    }  # fmt: skip
    return Check(id=key, **{**base, **more})  # type: ignore[arg-type]  # a table of keyword arguments


def a_plan(*checks: Check) -> Plan:
    return Plan("shop", "d" * 12, {c.id: c for c in checks}, {"here": "local"}, {}, {}, (), (), {}, 1)


PLAN = a_plan(
    a_check("alone"),
    a_check("quote", group="checkout", slo=Objective(99.9, 30 * 86400)),
    a_check("cert", kind="tls", group="edge"),
    a_check("nightly", kind="heartbeat", passive=True, group="checkout"),
)


def every(plan: Plan) -> list[Dashboard]:
    return [
        dashboards.fleet(plan),
        *(dashboards.group(plan, name) for name in groups(plan)),
        *(dashboards.check(plan, key) for key in plan.checks),
    ]


def test_every_level_of_every_check_and_group_stands() -> None:
    assert [board.level for board in every(PLAN)] == ["fleet"] + ["group"] * 3 + ["check"] * 4
    for board in every(PLAN):
        for panel in board.panels:
            assert set(panel.checks) <= set(PLAN.checks)
            assert all(series.where.get("Check", "quote") in PLAN.checks for series in panel.series)
            assert board.panel(panel.id) is panel


def test_groups_keep_the_order_of_the_plan_and_the_rest_is_last() -> None:
    assert groups(PLAN) == {"checkout": ("quote", "nightly"), "edge": ("cert",), UNGROUPED: ("alone",)}


def test_a_check_shows_what_it_has() -> None:
    quote, cert, nightly = (dashboards.check(PLAN, key) for key in ("quote", "cert", "nightly"))
    assert quote.panel("budget").series == (Series("ErrorBudgetRemaining", "latest", {"Check": "quote"}),)
    assert quote.panel("availability").goal == 99.9
    assert cert.panel("expires").unit == "None"
    assert {panel.id for panel in nightly.panels} == {"availability", "states", "incidents", "failures"}
    with pytest.raises(KeyError):
        quote.panel("expires")


def test_unknown_names_are_key_errors() -> None:
    with pytest.raises(KeyError):
        dashboards.check(PLAN, "qoute")
    with pytest.raises(KeyError):
        dashboards.group(PLAN, "nowhere")


def test_a_group_of_heartbeats_draws_no_latency() -> None:
    plan = a_plan(a_check("job", kind="heartbeat", passive=True, group="jobs"))
    assert "latency" not in {panel.id for panel in dashboards.group(plan, "jobs").panels}


def test_an_empty_plan_has_an_empty_fleet() -> None:
    assert dashboards.fleet(a_plan()).panel("checks").checks == ()


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_taken_apart_by_its_own_dimensions_only(metric: str) -> None:
    for dimension in METRICS[metric].dimensions:
        assert Series(metric, "average", by=dimension).unit == METRICS[metric].unit
    with pytest.raises(ValueError, match="no dimension 'Colour'"):
        Series(metric, "average", by="Colour")
    with pytest.raises(ValueError, match="no dimension 'Colour'"):
        Series(metric, "average", {"Colour": "red"})


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric 'Uptime'"):
        Series("Uptime", "average")
    with pytest.raises(ValueError, match="needs series"):
        Panel("p", "line", "P")
    with pytest.raises(ValueError, match="has no series"):
        Panel("p", "matrix", "P", (Series("Latency", "p95"),))
    with pytest.raises(ValueError, match="mixes units"):
        Panel("p", "line", "P", (Series("Latency", "p95"), Series("Availability", "average")))
    with pytest.raises(ValueError, match="two panels"):
        Dashboard("fleet", "", "x", (Panel("p", "matrix", "P"), Panel("p", "matrix", "Q")))
