"""``tcp`` against real listeners on loopback."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pydantic import ValidationError

from probes.kinds import KINDS
from probes.kinds.tcp import Target
from tests.kinds.looking import HOST, see
from tests.servers.raw import Peer, Raw


async def test_a_port_that_takes_connections() -> None:
    with Raw(lambda peer: peer.hold()) as server:
        seen = await see("tcp", f"{HOST}:{server.port}")
        named = await see("tcp", f"localhost:{server.port}")
    assert (seen.fault, seen.facts["connected"], seen.facts["ip"], seen.facts["family"]) == (None, True, HOST, 4)
    assert seen.latency == seen.phases["connect"] > 0
    assert "banner" not in seen.facts
    assert set(seen.facts) <= set(KINDS["tcp"].facts)
    assert named.facts["connected"] is True


async def test_a_port_that_refuses_is_a_fact_and_a_fault() -> None:
    seen = await see("tcp", f"{HOST}:1")
    assert seen.fault is not None
    assert (seen.fault.kind, seen.facts["connected"], seen.latency) == ("conn.refused", False, None)
    assert f"{HOST}:1" in seen.fault.because


async def test_a_name_that_cannot_be_looked_up_is_no_fact() -> None:
    seen = await see("tcp", "bad..name:80")
    assert seen.fault is not None
    assert seen.fault.kind == "dns.nxdomain"
    assert "connected" not in seen.facts


async def test_a_conversation() -> None:
    def redis(peer: Peer) -> None:
        while b"\r\n" not in peer.seen:
            peer.seen += peer.read()
        peer.wait(0.1)
        peer.send(b"+PO")
        peer.wait(0.1)
        peer.send(b"NG\r\n")
        peer.hold()

    with Raw(redis) as server:
        seen = await see("tcp", {"address": f"{HOST}:{server.port}", "send": "PING\r\n", "expect": r"^\+PONG\r\n"})
    assert seen.fault is None
    assert seen.facts["banner"] == "+PONG\r\n"
    assert seen.phases["wait"] >= 0.09
    assert seen.phases["receive"] >= 0.09


async def test_a_banner_is_read_where_it_is_asked_for() -> None:
    with Raw(lambda peer: (peer.send(b"220 mail \x1b[31mready\r\n"), peer.hold())) as server:
        seen = await see("tcp", {"address": f"{HOST}:{server.port}", "banner": True})
        wrong = await see("tcp", {"address": f"{HOST}:{server.port}", "expect": "^SSH"}, 0.3)
    assert seen.facts["banner"] == "220 mail \x1b[31mready\r\n"
    assert seen.evidence["banner"] == "220 mail ready\n"
    assert wrong.fault is not None
    assert (wrong.fault.kind, wrong.facts["connected"]) == ("timeout.response", True)
    assert wrong.facts["banner"].startswith("220")


async def test_a_banner_that_came_before_we_looked_took_no_time() -> None:
    with Raw(lambda peer: (peer.wait(0.05), peer.send(b"hi"), peer.hold())) as server:
        running = asyncio.create_task(see("tcp", {"address": f"{HOST}:{server.port}", "banner": True}))
        while not server.connections:
            await asyncio.sleep(0.001)
        time.sleep(0.3)
        seen = await running
    if seen.clock != "kernel":
        pytest.skip("this kernel does not stamp what it receives")
    assert 0.04 < seen.phases["wait"] < 0.2


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (lambda peer: peer.sock.close(), "conn.closed"),
        (lambda peer: peer.reset(), "conn.reset"),
        (lambda peer: peer.for_ever(b"x" * 9000), "body.too_large"),
        (lambda peer: peer.hold(), "timeout.response"),
    ],
)
async def test_conversations_that_fail(script: Any, kind: str) -> None:
    with Raw(script) as server:
        seen = await see("tcp", {"address": f"{HOST}:{server.port}", "expect": "never"}, 0.3 if "timeout" in kind else 10)
    assert seen.fault is not None
    assert seen.fault.kind == kind


@pytest.mark.parametrize("address", ["a.example:5432", "10.0.0.7:1", "[2001:db8::1]:443", "${{ var.db }}:5432", "${{ var.db }}"])
def test_addresses(address: str) -> None:
    assert KINDS["tcp"].short(address) == {"address": address}
    Target.model_validate({"address": address})


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"address": "a.example"}, "address"),
        ({"address": "a.example:99999"}, "address"),
        ({"address": "a.example:0"}, "address"),
        ({"address": "a.example:https"}, "address"),
        ({"address": "2001:db8::1:443"}, "address"),
        ({"address": "http://a.example:80"}, "address"),
        ({"address": "169.254.169.254:80"}, "ssrf"),
        ({"address": "[fe80::1]:80"}, "ssrf"),
        ({"address": "0x7f000001:80"}, "ssrf"),
        ({"address": "a.example:80", "expect": "(?!x)"}, "regex"),
        ({"address": "a.example:80", "expext": "x"}, "extra_forbidden"),
    ],
)
def test_what_may_not_be_written(target: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Target.model_validate(target)
    assert [error["type"] for error in refused.value.errors()] == [code]
