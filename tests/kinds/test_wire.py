"""The wire: callers that give up, machines that are full, clocks that are set, and the transport behind httpx."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import resource
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
import trustme

from probes.core.fault import FAULTS
from probes.core.kind import Context
from probes.kinds import KINDS
from probes.kinds.wire import Transport, content, failure, http1, lag, link, look, poller
from probes.kinds.wire.failure import Failed
from probes.kinds.wire.link import Expired
from probes.kinds.wire.transport import Exchange
from tests.kinds.looking import HOST, connections, see
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context

OK = b"HTTP/1.1 200 OK\r\n"


def then(*pieces: bytes, hold: bool = True) -> Script:
    """Answer with these pieces, and stay."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(*pieces)
        if hold:
            peer.hold()

    return script


def asked(script: Script) -> Script:
    def wrapped(peer: Peer) -> None:
        peer.request()
        script(peer)

    return wrapped


@pytest.fixture(autouse=True)
async def warm() -> None:
    """What is kept for the whole process (the stamping socket, imports) is there before anything is counted."""
    with Raw(answer(response())) as server:
        await see("http", f"http://{HOST}:{server.port}/")


# Leaks


@pytest.mark.parametrize("stage", ["connect", "tls", "wait", "receive"])
async def test_cancelled_probes_leave_nothing(stage: str) -> None:
    scripts: dict[str, Script] = {
        "connect": lambda peer: peer.hold(),
        "tls": lambda peer: (peer.send(b"\x16\x03\x03"), peer.hold()),
        "wait": then(),
        "receive": then(OK + b"Content-Length: 10\r\n\r\nabc"),
    }
    with Raw(scripts[stage]) as server:
        url = f"{'https' if stage == 'tls' else 'http'}://{HOST}:{server.port}/"
        tasks = asyncio.all_tasks()
        running = [asyncio.create_task(see("http", url, 30)) for _ in range(125)]
        if stage == "connect":
            await asyncio.sleep(0)
        else:
            while server.connections < 125:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        for task in running:
            task.cancel()
        assert connections(server.port) == 125 or stage == "connect"
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
        await asyncio.sleep(0)
        assert asyncio.all_tasks() - tasks == set()
        assert connections(server.port) == 0


async def test_every_probe_closes_its_own_socket() -> None:
    with Raw(then(response())) as server:  # which stays, so that it is us who close
        seen = await asyncio.gather(*(see("http", f"http://{HOST}:{server.port}/") for _ in range(50)))
        assert {one.facts["status"] for one in seen} == {200}
        assert connections(server.port) == 0


# Trouble of ours


@pytest.fixture
def full() -> Iterator[None]:
    """No descriptor is left on this machine (whose kinds are loaded)."""
    assert [KINDS[name].name for name in ("http", "tcp", "tls")]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    held = []
    try:
        while True:
            try:
                held.append(socket.socket())
            except OSError:
                break
        yield
    finally:
        for sock in held:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_descriptor_left_is_trouble_of_ours(full: None) -> None:
    for kind, target in (("http", f"http://{HOST}:9/"), ("tcp", f"{HOST}:9"), ("tls", f"{HOST}:9")):
        seen = await see(kind, target)
        assert seen.fault is not None
        assert seen.fault.kind == "probe.resources"
        assert seen.fault.ours


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, "conn.refused"),
        (errno.ECONNRESET, "conn.reset"),
        (errno.EPIPE, "conn.reset"),
        (errno.ENETUNREACH, "conn.unreachable"),
        (errno.EHOSTUNREACH, "conn.unreachable"),
        (errno.ETIMEDOUT, "timeout.connect"),
        (errno.EMFILE, "probe.resources"),
        (errno.ENFILE, "probe.resources"),
        (errno.EADDRNOTAVAIL, "probe.resources"),
        (errno.ENOBUFS, "probe.resources"),
        (errno.ENOMEM, "probe.resources"),
        (errno.EPROTO, "conn.closed"),
    ],
)
def test_errors_of_the_system(number: int, kind: str) -> None:
    fault = failure.system(OSError(number, "x"), "10.0.0.7:443").fault
    assert fault.kind == kind
    assert kind in FAULTS
    assert "10.0.0.7:443" in fault.because


async def test_a_loop_that_is_late_begins_nothing_more_until_it_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred runs due at once, each of which takes 2 ms of ours to begin."""
    monkeypatch.setattr(lag, "PATIENCE", 60.0)
    turns, begun = 0, []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def probe(seen: look.Look) -> None:
        time.sleep(0.002)
        begun.append(turns)
        await asyncio.sleep(0.01)

    task = asyncio.create_task(others())
    seen = await asyncio.gather(*(look.look(Context("x", 5), probe) for _ in range(200)))
    task.cancel()
    assert [one.fault for one in seen] == [None] * 200
    assert len(set(begun)) >= 3
    assert max(begun.count(turn) for turn in set(begun)) < 100


async def test_a_loop_that_stays_late_begins_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "PATIENCE", 0.05)
    monkeypatch.setattr(lag, "HELD", -1.0)
    with lag.watch():
        await asyncio.wait_for(lag.calm(), 5)


# Addresses in turn


async def test_the_next_address_is_tried_when_one_refuses_or_is_silent() -> None:
    with socket.socket() as silent, Raw(lambda peer: peer.hold()) as server:
        deadline = time.monotonic() + 5
        opened = await link.connect(["127.0.0.9", HOST], server.port, deadline)
        assert opened.address == HOST
        opened.close()
        silent.bind(("127.0.0.8", server.port))
        silent.listen(0)
        fillers = [socket.socket() for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.8", server.port))
        opened = await link.connect(["127.0.0.8", HOST], server.port, deadline)
        assert opened.address == HOST
        opened.close()
        for filler in fillers:
            filler.close()


async def test_a_refusal_is_told_rather_than_silence() -> None:
    with pytest.raises(Failed) as refused:
        await link.connect(["127.0.0.1", "127.0.0.2"], 1, time.monotonic() + 2)
    assert refused.value.fault.kind == "conn.refused"
    with pytest.raises(Failed):
        await link.connect([], 1, time.monotonic() + 2)


def test_families_take_turns() -> None:
    assert link._alternate(["::1", "::2", "10.0.0.1"]) == ["::1", "10.0.0.1", "::2"]
    assert link._alternate(["10.0.0.1", "10.0.0.2", "::1"]) == ["10.0.0.1", "::1", "10.0.0.2"]


async def test_ipv6() -> None:
    try:
        server = Raw(answer(response()), host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        seen = await see("http", f"http://[::1]:{server.port}/")
        forced = await see("http", {"url": f"http://[::1]:{server.port}/", "family": 4})
    assert (seen.facts["ip"], seen.facts["family"]) == ("::1", 6)
    assert forced.fault is not None
    assert forced.fault.kind == "dns.no_address"


# Clocks


@pytest.mark.parametrize("step", [3600.0, 0.05, -0.05, -3600.0])
async def test_a_clock_that_was_set_is_noticed(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    with Raw(asked(lambda peer: (peer.wait(0.1), peer.send(response())))) as server:
        running = asyncio.create_task(see("http", f"http://{HOST}:{server.port}/"))
        while not server.requests:
            await asyncio.sleep(0.001)
        real = time.time_ns
        monkeypatch.setattr("probes.kinds.wire.link.time.time_ns", lambda: real() + round(step * 1e9))
        seen = await running
    assert seen.clock == "loop"
    assert 0.05 < (seen.latency or 0) < 5


async def test_an_interruption_of_ours_between_two_clocks_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes the core while the clocks are read, every other time."""
    real, reads = time.time_ns, 0

    def interrupted() -> int:
        nonlocal reads
        reads += 1
        if reads % 2:
            time.sleep(0.005)
        return real()

    with Raw(answer(response())) as server:
        usual = (await see("http", f"http://{HOST}:{server.port}/")).clock
        monkeypatch.setattr("probes.kinds.wire.link.time.time_ns", interrupted)
        seen = await see("http", f"http://{HOST}:{server.port}/")
    assert reads >= 4
    assert seen.clock == usual


async def test_without_epoll_the_loop_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: plain readers of the loop, no stamps."""
    monkeypatch.setattr(poller, "EDGES", False)
    monkeypatch.setattr(poller, "_pollers", type(poller._pollers)())
    monkeypatch.setattr(link, "STAMPS", 0)
    monkeypatch.setattr(link, "_TCP_INFO", None)
    authority = trustme.CA()

    def script(peer: Peer) -> None:
        peer.request(body=200_000)
        peer.send(response(b"x" * 300_000))

    with Raw(script, server_context(authority, HOST)) as server:
        target = {"method": "POST", "url": f"https://{HOST}:{server.port}/", "verify": False, "body": "y" * 200_000}
        seen = await see("http", target)
        refused = await see("tcp", f"{HOST}:1")
        assert connections(server.port) == 0
    assert seen.fault is None
    assert seen.clock == "loop"
    assert seen.facts["size"] == 300_000
    assert refused.fault is not None
    assert refused.fault.kind == "conn.refused"


# The transport


async def test_the_transport_serves_any_httpx_client() -> None:
    with Raw(answer(response(gzip.compress(b'{"a":1}'), Content_Encoding="gzip"))) as server:
        async with httpx.AsyncClient(transport=Transport()) as client:
            got = await client.get(f"http://{HOST}:{server.port}/")
            exchange = got.extensions["exchange"]
            with pytest.raises(httpx.ConnectError) as refused:
                await client.get(f"http://{HOST}:1/")
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("gopher://a.example/")
    assert got.json() == {"a": 1}
    assert isinstance(exchange, Exchange)
    assert exchange.way.phases["wait"] > 0
    assert isinstance(refused.value.__cause__, Failed)


async def test_the_transport_keeps_httpx_timeouts() -> None:
    with Raw(then()) as server:
        async with httpx.AsyncClient(transport=Transport(), timeout=0.3) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://{HOST}:{server.port}/")
            with pytest.raises(httpx.LocalProtocolError):
                await client.get(f"http://{HOST}:{server.port}/", headers={"x": "a\r\nb: c"})


async def test_a_fast_sender_does_not_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the socket's buffer is taken in turns with everybody else."""
    monkeypatch.setattr(link, "CHUNK", 16)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with Raw(lambda peer: (peer.send(b"x" * 32_000), peer.hold())) as server:
        opened = await link.connect([HOST], server.port, time.monotonic() + 10)
        await asyncio.sleep(0.2)
        task = asyncio.create_task(others())
        for _ in range(1000):
            await opened.receive()
        task.cancel()
        opened.close()
    assert turns >= 50


async def test_decoding_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_PATIENCE", 0.0)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert len(await content.decode(gzip.compress(bytes(3_000_000)), ["gzip"])) == 3_000_000
    task.cancel()
    assert turns >= 40


async def test_an_expired_link_says_so() -> None:
    with Raw(lambda peer: peer.hold()) as server:
        opened = await link.connect([HOST], server.port, time.monotonic() + 0.1)
        with pytest.raises(Expired):
            await opened.receive()
        opened.close()
        opened.close()


def test_snippets_are_plain() -> None:
    assert content.snippet("a\x1b[31mb\x00c\u202ed\r\ne\tf") == "abcd\ne\tf"
    assert content.snippet("\x9b31mx\ud800") == "31mx"
    assert len(content.snippet("x" * 5000)) == 1024
