"""Sending over real sockets: what each sort of receiver makes of an alert."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import respx
import trustme
from httpx import ConnectError, Response

from probes.channels import send
from probes.channels.delivery import send as sending
from probes.channels.delivery.send import LONGEST_WAIT, retry_after
from tests.channels.alerts import AT, NOW, alert

SLACK = "https://hooks.slack.com/services/T00/B00/XXXXXXXXsecretpath"
KEY = "0123456789abcdef0123456789abcdef"


@contextlib.asynccontextmanager
async def receiver(answer, context=None):
    """A server on loopback that reads a request and does ``answer(request, writer)``; yields its port and what it saw."""
    seen, open_writers = [], []

    async def serve(reader, writer):
        open_writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
            )
            seen.append((head.decode(), await reader.readexactly(length)))
            await answer(seen[-1], writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()
        await server.wait_closed()


def say(*parts):
    async def answer(_request, writer):
        for part in parts:
            writer.write(part)
        await writer.drain()

    return answer


async def hook(port, path="/hook", **fields):
    config = {"url": f"http://127.0.0.1:{port}{path}", "private": True, **fields}
    return await send("webhook", config, alert(), NOW, ["sesame-open-sesame"])


async def test_a_receiver_gets_one_signed_post():
    async with receiver(say(b"HTTP/1.1 204 No Content\r\n\r\n")) as (port, seen):
        delivery = await hook(port, secret="whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")
    assert delivery.outcome == "delivered"
    head, body = seen[0]
    assert head.startswith("POST /hook HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{port}\r\n" in head
    assert "webhook-signature: v1," in head
    assert json.loads(body)["type"] == "incident.opened"
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "delivered") for status in (200, 202)),
        *((status, "permanent") for status in (301, 307, 400, 401, 404, 410)),
        *((status, "retry") for status in (408, 429, 500, 502, 503)),
    ],
)
async def test_the_status_decides(status, outcome):
    body = b"well, well"
    answer = f"HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    async with receiver(say(answer)) as (port, seen):
        delivery = await hook(port)
    assert delivery.outcome == outcome
    assert delivery.detail.startswith(str(status))
    assert delivery.retry_after is None
    assert len(seen) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_the_receivers_wish_to_wait_is_honoured(status):
    async with receiver(say(f"HTTP/1.1 {status} X\r\nRetry-After: 17\r\ncontent-length: 0\r\n\r\n".encode())) as (port, _):
        assert (await hook(port)).retry_after == 17.0


def test_retry_after_in_both_spellings():
    later = datetime.fromtimestamp(AT, UTC) + timedelta(seconds=90)
    assert retry_after(format_datetime(later, usegmt=True), AT) == 90.0
    assert retry_after(format_datetime(later - timedelta(hours=1), usegmt=True), AT) == 0.0
    assert retry_after("999999999", AT) == LONGEST_WAIT
    for nonsense in ("", "soon", "-5", "1.5", "9" * 400, "Tue, 99 Feb 2026 99:99:99 GMT"):
        assert retry_after(nonsense, AT) is None


async def test_a_redirect_is_not_followed():
    async with receiver(say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as (second, caught):
        away = f"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:{second}/x\r\ncontent-length: 0\r\n\r\n".encode()
        async with receiver(say(away)) as (port, _):
            delivery = await hook(port)
    assert (delivery.outcome, caught) == ("permanent", [])


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\xff" * 4000, b"HTTP/9.9 banana\r\n\r\n", b""])
async def test_garbage_or_nothing_is_tried_again(answer):
    async with receiver(say(answer)) as (port, _):
        delivery = await hook(port)
    assert delivery.outcome == "retry"
    assert "127.0.0.1" in delivery.detail


async def test_a_reset_is_tried_again():
    async def reset(_request, writer):
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with receiver(reset) as (port, _):
        assert (await hook(port)).outcome == "retry"


async def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    delivery = await hook(port)
    assert (delivery.outcome, delivery.detail) == ("retry", "127.0.0.1: connection refused")


async def hang(_request, writer):
    await asyncio.sleep(60)


async def test_a_hanging_receiver_costs_no_more_than_the_deadline(monkeypatch):
    monkeypatch.setattr(sending, "TOTAL", 0.2)
    async with receiver(hang) as (port, _):
        delivery = await asyncio.wait_for(hook(port), 5)
    assert (delivery.outcome, delivery.detail) == ("retry", "no answer within 0.2 s")


async def test_a_body_that_never_ends_does_not_change_the_status():
    async def drip(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nok so far")
        await writer.drain()
        await asyncio.sleep(60)

    async with receiver(drip) as (port, _):
        delivery = await asyncio.wait_for(hook(port), 8)
    assert delivery.outcome == "delivered"


async def test_a_body_that_breaks_off_does_not_change_the_status():
    async with receiver(say(b"HTTP/1.1 404 X\r\ncontent-length: 1000000\r\n\r\nok so far")) as (port, _):
        assert (await hook(port)).outcome == "permanent"


async def test_an_endless_body_is_left_early():
    async def flood(_request, writer):
        writer.write(b"HTTP/1.1 503 X\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                writer.write(b"x" * 65536)
                await writer.drain()

    async with receiver(flood) as (port, _):
        delivery = await asyncio.wait_for(hook(port), 8)
    assert delivery.outcome == "retry"
    assert len(delivery.detail) <= 400


async def test_a_secret_that_comes_back_is_not_shown():
    async def echo(request, writer):
        body = (request[0] + "c2VzYW1lLW9wZW4tc2VzYW1l \x1b[31m").encode()
        writer.write(b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with receiver(echo) as (port, _):
        config = {"authorization": "Bearer sesame-open-sesame"}
        delivery = await hook(port, "/secretpath12345?key=hiddenhidden", headers=config)
    assert delivery.outcome == "permanent"
    for hidden in ("sesame-open", "c2VzYW1l", "secretpath12345", "hiddenhidden", "\x1b"):
        assert hidden not in delivery.detail
    assert "****" in delivery.detail


async def test_tls_with_the_right_name(monkeypatch, tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with receiver(say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), context) as (port, seen):
        config = {"url": f"https://localhost:{port}/hook", "private": True}
        untrusted = await send("webhook", config, alert(), NOW)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        trusted = await send("webhook", config, alert(), NOW)
        misnamed = await send("webhook", {**config, "url": f"https://127.0.0.1:{port}/hook"}, alert(), NOW)
    assert (untrusted.outcome, trusted.outcome, misnamed.outcome) == ("retry", "delivered", "retry")
    assert "its certificate is not trusted" in untrusted.detail
    assert "its certificate is not trusted" in misnamed.detail
    assert "localhost" in names
    assert len(seen) == 1
    assert f"host: localhost:{port}" in seen[0][0]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:9/",
        "https://localhost:9/",
        "https://[::1]:9/",
        "https://127.1:9/",
        "https://2130706433:9/",
        "https://0x7f.1:9/",
        "https://[::ffff:127.0.0.1]:9/",
        "https://0.0.0.0:9/",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/",
    ],
)
async def test_a_webhook_goes_to_public_addresses_only(url, monkeypatch):
    def no_packet(*_args, **_kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(sending.httpcore.AnyIOBackend, "connect_tcp", no_packet)
    delivery = await send("webhook", {"url": url}, alert(), NOW)
    assert delivery.outcome == "permanent"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[64:ff9b::169.254.169.254]", "0xa9fea9fe", "2852039166"])
async def test_no_option_opens_metadata_addresses(host, monkeypatch):
    def no_packet(*_args, **_kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(sending.httpcore.AnyIOBackend, "connect_tcp", no_packet)
    delivery = await send("webhook", {"url": f"http://{host}/", "private": True}, alert(), NOW)
    assert delivery.outcome == "permanent"


async def test_every_address_of_a_name_is_screened(monkeypatch):
    rows = [(0, 0, 0, "", ("10.0.0.1", 0)), (0, 0, 0, "", ("169.254.169.254", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: rows)
    delivery = await send("webhook", {"url": "https://hooks.example.com/"}, alert(), NOW)
    assert delivery.outcome == "permanent"
    assert "hooks.example.com: 10.0.0.1 is not a public address" in delivery.detail


async def test_the_address_that_was_screened_is_the_one_connected_to(monkeypatch):
    """A name that changes its answer after the screen finds no second question to answer."""
    questions = []

    def rebinding(host, *_args, **_kwargs):
        questions.append(host)
        return [(0, 0, 0, "", ("127.0.0.1" if len(questions) == 1 else "169.254.169.254", 0))]

    async with receiver(say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as (port, seen):
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        delivery = await send("webhook", {"url": f"http://rebind.example:{port}/", "private": True}, alert(), NOW)
    assert (delivery.outcome, questions) == ("delivered", ["rebind.example"])
    assert f"host: rebind.example:{port}" in seen[0][0]


async def test_a_name_that_cannot_be_resolved_is_tried_again(monkeypatch):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    delivery = await send("webhook", {"url": "https://nowhere.example/"}, alert(), NOW)
    assert delivery.outcome == "retry"
    assert "nowhere.example" in delivery.detail


@respx.mock
async def test_pagerduty_answers():
    route = respx.post("https://events.pagerduty.com/v2/enqueue")
    route.side_effect = [
        Response(202, json={"status": "success", "message": "Event processed", "dedup_key": "x"}),
        Response(400, json={"status": "invalid event", "message": "Event object is invalid", "errors": [f"routing key {KEY}"]}),
        Response(429),
        Response(500),
        Response(200, text="welcome to the hotel network"),
        ConnectError("boom"),
    ]
    got = [await send("pagerduty", {"routing_key": KEY}, alert(), NOW, [KEY]) for _ in range(6)]
    assert [one.outcome for one in got] == ["delivered", "permanent", "retry", "retry", "retry", "retry"]
    assert "Event object is invalid" in got[1].detail
    assert KEY not in got[1].detail
    assert json.loads(route.calls[0].request.content)["event_action"] == "trigger"


@respx.mock
async def test_slack_answers():
    route = respx.post(SLACK)
    route.side_effect = [
        Response(200, text="ok"),
        Response(404, text="channel_not_found"),
        Response(410, text="channel_is_archived"),
        Response(429, headers={"Retry-After": "30"}),
        Response(403, text=f"action_prohibited {SLACK} /services/T00/B00/XXXXXXXXsecretpath"),
    ]
    got = [await send("slack", {"webhook": SLACK}, alert(), NOW, [SLACK]) for _ in range(5)]
    assert [one.outcome for one in got] == ["delivered", "permanent", "permanent", "retry", "permanent"]
    assert got[3].retry_after == 30.0
    assert "secretpath" not in got[4].detail
    assert "action_prohibited" in got[4].detail


async def test_console_writes_through_the_caller(capsys):
    lines = []
    assert (await send("console", {}, alert(), NOW, write=lines.append)).outcome == "delivered"
    assert lines[0].startswith("[DOWN] Price a basket\n")
    await send("console", {}, alert(), NOW)
    assert capsys.readouterr() == ("", lines[0])


async def test_what_cannot_be_sent_is_told_and_not_raised():
    unknown = await send("pigeon", {}, alert(), NOW)
    assert (unknown.outcome, "pigeon" in unknown.detail) == ("permanent", True)
    unusable = await send("slack", {"webhook": "sesame-open-sesame"}, alert(), NOW, ["sesame-open-sesame"])
    assert unusable.outcome == "permanent"
    assert "sesame" not in unusable.detail
    key = await send("webhook", {"url": "https://x.example", "secret": "sesame-open-sesame"}, alert(), NOW, ["sesame-open-sesame"])
    assert key.outcome == "permanent"
    assert "sesame" not in key.detail


def test_a_name_server_that_hangs_does_not_hold_up_the_exit(monkeypatch):
    monkeypatch.setattr(sending, "CONNECT", 0.2)
    gate = threading.Event()

    def hanging(*_args, **_kwargs):
        gate.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        delivery = asyncio.run(asyncio.wait_for(send("webhook", {"url": "https://slow.example/"}, alert(), NOW), 5))
    finally:
        gate.set()
    assert delivery.outcome == "retry"
