"""``http`` through a proxy: whose time is whose, whose trouble is whose, and what the proxy is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from probes.core.result import Observation
from probes.kinds.http import Target
from tests.kinds.looking import HOST, connections, see, tidy, url
from tests.servers.forward import forwarding
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def kind(seen: Observation) -> str | None:
    return seen.fault.kind if seen.fault else None


async def through(gate: Raw, where: str, timeout: float = 5.0, **more: Any) -> Observation:
    return await see("http", {"url": where, "proxy": url(gate)} | more, timeout=timeout)


async def test_http_asks_the_proxy_for_the_whole_url() -> None:
    with Raw(answer(response(b"here"))) as server, Raw(forwarding(server.port)) as proxy:
        seen = await through(proxy, "http://shop.example:8080/a?b=c")
    assert (kind(seen), seen.facts["body"]) == (None, "here")
    assert proxy.requests[0].startswith(b"GET http://shop.example:8080/a?b=c HTTP/1.1\r\n")
    assert b"Host: shop.example:8080\r\n" in proxy.requests[0]
    assert b"roxy-" not in proxy.requests[0]
    assert seen.evidence["proxy"] == {"address": f"{HOST}:{proxy.port}", "ip": HOST}
    assert (seen.facts["ip"], "tunnel" in seen.facts) == (HOST, False)


async def test_https_goes_through_a_tunnel_and_is_encrypted_for_the_target(authority: trustme.CA, anchors: str) -> None:
    with (
        Raw(answer(response(b"here")), server_context(authority, "shop.example")) as server,
        Raw(forwarding(server.port, delay=0.2)) as proxy,
    ):
        async with tidy():
            seen = await through(
                proxy, "https://shop.example/a", ca=anchors, proxy={"url": url(proxy), "user": "ann", "password": "pw"}
            )
    assert (kind(seen), seen.facts["body"]) == (None, "here")
    head = proxy.requests[0].decode()
    assert head.startswith("CONNECT shop.example:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YW5uOnB3\r\n" in head
    assert b"roxy-" not in server.requests[0]
    assert server.requests[0].startswith(b"GET /a HTTP/1.1\r\n")
    assert seen.facts["names"] == ["shop.example"]
    assert 0.2 <= seen.facts["tunnel"] <= seen.phases["connect"]
    assert seen.phases["wait"] < seen.facts["tunnel"]
    assert seen.evidence["proxy"]["tunnel_ms"] >= 200
    assert connections(proxy.port) == 0


async def test_the_proxys_password_is_for_the_proxy_alone() -> None:
    gate = {"user": "ann", "password": "pw"}
    with Raw(answer(response())) as server, Raw(forwarding(server.port)) as proxy:
        seen = await through(proxy, "http://shop.example/", proxy={"url": url(proxy), **gate})
    assert kind(seen) is None
    assert b"Proxy-Authorization: Basic YW5uOnB3\r\n" in proxy.requests[0]
    assert "YW5uOnB3" not in json.dumps(dict(seen.evidence))


async def test_a_redirect_goes_through_the_proxy_as_well(authority: trustme.CA, anchors: str) -> None:
    there = response(b"", "302 Found", Location="https://other.example/")
    with (
        Raw(answer(response(b"end")), server_context(authority, "other.example")) as server,
        Raw(forwarding(server.port)) as second,
    ):

        def script(peer: Peer) -> None:
            if peer.request().startswith(b"CONNECT"):
                peer.server.requests.pop()
                forwarding(server.port)(peer)
            else:
                peer.send(there)

        with Raw(script) as proxy:
            seen = await through(proxy, "http://shop.example/", ca=anchors)
        assert (kind(seen), seen.facts["body"], seen.facts["redirects"]) == (None, "end", 1)
        assert second.connections == 0


REFUSALS = {
    "credentials wanted": (answer(response(b"", "407 Proxy Authentication Required")), "conn.refused", "does not let us reach"),
    "forbidden": (answer(response(b"", "403 Forbidden")), "conn.refused", "403 Forbidden"),
    "a status nobody knows": (answer(response(b"", "599 \x1b[2J")), "conn.refused", "it answered 599"),
    "bad gateway": (answer(response(b"", "502 Bad Gateway")), "conn.unreachable", "could not reach shop.example:443"),
    "gateway timeout": (answer(response(b"", "504 Gateway Timeout")), "conn.unreachable", "504"),
    "a redirect": (answer(response(b"", "302 Found", Location="http://a.example")), "conn.refused", "302"),
    "hangs up": (lambda peer: peer.request(), "conn.closed", "closed the connection"),
    "hangs up in its answer": (answer(b"HTTP/1.1 200 O"), "conn.closed", "closed the connection"),
    "resets": (lambda peer: (peer.request(), peer.reset()), "conn.reset", "reset"),
    "no http": (answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "http.malformed", "does not speak HTTP"),
    "endless headers": (lambda peer: (peer.request(), peer.for_ever(b"A: b\r\n" * 99)), "http.malformed", "does not speak HTTP"),
    "endless 1xx": (
        lambda peer: (peer.request(), peer.for_ever(b"HTTP/1.1 100 Go\r\n\r\n")),
        "http.protocol",
        "interim",
    ),
    "silence": (lambda peer: peer.hold(), "timeout.connect", "no connection within 1s"),
    "speaks first": (answer(b"HTTP/1.1 200 OK\r\n\r\nhello"), "http.protocol", "before anything was asked"),
}


@pytest.mark.parametrize(("script", "fault", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_trouble_with_the_proxy_names_the_proxy(script: Script, fault: str, words: str) -> None:
    with Raw(script) as proxy:
        async with tidy():
            seen = await through(proxy, "https://shop.example/", timeout=1)
        assert connections(proxy.port) == 0
    assert kind(seen) == fault
    assert seen.fault is not None
    assert f"the proxy {HOST}:{proxy.port}" in seen.fault.because
    assert words in seen.fault.because
    assert "\x1b" not in seen.fault.because
    assert seen.latency is None


async def test_a_proxy_that_does_not_listen() -> None:
    with Raw(answer()) as gone:
        pass
    seen = await through(gone, "http://shop.example/")
    assert kind(seen) == "conn.refused"
    assert seen.fault is not None
    assert seen.fault.because.startswith(f"the proxy {HOST}:{gone.port}: nothing listens")


async def test_a_proxy_that_wants_credentials_for_http() -> None:
    with Raw(answer(response(b"", "407 Proxy Authentication Required"))) as proxy:
        seen = await through(proxy, "http://shop.example/")
    assert kind(seen) == "conn.refused"
    assert "407" in (seen.fault.because if seen.fault else "")


async def test_trouble_beyond_the_proxy_names_the_target(authority: trustme.CA, anchors: str) -> None:
    with Raw(answer(response()), server_context(authority, "other.example")) as server, Raw(forwarding(server.port)) as proxy:
        seen = await through(proxy, "https://shop.example/", ca=anchors)
    assert kind(seen) == "tls.hostname_mismatch"
    with Raw(lambda peer: peer.hold()) as server, Raw(forwarding(server.port)) as proxy:
        slow = await through(proxy, "http://shop.example/", timeout=0.5)
    assert kind(slow) == "timeout.response"
    assert f"shop.example through the proxy {HOST}" in (slow.fault.because if slow.fault else "")


@pytest.mark.parametrize("where", ["http://169.254.169.254/", "https://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/"])
async def test_addresses_that_no_probe_may_visit_are_not_visited_by_a_proxy_either(where: str) -> None:
    with Raw(answer(response(b"", "302 Found", Location=where))) as proxy:
        seen = await through(proxy, "http://shop.example/")
    assert kind(seen) == "ssrf.blocked"
    assert proxy.connections == 1


async def test_the_proxy_is_screened() -> None:
    with Raw(answer(response())) as proxy:
        seen = await see("http", {"url": "http://shop.example/", "proxy": f"http://localhost:{proxy.port}"}, loopback=False)
    assert kind(seen) == "ssrf.blocked"
    assert "the proxy localhost" in (seen.fault.because if seen.fault else "")
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("proxy", "code"),
    [
        ("https://p.example:3128", "not-here"),
        ("socks5://p.example:1080", "not-here"),
        ("p.example:3128", "url"),
        ("http://u:p@p.example:3128", "url"),
        ("http://p.example:3128/path", "url"),
        ("http://169.254.169.254:3128", "ssrf"),
        ({"url": "http://p.example:3128", "user": "u"}, "value"),
        ({"url": "http://p.example:3128", "password": "u"}, "value"),
    ],
)
def test_what_may_not_be_written(proxy: Any, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Target.model_validate({"url": "https://a.example", "proxy": proxy})
    assert code in [error["type"] for error in refused.value.errors()]


def test_the_password_is_not_written_out() -> None:
    gate = {"url": "http://p.example:3128", "user": "u", "password": "hunter2"}
    with pytest.raises(ValidationError) as refused:
        Target.model_validate({"url": "https://a.example", "proxy": gate}, context={"written": True})
    assert [error["type"] for error in refused.value.errors()] == ["secret-reference"]
