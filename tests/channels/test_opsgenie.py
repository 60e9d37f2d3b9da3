import json
from urllib.parse import urlsplit

import pytest
import respx
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.channels import send
from probes.channels.delivery.request import FILLED
from probes.channels.opsgenie import Config, alias, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

KEY = "6f1d2c3b-0000-4a5b-8c7d-0123456789ab"
JSM = "https://api.atlassian.com/jsm/ops/integration"
LONG = {"because": "🔥" * 20_000, "name": "n" * 5000, "target": "t" * 9000, "owner": "o" * 900, "tags": ("tag" * 40,) * 40}
PROSE = ("because", "name", "target", "owner", "fault", "status", "runbook", "link")


def sent(one, **fields):
    request = message(one, Config.model_validate({"key": KEY, **fields}, context=FILLED), NOW)
    assert request.headers["authorization"] == f"GenieKey {KEY}"
    assert request.expect == {202}
    return request, json.loads(request.content)


def test_create_has_cause_evidence_runbook_and_links():
    request, body = sent(alert(), team="payments-oncall")
    assert (request.method, request.url) == ("POST", "https://api.opsgenie.com/v2/alerts")
    assert body["message"] == "[DOWN] Price a basket"
    assert body["alias"] == alias("quote/2026-02-03T04:05:00Z")
    assert (body["source"], body["entity"], body["priority"]) == ("probes", "quote", "P1")
    assert body["tags"] == ["shop", "critical", "http", "tier-1"]
    assert body["responders"] == [{"name": "payments-oncall", "type": "team"}]
    assert "because:      status == 201 (status was 503)" in body["description"]
    details = body["details"]
    assert details["runbook"] == "https://wiki.shop.example/runbooks/checkout"
    assert details["page"] == "http://127.0.0.1:8080/checks/quote"
    assert details["findings"] == "status == 201: status was 503"
    assert details["locations"] == "dublin, virginia"


def test_close_names_the_alias_of_the_create():
    request, body = sent(alert(event="resolved"), url=JSM)
    assert request.url == f"{JSM}/v2/alerts/{sent(alert())[1]['alias']}/close?identifierType=alias"
    assert set(body) == {"source", "note"}
    assert body["note"].startswith("[RECOVERED] Price a basket")


@pytest.mark.parametrize("event", ["reminded", "escalated"])
def test_a_reminder_is_a_create_that_counts_the_same_alert_up(event):
    request, body = sent(alert(event=event))
    assert request.url.endswith("/v2/alerts")
    assert body["alias"] == sent(alert())[1]["alias"]


@pytest.mark.parametrize(("severity", "priority"), [("critical", "P1"), ("warning", "P3"), ("info", "P5")])
def test_priorities(severity, priority):
    assert sent(alert(severity=severity))[1]["priority"] == priority


@given(st.text(min_size=1), st.text(min_size=1))
def test_an_alias_stands_in_a_path_and_keys_stay_apart(one, other):
    url = message(alert(key=one, event="resolved"), Config.model_validate({"key": KEY}, context=FILLED), NOW).url
    assert urlsplit(url).path == f"/v2/alerts/{alias(one)}/close"
    assert alias(one).isascii()
    assert len(alias(one * 200)) <= 512
    assert (alias(one) == alias(other)) == (one == other)


def test_everything_at_its_longest_is_within_the_limits():
    finding = {"assertion": "y" * 6000, "level": "must", "holds": False, "because": "z" * 6000}
    long = {**LONG, "locations": ("x" * 60,) * 100, "findings": (finding,) * 20, "runbook": "https://a.example/" + "r" * 5000}
    for one in (alert(subject(**long), reason="r" * 5000, service="s" * 900), storm(**long)):
        body = sent(one)[1]
        assert len(body["message"]) <= 130
        assert len(body["description"]) <= 15_000
        assert len(body["entity"]) <= 512
        assert len(body["tags"]) <= 20
        assert all(len(tag) <= 50 for tag in body["tags"])
        assert sum(len(name) + len(value) for name, value in body["details"].items()) <= 8000
        assert len(sent(alert(*one.subjects, total=one.total, event="resolved"))[1]["note"]) <= 15_000


def test_text_of_a_target_is_no_tag_and_steers_nothing():
    hostile = subject(**dict.fromkeys(PROSE, HOSTILE), tags=(HOSTILE,), findings=({"assertion": HOSTILE, "because": HOSTILE},))
    for event in ("opened", "resolved"):
        for one in (alert(hostile, reason=HOSTILE, service=HOSTILE, event=event), storm(because=HOSTILE, name=HOSTILE)):
            for text in [value for value in json.dumps(sent(one)[1], ensure_ascii=False).split('"') if value]:
                assert not set(text) & {"<", ">", "\x1b", "\u202e", "\u2028", "\r"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": KEY}, "secret-reference"),
        ({"url": "http://api.opsgenie.com"}, "url"),
        ({"url": "https://api.opsgenie.com/?a=b"}, "url"),
        ({"url": "https://169.254.169.254"}, "ssrf"),
        ({"url": "https://127.0.0.1"}, "ssrf"),
        ({"url": "https://me:pw@api.opsgenie.com"}, "secret-reference"),
        ({"team": ""}, "string_too_short"),
    ],
)
def test_what_cannot_work_is_refused_at_load(fields, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"key": "${{ secret.A }}", **fields})
    (error,) = caught.value.errors()
    assert error["type"] == code
    assert "private" not in str(error["ctx"].get("hint"))


@pytest.mark.parametrize("key", ["", "  ", "two words", "a\r\nhost: evil", "schlüssel"])
async def test_a_key_that_is_no_key_is_told_without_showing_it(key):
    delivery = await send("opsgenie", {"key": key}, alert(), NOW, [key])
    assert delivery.outcome == "permanent"
    assert "the secret is no key" in delivery.detail
    assert key.strip() == "" or key not in delivery.detail


@respx.mock
async def test_answers():
    accepted = {"result": "Request will be processed", "took": 0.302, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}
    route = respx.post(f"{JSM}/v2/alerts")
    route.side_effect = [
        Response(202, json=accepted),
        Response(422, json={"message": f"Request body is not processable {KEY}", "errors": {"message": "too long"}}),
        Response(401, json={"message": "Could not authenticate"}),
        Response(429, headers={"Retry-After": "12"}),
        Response(503),
        Response(200, text="a hotel network"),
    ]
    got = [await send("opsgenie", {"key": KEY, "url": JSM}, alert(), NOW, [KEY]) for _ in range(6)]
    assert [one.outcome for one in got] == ["delivered", "permanent", "permanent", "retry", "retry", "retry"]
    assert "43a29c5c" in got[0].detail  # taken, not yet done: the id to look it up by
    assert got[3].retry_after == 12.0
    assert not any(KEY in one.detail for one in got)
    assert route.calls[0].request.headers["authorization"] == f"GenieKey {KEY}"


@respx.mock
async def test_the_close_arrives_at_the_path_it_names():
    route = respx.post(f"https://api.eu.opsgenie.com/v2/alerts/{alias(alert().key)}/close", params={"identifierType": "alias"})
    route.respond(202)
    config = {"key": KEY, "url": "https://api.eu.opsgenie.com/"}
    assert (await send("opsgenie", config, alert(event="resolved"), NOW, [KEY])).outcome == "delivered"
