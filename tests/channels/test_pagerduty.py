import json

import pytest

from probes.channels.delivery.request import FILLED
from probes.channels.pagerduty import LARGEST, Config, dedup_key, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

KEY = "0123456789abcdef0123456789abcdef"


def sent(one, **fields):
    request = message(one, Config.model_validate({"routing_key": KEY, **fields}, context=FILLED), NOW)
    assert request.headers["content-type"] == "application/json"
    return request, json.loads(request.content)


def test_trigger_has_what_events_v2_requires():
    request, event = sent(alert())
    assert request.url == "https://events.pagerduty.com/v2/enqueue"
    assert request.expect == {202}
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (KEY, "trigger", "quote/2026-02-03T04:05:00Z")
    payload = event["payload"]
    assert payload["summary"] == "[DOWN] Price a basket: status == 201 (status was 503)"
    assert payload["source"] == "POST https://api.shop.example/v1/quotes"
    assert (payload["severity"], payload["component"], payload["group"], payload["class"]) == (
        "critical",
        "quote",
        "checkout",
        "http",
    )
    assert payload["timestamp"] == "2026-02-03T04:05:00Z"
    assert payload["custom_details"]["checks"][0]["locations"] == ["dublin", "virginia"]
    assert event["links"] == [
        {"href": "https://wiki.shop.example/runbooks/checkout", "text": "Runbook"},
        {"href": "http://127.0.0.1:8080/checks/quote", "text": "Page of the check"},
    ]


def test_resolve_carries_the_key_of_the_trigger_and_nothing_more():
    _, event = sent(alert(event="resolved"))
    assert event == {"routing_key": KEY, "event_action": "resolve", "dedup_key": sent(alert())[1]["dedup_key"]}


@pytest.mark.parametrize("event", ["reminded", "escalated"])
def test_a_reminder_triggers_the_same_incident_again(event):
    _, body = sent(alert(event=event))
    assert (body["event_action"], body["dedup_key"]) == ("trigger", "quote/2026-02-03T04:05:00Z")


def test_the_european_service_region():
    assert sent(alert(), region="eu")[0].url == "https://events.eu.pagerduty.com/v2/enqueue"


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_severities_keep_their_names(severity):
    assert sent(alert(severity=severity))[1]["payload"]["severity"] == severity


def test_a_long_key_is_cut_and_stays_different():
    a, b = dedup_key("k" * 300 + "a"), dedup_key("k" * 300 + "b")
    assert len(a) == len(b) == 255
    assert a != b
    assert dedup_key("k" * 255) == "k" * 255


def test_limits_of_summary_and_body():
    finding = {"assertion": "y" * 60000, "level": "must", "holds": False, "because": "z" * 60000}
    huge = {"because": "🔥" * 100_000, "name": "n" * 5000, "target": "t" * 90_000, "findings": (finding,) * 200}
    for one in (alert(subject(**huge)), storm(**huge)):
        request, event = sent(one)
        assert len(request.content) <= LARGEST
        assert len(event["payload"]["summary"]) <= 1024
        assert event["payload"]["source"]


def test_a_group_is_one_event_with_the_key_of_the_group():
    _, event = sent(storm(37))
    assert event["dedup_key"] == "group/checkout/1"
    assert event["payload"]["source"] == "shop"
    assert event["payload"]["custom_details"]["incidents"] == 37
    assert "class" not in event["payload"]


def test_hostile_text_cannot_steer_and_a_bad_link_is_left_out():
    _, event = sent(alert(subject(because=HOSTILE, target=HOSTILE, runbook="javascript:x", link=None)))
    assert "\x1b" not in event["payload"]["summary"] + event["payload"]["source"]
    assert "links" not in event
    assert "client_url" not in event


def test_blanks_round_a_pasted_key_do_not_matter():
    assert sent(alert(), routing_key=f" {KEY}\n")[1]["routing_key"] == KEY
