"""``tcp``: whether a port takes a connection, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import re2  # type: ignore[import-untyped]  # google-re2 has no stubs
from pydantic import AfterValidator, BeforeValidator, Field

from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.kinds.wire import content
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import Expired
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.target import Address, pending, plain, split
from probes.kinds.wire.way import Channel, Way

LARGEST: Final = 65536
"""Bytes of an answer that are read."""
_CLOSED: Final = {"conn.refused", "conn.reset", "conn.unreachable", "conn.closed", "timeout.connect"}


def _expression(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _compiles(pattern: str) -> str:
    if not pending(pattern):
        try:
            _expression(pattern)
        except re2.error as error:
            raise complain("regex", f"the regular expression cannot be compiled: {error}") from None
    return pattern


class Target(Shape):
    """A port; with ``send``, ``expect`` or ``banner`` also a short conversation."""

    address: Address = Field(description="host:port")
    send: Annotated[str, BeforeValidator(plain)] | None = Field(None, description="text sent once the connection is open")
    expect: Annotated[str, AfterValidator(_compiles)] | None = Field(None, description="regular expression to wait for")
    banner: bool = Field(False, description="read what the server says first")
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")


async def _talk(target: Target, way: Way, channel: Channel, seen: Look) -> None:
    """Send, and read until ``expect`` matches; without it, the first that comes."""
    sent = way.opened
    if target.send:
        sent = channel.put(target.send.encode("utf-8", "replace"))
    if target.expect is None and not target.banner:
        way.phases["wait"] = 0.0
        return
    wanted = _expression(target.expect) if target.expect is not None else None
    got, first = bytearray(), 0.0
    try:
        while True:
            data, mark = await channel.receive()
            if not data:
                raise failed("conn.closed", f"{way.where} closed the connection {_instead(target)}")
            if not got:
                first, way.phase = mark, "receive"
                way.phases["wait"] = max(0.0, mark - sent)
            got += data
            way.phases["receive"] = max(0.0, mark - first)
            if wanted is None or wanted.search(got.decode("utf-8", "replace")):
                return
            if len(got) > LARGEST:
                raise failed("body.too_large", f"{way.where} sent more than {LARGEST // 1024} KB {_instead(target)}")
    except Expired:
        raise failed("timeout.response", f"{way.where} did not answer as expected within {way.timeout:g}s") from None
    finally:
        if got:
            text = bytes(got[:LARGEST]).decode("utf-8", "replace")
            seen.facts["banner"] = text
            seen.evidence["banner"] = content.snippet(text)


def _instead(target: Target) -> str:
    return f"before its answer matched {target.expect!r}" if target.expect is not None else "before it said anything"


async def probe(target: Target, context: Context) -> Observation:
    """Connect, and talk where the target says so."""

    async def run(seen: Look) -> None:
        host, port = split(target.address)
        way = seen.way(target.family)
        try:
            channel = await way.go(host, port)
        except Expired:
            if way.phase == "connect":
                seen.facts["connected"] = False
            raise
        except Failed as error:
            if way.phase == "connect" and error.fault.kind in _CLOSED:
                seen.facts["connected"] = False
            raise
        seen.facts["connected"] = True
        await _talk(target, way, channel, seen)

    return await look(context, run)


def _short(text: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        raise ValueError("write db.shop.example:5432, or a mapping with an address")
    return {"address": text.strip()}


def _describe(target: Mapping[str, Any]) -> str:
    return str(target.get("address", ""))


KIND = Kind(
    name="tcp",
    summary="Whether a port takes a connection, and what it says.",
    target=Target,
    short=_short,
    example="db.shop.example:5432",
    facts={
        "connected": Fact("boolean", "whether the connection was opened"),
        "latency": Fact("duration", "connect + wait + receive, as the network took it"),
        "total": Fact("duration", "from the start of resolve to the end, our own cost included"),
        "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
        "connect": Fact("duration", "the connection was opened"),
        "wait": Fact("duration", "until the first byte of the answer; 0 when none is read"),
        "receive": Fact("duration", "from the answer's first byte to the last one read"),
        "ip": Fact("text", "address that answered"),
        "family": Fact("number", "4 or 6"),
        "banner": Fact("text", "what the server said, where `expect` or `banner: true` reads it"),
    },
    must=("connected == true",),
    probe=probe,
    describe=_describe,
)
