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
from typing import Any

import httpx
import pytest
import respx
import trustme
from pydantic import ValidationError

from probes.core.kind import Context
from probes.core.units import Duration, Size
from probes.kinds import KINDS
from probes.kinds.http import Target, exchange
from tests.kinds.looking import HOST, see
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context


def url(server: Raw, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{server.port}{path}"


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
        (
            (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nA: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nok", "ok"),
            "ok",
        ),
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
        '{"a": 1} trailing',
        "[" + "{}," * 600_000 + "{}]",
    ],
    ids=["deep", "digits", "nan", "infinite", "trailing", "many"],
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
    assert seen.total >= 0.35
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


# Redirects


def site(pages: dict[str, bytes]) -> Script:
    def script(peer: Peer) -> None:
        path = peer.request().split(b" ")[1].decode()
        peer.send(pages.get(path) or response(b"not here", "404 Not Found"))

    return script


def to(location: str, status: str = "302 Found", **headers: str) -> bytes:
    return response(b"moved", status, Location=location, **headers)


async def test_redirects_are_followed_and_timed_hop_by_hop() -> None:
    pages = {"/": to("/a?x=1#frag"), "/a?x=1": to("b", "301 Moved Permanently"), "/b": response(b"here")}
    with Raw(site(pages)) as server:
        seen = await see("http", url(server))
        stays = await see("http", {"url": url(server), "redirects": "none"})
        too_many = await see("http", {"url": url(server), "redirects": 1})
    assert (seen.facts["status"], seen.facts["redirects"], seen.facts["url"]) == (200, 2, url(server, "/b"))
    assert [hop["status"] for hop in seen.evidence["hops"]] == [302, 301, 200]
    total = sum(hop["phases_ms"]["wait"] for hop in seen.evidence["hops"])
    assert seen.phases["wait"] * 1000 == pytest.approx(total, abs=0.01)
    assert (stays.facts["status"], stays.facts["redirects"]) == (302, 0)
    assert too_many.fault is not None
    assert too_many.fault.kind == "redirect.too_many"
    assert too_many.facts["status"] == 301


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("/", "redirect.loop"),
        ("//[::1", "redirect.invalid"),
        ("http://", "redirect.invalid"),
        ("http://host:99999/", "redirect.invalid"),
        ("ftp://127.0.0.1/", "redirect.blocked"),
        ("file:///etc/passwd", "redirect.blocked"),
        ("javascript:alert(1)", "redirect.blocked"),
        ("http://169.254.169.254/latest/meta-data", "ssrf.blocked"),
        ("http://[::ffff:169.254.169.254]/", "ssrf.blocked"),
        ("http://2852039166/", "ssrf.blocked"),
        ("http://0xa9.254.169.254/", "ssrf.blocked"),
        ("http://[fe80::1]/", "ssrf.blocked"),
        ("http://[64:ff9b::a9fe:a9fe]/", "ssrf.blocked"),
    ],
)
async def test_redirects_that_go_nowhere_good(location: str, kind: str) -> None:
    with Raw(site({"/": to(location)})) as server:
        seen = await see("http", url(server))
    assert seen.fault is not None
    assert seen.fault.kind == kind
    assert server.connections == 1


async def test_endless_redirects_end() -> None:
    def script(peer: Peer) -> None:
        path = peer.request().split(b" ")[1].decode()
        peer.send(to(path + "x"))

    with Raw(script) as server:
        seen = await see("http", url(server))
    assert seen.fault is not None
    assert seen.fault.kind == "redirect.too_many"
    assert server.connections == 11


async def test_loopback_is_refused_where_it_may_not_be_visited() -> None:
    with Raw(answer(response())) as server:
        seen = await see("http", url(server), loopback=False)
        named = await see("http", f"http://localhost:{server.port}/", loopback=False)
    assert seen.fault is not None
    assert named.fault is not None
    assert (seen.fault.kind, named.fault.kind, server.connections) == ("ssrf.blocked", "ssrf.blocked", 0)


async def test_what_was_configured_stays_with_its_origin() -> None:
    pages = {"/near": to("/end"), "/end": response()}
    with Raw(answer(response())) as elsewhere, Raw(site(pages)) as server:
        pages["/"] = to(url(elsewhere, "/there"))
        target = {"headers": {"X-Api-Key": "SECRET"}, "auth": {"bearer": "SECRET"}}
        await see("http", {"url": url(server), **target})
        await see("http", {"url": url(server, "/near"), **target})
    assert b"SECRET" not in elsewhere.requests[0]
    assert [request.count(b"SECRET") for request in server.requests] == [2, 2, 2]


async def test_credentials_do_not_go_from_https_to_http(authority: trustme.CA, anchors: str) -> None:
    with (
        Raw(answer(response())) as plain,
        Raw(lambda peer: (peer.request(), peer.send(to(url(plain)))), server_context(authority, HOST)) as server,
    ):
        bare = await see("http", {"url": url(server, scheme="https"), "ca": anchors})
        secret = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "auth": {"bearer": "SECRET"}})
    assert bare.fault is None
    assert secret.fault is not None
    assert secret.fault.kind == "redirect.blocked"
    assert plain.connections == 1


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        ("302 Found", "POST", "GET"),
        ("303 See Other", "PUT", "GET"),
        ("303 See Other", "HEAD", "HEAD"),
        ("307 X", "POST", "POST"),
        ("308 X", "PUT", "PUT"),
    ],
)
async def test_methods_after_a_redirect(status: str, method: str, then: str) -> None:
    with Raw(site({"/": to("/end", status), "/end": response()})) as server:
        body = {} if method == "HEAD" else {"json": {"a": 1}}
        await see("http", {"method": method, "url": url(server), **body})
    second = server.requests[1]
    assert second.startswith(then.encode() + b" /end ")
    assert (b'{"a":1}' in second) == (then == method != "HEAD")


async def test_cookies_go_along_a_redirect_and_through_a_journey() -> None:
    pages = {"/": to("/end", Set_Cookie="a=1; Path=/"), "/end": response(Set_Cookie="b=2")}
    with Raw(site(pages)) as server:
        jar = httpx.Cookies()
        target = Target.model_validate({"url": url(server)})
        await exchange(target, Context(run="r", timeout=5), jar)
        await exchange(Target.model_validate({"url": url(server, "/end")}), Context(run="r", timeout=5), jar)
        await see("http", url(server, "/end"))
    first, second, third, fresh = server.requests
    assert b"ookie:" not in first
    assert b"ookie: a=1\r\n" in second
    assert b"a=1" in third
    assert b"b=2" in third
    assert b"ookie:" not in fresh


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


# What may be written


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("GET https://a.example/x", {"method": "GET", "url": "https://a.example/x"}),
        ("https://a.example", {"method": "GET", "url": "https://a.example"}),
        ("delete https://a.example", {"method": "DELETE", "url": "https://a.example"}),
        ("DELETE ${{ var.api }}/${{ step.a.b }}", {"method": "DELETE", "url": "${{ var.api }}/${{ step.a.b }}"}),
        ("${{ var.api }}/x", {"method": "GET", "url": "${{ var.api }}/x"}),
    ],
)
def test_short_forms(text: str, long: dict[str, Any]) -> None:
    kind = KINDS["http"]
    assert kind.short(text) == long
    kind.target.model_validate(long)
    assert kind.describe(long) == f"{long['method']} {long['url']}"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"url": "ftp://a.example"}, "url"),
        ({"url": "a.example/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://u:p@a.example"}, "url"),
        ({"url": "https://a.example/a b"}, "url"),
        ({"url": "http://169.254.169.254/"}, "ssrf"),
        ({"url": "http://[fd00:ec2::254]/"}, "ssrf"),
        ({"url": "http://0xa9fea9fe/"}, "ssrf"),
        ({"url": "https://a.example", "method": "FETCH"}, "value"),
        ({"url": "https://a.example", "headers": {"a b": "c"}}, "value"),
        ({"url": "https://a.example", "headers": {"a": "b\r\nc: d"}}, "value"),
        ({"url": "https://a.example", "headers": {"Content-Length": "3"}}, "value"),
        ({"url": "https://a.example", "body": "a", "json": {}}, "value"),
        ({"url": "https://a.example", "http_version": 2}, "not-here"),
        ({"url": "https://a.example", "proxy": "http://p.example"}, "not-here"),
        ({"url": "https://a.example", "auth": {"digest": {}}}, "not-here"),
        ({"url": "https://a.example", "auth": {}}, "value"),
        ({"url": "https://a.example", "auth": {"bearer": "x"}, "headers": {"Authorization": "y"}}, "value"),
        ({"url": "https://a.example", "client_key": "x"}, "value"),
        ({"url": "https://a.example", "redirects": 99}, "less_than_equal"),
        ({"url": "https://a.example", "family": 5}, "literal_error"),
        ({"url": "https://a.example", "colour": "red"}, "extra_forbidden"),
    ],
)
def test_what_may_not_be_written(target: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Target.model_validate(target)
    assert code in [error["type"] for error in refused.value.errors()]


def test_references_wait_for_the_run() -> None:
    Target.model_validate(
        {"url": "${{ var.api }}/x", "method": "${{ var.m }}", "headers": {"a": "${{ secret.T }}"}, "json": "${{ step.a.b }}"}
    )


def test_a_reference_that_became_a_number_is_sent_as_text() -> None:
    target = Target.model_validate({"url": "https://a.example", "headers": {"x": 5, "y": True}, "query": {"n": 1.5}})
    assert target.headers == {"x": "5", "y": "true"}
    assert target.query == {"n": "1.5"}
