"""The quick reading of a plain answer: whatever it takes, the careful one takes too, and to the same end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probes.kinds.wire import http1
from probes.kinds.wire.failure import Failed
from probes.kinds.wire.http1 import HEADERS, Reply, encode, quick
from probes.kinds.wire.poller import Deadlines
from tests.kinds.looking import HOST, see
from tests.servers.raw import Raw, answer, response

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Type: text/plain\r\nX-A:  b \t\r\nContent-Length: 3\r\n\r\nabc"


PIECES = [b"", b"\0", b"\r", b"\n", b" ", b"\x7f", b":", b"9", b"-", b"\xff", b"1.", b"\r\n"]


def careful(data: bytes) -> Reply | None:
    """What h11 reads; None when it complains or wants more."""
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS)
    machine.send(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Connection", "close")]))
    machine.send(h11.EndOfMessage())
    machine.receive_data(data)
    found: Reply | None = None
    try:
        while not isinstance(event := machine.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                reason, version = http1.text(bytes(event.reason)), event.http_version.decode()
                found = Reply(event.status_code, reason, version, headers, bytearray())
            elif isinstance(event, h11.Data) and found is not None:
                found.body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
    return found


def test_a_plain_answer_is_read_quickly() -> None:
    found = quick(PLAIN, b"GET")
    assert found == (careful(PLAIN), 3)
    assert found is not None
    assert found[0].names() == {"content-type": "text/plain", "x-a": "b", "content-length": "3"}
    part = quick(PLAIN[:-2], b"GET")
    assert part is not None
    assert (part[0].body, part[1]) == (b"a", 3)


LEFT = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "the same length twice": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": OK + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": OK + b"Content-Length: +3\r\n\r\nabc",
    "a length with an underscore": OK + b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "a length of 40 digits": OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "length and chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another transfer encoding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "a folded length": OK + b"Content-Length:\r\n 3\r\n\r\nabc",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "a space before the colon": OK + b"Content-Length : 3\r\n\r\nabc",
    "a zero in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 3\r\n\r\nabc",
    "an empty line first": b"\r\n\r\n" + PLAIN,
    "http/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "http/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "status 042": b"HTTP/1.1 042 Low\r\nContent-Length: 3\r\n\r\nabc",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "two answers": PLAIN + PLAIN,
    "an upgrade": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
    "half a head": PLAIN[:40],
    "no length": OK + b"\r\nabc",
    "nothing of HTTP": b"SSH-2.0-x\r\n",
}


@pytest.mark.parametrize("name", LEFT)
def test_everything_else_is_left_to_the_careful_reading(name: str) -> None:
    assert quick(LEFT[name], b"GET") is None
    assert quick(PLAIN, b"HEAD") is None


@given(st.data(), st.sampled_from([PLAIN, PLAIN + b"extra", *LEFT.values()]))
@example(None, PLAIN + b"extra")
def test_what_it_takes_is_what_the_careful_reading_takes(data: Any, start: bytes) -> None:
    """Answers with a few bytes changed, dropped or put in anywhere."""
    mutant = bytearray(start)
    for _ in range(0 if data is None else data.draw(st.integers(0, 4))):
        assert data is not None
        place = data.draw(st.integers(0, len(mutant)))
        mutant[place : place + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(PIECES))
    found = quick(bytes(mutant), b"GET")
    if found is not None:
        reply, length = found
        if len(reply.body) == length:
            assert careful(bytes(mutant)) == reply
        else:
            rest = bytes(length - len(reply.body)) if length < 1000 else b""
            whole = careful(bytes(mutant) + rest)
            assert length >= 1000 or (whole is not None and whole.body == reply.body + rest)


async def test_a_body_that_comes_later_is_awaited_and_cut_at_its_length() -> None:
    with Raw(answer(PLAIN[:-2], b"bcdef")) as server:
        seen = await see("http", f"http://{HOST}:{server.port}/")
    assert (seen.facts["body"], seen.facts["size"]) == ("abc", 3)
    with Raw(answer(response(b"x" * 500_000))) as server:
        seen = await see("http", f"http://{HOST}:{server.port}/")
    assert seen.facts["size"] == 500_000


# What is sent


def test_a_request_is_written_out() -> None:
    wire = encode(b"POST", b"/a?b=c", [(b"Host", b"x"), (b"X", b"\xc3\xa9\ty")], b"hello")
    assert wire == b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX: \xc3\xa9\ty\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    assert encode(b"GET", b"/", [(b"Host", b"x")], version="1.0").startswith(b"GET / HTTP/1.0\r\n")
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(wire)
    assert isinstance(machine.next_event(), h11.Request)


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        (b"GET X", b"/", (b"a", b"b")),
        (b"", b"/", (b"a", b"b")),
        (b"GET", b"/ HTTP/1.1\r\nX: y", (b"a", b"b")),
        (b"GET", b"", (b"a", b"b")),
        (b"GET", b"/", (b"a b", b"c")),
        (b"GET", b"/", (b"a", b"b\r\nc: d")),
        (b"GET", b"/", (b"a", b"b\0")),
        (b"GET", b"/", (b"a", b"b\n")),
    ],
)
def test_nothing_is_smuggled_into_a_request(method: bytes, target: bytes, header: tuple[bytes, bytes]) -> None:
    with pytest.raises(Failed) as refused:
        encode(method, target, [header])
    assert refused.value.fault.kind == "probe.internal"


# Many deadlines, few timers


async def test_deadlines_expire_after_their_time_and_not_when_dropped() -> None:
    loop = asyncio.get_running_loop()
    deadlines, begun, done = Deadlines(loop), time.monotonic(), asyncio.Event()
    came: list[tuple[str, float]] = []

    def expire(name: str) -> None:
        came.append((name, time.monotonic()))
        if name == "last":
            done.set()

    kept = [lambda name=name: expire(name) for name in ("past", "soon", "last", "dropped")]
    for one, after in zip(kept, (-1.0, 0.03, 0.06, 0.045), strict=True):
        step = deadlines.add(begun + after, one)
    deadlines.drop(step, kept[3])
    deadlines.drop(step, kept[3])
    await asyncio.wait_for(done.wait(), 5)
    assert [name for name, _ in came] == ["past", "soon", "last"]
    assert all(at >= begun + after for (_, at), after in zip(came, (-1.0, 0.03, 0.06), strict=True))
    assert not deadlines._steps
