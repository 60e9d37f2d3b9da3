import asyncio
import ssl
from email import message_from_bytes, policy

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from pydantic import ValidationError

from probes.channels import send
from probes.channels.delivery.request import FILLED
from probes.channels.email import Config, message
from tests.channels.alerts import HOSTILE, NOW, alert, storm, subject

BASE = {"to": "sre@example.com", "from": "probes@example.com", "host": "127.0.0.1", "tls": "none"}


def mail(one, **fields):
    request = message(one, Config.model_validate({**BASE, **fields}, context=FILLED), NOW)
    return request, message_from_bytes(request.content, policy=policy.default)


class Box:
    def __init__(self, answers=()):
        self.mails, self.answers = [], dict(answers)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answers.get("data", "250 kept")


@pytest.fixture
async def smtp():
    running = []

    async def start(box, ssl_context=None, **options):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(box, hostname="box", loop=loop, **options), "127.0.0.1", 0, ssl=ssl_context)
        running.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in running:
        server.close()
        await server.wait_closed()


@pytest.fixture
def authority(monkeypatch, tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_headers_and_text():
    request, parsed = mail(alert())
    assert parsed["Subject"] == "[DOWN] Price a basket - shop"
    assert (parsed["From"], parsed["To"]) == ("Probes <probes@example.com>", "sre@example.com")
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert "status == 201 (status was 503)" in parsed.get_content()
    assert request.port == 25


def test_the_mails_of_one_incident_are_one_thread():
    opened, resolved = mail(alert())[1], mail(alert(event="resolved", id="x/resolved"))[1]
    assert opened["References"] == resolved["References"]
    assert opened["Message-ID"] != resolved["Message-ID"]
    assert mail(alert())[1]["Message-ID"] == opened["Message-ID"]


def test_no_text_becomes_a_header():
    hostile = subject(**dict.fromkeys(("name", "because", "target", "owner"), HOSTILE))
    _, parsed = mail(alert(hostile, service=HOSTILE, reason=HOSTILE, id=HOSTILE, key=HOSTILE))
    assert parsed["Bcc"] is None
    assert len(parsed["Subject"]) <= 250
    assert "\x1b" not in parsed["Subject"] + parsed.get_content()
    assert set(parsed.keys()) >= {"From", "To", "Subject", "Date", "Message-ID"}
    assert len(parsed.keys()) == 11


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_the_port_follows_from_tls(tls):
    assert mail(alert(), tls=tls)[0].port == {"starttls": 587, "implicit": 465, "none": 25}[tls]
    assert mail(alert(), tls=tls, port=2525)[0].port == 2525


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": "sre@example.com\r\nBcc: x@y.z"}, "value"),
        ({"to": "nobody"}, "value"),
        ({"to": ["sre@example.com", "a@b, c@d"]}, "value"),
        ({"to": []}, "too_short"),
        ({"from": "Probes <p@example.com>"}, "value"),
        ({"host": "mail host"}, "string_pattern_mismatch"),
        ({"port": 0}, "greater_than_equal"),
        ({"user": "u"}, "missing-key"),
        ({"user": "u", "password": "${{ secret.A }}"}, "value"),  # in clear text: tls none
        ({"tls": "starttls", "user": "u", "password": "hunter2"}, "secret-reference"),
        ({"tls": "ssl"}, "literal_error"),
    ],
)
def test_what_cannot_work_is_refused_at_load(fields, code):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**BASE, **fields})
    assert [error["type"] for error in caught.value.errors()] == [code]


async def test_delivered_to_every_recipient(smtp):
    box = Box()
    port = await smtp(box)
    delivery = await send("email", {**BASE, "to": ["a@example.com", "b@example.com"], "port": port}, storm(37), NOW)
    assert delivery.outcome == "delivered"
    assert "37 checks" in box.mails[0]["Subject"]
    assert box.mails[0]["To"] == "a@example.com, b@example.com"


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_encrypted_and_with_a_login(smtp, authority, tls):
    box, seen = Box(), []

    def login(server, session, envelope, mechanism, data):
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"hunter2hunter2", handled=False)

    options = {"ssl_context": authority} if tls == "implicit" else {"tls_context": authority, "require_starttls": True}
    port = await smtp(box, authenticator=login, auth_require_tls=tls == "starttls", **options)
    config = {**BASE, "tls": tls, "port": port, "user": "probes", "password": "hunter2hunter2"}
    right = await send("email", config, alert(), NOW)
    assert right.outcome == "delivered", right
    assert len(box.mails) == 1
    wrong = await send("email", {**config, "password": "wrongwrongwrong"}, alert(), NOW, ["wrongwrongwrong"])
    assert wrong.outcome == "permanent", wrong
    assert "535" in wrong.detail
    assert (b"probes", b"hunter2hunter2") in seen


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_certificate_nobody_trusts_is_not_talked_to(smtp, authority, monkeypatch, tls):
    box = Box()
    port = await smtp(box, **({"ssl_context": authority} if tls == "implicit" else {"tls_context": authority}))
    monkeypatch.delenv("SSL_CERT_FILE")
    delivery = await send("email", {**BASE, "tls": tls, "port": port}, alert(), NOW)
    assert delivery.outcome == "retry"
    assert "certificate is not trusted" in delivery.detail
    assert box.mails == []


async def test_starttls_is_not_stripped(smtp):
    box = Box()
    delivery = await send("email", {**BASE, "tls": "starttls", "port": await smtp(box)}, alert(), NOW)
    assert delivery.outcome == "retry"
    assert "STARTTLS" in delivery.detail
    assert box.mails == []


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({"sre@example.com": "550 no such person"}, "permanent"),
        ({"sre@example.com": "451 greylisted"}, "retry"),
        ({"data": "452 disk full"}, "retry"),
        ({"data": "554 spam"}, "permanent"),
    ],
)
async def test_answers_of_the_server(smtp, answers, outcome):
    delivery = await send("email", {**BASE, "port": await smtp(Box(answers))}, alert(), NOW)
    assert delivery.outcome == outcome
    assert next(iter(answers.values()))[:3] in delivery.detail


async def test_one_refused_recipient_does_not_cost_the_others_the_mail(smtp):
    box = Box({"gone@example.com": "550 gone"})
    delivery = await send("email", {**BASE, "to": ["sre@example.com", "gone@example.com"], "port": await smtp(box)}, alert(), NOW)
    assert delivery.outcome == "delivered"
    assert "gone@example.com (550" in delivery.detail
    assert len(box.mails) == 1


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "::ffff:169.254.169.254"])
async def test_no_mail_server_lives_at_a_metadata_address(host):
    delivery = await send("email", {**BASE, "host": host, "port": 25}, alert(), NOW)
    assert delivery.outcome == "permanent"
    assert "nothing is sent to" in delivery.detail
