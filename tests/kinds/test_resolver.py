"""The resolver against a real DNS server on loopback, honest and not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from probes.kinds.wire import nameserver, resolver
from probes.kinds.wire.failure import Failed
from probes.kinds.wire.names import Settings, canonical, literal, parse_hosts
from probes.kinds.wire.nameserver import Malformed, Server
from probes.kinds.wire.resolver import Answer, Resolver
from tests.servers.dnsd import Dnsd, maze

RECORDS = {
    "api.test A": "192.0.2.1 192.0.2.2",
    "both.test A": "192.0.2.1",
    "both.test AAAA": "2001:db8::1",
    "six.test AAAA": "2001:db8::6",
    "www.test CNAME": "cdn.test",
    "cdn.test CNAME": "api.test",
    "dangling.test CNAME": "nowhere.test",
    "loop.test CNAME": "pool.test",
    "pool.test CNAME": "loop.test",
    "text.test TXT": '"hello"',
}

Make = Callable[..., Resolver]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A resolver of its own that asks the given server."""

    def build(dnsd: Dnsd, *lines: str, hosts: str = "") -> Resolver:
        (tmp_path / "hosts").write_text(hosts)
        return Resolver(dnsd.resolv_conf(tmp_path, *lines), str(tmp_path / "hosts"))

    return build


async def fault(resolver: Resolver, host: str, timeout: float = 2.0, **options: object) -> str:
    with pytest.raises(Failed) as failed:
        await resolver.resolve(host, timeout=timeout, **options)  # type: ignore[arg-type]
    assert failed.value.fault.because
    return failed.value.fault.kind


async def at_rest() -> None:
    """No task, no reader is left behind."""
    await asyncio.sleep(0)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "look_up" in repr(task)]
    assert not others


# what never goes to a server


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7.", "192.0.2.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", str(ip_address("::ffff:192.0.2.7"))),
    ],
)
async def test_a_literal_is_its_own_answer(host: str, address: str, make: Make) -> None:
    async with Dnsd() as dnsd:
        assert await make(dnsd).resolve(host, timeout=1) == Answer((address,), 0.0, 3600.0)
        assert not dnsd.seen


@pytest.mark.parametrize(
    "host",
    ["0x7f.1", "2130706433", "017700000001", "127.1", "0x7f000001", "127.0.0.01", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1",
     "127.0.0.0x1", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "①②⑦.⓪.⓪.①", "foo.0x"],
)  # fmt: skip
async def test_a_disguised_literal_goes_nowhere(host: str, make: Make) -> None:
    async with Dnsd() as dnsd:
        assert await fault(make(dnsd), host) == "ssrf.blocked"
        assert not dnsd.seen


@pytest.mark.parametrize(
    "host",
    ["", ".", "a b", "a\x00b", "foo:80", "x..y", "a" * 64 + ".test", "a." * 130 + "test", "a/b", "é\u200d..test", "[api.test]"],
)
async def test_what_is_no_name_does_not_exist(host: str, make: Make) -> None:
    async with Dnsd() as dnsd:
        assert await fault(make(dnsd), host) == "dns.nxdomain"
        assert not dnsd.seen


async def test_a_family_that_the_literal_is_not_of(make: Make) -> None:
    async with Dnsd() as dnsd:
        assert await fault(make(dnsd), "192.0.2.7", family=6) == "dns.no_address"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "shop.localhost"])
async def test_localhost_is_loopback_whatever_dns_and_hosts_say(host: str, make: Make) -> None:
    async with Dnsd({"localhost A": "192.0.2.66"}) as dnsd:
        answer = await make(dnsd, hosts="192.0.2.67 localhost").resolve(host, timeout=1)
        assert answer.addresses[0] == "127.0.0.1"
        assert set(answer.addresses) <= {"127.0.0.1", "::1"}
        assert not dnsd.seen


async def test_hosts_come_before_dns_and_are_read_again(make: Make, tmp_path: Path) -> None:
    async with Dnsd(RECORDS) as dnsd:
        resolver = make(dnsd, hosts="10.0.0.1 API.test alias # a comment\n10.0.0.2 api.test\nbad line\n10.0.0.1 api.test\n")
        assert (await resolver.resolve("api.TEST", timeout=1)).addresses == ("10.0.0.1", "10.0.0.2")
        assert (await resolver.resolve("alias", timeout=1)).addresses == ("10.0.0.1",)
        assert not dnsd.seen
        (tmp_path / "hosts").write_text("10.0.0.33 api.test\n")
        assert (await resolver.resolve("api.test", timeout=1)).addresses == ("10.0.0.33",)
        (tmp_path / "hosts").unlink()
        assert (await resolver.resolve("api.test", timeout=1)).addresses == ("192.0.2.1", "192.0.2.2")


# honest answers


async def test_addresses_in_the_order_of_the_answer(make: Make) -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.05}) as dnsd:
        answer = await make(dnsd).resolve("api.test", timeout=2)
        assert answer.addresses == ("192.0.2.1", "192.0.2.2")
        assert 0.05 <= answer.seconds < 2
        assert 0 < answer.ttl <= 60
        assert {seen.rdtype for seen in dnsd.seen} == {"A", "AAAA"}


async def test_only_the_wanted_family_is_asked_for(make: Make) -> None:
    async with Dnsd(RECORDS) as dnsd:
        assert (await make(dnsd).resolve("both.test", timeout=2, family=4)).addresses == ("192.0.2.1",)
        assert {seen.rdtype for seen in dnsd.seen} == {"A"}
        assert (await make(dnsd).resolve("both.test", timeout=2, family=6)).addresses == ("2001:db8::1",)


async def test_both_families_or_the_one_this_machine_has_a_route_for(make: Make) -> None:
    async with Dnsd(RECORDS) as dnsd:
        addresses = (await make(dnsd).resolve("both.test", timeout=2)).addresses
        routed = {address for address in ("192.0.2.1", "2001:db8::1") if resolver._source(address)}
        assert set(addresses) == (routed or {"192.0.2.1", "2001:db8::1"})


async def test_aliases_are_followed_within_the_answer_and_beyond_it(make: Make) -> None:
    async with Dnsd(RECORDS) as dnsd:
        assert (await make(dnsd).resolve("www.test", timeout=2)).addresses == ("192.0.2.1", "192.0.2.2")
        assert not dnsd.asked("cdn.test")
    async with Dnsd(RECORDS, chains=False) as dnsd:
        assert (await make(dnsd).resolve("www.test", timeout=2)).addresses == ("192.0.2.1", "192.0.2.2")
        assert dnsd.asked("api.test", "A")


@pytest.mark.parametrize("chains", [True, False])
async def test_aliases_in_a_circle_end(chains: bool, make: Make) -> None:
    async with Dnsd(RECORDS, chains=chains) as dnsd:
        assert await fault(make(dnsd), "loop.test") == "dns.malformed"
        assert len(dnsd.seen) <= 20


async def test_ports_and_ids_are_never_twice_the_same(make: Make) -> None:
    async with Dnsd({f"n{i}.test A": "192.0.2.1" for i in range(20)}) as dnsd:
        resolver = make(dnsd)
        await asyncio.gather(*(resolver.resolve(f"n{i}.test", timeout=5, family=4) for i in range(20)))
        assert len({seen.port for seen in dnsd.seen}) == 20
        assert len({seen.id for seen in dnsd.seen}) >= 19


def stamps() -> bool:
    """Whether this machine's kernel stamps what it receives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        try:
            sock.setsockopt(socket.SOL_SOCKET, 35, 1)
        except OSError:
            return False
        sock.sendto(b"x", sock.getsockname())
        return bool(sock.recvmsg(1, 64)[1])


async def test_the_kernel_and_not_our_loop_says_how_long_it_took(make: Make) -> None:
    query = nameserver.dns.message.make_query("api.test", "A")
    async with Dnsd(RECORDS, delays={"api.test": 0.02}) as dnsd:
        # the server lives in this loop as well: let it send, then be busy while the answer waits in the socket's queue
        asking = asyncio.create_task(nameserver.ask(Server("127.0.0.1", dnsd.port), query, "udp"))
        send = dnsd._udp.sendto

        def send_and_stall(data: bytes, to: tuple[str, int]) -> None:
            send(data, to)
            time.sleep(0.3)

        dnsd._udp.sendto = send_and_stall  # type: ignore[method-assign]
        reply = await asking
    assert reply.clock == ("kernel" if stamps() else "loop")
    if reply.clock == "kernel":
        assert 0.02 <= reply.seconds < 0.25
    else:
        assert reply.seconds >= 0.3


# what does not exist


async def test_names_that_do_not_exist_and_names_without_addresses(make: Make) -> None:
    async with Dnsd(RECORDS) as dnsd:
        resolver = make(dnsd)
        assert await fault(resolver, "nothing.test") == "dns.nxdomain"
        assert await fault(resolver, "text.test") == "dns.no_address"
        assert await fault(resolver, "six.test", family=4) == "dns.no_address"
        assert await fault(resolver, "dangling.test") == "dns.nxdomain"
        assert (await resolver.resolve("six.test", timeout=2)).addresses == ("2001:db8::6",)


@pytest.mark.parametrize(("how", "kind"), [("servfail", "dns.servfail"), ("refused", "dns.refused"), ("notimp", "dns.servfail"),
                                           ("bare-refused", "dns.refused"), ("garbage", "dns.malformed"), ("maze", "dns.malformed"),
                                           ("huge", "dns.malformed"), ("drop", "timeout.dns"), ("liar", "timeout.dns"),
                                           ("truncate-refuse", "dns.servfail")])  # fmt: skip
async def test_each_misbehaviour_is_its_own_fault_in_time(how: str, kind: str, make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": how}) as dnsd:
        started = time.monotonic()
        assert await fault(make(dnsd), "api.test", timeout=0.6) == kind
        assert time.monotonic() - started < 1.6
        await at_rest()


async def test_a_family_that_fails_does_not_hide_the_other(make: Make) -> None:
    for how in ("servfail", "drop", "refused", "garbage"):
        async with Dnsd(RECORDS, behaves={"api.test AAAA": how}) as dnsd:
            assert (await make(dnsd).resolve("api.test", timeout=2)).addresses == ("192.0.2.1", "192.0.2.2"), how
        async with Dnsd(RECORDS, behaves={"six.test A": how}) as dnsd:
            assert (await make(dnsd).resolve("six.test", timeout=2)).addresses == ("2001:db8::6",), how
    async with Dnsd(RECORDS, behaves={"text.test AAAA": "servfail"}) as dnsd:  # no A; AAAA unknown: that is not "no address"
        assert await fault(make(dnsd), "text.test") == "dns.servfail"
    async with Dnsd(RECORDS, behaves={"text.test AAAA": "drop"}) as dnsd:
        assert await fault(make(dnsd), "text.test", timeout=0.4) == "timeout.dns"


async def test_the_wait_for_a_silent_family_is_not_counted(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test AAAA": "drop"}) as dnsd:
        started = time.monotonic()
        assert (await make(dnsd).resolve("api.test", timeout=5)).seconds < resolver.PATIENCE
        assert time.monotonic() - started < 4


# lies, losses, and several servers


async def test_answers_that_do_not_belong_are_ignored(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "foreign"}) as dnsd:
        assert (await make(dnsd).resolve("api.test", timeout=2)).addresses == ("192.0.2.1", "192.0.2.2")


async def test_a_truncated_answer_is_asked_for_again_over_tcp(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "truncate"}) as dnsd:
        assert (await make(dnsd).resolve("api.test", timeout=2)).addresses == ("192.0.2.1", "192.0.2.2")
        assert {seen.transport for seen in dnsd.asked("api.test", "A")} == {"udp", "tcp"}


async def test_a_tcp_answer_in_single_bytes_is_read_until_the_deadline(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "slow-tcp"}) as dnsd:
        started = time.monotonic()
        assert await fault(make(dnsd), "api.test", timeout=0.5) == "timeout.dns"
        assert time.monotonic() - started < 1.5


async def test_use_vc_asks_over_tcp_only(make: Make) -> None:
    async with Dnsd(RECORDS) as dnsd:
        await make(dnsd, "options use-vc").resolve("api.test", timeout=2)
        assert {seen.transport for seen in dnsd.seen} == {"tcp"}


async def test_a_lost_question_is_asked_again(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "drop-first"}) as dnsd:
        answer = await make(dnsd).resolve("api.test", timeout=0.9)
        assert answer.addresses == ("192.0.2.1", "192.0.2.2")
        assert answer.seconds >= 0.25  # the wait for the lost one is part of it: 0.9 s / 3


async def test_the_next_server_is_asked_when_the_first_is_silent_or_fails(make: Make, tmp_path: Path) -> None:
    for how in ("drop", "servfail", "refused", "garbage"):
        async with Dnsd(RECORDS, behaves={"api.test": how}) as bad, Dnsd(RECORDS) as good:
            resolver = make(bad, f"nameserver [127.0.0.1]:{good.port}")
            answer = await resolver.resolve("api.test", timeout=1)
            assert answer.addresses == ("192.0.2.1", "192.0.2.2"), how
            assert len(bad.asked("api.test", "A")) == len(good.asked("api.test", "A")) == 1


async def test_a_slow_first_server_may_still_answer_while_the_next_is_asked(make: Make) -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.5}) as slow, Dnsd(RECORDS, behaves={"api.test": "drop"}) as dead:
        answer = await make(slow, f"nameserver [127.0.0.1]:{dead.port}").resolve("api.test", timeout=1)
        assert answer.addresses == ("192.0.2.1", "192.0.2.2")
        assert dead.seen


async def test_no_server_at_all_is_told_as_such(make: Make, tmp_path: Path) -> None:
    async with Dnsd(RECORDS) as dnsd:
        port = dnsd.port
    (tmp_path / "resolv.conf").write_text(f"nameserver [127.0.0.1]:{port}\n")
    started = time.monotonic()
    assert await fault(Resolver(str(tmp_path / "resolv.conf"), str(tmp_path / "no-hosts")), "api.test") == "dns.servfail"
    assert time.monotonic() - started < 1


# search domains


async def test_search_domains_follow_ndots(make: Make) -> None:
    records = {"api.prod.corp.test A": "10.0.0.1", "deep.er.test A": "10.0.0.2", "deep.er.test.corp.test A": "10.0.0.3"}
    async with Dnsd(records) as dnsd:
        resolver = make(dnsd, "search prod.corp.test corp.test")
        assert (await resolver.resolve("api", timeout=2)).addresses == ("10.0.0.1",)
        assert (await resolver.resolve("api.prod", timeout=2)).addresses == ("10.0.0.1",)  # alone first, then searched
        assert (await resolver.resolve("deep.er.test", timeout=2)).addresses == ("10.0.0.2",)
        assert await fault(resolver, "api.") == "dns.nxdomain"
        assert [seen.name for seen in dnsd.asked("api.prod", "A")] == ["api.prod"]
    async with Dnsd(records) as dnsd:
        assert (await make(dnsd, "search corp.test", "options ndots:5").resolve("deep.er.test", timeout=2)).addresses == (
            "10.0.0.3",
        )
        assert not dnsd.asked("deep.er.test")


async def test_the_fault_is_that_of_the_name_as_written(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.nothing.corp": "servfail"}) as dnsd:
        assert await fault(make(dnsd, "search corp"), "api.nothing") == "dns.nxdomain"


# keeping


async def test_an_answer_is_kept_for_its_ttl_and_costs_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Dnsd(RECORDS, ttl=60) as dnsd:
        resolver = make(dnsd)
        first = await resolver.resolve("api.test", timeout=2, family=4)
        second = await resolver.resolve("API.test", timeout=2, family=4)
        assert second.addresses == first.addresses
        assert second.seconds == 0.0
        assert len(dnsd.seen) == 1
        ahead(monkeypatch, 59)
        await resolver.resolve("api.test", timeout=2, family=4)
        assert len(dnsd.seen) == 1
        ahead(monkeypatch, 61)
        assert (await resolver.resolve("api.test", timeout=2, family=4)).seconds > 0
        assert len(dnsd.seen) == 2


def ahead(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The resolver's steady clock, that many seconds on."""

    class Clock:
        monotonic = staticmethod(lambda begun=time.monotonic(): begun + seconds)

    monkeypatch.setattr(resolver, "time", Clock)


@pytest.mark.parametrize(
    ("host", "ttl", "minimum", "kept_for", "gone_after"),
    [("api.test", 864000, 30, 3590, 3610), ("nothing.test", 3600, 30, 28, 31), ("nothing.test", 3600, 3600, 58, 61),
     ("text.test", 3600, 0, 0.5, 1.5), ("nothing.test", 5, 3600, 4, 6)],
)  # fmt: skip
async def test_how_long_is_bounded(
    host: str, ttl: int, minimum: int, kept_for: float, gone_after: float, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(resolver: Resolver) -> None:
        with contextlib.suppress(Failed):
            await resolver.resolve(host, timeout=2, family=4)

    async with Dnsd(RECORDS, ttl=ttl, minimum=minimum) as dnsd:
        resolver = make(dnsd)
        await look(resolver)
        ahead(monkeypatch, kept_for)
        await look(resolver)
        assert len(dnsd.seen) == 1
        ahead(monkeypatch, gone_after)
        await look(resolver)
        assert len(dnsd.seen) == 2


@pytest.mark.parametrize("how", ["servfail", "refused", "garbage"])
async def test_trouble_is_never_kept(how: str, make: Make) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": how}) as dnsd:
        resolver = make(dnsd)
        await fault(resolver, "api.test", family=4)
        dnsd.behaves.clear()
        assert (await resolver.resolve("api.test", timeout=2)).addresses


async def test_a_ttl_of_nothing_is_not_kept(make: Make) -> None:
    async with Dnsd(RECORDS, ttl=0) as dnsd:
        resolver = make(dnsd)
        for _ in range(2):
            await resolver.resolve("api.test", timeout=2, family=4)
        assert len(dnsd.seen) == 2


async def test_what_is_kept_is_bounded_and_forgotten_with_the_network(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resolver, "_CACHED", 10)
    async with Dnsd({f"n{i}.test A": "192.0.2.1" for i in range(30)}) as dnsd:
        one = make(dnsd)
        for i in range(30):
            await one.resolve(f"n{i}.test", timeout=2, family=4)
        assert len(one._kept) == 10
        dnsd.resolv_conf(tmp_path, "# another network")
        os.utime(tmp_path / "resolv.conf", (1, 1))
        await one.resolve("n29.test", timeout=2, family=4)
        assert len(one._kept) == 1


# sharing


async def test_one_question_serves_all_who_ask_at_once(make: Make) -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.1}, ttl=0) as dnsd:
        resolver = make(dnsd)
        answers = await asyncio.gather(*(resolver.resolve("api.test", timeout=2) for _ in range(50)))
        assert {answer.addresses for answer in answers} == {("192.0.2.1", "192.0.2.2")}
        assert len(dnsd.seen) == 2


async def test_who_leaves_early_takes_nothing_from_the_others(make: Make) -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.3}) as dnsd:
        resolver = make(dnsd)
        hasty = asyncio.create_task(fault(resolver, "api.test", timeout=0.05))
        patient = asyncio.create_task(resolver.resolve("api.test", timeout=3))
        cancelled = asyncio.create_task(resolver.resolve("api.test", timeout=3))
        await asyncio.sleep(0.02)
        cancelled.cancel()
        assert await hasty == "timeout.dns"
        assert (await patient).addresses == ("192.0.2.1", "192.0.2.2")
        with pytest.raises(asyncio.CancelledError):
            await cancelled


async def test_a_thousand_cancelled_questions_leave_nothing_behind(make: Make) -> None:
    async with Dnsd(behaves={f"n{i}.test": "drop" for i in range(500)}) as dnsd:
        resolver = make(dnsd)
        await fault(resolver, "n0.test", timeout=0.05)
        before = len(os.listdir("/proc/self/fd"))
        tasks = [asyncio.create_task(resolver.resolve(f"n{i % 500}.test", timeout=5)) for i in range(1000)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not resolver._flights
        assert len(os.listdir("/proc/self/fd")) <= before
        await at_rest()


async def test_hanging_names_do_not_hold_up_healthy_ones(make: Make) -> None:
    async with Dnsd(RECORDS, behaves={f"h{i}.test": "drop" for i in range(50)}) as dnsd:
        resolver = make(dnsd)
        hanging = [asyncio.create_task(fault(resolver, f"h{i}.test", timeout=1.5)) for i in range(50)]
        await asyncio.sleep(0)
        assert (await resolver.resolve("api.test", timeout=1)).addresses
        assert not any(task.done() for task in hanging)
        assert set(await asyncio.gather(*hanging)) == {"timeout.dns"}


def test_one_resolver_serves_one_loop_after_another(make: Make) -> None:
    kept: list[Resolver] = []

    async def look() -> None:
        async with Dnsd(RECORDS, ttl=0) as dnsd:
            if not kept:
                kept.append(make(dnsd))
            else:
                make(dnsd)
            assert (await kept[0].resolve("api.test", timeout=2)).addresses

    asyncio.run(look())
    asyncio.run(look())


# the machine's files, and packets


def test_resolv_conf() -> None:
    text = """
    # comment
    nameserver 10.0.0.1 ; trailing
    nameserver [::1]:5353
    nameserver fe80::1%eth0
    nameserver 10.0.0.4
    nameserver not-an-address
    domain old.test
    search a.test b.test ..
    options ndots:99 timeout:2 attempts:0 rotate edns0 use-vc ndots:x
    nonsense
    """
    assert Settings.parse(text) == Settings(
        servers=(Server("10.0.0.1"), Server("::1", 5353), Server("fe80::1%eth0")),
        search=tuple(canonical(name) for name in ("a.test.", "b.test.")),
        ndots=15, timeout=2.0, attempts=2, rotate=True, tcp=True,
    )  # fmt: skip
    assert Settings.parse("") == Settings(servers=(Server("127.0.0.1"),))


def test_hosts_file() -> None:
    assert parse_hosts("127.0.0.1 a B\n# x\n::1 a#c\n\n300.1.1.1 z\n") == {"a": ("127.0.0.1", "::1"), "b": ("127.0.0.1",)}


def test_international_names() -> None:
    assert canonical("Bücher.example").to_text() == "xn--bcher-kva.example"
    assert canonical("_sip._tcp.example").to_text() == "_sip._tcp.example"
    assert literal("beef.example") is None
    assert literal("1e100.example") is None


def test_a_maze_of_pointers_is_refused_quickly() -> None:
    query = nameserver.dns.message.make_query("api.test", "A")
    wire = maze(query)
    assert len(wire) > 10_000
    started = time.process_time()
    with pytest.raises(Malformed, match="maze"):
        nameserver.read(wire, query)
    assert time.process_time() - started < 0.25


def test_no_packet_breaks_the_reader() -> None:
    query = nameserver.dns.message.make_query("api.test", "A")
    good = nameserver.dns.message.make_response(query)
    good.answer.append(nameserver.dns.rrset.from_text("api.test.", 60, "IN", "MX", "10 mail.api.test."))
    wire = good.to_wire()
    for at in range(2, len(wire)):
        for value in (0x00, 0x3F, 0x7F, 0xC0, 0xFF):
            for broken in (wire[:at] + bytes([value]) + wire[at + 1 :], wire[:at]):
                with contextlib.suppress(Malformed):
                    nameserver.read(broken, query)


async def test_a_machine_without_a_network_is_our_trouble() -> None:
    """In a network namespace with nothing in it, the name servers cannot be reached: no target is to blame."""
    script = (
        "import asyncio, sys\n"
        "from probes.kinds.wire.failure import Failed\n"
        "from probes.kinds.wire.resolver import Resolver\n"
        "async def main():\n"
        "    try:\n"
        "        await Resolver(sys.argv[1], '/nonexistent').resolve('api.test', timeout=2)\n"
        "    except Failed as failed:\n"
        "        print(failed.fault.kind)\n"
        "asyncio.run(main())\n"
    )
    with tempfile.NamedTemporaryFile("w") as conf:
        conf.write("nameserver 192.0.2.53\n")
        conf.flush()
        process = await asyncio.create_subprocess_exec(
            "unshare", "-rn", sys.executable, "-c", script, conf.name,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        out, err = await process.communicate()
    if b"unshare failed" in err or b"Operation not permitted" in err:
        pytest.skip("this machine allows no network namespaces")
    assert out.decode().strip() == "probe.offline", err.decode()
