"""Incidents and who is told: one id for life; a visible reason for every silence; one thing told at most once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.check import Check, Confirm, Retries
from probes.core.confirm import Verdict
from probes.core.decide import FILTERS, REASONS, STEADY, Decision, Flap, Situation, decide
from probes.core.incident import Incident, acknowledge, follow, resolve
from probes.core.mute import Silence
from probes.core.route import Escalate, Route

CHECK = Check("quote", "Price", "http", {}, (), (), 60.0, 10.0, Retries(), ("dublin",), Confirm(), group="checkout")
AT = 1_770_091_500.0
ID = "quote/2026-02-03T04:05:00Z"
INCIDENT = Incident(ID, "quote", "critical", "down", AT, "status was 503", None, ("dublin",))
ROUTE = Route((), ("oncall", "chat"), repeat=600.0, escalate=Escalate(900.0, ("manager",)))
SITUATION = Situation("shop", CHECK, (ROUTE,))


def told(decision: Decision) -> list[str]:
    return [f"{alert.event} {alert.channel} ({alert.reason})" for alert, _ in decision.alerts]


def step(incident: Incident | None, status: Any, at: float = AT, blind: bool = False) -> tuple[Incident | None, list[str]]:
    after, events = follow("shop", CHECK, incident, Verdict(status, ("dublin",), "so", blind), "status was 503", None, at, at + 2)
    return after, [event.detail_type for event in events]


def test_a_life() -> None:
    assert step(None, "up") == (None, [])
    assert step(None, "unknown") == (None, [])
    opened, events = step(None, "degraded")
    assert opened is not None
    assert (opened.id, opened.severity, events) == (ID, "warning", ["Incident Opened"])
    worse, events = step(opened, "down", AT + 60)
    assert worse is not None
    assert (worse.id, worse.severity, events) == (ID, "critical", ["Incident Escalated"])
    better, events = step(worse, "degraded", AT + 120)
    assert better is not None
    assert (better.severity, events) == ("warning", [])
    blind, events = step(worse, "unknown", AT + 180, blind=True)
    assert blind is not None
    assert (blind.severity, blind.status, blind.open, events) == ("critical", "unknown", True, [])
    closed, events = step(better, "up", AT + 240)
    assert closed is not None
    assert (closed.id, closed.resolved_at, closed.open, events) == (ID, AT + 240, False, ["Incident Resolved"])
    assert closed.because == "status was 503"


def test_nobody_seeing_it_is_a_warning() -> None:
    opened, _ = step(None, "unknown", blind=True)
    assert opened is not None
    assert (opened.severity, opened.status) == ("warning", "unknown")


def test_the_first_person_has_it() -> None:
    taken, events = acknowledge("shop", CHECK, INCIDENT, "ada", AT)
    assert (taken.acknowledged_by, len(events), events[0].detail["by"]) == ("ada", 1, "ada")
    assert acknowledge("shop", CHECK, taken, "bob", AT) == (taken, [])
    closed, _ = resolve("shop", CHECK, INCIDENT, "it passed", AT, AT)
    assert acknowledge("shop", CHECK, closed, "ada", AT) == (closed, [])


def test_an_incident_survives_json() -> None:
    incident = decide(INCIDENT, SITUATION, AT).incident
    assert Incident.parse(incident.document()) == incident


def test_opening_is_told_once_to_each_channel() -> None:
    first = decide(INCIDENT, SITUATION, AT)
    assert told(first) == ["opened oncall (opened)", "opened chat (opened)"]
    assert [alert.key for alert, _ in first.alerts] == [ID, ID]
    second = decide(first.incident, replace(SITUATION, flaps=first.flaps), AT + 1)
    assert (told(second), second.events) == ([], ())
    assert second.reasons == {"oncall": "unchanged", "chat": "unchanged"}
    assert second.incident == first.incident


@pytest.mark.parametrize(
    ("changes", "reason", "by"),
    [
        ({"maintenance": "release until noon"}, "maintenance", "release until noon"),
        ({"dependency": "resolver is down"}, "dependency", "resolver is down"),
        ({"offline": "dublin has no network"}, "location offline", "dublin has no network"),
        (
            {"silences": (Silence("s", ('check == "quote"',), 0, 9e9, "ada", "why"),)},
            "silence",
            "ada: why (until 2255-03-14T16:00:00Z)",
        ),
    ],
)
def test_a_mute_holds_and_is_told_once(changes: dict[str, Any], reason: str, by: str) -> None:
    muted = replace(SITUATION, **changes)
    held = decide(INCIDENT, muted, AT)
    assert (told(held), held.reasons) == ([], {"oncall": reason, "chat": reason})
    assert [(event.detail["reason"], event.detail["muted_by"]) for event in held.events] == [(reason, by)] * 2
    assert decide(held.incident, muted, AT + 1).events == ()
    assert told(decide(held.incident, SITUATION, AT + 2)) == ["opened oncall (opened)", "opened chat (opened)"]


def test_a_dependency_holds_no_resolve() -> None:
    opened = decide(INCIDENT, SITUATION, AT).incident
    closed = replace(opened, resolved_at=AT + 60, status="up")
    decision = decide(closed, replace(SITUATION, dependency="resolver is down"), AT + 60)
    assert told(decision) == ["resolved oncall (resolved)", "resolved chat (resolved)"]
    assert decision.incident.told == {}


def test_reminders_escalation_and_acknowledgement() -> None:
    incident = decide(INCIDENT, SITUATION, AT).incident
    reminded = decide(incident, SITUATION, AT + 600)
    assert told(reminded) == ["reminded oncall (repeat)", "reminded chat (repeat)"]
    escalated = decide(reminded.incident, SITUATION, AT + 900)
    assert told(escalated) == ["escalated manager (escalated)"]
    assert told(decide(escalated.incident, SITUATION, AT + 901)) == []
    assert "reminded manager (repeat)" in told(decide(escalated.incident, SITUATION, AT + 1500))
    taken = replace(incident, acknowledged_by="ada")
    quiet = decide(taken, SITUATION, AT + 900)
    assert (told(quiet), set(quiet.reasons.values())) == ([], {"acknowledged"})


def test_ids_of_alerts_differ_and_are_the_same_for_the_same_decision() -> None:
    incident, ids = INCIDENT, []
    for second in range(0, 4000, 60):
        first, again = decide(incident, SITUATION, AT + second), decide(incident, SITUATION, AT + second)
        assert [alert.id for alert, _ in first.alerts] == [alert.id for alert, _ in again.alerts]
        ids += [alert.id for alert, _ in first.alerts]
        incident = first.incident
    assert len(ids) == len(set(ids)) > 10


def test_the_first_route_that_fits_is_the_one() -> None:
    routes = (Route(('severity == "warning"',), ("chat",)), Route(('group == "checkout"',), ("team",)), Route((), ("all",)))
    assert told(decide(INCIDENT, replace(SITUATION, routes=routes), AT)) == ["opened team (opened)"]
    assert told(decide(replace(INCIDENT, severity="warning"), replace(SITUATION, routes=routes), AT)) == ["opened chat (opened)"]


def test_a_route_may_be_about_an_event() -> None:
    routes = (Route(('event == "reminded"',), ("chat",), repeat=60.0), Route((), ("oncall", "chat")))
    first = decide(INCIDENT, replace(SITUATION, routes=routes), AT)
    assert told(first) == ["opened oncall (opened)", "opened chat (opened)"]
    assert told(decide(first.incident, replace(SITUATION, routes=routes), AT + 60)) == ["reminded chat (repeat)"]


def test_no_route_is_said() -> None:
    decision = decide(INCIDENT, replace(SITUATION, routes=(Route(('owner == "x"',), ("chat",)),)), AT)
    assert (told(decision), decision.reasons) == ([], {"": "no route"})


def test_a_resolve_goes_to_everyone_who_was_told_whatever_the_routes_say_now() -> None:
    opened = decide(INCIDENT, SITUATION, AT).incident
    closed = replace(opened, resolved_at=AT + 60, status="up")
    decision = decide(closed, replace(SITUATION, routes=(Route((), ("elsewhere",)),)), AT + 60)
    assert told(decision) == ["resolved oncall (resolved)", "resolved chat (resolved)"]


def test_a_severity_that_moves_too_often_is_held() -> None:
    incident, said = decide(INCIDENT, SITUATION, AT).incident, []
    for minute in range(1, 9):
        moved = replace(incident, severity="warning" if minute % 2 else "critical")
        decision = decide(moved, SITUATION, AT + 30 * minute)
        said += [alert.reason for alert, _ in decision.alerts if alert.channel == "chat"]
        incident = decision.incident
    assert said == ["improved", "worsened"]


def test_an_opening_within_the_hour_is_told_as_flapping_and_the_next_held() -> None:
    first = decide(INCIDENT, SITUATION, AT)
    second = decide(replace(INCIDENT, id="quote/2", opened_at=AT + 600), replace(SITUATION, flaps=first.flaps), AT + 600)
    assert told(second) == ["opened oncall (flapping)", "opened chat (flapping)"]
    third = decide(replace(INCIDENT, id="quote/3", opened_at=AT + 1200), replace(SITUATION, flaps=second.flaps), AT + 1200)
    assert (told(third), set(third.reasons.values())) == ([], {"flapping"})
    later = decide(third.incident, replace(SITUATION, flaps=third.flaps), AT + 1200 + STEADY)
    assert told(later) == ["opened oncall (opened)", "opened chat (opened)"]
    assert later.flaps == {"critical": Flap(AT + 1200 + STEADY, "quote/3")}


def test_the_wait_for_a_group_is_said() -> None:
    route = Route((), ("chat",), group_by=("group", "tags"), wait=30.0)
    decision = decide(INCIDENT, replace(SITUATION, routes=(route,)), AT)
    ((alert, wait),) = decision.alerts
    assert (alert.key, alert.group, wait) == ("shop/group=checkout tags=", "shop/group=checkout tags=", 30.0)
    assert [event.detail["reason"] for event in decision.events] == ["waiting for group"]


def test_reasons_are_a_closed_list_and_filters_are_in_their_order() -> None:
    assert len(REASONS) == len(set(REASONS)) == 16
    names = [test.__name__.removeprefix("_") for test in FILTERS]
    assert names == ["unchanged", "maintenance", "silence", "dependency", "offline", "flapping", "acknowledged", "unrouted"]


mutes = st.fixed_dictionaries(
    {},
    optional={"maintenance": st.just("m"), "dependency": st.just("d"), "offline": st.just("o")},
)
actions = st.lists(
    st.tuples(st.sampled_from(["down", "degraded", "up", "unknown", "ack"]), mutes, st.integers(1, 2000)), max_size=25
)


@given(actions)
def test_whatever_happens_every_channel_hears_an_open_before_one_resolve(script: list[tuple[str, dict[str, str], int]]) -> None:
    """At the end all is well and nothing is muted: every incident that was told is resolved, once, where it was told."""
    now, incident, closing, flaps = AT, None, list[Incident](), {}
    heard: dict[tuple[str, str], list[str]] = {}
    for status, muted, seconds in [*script, ("up", {}, 1), ("up", {}, 4000)]:
        now += seconds
        if status == "ack":
            incident = acknowledge("shop", CHECK, incident, "ada", now)[0] if incident else None
        else:
            verdict = Verdict(status, ("dublin",), "so", blind=status == "unknown")  # type: ignore[arg-type]
            incident, _ = follow("shop", CHECK, incident, verdict, "why", None, now, now)
        alive = [*closing, *([incident] if incident else [])]
        closing, incident = [], None
        for one in alive:
            decision = decide(one, replace(SITUATION, flaps=flaps, **muted), now)  # type: ignore[arg-type]
            flaps = dict(decision.flaps)
            for alert, _ in decision.alerts:
                assert alert.reason in (*REASONS, "opened")
                heard.setdefault((alert.key, alert.channel), []).append(alert.event)
            assert set(decision.reasons.values()) <= set(REASONS)
            if decision.incident.open:
                incident = decision.incident
            elif decision.incident.told:
                closing.append(decision.incident)
    assert incident is None
    assert closing == []
    for events in heard.values():
        assert events[0] in ("opened", "escalated")
        assert events.count("opened") <= 1
        assert events.count("resolved") == 1
        assert events[-1] == "resolved"
