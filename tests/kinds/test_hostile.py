"""The wire against servers that misbehave: each gets its fault, in time; nothing stalls, bloats or is left behind."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import tracemalloc
import zlib

import pytest
import trustme

from tests.kinds.looking import HOST, Ticks, connections, see, tidy
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context

OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(200_000_000), 9)


def then(*pieces: bytes, hold: bool = True) -> Script:
    """Answer with these pieces, and stay."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(*pieces)
        if hold:
            peer.hold()

    return script


def flood(start: bytes, piece: bytes, gap: float = 0.0) -> Script:
    """Answer with ``start``, and then the same piece for ever."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        peer.for_ever(piece, gap)

    return script


def asked(script: Script) -> Script:
    def wrapped(peer: Peer) -> None:
        peer.request()
        script(peer)

    return wrapped


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

HOSTILE: dict[str, tuple[Script, set[str]]] = {
    # connection
    "closes at once": (lambda peer: peer.sock.close(), {"http.empty_reply", "conn.reset"}),
    "closes after the request": (answer(), {"http.empty_reply"}),
    "resets after the request": (asked(lambda peer: peer.reset()), {"conn.reset"}),
    "never answers": (asked(lambda peer: peer.hold()), {"timeout.response"}),
    "never reads": (lambda peer: peer.wait(30), {"timeout.response"}),
    # heads
    "greets like ssh": (lambda peer: (peer.send(b"SSH-2.0-OpenSSH_9.2\r\n"), peer.hold()), {"http.malformed"}),
    "greets like smtp": (lambda peer: (peer.send(b"220 mail ESMTP\r\n"), peer.hold()), {"http.malformed"}),
    "speaks http/2": (answer(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), {"http.malformed"}),
    "sends zeros for ever": (flood(b"", bytes(8192)), {"http.malformed"}),
    "sends text": (answer(b"hello world\r\n\r\n"), {"http.malformed"}),
    "a status line cut short": (answer(b"HTTP/1.1"), {"conn.closed"}),
    "a status that is no number": (answer(b"HTTP/1.1 abc OK\r\n\r\n"), {"http.malformed"}),
    "a status of two digits": (answer(b"HTTP/1.1 99 Low\r\n\r\n"), {"http.malformed"}),
    "a status below 100": (answer(b"HTTP/1.1 042 Low\r\n\r\n"), {"http.protocol", "http.malformed"}),
    "http of another age": (answer(b"HTTP/7.3 200 OK\r\n\r\n"), {"http.malformed", "http.protocol"}),
    "headers that end early": (answer(OK + b"Content-Type: te"), {"conn.closed"}),
    "a header without a name": (answer(OK + b": x\r\n\r\n"), {"http.malformed"}),
    "a header with a zero byte": (answer(OK + b"X: a\x00b\r\n\r\n"), {"http.malformed"}),
    "one endless header": (flood(OK + b"X: ", b"a" * 8192), {"http.headers_too_large"}),
    "endless headers": (flood(OK, b"X-Name: value\r\n" * 200), {"http.headers_too_large"}),
    "5,000 headers": (answer(OK + b"X-Name: some value\r\n" * 5000 + b"\r\n"), {"http.headers_too_large"}),
    "12,000 tiny headers and no body": (
        answer(OK + b"".join(b"%x:\r\n" % i for i in range(11_000)) + b"\r\n", b""),
        {"http.headers_too_large"},
    ),
    "headers, byte by byte": (asked(lambda peer: peer.drip(OK + b"X: y\r\n" * 500)), {"timeout.response"}),
    "a head, and then nothing": (then(OK + b"X: y\r\n"), {"timeout.response"}),
    "endless interim answers": (flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), {"http.protocol"}),
    "slow interim answers": (flood(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.1), {"timeout.response"}),
    "an upgrade nobody asked for": (then(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), {"http.protocol"}),
    # lengths
    "two lengths": (answer(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), {"http.protocol"}),
    "a negative length": (answer(OK + b"Content-Length: -2\r\n\r\n"), {"http.protocol"}),
    "a length in words": (answer(OK + b"Content-Length: two\r\n\r\n"), {"http.protocol"}),
    "a length of 40 digits": (answer(OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"), {"http.protocol", "body.too_large"}),
    "a length of 10 GB": (then(OK + b"Content-Length: 10000000000\r\n\r\nx"), {"body.too_large"}),
    "an unknown transfer encoding": (answer(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), {"http.protocol"}),
    # bodies
    "a body cut short": (answer(OK + b"Content-Length: 10\r\n\r\nabc"), {"body.truncated"}),
    "a body reset": (
        asked(lambda peer: (peer.send(OK + b"Content-Length: 9\r\n\r\nabc"), peer.wait(0.1), peer.reset())),
        {"conn.reset"},
    ),
    "a body that stalls": (then(OK + b"Content-Length: 10\r\n\r\nabc"), {"timeout.body"}),
    "a body, byte by byte": (asked(lambda peer: (peer.send(OK + b"\r\n"), peer.drip(b"a" * 5000))), {"timeout.body"}),
    "an endless body": (flood(OK + b"\r\n", b"a" * 65536), {"body.too_large"}),
    "an endless chunked body": (flood(CHUNKED, b"8000\r\n" + b"a" * 32768 + b"\r\n"), {"body.too_large"}),
    "chunks cut short": (answer(CHUNKED + b"5\r\nab"), {"body.truncated"}),
    "chunks without an end": (answer(CHUNKED + b"2\r\nab\r\n"), {"body.truncated"}),
    "a chunk size that is none": (answer(CHUNKED + b"xyz\r\nab\r\n0\r\n\r\n"), {"http.bad_chunking"}),
    "a negative chunk": (answer(CHUNKED + b"-2\r\nab\r\n0\r\n\r\n"), {"http.bad_chunking"}),
    "a chunk size of 40 digits": (answer(CHUNKED + b"f" * 40 + b"\r\nab"), {"http.bad_chunking"}),
    "a chunk longer than said": (answer(CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n"), {"http.bad_chunking"}),
    "an endless chunk extension": (flood(CHUNKED + b"2;x=", b"a" * 8192), {"http.headers_too_large", "http.bad_chunking"}),
    "an endless trailer": (flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 500), {"http.headers_too_large"}),
    "chunks of one byte for ever": (flood(CHUNKED, b"1\r\na\r\n" * 5000), {"http.bad_chunking", "timeout.body"}),
    # encodings
    "a gzip bomb": (answer(response(BOMB, Content_Encoding="gzip")), {"body.too_large"}),
    "a gzip bomb in gzip": (answer(response(gzip.compress(BOMB), Content_Encoding="gzip, gzip")), {"body.too_large"}),
    "gzip cut short": (answer(response(gzip.compress(b"abc" * 999)[:-9], Content_Encoding="gzip")), {"body.decode"}),
    "gzip damaged": (answer(response(gzip.compress(b"abc" * 999)[:-8] + bytes(8), Content_Encoding="gzip")), {"body.decode"}),
    "gzip that is none": (answer(response(b"plain text", Content_Encoding="gzip")), {"body.decode"}),
    "deflate cut short": (answer(response(zlib.compress(b"abc" * 999)[:-9], Content_Encoding="deflate")), {"body.decode"}),
    "five encodings": (answer(response(b"x", Content_Encoding="gzip, gzip, gzip, gzip, gzip")), {"body.decode"}),
}


@pytest.fixture(autouse=True)
async def warm() -> None:
    """What is kept for the whole process (the stamping socket, imports) is there before anything is counted."""
    with Raw(answer(response())) as server:
        await see("http", f"http://{HOST}:{server.port}/")


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_server_gets_its_fault_in_time(name: str) -> None:
    script, kinds = HOSTILE[name]
    timeout = 0.4 if any(kind.startswith("timeout.") for kind in kinds) and len(kinds) == 1 else 10.0
    with Raw(script) as server:
        async with tidy():
            started = time.monotonic()
            seen = await see("http", f"http://{HOST}:{server.port}/", timeout)
            took = time.monotonic() - started
            assert connections(server.port) == 0
    assert seen.fault is not None
    assert seen.fault.kind in kinds, seen.fault
    assert took < timeout + 1
    assert seen.fault.because
    assert (seen.latency, seen.facts.get("latency")) == (None, None)
    assert seen.phases.get("connect") is not None
    if seen.fault.kind.startswith(("body.", "timeout.body", "http.bad")):
        assert seen.facts["status"] == 200
        assert seen.evidence["response"]["status"] == "200 OK"


def slowly(data: bytes) -> Script:
    return lambda peer: (peer.read(), peer.drip(data, 0.05))


TLS_HOSTILE: dict[str, tuple[Script, set[str]]] = {
    "plain http": (lambda peer: (peer.read(), peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")), {"tls.not_tls"}),
    "an ssh greeting": (lambda peer: (peer.send(b"SSH-2.0-x\r\n"), peer.hold()), {"tls.not_tls"}),
    "closes": (lambda peer: (peer.read(), peer.sock.shutdown(socket.SHUT_WR)), {"conn.closed"}),
    "resets": (lambda peer: (peer.read(), peer.reset()), {"conn.reset"}),
    "nothing": (lambda peer: peer.hold(), {"timeout.tls"}),
    "a record that never ends": (slowly(b"\x16\x03\x03\x40\x00" + bytes(5000)), {"timeout.tls"}),
    "a hello cut short": (
        lambda peer: (peer.read(), peer.send(b"\x16\x03\x03\x00\x7a\x02"), peer.sock.close()),
        {"tls.handshake", "conn.reset"},
    ),
    "noise in a record": (
        lambda peer: (peer.read(), peer.send(b"\x16\x03\x03\x00\x10" + b"\xee" * 16), peer.hold()),
        {"tls.handshake"},
    ),
    "alert: protocol version": (lambda peer: (peer.read(), peer.send(b"\x15\x03\x01\x00\x02\x02\x46")), {"tls.protocol_version"}),
    "alert: handshake failure": (lambda peer: (peer.read(), peer.send(b"\x15\x03\x03\x00\x02\x02\x28")), {"tls.no_shared_cipher"}),
    "alert: unrecognized name": (lambda peer: (peer.read(), peer.send(b"\x15\x03\x03\x00\x02\x02\x70")), {"tls.handshake"}),
    "alert: internal error": (lambda peer: (peer.read(), peer.send(b"\x15\x03\x03\x00\x02\x02\x50")), {"tls.handshake"}),
}


@pytest.mark.parametrize("kind", ["http", "tls"])
@pytest.mark.parametrize("name", TLS_HOSTILE)
async def test_a_hostile_tls_server_gets_its_fault_in_time(name: str, kind: str) -> None:
    script, kinds = TLS_HOSTILE[name]
    timeout = 0.4 if kinds == {"timeout.tls"} else 10.0
    with Raw(script) as server:
        address = f"{HOST}:{server.port}"
        async with tidy():
            started = time.monotonic()
            seen = await see(kind, f"https://{address}/" if kind == "http" else address, timeout)
            took = time.monotonic() - started
            assert connections(server.port) == 0
    assert seen.fault is not None
    assert seen.fault.kind in kinds, seen.fault
    assert took < timeout + 1


async def test_a_full_accept_queue_is_a_connect_timeout() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((HOST, 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        await asyncio.sleep(0.05)
        seen = await see("tcp", f"{HOST}:{listener.getsockname()[1]}", 0.5)
    assert seen.fault is not None
    assert seen.fault.kind == "timeout.connect"
    assert seen.facts["connected"] is False


@pytest.mark.parametrize("kind", ["gzip", "chunks", "tls body", "json"])
async def test_no_body_holds_up_the_loop(kind: str) -> None:
    """Others get their turns while 10 MB are taken apart: 250 ms is the bound, and machines under test are busy."""
    authority = trustme.CA()
    scripts = {
        "gzip": answer(response(gzip.compress(b"abcdefgh" * 1_200_000), Content_Encoding="gzip")),
        "chunks": answer(CHUNKED, b"1\r\na\r\n" * 100_000, b"0\r\n\r\n"),
        "tls body": answer(response(b"x" * 10_000_000)),
        "json": answer(response(b"{" + b",".join(b'"%d":1' % i for i in range(120_000)) + b"}")),
    }
    context = server_context(authority, HOST) if kind == "tls body" else None
    ticks = Ticks()
    with Raw(scripts[kind], context) as server:
        scheme = "https" if context else "http"
        counting = asyncio.create_task(ticks.run())
        await asyncio.sleep(0)
        seen = await see("http", {"url": f"{scheme}://{HOST}:{server.port}/", "verify": False}, 30)
        ticks.tick()
        counting.cancel()
    assert seen.fault is None
    assert ticks.longest < max(0.25, 0.8 * seen.total)


async def test_a_bomb_takes_little_memory() -> None:
    with Raw(answer(response(BOMB, Content_Encoding="gzip"))) as server:
        tracemalloc.start()
        seen = await see("http", f"http://{HOST}:{server.port}/", 20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen.fault is not None
    assert seen.fault.kind == "body.too_large"
    assert peak < 96 * 1024 * 1024
