import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.channels.delivery.request import FILLED
from probes.channels.slack import Config, escape, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

HOOK = "https://hooks.slack.com/services/T1/B1/token"


def payload(one, **fields):
    request = message(one, Config.model_validate({"webhook": HOOK, **fields}, context=FILLED), NOW)
    assert request.url == HOOK
    return json.loads(request.content)


def texts(node):
    if isinstance(node, dict):
        if node.get("type") in {"mrkdwn", "plain_text"}:
            yield node
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def length(text):
    return len(text.encode("utf-16-le")) // 2


def assert_within_limits(body):
    assert 1 <= len(body["blocks"]) <= 50
    assert length(body["text"]) <= 3000
    for block in body["blocks"]:
        if block["type"] == "header":
            assert 1 <= length(block["text"]["text"]) <= 150
            assert block["text"]["type"] == "plain_text"
        elif block["type"] == "section":
            assert ("text" in block) or block["fields"]
            assert len(block.get("fields", [])) <= 10
            assert all(length(field["text"]) <= 2000 for field in block.get("fields", []))
            assert 1 <= length(block.get("text", {"text": "x"})["text"]) <= 3000
        elif block["type"] == "context":
            assert 1 <= len(block["elements"]) <= 10
    assert all(text["text"] for text in texts(body))


def test_a_person_sees_what_since_because_and_links():
    body = payload(alert(), channel="#shop-alerts")
    assert body["channel"] == "#shop-alerts"
    assert body["text"] == "🔴 DOWN: Price a basket: status == 201 (status was 503)"
    everything = json.dumps(body, ensure_ascii=False)
    for part in ("🔴 DOWN: Price a basket", "<!date^1770091500^", "dublin, virginia", "|Runbook>", "|Open>", "team-checkout"):
        assert part in everything
    assert_within_limits(body)


def test_recovery_is_green():
    assert payload(alert(event="resolved"))["text"].startswith("🟢 RECOVERED: Price a basket")


def test_text_of_a_target_is_no_mention_and_no_link():
    hostile = subject(
        **dict.fromkeys(("because", "name", "target", "owner", "fault", "check", "status", "runbook", "link"), HOSTILE)
    )
    for one in (alert(hostile, service=HOSTILE, reason=HOSTILE), storm(because=HOSTILE)):
        body = payload(one)
        assert_within_limits(body)
        for text in [node["text"] for node in texts(body)] + [body["text"]]:
            left = text.replace("<!date^1770091500^{date_short_pretty} {time_secs}|2026-02-03T04:05:00Z>", "")
            left = left.replace("<http://127.0.0.1:8080/checks/quote|Open>", "")
            left = left.replace("<https://wiki.shop.example/runbooks/checkout|Runbook>", "")
            assert "<" not in left
            assert ">" not in left
            assert "\x1b" not in left
            assert "\u202e" not in left


def test_a_backtick_does_not_end_the_code():
    section = next(text["text"] for text in texts(payload(alert(subject(because="a `b` c")))) if "Because" in text["text"])
    assert section.count("`") == 2


def test_a_link_cannot_be_split():
    everything = json.dumps(payload(alert(subject(runbook="https://a.example/x|Click> <!here", link="javascript:alert(1)"))))
    assert "https://a.example/x%7CClick%3E%20%3C!here|Runbook" in everything
    assert "javascript" not in everything


def test_everything_at_its_longest_is_within_the_limits():
    fields = ("because", "name", "target", "owner", "fault", "check", "status", "acknowledged_by")
    long = subject(**dict.fromkeys(fields, "🔥&" * 5000), locations=("x" * 60,) * 100)
    assert_within_limits(payload(alert(long, service="s" * 5000, reason="&" * 5000)))
    assert_within_limits(payload(storm(**{name: "🔥&" * 5000 for name in fields if name != "check"})))


def test_almost_nothing_to_say_is_still_a_message():
    assert_within_limits(
        payload(alert(subject(because="", target="", owner=None, runbook=None, link=None, locations=()), reason=""))
    )


@given(st.text(), st.integers(2, 60))
def test_escaped_text_fits_and_holds_no_half_entity(text, limit):
    escaped = escape(text, limit)
    assert length(escaped) <= limit
    assert "<" not in escaped
    assert ">" not in escaped
    assert all(part.startswith(("amp;", "lt;", "gt;")) for part in escaped.split("&")[1:])


def test_the_address_is_a_secret_and_must_be_https():
    with pytest.raises(ValidationError, match="not an https address"):
        Config.model_validate({"webhook": "http://hooks.slack.com/services/x"}, context=FILLED)
    with pytest.raises(ValidationError, match="secrets are not written here"):
        Config.model_validate({"webhook": HOOK})
    with pytest.raises(ValidationError):
        Config.model_validate({"webhook": "${{ secret.A }}", "channel": "<!channel>"})
