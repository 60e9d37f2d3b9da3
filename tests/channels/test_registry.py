import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

from probes.channels import CHANNELS
from probes.channels.delivery.request import FILLED, Http, Line, Mail
from tests.channels.alerts import AT, NOW, alert, storm

NAMES = ["console", "email", "incidentio", "opsgenie", "pagerduty", "slack", "teams", "webhook"]
VALUES = {
    "SLACK_WEBHOOK": "https://hooks.slack.com/services/T1/B1/secretsecret",
    "WEBHOOK_KEY": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "PAGERDUTY_KEY": "0123456789abcdef0123456789abcdef",
    "SMTP": "hunter2hunter2",
    "OPSGENIE_KEY": "6f1d2c3b-0000-4a5b-8c7d-0123456789ab",
    "INCIDENTIO_TOKEN": "inc_tokentokentoken",
    "TEAMS_WEBHOOK": "https://prod-1.logic.example:443/workflows/abcdefgh/triggers/manual/paths/invoke?sp=%2Ftriggers&sig=sigsigsigsig",
}


def filled(text: str):
    for name, value in VALUES.items():
        text = text.replace("${{ secret." + name + " }}", value)
    assert "${{" not in text
    return text


def test_the_folder_is_the_registry():
    assert set(NAMES) <= set(CHANNELS)
    assert "delivery" not in CHANNELS
    assert "request" not in CHANNELS
    with pytest.raises(KeyError):
        CHANNELS["nothing"]


def test_a_channel_is_imported_only_when_its_key_is_used():
    code = "import sys, probes.channels as c; list(c.CHANNELS); print([m for m in sys.modules if 'httpcore' in m or 'slack' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_valid_as_written_and_once_filled(name):
    channel = CHANNELS[name]
    assert channel.name == name
    written = yaml.safe_load(channel.example)[name]
    assert channel.config.model_validate(written)
    config = channel.config.model_validate(yaml.safe_load(filled(channel.example))[name], context=FILLED)
    for told in (alert(), alert(event="resolved"), alert(event="reminded"), alert(event="escalated"), storm()):
        request = channel.message(told, config, NOW)
        assert isinstance(request, (Http, Line, Mail))
        assert request == channel.message(told, config, NOW)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "console"])
def test_a_secret_written_out_is_refused_with_what_to_write(name):
    channel = CHANNELS[name]
    with pytest.raises(ValidationError) as caught:
        channel.config.model_validate(yaml.safe_load(filled(channel.example))[name])
    error = caught.value.errors()[0]
    assert error["type"] == "secret-reference"
    assert "${{ secret.NAME }}" in error["ctx"]["hint"]
    assert not any(value in error["ctx"]["message"] for value in VALUES.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_channel_tells_a_group_with_count_and_first_ten_names(name):
    channel = CHANNELS[name]
    config = channel.config.model_validate(yaml.safe_load(filled(channel.example))[name], context=FILLED)
    request = channel.message(storm(12345), config, NOW)
    text = request.text if isinstance(request, Line) else request.content.decode()
    assert "12345" in text
    assert all(f"check-{n}" in text for n in range(10))


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_never_shows_in_the_repr_of_a_request(name):
    channel = CHANNELS[name]
    config = channel.config.model_validate(yaml.safe_load(filled(channel.example))[name], context=FILLED)
    shown = repr(channel.message(alert(at=AT), config, NOW))
    assert not any(value in shown for value in VALUES.values())
