"""``http`` against real servers on loopback: facts, phases, redirects, TLS, what may be written."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
import time
import zlib
from pathlib import Path

import httpx
import pytest
import respx
import trustme

from probes.core.units import Duration, Size
from probes.kinds import KINDS
from tests.kinds.looking import HOST, see, url
from tests.servers.raw import Peer, Raw, answer, response, server_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def test_the_facts_of_an_answer() -> None:
    body = json.dumps({"items": [{"id": 7}], "total": 12.5}).encode()
    with Raw(answer(response(body, "201 Created", Content_Type="application/json", X_Region="dublin"))) as server:
        seen = await see("http", url(server, "/v1/quotes?a=b"))
    assert seen.fault is None
    facts = seen.facts
    assert facts["status"] == 201
    assert facts["body"] == {"items": [{"id": 7}], "total": 12.5}
    assert facts["header"]["content-type"] == "application/json"
    assert facts["header"]["x-region"] == "dublin"
    assert facts["size"] == len(body)
    assert isinstance(facts["size"], Size)
    assert (facts["ip"], facts["family"], facts["redirects"], facts["http_version"]) == (HOST, 4, 0, "1.1")
    assert facts["url"] == url(server, "/v1/quotes?a=b")
    assert all(isinstance(facts[name], Duration) for name in ("latency", "total", "resolve", "connect", "wait", "receive"))
    assert set(facts) <= set(KINDS["http"].facts)
    assert seen.latency == pytest.approx(sum(seen.phases[name] for name in ("connect", "wait", "receive")))
    assert seen.total >= (seen.latency or 0)
    json.dumps(dict(seen.evidence))


async def test_what_is_sent() -> None:
    with Raw(answer(response())) as server:
        await see("http", url(server, "/a?x=1"))
        target = {
            "method": "PUT",
            "url": url(server, "/b?x=1"),
            "query": {"page": 2, "q": "ä b"},
            "headers": {"X-Kind": "demo", "Accept": "text/plain"},
            "json": {"name": 'a "quote"', "n": None},
            "auth": {"basic": {"user": "ann", "password": "s3:cret"}},
        }
        seen = await see("http", target)
        await see("http", {"method": "POST", "url": url(server), "form": {"a": "1 2", "b": "&"}, "auth": {"bearer": "tok"}})
        await see("http", {"url": url(server), "http_version": 1.0})
    assert seen.facts["status"] == 200
    plain, put, form, old = (request.decode() for request in server.requests)
    assert plain.startswith("GET /a?x=1 HTTP/1.1\r\n")
    assert f"Host: {HOST}:{server.port}\r\n" in plain
    assert "user-agent: Probes/" in plain
    assert "Connection: close\r\n" in plain
    assert re.match(r"PUT /b\?x=1&page=2&q=%C3%A4(\+|%20)b HTTP/1.1\r\n", put)
    assert "accept: text/plain\r\n" in put
    assert "authorization: Basic YW5uOnMzOmNyZXQ=\r\n" in put
    assert put.endswith('\r\n\r\n{"name":"a \\"quote\\"","n":null}')
    assert "content-type: application/json\r\n" in put
    assert form.endswith("\r\n\r\na=1+2&b=%26")
    assert "authorization: Bearer tok\r\n" in form
    assert old.startswith("GET / HTTP/1.0\r\n")


async def test_a_large_body_is_sent_while_the_answer_comes() -> None:
    """A server that answers while it still reads must not lock both sides up."""
    size = 3_000_000

    def echo(peer: Peer) -> None:
        head = peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        rest = head.partition(b"\r\n\r\n")[2]
        sent = len(rest)
        peer.send(rest)
        while sent < size:
            data = peer.read()
            peer.send(data)
            sent += len(data)

    with Raw(echo) as server:
        seen = await see("http", {"method": "POST", "url": url(server), "body": "x" * size}, timeout=20)
    assert seen.fault is None
    assert seen.facts["size"] == size


async def test_an_early_refusal_of_a_large_body_is_an_answer() -> None:
    def refuse(peer: Peer) -> None:
        peer.request()
        peer.send(response(b"too much", "413 Content Too Large"))
        peer.wait(0.2)

    with Raw(refuse) as server:
        seen = await see("http", {"method": "POST", "url": url(server), "body": "x" * 8_000_000})
    assert seen.facts["status"] == 413


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", "old"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n", "abcde"),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nA: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nok", "ok"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than was announced", "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\nContent-Length: 2\r\n\r\nbx", "bx"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Length: 3\r\n\r\n\xe9t\xe9", "été"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=punycode\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfeok", "\ufffd\ufffdok"),
    ],
)
async def test_bodies_as_the_protocol_allows(reply: bytes, body: str) -> None:
    with Raw(answer(reply)) as server:
        seen = await see("http", url(server))
    assert seen.fault is None
    assert seen.facts["body"] == body


async def test_a_connection_that_stays_open_after_the_body_holds_nobody() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(response())
        peer.hold()

    with Raw(script) as server:
        seen = await see("http", url(server), timeout=30)
        head = await see("http", {"method": "HEAD", "url": url(server)}, timeout=30)
    assert (seen.fault, head.fault) == (None, None)
    assert head.facts["body"] == ""
    assert seen.total < 15


def packed(name: str, data: bytes) -> bytes:
    bare = zlib.compressobj(wbits=-15)
    return {
        "gzip": gzip.compress(data),
        "x-gzip": gzip.compress(data[:3]) + gzip.compress(data[3:]),
        "deflate": zlib.compress(data),
        "Deflate": bare.compress(data) + bare.flush(),
        "deflate, gzip": gzip.compress(zlib.compress(data)),
        "identity": data,
    }[name]


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "deflate", "Deflate", "deflate, gzip", "identity"])
async def test_content_encodings(name: str) -> None:
    text = b'{"a": "' + b"word " * 1000 + b'"}'
    with Raw(answer(response(packed(name, text), Content_Encoding=name))) as server:
        seen = await see("http", url(server))
    assert seen.facts["body"] == {"a": "word " * 1000}
    assert seen.facts["size"] == len(packed(name, text))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"n": ' + "9" * 5000 + "}",
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": 1' + "0" * 400 + ".0}",
        '{"a": 1} trailing',
        "[" + "{}," * 300_000 + "{}]",
    ],
    ids=["deep", "digits", "nan", "infinite", "long", "trailing", "many"],
)
async def test_json_that_is_none_is_text(text: str) -> None:
    with Raw(answer(response(text.encode(), Content_Type="application/json"))) as server:
        seen = await see("http", url(server))
    assert seen.fault is None
    assert seen.facts["body"] == text


async def test_half_a_surrogate_pair_can_be_written_by_everyone_downstream() -> None:
    with Raw(answer(response(b'{"a": "x\\ud800y", "b": "\\ud83d\\ude00"}'))) as server:
        seen = await see("http", url(server))
    assert seen.facts["body"] == {"a": "x?y", "b": "\U0001f600"}


async def test_evidence_is_small_plain_and_without_credentials() -> None:
    hostile = b"\x1b[31mred\x00\x07\xe2\x80\xaeflip " + b"x" * 5000
    reply = response(hostile, Set_Cookie="session=SECRET", X_Api_Token="SECRET", Server="nginx\x1b[2J"[:5])
    with Raw(answer(reply)) as server:
        seen = await see("http", url(server))
    shown = json.dumps(dict(seen.evidence), ensure_ascii=False)
    assert "SECRET" not in shown
    assert "set-cookie" in seen.evidence["response"]["hidden_headers"]
    assert seen.evidence["body"].startswith("redflip xxx")
    assert len(seen.evidence["body"]) == 1024


# Time


async def test_each_phase_holds_its_own_delay() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.wait(0.15)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        peer.wait(0.3)
        peer.send(b"cd")

    with Raw(script) as server:
        seen = await see("http", url(server))
    phases = seen.phases
    assert phases["wait"] >= 0.15
    assert phases["receive"] >= 0.3
    assert phases["connect"] < phases["wait"] < phases["receive"]


async def test_a_loop_of_ours_that_is_late_is_not_in_the_number() -> None:
    """The target answers after 100 ms, while our loop is held up for 400 ms."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.wait(0.1)
        peer.send(response())
        peer.hold()

    with Raw(script) as server:
        await see("http", url(server))
        running = asyncio.create_task(see("http", url(server)))
        while len(server.requests) < 2:
            await asyncio.sleep(0.001)
        time.sleep(0.4)
        seen = await running
    if seen.clock != "kernel":
        pytest.skip("this kernel does not stamp what it receives")
    assert 0.09 < (seen.latency or 0) < 0.3
    assert 0.09 < seen.total < 0.3
    assert seen.loop_lag > 0.2


async def test_an_answer_in_time_counts_although_we_come_late_to_read_it() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.wait(0.1)
        peer.send(response())
        peer.hold()

    with Raw(script) as server:
        running = asyncio.create_task(see("http", url(server), timeout=0.6))
        while not server.requests:
            await asyncio.sleep(0.001)
        time.sleep(1)
        seen = await running
    if seen.clock != "kernel":
        pytest.skip("this kernel does not stamp what it receives")
    assert seen.fault is None


async def test_a_machine_too_busy_to_tell_does_not_blame_the_target() -> None:
    with Raw(lambda peer: peer.hold()) as server:
        running = asyncio.create_task(see("http", url(server), timeout=0.6))
        while not server.connections:
            await asyncio.sleep(0.001)
        time.sleep(1)
        seen = await running
    assert seen.fault is not None
    assert seen.fault.kind == "probe.overloaded"
    assert seen.fault.ours


# TLS


async def test_https_facts(authority: trustme.CA, anchors: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(anchors)
    with Raw(answer(response()), server_context(authority, HOST, "shop.test")) as server:
        seen = await see("http", {"url": url(server, scheme="https"), "ca": "ca.pem"}, base=str(tmp_path))
        untrusted = await see("http", url(server, scheme="https"))
        lax = await see("http", {"url": url(server, scheme="https"), "verify": False})
        missing = await see("http", {"url": url(server, scheme="https"), "ca": "none.pem"}, base=str(tmp_path))
    assert seen.fault is None
    assert seen.facts["tls_version"] == "TLSv1.3"
    assert seen.facts["cipher"]
    assert set(seen.facts["names"]) == {HOST, "shop.test"}
    assert seen.facts["expires_in"] > 0
    assert seen.phases["tls"] > 0
    assert untrusted.fault is not None
    assert untrusted.fault.kind == "tls.untrusted"
    assert untrusted.evidence["certificate"]["names"]
    assert lax.fault is None
    assert lax.facts["expires_in"] > 0
    assert missing.fault is not None
    assert missing.fault.kind == "probe.internal"
    assert "none.pem" in missing.fault.because


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(authority: trustme.CA, anchors: str, version: ssl.TLSVersion, tmp_path: Path) -> None:
    mine = authority.issue_cert("probe@shop.example")
    chain, key = b"".join(blob.bytes() for blob in mine.cert_chain_pems).decode(), mine.private_key_pem.bytes().decode()
    (tmp_path / "cert.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    demanding = server_context(authority, HOST, clients=authority, oldest=version, newest=version)
    with Raw(answer(response()), demanding) as server:
        base = {"url": url(server, scheme="https"), "ca": anchors}
        without = await see("http", base)
        text = await see("http", {**base, "client_cert": chain, "client_key": key})
        files = await see("http", {**base, "client_cert": "cert.pem", "client_key": "key.pem"}, base=str(tmp_path))
        broken = await see("http", {**base, "client_cert": chain, "client_key": anchors})
    assert (text.fault, files.fault) == (None, None)
    assert without.fault is not None
    assert without.fault.kind == "tls.client_cert_required"
    assert broken.fault is not None
    assert broken.fault.kind == "probe.internal"
    assert "PRIVATE" not in broken.fault.because


async def test_anchors_of_the_environment_are_honoured(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "anchors.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "anchors.pem"))
    with Raw(answer(response()), server_context(authority, HOST)) as server:
        seen = await see("http", url(server, scheme="https"))
    assert seen.fault is None


# Mocks


async def test_respx_mocks_the_kind() -> None:
    with respx.mock(using="httpx") as router:
        router.get("https://api.shop.example/v1").respond(201, json={"a": 1}, headers={"X-A": "b"})
        router.get("https://api.shop.example/moved").respond(302, headers={"Location": "/v1"})
        router.get("https://api.shop.example/down").mock(side_effect=httpx.ConnectError("refused"))
        seen = await see("http", "https://api.shop.example/v1")
        moved = await see("http", "https://api.shop.example/moved")
        down = await see("http", "https://api.shop.example/down")
    assert (seen.facts["status"], seen.facts["body"], seen.facts["header"]["x-a"]) == (201, {"a": 1}, "b")
    assert (moved.facts["status"], moved.facts["redirects"]) == (201, 1)
    assert down.fault is not None
    assert down.fault.kind == "conn.refused"
