"""``dns`` over TLS and over HTTPS, against a real server with real certificates on loopback."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import dns.flags
import pytest
import trustme

from probes.core.kind import Context
from probes.core.result import Observation
from probes.kinds import KINDS
from probes.kinds.dns import Target, address
from probes.kinds.wire import resolver
from probes.kinds.wire.resolver import Resolver
from tests.kinds.looking import connections
from tests.kinds.test_dns import RECORDS, kind_of
from tests.servers.dnsd import Dnsd
from tests.servers.raw import Raw, answer, server_context

KIND = KINDS["dns"]
BOTH = pytest.mark.parametrize("transport", ["dot", "doh"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "127.0.0.1", "ns.test")


async def ask(dnsd: Dnsd, transport: str, text: str, timeout: float = 2.0, loopback: bool = True, **more: Any) -> Observation:
    port = dnsd.dot if transport == "dot" else dnsd.doh
    data = {**KIND.short(text), "server": f"127.0.0.1:{port}", "transport": transport, **more}
    return await KIND.probe(Target.model_validate(data), Context(run="r", timeout=timeout, loopback=loopback))


@BOTH
async def test_the_answer_with_all_its_facts(transport: str, tls: ssl.SSLContext, anchors: str) -> None:
    async with Dnsd(RECORDS, ttl=90, flags=dns.flags.AD | dns.flags.RA, tls=tls) as dnsd:
        seen = await ask(dnsd, transport, "A www.test", ca=anchors, dnssec=True)
        assert seen.fault is None, seen.fault
        facts = seen.facts
        assert facts["answers"] == ["192.0.2.1", "192.0.2.2"]
        assert facts["rcode"] == "NOERROR"
        assert (facts["authenticated"], facts["authoritative"], facts["truncated"]) == (True, False, False)
        assert (facts["ip"], facts["family"], str(facts["ttl"])) == ("127.0.0.1", 4, "1m30s")
        assert facts["size"] > 20
        phases = {"resolve", "connect", "tls", "wait"} | ({"receive"} if transport == "doh" else set())
        assert set(seen.phases) == phases
        assert seen.latency == facts["latency"] == pytest.approx(sum(seen.phases[name] for name in phases - {"resolve"}))
        assert seen.clock == "kernel"
        assert set(facts) <= set(KIND.facts)
        assert [(one.transport, one.name) for one in dnsd.seen] == [(transport, "www.test")]
        assert seen.evidence["certificate"]["names"]
        assert connections(dnsd.dot) == connections(dnsd.doh) == 0
        if transport == "doh":
            assert dnsd.seen[0].id == 0
            assert dnsd.heads[0].startswith("post /dns-query http/1.1")
            assert "content-type: application/dns-message" in dnsd.heads[0]


@BOTH
async def test_a_long_answer_and_a_slow_one(transport: str, tls: ssl.SSLContext, anchors: str) -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.1}, tls=tls) as dnsd:
        long = await ask(dnsd, transport, "TXT many.test", ca=anchors)
        assert len(long.facts["answers"]) == 40
        slow = await ask(dnsd, transport, "A api.test", ca=anchors)
        assert slow.phases["wait"] >= 0.1
        assert slow.phases["tls"] < 0.1


@BOTH
async def test_what_the_server_says_of_the_name(transport: str, tls: ssl.SSLContext, anchors: str) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "refused"}, tls=tls) as dnsd:
        seen = await ask(dnsd, transport, "A nothing.test", ca=anchors)
        assert kind_of(seen) == "dns.nxdomain"
        assert seen.facts["rcode"] == "NXDOMAIN"
        assert seen.latency is not None
        seen = await ask(dnsd, transport, "A api.test", ca=anchors)
        assert kind_of(seen) == "dns.refused"
        assert seen.facts["rcode"] == "REFUSED"


@pytest.mark.parametrize(
    ("transport", "how", "fault"),
    [
        ("dot", "drop", "timeout.dns"),
        ("dot", "huge", "dns.malformed"),
        ("dot", "slow-tcp", "timeout.dns"),
        ("dot", "truncate-refuse", "conn.closed"),
        ("dot", "other", "dns.malformed"),
        ("doh", "drop", "timeout.dns"),
        ("doh", "status", "http.protocol"),
        ("doh", "redirect", "http.protocol"),
        ("doh", "page", "dns.malformed"),
        ("doh", "other", "dns.malformed"),
        ("doh", "maze", "dns.malformed"),
    ],
)
async def test_each_misbehaviour_is_its_own_fault(transport: str, how: str, fault: str, tls: ssl.SSLContext, anchors: str) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": how}, tls=tls) as dnsd:
        started = time.monotonic()
        seen = await ask(dnsd, transport, "A api.test", timeout=0.6, ca=anchors)
        assert time.monotonic() - started < 1.6
        assert kind_of(seen) == fault, seen.fault
        assert "rcode" not in seen.facts
        assert seen.latency is None
        assert connections(dnsd.dot) == connections(dnsd.doh) == 0


@BOTH
async def test_a_server_that_is_not_trusted_is_not_asked(
    transport: str, tls: ssl.SSLContext, authority: trustme.CA, anchors: str
) -> None:
    async with Dnsd(RECORDS, tls=tls) as dnsd:
        assert kind_of(await ask(dnsd, transport, "A api.test")) == "tls.untrusted"
        assert not dnsd.seen
    async with Dnsd(RECORDS, tls=server_context(authority, "other.test")) as dnsd:
        assert kind_of(await ask(dnsd, transport, "A api.test", ca=anchors)) == "tls.hostname_mismatch"
        assert not dnsd.seen
        if transport == "dot":
            seen = await ask(dnsd, transport, "A api.test", ca=anchors, server_name="other.test")
            assert seen.facts["rcode"] == "NOERROR"


@BOTH
async def test_the_server_is_screened_and_found_by_name(
    transport: str, tls: ssl.SSLContext, anchors: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = {**RECORDS, "ns.test A": "127.0.0.1", "meta.test A": "169.254.169.254"}
    async with Dnsd(records, tls=tls) as dnsd:
        assert kind_of(await ask(dnsd, transport, "A api.test", loopback=False, ca=anchors)) == "ssrf.blocked"
        (tmp_path / "hosts").write_text("")
        monkeypatch.setattr(resolver, "DEFAULT", Resolver(dnsd.resolv_conf(tmp_path), str(tmp_path / "hosts")))
        assert kind_of(await ask(dnsd, transport, "A api.test", server="meta.test", ca=anchors)) == "ssrf.blocked"
        assert not dnsd.asked("api.test")
        port = dnsd.dot if transport == "dot" else dnsd.doh
        for server in (f"ns.test:{port}", *([f"https://ns.test:{port}/dns-query?x=1"] if transport == "doh" else [])):
            seen = await ask(dnsd, transport, "A api.test", server=server, ca=anchors)
            assert seen.facts["answers"] == ["192.0.2.1", "192.0.2.2"]
        if transport == "doh":
            assert dnsd.heads[-1].startswith("post /dns-query?x=1 ")
        seen = await ask(dnsd, transport, "A api.test", server="ns.test", port=port, ca=anchors)
        assert seen.fault is None


@BOTH
async def test_nobody_listens_or_speaks_tls(transport: str, tls: ssl.SSLContext) -> None:
    async with Dnsd(RECORDS, tls=tls) as dnsd:
        pass
    assert kind_of(await ask(dnsd, transport, "A api.test")) == "conn.refused"
    with Raw(answer(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        dnsd.dot = dnsd.doh = server.port
        assert (kind_of(await ask(dnsd, transport, "A api.test", timeout=0.5)) or "").startswith(("tls.not_tls", "timeout.tls"))


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ({"server": "1.1.1.1"}, "https://1.1.1.1:443/dns-query"),
        ({"server": "2001:db8::1", "port": 8443}, "https://[2001:db8::1]:8443/dns-query"),
        ({"server": "dns.test:444"}, "https://dns.test:444/dns-query"),
        ({"server": "https://dns.test/q"}, "https://dns.test/q"),
    ],
)
def test_where_is_asked_over_https(data: dict[str, Any], url: str) -> None:
    assert address(Target.model_validate({"name": "a", "transport": "doh", **data})) == url


def test_in_one_line() -> None:
    for text in ("A api.test @tls://1.1.1.1", "A api.test @https://dns.test/dns-query"):
        assert KIND.describe(KIND.short(text)) == text
