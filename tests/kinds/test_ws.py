"""``ws`` against the server of the websockets library, which we did not write, and against servers that misbehave."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from probes.kinds import KINDS
from probes.kinds.ws import Target
from tests.kinds.looking import HOST, see
from tests.servers.raw import Peer, Raw, response, server_context

KIND = KINDS["ws"]


@asynccontextmanager
async def echo(context: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[tuple[int, list[Any]]]:
    """The port of a real server that greets with ``hello`` and echoes, and what it received."""
    server_module = pytest.importorskip("websockets.asyncio.server", reason="websockets is a test dependency")
    seen: list[Any] = []

    async def handler(connection: Any) -> None:
        seen.append(connection.request)
        await connection.send("hello")
        async for message in connection:
            seen.append(message)
            await connection.ping()
            await connection.send(f"you said {message}")

    async with server_module.serve(handler, HOST, 0, ssl=context, **options) as server:
        yield server.sockets[0].getsockname()[1], seen


async def test_it_opens() -> None:
    async with echo() as (port, received):
        seen = await see("ws", f"ws://{HOST}:{port}/feed?x=1")
    assert seen.fault is None
    assert seen.facts["connected"] is True
    assert seen.facts["status"] == 101
    assert "message" not in seen.facts
    assert received[0].path == "/feed?x=1"
    assert received[0].headers["host"] == f"{HOST}:{port}"
    assert set(seen.phases) == {"resolve", "connect", "wait", "receive"}
    assert set(seen.facts) <= set(KIND.facts)


async def test_it_says_something_and_waits_for_the_answer() -> None:
    async with echo() as (port, received):
        url = f"ws://{HOST}:{port}/"
        seen = await see("ws", {"url": url, "expect": "hel+o"})
        assert seen.facts["message"] == "hello"
        seen = await see("ws", {"url": url, "send": "ping", "expect": "^you said"})
        assert seen.facts["message"] == "you said ping"
        assert "ping" in received
        seen = await see("ws", {"url": url, "send": "x", "headers": {"Authorization": "Bearer t"}})
        assert seen.facts["message"] == "hello"
        assert "Bearer t" in [one.headers.get("authorization") for one in received if not isinstance(one, str)]
        seen = await see("ws", {"url": url, "expect": "never"}, timeout=0.4)
        assert seen.fault is not None
        assert seen.fault.kind in ("timeout.body", "timeout.response")
        assert seen.facts["connected"] is True


async def test_subprotocols() -> None:
    async with echo(subprotocols=["feed.v2"]) as (port, _):
        seen = await see("ws", {"url": f"ws://{HOST}:{port}/", "subprotocols": ["feed.v3", "feed.v2"]})
    assert seen.facts["subprotocol"] == "feed.v2"


async def test_over_tls() -> None:
    authority = trustme.CA()
    async with echo(server_context(authority, "localhost")) as (port, _):
        seen = await see("ws", {"url": f"wss://localhost:{port}/", "ca": authority.cert_pem.bytes().decode()})
        assert seen.fault is None
        assert "tls" in seen.phases
        seen = await see("ws", {"url": f"wss://localhost:{port}/"})
        assert seen.fault is not None
        assert seen.fault.kind.startswith("tls.")
        assert seen.facts["connected"] is False


async def test_nobody_is_there_or_nobody_may_go_there() -> None:
    async with echo() as (port, received):
        seen = await see("ws", f"ws://localhost:{port}/", loopback=False)
        assert seen.fault is not None
        assert seen.fault.kind == "ssrf.blocked"
        assert not received
    seen = await see("ws", f"ws://{HOST}:{port}/")
    assert seen.fault is not None
    assert seen.fault.kind == "conn.refused"
    assert seen.facts["connected"] is False


def accepted(request: bytes, *frames: bytes) -> bytes:
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert key
    token = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + token
    return head + b"\r\n\r\n" + b"".join(frames)


def frame(payload: bytes, code: int = 0x81) -> bytes:
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2)
    return bytes([code]) + length + payload


@pytest.mark.parametrize(
    ("answer", "fault", "status"),
    [
        (response(b"", "403 Forbidden"), "http.protocol", 403),
        (response(b"", "200 OK"), "http.protocol", 200),
        (response(b"", "302 Found", Location="http://169.254.169.254/"), "http.protocol", 302),
        (b"", "conn.closed", None),
        (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: n\r\n\r\n", "http.malformed", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "http.malformed", None),
        (b"HTTP/1.1 101 x\r\n" + b"a: " + b"b" * 100_000, None, None),
    ],
)  # fmt: skip
async def test_a_handshake_that_fails(answer: bytes, fault: str | None, status: int | None) -> None:
    with Raw(lambda peer: (peer.request(), peer.send(answer))) as server:
        seen = await see("ws", f"ws://{HOST}:{server.port}/")
    assert seen.fault is not None
    assert fault in (None, seen.fault.kind)
    assert not seen.fault.ours
    assert seen.facts["connected"] is False
    assert seen.facts.get("status") == status


@pytest.mark.parametrize(
    ("frames", "fault"),
    [
        ([frame(b"hello")], None),
        ([frame(b"hel", 0x01), frame(b"p", 0x89), frame(b"lo", 0x80)], None),
        ([frame(b"hello", 0x82)], None),
        ([frame(b"other"), frame(b"hello")], None),
        ([frame(b"\x03\xe8", 0x88)], "conn.closed"),
        ([], "conn.closed"),
        ([frame(b"\xff\xfe")], "http.protocol"),
        ([b"\xf1\x00"], "http.protocol"),
        ([frame(b"x" * 60000)] * 3, "body.too_large"),
        ([frame(b"", 0x89)] * 40000, "body.too_large"),
    ],
)
async def test_messages_and_their_misbehaviour(frames: list[bytes], fault: str | None) -> None:
    with Raw(lambda peer: peer.send(accepted(peer.request(), *frames))) as server:
        seen = await see("ws", {"url": f"ws://{HOST}:{server.port}/", "expect": "hello"})
    assert (seen.fault and seen.fault.kind) == fault
    assert seen.facts["connected"] is True
    assert seen.facts.get("message") == (None if fault else "hello")


async def test_silence_ends_at_the_deadline() -> None:
    def drip(peer: Peer) -> None:
        peer.drip(accepted(peer.request()), 0.05)

    for script in (lambda peer: peer.hold(), drip):
        with Raw(script) as server:
            started = time.monotonic()
            seen = await see("ws", f"ws://{HOST}:{server.port}/", timeout=0.5)
            assert time.monotonic() - started < 1.5
        assert seen.fault is not None
        assert seen.fault.kind == "timeout.response"
        assert seen.facts["connected"] is False


@pytest.mark.parametrize(
    "target",
    [{"url": "http://a.test"}, {"url": "ws://"}, {"url": "ws://u:p@a.test"}, {"url": "ws://169.254.169.254/"}, {"url": "ws://0x7f.1/"},
     {"url": "ws://a.test", "headers": {"Upgrade": "x"}}, {"url": "ws://a.test", "headers": {"x": "a\r\nb"}},
     {"url": "ws://a.test", "x": 1}, {"url": "ws://a.test", "expect": "("}, {"url": "ws://a.test", "subprotocols": ["a b"]}],
)  # fmt: skip
def test_what_is_refused_at_load(target: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(target)


def test_the_short_form() -> None:
    assert KIND.short(" wss://a.test/feed ") == {"url": "wss://a.test/feed"}
    assert KIND.describe({"url": "wss://a.test/feed"}) == "wss://a.test/feed"
    with pytest.raises(ValueError, match="write wss"):
        KIND.short([])
