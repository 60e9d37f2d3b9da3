"""The dns kind against a real DNS server on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import dns.flags
import pytest
from pydantic import ValidationError

from probes.core import expression
from probes.core.check import Check, Confirm, Retries
from probes.core.judge import judge
from probes.core.kind import Context
from probes.core.result import Observation, Run
from probes.kinds import KINDS
from probes.kinds.dns import Target
from probes.kinds.wire import resolver
from probes.kinds.wire.resolver import Resolver
from tests.servers.dnsd import Dnsd

KIND = KINDS["dns"]
RECORDS = {
    "api.test A": "192.0.2.2 192.0.2.1",
    "api.test AAAA": "2001:db8::1",
    "api.test MX": "20 mail2.api.test. | 10 MAIL.api.test.",
    "api.test NS": "ns1.test. | ns2.test.",
    "api.test TXT": '"v=spf1 " "-all" | "key=\\"quoted\\""',
    "api.test CAA": '0 issue "ca.test"',
    "api.test SOA": "ns1.test. admin.test. 7 3600 600 86400 30",
    "_sip._tcp.api.test SRV": "10 20 5060 sip.api.test.",
    "1.2.0.192.in-addr.arpa PTR": "api.test.",
    "nomail.test MX": "0 .",
    "www.test CNAME": "api.test",
    "loop.test CNAME": "pool.test",
    "pool.test CNAME": "loop.test",
    "many.test TXT": " | ".join(f'"{i:03} {"x" * 60}"' for i in range(40)),
}


async def ask(dnsd: Dnsd, text: str, timeout: float = 2.0, loopback: bool = True, **more: Any) -> Observation:
    data = {**KIND.short(text), "server": f"{dnsd.host}:{dnsd.port}", **more}
    return await KIND.probe(Target.model_validate(data), Context(run="r", timeout=timeout, loopback=loopback))


def kind_of(seen: Observation) -> str | None:
    return seen.fault and seen.fault.kind


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("A api.test", ["192.0.2.1", "192.0.2.2"]),
        ("API.test", ["192.0.2.1", "192.0.2.2"]),
        ("api.test.", ["192.0.2.1", "192.0.2.2"]),
        ("AAAA api.test", ["2001:db8::1"]),
        ("MX api.test", ["10 mail.api.test", "20 mail2.api.test"]),
        ("NS api.test", ["ns1.test", "ns2.test"]),
        ("TXT api.test", ['key="quoted"', "v=spf1 -all"]),
        ("CAA api.test", ['0 issue "ca.test"']),
        ("SOA api.test", ["ns1.test admin.test 7 3600 600 86400 30"]),
        ("SRV _sip._tcp.api.test", ["10 20 5060 sip.api.test"]),
        ("PTR 192.0.2.1", ["api.test"]),
        ("PTR 1.2.0.192.in-addr.arpa", ["api.test"]),
        ("MX nomail.test", ["0 ."]),
        ("CNAME www.test", ["api.test"]),
        ("A www.test", ["192.0.2.1", "192.0.2.2"]),
    ],
)
async def test_the_answers_as_people_write_them(text: str, answers: list[str]) -> None:
    async with Dnsd(RECORDS, ttl=90) as dnsd:
        seen = await ask(dnsd, text)
        assert seen.fault is None
        assert seen.facts["answers"] == answers
        assert seen.facts["rcode"] == "NOERROR"
        assert str(seen.facts["ttl"]) == "1m30s"
        assert seen.facts["ip"] == "127.0.0.1"
        assert seen.facts["size"] > 20
        assert not seen.facts["truncated"]
        assert set(seen.facts) <= set(KIND.facts)


async def test_what_was_timed() -> None:
    async with Dnsd(RECORDS, delays={"api.test": 0.05}) as dnsd:
        seen = await ask(dnsd, "A api.test")
        assert seen.latency is not None
        assert 0.05 <= seen.latency <= seen.total
        assert seen.facts["latency"] == seen.latency == seen.phases["wait"]
        assert set(seen.phases) == {"resolve", "wait"}
        seen = await ask(dnsd, "A api.test", transport="tcp")
        assert set(seen.phases) == {"resolve", "connect", "wait"}
        assert seen.latency == seen.phases["connect"] + seen.phases["wait"]


async def test_a_name_that_does_not_exist_is_a_fact_and_a_fault() -> None:
    async with Dnsd(RECORDS) as dnsd:
        seen = await ask(dnsd, "A nothing.test")
        assert kind_of(seen) == "dns.nxdomain"
        assert seen.facts["rcode"] == "NXDOMAIN"
        assert seen.facts["answers"] == []
        assert "latency" in seen.facts


NOERROR = 'rcode == "NOERROR"'


@pytest.mark.parametrize(
    ("must", "decides", "outcome"),
    [(('rcode == "NOERROR"',), None, "failed"), (('rcode == "NXDOMAIN"',), NOERROR, "passed"), (("latency < 1s",), None, "failed"),
     (('rcode == "NXDOMAIN"', "latency < 1s"), NOERROR, "passed"), (('rcode in ["NOERROR"]',), NOERROR, "failed")],
)  # fmt: skip
async def test_the_judge_lets_an_assertion_about_the_rcode_decide(must: tuple[str, ...], decides: str | None, outcome: str) -> None:
    async with Dnsd(RECORDS) as dnsd:
        seen = await ask(dnsd, "A nothing.test")
    check = Check("c", "c", "dns", {}, must, (), 60, 10, Retries(), ("here",), Confirm(), decides=decides)
    assert judge(check, Run("c", "here", 0), seen).outcome == outcome


async def test_no_record_of_the_type_is_no_fault() -> None:
    async with Dnsd(RECORDS) as dnsd:
        seen = await ask(dnsd, "CAA www.test")
        assert seen.facts["answers"] == ['0 issue "ca.test"']
        seen = await ask(dnsd, "AAAA _sip._tcp.api.test")
        assert seen.fault is None
        assert seen.facts["rcode"] == "NOERROR"
        assert seen.facts["answers"] == []
        assert "ttl" not in seen.facts


@pytest.mark.parametrize(
    ("how", "fault", "rcode"),
    [
        ("servfail", "dns.servfail", "SERVFAIL"),
        ("refused", "dns.refused", "REFUSED"),
        ("notimp", "dns.servfail", "NOTIMP"),
        ("bare-refused", "dns.refused", "REFUSED"),
        ("garbage", "dns.malformed", None),
        ("maze", "dns.malformed", None),
        ("huge", "dns.malformed", None),
        ("drop", "timeout.dns", None),
        ("liar", "timeout.dns", None),
        ("truncate-refuse", "conn.reset", None),
    ],
)
async def test_each_misbehaviour_is_its_own_fault(how: str, fault: str, rcode: str | None) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": how}) as dnsd:
        seen = await ask(dnsd, "A api.test", timeout=0.5)
        assert kind_of(seen) == fault
        assert seen.facts.get("rcode") == rcode
        assert seen.fault is not None
        assert str(dnsd.port) in seen.fault.because
        assert seen.total < 1.5
        assert (seen.latency is None) == (rcode is None)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not others


async def test_aliases_in_a_circle_are_malformed() -> None:
    async with Dnsd(RECORDS) as dnsd:
        assert kind_of(await ask(dnsd, "A loop.test")) == "dns.malformed"


async def test_truth_after_lies_and_after_a_lost_datagram() -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "foreign"}) as dnsd:
        assert (await ask(dnsd, "A api.test")).facts["answers"] == ["192.0.2.1", "192.0.2.2"]
    async with Dnsd(RECORDS, behaves={"api.test": "drop-first"}) as dnsd:
        seen = await ask(dnsd, "A api.test", timeout=1.2)
        assert seen.fault is None
        assert seen.total >= 0.3
        assert seen.latency is not None
        assert seen.latency < 0.3  # of the question that was answered


async def test_an_answer_too_long_for_a_datagram_comes_whole_over_tcp() -> None:
    async with Dnsd(RECORDS, behaves={"many.test": "truncate"}) as dnsd:
        seen = await ask(dnsd, "TXT many.test")
        assert len(seen.facts["answers"]) == 40
        assert seen.facts["truncated"]
        assert set(seen.phases) == {"resolve", "connect", "wait"}
        assert {one.transport for one in dnsd.seen} == {"udp", "tcp"}


async def test_a_server_from_before_edns_is_asked_again_without() -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "formerr-edns"}) as dnsd:
        seen = await ask(dnsd, "A api.test")
        assert seen.facts["answers"] == ["192.0.2.1", "192.0.2.2"]
        assert [one.edns for one in dnsd.seen] == [True, False]


async def test_flags_are_asked_for_and_told() -> None:
    async with Dnsd(RECORDS, flags=dns.flags.AA | dns.flags.AD) as dnsd:
        seen = await ask(dnsd, "A api.test", recursion=False, dnssec=True)
        assert seen.facts["authenticated"]
        assert seen.facts["authoritative"]
        assert not dnsd.seen[0].flags & dns.flags.RD
    async with Dnsd(RECORDS) as dnsd:
        seen = await ask(dnsd, "A api.test")
        assert seen.facts["authenticated"] is seen.facts["authoritative"] is False
        assert dnsd.seen[0].flags & dns.flags.RD


# which server


async def test_a_server_by_name_is_resolved_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Dnsd({**RECORDS, "ns.test A": "127.0.0.1", "meta.test A": "169.254.169.254"}, delays={"ns.test": 0.02}) as dnsd:
        (tmp_path / "hosts").write_text("")
        monkeypatch.setattr(resolver, "DEFAULT", Resolver(dnsd.resolv_conf(tmp_path), str(tmp_path / "hosts")))
        seen = await ask(dnsd, "A api.test", server=f"ns.test:{dnsd.port}")
        assert seen.facts["answers"] == ["192.0.2.1", "192.0.2.2"]
        assert seen.phases["resolve"] >= 0.02
        assert seen.latency is not None
        assert seen.latency < seen.total - 0.02
        seen = await ask(dnsd, "A api.test", server="ns.test", port=dnsd.port)
        assert seen.fault is None
        seen = await ask(dnsd, "A api.test", server="nothing.test")
        assert kind_of(seen) == "dns.nxdomain"
        assert "rcode" not in seen.facts  # it is the server's name that does not exist: no assertion may take it for the answer
        dnsd.seen.clear()
        assert kind_of(await ask(dnsd, "A api.test", server="meta.test")) == "ssrf.blocked"
        assert not dnsd.asked("api.test")


async def test_without_a_server_the_machine_s_own_are_asked_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Dnsd(RECORDS, behaves={"api.test": "drop"}) as dead, Dnsd(RECORDS) as good:
        conf = dead.resolv_conf(tmp_path, f"nameserver [127.0.0.1]:{good.port}")
        monkeypatch.setattr(resolver, "DEFAULT", Resolver(conf, str(tmp_path / "hosts")))
        context = Context(run="r", timeout=1.4, loopback=False)  # own servers may be on loopback everywhere
        seen = await KIND.probe(Target(name="api.test"), context)
        assert seen.fault is None
        assert dead.seen
        assert seen.evidence["server"] == f"127.0.0.1:{good.port}"


async def test_loopback_and_metadata_are_screened() -> None:
    async with Dnsd(RECORDS) as dnsd:
        assert kind_of(await ask(dnsd, "A api.test", loopback=False)) == "ssrf.blocked"
        assert kind_of(await ask(dnsd, "A api.test", server="::ffff:127.0.0.1", loopback=False)) == "ssrf.blocked"
        assert not dnsd.seen
    reference = Target.model_validate({"name": "a.test", "server": "${{ var.x }}"})  # late, so not refused at load
    filled = reference.model_copy(update={"server": "169.254.169.254"})
    seen = await KIND.probe(filled, Context(run="r", timeout=1))
    assert kind_of(seen) == "ssrf.blocked"


async def test_nobody_listens() -> None:
    async with Dnsd(RECORDS) as dnsd:
        pass
    for transport in ("udp", "tcp"):
        seen = await ask(dnsd, "A api.test", transport=transport)
        assert kind_of(seen) == "conn.refused", transport
        assert seen.total < 1


# the shape


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("A api.test @1.1.1.1", {"type": "A", "name": "api.test", "server": "1.1.1.1"}),
        ("api.test", {"name": "api.test"}),
        ("mx api.test @ns.test:5353", {"type": "MX", "name": "api.test", "server": "ns.test:5353"}),
        ("A api.test @tls://ns.test:853", {"type": "A", "name": "api.test", "server": "ns.test:853", "transport": "dot"}),
        ("api.test @https://ns.test/q", {"name": "api.test", "server": "https://ns.test/q", "transport": "doh"}),
        ("A api.test @[::1]:53", {"type": "A", "name": "api.test", "server": "[::1]:53"}),
        ("A ${{ var.name }} @${{ var.dns }}", {"type": "A", "name": "${{ var.name }}", "server": "${{ var.dns }}"}),
    ],
)
def test_the_short_form(text: str, target: dict[str, Any]) -> None:
    assert KIND.short(text) == target
    Target.model_validate(target)
    assert KIND.describe({"type": "A", **target}).startswith(("A ", "MX "))


@pytest.mark.parametrize("text", ["", "A", "A b c", "AAAAA api.test", "@1.1.1.1", "A api.test @", 5, None])
def test_a_short_form_that_says_nothing(text: Any) -> None:
    if text == "A":  # a name like any other
        assert KIND.short(text) == {"name": "A"}
        return
    with pytest.raises(ValueError, match=r"write what to ask for|record types"):
        KIND.short(text)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"name": "a..b"}, "value"),
        ({"name": "x" * 64}, "value"),
        ({"name": ""}, "value"),
        ({"name": "a", "type": "ANY"}, "literal_error"),
        ({"name": "a", "server": "1.1.1.1:99999"}, "address"),
        ({"name": "a", "server": "http://x"}, "address"),
        ({"name": "a", "server": "0x7f.1"}, "address"),
        ({"name": "a", "server": "169.254.169.254"}, "ssrf"),
        ({"name": "a", "server": "[fe80::1]:53"}, "ssrf"),
        ({"name": "a", "server": "::ffff:169.254.169.254"}, "ssrf"),
        ({"name": "a", "transport": "doh"}, "missing-key"),
        ({"name": "a", "transport": "dot"}, "missing-key"),
        ({"name": "a", "transport": "sctp"}, "literal_error"),
        ({"name": "a", "server": "https://dns.test/dns-query"}, "value"),
        ({"name": "a", "server": "https://", "transport": "doh"}, "address"),
        ({"name": "a", "server": "https://169.254.169.254/", "transport": "doh"}, "ssrf"),
        ({"name": "a", "server": "https://[::ffff:169.254.169.254]/", "transport": "doh"}, "ssrf"),
        ({"name": "a", "server": "https://u:p@dns.test/", "transport": "doh"}, "address"),
        ({"name": "a", "server": "https://dns.test:99999/", "transport": "doh"}, "address"),
        ({"name": "a", "server": "http://dns.test/", "transport": "doh"}, "address"),
        ({"name": "a", "server": "dns.test", "ca": "ca.pem"}, "value"),
        ({"name": "a", "server": "dns.test", "server_name": "b", "transport": "doh"}, "value"),
        ({"name": "a", "port": 0}, "greater_than_equal"),
        ({"name": "a", "nme": "b"}, "extra_forbidden"),
    ],
)
def test_what_is_refused_at_load(data: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as error:
        Target.model_validate(data)
    assert [problem["type"] for problem in error.value.errors()] == [code]


def test_every_fact_is_asserted_upon_by_its_type() -> None:
    for line in ('rcode == "NXDOMAIN"', 'answers contains "192.0.2.1"', "ttl > 1m", "len(answers) == 2", "size < 512B",
                 "truncated == false", "latency < 100ms", 'ip == "1.1.1.1"', "authenticated == true"):  # fmt: skip
        expression.parse(line, KIND.facts)
