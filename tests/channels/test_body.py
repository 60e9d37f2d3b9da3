"""The bodies of a webhook besides our own: CloudEvents 1.0 and Alertmanager's version 4."""

import base64
import hashlib
import hmac
import json
import re

import pytest

from probes.channels.delivery.body import LARGEST
from probes.channels.delivery.request import FILLED
from probes.channels.webhook import Config, message
from tests.channels.alerts import AT, HOSTILE, NOW, alert, storm, subject

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
LONG = {"assertion": "x" * 400, "level": "must", "holds": False, "because": "🔥" * 1000}
FAT = {"because": "🔥" * 5000, "target": "t" * 9000, "findings": (LONG,) * 50, "tags": ("tag" * 20,) * 40, "name": "🔥" * 500}


def request(one, name, **fields):
    config = {"url": "https://hooks.example.com/", "format": name, **fields}
    return message(one, Config.model_validate(config, context=FILLED), NOW)


def body(one, name):
    return json.loads(request(one, name).content)


@pytest.mark.parametrize("name", ["standard", "cloudevents", "alertmanager"])
def test_the_signature_covers_whichever_body_it_is(name):
    sent = request(alert(), name, secret=KEY)
    signed = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.content
    digest = hmac.digest(base64.b64decode(KEY.removeprefix("whsec_")), signed, hashlib.sha256)
    assert sent.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert sent.content == request(alert(), name).content


@pytest.mark.parametrize("name", ["standard", "cloudevents", "alertmanager"])
def test_every_body_stays_below_20_kb_and_keeps_what_identifies(name):
    for one in (alert(subject(**FAT)), storm(5000, **FAT), storm(5000, link="https://a.example/" + "l" * 1900)):
        content = request(one, name).content
        assert len(content) < LARGEST
        document = json.loads(content)
        assert one.key == (document["groupKey"] if name == "alertmanager" else document["data"]["key"])


def test_cloudevents_in_structured_mode():
    sent = request(alert(), "cloudevents")
    assert sent.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = json.loads(sent.content)
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "quote/2026-02-03T04:05:00Z/opened/chat",
        "source": "/probes/shop",
        "type": "probes.incident.opened",
        "subject": "quote",
        "time": "2026-02-03T04:05:00Z",
        "datacontenttype": "application/json",
        "severity": "critical",
    }
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in event)
    assert data == json.loads(request(alert(), "standard").content)["data"]
    assert data["incidents"][0]["runbook"] == "https://wiki.shop.example/runbooks/checkout"


def test_attributes_of_a_cloudevent_hold_no_control_characters():
    event = body(alert(id=HOSTILE, service=HOSTILE), "cloudevents")
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in event["id"] + event["source"] + event["subject"])
    assert re.fullmatch(r"/probes/[A-Za-z0-9._~%-]+", event["source"])


def test_alertmanager_version_4():
    sent = request(alert(), "alertmanager")
    assert sent.headers["content-type"] == "application/json"
    document = json.loads(sent.content)
    (one,) = document.pop("alerts")
    labels = {
        "alertname": "quote",
        "service": "shop",
        "check": "quote",
        "kind": "http",
        "severity": "critical",
        "group": "checkout",
        "owner": "team-checkout",
        "tags": "tier-1",
    }
    assert document == {
        "version": "4",
        "groupKey": "quote/2026-02-03T04:05:00Z",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "chat",
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": one["annotations"],
        "externalURL": "http://127.0.0.1:8080",
    }
    assert one["labels"] == labels
    assert (one["status"], one["startsAt"], one["endsAt"]) == ("firing", "2026-02-03T04:05:00Z", "0001-01-01T00:00:00Z")
    assert one["generatorURL"] == "http://127.0.0.1:8080/checks/quote"
    assert re.fullmatch(r"[0-9a-f]{16}", one["fingerprint"])
    notes = one["annotations"]
    assert notes["summary"] == "[DOWN] Price a basket"
    assert notes["description"] == "status == 201 (status was 503)"
    assert notes["findings"] == "status == 201: status was 503"
    assert notes["runbook_url"] == "https://wiki.shop.example/runbooks/checkout"


def test_resolved_has_the_key_the_fingerprint_and_the_labels_of_the_trigger():
    fired = body(alert(), "alertmanager")
    resolved = body(alert(subject(resolved_at=AT + 90), event="resolved", id="quote/x/resolved/chat"), "alertmanager")
    assert resolved["status"] == resolved["alerts"][0]["status"] == "resolved"
    assert resolved["alerts"][0]["endsAt"] == "2026-02-03T04:06:30Z"
    assert resolved["groupKey"] == fired["groupKey"]
    for name in ("labels", "fingerprint", "startsAt"):
        assert resolved["alerts"][0][name] == fired["alerts"][0][name]


def test_incidents_have_fingerprints_of_their_own():
    some = [body(alert(subject(id=name)), "alertmanager") for name in ("quote/1", "quote/2")]
    other = body(alert(service="warehouse"), "alertmanager")
    assert len({one["alerts"][0]["fingerprint"] for one in (*some, other)}) == 3


def test_a_group_counts_what_it_does_not_name():
    document = body(storm(12345), "alertmanager")
    assert len(document["alerts"]) == 10
    assert document["truncatedAlerts"] == 12335
    assert document["groupKey"] == "group/checkout/1"
    assert "12345 checks" in document["commonAnnotations"]["summary"]
    assert "check" not in document["commonLabels"]
    assert document["commonLabels"]["service"] == "shop"


def test_annotations_steer_nothing():
    hostile = subject(**dict.fromkeys(("because", "name", "target", "owner", "fault", "status", "runbook", "link"), HOSTILE))
    document = body(alert(hostile, reason=HOSTILE, service=HOSTILE), "alertmanager")
    (one,) = document["alerts"]
    words = "".join([*one["annotations"].values(), *one["labels"].values()])
    assert not set(words) & {"\x1b", "\u202e", "\u2028", "\r", "\n"}
    assert "runbook_url" not in one["annotations"]
    assert one["generatorURL"] == document["externalURL"] == ""
