import base64
import hashlib
import hmac
import json

import pytest
from pydantic import ValidationError

from probes.channels.delivery.body import LARGEST
from probes.channels.delivery.request import FILLED
from probes.channels.webhook import Config, message, sign
from tests.channels.alerts import AT, NOW, alert, storm, subject

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
URL = "https://hooks.example.com/probes"


def config(**fields):
    return Config.model_validate({"url": URL, **fields}, context=FILLED)


@pytest.mark.parametrize(
    ("secret", "known_as", "stamp", "body", "signature"),
    [
        (  # https://github.com/standard-webhooks/standard-webhooks, the vector of the specification
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            KEY,
            "msg_01",
            "1700000000",
            b'{"type":"check.failed","timestamp":"2026-11-22T14:30:00Z","data":{"check_id":"checkout-api"}}',
            "v1,tU/4y/FTOFax7N3MF19Xnr4GJIGdiQNt3TfZqjUP6dk=",
        ),
    ],
)
def test_vectors_of_standard_webhooks(secret, known_as, stamp, body, signature):
    assert sign([secret], known_as, stamp, body) == signature


def test_a_receiver_can_verify_the_message():
    request = message(alert(), config(secret=KEY), NOW)
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.content
    expected = base64.b64encode(hmac.digest(base64.b64decode(KEY.removeprefix("whsec_")), signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_a_retry_has_the_same_id_and_body_and_its_own_time():
    first, second = message(alert(), config(secret=KEY), NOW), message(alert(), config(secret=KEY), NOW + 60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.content == second.content
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == (str(int(NOW)), str(int(NOW) + 60))
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert message(alert(id="another"), config(), NOW).headers["webhook-id"] != first.headers["webhook-id"]


def test_while_a_secret_is_replaced_both_sign():
    other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    both = message(alert(), config(secret=[KEY, other]), NOW).headers["webhook-signature"]
    single = [message(alert(), config(secret=one), NOW).headers["webhook-signature"] for one in (KEY, other)]
    assert both.split(" ") == single


def test_without_a_secret_nothing_is_signed():
    assert "webhook-signature" not in message(alert(), config(), NOW).headers


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "not base64!", "whsec_" + base64.b64encode(bytes(65)).decode()])
def test_a_key_that_is_no_key_is_told_without_showing_it(secret):
    with pytest.raises(ValueError, match="openssl rand") as caught:
        message(alert(), config(secret=secret), NOW)
    assert secret not in str(caught.value)


def test_the_body_is_the_contract():
    document = json.loads(message(alert(), config(), NOW).content)
    assert (document["type"], document["timestamp"]) == ("incident.opened", "2026-02-03T04:05:00Z")
    data = document["data"]
    assert {name: data[name] for name in ("id", "key", "service", "event", "severity", "total")} == {
        "id": "quote/2026-02-03T04:05:00Z/opened/chat",
        "key": "quote/2026-02-03T04:05:00Z",
        "service": "shop",
        "event": "opened",
        "severity": "critical",
        "total": 1,
    }
    assert data["incidents"][0]["because"] == "status == 201 (status was 503)"
    assert data["incidents"][0]["opened_at"] == "2026-02-03T04:05:00Z"
    assert "truncated" not in data


@pytest.mark.parametrize("event", ["opened", "reminded", "escalated", "resolved"])
def test_the_type_names_the_event(event):
    assert json.loads(message(alert(event=event), config(), NOW).content)["type"] == f"incident.{event}"


def test_a_long_story_is_cut_below_20_kb_and_says_so():
    long = {"assertion": "x" * 400, "level": "must", "holds": False, "because": "🔥" * 1000}
    fat = {"because": "🔥" * 5000, "target": "t" * 9000, "findings": (long,) * 50, "tags": ("tag" * 100,) * 40, "name": "🔥" * 500}
    for one in (alert(subject(**fat)), storm(5000, **fat)):
        content = message(one, config(), NOW).content
        assert len(content) < LARGEST
        data = json.loads(content)["data"]
        assert data["truncated"] is True
        assert data["total"] == one.total
        assert data["key"] == one.key
        assert data["incidents"][0]["opened_at"] == "2026-02-03T04:05:00Z"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "ftp://hooks.example.com"}, "url"),
        ({"url": "hooks.example.com/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://ho oks.example.com/"}, "url"),
        ({"url": "https://hooks.example.com/\r\nx: y"}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://me:pw@hooks.example.com/"}, "secret-reference"),
        ({"url": "https://127.0.0.1/"}, "ssrf"),
        ({"url": "https://localhost/"}, "ssrf"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "ssrf"),
        ({"url": "http://169.254.169.254/latest", "private": True}, "ssrf"),
        ({"headers": {"authorization": "Bearer abc"}}, "secret-reference"),
        ({"headers": {"X-Api-Key": "abc"}}, "secret-reference"),
        ({"headers": {"webhook-id": "1"}}, "value"),
        ({"headers": {"Host": "other"}}, "value"),
        ({"headers": {"x": "a\r\nb: c"}}, "value"),
        ({"headers": {"x y": "a"}}, "value"),
        ({"secret": "whsec_abc"}, "secret-reference"),
        ({"secret": ["${{ secret.A }}", "abc"]}, "secret-reference"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_load(fields, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"url": URL, **fields})
    assert [error["type"] for error in caught.value.errors()] == [code]


def test_what_can_be_sent_is_accepted():
    for fields in (
        {"url": "${{ secret.HOOK }}"},
        {"url": "http://127.0.0.1:9/hook", "private": True},
        {"url": "http://localhost:9/hook", "private": True},
        {"headers": {"authorization": "Bearer ${{ secret.A }}", "x-team": "shop"}},
        {"secret": ["${{ secret.A }}", "${{secret.B}}"]},
    ):
        assert Config.model_validate({"url": URL, **fields})


def test_headers_of_the_user_travel_and_cannot_replace_ours():
    request = message(alert(at=AT), config(headers={"x-team": "shop"}), NOW)
    assert request.headers["x-team"] == "shop"
    assert request.headers["content-type"] == "application/json"
