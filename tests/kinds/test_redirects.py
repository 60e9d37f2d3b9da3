"""``http``: redirects, each hop resolved, screened and timed; what goes along and what does not."""

from __future__ import annotations

import httpx
import pytest
import trustme

from probes.core.kind import Context
from probes.kinds.http import Target, exchange
from tests.kinds.looking import HOST, see, url
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


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
