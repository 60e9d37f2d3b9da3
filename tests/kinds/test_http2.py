"""``http`` over HTTP/2: against nginx and Node (nghttp2), and against servers that break the protocol frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hpack
import pytest
import trustme

from probes.core.result import Observation
from tests.kinds.looking import HOST, STALL, Ticks, connections, see, tidy, url
from tests.servers.forward import forwarding
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK, PADDED = 1, 4, 1, 8


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def kind(seen: Observation) -> str | None:
    return seen.fault.kind if seen.fault else None


async def look(server: Raw, path: str = "/", timeout: float = 5.0, **more: Any) -> Observation:
    return await see("http", {"url": url(server, path), "http_version": 2} | more, timeout=timeout)


# Real servers


def free() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(name: str, folder: Path, port: int, *arguments: str) -> Iterator[None]:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    with subprocess.Popen([program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            end = time.monotonic() + 20
            while True:
                if server.poll() is not None or time.monotonic() > end:
                    server.kill()
                    pytest.fail(f"{name} did not start: {server.communicate()[1].decode(errors='replace')[-800:]}")
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                    break
                time.sleep(0.02)
            yield
        finally:
            server.terminate()
            server.communicate(timeout=10)


async def test_nginx(authority: trustme.CA, anchors: str, tmp_path: Path) -> None:
    port = free()
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    (tmp_path / "index.html").write_text("real " * 500)
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid nginx.pid; error_log stderr;
        events {{ worker_connections 64; }}
        http {{
          access_log off; gzip on; gzip_types text/plain; gzip_min_length 1; keepalive_requests 1;
          client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
          server {{
            listen {HOST}:{port} ssl http2; ssl_certificate server.pem; ssl_certificate_key server.pem;
            root {tmp_path};
            location = /away {{ return 302 /index.html; }}
            location = /broken {{ return 503; }}
            location = /large {{ gzip off; }}
          }}
        }}""")
    base = {"ca": anchors, "http_version": 2}
    with running("nginx", tmp_path, port, "-p", str(tmp_path), "-c", "nginx.conf"):
        page = await see("http", {"url": f"https://{HOST}:{port}/", **base})
        assert (kind(page), page.facts["status"], page.facts["http_version"]) == (None, 200, "2")
        assert page.facts["body"].startswith("real real")
        assert page.facts["header"]["content-encoding"] == "gzip"
        assert page.facts["tls_version"].startswith("TLSv1.")
        assert page.latency == pytest.approx(sum(page.phases[name] for name in ("connect", "tls", "wait", "receive")))
        assert page.clock == "kernel" or not hasattr(socket, "SO_TIMESTAMPNS")
        large = await see("http", {"url": f"https://{HOST}:{port}/large", **base})
        assert (kind(large), large.facts["size"]) == (None, 3_000_000)
        away = await see("http", {"url": f"https://{HOST}:{port}/away", **base})
        assert (kind(away), away.facts["redirects"], away.facts["http_version"]) == (None, 1, "2")
        assert (await see("http", {"url": f"https://{HOST}:{port}/broken", **base})).facts["status"] == 503
        head = await see("http", {"url": f"https://{HOST}:{port}/large", "method": "HEAD", **base})
        assert (kind(head), head.facts["body"], head.facts["header"]["content-length"]) == (None, "", "3000000")
        plain = await see("http", {"url": f"https://{HOST}:{port}/", "ca": anchors})
        assert plain.facts["http_version"] == "1.1"


NODE = """
const http2 = require("node:http2");
const server = http2.createServer();
server.on("stream", (stream, headers) => {
  const path = headers[":path"];
  stream.on("error", () => {});
  if (path === "/echo") {
    let size = 0;
    stream.on("data", (chunk) => { size += chunk.length; });
    stream.on("end", () => {
      stream.respond({":status": 201, "content-type": "application/json", "set-cookie": ["a=1", "b=2"]}, {waitForTrailers: true});
      stream.on("wantTrailers", () => stream.sendTrailers({"x-sum": "7"}));
      stream.end(JSON.stringify({size, headers}));
    });
  } else if (path === "/reset") stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  else if (path === "/goaway") stream.session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  else if (path === "/hints") { stream.additionalHeaders({":status": 103}); stream.respond({":status": 200}); stream.end("ok"); }
  else { stream.respond({":status": 200}); stream.write("a"); setTimeout(() => stream.end("b"), 300); }
});
server.listen(Number(process.argv[1]), "127.0.0.1");
"""


async def test_node_in_the_clear(tmp_path: Path) -> None:
    port = free()
    with running("node", tmp_path, port, "-e", NODE, str(port)):
        base = f"http://{HOST}:{port}"
        body = "y" * 2_000_000
        auth = {"basic": {"user": "u", "password": "p"}}
        target = {"url": f"{base}/echo", "method": "POST", "body": body, "headers": {"X-Kind": "Demo"}, "auth": auth}
        echo = await see("http", target | {"http_version": 2})
        assert (kind(echo), echo.facts["status"], echo.facts["body"]["size"]) == (None, 201, len(body))
        got = echo.facts["body"]["headers"]
        assert (got[":method"], got[":authority"], got["x-kind"]) == ("POST", f"{HOST}:{port}", "Demo")
        assert got["authorization"] == "Basic dTpw"
        assert "connection" not in got
        slow = await see("http", {"url": f"{base}/slow", "http_version": 2})
        assert (slow.facts["body"], slow.phases["receive"] >= 0.3) == ("ab", True)
        assert (await see("http", {"url": f"{base}/hints", "http_version": 2})).facts["body"] == "ok"
        reset = await see("http", {"url": f"{base}/reset", "http_version": 2})
        assert (kind(reset), "REFUSED_STREAM" in str(reset.fault)) == ("http.protocol", True)
        goaway = await see("http", {"url": f"{base}/goaway", "http_version": 2})
        assert (kind(goaway), "ENHANCE_YOUR_CALM" in str(goaway.fault)) == ("http.protocol", True)


# What is not HTTP/2


async def test_a_server_without_http2_is_told_of(authority: trustme.CA, anchors: str) -> None:
    context = server_context(authority, HOST)
    with Raw(answer(response()), context) as server:
        none = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "http_version": 2})
    context.set_alpn_protocols(["http/1.1"])
    with Raw(answer(response()), context) as server:
        old = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "http_version": 2})
        plain = await see("http", {"url": url(server, scheme="https"), "ca": anchors})
    assert (kind(none), "it chose no protocol" in str(none.fault)) == ("http.protocol", True)
    assert (kind(old), "it chose http/1.1" in str(old.fault)) == ("http.protocol", True)
    assert kind(plain) is None


async def test_http2_through_a_proxy_and_with_a_client_certificate(authority: trustme.CA, anchors: str) -> None:
    mine = authority.issue_cert("probe@shop.example")
    pem = b"".join(blob.bytes() for blob in mine.cert_chain_pems) + mine.private_key_pem.bytes()
    context = server_context(authority, "shop.example", clients=authority)
    context.set_alpn_protocols(["h2"])
    with Raw(sends(head(), END), context) as server, Raw(forwarding(server.port)) as proxy:
        asked = {"url": "https://shop.example/", "ca": anchors, "http_version": 2, "proxy": url(proxy)}
        without = await see("http", asked)
        seen = await see("http", asked | {"client_cert": pem.decode()})
    assert kind(without) == "tls.client_cert_required"
    assert (kind(seen), seen.facts["body"], seen.facts["http_version"]) == (None, "ok", "2")
    assert seen.facts["tunnel"] > 0


async def test_http2_in_the_clear_is_for_the_origin_that_was_named() -> None:
    with Raw(answer(response(b"old"))) as other, Raw(serving(lambda peer: redirect(peer, url(other)))) as server:
        seen = await look(server)
    assert (kind(seen), seen.facts["body"], seen.facts["http_version"]) == (None, "old", "1.1")


# Frame by frame


def frame(sort: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([sort, flags]) + struct.pack(">I", stream) + payload


def head(*fields: tuple[str, str], status: str = "200", flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, hpack.Encoder().encode([(":status", status), *fields]), flags)


HELLO = frame(SETTINGS, stream=0)


def serving(script: Callable[[Peer], Any]) -> Script:
    """A server that has read the request (in the clear) and said hello."""

    def run(peer: Peer) -> None:
        seen = b""
        while len(seen) < len(PREFACE) or frame(HEADERS)[3:4] not in types(seen[len(PREFACE) :]):
            seen += peer.read()
        peer.send(HELLO)
        script(peer)

    return run


def types(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 9:
        found.append(data[3:4])
        data = data[9 + int.from_bytes(data[:3]) :]
    return found


def redirect(peer: Peer, location: str) -> None:
    peer.send(head(("location", location), status="302", flags=END_HEADERS | END_STREAM))


def hangs_up(*pieces: bytes) -> Script:
    """Closed in one direction only: data of ours that nobody has read would make a reset of it."""
    return serving(lambda peer: (peer.send(*pieces), peer.sock.shutdown(socket.SHUT_WR), peer.hold()))


def sends(*pieces: bytes) -> Script:
    return serving(lambda peer: (peer.send(*pieces), peer.hold()))


def endless(piece: bytes, first: bytes = b"") -> Script:
    return serving(lambda peer: (peer.send(first), peer.for_ever(piece)))


END = frame(DATA, b"ok", END_STREAM)
POLITE = frame(GOAWAY, struct.pack(">II", 1, 0), stream=0)
LARGE_BLOCK = hpack.Encoder().encode([(":status", "200"), *((f"x-{n}", "v" * 4000) for n in range(40))])


def split(block: bytes) -> bytes:
    first, *rest = (block[at : at + 16_000] for at in range(0, len(block), 16_000))
    parts = [frame(CONTINUATION, part) for part in rest[:-1]] + [frame(CONTINUATION, part, END_HEADERS) for part in rest[-1:]]
    return frame(HEADERS, first) + b"".join(parts)


def indexed(times: int) -> bytes:
    """One long header in the table, named again and again by one byte: a bomb of headers."""
    encoder = hpack.Encoder()
    first = encoder.encode([(":status", "200"), ("x-bomb", "v" * 3900)])
    return first + encoder.encode([("x-bomb", "v" * 3900)]) * times


@pytest.mark.parametrize(
    "pieces",
    [
        (head(), END),
        (head(status="103"), head(), END),
        (head(), frame(DATA, b"\x03okpad", PADDED | END_STREAM)),
        (head(), frame(DATA, b"o"), frame(DATA, b"k", END_STREAM)),
        (head(), frame(DATA, b"ok"), frame(HEADERS, hpack.Encoder().encode([("x-sum", "1")]), END_HEADERS | END_STREAM)),
        (POLITE, head(), END),
        (head(), POLITE, frame(DATA, b"o"), frame(GOAWAY, struct.pack(">II", 1, 0), stream=0), frame(DATA, b"k", END_STREAM)),
        (frame(PING, bytes(8), stream=0), head(), frame(PING, bytes(8), stream=0), END),
        (frame(0xFA, b"new"), head(), END),
        (head(("content-length", "2")), END, frame(RST, struct.pack(">I", 0))),
    ],
)
async def test_what_the_protocol_allows(pieces: tuple[bytes, ...]) -> None:
    with Raw(sends(*pieces)) as server:
        async with tidy():
            seen = await look(server)
        assert connections(server.port) == 0
    assert kind(seen) is None, seen.fault
    assert (seen.facts["body"], seen.facts["http_version"]) == ("ok", "2")
    json.dumps(dict(seen.evidence))


HOSTILE: dict[str, tuple[Script, str]] = {
    "speaks http/1.1": (lambda peer: (peer.read(), peer.send(response())), "http.malformed"),
    "speaks ssh": (lambda peer: (peer.send(b"SSH-2.0-OpenSSH\r\n"), peer.hold()), "http.malformed"),
    "says nothing": (lambda peer: peer.hold(), "timeout.response"),
    "says hello only": (sends(), "timeout.response"),
    "hangs up": (lambda peer: peer.read(), "http.empty_reply"),
    "hangs up after hello": (hangs_up(), "conn.closed"),
    "hangs up in the body": (hangs_up(head(), frame(DATA, b"o")), "body.truncated"),
    "resets the connection": (serving(lambda peer: peer.reset()), "conn.reset"),
    "resets the stream": (sends(frame(RST, struct.pack(">I", 7))), "http.protocol"),
    "resets it in the body": (sends(head(), frame(RST, struct.pack(">I", 2))), "http.protocol"),
    "an unknown error": (sends(frame(RST, struct.pack(">I", 0xFFFFFFFF))), "http.protocol"),
    "goes away": (sends(frame(GOAWAY, struct.pack(">II", 0, 0), stream=0)), "http.protocol"),
    "goes away in anger": (sends(frame(GOAWAY, struct.pack(">II", 1, 11) + b"\x1b[2J", stream=0)), "http.protocol"),
    "goes away in half a frame": (sends(frame(GOAWAY, bytes(4), stream=0)), "http.protocol"),
    "pings for ever": (endless(frame(PING, bytes(8), stream=0) * 500), "http.protocol"),
    "settings for ever": (endless(HELLO * 500), "http.protocol"),
    "pings now and then": (serving(lambda peer: peer.for_ever(frame(PING, bytes(8), stream=0), 0.05)), "timeout.response"),
    "empty data for ever": (endless(frame(DATA) * 1000, head()), "http.protocol"),
    "padding for ever": (endless(frame(DATA, b"\xff" + bytes(256), PADDED) * 60, head()), "timeout.body"),
    "interim answers for ever": (endless(head(status="100")), "http.protocol"),
    "window updates for ever": (endless(frame(WINDOW, struct.pack(">I", 1), stream=0) * 500), "http.protocol"),
    "unknown frames for ever": (endless(frame(0xFA, b"x" * 50) * 100), "http.protocol"),
    "a body for ever": (endless(frame(DATA, bytes(16_384)), head()), "body.too_large"),
    "a body announced too large": (sends(head(("content-length", "99999999999"))), "body.too_large"),
    "a body shorter than announced": (sends(head(("content-length", "3")), END), "body.truncated"),
    "a body longer than announced": (sends(head(("content-length", "1")), END), "http.protocol"),
    "data before headers": (sends(END), "http.protocol"),
    "a frame too large": (sends(frame(DATA, bytes(16_385))), "http.protocol"),
    "a frame of 16 MB announced": (sends(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"), "http.protocol"),
    "headers too large": (sends(split(LARGE_BLOCK)), "http.headers_too_large"),
    "a bomb of headers": (sends(split(indexed(60_000))), "http.headers_too_large"),
    "continuations for ever": (endless(frame(CONTINUATION, b"x"), frame(HEADERS, b"")), "http.protocol"),
    "no status": (sends(frame(HEADERS, hpack.Encoder().encode([("a", "b")]), END_HEADERS)), "http.protocol"),
    "a status that is none": (sends(head(status="abc"), END), "http.malformed"),
    "a status of four digits": (sends(head(status="2000"), END), "http.malformed"),
    "upper case": (sends(head(("X-Upper", "y")), END), "http.protocol"),
    "a line break in a header": (sends(head(("x", "a\r\nb")), END), "http.protocol"),
    "a connection header": (sends(head(("connection", "close")), END), "http.protocol"),
    "headers that cannot be unpacked": (sends(frame(HEADERS, b"\xff\xff\xff\xff\xff", END_HEADERS)), "http.protocol"),
    "a table of 4 GB": (sends(frame(HEADERS, b"\x3f\xe1\xff\xff\xff\x0f", END_HEADERS)), "http.protocol"),
    "a stream of its own": (sends(frame(HEADERS, hpack.Encoder().encode([(":status", "200")]), 5, stream=2)), "http.protocol"),
    "a push": (sends(frame(PUSH, struct.pack(">I", 2) + b"\x82", END_HEADERS)), "http.protocol"),
    "settings that make no sense": (sends(frame(SETTINGS, struct.pack(">HI", 4, 0xFFFFFFFF), stream=0)), "http.protocol"),
    "settings of odd length": (sends(frame(SETTINGS, b"xxx", stream=0)), "http.protocol"),
    "a window too wide": (sends(frame(WINDOW, struct.pack(">I", 0x7FFFFFFF), stream=0)), "http.protocol"),
    "a window of nothing": (sends(frame(WINDOW, struct.pack(">I", 0), stream=0)), "http.protocol"),
    "a body that stops": (sends(head(), frame(DATA, b"o")), "timeout.body"),
    "headers that stop": (sends(head()[:-1]), "timeout.response"),
    "a headers frame without end": (sends(frame(HEADERS, b"\x88")), "timeout.response"),
}


@pytest.mark.parametrize(("script", "expected"), HOSTILE.values(), ids=HOSTILE)
async def test_what_breaks_the_protocol_is_a_fault_in_time(script: Script, expected: str) -> None:
    ticks = Ticks()
    with Raw(script) as server:
        async with tidy():
            ticking = asyncio.create_task(ticks.run())
            started = time.monotonic()
            seen = await look(server, timeout=1)
            took = time.monotonic() - started
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
        assert connections(server.port) == 0
    assert kind(seen) == expected, seen.fault
    assert took < 2
    assert ticks.longest < STALL
    assert "\x1b" not in json.dumps([str(seen.fault), dict(seen.evidence)])


async def test_a_window_that_stays_shut_holds_the_upload_until_the_deadline() -> None:
    shut = frame(SETTINGS, struct.pack(">HI", 4, 0), stream=0)

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(shut)
        peer.hold()

    with Raw(script) as server:
        seen = await look(server, timeout=0.5, method="POST", body="x" * 500_000)
    assert kind(seen) == "timeout.response"


async def test_the_first_byte_counts_and_not_what_came_before() -> None:
    """SETTINGS at once, the first byte of the headers after 150 ms, their last after 300 ms, the body after 450 ms."""
    block = head()

    def script(peer: Peer) -> None:
        for piece in (b"", block[:3], block[3:] + frame(DATA, b"o"), frame(DATA, b"k", END_STREAM)):
            if piece:
                peer.wait(0.15)
                peer.send(piece)
        peer.hold()

    with Raw(serving(script)) as server:
        seen = await look(server)
    assert seen.facts["body"] == "ok"
    assert 0.15 <= seen.phases["wait"] < seen.phases["receive"]
    assert seen.phases["receive"] >= 0.3
