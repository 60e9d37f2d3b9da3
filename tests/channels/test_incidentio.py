import json
import re

import pytest
import respx
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.channels import send
from probes.channels.delivery.request import FILLED
from probes.channels.incidentio import LARGEST, Config, escape, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

TOKEN = "inc_tokentokentoken"
SOURCE = "01HXYZALERTSOURCE"
URL = f"https://api.incident.io/v2/alert_events/http/{SOURCE}"


def sent(one):
    request = message(one, Config.model_validate({"source": SOURCE, "token": TOKEN}, context=FILLED), NOW)
    assert (request.method, request.url, request.expect) == ("POST", URL, {202})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    return request, json.loads(request.content)


def test_an_event_has_cause_evidence_runbook_and_links():
    _, event = sent(alert())
    assert event["title"] == "[DOWN] Price a basket"
    assert (event["status"], event["deduplication_key"]) == ("firing", "quote/2026-02-03T04:05:00Z")
    assert event["source_url"] == "http://127.0.0.1:8080/checks/quote"
    assert "- because: status == 201 (status was 503)" in event["description"].replace("\\", "")
    assert "- runbook: <https://wiki.shop.example/runbooks/checkout>" in event["description"]
    metadata = event["metadata"]
    assert (metadata["team"], metadata["severity"], metadata["locations_down"]) == (
        "team-checkout",
        "critical",
        ["dublin", "virginia"],
    )
    assert metadata["findings"][0]["because"] == "status was 503"
    assert metadata["runbook"] == "https://wiki.shop.example/runbooks/checkout"


def test_resolve_carries_the_key_of_the_trigger():
    event = sent(alert(event="resolved"))[1]
    assert (event["status"], event["deduplication_key"]) == ("resolved", sent(alert())[1]["deduplication_key"])


@pytest.mark.parametrize("event", ["reminded", "escalated"])
def test_a_reminder_fires_the_same_alert_again(event):
    body = sent(alert(event=event))[1]
    assert (body["status"], body["deduplication_key"]) == ("firing", "quote/2026-02-03T04:05:00Z")


def test_a_group_counts_and_names():
    event = sent(storm(37))[1]
    assert event["title"].startswith("[FAILING] checkout: 37 checks")
    assert event["metadata"]["incidents"] == 37
    assert len(event["metadata"]["checks"]) == 10


def test_a_huge_story_is_cut():
    finding = {"assertion": "y" * 60_000, "level": "must", "holds": False, "because": "🔥" * 60_000}
    huge = {"because": "🔥" * 100_000, "name": "n" * 5000, "target": "t" * 90_000, "findings": (finding,) * 200}
    for one in (alert(subject(**huge)), storm(**huge)):
        request, event = sent(one)
        assert len(request.content) <= LARGEST
        assert event["deduplication_key"] == one.key
        assert len(event["title"]) <= 500


@given(st.text())
def test_escaped_text_is_one_line_without_markdown(text):
    escaped = escape(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]()<>#!|~]", escaped)


def test_text_of_a_target_is_no_markdown():
    words = HOSTILE + " [click](https://evil.example) ![x](https://evil.example/p.png)\n# heading"
    hostile = subject(**dict.fromkeys(("because", "name", "target", "owner", "fault", "status", "runbook", "link"), words))
    for one in (alert(hostile, reason=words, service=words), storm(because=words, name=words, link=None)):
        _, event = sent(one)
        assert "](" not in event["description"]
        assert not re.search(r"(?<!\\)<", event["description"])
        assert not set(event["title"] + event["description"]) & {"\x1b", "\u202e", "\u2028", "\r"}
        assert all(line.startswith("- ") for line in event["description"].split("\n"))
        assert "source_url" not in event


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": TOKEN}, "secret-reference"),
        ({"source": "../../v1/incidents"}, "string_pattern_mismatch"),
        ({"source": ""}, "string_pattern_mismatch"),
        ({"source": "a b"}, "string_pattern_mismatch"),
    ],
)
def test_what_cannot_work_is_refused_at_load(fields, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"source": SOURCE, "token": "${{ secret.A }}", **fields})
    assert [error["type"] for error in caught.value.errors()] == [code]


@respx.mock
async def test_answers():
    route = respx.post(URL)
    route.side_effect = [
        Response(202, json={"status": "success", "deduplication_key": "x", "message": "Event accepted for processing"}),
        Response(422, json={"type": "validation_error", "errors": [{"message": f"unknown {TOKEN}"}]}),
        Response(401),
        Response(429, headers={"Retry-After": "9"}),
        Response(502),
    ]
    got = [await send("incidentio", {"source": SOURCE, "token": TOKEN}, alert(), NOW, [TOKEN]) for _ in range(5)]
    assert [one.outcome for one in got] == ["delivered", "permanent", "permanent", "retry", "retry"]
    assert got[3].retry_after == 9.0
    assert "validation_error" in got[1].detail
    assert TOKEN not in got[1].detail
