"""Events: names as AWS writes them, the common four first, one JSON form there and back; the examples of the design."""

import json

import pytest
from pydantic import ValidationError

from probes.core import events
from probes.core.events import EVENTS, Event, RunFailed, RunsReported, brief, parse

NAMES = """Run Failed, Runs Reported, Run Completed, Location Status Changed, Check Status Changed, Incident Opened,
Incident Escalated, Incident Acknowledged, Incident Resolved, Alert Sent, Alert Failed, Alert Suppressed, Heartbeat Received,
Error Budget Burning, Error Budget Exhausted, Silence Created, Silence Ended, Plan Applied, Plan Rejected, Plan Drifted,
Command Received, Command Finished"""

EXAMPLES = {
    "Run Failed": """{ "version": 1, "id": "quote@dublin/2026-02-03T04:05:00Z", "at": "2026-02-03T04:05:00Z", "service": "shop",
    "run": "quote@dublin/2026-02-03T04:05:00Z", "check": "quote", "kind": "http", "group": "checkout", "owner": "team-checkout",
    "tags": ["tier-1"], "location": "dublin", "outcome": "failed", "attempt": 2, "fault": null,
    "because": "status == 201 (status was 503)", "latency_ms": 124,
    "phases_ms": {"resolve": 4, "connect": 12, "tls": 31, "wait": 75, "receive": 2},
    "findings": [ {"assertion": "status == 201", "level": "must", "holds": false, "because": "status was 503"}],
    "artifact": "s3://probes-shop/runs/quote/dublin/2026-02-03T04:05:00Z.json" }""",
    "Location Status Changed": """{ "version": 1, "id": "quote@dublin/2026-02-03T04:06:00Z/down", "at": "2026-02-03T04:06:00Z",
    "service": "shop", "check": "quote", "location": "dublin", "before": "up", "after": "down", "window": "PFF",
    "because": "status == 201 (status was 503)", "run": "quote@dublin/2026-02-03T04:06:00Z" }""",
    "Check Status Changed": """{ "version": 1, "id": "quote/2026-02-03T04:06:00Z/down", "at": "2026-02-03T04:06:02Z",
    "service": "shop", "check": "quote", "before": "up", "after": "down",
    "locations": {"dublin": "down", "virginia": "down", "sydney": "up"}, "because": "2 of 3 locations agree" }""",
    "Incident Opened": """{ "version": 1, "id": "quote/2026-02-03T04:06:00Z", "at": "2026-02-03T04:06:02Z", "service": "shop",
    "incident": "quote/2026-02-03T04:06:00Z", "check": "quote", "name": "Price a basket", "group": "checkout",
    "owner": "team-checkout", "tags": ["tier-1"], "severity": "critical", "opened_at": "2026-02-03T04:06:00Z",
    "locations": ["dublin", "virginia"], "because": "status == 201 (status was 503)",
    "runbook": "https://wiki.shop.example/runbooks/checkout" }""",
    "Alert Suppressed": """{ "version": 1, "id": "quote/2026-02-03T04:06:00Z/opened/oncall", "at": "2026-02-03T04:06:02Z",
    "service": "shop", "incident": "quote/2026-02-03T04:06:00Z", "event": "opened", "channel": "oncall", "alert": "a",
    "reason": "dependency", "muted_by": "resolver is down (resolver/2026-02-03T04:04:00Z)" }""",
    "Plan Applied": """{ "version": 1, "id": "ac72fd4f83d0", "at": "2026-02-03T04:00:00Z", "service": "shop",
    "plan": "ac72fd4f83d0", "previous": "9b1e0c77d2aa", "commit": "3f2c1d9", "by": "merge of #128", "created": ["payments"],
    "changed": ["quote"], "deleted": [] }""",
}


def test_the_list_is_that_of_the_design() -> None:
    names = {name.strip() for name in NAMES.replace("\n", " ").split(",")}
    assert names == set(EVENTS)
    assert all(name == EVENTS[name].TYPE for name in EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_the_common_four_come_first_and_the_schema_exists(name: str) -> None:
    assert list(EVENTS[name].model_fields)[:4] == ["version", "id", "at", "service"]
    assert EVENTS[name].__doc__
    assert json.dumps(EVENTS[name].model_json_schema())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_design_go_there_and_back(name: str) -> None:
    written = json.loads(EXAMPLES[name])
    detail = EVENTS[name].model_validate(written)
    event = Event.of(detail)
    assert (event.source, event.detail_type, event.id, event.at) == ("probes.shop", name, written["id"], written["at"])
    assert {key: event.detail[key] for key in written} == written
    again = Event.parse(json.loads(json.dumps(event.document())))
    assert again == event
    assert parse(again) == detail


def test_consumers_ignore_what_they_do_not_know() -> None:
    detail = {**json.loads(EXAMPLES["Alert Suppressed"]), "invented_later": 1}
    assert parse(Event("probes.shop", "Alert Suppressed", detail)) == events.AlertSuppressed.model_validate(detail)
    with pytest.raises(KeyError):
        parse(Event("probes.shop", "Nothing Happened", detail))
    with pytest.raises(ValidationError):
        parse(Event("probes.shop", "Run Failed", {"version": 1}))


def test_details_do_not_change() -> None:
    detail = RunFailed.model_validate(json.loads(EXAMPLES["Run Failed"]))
    with pytest.raises(ValidationError):
        detail.check = "other"


def test_a_report_of_a_whole_slot_stays_small() -> None:
    row = ("a-check-with-a-rather-long-name", "failed", 12345, "timeout.response", 3, "2026-02-03T04:05:00Z", "x" * 200)
    report = RunsReported(
        id="r", at="2026-02-03T04:05:00Z", service="shop", location="dublin", slot=0, of=4, plan="p", due="d", started_at="s",
        runs=(row,) * 150,
    )  # fmt: skip
    assert len(json.dumps(Event.of(report).document())) < 64_000
    assert RunsReported.model_validate(Event.of(report).detail) == report


def test_brief_cuts_with_an_ellipsis() -> None:
    assert brief("abc", 3) == "abc"
    assert brief("abcd", 3) == "ab…"
