import json

import pytest
import respx
from httpx import Response
from pydantic import ValidationError

from probes.channels import send
from probes.channels.delivery.request import FILLED
from probes.channels.teams import LARGEST, Config, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

HOOK = (
    "https://prod-1.logic.example:443/workflows/abcdefghijkl/triggers/manual/paths/invoke?api-version=2016-06-01&sig=sigsigsigsig"
)


def card(one):
    request = message(one, Config.model_validate({"webhook": HOOK}, context=FILLED), NOW)
    assert (request.method, request.url, request.expect) == ("POST", HOOK, {200, 202})
    assert len(request.content) <= LARGEST
    envelope = json.loads(request.content)
    assert envelope["type"] == "message"
    (attachment,) = envelope["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    content = attachment["content"]
    assert (content["type"], content["version"]) == ("AdaptiveCard", "1.2")
    return content


def lines(content):
    return ["".join(run["text"] for run in block["inlines"]) for block in content["body"]]


def test_a_person_sees_what_since_because_evidence_and_links():
    content = card(alert())
    shown = lines(content)
    assert shown[0] == content["fallbackText"] == "DOWN: Price a basket"
    assert content["body"][0]["inlines"][0]["color"] == "attention"
    assert "because: status == 201 (status was 503)" in shown
    assert "since: 2026-02-03T04:05:00Z, for 2m30s" in shown
    assert "evidence: status == 201: status was 503" in shown
    assert content["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open", "url": "http://127.0.0.1:8080/checks/quote"},
        {"type": "Action.OpenUrl", "title": "Runbook", "url": "https://wiki.shop.example/runbooks/checkout"},
    ]


@pytest.mark.parametrize(
    ("changes", "colour"),
    [({"event": "resolved"}, "good"), ({"severity": "warning"}, "warning"), ({"severity": "info"}, "accent")],
)
def test_colours(changes, colour):
    assert card(alert(**changes))["body"][0]["inlines"][0]["color"] == colour


def test_a_group_names_ten_and_counts_the_rest():
    shown = lines(card(storm(37)))
    assert shown[0] == "FAILING: checkout: 37 checks"
    assert shown[1].startswith("check-0: ")
    assert shown[-1] == "and: 27 more"
    assert len(shown) == 12


def test_text_of_a_target_stands_where_markdown_means_nothing():
    words = HOSTILE + " [click](https://evil.example) <at>everyone</at>"
    fields = ("because", "name", "target", "owner", "fault", "status", "runbook", "link")
    hostile = subject(**dict.fromkeys(fields, words), findings=({"assertion": words, "because": words},))
    for one in (alert(hostile, reason=words, service=words), storm(because=words, runbook="javascript:alert(1)", link=words)):
        content = card(one)
        assert set(content) == {
            "$schema",
            "type",
            "version",
            "msteams",
            "fallbackText",
            "body",
        }  # no entities, so nobody is mentioned
        assert content["msteams"] == {"width": "full"}
        assert {block["type"] for block in content["body"]} == {"RichTextBlock"}
        assert {run["type"] for block in content["body"] for run in block["inlines"]} == {"TextRun"}
        assert not set("".join(lines(content))) & {"\x1b", "\u202e", "\u2028", "\r", "\n"}


def test_everything_at_its_longest_is_within_the_limit():
    finding = {"assertion": "🔥" * 6000, "level": "must", "holds": False, "because": "z" * 6000}
    fields = dict.fromkeys(("because", "name", "target", "owner", "fault", "status", "acknowledged_by"), "🔥" * 5000)
    long = {**fields, "findings": (finding,) * 50, "locations": ("x" * 60,) * 100, "runbook": "https://a.example/" + "r" * 900}
    for one in (alert(subject(**long), reason="🔥" * 5000, service="s" * 5000), storm(**long)):
        assert lines(card(one))[0]


def test_almost_nothing_to_say_is_still_a_card():
    content = card(alert(subject(because="", target="", owner=None, runbook=None, link=None, locations=(), findings=()), reason=""))
    assert "actions" not in content
    assert len(content["body"]) >= 2


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://prod-1.logic.example/x", "url"),
        ("https://127.0.0.1/x", "ssrf"),
        ("https://u:p@logic.example/x", "secret-reference"),
    ],
)
def test_an_address_that_cannot_be_it(address, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"webhook": address}, context=FILLED)
    assert [error["type"] for error in caught.value.errors()] == [code]


@respx.mock
async def test_answers_and_the_signature_of_the_address_is_never_shown():
    route = respx.post(HOOK)
    route.side_effect = [
        Response(202),
        Response(200, text="1"),
        Response(400, text=f"bad request for {HOOK}; sig=sigsigsigsig abcdefghijkl"),
        Response(429, headers={"Retry-After": "5"}),
        Response(502),
    ]
    got = [await send("teams", {"webhook": HOOK}, alert(), NOW, [HOOK]) for _ in range(5)]
    assert [one.outcome for one in got] == ["delivered", "delivered", "permanent", "retry", "retry"]
    assert got[3].retry_after == 5.0
    assert "sigsigsig" not in got[2].detail
    assert "abcdefghijkl" not in got[2].detail
