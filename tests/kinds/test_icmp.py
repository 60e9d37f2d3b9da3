"""``icmp`` on loopback, and against hosts behind a TUN device in a private network namespace, with and without privilege."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probes.core import expression
from probes.core.check import Check, Confirm, Retries
from probes.core.fault import Fault
from probes.core.judge import judge
from probes.core.kind import Context
from probes.core.result import Observation, Run
from probes.kinds import KINDS
from probes.kinds.icmp import Target, checksum
from tests.kinds.looking import see, tidy
from tests.kinds.test_dns import kind_of

ROOT = Path(__file__).parents[2]
KIND = KINDS["icmp"]
UNSHARE, SETPRIV, IP = map(shutil.which, ("unshare", "setpriv", "ip"))


def may_ping() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return True
    return False


pings = pytest.mark.skipif(not may_ping(), reason="this machine lets nobody ping")


@pings
@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 4), ("::1", 6), ("[::1]", 6), ("localhost", 4)])
async def test_this_machine_answers(host: str, family: int) -> None:
    async with tidy():
        seen = await see("icmp", {"host": host, "count": 4, "interval": "10ms", "family": family})
    assert seen.fault is None
    facts = seen.facts
    assert (facts["reachable"], facts["sent"], facts["received"], facts["loss"], facts["family"]) == (True, 4, 4, 0, family)
    echoes = seen.evidence["echoes_ms"]
    assert len(echoes) == 4
    assert seen.latency == facts["latency"] == facts["wait"] == pytest.approx(sum(echoes) / 4000, abs=1e-5)
    steps = [abs(a - b) for a, b in pairwise(echoes)]
    assert facts["jitter"] == pytest.approx(sum(steps) / 3000, abs=1e-5)
    assert 0 < facts["latency"] < facts["total"]
    assert set(facts) <= set(KIND.facts)
    if sys.platform == "linux":
        assert (seen.clock, facts["ttl"]) == ("kernel", 64)


@pings
async def test_addresses_are_screened_before_a_packet_leaves() -> None:
    assert kind_of(await see("icmp", "127.0.0.1", loopback=False)) == "ssrf.blocked"
    late = Target(host="${{ var.x }}").model_copy(update={"host": "169.254.169.254"})
    seen = await KIND.probe(late, Context(run="r", timeout=1))
    assert kind_of(seen) == "ssrf.blocked"
    assert "sent" not in seen.facts


# Hosts of every sort

LOOKS: list[tuple[str, dict[str, Any], float]] = [
    ("answers", {"host": "10.9.9.1", "count": 3, "size": "1000B"}, 2.0),
    ("answers six", {"host": "fd09::1", "count": 3}, 2.0),
    ("one", {"host": "10.9.9.1", "count": 1}, 2.0),
    ("silent", {"host": "10.9.9.2", "count": 3}, 0.8),
    ("silent six", {"host": "fd09::2", "count": 1}, 0.5),
    ("no time", {"host": "10.9.9.2", "count": 10, "interval": "200ms"}, 0.5),
    ("loses", {"host": "10.9.9.3", "count": 4, "interval": "50ms"}, 9.0),
    ("unreachable", {"host": "10.9.9.4", "count": 2, "interval": "50ms"}, 5.0),
    ("unreachable six", {"host": "fd09::4", "count": 2, "interval": "50ms"}, 5.0),
    ("no route", {"host": "10.8.8.1"}, 5.0),
    ("no network", {"host": "192.0.2.1"}, 5.0),
    ("lies", {"host": "10.9.9.5", "count": 2, "interval": "50ms"}, 0.6),
    ("repeats", {"host": "10.9.9.6", "count": 3, "interval": "200ms"}, 2.0),
    ("floods", {"host": "10.9.9.7", "count": 2, "interval": "20ms"}, 3.0),
    ("slower", {"host": "10.9.9.8", "count": 3, "interval": "20ms"}, 3.0),
    ("stranger", {"host": "10.9.9.9", "count": 1}, 0.5),
    ("late", {"host": "10.9.9.10", "count": 1}, 0.4),
    ("first refused", {"host": "10.9.9.11", "count": 2, "interval": "50ms"}, 3.0),
]


def apart(looks: list[tuple[str, dict[str, Any], float]], *, unprivileged: bool, raw: bool, blocked: float = 0) -> dict[str, Any]:
    """What is seen in a network of its own, where sockets for echoes are open to everyone or no one, and raw ones, too."""
    if not (UNSHARE and SETPRIV and IP and os.path.exists("/dev/net/tun")):
        pytest.skip("this machine has no network namespaces or TUN devices")
    drop = [] if raw else [SETPRIV, "--inh-caps=-net_raw", "--bounding-set=-net_raw"]
    code = 'echo "0 0" > /proc/sys/net/ipv4/ping_group_range; exec "$@"' if unprivileged else 'exec "$@"'  # at first it is nobody
    command = [*drop, sys.executable, "-m", "tests.servers.echoes", json.dumps(looks), str(blocked)]
    done = subprocess.run(
        [UNSHARE, "-rn", "sh", "-c", code, "sh", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "Operation not permitted" in done.stderr and "unshare" in done.stderr:
        pytest.skip("this machine lets nobody make a network namespace")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module", params=["unprivileged", "raw"])
def seen(request: pytest.FixtureRequest) -> dict[str, Any]:
    return apart(LOOKS, unprivileged=request.param == "unprivileged", raw=request.param == "raw")


def test_hosts_that_answer(seen: dict[str, Any]) -> None:
    for name in ("answers", "answers six", "one", "repeats", "floods", "slower"):
        one = seen[name]
        assert one["fault"] is None, (name, one)
        assert one["facts"]["received"] == one["facts"]["sent"]
        assert (one["facts"]["loss"], one["facts"]["ttl"], one["clock"]) == (0, 55, "kernel"), name
    assert seen["answers six"]["facts"]["family"] == 6
    assert seen["repeats"]["evidence"]["echoes_ms"][0] < 250  # the first of two counts
    assert (seen["one"]["facts"]["sent"], seen["one"]["facts"]["jitter"]) == (1, 0)


def test_what_ping_would_say(seen: dict[str, Any]) -> None:
    """30, 60 and 90 ms: on average 60, with 30 between one and the next."""
    facts = seen["slower"]["facts"]
    assert facts["latency"] >= 0.06
    assert facts["jitter"] > 0.015
    assert seen["slower"]["latency"] == facts["latency"]


def test_some_are_lost(seen: dict[str, Any]) -> None:
    one = seen["loses"]
    assert one["fault"] is None
    assert (one["facts"]["reachable"], one["facts"]["sent"], one["facts"]["received"], one["facts"]["loss"]) == (True, 4, 3, 25)
    assert one["evidence"]["echoes_ms"][1] is None
    assert 1 < one["total"] < 5  # a straggler is waited for, but not until the deadline
    refused = seen["first refused"]
    assert refused["fault"] is None
    assert (refused["facts"]["received"], refused["facts"]["loss"]) == (1, 50)


@pytest.mark.parametrize(
    ("name", "sent"), [("silent", 3), ("silent six", 1), ("lies", 2), ("stranger", 1), ("late", 1), ("no time", 3)]
)
def test_silence_and_lies_are_silence(seen: dict[str, Any], name: str, sent: int) -> None:
    one = seen[name]
    assert one["fault"] == "timeout.response"
    assert f"none of {sent} echoes" in one["because"]
    facts = one["facts"]
    assert (facts["reachable"], facts["sent"], facts["received"], facts["loss"]) == (False, sent, 0, 100)
    assert one["latency"] is None
    assert one["total"] < 2.5


@pytest.mark.parametrize("name", ["unreachable", "unreachable six", "no route", "no network"])
def test_a_router_says_that_there_is_no_way(seen: dict[str, Any], name: str) -> None:
    one = seen[name]
    assert one["fault"] == "conn.unreachable", one
    assert one["total"] < 3
    if name != "no network":
        assert one["facts"].get("reachable") in (False, None)
    assert one["facts"]["ip"] in one["because"]


def test_a_blocked_loop_changes_no_number() -> None:
    looks = [("in time", {"host": "10.9.9.8", "count": 1}, 0.6), ("late", {"host": "10.9.9.10", "count": 1}, 0.6)]
    found = apart(looks, unprivileged=True, raw=False, blocked=1.0)
    assert found["in time"]["fault"] is None
    assert (found["in time"]["clock"], found["in time"]["facts"]["received"]) == ("kernel", 1)
    assert 0.03 <= found["in time"]["latency"] < 0.5
    assert found["late"]["facts"]["received"] == 0  # it is there when we come to look, but it came after the deadline
    assert found["late"]["fault"] == "probe.overloaded"


def test_without_permission_it_says_what_would_give_it() -> None:
    one = apart([("x", {"host": "10.9.9.1"}, 1.0)], unprivileged=False, raw=False)["x"]
    assert one["fault"] == "probe.resources"
    assert "net.ipv4.ping_group_range" in one["because"]
    assert "CAP_NET_RAW" in one["because"]
    assert "reachable" not in one["facts"]


@pytest.mark.parametrize(
    ("must", "outcome"),
    [((), "failed"), (("reachable == false",), "passed"), (("loss < 50",), "failed"), (("reachable == true",), "failed")],
)
def test_that_nobody_answers_may_be_what_is_wanted(must: tuple[str, ...], outcome: str) -> None:
    silent = Observation(facts={"reachable": False, "loss": 100}, fault=Fault("timeout.response", "nothing"))
    decides = KIND.must[0] if any("reachable" in line for line in must) else None
    check = Check("c", "c", "icmp", {}, must or KIND.must, (), 60, 10, Retries(), ("here",), Confirm(), decides=decides)
    assert judge(check, Run("c", "here", 0), silent).outcome == outcome


# The shape


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"host": ""}, "address"),
        ({"host": "https://shop.example"}, "address"),
        ({"host": "shop.example:80"}, "address"),
        ({"host": "169.254.169.254"}, "ssrf"),
        ({"host": "0x7f.1"}, "ssrf"),
        ({"host": "a", "count": 0}, "greater_than_equal"),
        ({"host": "a", "count": 11}, "less_than_equal"),
        ({"host": "a", "interval": "1ms"}, "greater_than_equal"),
        ({"host": "a", "interval": 1}, "unit"),
        ({"host": "a", "size": "15B"}, "greater_than_equal"),
        ({"host": "a", "size": "9KB"}, "less_than_equal"),
        ({"host": "a", "size": 56}, "unit"),
        ({"host": "a", "prot": 1}, "extra_forbidden"),
    ],
)
def test_what_is_refused_at_load(data: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as error:
        Target.model_validate(data)
    assert [problem["type"] for problem in error.value.errors()] == [code]


def test_the_short_form() -> None:
    assert KIND.short(" router.test ") == {"host": "router.test"}
    assert Target.model_validate(KIND.short("2001:db8::1")).host == "2001:db8::1"
    assert Target.model_validate({"host": "${{ var.router }}"})
    with pytest.raises(ValueError, match=r"router\.shop\.example"):
        KIND.short(5)


def test_assertions_are_typed() -> None:
    for line in ("loss < 20", "latency < 50ms", "jitter < 5ms", "ttl > 40", 'ip == "192.0.2.1"', "reachable == false"):
        expression.parse(line, KIND.facts)


@given(st.binary(max_size=200))
def test_a_packet_with_its_checksum_sums_to_nothing(data: bytes) -> None:
    even = data + bytes(len(data) % 2)
    assert checksum(even + checksum(even).to_bytes(2)) == 0
    assert checksum(data) == checksum(even)
