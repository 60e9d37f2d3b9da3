"""Slack as an app: one message about an incident that is kept up to date, and replies to it."""

import asyncio
import json

import pytest
import respx
from httpx import Response
from pydantic import ValidationError

from probes.channels import send
from probes.channels.delivery import send as sending
from probes.channels.delivery.request import FILLED
from probes.channels.slack import Config, message
from tests.channels.alerts import HOSTILE, NOW, alert, subject

TOKEN = "xoxb-111111111111-secretsecret"
POST, UPDATE = "https://slack.com/api/chat.postMessage", "https://slack.com/api/chat.update"
NOTE = {"channel": "C0000000001", "ts": "1770091501.000100"}
CONFIG = {"token": TOKEN, "channel": "C0000000001"}


def built(one):
    """The request and the one after it: address and payload of each."""
    request = message(one, Config.model_validate(CONFIG, context=FILLED), NOW)
    found = []
    while request is not None:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json; charset=utf-8"
        found.append((request.url, json.loads(request.content)))
        request = request.then
    return found


def test_the_first_message_is_posted():
    ((url, payload),) = built(alert())
    assert (url, payload["channel"]) == (POST, "C0000000001")
    assert payload["text"] == "🔴 DOWN: Price a basket: status == 201 (status was 503)"
    assert "|Runbook>" in json.dumps(payload)
    assert not {"thread_ts", "ts", "reply_broadcast"} & set(payload)


@pytest.mark.parametrize("changes", [{"event": "reminded"}, {"event": "reminded", "reason": "worsened"}, {"event": "escalated"}])
def test_bad_news_is_a_reply_that_the_channel_sees_and_the_message_is_as_it_is_now(changes):
    (reply, update) = built(alert(note=NOTE, **changes))
    assert reply[0] == POST
    assert (reply[1]["thread_ts"], reply[1]["reply_broadcast"]) == (NOTE["ts"], True)
    assert (update[0], update[1]["ts"], update[1]["channel"]) == (UPDATE, NOTE["ts"], NOTE["channel"])
    assert update[1]["blocks"] == reply[1]["blocks"]


def test_recovery_turns_the_message_green_and_tells_the_thread():
    (update, reply) = built(alert(event="resolved", note=NOTE))
    assert (update[0], update[1]["ts"]) == (UPDATE, NOTE["ts"])
    assert update[1]["text"].startswith("🟢 RECOVERED: Price a basket")
    assert (reply[0], reply[1]["thread_ts"], reply[1]["reply_broadcast"]) == (POST, NOTE["ts"], False)


def test_a_message_that_is_not_known_is_not_looked_for():
    for event in ("reminded", "resolved"):
        ((url, payload),) = built(alert(event=event))
        assert (url, "thread_ts" in payload) == (POST, False)


def test_what_is_about_a_part_of_a_group_leaves_its_message_as_it_is():
    group = {"group": "shop/group=checkout", "note": NOTE}
    for changes in (
        {"event": "opened", "reason": "new in group", "key": "shop/group=checkout"},
        {"event": "reminded", "key": "shop/group=checkout"},
        {"event": "resolved", "key": "shop/group=checkout/quote/1"},
    ):
        ((url, payload),) = built(alert(**group, **changes))
        assert (url, payload["thread_ts"]) == (POST, NOTE["ts"])
        assert payload["reply_broadcast"] is (changes["event"] != "resolved")
    whole = built(alert(**group, event="resolved", key="shop/group=checkout"))
    assert [url for url, _ in whole] == [UPDATE, POST]


def test_text_of_a_target_is_no_mention_here_either():
    hostile = subject(**dict.fromkeys(("because", "name", "target", "owner", "fault", "status"), HOSTILE), runbook=None, link=None)
    for _, payload in built(alert(hostile, reason=HOSTILE, note=NOTE, event="resolved")):
        everything = json.dumps(payload, ensure_ascii=False)
        assert "<!channel" not in everything
        assert "<https" not in everything
        assert "\\u001b" not in everything


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing-key"),
        ({"token": "${{ secret.A }}"}, "missing-key"),
        ({"token": "${{ secret.A }}", "webhook": "${{ secret.B }}", "channel": "C1"}, "missing-key"),
        ({"channel": "C1"}, "missing-key"),
        ({"token": TOKEN, "channel": "C1"}, "secret-reference"),
        ({"token": "${{ secret.A }}", "channel": "<!here>"}, "string_pattern_mismatch"),
    ],
)
def test_what_cannot_work_is_refused_at_load(fields, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(fields)
    assert [error["type"] for error in caught.value.errors()] == [code]
    assert TOKEN not in str(caught.value.errors(include_input=False))


def test_a_token_by_reference_is_accepted():
    assert Config.model_validate({"token": "${{ secret.SLACK_TOKEN }}", "channel": "C0000000001"})


async def test_a_token_that_is_none_never_leaves():
    delivery = await send("slack", {"token": "xoxb-1\r\nx: y", "channel": "C1"}, alert(), NOW, ["xoxb-1\r\nx: y"])
    assert delivery.outcome == "permanent"
    assert "xoxb" not in delivery.detail


@respx.mock
async def test_a_first_message_leaves_a_note_of_where_it_is():
    long = {"ok": True, "channel": "C0000000001", "ts": NOTE["ts"], "message": {"blocks": ["x" * 30_000]}}
    respx.post(POST).respond(json=long)
    delivery = await send("slack", CONFIG, alert(), NOW, [TOKEN])
    assert (delivery.outcome, delivery.detail, delivery.note) == ("delivered", "200 ok", NOTE)


@respx.mock
async def test_slack_says_200_to_everything():
    route = respx.post(POST)
    route.side_effect = [
        Response(200, json={"ok": False, "error": "not_in_channel"}),
        Response(200, json={"ok": False, "error": "invalid_auth", "echo": TOKEN}),
        Response(200, json={"ok": False, "error": "ratelimited"}),
        Response(200, json={"ok": False, "error": f"odd {TOKEN}"}),
        Response(200, text="welcome to the hotel network"),
        Response(200, text="[" * 60_000),
        Response(200, json=["ok"]),
        Response(429, headers={"Retry-After": "7"}),
        Response(500),
        Response(200, json={"ok": True}),
    ]
    got = [await send("slack", CONFIG, alert(), NOW, [TOKEN]) for _ in range(10)]
    expected = ["permanent", "permanent", "retry", "permanent", "retry", "retry", "retry", "retry", "retry", "delivered"]
    assert [one.outcome for one in got] == expected
    assert "invite the app" in got[0].detail
    assert got[7].retry_after == 7.0
    assert not any(TOKEN in one.detail for one in got)
    assert not any(one.note for one in got)


@respx.mock
async def test_a_reply_leaves_the_note_as_it_is():
    respx.post(POST).respond(json={"ok": True, "channel": "C0000000001", "ts": "1770099999.000200"})
    update = respx.post(UPDATE).respond(json={"ok": True, "channel": "C0000000001", "ts": NOTE["ts"]})
    delivery = await send("slack", CONFIG, alert(event="reminded", note=NOTE), NOW, [TOKEN])
    assert (delivery.outcome, delivery.note, update.call_count) == ("delivered", {}, 1)


@respx.mock
async def test_what_follows_a_message_never_sends_it_again(monkeypatch):
    async def hang(_request):
        await asyncio.sleep(60)

    monkeypatch.setattr(sending, "CONNECT", 0.2)
    post = respx.post(POST).respond(json={"ok": True, "channel": "C0000000001", "ts": "2.0"})
    update = respx.post(UPDATE)
    answers = (Response(500), Response(200, json={"ok": False, "error": "message_not_found"}), hang)
    for answer in answers:
        if isinstance(answer, Response):
            update.side_effect = [answer]
        else:
            update.side_effect = answer
        delivery = await asyncio.wait_for(send("slack", CONFIG, alert(event="reminded", note=NOTE), NOW, [TOKEN]), 5)
        assert delivery.outcome == "delivered"
        assert "200 ok; but then: " in delivery.detail
    assert post.call_count == len(answers)


@respx.mock
async def test_what_follows_waits_for_the_message():
    update = respx.post(UPDATE).respond(503)
    reply = respx.post(POST).respond(json={"ok": True})
    delivery = await send("slack", CONFIG, alert(event="resolved", note=NOTE), NOW, [TOKEN])
    assert (delivery.outcome, update.call_count, reply.call_count) == ("retry", 1, 0)
