"""Numbers and pictures: words of amounts, sparklines, states without holes, lines of a panel."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import dashboards
from probes.core.check import Check, Confirm, Retries
from probes.core.plan import Plan
from probes.core.units import iso
from probes.dashboards import Panel, Series
from probes.local.web import draw, series
from probes.local.web.evidence import shown, shown_target
from probes.local.web.states import State, states
from probes.local.web.words import ago, lasting, milliseconds, percent, pretty

CHECK = Check("quote", "Quote", "http", {}, (), (), 60.0, 10.0, Retries(), ("here", "there"), Confirm())
NOW = 1_770_091_500.0


@given(st.floats(0, 100))
def test_a_percentage_is_never_rounded_up(value: float) -> None:
    said = float(percent(value).rstrip("%"))
    assert said <= value + 1e-6
    assert (said == 100) is (value >= 100 - 1e-9) or value > 99.99999


@pytest.mark.parametrize(
    ("value", "said"), [(100, "100%"), (99.9996, "99.999%"), (99.95, "99.95%"), (97.31, "97.3%"), (0, "0%"), (None, "\u2013")]
)
def test_percentages(value: float | None, said: str) -> None:
    assert percent(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.42, "0.42 ms"),
        (4.25, "4.2 ms"),
        (124.4, "124 ms"),
        (999.4, "999 ms"),
        (1310, "1.3 s"),
        (61_000, "1m 1s"),
        (None, "\u2013"),
    ],
)
def test_latencies(value: float | None, said: str) -> None:
    assert milliseconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0s"), (59.6, "1m"), (200, "3m 20s"), (7500, "2h 5m"), (86400 * 6 + 3 * 3600 + 59, "6d 3h"), (-5, "0s")]
)
def test_spans(value: float, said: str) -> None:
    assert lasting(value) == said


def test_ages() -> None:
    assert [ago(at, NOW) for at in (NOW, NOW - 200, NOW + 300, None)] == ["just now", "3m 20s ago", "in 5m", "never"]


@given(st.text())
def test_what_is_shown_raw_has_no_character_that_acts(text: str) -> None:
    out = str(pretty(text))
    assert "<" not in out
    assert all(character == "\n" or character.isprintable() for character in out)


OUTCOMES = st.sampled_from(("passed", "degraded", "failed", "errored", "skipped", "of the future"))


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 1e7)), OUTCOMES), max_size=90))
def test_a_sparkline_stands_whatever_it_is_given(runs: list[tuple[float | None, str]]) -> None:
    tree = ElementTree.fromstring(str(draw.spark([latency for latency, _ in runs], [outcome for _, outcome in runs])))
    drawn = {path.get("class"): path.get("d", "") for path in tree.iter("path")}
    newest = [outcome for _, outcome in runs][-60:]
    assert ("f" in drawn) is ("failed" in newest)
    assert drawn.get("f", "").count("M") == 2 * newest.count("failed"), "a failed run is a broken bar: not by colour alone"
    assert tree.get("aria-label") == "no runs yet" if not runs else str(tree.get("aria-label")).startswith("last ")


def event(at: float, before: str, after: str, location: str = "here", check: str = "quote") -> dict[str, Any]:
    detail = {"at": iso(at), "check": check, "location": location, "before": before, "after": after, "because": "x"}
    return {"detail-type": "Location Status Changed", "detail": detail}


def told(found: list[State]) -> list[tuple[str, float, float]]:
    return [(state.status, NOW - state.start, NOW - state.end) for state in found]


def test_states_follow_the_changes() -> None:
    runs = [NOW - 60 * minute for minute in range(60, 0, -1)]
    changes = [
        event(NOW - 600, "down", "up"),
        event(NOW - 1200, "up", "down"),
        event(NOW - 900, "up", "down", "there"),
        event(NOW - 900, "up", "down", check="other"),
    ]
    found = states(CHECK, "here", "up", events=changes, runs=runs, start=NOW - 3600, end=NOW)
    assert told(found) == [("up", 3600, 1200), ("down", 1200, 600), ("up", 600, 0)]


def test_a_gap_in_the_runs_is_not_known() -> None:
    runs = [NOW - 60 * minute for minute in range(60, 0, -1) if not 20 <= minute < 40]
    found = states(CHECK, "here", "up", events=[], runs=runs, start=NOW - 3600, end=NOW)
    assert [state.status for state in found] == ["up", "unknown", "up"]
    assert (found[1].start, found[1].end) == (NOW - 39 * 60, NOW - 19 * 60)
    late = states(CHECK, "here", "up", events=[], runs=runs[:10], start=NOW - 3600, end=NOW)
    assert late[-1].status == "unknown", "the runs stopped: it is not up"
    assert [state.status for state in states(CHECK, "here", "up", events=[], runs=[], start=NOW - 3600, end=NOW)] == ["none"]
    first = states(CHECK, "here", "up", events=[], runs=[NOW - 60], start=NOW - 3600, end=NOW)
    assert [state.status for state in first] == ["none", "up"]


STATUS = st.sampled_from(("up", "degraded", "down", "unknown"))


@given(st.lists(st.tuples(st.integers(0, 3600), STATUS, STATUS), max_size=12), st.sets(st.integers(0, 3599), max_size=40), STATUS)
def test_states_cover_all_of_the_time_once(changes: list[tuple[int, str, str]], runs: set[int], now_is: str) -> None:
    events = [event(NOW - back, before, after) for back, before, after in changes]
    found = states(CHECK, "here", now_is, events=events, runs=sorted(NOW - back for back in runs), start=NOW - 3600, end=NOW)
    assert found[0].start == NOW - 3600
    assert found[-1].end == NOW
    assert all(one.end == two.start for one, two in pairwise(found))
    assert all(state.end > state.start for state in found)
    ElementTree.fromstring(str(draw.band(found, NOW - 3600, NOW, "<here> \u202e")))


def run(at: float, latency: float | None, outcome: str = "passed", location: str = "here") -> dict[str, Any]:
    return {
        "run": f"quote@{location}/{iso(at)}",
        "check": "quote",
        "at": iso(at),
        "location": location,
        "outcome": outcome,
        "because": "",
        "latency_ms": latency,
        "phases_ms": {"wait": latency or 0.0, "receive": 1.0},
        "facts": {},
        "fault": None,
    }


PLAN = Plan("shop", "d" * 12, {"quote": CHECK}, {"here": "local"}, {}, {}, (), (), {}, 1)
LATENCY = dashboards.check(PLAN, "quote").panel("latency")


def test_few_runs_are_drawn_one_by_one_and_a_gap_breaks_the_line() -> None:
    runs = [run(NOW - 60 * minute, 100.0 + minute, location=place) for minute in (9, 8, 7, 2, 1) for place in ("here", "there")]
    drawing = series.draw(LATENCY, CHECK, series.measured(CHECK, runs), NOW - 3600, NOW)
    assert drawing.step is None
    assert [line.name for line in drawing.lines] == ["here", "there"]
    assert [value for _, value in drawing.lines[0].points] == [109.0, 108.0, 107.0, None, 102.0, 101.0]


def test_many_runs_are_drawn_as_percentiles() -> None:
    runs = [run(NOW - minute * 60, float(minute % 10 + 1)) for minute in range(1440, 0, -1)]
    drawing = series.draw(LATENCY, CHECK, series.measured(CHECK, runs), NOW - 86400, NOW)
    assert drawing.step == 600
    assert [line.name for line in drawing.lines] == ["p50", "p95", "p99"]
    assert {value for _, value in drawing.lines[0].points[1:-1]} == {5.0}
    assert {value for _, value in drawing.lines[1].points[1:-1]} == {10.0}


def test_what_errored_is_no_measurement() -> None:
    runs = [run(NOW - 120, 100.0, "errored"), run(NOW - 60, 300.0)]
    found = series.measured(CHECK, runs)
    assert series.number(Series("Latency", "p95", {"Check": "quote"}), found) == 300.0
    assert series.number(Series("Availability", "average", {"Check": "quote"}), found) == 100.0
    assert series.number(Series("Availability", "average", {"Check": "quote"}), []) is None
    assert series.draw(LATENCY, CHECK, [], NOW - 60, NOW).empty


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from(("p50", "p95", "p99", "maximum", "average", "latest")))
def test_a_statistic_lies_among_the_values(values: list[float], name: Any) -> None:
    found = series.statistic(name, values)
    assert found is not None
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6
    if name.startswith("p"):
        assert sum(value <= found for value in values) >= int(name[1:]) / 100 * len(values) - 1e-9


@given(st.lists(st.tuples(st.integers(1, 3600), st.floats(0.01, 1e5)), max_size=40))
def test_a_plain_chart_stands(points: list[tuple[int, float]]) -> None:
    runs = [run(NOW - back, latency) for back, latency in points]
    for panel in dashboards.check(PLAN, "quote").panels:
        if panel.kind in ("line", "stack"):
            drawing = series.draw(panel, CHECK, series.measured(CHECK, runs), NOW - 3600, NOW)
            tree = ElementTree.fromstring(str(draw.chart(drawing, [(NOW - 900, NOW - 300, "<b>down</b>")])))
            assert all("nan" not in path.get("d", "") for path in tree.iter("path"))


def test_a_panel_of_another_check_draws_nothing() -> None:
    panel = Panel("p", "line", "P", (Series("Latency", "p95", {"Check": "other"}),))
    assert series.draw(panel, CHECK, series.measured(CHECK, [run(NOW - 60, 1.0)]), NOW - 3600, NOW).empty


def test_headers_are_shown_by_an_allow_list() -> None:
    target = {
        "url": "https://ana:pw@api.example/x?q=1",
        "headers": {"Authorization": "Bearer abc", "X-Key": "abc", "Accept": "text/html"},
        "json": {"password": "abc", "user": "ana", "nested": [{"api_key": "abc", "ok": True}]},
        "auth": {"basic": ["ana", "abc"]},
    }
    said = str(shown_target(target))
    assert "abc" not in said.replace("'ana', 'abc'", "")
    assert "pw@" not in said
    assert "text/html" in said
    pairs = {
        "response": {"headers": [["Set-Cookie", "abc"], ["Server", "nginx"]]},
        "request_headers": {"headers": ["X-Secret: abc", "Accept: a"]},
    }
    assert "abc" not in str(shown(pairs))
    assert "nginx" in str(shown(pairs))
    assert len(str(shown({"body": "x" * 5000}))) < 1200


def test_evidence_without_a_bottom_is_cut() -> None:
    deep: Any = "end"
    for _ in range(2000):
        deep = {"a": deep}
    assert "end" not in str(shown({"deep": deep}))
